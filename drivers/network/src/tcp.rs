//! A TCP port that the exporter can reach.

use jumpstarter::{Io, Result, config, driver};
use jumpstarter_interfaces::{Network, NetworkAddress};

use crate::place::{Place, Wire, hidden};

/// Where to connect to.
#[config]
#[derive(Clone, Debug)]
pub struct TcpNetworkConfig {
    /// Name or address of the host.
    #[schemars(length(min = 1))]
    #[schemars(extend("examples" = ["192.0.2.7"]))]
    pub host: String,
    /// Port.
    #[unit = "TCP port"]
    #[schemars(extend("examples" = [22]))]
    pub port: u16,
    /// Tell clients the address, for those that can reach it directly.
    #[default = true]
    pub enable_address: bool,
}

/// A TCP connection for each caller.
///
/// Half close goes both ways. A caller that is cut off is a reset for the peer, not an end.
#[driver(
    type = "tcp-network",
    provides(Network, NetworkAddress),
    config = TcpNetworkConfig,
    open = TcpNetwork::new,
    aliases("jumpstarter_driver_network.driver.TcpNetwork")
)]
#[derive(Debug)]
pub struct TcpNetwork {
    place: Place,
    enable_address: bool,
}

impl TcpNetwork {
    /// Connects to this place.
    pub fn new(config: TcpNetworkConfig) -> Self {
        let TcpNetworkConfig { host, port, enable_address } = config;
        Self { place: Place { host, port }, enable_address }
    }
}

impl Network for TcpNetwork {
    async fn connect(&self) -> Result<Io> {
        Ok(Io::new(Wire::new(self.place.connect().await?, &self.place)))
    }
}

impl NetworkAddress for TcpNetwork {
    async fn address(&self) -> Result<String> {
        if !self.enable_address {
            return Err(hidden());
        }
        Ok(format!("tcp://{}", self.place.address().await))
    }
}
