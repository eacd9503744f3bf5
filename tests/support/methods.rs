//! Which method of which driver works between whom: recorded while a test calls it, and compared with the table in
//! `docs/compatibility.md`.
//!
//! A family's test calls every method twice: from the unmodified Python client on our exporter, and from our client on the
//! unmodified Python exporter. What it saw is what the page says; `JUMPSTARTER_UPDATE_DOCS=1` writes the page.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::python::{Python, scripts};

/// Set to `1`, this writes the tables instead of comparing them.
pub const UPDATE: &str = "JUMPSTARTER_UPDATE_DOCS";

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// The unmodified Python client, our exporter.
    PythonOnOurs,
    /// Our client, the unmodified Python exporter.
    OursOnPython,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Works,
    /// It is different on purpose, or the other side cannot do it; in words.
    Otherwise(String),
}

#[derive(Debug)]
struct Row {
    driver: String,
    method: String,
    python_on_ours: Option<Seen>,
    ours_on_python: Option<Seen>,
}

/// The results of one family.
#[derive(Debug)]
pub struct Methods {
    family: &'static str,
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Methods {
    /// Nothing called yet. The family's name is that of its markers in the page, `<!-- methods FAMILY: begin -->`.
    pub fn new(family: &'static str) -> Self {
        Self { family, rows: Vec::new(), failures: Vec::new() }
    }

    /// A call that has to work, and whether it did.
    pub fn works<T, E: std::fmt::Display>(
        &mut self,
        pair: Pair,
        driver: &str,
        method: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.put(pair, driver, method, Seen::Works);
                Some(value)
            }
            Err(error) => {
                self.failures.push(format!("{driver}.{method} ({pair:?}): {error}"));
                None
            }
        }
    }

    /// A call with an outcome of its own, which the test has checked: `why` is what the page says.
    pub fn otherwise(&mut self, pair: Pair, driver: &str, method: &str, why: &str) {
        self.put(pair, driver, method, Seen::Otherwise(why.to_owned()));
    }

    fn put(&mut self, pair: Pair, driver: &str, method: &str, seen: Seen) {
        let known = self.rows.iter().position(|row| row.driver == driver && row.method == method);
        let index = known.unwrap_or_else(|| {
            self.rows.push(Row {
                driver: driver.to_owned(),
                method: method.to_owned(),
                python_on_ours: None,
                ours_on_python: None,
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        let place = match pair {
            Pair::PythonOnOurs => &mut row.python_on_ours,
            Pair::OursOnPython => &mut row.ours_on_python,
        };
        if place.replace(seen).is_some() {
            self.failures.push(format!("{driver}.{method} ({pair:?}) was recorded twice"));
        }
    }

    fn table(&mut self) -> String {
        let mut table = String::from(
            "| Driver | Method | Python client, our exporter | our client, Python exporter |\n| --- | --- | --- | --- |\n",
        );
        for row in &self.rows {
            let mut cell = |seen: &Option<Seen>, pair| match seen {
                Some(Seen::Works) => "works".to_owned(),
                Some(Seen::Otherwise(why)) => why.replace('|', "\\|"),
                None => {
                    self.failures.push(format!("{}.{} ({pair:?}) was not called", row.driver, row.method));
                    String::new()
                }
            };
            let left = cell(&row.python_on_ours, Pair::PythonOnOurs);
            let right = cell(&row.ours_on_python, Pair::OursOnPython);
            writeln!(table, "| `{}` | `{}` | {left} | {right} |", row.driver, row.method).expect("a string");
        }
        table
    }

    /// Everything that the drivers of these modules of the unmodified packages offer has a row: each method that a driver
    /// exports, and of each client class every method that it calls and every command. `drivers` are the classes with the
    /// names that the table has for them, `package.driver.Class`.
    ///
    /// # Panics
    ///
    /// When the packages cannot be looked at.
    pub fn covers(&mut self, python: &Python, drivers: &[(&str, &str)]) {
        let mut modules: Vec<_> = drivers
            .iter()
            .filter_map(|(class, _)| class.rsplit_once('.'))
            .map(|(module, _)| module)
            .collect();
        modules.dedup();
        let mut command = python.command("python");
        command.arg(scripts().join("surface.py")).args(modules).stdin(Stdio::null());
        let output = command.output().expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let surface = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!surface.is_empty(), "{drivers:?} offer nothing");
        let lines = surface.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let lines: Vec<[&str; 4]> =
            lines.map(|words| words.try_into().expect("a driver, a kind, a name and a client")).collect();
        let shown = |class: &str| drivers.iter().find(|(known, _)| *known == class).map(|(_, name)| *name);
        for [class, kind, name, client] in &lines {
            let Some(driver) = shown(class) else {
                self.failures.push(format!("{class} has no name in the table"));
                continue;
            };
            let there = if *kind == "export" {
                self.has_method(driver, name)
            } else {
                // What a client class does is the same with each of its drivers.
                let mut alike =
                    lines.iter().filter(|line| line[3] == *client).filter_map(|line| shown(line[0]));
                alike.any(|driver| {
                    if *kind == "call" {
                        self.has_method(driver, name)
                    } else {
                        self.has_command(driver, name)
                    }
                })
            };
            let what = format!("{driver} has no row for the {kind} `{name}` of {class}");
            if !there && !self.failures.contains(&what) {
                self.failures.push(what);
            }
        }
    }

    /// A row may say more about what was called, in parentheses.
    fn has_method(&self, driver: &str, name: &str) -> bool {
        let is = |row: &Row| {
            row.method.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
        };
        self.rows.iter().any(|row| row.driver == driver && is(row))
    }

    /// A row may be about several commands.
    fn has_command(&self, driver: &str, name: &str) -> bool {
        let is = |row: &Row| {
            row.method.strip_prefix("j ").is_some_and(|rest| rest.split([' ', ',']).any(|word| word == name))
        };
        self.rows.iter().any(|row| row.driver == driver && is(row))
    }

    /// Every method was called both ways, each had its outcome, and the page says so.
    ///
    /// # Panics
    ///
    /// When one of these is not so; all of them are named.
    pub fn finish(mut self) {
        let table = self.table();
        assert!(self.failures.is_empty(), "{}:\n{}", self.family, self.failures.join("\n"));
        let text = fs::read_to_string(page()).expect("docs/compatibility.md");
        let begin = format!("<!-- methods {}: begin -->\n", self.family);
        let end = format!("<!-- methods {}: end -->\n", self.family);
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("the page has no {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the page has no {end}"));
        let fresh = format!("{before}{begin}\n{table}\n{end}{after}");
        if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
            fs::write(page(), fresh).expect("a writable page");
        } else {
            assert!(
                text == fresh,
                "the table of {} in docs/compatibility.md is old: run this test once with {UPDATE}=1. Seen:\n{table}",
                self.family
            );
        }
    }
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_covers_what_it_names_and_nothing_that_only_begins_like_it() {
        let mut methods = Methods::new("none");
        methods.otherwise(Pair::PythonOnOurs, "port", "connect (loop://)", "");
        methods.otherwise(Pair::PythonOnOurs, "port", "j flash -t, dump --target", "");
        assert!(methods.has_method("port", "connect") && !methods.has_method("port", "conn"));
        assert!(methods.has_command("port", "flash") && methods.has_command("port", "dump"));
        assert!(!methods.has_command("port", "fla") && !methods.has_method("other", "connect"));
    }

    #[test]
    fn a_driver_without_rows_fails_for_each_method_that_it_has_upstream() {
        let Some(python) = crate::python::python() else { return };
        let mut methods = Methods::new("none");
        for method in ["on", "off", "read", "j on, off, cycle, read"] {
            methods.otherwise(Pair::PythonOnOurs, "mock", method, "");
        }
        methods.covers(
            &python,
            &[
                ("jumpstarter_driver_power.driver.MockPower", "mock"),
                ("jumpstarter_driver_power.driver.SyncMockPower", "sync"),
            ],
        );
        let missing = |kind: &str, name: &str, class: &str, driver: &str| {
            format!("{driver} has no row for the {kind} `{name}` of jumpstarter_driver_power.driver.{class}")
        };
        let wanted = [
            missing("call", "rescue", "MockPower", "mock"),
            missing("export", "off", "SyncMockPower", "sync"),
            missing("export", "on", "SyncMockPower", "sync"),
            missing("export", "read", "SyncMockPower", "sync"),
            missing("call", "rescue", "SyncMockPower", "sync"),
        ];
        assert_eq!(methods.failures, wanted);
        methods.covers(&python, &[("jumpstarter_driver_power.driver.MockPower", "mock")]);
        let unnamed = "jumpstarter_driver_power.driver.SyncMockPower has no name in the table";
        assert!(methods.failures.iter().any(|failure| failure == unnamed), "{:?}", methods.failures);
    }
}
