//! Drivers for connections.
//!
//! | `type:` | Where it leads |
//! |---|---|
//! | `echo-network` | [`EchoNetwork`]: back to the caller |
//! | `tcp-network` | [`TcpNetwork`]: a TCP port that the exporter can reach |
//! | `udp-network` | [`UdpNetwork`]: a UDP port; one message is one datagram |
//! | `unix-network` | [`UnixNetwork`]: a unix socket on the exporter's machine |
//! | `vsock-network` | [`VsockNetwork`]: a virtual machine on the exporter's machine |
//! | `dbus-network` | [`DbusNetwork`]: the system's or the session's message bus |
//! | `websocket-network` | [`WebSocketNetwork`]: a WebSocket server; one message is one message |
//! | `vnc` | [`Vnc`]: the screen behind one of the others |
//!
//! What goes wrong is told apart: a name that cannot be resolved, a port where nothing listens, a peer that does not answer,
//! and a connection that was reset have messages, and natively kinds, of their own. An end that a peer has announced is an
//! end; everything else is an error for whoever reads.

#![forbid(unsafe_code)]

mod dbus;
mod echo;
mod place;
mod tcp;
mod udp;
mod unix;
mod vnc;
mod vsock;
mod websocket;

use jumpstarter::DriverFactory;

pub use dbus::{Bus, DbusNetwork, DbusNetworkConfig};
pub use echo::EchoNetwork;
pub use tcp::{TcpNetwork, TcpNetworkConfig};
pub use udp::{UdpNetwork, UdpNetworkConfig};
pub use unix::{UnixNetwork, UnixNetworkConfig};
pub use vnc::{Screen, Vnc, VncConfig};
pub use vsock::{VsockNetwork, VsockNetworkConfig};
pub use websocket::{WebSocketNetwork, WebSocketNetworkConfig};

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[
    EchoNetwork::DRIVER,
    TcpNetwork::DRIVER,
    UdpNetwork::DRIVER,
    UnixNetwork::DRIVER,
    VsockNetwork::DRIVER,
    DbusNetwork::DRIVER,
    WebSocketNetwork::DRIVER,
    Vnc::DRIVER,
];
