//! `jmp config exporter check`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Arg, Command};
use jumpstarter_core::config::{Problem, Problems, Source, encoding::Text};
use jumpstarter_exporter::{Registry, local, plan};

use crate::{
    commands::Invocation,
    files,
    output::{self, Format},
    report::{FAILURE, Outcome, Stop},
    runtime,
    signals::Signals,
    words::flag,
};

pub(crate) const ABOUT: &str = "Check exporter files, without touching any hardware unless asked to

Every problem of every file is told. Ends with 0 if there are none but warnings, else with 1.";

pub(crate) fn arguments(command: Command) -> Command {
    let open = flag("open", "Also open every device, and close it again");
    command.arg(open).arg(output::option(&["json", "yaml"])).arg(
        Arg::new("file")
            .value_name("FILE")
            .num_args(1..)
            .required(true)
            .value_hint(clap::ValueHint::FilePath)
            .help(
                "Exporter files, folders of them, names of configured exporters, or `-` for standard input",
            ),
    )
}

/// The state of one file, as machines read it.
#[derive(serde::Serialize)]
struct Checked {
    file: String,
    ok: bool,
    problems: Problems,
    /// How many problems there are beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    omitted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Checked {
    fn new(file: String, problems: Problems) -> Self {
        Self { file, ok: !problems.has_errors(), omitted: problems.omitted(), problems }
    }

    /// Something that stands for no file at all.
    fn nothing(word: &str, reason: impl Into<String>) -> Self {
        let source = Arc::new(Source::new(word, ""));
        Self::new(word.to_owned(), Problem::error(reason).in_source(&source).into())
    }
}

pub(crate) fn check(invocation: &Invocation<'_>) -> Outcome {
    let registry = invocation.program.registry();
    let words = invocation.matches.get_many::<String>("file").unwrap_or_default();
    let open = invocation.flag("open");
    let mut checked = Vec::new();
    for word in words {
        match expand(word) {
            Ok(paths) => {
                for path in paths {
                    checked.push(check_file(&path, &registry, open)?);
                }
            }
            // Like any other problem: what else was asked for is checked all the same.
            Err(reason) => checked.push(Checked::nothing(word, reason)),
        }
    }
    match Format::of(invocation.matches) {
        Format::Json => output::json(&checked)?,
        Format::Yaml => output::yaml(&checked)?,
        Format::Table(_) | Format::Name => {
            for (index, file) in checked.iter().enumerate() {
                let told = |file: &Checked| !file.problems.is_empty();
                if index > 0 && (told(file) || checked.get(index - 1).is_some_and(told)) {
                    output::line("")?;
                }
                if told(file) {
                    output::line(file.problems.render().trim_end())?;
                }
                if file.problems.is_empty() {
                    output::line(&format!("{}: ok", file.file))?;
                }
            }
        }
    }
    Ok(if checked.iter().all(|file| file.ok) { 0 } else { FAILURE })
}

/// What is wrong with one file, as far as that can be told without opening anything.
pub(crate) fn problems(path: &Path, registry: &Registry) -> Problems {
    let (name, Text { text, mut problems }) = files::read_for_check(path);
    match text.map(|text| plan::check(&name, &text, registry, files::environment)) {
        Some(Ok(plan)) => problems.append(plan.warnings),
        Some(Err(found)) => problems.append(found),
        None => {}
    }
    problems
}

/// What is wrong with one file.
fn check_file(path: &Path, registry: &Registry, open: bool) -> Result<Checked, Stop> {
    let (name, Text { text, mut problems }) = files::read_for_check(path);
    let Some(text) = text else { return Ok(Checked::new(name, problems)) };
    match plan::check(&name, &text, registry, files::environment) {
        Ok(mut plan) => {
            problems.append(std::mem::take(&mut plan.warnings));
            if open && !problems.has_errors() {
                problems.append(try_to_open(plan)?);
            }
        }
        Err(found) => problems.append(found),
    }
    Ok(Checked::new(name, problems))
}

/// Opens the devices of a file and closes them again; answers what went wrong.
fn try_to_open(plan: plan::Plan) -> Result<Problems, Stop> {
    let runtime = runtime::threads()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            problems = local::open_and_close(plan) => Ok(problems),
            signal = signals.next() => Err(Stop::Signal(signal)),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// The files that one word stands for; or why it stands for none.
fn expand(word: &str) -> Result<Vec<PathBuf>, String> {
    if word.is_empty() {
        return Err(
            "no file is named: write a file, a folder of them, or the name of a configured exporter".into()
        );
    }
    let path = PathBuf::from(word);
    if path.is_dir() {
        return files::folder(&path);
    }
    let is_file = word == files::STDIN
        || word.contains('/')
        || ["yaml", "yml"].iter().any(|ending| path.extension().is_some_and(|e| e == *ending))
        || path.exists();
    if is_file {
        return Ok(vec![path]);
    }
    files::find_exporter(word).map(|path| vec![path]).map_err(|reason| format!("this exporter {reason}"))
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use jumpstarter_core::{
        Error, Result, config,
        driver::{ChildSpec, Children, DriverFactory, DriverSpec, NoConfig, Node, Prepared},
        instance::Instance,
    };

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
        let told = try_to_open(plan).unwrap().render();
        let expected = "rig.yaml: 1 problem\n\nerror: cannot be opened: the cable is gone\n   ┌ rig.yaml:3:22\n \
                        3 │ export: {rig: {type: broken}}\n   │                      ^^^^^^ export.rig";
        assert_eq!(told, expected);
    }
}
