//! A TCP port that the exporter can reach.

use jumpstarter::{Context as _, Error, Io, Result, config, driver};
use jumpstarter_interfaces::{Network, NetworkAddress};
use tokio::net::{TcpStream, lookup_host};

/// Where to connect to.
#[config]
#[derive(Clone, Debug)]
pub struct TcpNetworkConfig {
    /// Name or address of the host.
    #[schemars(extend("examples" = ["192.0.2.7"]))]
    pub host: String,
    /// Port.
    #[schemars(extend("examples" = [22]))]
    pub port: u16,
    /// Tell clients the address, for those that can reach it directly.
    #[default = true]
    pub enable_address: bool,
}

/// A TCP connection for each caller.
#[driver(
    type = "tcp-network",
    provides(Network, NetworkAddress),
    config = TcpNetworkConfig,
    open = TcpNetwork::new,
    aliases("jumpstarter_driver_network.driver.TcpNetwork")
)]
#[derive(Debug)]
pub struct TcpNetwork {
    config: TcpNetworkConfig,
}

impl TcpNetwork {
    /// Connects to this place.
    pub fn new(config: TcpNetworkConfig) -> Self {
        Self { config }
    }

    fn place(&self) -> (&str, u16) {
        (self.config.host.as_str(), self.config.port)
    }
}

impl Network for TcpNetwork {
    async fn connect(&self) -> Result<Io> {
        let (host, port) = self.place();
        let stream =
            TcpStream::connect((host, port)).await.context(format_args!("connecting to {host}:{port}"))?;
        stream.set_nodelay(true)?;
        Ok(Io::new(stream))
    }
}

impl NetworkAddress for TcpNetwork {
    async fn address(&self) -> Result<String> {
        if !self.config.enable_address {
            return Err(Error::invalid_argument(
                "this exporter does not tell its address (`enable_address` is false)",
            ));
        }
        let (host, port) = self.place();
        // A name that does not resolve here may resolve for the caller: it is passed on as it is.
        let resolved = lookup_host((host, port)).await.ok().and_then(|mut addresses| addresses.next());
        Ok(match resolved {
            Some(address) => format!("tcp://{address}"),
            None => format!("tcp://{host}:{port}"),
        })
    }
}
