//! A default of another type.

use jumpstarter::config;

/// A port.
#[config]
pub struct PortConfig {
    /// Bits per second.
    #[default = true]
    pub baudrate: u32,
}

fn main() {
    let _ = PortConfig { baudrate: 1 };
}
