//! The list of accepted breaks, and the record as files.

#![allow(unreachable_pub)]

use std::{collections::BTreeSet, fs};

use jumpstarter::{DriverFactory, prelude::*};
use jumpstarter_compatibility::{Accepted, Record, Report, check, files};

mod before {
    use jumpstarter::prelude::*;

    /// Before.
    #[interface(name = "lamp", version = 1, package = "example")]
    pub trait Lamp {
        /// Shine.
        async fn shine(
            &self,
            level: f64,
            colour: Option<String>,
            steps: Option<Vec<String>>,
        ) -> Result<Light>;
        /// Blink.
        async fn blink(&self) -> Result<()>;
    }

    /// What shines.
    #[message]
    pub struct Light {
        /// How much.
        #[default = 0.5]
        pub level: f64,
        /// More of it.
        pub inner: Vec<Light>,
        /// A form.
        pub shape: Option<Shape>,
    }

    /// A form.
    #[message]
    pub enum Shape {
        /// Round.
        Round,
        /// Not.
        #[text = "on"]
        Square,
    }
}

mod after {
    use jumpstarter::prelude::*;

    /// After.
    #[interface(name = "lamp", version = 1, package = "example")]
    pub trait Lamp {
        /// Shine.
        async fn shine(
            &self,
            level: f64,
            steps: Option<Vec<String>>,
            colour: Option<String>,
        ) -> Result<Light>;
    }

    /// What shines.
    #[message]
    pub struct Light {
        /// What was a level.
        #[tag = 1]
        pub name: String,
        /// More of it.
        #[tag = 2]
        pub inner: Vec<Light>,
    }
}

/// How a lamp is set up.
#[config]
pub struct LampConfig {
    /// Numbers that look like something else in YAML and JSON.
    #[default = 18_446_744_073_709_551_615]
    pub most: u64,
    /// What is taken for the title of a schema.
    pub title: Option<String>,
    /// What is taken for its description.
    #[default = "on"]
    pub description: String,
}

/// A lamp.
#[driver(type = "lamp", provides(before::Lamp), config = LampConfig, open = LampDriver::new)]
pub struct LampDriver {}

impl LampDriver {
    fn new(_: LampConfig) -> Self {
        Self {}
    }
}

impl before::Lamp for LampDriver {
    async fn shine(&self, _: f64, _: Option<String>, _: Option<Vec<String>>) -> Result<before::Light> {
        Err(Error::unsupported())
    }
    async fn blink(&self) -> Result<()> {
        Ok(())
    }
}

fn released() -> Record {
    Record::of(&[&before::LAMP], &[]).expect("a record")
}

fn report(accepted: &str) -> Report {
    let today = Record::of(&[&after::LAMP], &[]).expect("a record");
    check(&released(), &today, &Accepted::parse(accepted).expect("a list")).expect("a report")
}

fn entry(rule: &str, place: &str, reason: &str) -> String {
    format!(
        "[[accept]]\nrule = \"{rule}\"\nplace = \"interfaces/example.lamp.v1/{place}\"\nreason = \"{reason}\"\n"
    )
}

#[test]
fn an_accepted_break_does_not_fail_and_is_shown_with_its_reason() {
    let all = report("");
    assert!(all.failed());
    let text: String = all
        .failures()
        .filter(|change| change.rule != "tag-reused")
        .map(|change| {
            let place = change.place.strip_prefix("interfaces/example.lamp.v1/").unwrap();
            entry(change.rule, place, "nobody has one")
        })
        .collect();
    let accepted = report(&text);
    assert_eq!(accepted.problems, Vec::<String>::new());
    let left: Vec<_> = accepted.failures().map(|change| change.rule).collect();
    assert_eq!(left, ["tag-reused"], "what corrupts silently cannot be accepted");
    assert!(
        accepted.to_string().contains("accepted: lamp.blink: the method is gone: nobody has one\n"),
        "{accepted}"
    );
}

#[test]
fn a_failure_says_what_to_write_to_accept_it() {
    let said = report("").to_string();
    let expected = "  to accept it all the same, add to proto/breaking.toml:
    [[accept]]
    rule = \"method-removed\"
    place = \"interfaces/example.lamp.v1/blink\"
    reason = \"why nobody is hurt, or why it has to be\"
";
    assert!(said.contains(expected), "{said}");
    // The suggestion is an entry, but its reason is none.
    let entry: String = expected.lines().skip(1).map(|line| line.trim_start().to_owned() + "\n").collect();
    let report = report(&entry);
    assert!(report.problems[0].contains("the reason is missing"), "{:?}", report.problems);
}

