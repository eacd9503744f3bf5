//! Consoles.

use jumpstarter::{Io, Result, interface};

/// A serial console.
#[interface(name = "serial", version = 1, python = "jumpstarter_driver_pyserial.client.PySerialClient")]
pub trait Serial {
    /// Connect to the port until either side ends.
    async fn connect(&self) -> Result<Io>;
}
