//! Finds what would break somebody: today's interfaces and drivers against the record of the last release.
//!
//! ```text
//! breaking for legacy clients: power.set_limit: parameter `steps` moved from position 3 to 2; add new parameters at the end
//! ```
//!
//! A [`Record`] holds what peers and files depend on, and nothing else: no documentation, no Rust types. It is kept as
//! plain files. [`check`] compares two of them, looks at the emitted `.proto` files a second time with code that knows
//! nothing of our descriptions, and takes off what was [accepted](Accepted) with a reason.
//!
//! Anyone with interfaces or drivers of their own can do the same in a test:
//!
//! ```
//! use jumpstarter_compatibility::{Accepted, Record, check, files};
//!
//! # fn main() -> Result<(), jumpstarter_compatibility::Error> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! let today = Record::of(&[/* &CHAMBER */], &[/* drivers */])?;
//! files::write(folder, &today)?; // at a release
//! let report = check(&files::read(folder)?, &today, &Accepted::default())?;
//! assert!(!report.failed(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`record`] | what is kept of an interface and of a driver |
//! | [`files`] | the record as files |
//! | `change` | one change: who it breaks, and what to do instead |
//! | `interfaces`, `parameters`, `messages`, `types` | the rules for what travels |
//! | `drivers`, `schema` | the rules for what stands in exporter files |
//! | [`descriptors`] | the second opinion, on `.proto` texts |
//! | `agreement` | what only the second opinion sees |
//! | `accepted` | breaks that were accepted, with reasons |

#![forbid(unsafe_code)]

mod accepted;
mod agreement;
mod change;
pub mod descriptors;
mod drivers;
pub mod files;
mod interfaces;
mod messages;
mod parameters;
pub mod record;
mod schema;
mod types;

use std::fmt;

pub use accepted::Accepted;
pub use change::{Breaks, Change, Verdict};
pub use record::Record;

/// Why nothing could be compared: a file that cannot be read, a description that cannot be printed.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Every change between two records, worst first. Changes that break nobody are among them.
pub fn compare(released: &Record, today: &Record) -> Vec<Change> {
    let mut changes = change::Changes::default();
    interfaces::compare(released, today, &mut changes);
    drivers::compare(released, today, &mut changes);
    changes.finish()
}

/// What a comparison found.
#[derive(Debug)]
pub struct Report {
    /// Every change that nobody accepted, worst first.
    pub changes: Vec<Change>,
    /// Breaks that were accepted, with their reasons.
    pub accepted: Vec<(Change, String)>,
    /// Entries of the list of accepted breaks that are wrong.
    pub problems: Vec<String>,
}

/// Compares two records, in both ways, and takes off what was accepted.
pub fn check(released: &Record, today: &Record, accepted: &Accepted) -> Result<Report, Error> {
    let mut changes = compare(released, today);
    let second = descriptors::compare(&released.protos, &today.protos)?;
    changes.extend(agreement::missed(released, &changes, second));
    let (changes, accepted, problems) = accepted.take_off(changes);
    Ok(Report { changes, accepted, problems })
}

impl Report {
    /// Whether something breaks that nobody accepted, or an entry of the list is wrong.
    pub fn failed(&self) -> bool {
        !self.problems.is_empty() || self.failures().next().is_some()
    }

    /// The changes that make it fail.
    pub fn failures(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict >= Verdict::Breaking)
    }

    /// The changes that people should know of, and that do not make it fail.
    pub fn warnings(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict == Verdict::Warning)
    }

    /// The changes that break nobody.
    pub fn compatible(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict == Verdict::Compatible)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in self.failures() {
            writeln!(f, "{change}")?;
            if change.verdict == Verdict::Breaking {
                writeln!(f, "{}", change.entry())?;
            }
        }
        for problem in &self.problems {
            writeln!(f, "error: {problem}")?;
        }
        for change in self.warnings() {
            writeln!(f, "{change}")?;
        }
        for (change, reason) in &self.accepted {
            writeln!(f, "accepted: {}: {reason}", change.what)?;
        }
        for change in self.compatible() {
            writeln!(f, "{change}")?;
        }
        Ok(())
    }
}
