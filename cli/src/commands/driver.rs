//! `jmp driver`.

use clap::Command;
use jumpstarter_core::driver::DriverFactory;

use crate::{
    commands::Invocation,
    output::{self, Format},
    report::Outcome,
};

pub(crate) const ABOUT: &str = "List the drivers that exporter files can name";

pub(crate) fn arguments(command: Command) -> Command {
    command.args(output::options(&["json", "yaml", "name"]))
}

/// One driver, as machines read it.
#[derive(serde::Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    aliases: &'a [&'a str],
    provides: Vec<&'a str>,
    description: String,
}

impl<'a> Row<'a> {
    fn of(driver: &'static dyn DriverFactory) -> Row<'a> {
        let spec = driver.spec();
        Row {
            name: spec.type_name,
            // Files that were written for the existing implementation say it this way, and ours take it as well.
            type_name: spec.aliases.first().copied().unwrap_or(spec.type_name),
            aliases: spec.aliases,
            provides: spec.provides.iter().map(|interface| interface.name).collect(),
            description: crate::style::unwrap(spec.doc).lines().next().unwrap_or_default().to_owned(),
        }
    }
}

pub(crate) fn list(invocation: &Invocation<'_>) -> Outcome {
    let mut rows: Vec<_> = invocation.program.registry().iter().map(Row::of).collect();
    rows.sort_by_key(|row| row.name);
    match Format::of(invocation.matches) {
        Format::Json => output::json(&rows)?,
        Format::Yaml => output::yaml(&rows)?,
        Format::Name => output::lines(rows.iter().map(|row| row.name))?,
        Format::Table(_) if rows.is_empty() => output::line("No drivers found.")?,
        Format::Table(room) => {
            let cells = rows
                .iter()
                .map(|row| [row.name.to_owned(), row.type_name.to_owned(), row.description.clone()]);
            output::table(["NAME", "TYPE", "DESCRIPTION"], cells.collect(), room)?;
        }
    }
    Ok(0)
}
