//! A private socket that leads to an exporter's port: for shells whose own connection is protected in a way that their
//! commands have no word for.

use std::path::Path;

use jumpstarter_core::Result;
use jumpstarter_transport::{
    connect::{Endpoint, Options, dial},
    socket::{MAIN, RuntimeDirectory},
};
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    task::{AbortHandle, JoinSet},
};

/// How many commands can be connected at a time; the next one waits.
const CONNECTIONS: usize = 256;

/// Passes on whatever comes through its socket, until it is dropped.
pub(crate) struct Tunnel {
    directory: RuntimeDirectory,
    task: AbortHandle,
}

impl Tunnel {
    /// Starts to listen. Needs a runtime.
    pub(crate) fn start(endpoint: Endpoint, options: Options) -> Result<Self> {
        let directory = RuntimeDirectory::create()?;
        let (listener, _) = directory.listen(MAIN)?;
        let task = tokio::spawn(serve(listener, endpoint, options)).abort_handle();
        Ok(Self { directory, task })
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> std::path::PathBuf {
        Path::join(self.directory.path(), MAIN)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, endpoint: Endpoint, options: Options) {
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(pass_on(stream, endpoint.clone(), options.clone()));
                }
                Err(error) => {
                    tracing::warn!("commands of this shell cannot connect any more: {error}");
                    return;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut near: UnixStream, endpoint: Endpoint, options: Options) {
    match dial(&endpoint, &options).await {
        // How a conversation ends is for those who have it.
        Ok(mut far) => drop(copy_bidirectional(&mut near, &mut far).await),
        Err(error) => tracing::warn!("{error}"),
    }
}
