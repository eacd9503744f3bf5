//! TLS in front of the MQTT client. The client's own TLS would bring a second set of cryptography into the program, so it
//! talks to a private socket, and what comes there goes on to the broker through ours.

use std::sync::{Arc, Mutex, PoisonError};

use jumpstarter::{Context as _, Error, Result, io::copy_bidirectional, task};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;

use crate::tls;

/// A socket that leads to a broker, gone with this value.
pub(super) struct Relay {
    folder: TempDir,
    failure: Arc<Mutex<Option<String>>>,
    task: task::AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Broker {
    host: String,
    port: u16,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl Relay {
    /// Listens on a socket in a folder that only this user can enter.
    pub(super) fn start(host: &str, port: u16) -> Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Error::configuration(format!("`host`: {host:?} is neither the name nor the address of a broker"))
        })?;
        let connector = TlsConnector::from(Arc::new(tls::config()?));
        let broker = Arc::new(Broker { host: host.to_owned(), port, name, connector });
        let folder =
            tempfile::Builder::new().prefix("jumpstarter-").tempdir().context("preparing a socket")?;
        let listener = UnixListener::bind(folder.path().join("mqtt")).context("preparing a socket")?;
        let failure = Arc::new(Mutex::new(None));
        let task = task::spawn(serve(listener, broker, failure.clone())).abort_handle();
        Ok(Self { folder, failure, task })
    }

    /// The socket.
    pub(super) fn path(&self) -> String {
        self.folder.path().join("mqtt").display().to_string()
    }

    /// Why the last connection could not be made, if it could not.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client has one connection at a time: a new one replaces what is left of the one before.
async fn serve(listener: UnixListener, broker: Arc<Broker>, failure: Arc<Mutex<Option<String>>>) {
    let mut connections = task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.abort_all();
        let (broker, failure) = (broker.clone(), failure.clone());
        connections.spawn(async move {
            let outcome = broker.serve(client).await;
            *failure.lock().unwrap_or_else(PoisonError::into_inner) =
                outcome.err().map(|error| error.message().to_owned());
        });
    }
}

impl Broker {
    /// An error says why there was no connection; one that ends later says so to the client itself.
    async fn serve(&self, mut client: UnixStream) -> Result<()> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let mut stream = self.connector.connect(self.name.clone(), stream).await?;
        let _ = copy_bidirectional(&mut client, &mut stream).await;
        Ok(())
    }
}
