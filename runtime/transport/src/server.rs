//! Serves gRPC on unix sockets, TCP, TLS and tunnels, all alike.
//!
//! A [`Server`] owns what it serves: connections, requests and listeners end with it. Its [`Acceptor`] can be handed to
//! whoever gets hold of connections, such as the tunnels of a lease.
//!
//! Decisions that hold for every connection:
//!
//! * it starts under the [`AuthorityAdapter`], because a tunnel can carry any client;
//! * windows are large from the start ([`STREAM_WINDOW`], [`CONNECTION_WINDOW`], [`FRAME`]);
//! * pings are answered and never counted, and nothing is sent to an idle connection;
//! * a request whose body is cut is never mistaken for one that has ended;
//! * handlers stop when their caller goes, and when the server does.
//!
//! Services find out who calls from the [`Peer`] among the request's extensions.

use std::{convert::Infallible, fmt, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use jumpstarter_core::{Error, Result};
use rustix::net::sockopt;
use rustls::ServerConfig;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::{Service, ServiceExt, util::Oneshot};

use crate::{authority::AuthorityAdapter, body::RequestBody, status::innermost, tls};

/// How many bytes a peer may send on one stream ahead of us.
pub const STREAM_WINDOW: u32 = 8 * 1024 * 1024;

/// How many bytes a peer may send on one connection ahead of us.
pub const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Largest HTTP/2 frame we take.
pub const FRAME: u32 = 1024 * 1024;

/// Largest message that services and clients should be told to decode; the default of 4 MiB is too little for some.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// How many bytes of one response may wait for the connection.
const SEND_BUFFER: usize = 1024 * 1024;

/// How many calls one connection may have at a time. Dangling streams of Python clients count.
const MAX_STREAMS: u32 = 16 * 1024;

/// How many calls may be cancelled before we have looked at them. Many small clients share a tunnel.
const MAX_PENDING_RESETS: usize = 4 * 1024;

/// How many bytes of request headers we take.
const MAX_HEADERS: u32 = 64 * 1024;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Pause after `accept` failed for lack of something, for example file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long handlers may take to notice that their connection is gone.
const DROP: Duration = Duration::from_secs(1);

/// Idle time after which the kernel asks whether a TCP peer is still there. Costs us nothing.
const TCP_KEEPALIVE: Duration = Duration::from_mins(1);

/// Who is at the other end of a connection. In the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// A process on this machine.
    Unix {
        /// Its process id, where the system tells.
        pid: Option<i32>,
        /// Its user id, where the system tells.
        uid: Option<u32>,
    },
    /// A TCP address, with or without TLS.
    Tcp(SocketAddr),
    /// Somebody at the far end of a tunnel, or of a connection in memory.
    Tunnel,
}

/// A service that can be served: `tonic::service::Routes`, an axum router, or one of our own.
pub trait Serve:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Serve for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Certificate and key of a TLS listener.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key has no business in logs.
        f.write_str("Identity(..)")
    }
}

impl Identity {
    /// Reads a certificate chain, leaf first, and its private key, both PEM.
    ///
    /// # Errors
    /// When one of them cannot be read, they do not belong together, or the program has not chosen a TLS provider.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| Error::configuration(format!("the certificate is not PEM: {error}")))?;
        if chain.is_empty() {
            return Err(Error::configuration(
                "there is no certificate in its file; expected PEM with -----BEGIN CERTIFICATE-----",
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => Error::configuration(
                "there is no private key in its file; expected PEM with -----BEGIN PRIVATE KEY-----",
            ),
            other => Error::configuration(format!("the private key is not PEM: {other}")),
        })?;
        let mut config = ServerConfig::builder_with_provider(tls::provider()?)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::configuration(format!("the TLS provider is not usable: {error}")))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    Error::configuration("the private key is not that of the certificate")
                }
                other => Error::configuration(format!("certificate and key cannot be used: {other}")),
            })?;
        // Clients without ALPN are let in as well: some connect once just to see the certificate.
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// What is spoken.
enum Protocol {
    Http2(http2::Builder<Spawn>),
    /// HTTP/1.1 as well.
    Any(auto::Builder<Spawn>),
}

/// Sets up HTTP/2, for builders that have the same methods and no trait for them.
macro_rules! tune {
    ($builder:expr, $tuning:ident) => {
        #[allow(unused_mut, reason = "one of the builders is a reference already")]
        let mut builder = $builder;
        if let Some((interval, patience)) = $tuning.keepalive {
            builder.timer(TokioTimer::new()).keep_alive_interval(interval).keep_alive_timeout(patience);
        }
        builder
            .initial_stream_window_size($tuning.stream_window)
            .initial_connection_window_size($tuning.connection_window)
            .max_frame_size(FRAME)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_header_list_size(MAX_HEADERS);
    };
}

