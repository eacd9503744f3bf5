//! A choice of words.

use jumpstarter::message;

/// Where storage is connected to.
#[message]
pub enum Side {
    /// To the machine with the driver.
    Host,
    /// To the device.
    #[text = "dut"]
    Device,
    /// To nobody.
    #[tag = 9]
    NotConnected,
}
