//! `jmp config exporter`.

use std::path::PathBuf;

use clap::{Arg, Command};
use jumpstarter_core::config::Problems;
use jumpstarter_exporter::plan;

use crate::{
    commands::Invocation,
    files::{self, Named},
    output::{self, Format},
    report::{FAILURE, Outcome, Stop},
};

pub(crate) const ABOUT: &str = "Check exporter files without touching any hardware";

pub(crate) fn arguments(command: Command) -> Command {
    command.arg(output::option(&["json", "yaml"])).arg(
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
}

pub(crate) fn check(invocation: &Invocation<'_>) -> Outcome {
    let registry = invocation.program.registry();
    let words = invocation.matches.get_many::<String>("file").unwrap_or_default();
    let mut checked = Vec::new();
    for path in words.map(|word| expand(word)).collect::<Result<Vec<_>, _>>()?.concat() {
        let Named { name, text } = files::read(&path)?;
        let problems = match plan::check(&name, &text, &registry, files::environment) {
            Ok(plan) => plan.warnings,
            Err(problems) => problems,
        };
        checked.push(Checked { file: name, ok: !problems.has_errors(), problems });
    }
    match Format::of(invocation.matches) {
        Format::Json => output::json(&checked)?,
        Format::Yaml => output::yaml(&checked)?,
        Format::Table | Format::Name => {
            for file in &checked {
                if file.problems.is_empty() {
                    output::line(&format!("{}: ok", file.file))?;
                } else {
                    output::line(file.problems.render().trim_end())?;
                }
            }
        }
    }
    Ok(if checked.iter().all(|file| file.ok) { 0 } else { FAILURE })
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