/// Serves a connection until it ends, or is told to.
macro_rules! drive {
    ($connection:expr, $shared:ident) => {{
        let mut connection = pin!($connection);
        tokio::select! {
            end = connection.as_mut() => end,
            () = $shared.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    end = connection => end,
                    () = $shared.kill.cancelled() => Ok(()),
                }
            }
        }
    }};
}

/// What [`Server`] and [`Acceptor`] share.
struct Shared<S> {
    service: S,
    protocol: Protocol,
    tasks: TaskTracker,
    /// No new connections and requests.
    stop: CancellationToken,
    /// No connections at all. Implies `stop`.
    kill: CancellationToken,
}

/// Serves one service on any number of listeners and connections. Dropping it drops them all.
pub struct Server<S>(Acceptor<S>);

/// Takes connections on behalf of a [`Server`].
pub struct Acceptor<S>(Arc<Shared<S>>);

impl<S> Clone for Acceptor<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("tasks", &self.0.0.tasks.len()).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Acceptor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("tasks", &self.0.tasks.len()).finish_non_exhaustive()
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.0.0.stop.cancel();
        self.0.0.kill.cancel();
    }
}

/// What a server decides differently from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// How many bytes a peer may send on one stream ahead of us.
    pub stream_window: u32,
    /// How many bytes a peer may send on one connection ahead of us.
    pub connection_window: u32,
    /// How often a quiet connection is asked whether it is still there, and how long the answer may take.
    pub keepalive: Option<(Duration, Duration)>,
    /// Whether HTTP/1.1 is spoken as well, for browsers and programs that read a page.
    pub pages: bool,
}

impl Tuning {
    /// The largest window that HTTP/2 has (RFC 9113, section 6.9.1), in bytes.
    pub const LARGEST_WINDOW: u32 = (1 << 31) - 1;
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            keepalive: None,
            pages: false,
        }
    }
}

impl<S: Serve> Server<S> {
    /// A server without listeners.
    pub fn new(service: S) -> Self {
        Self::tuned(service, &Tuning::default())
    }

    /// A server without listeners, with decisions of its own.
    pub fn tuned(service: S, tuning: &Tuning) -> Self {
        let tasks = TaskTracker::new();
        let protocol = if tuning.pages {
            let mut auto = auto::Builder::new(Spawn(tasks.clone()));
            auto.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
            tune!(auto.http2(), tuning);
            Protocol::Any(auto)
        } else {
            let mut http2 = http2::Builder::new(Spawn(tasks.clone()));
            tune!(&mut http2, tuning);
            Protocol::Http2(http2)
        };
        let shared = Shared {
            service,
            protocol,
            tasks,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        };
        Self(Acceptor(Arc::new(shared)))
    }

    /// Takes connections from a unix socket, in the background. Does not remove the socket's file.
    pub fn listen_unix(&self, listener: UnixListener) {
        let acceptor = self.acceptor();
        self.0.0.tasks.spawn(async move {
            while let Some((stream, _)) = acceptor.next(|| listener.accept()).await {
                let peer = unix_peer(&stream);
                acceptor.spawn(stream, peer);
            }
        });
    }

    /// Takes connections from a TCP listener, in the background: in clear text, or encrypted when there is an identity.
    pub fn listen_tcp(&self, listener: TcpListener, identity: Option<Identity>) {
        let acceptor = self.acceptor();
        let pages = matches!(self.0.0.protocol, Protocol::Any(_));
        let tls = identity.map(|Identity(mut config)| {
            if pages {
                Arc::make_mut(&mut config).alpn_protocols.push(b"http/1.1".to_vec());
            }
            TlsAcceptor::from(config)
        });
        self.0.0.tasks.spawn(async move {
            while let Some((stream, address)) = acceptor.next(|| listener.accept()).await {
                prepare(&stream);
                let peer = Peer::Tcp(address);
                match &tls {
                    None => acceptor.spawn(stream, peer),
                    Some(tls) => acceptor.spawn_tls(stream, tls.clone(), peer),
                }
            }
        });
    }

    /// What takes connections from elsewhere.
    pub fn acceptor(&self) -> Acceptor<S> {
        self.0.clone()
    }

    /// Serves a connection, in the background.
    pub fn connection<I>(&self, io: I, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.spawn(io, peer);
    }

