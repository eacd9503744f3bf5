//! Connections to somewhere the device or its host can reach.

use jumpstarter::{Io, Result, commands, interface};

/// A connection that can be opened as often as wanted.
#[interface(name = "network", version = 1, python = "jumpstarter_driver_network.client.NetworkClient")]
pub trait Network {
    /// Connect until either side ends. What is sent in one piece arrives in one piece where the connection knows messages.
    #[export(framing = "messages")]
    async fn connect(&self) -> Result<Io>;
}

/// A connection whose far end has an address.
#[interface(
    name = "network-address",
    version = 1,
    python = "jumpstarter_driver_network.client.NetworkClient"
)]
pub trait NetworkAddress {
    /// Where the connection leads, for example `tcp://192.0.2.7:22`.
    async fn address(&self) -> Result<String>;
}

#[commands]
impl NetworkAddressClient {
    /// Print where the connection leads.
    #[export(replaces = "address")]
    pub async fn print_address(
        &self,
        /// Only the host.
        #[arg(long)]
        host: bool,
        /// Only the port.
        #[arg(long)]
        port: bool,
    ) -> Result<String> {
        let address = self.address().await?;
        let place = address.split_once("://").map_or(address.as_str(), |(_, place)| place);
        Ok(match place.rsplit_once(':') {
            Some((name, _)) if host && !port => name.trim_matches(['[', ']']).to_owned(),
            Some((_, number)) if port && !host => number.to_owned(),
            _ => place.to_owned(),
        })
    }
}
