//! The screen of a device.

use jumpstarter::{Driver, Open, Result, children, config, driver};
use jumpstarter_interfaces::{NetworkClient, VncScreen};

/// How clients show it.
#[config]
#[derive(Clone, Debug)]
pub struct VncConfig {
    /// Ask the page for an encrypted connection unless the user says otherwise: for bridges behind a proxy with TLS.
    #[default = false]
    pub default_encrypt: bool,
}

/// What a screen needs.
#[children]
pub struct Screen {
    /// The connection to the VNC server.
    pub tcp: NetworkClient,
}

/// The screen behind a connection to a VNC server (RFC 6143).
///
/// Clients show it in a browser; what goes over the connection is theirs and the server's.
#[driver(
    type = "vnc",
    provides(VncScreen),
    config = VncConfig,
    children = Screen,
    aliases("jumpstarter_driver_vnc.driver.Vnc")
)]
pub struct Vnc {
    default_encrypt: bool,
}

impl Driver for Vnc {
    async fn open(config: VncConfig, _: &mut Open<Screen>) -> Result<Self> {
        Ok(Self { default_encrypt: config.default_encrypt })
    }
}

impl VncScreen for Vnc {
    async fn get_default_encrypt(&self) -> Result<bool> {
        Ok(self.default_encrypt)
    }
}
