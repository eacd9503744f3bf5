//! Results on standard output. Only tables on a terminal are made to fit, and a reader that went away ends the program
//! quietly.

use std::io::{self, Write as _};

use clap::{Arg, ArgMatches};
use serde::Serialize;
use serde_json::Value;

use crate::{fit, report::Stop, style, words::flag};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people, in so much room.
    Table(Room),
    /// JSON, four blanks deep.
    Json,
    /// YAML.
    Yaml,
    /// One name per line.
    Name,
}

/// How wide a table may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room(Option<usize>);

impl Room {
    /// What the terminal has; as much as is needed elsewhere, or if somebody wants that.
    fn of(matches: &ArgMatches) -> Self {
        let wide = matches.try_get_one::<bool>("wide").ok().flatten().copied().unwrap_or_default();
        Self(if wide { None } else { style::columns() })
    }
}

/// The options of a command that prints a table: `-o`, with what it offers instead, and `--wide`.
pub(crate) fn options(formats: &'static [&'static str]) -> [Arg; 2] {
    [option(formats), flag("wide", "Do not fit the table into the terminal")]
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
            _ => Self::Table(Room::of(matches)),
        }
    }
}

/// Whether this was asked for with `-o`: what only some commands offer, beside the formats of all.
pub(crate) fn asks_for(matches: &ArgMatches, format: &str) -> bool {
    matches.get_one::<String>("output").is_some_and(|asked| asked.eq_ignore_ascii_case(format))
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
pub(crate) fn notice(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Stop> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value
        .serialize(&mut serializer)
        .map_err(|error| Stop::infrastructure(format!("printing JSON: {error}")))?;
    line(&String::from_utf8_lossy(&out))
}

/// Prints YAML.
pub(crate) fn yaml(value: &impl Serialize) -> Result<(), Stop> {
    let out = serde_yaml::to_string(value)
        .map_err(|error| Stop::infrastructure(format!("printing YAML: {error}")))?;
    line(&out)
}

/// The same with all keys in the order of the alphabet, as existing clients print it.
pub(crate) fn sorted_yaml(value: &impl Serialize) -> Result<(), Stop> {
    let value = serde_json::to_value(value)
        .map_err(|error| Stop::infrastructure(format!("printing YAML: {error}")))?;
    yaml(&sorted(value))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Prints a table: no borders, two blanks between columns.
pub(crate) fn table<const N: usize>(
    titles: [&str; N],
    rows: Vec<[String; N]>,
    room: Room,
) -> Result<(), Stop> {
    let rows: Vec<_> = rows.into_iter().map(Vec::from).collect();
    text(&fit::table(&titles, &rows, room.0))
}

/// Prints rows, each with as many cells as there are titles; or that there are none.
pub(crate) fn resources(titles: &[&str], rows: &[Vec<String>], room: Room) -> Result<(), Stop> {
    if rows.is_empty() { line("No resources found.") } else { text(&fit::table(titles, rows, room.0)) }
}
