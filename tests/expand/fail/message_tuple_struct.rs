//! Parts without names.

use jumpstarter::message;

/// A range.
#[message]
pub struct Range(pub f64, pub f64);

fn main() {
    let _ = Range(1.0, 2.0);
}
