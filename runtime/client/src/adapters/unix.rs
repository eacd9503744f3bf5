//! A device's byte stream as a local unix socket.

use std::{
    io,
    path::{Path, PathBuf},
};

use jumpstarter_core::{Context as _, Result};
use jumpstarter_transport::socket::RuntimeDirectory;
use tokio::net::{UnixListener, UnixStream};

use super::forward::{Failure, Forward, Listen};
use crate::Device;

/// Name of the socket, where nobody has chosen one.
const SOCKET: &str = "socket";

/// A local unix socket, each connection to which gets a byte stream of its own. Dropping it removes the socket.
#[derive(Debug)]
pub struct UnixForward {
    forward: Forward,
    path: PathBuf,
    /// The directory, where it is ours; otherwise the socket alone is.
    directory: Option<RuntimeDirectory>,
}

struct Unix(UnixListener);

impl Listen for Unix {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, String)> {
        // Peers have no names worth showing.
        Ok((self.0.accept().await?.0, String::new()))
    }

    fn break_off(connection: UnixStream) {
        // There is no reset on unix sockets.
        drop(connection);
    }
}

impl UnixForward {
    /// Listens on a new socket at `path`, and opens the device's stream `method` for each connection.
    ///
    /// # Errors
    /// When the socket cannot be made, for example because there is something at `path`.
    pub fn bind(device: &Device, method: &str, path: &Path) -> Result<Self> {
        let listener =
            UnixListener::bind(path).context(format_args!("cannot listen on {}", path.display()))?;
        let forward = Forward::start(Unix(listener), device.clone(), method.to_owned());
        Ok(Self { forward, path: path.to_owned(), directory: None })
    }

    /// Listens on a socket in a new directory that only this user can enter, for the stream `connect`.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn local(device: &Device) -> Result<Self> {
        let directory = RuntimeDirectory::create()?;
        let (listener, path) = directory.listen(SOCKET)?;
        let forward = Forward::start(Unix(listener), device.clone(), "connect".to_owned());
        Ok(Self { forward, path, directory: Some(directory) })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection that failed, see [`TcpForward::failure`](super::TcpForward::failure).
    pub async fn failure(&mut self) -> Option<Failure> {
        self.forward.failure().await
    }
}

impl Drop for UnixForward {
    fn drop(&mut self) {
        // A directory of ours removes itself.
        if self.directory.is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
