//! A serial port whose output is its input.

use std::time::Duration;

use jumpstarter::{Driver, Error, Io, Open, Result, config, driver, task::spawn, time::sleep};
use jumpstarter_interfaces::Serial;

/// The address of a port that leads back to itself.
const LOOP: &str = "loop://";

/// Upstream's keys, as far as the recorded configurations use them.
#[config]
pub struct LoopSerialConfig {
    /// The port: `loop://`, or a device that is not there.
    pub url: String,
    /// Symbols per second; a loop has no use for it.
    #[default = 115_200]
    pub baudrate: u32,
    /// Characters per second, for devices that lose input that comes faster.
    pub cps: Option<f64>,
    /// Whether the port has to be there at the start.
    #[default = true]
    pub check_present: bool,
}

/// A serial port that answers with what it is sent.
#[driver(
    type = "test-serial",
    provides(Serial),
    config = LoopSerialConfig,
    aliases("jumpstarter_driver_pyserial.driver.PySerial")
)]
pub struct LoopSerial {
    config: LoopSerialConfig,
}

impl Driver for LoopSerial {
    async fn open(config: LoopSerialConfig, _: &mut Open) -> Result<Self> {
        if config.check_present && config.url != LOOP {
            return Err(absent(&config.url));
        }
        Ok(Self { config })
    }
}

impl LoopSerial {
    /// How long each character takes, where that is limited.
    fn pace(&self) -> Result<Option<Duration>> {
        let pace = self.config.cps.map(|cps| Duration::try_from_secs_f64(cps.recip()));
        pace.transpose().map_err(|_| Error::configuration("`cps` has to be a number above 0"))
    }
}

fn absent(url: &str) -> Error {
    Error::configuration(format!("there is no port {url}: this driver only knows `{LOOP}`"))
}

impl Serial for LoopSerial {
    async fn connect(&self) -> Result<Io> {
        if self.config.url != LOOP {
            return Err(absent(&self.config.url));
        }
        let pace = self.pace()?;
        let (near, mut far) = Io::pair();
        spawn(async move {
            // An error means that the caller is gone, and nobody is left to hear about it.
            while let Ok(Some(piece)) = far.recv().await {
                if let Some(pace) = pace {
                    sleep(pace.saturating_mul(u32::try_from(piece.len()).unwrap_or(u32::MAX))).await;
                }
                if far.send(piece).await.is_err() {
                    return;
                }
            }
            let _ = far.finish().await;
        });
        Ok(near)
    }
}
