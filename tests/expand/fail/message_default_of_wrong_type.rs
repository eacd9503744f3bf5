//! A default of another type.

use jumpstarter::message;

/// A reading.
#[message]
pub struct Reading {
    /// Volts.
    #[default = true]
    pub voltage: f64,
}

fn main() {
    let _ = |reading: Reading| reading.clone();
}