    /// Ends the server: takes no new connections and requests at once, gives running requests `grace` to end, then drops
    /// them. Tells whether all of them ended in time; with parked tunnels and endless streams, they do not.
    pub async fn shutdown(self, grace: Duration) -> bool {
        let shared = &self.0.0;
        shared.stop.cancel();
        shared.tasks.close();
        let ended = timeout(grace, shared.tasks.wait()).await.is_ok();
        shared.kill.cancel();
        if !ended && timeout(DROP, shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = shared.tasks.len(), "requests go on although their connections are gone");
        }
        ended
    }
}

impl<S: Serve> Acceptor<S> {
    /// Serves a connection until it ends, or the server does.
    ///
    /// # Errors
    /// When the connection is lost or its peer does not speak HTTP/2, or HTTP/1.1 where pages are served.
    pub async fn serve<I>(&self, io: I, peer: Peer) -> Result<(), Error>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = &self.0;
        let _counted = shared.tasks.token();
        let service = Connection { service: shared.service.clone(), peer };
        let io = TokioIo::new(AuthorityAdapter::new(io));
        let lost = |error: &(dyn std::error::Error + 'static)| {
            Error::disconnected(format!("a connection failed: {}", innermost(error)))
        };
        match &shared.protocol {
            Protocol::Http2(http2) => drive!(http2.serve_connection(io, service), shared)
                .map_err(|error| lost(&error).caused_by(error)),
            Protocol::Any(any) => {
                drive!(any.serve_connection(io, service), shared).map_err(|error| lost(&*error))
            }
        }
    }

    fn spawn<I>(&self, io: I, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let acceptor = self.clone();
        self.0.tasks.spawn(async move {
            if let Err(error) = acceptor.serve(io, peer).await {
                // Clients that are killed, and connections that only probe, are everyday events.
                tracing::debug!(%error, ?peer, "a connection ended");
            }
        });
    }

    fn spawn_tls(&self, stream: TcpStream, tls: TlsAcceptor, peer: Peer) {
        let acceptor = self.clone();
        self.0.tasks.spawn(async move {
            let handshake = tokio::select! {
                handshake = timeout(HANDSHAKE, tls.accept(stream)) => handshake,
                () = acceptor.0.stop.cancelled() => return,
            };
            match handshake {
                Ok(Ok(stream)) => {
                    if let Err(error) = acceptor.serve(stream, peer).await {
                        tracing::debug!(%error, ?peer, "a connection ended");
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, ?peer, "a TLS handshake failed"),
                Err(_) => tracing::debug!(?peer, "a TLS handshake took too long"),
            }
        });
    }

    /// The next connection, or `None` when the server stops.
    async fn next<T, F>(&self, mut accept: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            tokio::select! {
                biased;
                () = self.0.stop.cancelled() => return None,
                accepted = accept() => match accepted {
                    Ok(accepted) => return Some(accepted),
                    Err(error) => tracing::warn!(%error, "cannot accept a connection"),
                },
            }
            // Without a pause, a lack of file descriptors would become a lack of processor time as well.
            tokio::select! {
                () = self.0.stop.cancelled() => return None,
                () = sleep(ACCEPT_PAUSE) => {}
            }
        }
    }
}

/// The service as one connection sees it.
struct Connection<S> {
    service: S,
    peer: Peer,
}

impl<S: Serve> hyper::service::Service<Request<Incoming>> for Connection<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Oneshot<S, Request<Body>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(|body| Body::new(RequestBody::new(body)));
        request.extensions_mut().insert(self.peer);
        self.service.clone().oneshot(request)
    }
}

/// Runs the requests of all connections where they can be waited for.
#[derive(Clone)]
struct Spawn(TaskTracker);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

fn unix_peer(stream: &UnixStream) -> Peer {
    match stream.peer_cred() {
        Ok(peer) => Peer::Unix { pid: peer.pid(), uid: Some(peer.uid()) },
        Err(_) => Peer::Unix { pid: None, uid: None },
    }
}

/// Small frames leave at once, and a peer that vanished is noticed some day.
fn prepare(stream: &TcpStream) {
    let options = stream
        .set_nodelay(true)
        .and_then(|()| Ok(sockopt::set_socket_keepalive(stream, true)?))
        .and_then(|()| Ok(sockopt::set_tcp_keepidle(stream, TCP_KEEPALIVE)?));
    if let Err(error) = options {
        tracing::debug!(%error, "cannot set the options of a TCP connection");
    }
}
