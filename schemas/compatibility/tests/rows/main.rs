//! The table of `docs/changing-an-interface.md`, row by row: two versions of real interfaces and drivers, and what the
//! comparison says. `tests/mutations` has many more edits; these are the promises.

#![allow(missing_docs, dead_code, unused_variables, unreachable_pub)]

mod files;
mod interfaces;

use jumpstarter::{DriverFactory, describe::Interface};
use jumpstarter_compatibility::{Accepted, Change, Record, Report, check};

fn record(interfaces: &[&'static Interface], drivers: &[&'static dyn DriverFactory]) -> Record {
    let plain: Vec<_> = drivers.iter().map(|driver| *driver as &dyn DriverFactory).collect();
    Record::of(interfaces, &plain).expect("a record")
}

fn compared(before: &Record, after: &Record) -> Report {
    check(before, after, &Accepted::default()).expect("a comparison")
}

/// Rule and who it breaks, of everything that makes the check fail.
fn failures(report: &Report) -> Vec<(&'static str, String)> {
    report.failures().map(|change| (change.rule, change.breaks.to_string())).collect()
}

fn rules<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<&'static str> {
    changes.map(|change| change.rule).collect()
}

fn places(report: &Report) -> Vec<(&'static str, &str)> {
    report.failures().map(|change| (change.rule, change.place.as_str())).collect()
}

const BOTH: &str = "native and legacy clients";
const NATIVE: &str = "native clients";
const LEGACY: &str = "legacy clients";
const FILES: &str = "YAML files";

fn passes(report: &Report) {
    assert!(!report.failed() && report.warnings().next().is_none(), "{report}");
    assert!(report.compatible().next().is_some(), "it is listed all the same");
}
