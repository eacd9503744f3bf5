//! A unix socket on the exporter's machine.

use std::{
    io,
    path::{Path, PathBuf},
};

use jumpstarter::{Driver, Error, ErrorKind, Io, Open, Result, config, driver};
use jumpstarter_interfaces::Network;
use tokio::net::UnixStream;

use crate::place::{Wire, within};

/// Where the socket is.
#[config]
#[derive(Clone, Debug)]
pub struct UnixNetworkConfig {
    /// Path of the socket.
    #[schemars(extend("minLength" = 1, "examples" = ["/run/device.sock"]))]
    pub path: PathBuf,
}

/// A connection to a unix socket for each caller.
///
/// The socket does not have to be there before somebody connects.
#[driver(
    type = "unix-network",
    provides(Network),
    config = UnixNetworkConfig,
    aliases("jumpstarter_driver_network.driver.UnixNetwork")
)]
#[derive(Debug)]
pub struct UnixNetwork {
    path: PathBuf,
}

impl UnixNetwork {
    /// Connects to this socket.
    ///
    /// # Errors
    /// When no socket can have that path.
    pub fn new(config: UnixNetworkConfig) -> Result<Self> {
        check(&config.path)?;
        Ok(Self { path: config.path })
    }
}

impl Driver for UnixNetwork {
    async fn open(config: UnixNetworkConfig, _: &mut Open) -> Result<Self> {
        Self::new(config)
    }
}

/// Whether a socket can have this path.
pub(crate) fn check(path: &Path) -> Result<()> {
    match std::os::unix::net::SocketAddr::from_pathname(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::configuration(format!("no socket can be at {}: {error}", path.display()))),
    }
}

/// Connects to the socket at a path.
pub(crate) async fn connect(path: &Path) -> Result<Io> {
    let place = path.display();
    let stream = within(&place, UnixStream::connect(path)).await.map_err(|error| {
        let there = std::error::Error::source(&error).is_some();
        // The same refusal comes from a file that is no socket at all.
        match error.kind() {
            ErrorKind::Absent => {
                Error::new(ErrorKind::Absent, format!("connecting to {place}: there is no such socket"))
                    .caused_by(error)
            }
            _ if there && is_no_socket(path) => {
                Error::new(error.kind(), format!("connecting to {place}: this is no socket")).caused_by(error)
            }
            _ => error,
        }
    })?;
    Ok(Io::new(Wire::new(stream, &place)))
}

fn is_no_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata: io::Result<_> = path.metadata();
    metadata.is_ok_and(|metadata| !metadata.file_type().is_socket())
}

impl Network for UnixNetwork {
    async fn connect(&self) -> Result<Io> {
        connect(&self.path).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    fn network(path: impl Into<PathBuf>) -> Result<UnixNetwork> {
        UnixNetwork::new(UnixNetworkConfig { path: path.into() })
    }

    #[test]
    fn pitfall_p4_a_path_that_no_socket_can_have_is_refused_at_the_start() {
        let error = network("/x".repeat(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().starts_with("no socket can be at /x/x"), "{error}");
    }

    #[jumpstarter::test]
    async fn what_is_wrong_with_a_socket_is_told_apart() {
        // Cargo's folder for such things, whose name may be too long for a socket.
        let folder = std::env::temp_dir().join(format!("jumpstarter-unix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let said = async |path: &Path| {
            let error = network(path).unwrap().connect().await.unwrap_err();
            (error.kind(), error.message().replace(&folder.display().to_string(), "…"))
        };
        let path = folder.join("socket");
        let text = "connecting to …/socket: there is no such socket".to_owned();
        assert_eq!(said(&path).await, (ErrorKind::Absent, text));
        drop(UnixListener::bind(&path).unwrap());
        let text =
            "connecting to …/socket: Connection refused (os error 111): nothing listens there".to_owned();
        assert_eq!(said(&path).await, (ErrorKind::Disconnected, text));
        let file = folder.join("file");
        std::fs::write(&file, "").unwrap();
        let text = "connecting to …/file: this is no socket".to_owned();
        assert_eq!(said(&file).await, (ErrorKind::Disconnected, text));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
