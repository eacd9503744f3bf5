//! `jmp config exporter edit`.

use std::{io::IsTerminal as _, path::Path, process::ExitStatus};

use jumpstarter_core::config::Problems;
use jumpstarter_process::programs;

use super::alias;
use crate::{
    commands::{Invocation, config},
    files::{self, environment},
    output, prompt,
    report::{Outcome, Signalled, Stop},
    runtime,
    signals::Signals,
};

/// Editors for whoever has said nothing, the first one that is there.
const EDITORS: [&str; 4] = ["sensible-editor", "vim", "nano", "vi"];

pub(crate) fn edit(invocation: &Invocation<'_>) -> Outcome {
    let alias = alias(invocation, "exporter")?;
    let path = files::exporter(alias)?;
    // Before somebody has typed what cannot be kept.
    std::fs::OpenOptions::new().append(true).open(&path).map_err(|error| {
        Stop::configuration(format!(
            "cannot write {}: {}; for a file of your own that hides it, copy it to {}",
            path.display(),
            files::reason(&error),
            files::own_exporters()
                .map_or_else(|_| "your own folder".to_owned(), |own| own.display().to_string())
        ))
    })?;
    let editor = editor()?;
    let registry = invocation.program.registry();
    let runtime = runtime::single()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            open(&editor, &path, &mut signals).await?;
            let problems = config::problems(&path, &registry);
            if !problems.has_errors() {
                if !problems.is_empty() {
                    output::notice(problems.render().trim_end());
                }
                return Ok(0);
            }
            if !ask_again(problems, &mut signals).await? {
                return Err(Stop::configuration(format!(
                    "{} is kept as it is, and nothing can use it until it is right",
                    path.display()
                )));
            }
        }
    });
    // Reading an answer may hold a thread for ever.
    runtime.shutdown_background();
    outcome
}

/// Shows what is wrong, and asks somebody who sits there whether to go on. Where nobody does, that is the end.
async fn ask_again(problems: Problems, signals: &mut Signals) -> Result<bool, Stop> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Stop::Problems(problems));
    }
    output::notice(problems.render().trim_end());
    tokio::select! {
        answer = tokio::task::spawn_blocking(|| prompt::yes("Open it again?")) => {
            answer.unwrap_or_else(|error| Err(Stop::infrastructure(error.to_string())))
        }
        signal = signals.next() => Err(Stop::Signal(signal)),
    }
}

/// A command line for a shell: what people write into the variables has options.
fn editor() -> Result<String, Stop> {
    let set = |name| environment(name).filter(|value| !value.trim().is_empty());
    if let Some(editor) = set("VISUAL").or_else(|| set("EDITOR")) {
        return Ok(editor);
    }
    let advice = "name one in VISUAL or EDITOR";
    if !std::io::stdin().is_terminal() {
        return Err(Stop::configuration(format!("there is no terminal for an editor: {advice}")));
    }
    let there = EDITORS.into_iter().find(|name| programs::find(name).is_some());
    there.map(str::to_owned).ok_or_else(|| Stop::configuration(format!("there is no editor: {advice}")))
}

/// Has a file edited.
async fn open(editor: &str, path: &Path, signals: &mut Signals) -> Result<(), Stop> {
    let failed = |error: std::io::Error| {
        Stop::configuration(format!("the editor `{editor}`: {}", files::reason(&error)))
    };
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(path);
    let mut child = command.spawn().map_err(failed)?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed)?,
            // The others come from keys, and are for whoever has the terminal.
            signal = signals.next() => if !matches!(signal, Signalled::Interrupt | Signalled::Quit) {
                return Err(Stop::Signal(signal));
            },
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(Stop::usage(format!("the editor `{editor}` {}; {} is as it left it", ended(status), path.display())))
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}
