//! The interface that everybody meets first.

use jumpstarter::{Error, Result, Stream, interface, message};

/// Switches the supply of a device and measures it.
#[interface(name = "power", version = 1,
            python = "jumpstarter_driver_power.client.PowerClient",
            also = ["jumpstarter.interfaces.power.v1.PowerInterface"])]
pub trait Power {
    /// Switch the supply on.
    async fn on(&self) -> Result<()>;
    /// Measure for as long as the caller listens.
    async fn read(&self) -> Result<Stream<PowerReading>>;
    /// Boot the device into its rescue system, where there is one.
    async fn rescue(&self) -> Result<()> {
        Err(Error::unsupported())
    }
}

/// One measurement.
#[message]
pub struct PowerReading {
    /// Volts.
    #[unit = "V"]
    pub voltage: f64,
    /// Amperes.
    #[unit = "A"]
    pub current: f64,
}
