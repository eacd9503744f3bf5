//! The system's or the session's message bus.

use std::path::PathBuf;

use jumpstarter::{Driver, Error, Io, Open, Result, config, driver};
use jumpstarter_interfaces::Network;

use crate::{
    place::{Place, Wire},
    unix,
};

/// Label in the report that says which bus it is.
pub(crate) const KIND: &str = "jumpstarter.dev/dbusnetwork/kind";

/// Where the system's bus is unless the environment says otherwise (D-Bus specification, "Well-known Message Bus Instances").
const SYSTEM: &str = "unix:path=/run/dbus/system_bus_socket";

/// Which bus.
#[config]
#[derive(Clone, Debug)]
pub struct DbusNetworkConfig {
    /// The system's bus, or that of the session which the exporter runs in.
    #[schemars(extend("examples" = ["system"]))]
    pub kind: Bus,
}

/// A message bus of the exporter's machine.
#[config]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The one for the whole machine.
    System,
    /// The one of a user's session.
    Session,
}

impl Bus {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Session => "session",
        }
    }

    /// The variable that says where it is.
    fn variable(self) -> &'static str {
        match self {
            Self::System => "DBUS_SYSTEM_BUS_ADDRESS",
            Self::Session => "DBUS_SESSION_BUS_ADDRESS",
        }
    }

    fn usual(self) -> String {
        match self {
            Self::System => SYSTEM.to_owned(),
            Self::Session => format!("unix:path=/run/user/{}/bus", rustix::process::getuid().as_raw()),
        }
    }
}

/// A connection to a message bus for each caller.
///
/// Where the bus is, `DBUS_SYSTEM_BUS_ADDRESS` and `DBUS_SESSION_BUS_ADDRESS` of the exporter say. The bus takes callers for
/// the user that the exporter runs as.
#[driver(
    type = "dbus-network",
    provides(Network),
    config = DbusNetworkConfig,
    client = "jumpstarter_driver_network.client.DbusNetworkClient",
    aliases("jumpstarter_driver_network.driver.DbusNetwork")
)]
#[derive(Debug)]
pub struct DbusNetwork {
    address: Address,
}

impl Driver for DbusNetwork {
    async fn open(config: DbusNetworkConfig, cx: &mut Open) -> Result<Self> {
        let bus = config.kind;
        cx.label(KIND, bus.name());
        let (address, origin) = match std::env::var(bus.variable()) {
            Ok(address) => (address, bus.variable()),
            Err(std::env::VarError::NotPresent) => (bus.usual(), "the usual address"),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Error::configuration(format!("{} is no text", bus.variable())));
            }
        };
        let address = Address::parse(&address)
            .map_err(|why| Error::configuration(format!("{origin} is {address:?}: {why}")))?;
        Ok(Self { address })
    }
}

impl Network for DbusNetwork {
    async fn connect(&self) -> Result<Io> {
        match &self.address {
            Address::Unix(path) => unix::connect(path).await,
            Address::Tcp(place) => Ok(Io::new(Wire::new(place.connect().await?, place))),
        }
    }
}

/// Where a bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Unix(PathBuf),
    Tcp(Place),
}

impl Address {
    /// Reads a server address as the D-Bus specification writes it: `transport:key=value,key=value`. Of several, separated by
    /// semicolons, the first that can be used counts; an error tells what is wrong with the first.
    fn parse(text: &str) -> Result<Self, String> {
        let mut wrong = None;
        for address in text.split(';').filter(|address| !address.is_empty()) {
            match Self::parse_one(address) {
                Ok(address) => return Ok(address),
                Err(why) => wrong = wrong.or(Some(why)),
            }
        }
        Err(wrong.unwrap_or_else(|| "it is empty".to_owned()))
    }

    fn parse_one(text: &str) -> Result<Self, String> {
        let (transport, rest) = text
            .split_once(':')
            .ok_or("there is no colon behind the kind of connection, as in `unix:path=…`")?;
        let (mut path, mut host, mut port) = (None, None, None);
        for pair in rest.split(',') {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("there is no `=` in {pair:?}, as in `path=…`"))?;
            let place = match key {
                "path" => &mut path,
                "host" => &mut host,
                "port" => &mut port,
                _ => continue,
            };
            *place = Some(unescape(value)?);
        }
        match transport {
            "unix" => {
                let path = PathBuf::from(path.ok_or("an address that begins with `unix:` needs `path=…`")?);
                unix::check(&path).map_err(|error| error.message().to_owned())?;
                Ok(Self::Unix(path))
            }
            "tcp" => {
                let host = host.ok_or("an address that begins with `tcp:` needs `host=…`")?;
                let port = port.ok_or("an address that begins with `tcp:` needs `port=…`")?;
                let port = port.parse().map_err(|_| format!("{port:?} is no port (0 to 65535)"))?;
                Ok(Self::Tcp(Place { host, port }))
            }
            other => Err(format!("`{other}:` cannot be used, only `unix:path=…` and `tcp:host=…,port=…`")),
        }
    }
}

/// Values are percent-encoded.
fn unescape(value: &str) -> Result<String, String> {
    let wrong = || format!("{value:?} is not percent-encoded text");
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(Place { host: host.to_owned(), port })
    }

    #[test]
    fn addresses_of_buses_are_read() {
        for (text, wanted) in [
            ("unix:path=/run/dbus/system_bus_socket", Address::Unix("/run/dbus/system_bus_socket".into())),
            ("unix:path=/tmp/a%20b,guid=0123", Address::Unix("/tmp/a b".into())),
            ("tcp:host=127.0.0.1,port=4000", tcp("127.0.0.1", 4000)),
            ("tcp:host=bus.example,port=1,family=ipv4", tcp("bus.example", 1)),
            ("unix:abstract=/tmp/x;unix:path=/tmp/y", Address::Unix("/tmp/y".into())),
        ] {
            assert_eq!(Address::parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, wanted) in [
            ("", "it is empty"),
            ("unix", "there is no colon behind the kind of connection, as in `unix:path=…`"),
            ("unix:path", "there is no `=` in \"path\", as in `path=…`"),
            ("unix:abstract=/tmp/x", "an address that begins with `unix:` needs `path=…`"),
            ("tcp:port=1", "an address that begins with `tcp:` needs `host=…`"),
            ("tcp:host=a", "an address that begins with `tcp:` needs `port=…`"),
            ("tcp:host=a,port=http", "\"http\" is no port (0 to 65535)"),
            ("launchd:env=X", "`launchd:` cannot be used, only `unix:path=…` and `tcp:host=…,port=…`"),
            ("unix:path=/a%2", "\"/a%2\" is not percent-encoded text"),
        ] {
            assert_eq!(Address::parse(text), Err(wanted.to_owned()), "{text}");
        }
    }
}
