//! A device's message stream as a local UDP port.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use jumpstarter_core::{Context as _, Result};
use tokio::{
    net::{ToSocketAddrs, UdpSocket},
    sync::{Notify, mpsc},
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::forward::{ACCEPT_PAUSE, CONNECTIONS, FAILURES, Failure, told};
use crate::Device;

/// After how much silence a conversation is over: no sooner than address translators forget one (RFC 4787, REQ-5).
pub const IDLE: Duration = Duration::from_mins(2);

/// How many datagrams of one source wait for the device. Further ones are lost, as in any network.
const QUEUE: usize = 64;

/// Room for the largest datagram: the length field of UDP has 16 bits (RFC 768).
const LARGEST: usize = 65_536;

/// A local UDP port. Each source of datagrams gets a stream of its own, and what the device answers there goes back to that
/// source. Dropping it closes the port and the streams.
///
/// Nothing announces the end of datagrams: a stream is over after some time of silence in both directions, or when another
/// source needs its place.
#[derive(Debug)]
pub struct UdpForward {
    address: SocketAddr,
    failures: mpsc::Receiver<Failure>,
    _task: AbortOnDropHandle<()>,
}

impl UdpForward {
    /// Listens, and opens the device's stream `method` (most call it `connect`) for each source. Port 0 is any free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(device: &Device, method: &str, address: impl ToSocketAddrs) -> Result<Self> {
        Self::bind_with(device, method, address, IDLE).await
    }

    /// Like [`bind`](Self::bind), with another time of silence after which a conversation is over.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind_with(
        device: &Device,
        method: &str,
        address: impl ToSocketAddrs,
        idle: Duration,
    ) -> Result<Self> {
        let socket = UdpSocket::bind(address).await.context("cannot listen for datagrams to forward")?;
        let address = socket.local_addr()?;
        let (report, failures) = mpsc::channel(FAILURES);
        let server = Server {
            socket: Arc::new(socket),
            device: device.clone(),
            method: method.to_owned(),
            idle,
            report,
            peers: HashMap::new(),
            conversations: JoinSet::new(),
        };
        let connection = device.connection().clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = server.serve() => {}
                () = connection.closed() => {}
            }
        });
        Ok(Self { address, failures, _task: AbortOnDropHandle::new(task) })
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

    /// The next conversation that failed, see [`TcpForward::failure`](super::TcpForward::failure).
    pub async fn failure(&mut self) -> Option<Failure> {
        self.failures.recv().await
    }
}

/// One source of datagrams.
struct Peer {
    queue: mpsc::Sender<Bytes>,
    used: Instant,
    task: AbortHandle,
}

struct Server {
    socket: Arc<UdpSocket>,
    device: Device,
    method: String,
    idle: Duration,
    report: mpsc::Sender<Failure>,
    peers: HashMap<SocketAddr, Peer>,
    /// Dropping the set ends them.
    conversations: JoinSet<(SocketAddr, Result<()>)>,
}

impl Server {
    async fn serve(mut self) {
        let mut buffer = vec![0; LARGEST];
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((size, from)) => self.take(from, Bytes::copy_from_slice(&buffer[..size])),
                    Err(error) => {
                        tracing::warn!(%error, "cannot receive a datagram to forward");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.conversations.join_next_with_id() => {
                    // Otherwise it was sent away for another one.
                    if let Ok((id, (peer, result))) = ended {
                        self.ended(id, peer, result);
                    }
                }
            }
        }
    }

    fn take(&mut self, from: SocketAddr, mut datagram: Bytes) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.used = Instant::now();
            match peer.queue.try_send(datagram) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    tracing::debug!(peer = %from, "a datagram was lost: the device takes them too slowly");
                    return;
                }
                // Its conversation is just ending: this is the first datagram of the next one.
                Err(mpsc::error::TrySendError::Closed(back)) => datagram = back,
            }
        }
        if self.peers.len() >= CONNECTIONS && !self.peers.contains_key(&from) {
            let silent = self.peers.iter().min_by_key(|(_, peer)| peer.used).map(|(source, _)| *source);
            if let Some(peer) = silent.and_then(|source| self.peers.remove(&source)) {
                peer.task.abort();
            }
        }
        let (queue, datagrams) = mpsc::channel(QUEUE);
        // There is room for the first one.
        let _ = queue.try_send(datagram);
        let conversation = Conversation {
            device: self.device.clone(),
            method: self.method.clone(),
            socket: self.socket.clone(),
            peer: from,
            idle: self.idle,
        };
        let task = self.conversations.spawn(async move { (from, conversation.run(datagrams).await) });
        self.peers.insert(from, Peer { queue, used: Instant::now(), task });
    }

    fn ended(&mut self, id: Id, peer: SocketAddr, result: Result<()>) {
        // Its place may have been taken by the next conversation with the same source.
        if self.peers.get(&peer).is_some_and(|known| known.task.id() == id) {
            self.peers.remove(&peer);
        }
        if let Err(error) = result {
            told(&self.device, &self.report, Failure { peer: peer.to_string(), error });
        }
    }
}

struct Conversation {
    device: Device,
    method: String,
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    idle: Duration,
}

impl Conversation {
    async fn run(self, mut datagrams: mpsc::Receiver<Bytes>) -> Result<()> {
        let (mut from_device, mut to_device) = self.device.open_stream(&self.method).await?.split();
        let alive = Notify::new();
        let up = async {
            while let Some(datagram) = datagrams.recv().await {
                alive.notify_one();
                to_device.send(datagram).await?;
            }
            Ok(())
        };
        let down = async {
            while let Some(message) = from_device.recv().await? {
                alive.notify_one();
                self.socket
                    .send_to(&message, self.peer)
                    .await
                    .context(format_args!("a message of {} bytes cannot be passed on", message.len()))?;
            }
            Ok(())
        };
        let silence = async { while timeout(self.idle, alive.notified()).await.is_ok() {} };
        let over = tokio::select! {
            over = up => over,
            over = down => over,
            () = silence => Ok(()),
        };
        if over.is_ok() {
            to_device.finish().await?;
        }
        over
    }
}
