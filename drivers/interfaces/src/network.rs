//! Connections to somewhere the device or its host can reach.

use jumpstarter::{Io, Result, commands, interface};
use url::Url;

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
    /// Print where the connection leads: `HOST:PORT`, or one of the two.
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
        Ok(match (place(&address), host, port) {
            (Some((name, _)), true, false) => name.trim_matches(['[', ']']).to_owned(),
            (Some((_, Some(number))), false, true) => number.to_string(),
            (Some((name, Some(number))), ..) => format!("{name}:{number}"),
            (Some((name, None)), ..) => name,
            (None, ..) => address.split_once("://").map_or(address.clone(), |(_, place)| place.to_owned()),
        })
    }
}

/// Host and port of an address. What else is in it, such as a password or a query, is nobody's business.
fn place(address: &str) -> Option<(String, Option<u16>)> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some((host.to_owned(), url.port_or_known_default()))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn the_place_is_found_in_addresses_of_every_kind() {
        for (address, host, port) in [
            ("tcp://192.0.2.7:22", "192.0.2.7", Some(22)),
            ("udp://[2001:db8::7]:53", "[2001:db8::7]", Some(53)),
            ("tcp://some_host.example:1", "some_host.example", Some(1)),
            ("ws://host.example/a:b?token=x:9", "host.example", Some(80)),
            ("wss://user:secret@host.example/path", "host.example", Some(443)),
            ("wss://host.example:8443/?a=b://c:1", "host.example", Some(8443)),
            ("rack://host", "host", None),
        ] {
            assert_eq!(place(address), Some((host.to_owned(), port)), "{address}");
        }
        assert_eq!(place("not an address"), None);
    }
}
