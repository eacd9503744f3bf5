//! Drivers for connections.
//!
//! | `type:` | Where it leads |
//! |---|---|
//! | `echo-network` | [`EchoNetwork`]: back to the caller |
//! | `tcp-network` | [`TcpNetwork`]: a TCP port that the exporter can reach |

#![forbid(unsafe_code)]

mod echo;
mod tcp;

use jumpstarter::DriverFactory;

pub use echo::EchoNetwork;
pub use tcp::{TcpNetwork, TcpNetworkConfig};

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[EchoNetwork::DRIVER, TcpNetwork::DRIVER];
