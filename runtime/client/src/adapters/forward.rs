//! What port forwards have in common: accept, open a stream for each connection, copy both ways.

use std::{fmt, time::Duration};

use bytes::BytesMut;
use futures::future::BoxFuture;
use jumpstarter_core::{
    Error, Io, Result,
    io::{IoReader, IoWriter},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use crate::Device;

/// How many connections one forward serves at a time. The next one waits until one of them ends.
pub(crate) const CONNECTIONS: usize = 256;

/// How many failures wait to be asked for; older ones count more, because they tend to be the cause.
pub(crate) const FAILURES: usize = 16;

/// Most bytes that are read from a local connection at once.
const BUFFER: usize = 64 * 1024;

/// How many of them from one that is quiet.
const IDLE_BUFFER: usize = 4 * 1024;

/// Pause after `accept` failed for lack of something, for example file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A connection that could not be served to its end.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Who had connected, as far as that has a name.
    pub peer: String,
    /// Why it ended.
    pub error: Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.peer.is_empty() {
            write!(f, "{}", self.error)
        } else {
            write!(f, "{}: {}", self.peer, self.error)
        }
    }
}

/// Where connections come from.
pub(crate) trait Listen: Send + Sync + 'static {
    /// What it accepts.
    type Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection, and who it is.
    fn accept(&self) -> impl Future<Output = std::io::Result<(Self::Connection, String)>> + Send;

    /// Ends a connection so that its peer can tell a failure from an end.
    fn break_off(connection: Self::Connection);
}

/// A task that serves a listener until it is dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    failures: mpsc::Receiver<Failure>,
    _task: AbortOnDropHandle<()>,
}

impl Forward {
    pub(crate) fn start<L: Listen>(listener: L, device: Device, method: String) -> Self {
        let (report, failures) = mpsc::channel(FAILURES);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = serve(&listener, &device, &method, &report) => {}
                () = device.connection().closed() => {}
            }
        });
        Self { failures, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) async fn failure(&mut self) -> Option<Failure> {
        self.failures.recv().await
    }
}

async fn serve<L: Listen>(listener: &L, device: &Device, method: &str, report: &mpsc::Sender<Failure>) {
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((connection, peer)) => {
                    let (device, method, report) = (device.clone(), method.to_owned(), report.clone());
                    connections.spawn(async move {
                        let opening: BoxFuture<'_, Result<Io>> = Box::pin(device.open_stream(&method));
                        if let Err(error) = one::<L>(connection, opening).await {
                            told(&device, &report, Failure { peer, error });
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to forward");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Tells a failure to whoever asks for them, or else to the log.
pub(crate) fn told(device: &Device, report: &mpsc::Sender<Failure>, failure: Failure) {
    if let Err(mpsc::error::TrySendError::Full(failure) | mpsc::error::TrySendError::Closed(failure)) =
        report.try_send(failure)
    {
        let Failure { peer, error } = failure;
        tracing::warn!(peer, %error, device = device.path(), "a forwarded connection has failed");
    }
}

async fn one<L: Listen>(mut connection: L::Connection, opening: BoxFuture<'_, Result<Io>>) -> Result<()> {
    let result = match opening.await {
        Ok(stream) => bridge(&mut connection, stream).await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        L::break_off(connection);
    }
    result
}

/// Copies both ways between a local connection and a device's stream, until both have ended. Each direction ends on its own.
///
/// # Errors
/// When one side breaks; the stream is then cut, so that the driver does not take it for an end.
pub async fn bridge(local: &mut (impl AsyncRead + AsyncWrite + Send + Unpin), stream: Io) -> Result<()> {
    let (from_device, to_device) = stream.split();
    let (from_local, to_local) = tokio::io::split(local);
    // The first failure ends both directions.
    tokio::try_join!(up(from_local, to_device), down(from_device, to_local))?;
    Ok(())
}

async fn up(mut local: impl AsyncRead + Unpin, mut device: IoWriter) -> Result<IoWriter> {
    let mut buffer = BytesMut::new();
    let mut room = IDLE_BUFFER;
    loop {
        buffer.reserve(room);
        let offered = buffer.capacity();
        let count = local.read_buf(&mut buffer).await?;
        if count == 0 {
            break;
        }
        // Whoever fills the buffer gets a larger one, and the other way round: a quiet connection holds little.
        room = if count == offered { (room * 4).min(BUFFER) } else { room.min(count.max(IDLE_BUFFER)) };
        device.send(buffer.split().freeze()).await?;
    }
    device.finish().await?;
    // Kept until the other direction has ended, too.
    Ok(device)
}

async fn down(mut device: IoReader, mut local: impl AsyncWrite + Unpin) -> Result<IoReader> {
    while let Some(piece) = device.recv().await? {
        local.write_all(&piece).await?;
        local.flush().await?;
    }
    local.shutdown().await.or_else(|error| match error.kind() {
        // It has closed its side already, which is how most conversations end.
        std::io::ErrorKind::NotConnected => Ok(()),
        _ => Err(error),
    })?;
    Ok(device)
}
