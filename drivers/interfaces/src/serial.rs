//! Consoles.

use jumpstarter::{Error, Io, Result, interface};

/// A serial console.
#[interface(name = "serial", version = 1, python = "jumpstarter_driver_pyserial.client.PySerialClient")]
pub trait Serial {
    /// Connect to the port until either side ends.
    async fn connect(&self) -> Result<Io>;

    /// End every connection to the port. Without one, nothing happens.
    async fn close(&self) -> Result<()> {
        Err(Error::unsupported_because("connections to this console end only by themselves"))
    }

    /// Set or clear the line DTR (data terminal ready).
    async fn set_dtr(
        &self,
        /// Whether it is set.
        value: bool,
    ) -> Result<()> {
        let _ = value;
        Err(Error::unsupported_because("this console has no line DTR"))
    }

    /// Set or clear the line RTS (request to send).
    async fn set_rts(
        &self,
        /// Whether it is set.
        value: bool,
    ) -> Result<()> {
        let _ = value;
        Err(Error::unsupported_because("this console has no line RTS"))
    }
}
