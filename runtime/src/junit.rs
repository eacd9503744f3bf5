//! What a test has come to, in a file that CI understands: JUnit, with the kind of its failure as a property.
//!
//! One file for each test: tests of one program run at once, some harnesses start a process for each test, and a process may
//! be killed. CI takes all files of a folder.

use std::{
    any::Any,
    env, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jumpstarter_core::ErrorClass;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

/// Names the folder, and asks for the files.
const FOLDER: &str = "JUMPSTARTER_JUNIT_DIR";

/// The property that says who has to act.
const KIND: &str = "jumpstarter.kind";

/// A test, as its attribute knows it.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Its function.
    pub name: &'static str,
    /// The module of that.
    pub module: &'static str,
    /// The package, where cargo builds it.
    pub package: Option<&'static str>,
    /// What it is expected to say when it panics, if it is expected to.
    pub should_panic: Option<&'static str>,
}

impl Test {
    /// What CI groups it by, and its name there. They are those of `cargo nextest`: the package, with the program if that is
    /// another one, and the path inside of it.
    fn names(&self) -> (String, String) {
        let (program, modules) = self.module.split_once("::").unwrap_or((self.module, ""));
        let group = match self.package {
            Some(package) if package.replace('-', "_") == program => package.to_owned(),
            Some(package) => format!("{package}::{program}"),
            None => program.to_owned(),
        };
        let name =
            if modules.is_empty() { self.name.to_owned() } else { format!("{modules}::{}", self.name) };
        (group, name)
    }
}

/// Why a test failed, and who has to act.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
}

impl Failure {
    /// What somebody says who does not say whose fault it is: that of the device, its driver, or what was expected of it.
    pub(crate) fn of_device(message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Device, message: message.into() }
    }
}

/// What a panic means for a test; nothing, if it is what it should end with.
pub(crate) fn of_panic(test: &Test, panic: &(dyn Any + Send)) -> Option<Failure> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "it panicked, with something that is no text".to_owned());
    match test.should_panic {
        Some(expected) if text.contains(expected) => None,
        Some(expected) => {
            Some(Failure::of_device(format!("it panicked without saying {expected:?}: {text}")))
        }
        None => Some(Failure::of_device(text)),
    }
}

/// A report that is asked for, from the begin of its test.
#[derive(Debug)]
pub(crate) struct Reporting {
    folder: PathBuf,
    test: Test,
    begun: Instant,
}

impl Reporting {
    /// Begins, if somebody asks for reports.
    pub(crate) fn begin(test: Test) -> Option<Self> {
        let folder = env::var_os(FOLDER).filter(|folder| !folder.is_empty())?;
        Some(Self { folder: folder.into(), test, begun: Instant::now() })
    }

    /// Writes what came of it. An earlier report of the same test is replaced whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn end(self, failure: Option<&Failure>) -> Result<(), String> {
        let Self { folder, test, begun } = self;
        let (file, text) = written(&test, failure, begun.elapsed());
        let place = folder.join(file);
        put(&folder, &place, &text)
            .map_err(|error| format!("the report {} cannot be written ({FOLDER}): {error}", place.display()))
    }
}

/// The name of the file, and what is in it.
fn written(test: &Test, failure: Option<&Failure>, took: Duration) -> (String, String) {
    let (group, name) = test.names();
    let status = match failure {
        None => TestCaseStatus::success(),
        Some(Failure { class, message }) => {
            // What has nothing to do with what is tested is called an error there.
            let kind = match class {
                ErrorClass::Device => NonSuccessKind::Failure,
                _ => NonSuccessKind::Error,
            };
            let mut status = TestCaseStatus::non_success(kind);
            let first = message.lines().next().unwrap_or_default();
            status.set_type(format!("{KIND}.{class}")).set_message(first).set_description(message.as_str());
            status
        }
    };
    let mut case = TestCase::new(name.as_str(), status);
    case.set_classname(group.as_str()).set_time(took);
    if let Some(Failure { class, .. }) = failure {
        case.add_property(Property::new(KIND, class.to_string()));
    }
    let mut suite = TestSuite::new(group.as_str());
    suite.set_time(took).add_test_case(case);
    let mut report = Report::unnamed();
    report.set_time(took).add_test_suite(suite);
    // A text takes everything.
    let text = report.to_string().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '.' };
    let file = format!("TEST-{group}.{name}.xml").replace("::", ".");
    (file.trim_end_matches(".xml").chars().map(plain).collect::<String>() + ".xml", text)
}

fn put(folder: &Path, place: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Whoever gathers the files finds whole ones.
    let partial = place.with_extension(format!("{}.partial", std::process::id()));
    fs::write(&partial, text)?;
    fs::rename(&partial, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Test =
        Test { name: "boots", module: "bench::slow", package: Some("my-board"), should_panic: None };

    #[test]
    fn names_are_those_of_nextest() {
        for (module, package, group, name) in [
            ("bench::slow", Some("my-board"), "my-board::bench", "slow::boots"),
            ("bench", Some("my-board"), "my-board::bench", "boots"),
            ("my_board::tests", Some("my-board"), "my-board", "tests::boots"),
            ("bench", None, "bench", "boots"),
        ] {
            let test = Test { module, package, ..TEST };
            assert_eq!(test.names(), (group.to_owned(), name.to_owned()));
        }
    }

    #[test]
    fn a_failure_has_its_kind_and_whatever_it_says_stays_xml() {
        let failure = Failure {
            class: ErrorClass::Infrastructure,
            message: "the lab <away> & \"gone\"\u{1b}[31m\u{0}\nsecond ]]> line".to_owned(),
        };
        let (file, text) = written(&TEST, Some(&failure), Duration::from_millis(1500));
        assert_eq!(file, "TEST-my-board.bench.slow.boots.xml");
        for part in [
            r#"<testcase name="slow::boots" classname="my-board::bench" time="1.500">"#,
            r#"<property name="jumpstarter.kind" value="infrastructure"/>"#,
            r#"<error message="the lab &lt;away&gt; &amp; &quot;gone&quot;" type="jumpstarter.kind.infrastructure">"#,
            "second ]]&gt; line",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains(['\u{1b}', '\u{0}']), "{text:?}");
        let (_, text) = written(&TEST, Some(&Failure::of_device("it is dark")), Duration::ZERO);
        assert!(text.contains(r#"<failure message="it is dark" type="jumpstarter.kind.device">"#), "{text}");
        let (_, text) = written(&TEST, None, Duration::ZERO);
        assert!(
            text.contains(r#"tests="1" skipped="0" failures="0" errors="0""#) && !text.contains("property"),
            "{text}"
        );
    }

    #[test]
    fn a_panic_that_is_expected_is_no_failure() {
        let panic = |text: &str| Box::new(text.to_owned()) as Box<dyn Any + Send>;
        let failed = |should_panic, text| of_panic(&Test { should_panic, ..TEST }, &*panic(text)).is_some();
        assert!(failed(None, "no"));
        assert!(!failed(Some(""), "anything"));
        assert!(!failed(Some("no power"), "there is no power"));
        assert!(failed(Some("no power"), "too much power"));
    }
}
