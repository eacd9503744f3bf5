//! One description cannot stand for many types.

use jumpstarter::message;

/// A reading.
#[message]
pub struct Reading<T> {
    /// Volts.
    pub voltage: T,
}

fn main() {
    let _ = Reading { voltage: 1 };
}
