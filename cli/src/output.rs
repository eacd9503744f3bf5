//! Results on standard output. Nothing is cut or wrapped, and a reader that went away ends the program quietly.

use std::io::{self, Write as _};

use clap::{Arg, ArgMatches};
use serde::Serialize;

use crate::report::Stop;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// JSON, four blanks deep.
    Json,
    /// YAML.
    Yaml,
    /// One name per line.
    Name,
}

/// `-o`, with what the command offers.
pub(crate) fn option(formats: &'static [&'static str]) -> Arg {
    crate::words::choice("output", formats, "Print for machines instead of people").short('o')
}

impl Format {
    /// What was asked for.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        match matches.get_one::<String>("output").map(|text| text.to_ascii_lowercase()).as_deref() {
            Some("json") => Self::Json,
            Some("yaml") => Self::Yaml,
            Some("name") => Self::Name,
            _ => Self::Table,
        }
    }
}

/// Prints text as it is.
pub(crate) fn text(text: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints one line, at once.
pub(crate) fn line(line: &str) -> Result<(), Stop> {
    text(&format!("{line}\n"))
}

/// Prints lines.
pub(crate) fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> Result<(), Stop> {
    text(&lines.flat_map(|line| [line, "\n"]).collect::<String>())
}

/// Says something to whoever sits there, on standard error. Where nobody reads, nobody needs to be told.
#[cfg(feature = "lab")]
pub(crate) fn notice(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Stop> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).map_err(|error| Stop::failed(format!("printing JSON: {error}")))?;
    line(&String::from_utf8_lossy(&out))
}

/// Prints YAML.
pub(crate) fn yaml(value: &impl Serialize) -> Result<(), Stop> {
    let out =
        serde_yaml::to_string(value).map_err(|error| Stop::failed(format!("printing YAML: {error}")))?;
    line(&out)
}

/// Prints a table: no borders, two blanks between columns.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> Result<(), Stop> {
    let rows: Vec<_> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(&cells.join("  "));
        out.push('\n');
    }
    text(&out)
}
