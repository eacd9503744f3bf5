//! A device's byte stream as a local TCP port.

use std::{io, net::SocketAddr};

use jumpstarter_core::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use super::forward::{Failure, Forward, Listen};
use crate::Device;

/// A local TCP port, each connection to which gets a byte stream of its own. Dropping it closes port and connections.
#[derive(Debug)]
pub struct TcpForward {
    forward: Forward,
    address: SocketAddr,
}

struct Tcp(TcpListener);

impl Listen for Tcp {
    type Connection = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, String)> {
        let (connection, peer) = self.0.accept().await?;
        // What comes from a console is small and should not wait. A connection that is gone already will show it.
        let _ = connection.set_nodelay(true);
        Ok((connection, peer.to_string()))
    }

    fn break_off(connection: TcpStream) {
        // A reset instead of an end.
        let _ = connection.set_zero_linger();
    }
}

impl TcpForward {
    /// Listens, and opens the device's stream `method` (most call it `connect`) for each connection. Port 0 is any free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(device: &Device, method: &str, address: impl ToSocketAddrs) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.context("cannot listen for connections to forward")?;
        let address = listener.local_addr()?;
        let forward = Forward::start(Tcp(listener), device.clone(), method.to_owned());
        Ok(Self { forward, address })
    }

    /// Listens on any free port of `127.0.0.1`, for the stream `connect`.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn local(device: &Device) -> Result<Self> {
        Self::bind(device, "connect", ("127.0.0.1", 0)).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that failed. Failures that nobody asks for are kept up to a small number, and logged in any
    /// case. `None` once the device's connection was closed.
    pub async fn failure(&mut self) -> Option<Failure> {
        self.forward.failure().await
    }
}
