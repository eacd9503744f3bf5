//! Today's interfaces, drivers and files against the record of the last release.

use std::{error::Error, fs, io, path::Path};

use jumpstarter_compatibility::{Accepted, Record, Report, check as compare, files};
use jumpstarter_core::schemas;

use crate::documents;

/// The record, from the root of the project.
const RELEASED: &str = "schemas/released";
/// The list of accepted breaks.
const ACCEPTED: &str = "proto/breaking.toml";

/// Everything that peers and files depend on today.
fn today() -> Result<Record, Box<dyn Error>> {
    let drivers = jumpstarter_cli::DRIVERS;
    let plain: Vec<_> =
        drivers.iter().map(|driver| *driver as &dyn jumpstarter_core::driver::DriverFactory).collect();
    let record = Record::of(&documents::interfaces(drivers), &plain)?;
    // Drivers are compared one by one.
    Ok(record
        .with_schema("exporter-config", schemas::exporter(&[]))
        .with_schema("client-config", schemas::client())
        .with_schema("lab-config", jumpstarter_lab::config::schema())
        .with_schema("user-config", schemas::user()))
}

/// The list of accepted breaks, which may be absent.
fn accepted(root: &Path) -> Result<(String, Accepted), Box<dyn Error>> {
    let text = match fs::read_to_string(root.join(ACCEPTED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| format!("{ACCEPTED}: {error}"))?,
    };
    let list = Accepted::parse(&text)?;
    Ok((text, list))
}

fn report(root: &Path, today: &Record) -> Result<Report, Box<dyn Error>> {
    let released = files::read(&root.join(RELEASED))?;
    Ok(compare(&released, today, &accepted(root)?.1)?)
}

/// Prints every change since the last release, and answers whether nothing breaks that was not accepted.
pub(crate) fn check(root: &Path) -> Result<bool, Box<dyn Error>> {
    let report = report(root, &today()?)?;
    eprint!("{report}");
    if report.failed() {
        eprintln!(
            "help: docs/changing-an-interface.md says how to change an interface or a driver without breaking anybody"
        );
    }
    Ok(!report.failed())
}

/// Records today as a release. Refuses while something breaks that nobody accepted; the accepted breaks are then part of
/// the record, and leave the list.
pub(crate) fn release(root: &Path) -> Result<bool, Box<dyn Error>> {
    let today = today()?;
    let folder = root.join(RELEASED);
    if files::exists(&folder)? {
        let report = report(root, &today)?;
        if report.failed() {
            eprint!("{report}");
            eprintln!("help: nothing was recorded; undo what breaks, or accept it with a reason");
            return Ok(false);
        }
        for (change, reason) in &report.accepted {
            println!("broken on purpose, for the changelog: {}: {reason}", change.what);
        }
    }
    for path in files::write(&folder, &today)? {
        println!("recorded {RELEASED}/{}", path.display());
    }
    let (text, list) = accepted(root)?;
    if !list.is_empty() {
        files::replace(&root.join(ACCEPTED), &Accepted::emptied(&text))?;
        println!("took {} accepted breaks off {ACCEPTED}: they are part of the record now", list.len());
    }
    Ok(true)
}
