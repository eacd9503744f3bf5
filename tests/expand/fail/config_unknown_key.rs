//! A key that nobody knows.

use jumpstarter::config;

/// A port.
#[config(crat = "harness")]
pub struct PortConfig {
    /// Bits per second.
    pub baudrate: u32,
}

fn main() {
    let _ = PortConfig { baudrate: 1 };
}
