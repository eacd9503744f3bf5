//! Numbers that protobuf cannot have, or has twice.

use jumpstarter::message;

/// A reading.
#[message]
#[reserved(4, "old")]
pub struct Reading {
    /// Never zero.
    #[tag = 0]
    pub zero: f64,
    /// Protobuf's own.
    #[tag = 19_500]
    pub theirs: f64,
    /// Three.
    #[tag = 3]
    pub three: f64,
    /// Three again.
    #[tag = 3]
    pub again: f64,
    /// Once used.
    #[tag = 4]
    pub late: f64,
    /// Once used as well.
    pub old: f64,
}

fn main() {
    let _ = |reading: Reading| reading.clone();
}
