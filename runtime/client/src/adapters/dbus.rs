//! A message bus of the exporter's machine, for local programs.

use jumpstarter_core::{Error, Result};

use super::{Failure, TcpForward};
use crate::Device;

/// Label of a device that says which bus it is: `system` or `session`.
pub const KIND: &str = "jumpstarter.dev/dbusnetwork/kind";

/// The class of upstream's client for such a device.
pub const PYTHON: &str = "jumpstarter_driver_network.client.DbusNetworkClient";

/// A local port that leads to a bus, and the variable of the environment that tells D-Bus programs about it. Dropping it
/// closes the port.
///
/// ```no_run
/// # async fn example(device: jumpstarter_client::Device) -> jumpstarter_core::Result<()> {
/// use jumpstarter_client::adapters::DbusForward;
///
/// let bus = DbusForward::start(&device.find("board.bus")?).await?;
/// let (variable, address) = bus.environment();
/// let list = std::process::Command::new("busctl").arg("list").env(variable, address).spawn()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DbusForward {
    forward: TcpForward,
    variable: &'static str,
}

impl DbusForward {
    /// Listens on any free port of `127.0.0.1`.
    ///
    /// # Errors
    /// When the device is no bus, or there is no port to be had.
    pub async fn start(device: &Device) -> Result<Self> {
        let variable = match device.labels().get(KIND).map(String::as_str) {
            Some("system") => "DBUS_SYSTEM_BUS_ADDRESS",
            Some("session") => "DBUS_SESSION_BUS_ADDRESS",
            Some(other) => {
                let text = format!("{}: {other:?} is no kind of bus (system, session)", device.path());
                return Err(Error::usage(text));
            }
            None => {
                let text = format!("{} is no message bus: it has no label {KIND}", device.path());
                return Err(Error::usage(text));
            }
        };
        Ok(Self { forward: TcpForward::local(device).await?, variable })
    }

    /// The variable and its value, for programs that are to use this bus.
    pub fn environment(&self) -> (&'static str, String) {
        let address = self.forward.address();
        (self.variable, format!("tcp:host={},port={}", address.ip(), address.port()))
    }

    /// The next connection that failed, see [`TcpForward::failure`].
    pub async fn failure(&mut self) -> Option<Failure> {
        self.forward.failure().await
    }
}
