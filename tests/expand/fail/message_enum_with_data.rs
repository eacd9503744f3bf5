//! Variants that hold something.

use jumpstarter::message;

/// A side.
#[message]
pub enum Side {
    /// Ours.
    Host,
    /// Theirs.
    Device(u32),
}

fn main() {
    let _ = [Side::Host, Side::Device(1)];
}
