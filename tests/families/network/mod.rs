//! Connections: sockets, buses, WebSockets, screens.
//!
//! | Module | What it shows |
//! |---|---|
//! | `methods` | every method of every driver, both ways, with the unmodified Python implementation |
//! | `bus`, `screen` | programs of the system behind the drivers: a message bus, a VNC server in a page |
//! | `secure` | WebSockets over TLS |
//! | `forward` | local ports |
//! | `faults` | what users see when the other side refuses, resets, stops or is slow |
//! | `cycles` | what ten thousand connections leave behind |
//! | `peers` | what stands on the other side |

mod bus;
mod cycles;
mod faults;
mod forward;
mod methods;
mod peers;
mod screen;
mod secure;

use jumpstarter_client::{Device, Endpoint, Options, Security};
use jumpstarter_tests::replay::Address;

/// The devices of an exporter.
async fn connect(address: &Address) -> Device {
    let endpoint = Endpoint::parse(&address.to_string()).expect("an address");
    let mut options = Options::default();
    options.connect.security = Security::ClearText;
    Device::connect(&endpoint, &options).await.expect("an exporter")
}

/// An exporter file with these entries, each `name: {…}`.
fn file(entries: &[String]) -> String {
    let mut text = String::from(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata: {namespace: default, name: network}\nexport:\n",
    );
    for entry in entries {
        text.push_str("  ");
        text.push_str(entry);
        text.push('\n');
    }
    text
}

/// One entry: a driver of this family by upstream's class, with its configuration in YAML.
fn entry(name: &str, class: &str, config: &str) -> String {
    format!("{name}: {{type: jumpstarter_driver_network.driver.{class}, config: {{{config}}}}}")
}

/// Host and port of an address, as a configuration.
fn place(address: std::net::SocketAddr) -> String {
    format!("host: {}, port: {}", address.ip(), address.port())
}
