//! Backups, and what is put in the place of a store.

use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueHint};
use jumpstarter_lab::Data;
use jumpstarter_protocol::admin::v1::BackupRequest;

use super::{connection::with, refused};
use crate::{
    commands::{Invocation, serve},
    files, output,
    report::{Outcome, Stop},
};

fn file(help: &'static str) -> Arg {
    Arg::new("file").value_name("FILE").required(true).value_hint(ValueHint::FilePath).help(help)
}

pub(crate) fn backup_arguments(command: Command) -> Command {
    command.arg(file("What to write; on the machine of the lab"))
}

pub(crate) fn restore_arguments(command: Command) -> Command {
    command.arg(file("A file that `jmp admin backup` has written"))
}

pub(crate) fn backup(invocation: &Invocation<'_>) -> Outcome {
    let file = invocation.text("file").unwrap_or_default();
    let path = std::path::absolute(file).map_err(|error| Stop::configuration(files::reason(&error)))?;
    with(invocation, async |client| {
        let path = path.display().to_string();
        client.backup(BackupRequest { path }).await.map_err(|status| refused(&status)).map(drop)
    })?;
    output::line(&format!("Backed up to {}", path.display()))?;
    Ok(0)
}

pub(crate) fn restore(invocation: &Invocation<'_>) -> Outcome {
    if invocation.group("endpoint").is_some() {
        return Err(invocation
            .place
            .wrong("A lab is restored on its own machine: name its folder with '--lab'."));
    }
    let backup = Path::new(invocation.text("file").unwrap_or_default());
    let folder = match invocation.group("lab") {
        Some(folder) => PathBuf::from(folder),
        None => serve::own()?,
    };
    let replaced = Data::restore(&folder, backup).map_err(Stop::configuration)?;
    output::line(&format!("Restored {} from {}", folder.display(), backup.display()))?;
    if let Some(old) = replaced {
        output::notice(&format!("What was there before is in {}", old.display()));
    }
    Ok(0)
}