#[test]
fn the_list_stays_honest() {
    let problem = |text: &str| report(text).problems.join("\n");
    assert_eq!(
        problem(&entry("method-removed", "blink", " ")),
        "accepted break `method-removed` of interfaces/example.lamp.v1/blink: the reason is missing; say why nobody is hurt, or why it has to be"
    );
    assert_eq!(
        problem("[[accept]]\nrule = \"method-removed\"\nplace = \"interfaces/example.lamp.v1/blink\"\n"),
        problem(&entry("method-removed", "blink", ""))
    );
    assert_eq!(
        problem(&entry("method-removed", "shine", "gone for good")),
        "accepted break `method-removed` of interfaces/example.lamp.v1/shine: nothing breaks there; remove the entry"
    );
    assert_eq!(
        problem(&entry("method-remvoed", "blink", "gone for good")),
        "accepted break `method-remvoed` of interfaces/example.lamp.v1/blink: nothing breaks there; remove the entry"
    );
    assert_eq!(
        problem(&entry("method-removed", "blink", "gone").repeat(2)),
        "accepted break `method-removed` of interfaces/example.lamp.v1/blink: the entry is there twice; remove one"
    );
    assert!(
        problem(&entry("tag-reused", "Light/level", "who cares"))
            .contains("Light/level: this cannot be accepted; give it another number"),
    );
    for bad in [
        "[[accept]]\nrule = \"x\"\n",
        "[[acept]]\n",
        "[[accept]]\nrule = \"x\"\nplace = \"y\"\nwhy = \"z\"\n",
        "accept",
    ] {
        let error = Accepted::parse(bad).unwrap_err().to_string();
        assert!(error.starts_with("the list of accepted breaks cannot be read: "), "{error}");
    }
}

#[test]
fn a_release_takes_the_entries_off_and_leaves_the_words_at_the_top() {
    let text =
        "# What this is.\n#\n# Two paragraphs.\n\n[[accept]]\nrule = \"x\"\nplace = \"y\"\nreason = \"z\"\n";
    assert_eq!(Accepted::emptied(text), "# What this is.\n#\n# Two paragraphs.\n");
    assert!(Accepted::parse(&Accepted::emptied(text)).unwrap().is_empty());
    assert_eq!(Accepted::parse(text).unwrap().len(), 1);
    assert_eq!(Accepted::emptied("[[accept]]\n"), "");
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let driver: &dyn DriverFactory = LampDriver::DRIVER;
    let schema = serde_json::json!({ "type": "object", "title": "Left out", "properties": { "title": { "maximum": 1e300 } } });
    let record = Record::of(&[&before::LAMP], &[driver]).unwrap().with_schema("some-file", schema);
    let written: BTreeSet<_> =
        files::write(folder.path(), &record).unwrap().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        written,
        BTreeSet::from(
            [
                "common-config.json",
                "drivers/lamp.json",
                "interfaces/example.lamp.v1.yaml",
                "manifest.json",
                "proto/interfaces/lamp/v1/lamp.proto",
                "some-file.json"
            ]
            .map(str::to_owned)
        )
    );
    assert_eq!(files::read(folder.path()).unwrap(), record);
    assert_eq!(record.schemas["some-file"].get("title"), None, "words are not part of the record");
    let config = &record.drivers["lamp"].config;
    assert_eq!(config["properties"]["title"]["type"], serde_json::json!(["string", "null"]), "keys are");
    assert_eq!(config["properties"]["description"]["default"], "on");
    assert_eq!(config["properties"]["most"]["default"], u64::MAX);

    // What went away goes away, what stayed is not touched, and what is not ours stays.
    fs::write(folder.path().join("README.md"), "words").unwrap();
    let less = released();
    let changed: BTreeSet<_> =
        files::write(folder.path(), &less).unwrap().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        changed,
        BTreeSet::from(["drivers/lamp.json", "manifest.json", "some-file.json"].map(str::to_owned))
    );
    assert_eq!(files::read(folder.path()).unwrap(), less);
    assert!(folder.path().join("README.md").exists());
}

#[test]
fn two_interfaces_with_one_name_are_an_error() {
    let error = Record::of(&[&before::LAMP, &after::LAMP], &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "two different interfaces are called example.lamp.v1: give one of them another name or version"
    );
    assert_eq!(Record::of(&[&before::LAMP, &before::LAMP], &[]).unwrap(), released());
}

