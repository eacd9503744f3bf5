//! A field that nobody said how to send.

use jumpstarter::message;

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve;

/// A reading.
#[message]
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How it was measured.
    pub curve: Curve,
}

fn main() {
    
}
