//! `jmp version`.

use clap::Command;

use crate::{
    commands::Invocation,
    output::{self, Format},
    report::Outcome,
};

pub(crate) const ABOUT: &str = "Show the version";

pub(crate) fn arguments(command: Command) -> Command {
    command.arg(output::option(&["json", "yaml", "name"]))
}

/// What machines read. The first two keys are upstream's; there is no Python here.
#[derive(serde::Serialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    git: String,
    #[serde(rename = "pythonVersion")]
    python: &'static str,
    #[serde(rename = "implementation")]
    implementation: &'static str,
    #[serde(rename = "path")]
    path: String,
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    let version = Version {
        git: format!("v{}", env!("CARGO_PKG_VERSION")),
        python: "",
        implementation: "rust",
        path: path(),
    };
    match Format::of(invocation.matches) {
        Format::Json => output::json(&version)?,
        Format::Yaml => output::yaml(&version)?,
        Format::Table(_) | Format::Name => return print_line(),
    }
    Ok(0)
}

/// One line for people.
pub(crate) fn print_line() -> Outcome {
    output::line(&format!("Jumpstarter v{} from {} (Rust)", env!("CARGO_PKG_VERSION"), path()))?;
    Ok(0)
}

fn path() -> String {
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(std::path::Path::parent);
    folder.map(|folder| folder.display().to_string()).unwrap_or_default()
}