#[test]
fn a_record_that_is_missing_or_damaged_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = files::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("write one with `cargo schemas --release`"), "{error}");
    files::write(folder.path(), &released()).unwrap();
    let path = folder.path().join("interfaces/example.lamp.v1.yaml");
    let text = fs::read_to_string(&path).unwrap();
    for (find, with) in
        [("type: f64", "type: f65"), ("kind: unary", "king: unary"), ("position: 2", "position: two")]
    {
        assert!(text.contains(find), "{text}");
        fs::write(&path, text.replacen(find, with, 1)).unwrap();
        let error = files::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("example.lamp.v1.yaml: "), "{error}");
    }
}

/// What is not there cannot be compared, and would look as if it were new.
#[test]
fn a_record_with_parts_that_are_missing_changed_or_not_its_own_is_refused() {
    let driver: &dyn DriverFactory = LampDriver::DRIVER;
    let record = Record::of(&[&before::LAMP], &[driver]).unwrap();
    let written = || {
        let folder = tempfile::tempdir().unwrap();
        files::write(folder.path(), &record).unwrap();
        folder
    };
    let refused = |folder: &tempfile::TempDir| {
        assert!(files::exists(folder.path()).unwrap());
        let error = files::read(folder.path()).unwrap_err().to_string();
        let (_, error) = error.split_once(" is not as it was written: ").expect(&error);
        error.strip_suffix("; restore it from the commit of that release").expect(error).to_owned()
    };
    for path in files::print(&record).unwrap().into_keys() {
        let folder = written();
        fs::remove_file(folder.path().join(&path)).unwrap();
        assert_eq!(refused(&folder), format!("{} is missing", path.display()));
    }
    for part in ["interfaces", "drivers", "proto"] {
        let folder = written();
        fs::remove_dir_all(folder.path().join(part)).unwrap();
        assert!(refused(&folder).starts_with(&format!("{part}/")));
    }
    let folder = written();
    let path = folder.path().join("proto/interfaces/lamp/v1/lamp.proto");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace('\n', "\r\n")).unwrap();
    files::read(folder.path()).expect("other line ends are the same text");
    fs::write(&path, text.replace("double level", "float level")).unwrap();
    fs::write(folder.path().join("more.json"), "{}").unwrap();
    assert_eq!(
        refused(&folder),
        "proto/interfaces/lamp/v1/lamp.proto was changed, more.json is not part of it"
    );
}

#[test]
fn the_second_opinion_is_heard_where_the_first_one_missed_something() {
    let mut released = Record::of(&[&after::LAMP], &[]).unwrap();
    let today = released.clone();
    let proto = released.protos.get_mut("interfaces/lamp/v1/lamp.proto").unwrap();
    *proto = proto.replace("string name = 1", "string name = 1;\n  int64 lost = 9");
    let report = check(&released, &today, &Accepted::default()).unwrap();
    let said: Vec<_> = report.failures().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "breaking for native clients: example.lamp.v1: Lamp.Shine.lost: number 9 is gone, and not reserved; change it back, or raise `version`; only the comparison of `.proto` files saw it (proto-changed)"
        ]
    );
    released.protos.insert("interfaces/lamp/v1/lamp.proto".to_owned(), "syntax = ".to_owned());
    let error = check(&released, &today, &Accepted::default()).unwrap_err().to_string();
    assert!(error.starts_with("released .proto files do not compile: "), "{error}");
}

/// A break that somebody accepted, or that is reported anyway, says nothing about another one in the same interface.
#[test]
fn the_second_opinion_is_heard_beside_other_breaks_of_the_interface() {
    let mut released = released();
    let proto = released.protos.get_mut("interfaces/lamp/v1/lamp.proto").unwrap();
    assert!(proto.contains("repeated Light inner = 2"), "{proto}");
    *proto = proto.replace("repeated Light inner = 2", "int64 lost = 99;\n  repeated Light inner = 2");
    let mut today = Record::of(&[&before::LAMP], &[]).unwrap();
    let lamp = today.interfaces.get_mut("example.lamp.v1").unwrap();
    lamp.methods.retain(|method| method.export != "blink");
    let proto = today.protos.get_mut("interfaces/lamp/v1/lamp.proto").unwrap();
    let end = proto.find("  rpc Blink(").map(|at| at + proto[at..].find('\n').unwrap()).unwrap();
    proto.replace_range(proto.find("  rpc Blink(").unwrap()..end, "");
    let list = Accepted::parse(&entry("method-removed", "blink", "nobody has one")).unwrap();
    let report = check(&released, &today, &list).unwrap();
    assert_eq!(report.accepted.len(), 1, "{report}");
    let places: Vec<_> = report.failures().map(|change| (change.rule, change.place.as_str())).collect();
    assert_eq!(places, [("proto-changed", "interfaces/example.lamp.v1/Lamp.Shine.lost")], "{report}");
}
