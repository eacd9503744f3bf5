//! A configuration.

use jumpstarter::{Delay, config};

/// A serial port.
#[config]
pub struct SerialConfig {
    /// Device file.
    pub url: String,
    /// Bits per second.
    #[default = 115_200]
    #[alias("baud", "speed")]
    pub baudrate: u32,
    /// Wait before the first byte.
    #[default = "500ms"]
    pub settle: Delay,
    /// Flow control.
    #[default = Control::None]
    pub control: Control,
    /// Send at most this many characters per second.
    pub cps: Option<f64>,
}

/// Flow control.
#[config]
pub enum Control {
    /// Nobody stops anybody.
    None,
    /// RTS and CTS.
    #[alias("rtscts")]
    Hardware,
}
