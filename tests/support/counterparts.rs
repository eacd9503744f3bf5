//! Programs that stand for devices: SNMP agents, brokers, buses. They come from the system's packages.
//!
//! A test that needs one fails without it and says which package brings it. `JUMPSTARTER_SKIP_PROGRAMS=1` leaves these
//! tests out on purpose, and they say so.

use std::path::PathBuf;

use jumpstarter_process::programs;

/// Leaves out all tests with programs of the system.
pub const SKIP: &str = "JUMPSTARTER_SKIP_PROGRAMS";

/// A program of the system, with the Debian package that brings it. `None` when the user left these out.
///
/// # Panics
///
/// When it is not there; the message says how to get it.
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
pub fn counterpart(program: &str, package: &str) -> Option<PathBuf> {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        eprintln!("left out: {SKIP}=1 says that {program} is not here");
        return None;
    }
    // Servers of Debian lie where only root's search path leads.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let found = programs::find_in(
        folders.chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from)),
        program,
    );
    assert!(
        found.is_some(),
        "{program} is needed for this test and is not there: apt-get install {package}, or leave these tests out with {SKIP}=1"
    );
    found
}
