//! `jmp config exporter`.

use std::{path::PathBuf, time::Duration};

use clap::{Arg, Command};
use jumpstarter_core::config::Problems;
use jumpstarter_exporter::{local, plan};

use crate::{
    commands::Invocation,
    files::{self, Named},
    output::{self, Format},
    report::{FAILURE, Outcome, Stop},
    runtime,
    signals::Signals,
    style::printable,
    words::flag,
};

pub(crate) const ABOUT: &str = "Check exporter files, without touching any hardware unless asked to";

pub(crate) fn arguments(command: Command) -> Command {
    let open = flag("open", "Also open every device, and close it again");
    command.arg(open).arg(output::option(&["json", "yaml"])).arg(
        Arg::new("file")
            .value_name("FILE")
            .num_args(1..)
            .required(true)
            .value_hint(clap::ValueHint::FilePath)
            .help("Exporter files, folders of them, or names of configured exporters"),
    )
}

/// The state of one file, as machines read it.
#[derive(serde::Serialize)]
struct Checked {
    file: String,
    ok: bool,
    problems: Problems,
    /// Why a device could not be opened; only if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

pub(crate) fn check(invocation: &Invocation<'_>) -> Outcome {
    let registry = invocation.program.registry();
    let words = invocation.matches.get_many::<String>("file").unwrap_or_default();
    let open = invocation.flag("open");
    let mut checked = Vec::new();
    for path in words.map(|word| expand(word)).collect::<Result<Vec<_>, _>>()?.concat() {
        let Named { name, text } = files::read(&path)?;
        let (problems, failure) = match plan::check(&name, &text, &registry, files::environment) {
            Ok(mut plan) => {
                let warnings = std::mem::take(&mut plan.warnings);
                (warnings, if open { try_to_open(plan)? } else { None })
            }
            Err(problems) => (problems, None),
        };
        let ok = !problems.has_errors() && failure.is_none();
        checked.push(Checked { file: name, ok, problems, failure });
    }
    match Format::of(invocation.matches) {
        Format::Json => output::json(&checked)?,
        Format::Yaml => output::yaml(&checked)?,
        Format::Table | Format::Name => {
            for file in &checked {
                if !file.problems.is_empty() {
                    output::line(file.problems.render().trim_end())?;
                }
                match &file.failure {
                    Some(failure) => output::line(&format!("{}: {}", file.file, printable(failure)))?,
                    None if file.problems.is_empty() => output::line(&format!("{}: ok", file.file))?,
                    None => {}
                }
            }
        }
    }
    Ok(if checked.iter().all(|file| file.ok) { 0 } else { FAILURE })
}

/// Opens the devices of a file and closes them again; answers what went wrong.
fn try_to_open(plan: plan::Plan) -> Result<Option<String>, Stop> {
    let runtime = runtime::threads()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            opened = local::open_and_close(plan) => Ok(opened),
            signal = signals.next() => Err(Stop::Signal(signal)),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(outcome?.err().map(|error| error.message().to_owned()))
}

/// The files that one word stands for.
fn expand(word: &str) -> Result<Vec<PathBuf>, Stop> {
    let path = PathBuf::from(word);
    if path.is_dir() {
        return files::folder(&path);
    }
    let is_file = word.contains('/')
        || ["yaml", "yml"].iter().any(|ending| path.extension().is_some_and(|e| e == *ending));
    if is_file || path.is_file() { Ok(vec![path]) } else { files::exporter(word).map(|path| vec![path]) }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use jumpstarter_core::{
        Error, Result, config,
        driver::{ChildSpec, Children, DriverFactory, DriverSpec, NoConfig, Node, Prepared},
        instance::Instance,
    };
    use jumpstarter_exporter::Registry;

    use super::*;

    /// A driver that cannot be opened.
    struct Broken;

    static SPEC: DriverSpec =
        DriverSpec { type_name: "broken", aliases: &[], doc: "", provides: &[], client: None, labels: &[] };

    impl DriverFactory for Broken {
        fn spec(&self) -> &'static DriverSpec {
            &SPEC
        }

        fn config_schema(&self) -> schemars::Schema {
            schemars::schema_for!(NoConfig)
        }

        fn children(&self) -> &'static [ChildSpec] {
            &[]
        }

        fn prepare(&self, _: &config::Node, _: &config::Subject) -> Result<Box<dyn Prepared>, Problems> {
            Ok(Box::new(Self))
        }
    }

    impl Prepared for Broken {
        fn open(self: Box<Self>, _: Node, _: Children) -> BoxFuture<'static, Result<Instance>> {
            Box::pin(async { Err(Error::device("the cable is gone")) })
        }
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_named_with_its_reason() {
        let registry = Registry::new(&[&[&Broken]]);
        let text =
            "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport: {rig: {type: broken}}\n";
        let plan = plan::check("rig.yaml", text, &registry, |_| None).unwrap();
        let failure = try_to_open(plan).unwrap().expect("it cannot be opened");
        assert!(failure.contains("rig") && failure.ends_with("the cable is gone"), "{failure}");
    }
}
