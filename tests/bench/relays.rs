//! Three servers that carry bytes between two callers, all with TLS on a port of this machine: our router, the same written with
//! tonic and nothing around it, and one that knows no messages at all. And how to call them.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::StreamExt as _;
use jumpstarter_protocol::v1::{
    StreamRequest, StreamResponse,
    router_service_client::RouterServiceClient,
    router_service_server::{RouterService, RouterServiceServer},
};
use jumpstarter_router::{Key, Limits, Router, STREAM_WINDOW, Tokens, token::now};
use jumpstarter_transport::{
    connect::{Channel, Endpoint, Options, Security, connect, dial},
    server::{FRAME, Identity, Tuning},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes,
    },
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    metadata::MetadataValue,
    transport::server::{Connected, Server},
};

use crate::{Outcome, process};

/// What the tokens of these servers are signed with.
const KEY: &[u8] = b"the key of a benchmark";

/// How many messages may wait in a relay, and in a client here.
const QUEUE: usize = 32;

/// How many bytes the pump reads at once.
const PUMPED: usize = 64 << 10;

/// Certificate and key, PEM.
fn certificate() -> Outcome<(String, String)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// TLS as our listeners have it.
fn acceptor(protocols: &[&[u8]]) -> Outcome<TlsAcceptor> {
    let (chain, key) = certificate()?;
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Installed before anything speaks TLS. Whoever did so before has the same.
pub(crate) fn provide_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

async fn listen() -> Outcome<TcpListener> {
    provide_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    process::announce(std::path::Path::new(&listener.local_addr()?.to_string()));
    Ok(listener)
}

/// Our router until standard input ends.
pub(crate) async fn serve_router() -> Outcome<()> {
    let tokens = Tokens::new(Key::Fixed(KEY.to_vec()));
    let (server, _health) = jumpstarter_router::serve::server(Router::new(tokens, Limits::default()))?;
    let listener = listen().await?;
    let (chain, key) = certificate()?;
    server.listen_tcp(listener, Some(Identity::from_pem(chain.as_bytes(), key.as_bytes())?));
    process::until_input_ends().await;
    Ok(())
}

type Answer = Result<StreamResponse, Status>;

/// What leads to a caller that waits, and what tells it how to reach the other one.
type Waiting = (mpsc::Sender<Answer>, oneshot::Sender<mpsc::Sender<Answer>>);

/// A relay made of what tonic generates: decode, queue, encode.
#[derive(Default)]
struct Relay(Mutex<HashMap<String, Waiting>>);

impl Relay {
    /// What leads to the other one, once it is there.
    fn meet(&self, name: String, mine: mpsc::Sender<Answer>) -> oneshot::Receiver<mpsc::Sender<Answer>> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((theirs, tell_them)) = waiting.remove(&name) {
            // Should it have gone meanwhile, its channel says so.
            let _ = tell_them.send(mine);
            let _ = tell.send(theirs);
        } else {
            waiting.insert(name, (mine, tell));
        }
        told
    }
}

#[tonic::async_trait]
impl RouterService for Relay {
    type StreamStream = ReceiverStream<Answer>;

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let name = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = name.and_then(|name| name.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("no token"))?;
        let tokens = Tokens::new(Key::Fixed(KEY.to_vec()));
        let name = tokens.stream(token, now()).map_err(Status::unauthenticated)?;
        let mut source = request.into_inner();
        let (mine, answers) = mpsc::channel(QUEUE);
        let other = self.meet(name, mine);
        tokio::spawn(async move {
            let Ok(other) = other.await else { return };
            while let Ok(Some(StreamRequest { payload, frame_type })) = source.message().await {
                if other.send(Ok(StreamResponse { payload, frame_type })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// A connection as tonic's server takes it.
struct Encrypted(TlsStream<TcpStream>);

impl Connected for Encrypted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Connections with TLS.
fn encrypted(
    listener: TcpListener,
    tls: TlsAcceptor,
) -> impl futures::Stream<Item = std::io::Result<TlsStream<TcpStream>>> {
    let (send, receive) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, send) = (tls.clone(), send.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                // Nobody is left to take it at the end only.
                let _ = send.send(tls.accept(stream).await).await;
            });
        }
    });
    ReceiverStream::new(receive)
}

/// The relay until standard input ends, with the windows that our router has.
pub(crate) async fn serve_relay() -> Outcome<()> {
    let listener = listen().await?;
    let incoming = encrypted(listener, acceptor(&[b"h2"])?).map(|stream| stream.map(Encrypted));
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(Tuning::LARGEST_WINDOW)
        .max_frame_size(FRAME)
        .add_service(RouterServiceServer::new(Relay::default()))
        .serve_with_incoming_shutdown(incoming, process::until_input_ends())
        .await?;
    Ok(())
}

/// The pump until standard input ends: a name with its length in front, and then bytes.
pub(crate) async fn serve_pump() -> Outcome<()> {
    let listener = listen().await?;
    let mut incoming = Box::pin(encrypted(listener, acceptor(&[])?));
    let waiting: Arc<Mutex<HashMap<u64, TlsStream<TcpStream>>>> = Arc::default();
    let pairs = async {
        while let Some(stream) = incoming.next().await {
            let waiting = waiting.clone();
            tokio::spawn(async move {
                let mut stream = stream?;
                let name = stream.read_u64().await?;
                let first = {
                    let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(first) = all.remove(&name) else {
                        all.insert(name, stream);
                        return Ok(());
                    };
                    first
                };
                let mut first = first;
                copy_bidirectional_with_sizes(&mut first, &mut stream, PUMPED, PUMPED).await.map(drop)
            });
        }
    };
    tokio::select! {
        () = pairs => {}
        () = process::until_input_ends() => {}
    }
    Ok(())
}

/// A server, and what leads to it.
#[derive(Clone)]
pub(crate) struct Way {
    endpoint: Endpoint,
    options: Options,
}

impl Way {
    pub(crate) fn to(server: &process::Server) -> Outcome<Self> {
        provide_tls();
        let endpoint = Endpoint::parse(&server.socket.display().to_string())?;
        Ok(Self { endpoint, options: Options { security: Security::Unverified, ..Options::default() } })
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Outcome<Channel> {
        Ok(connect(&self.endpoint, &self.options).await?)
    }

    /// Both ends of a new tunnel, each on a connection of its own, as callers have it.
    pub(crate) async fn tunnel(&self, name: u64) -> Outcome<(End, End)> {
        self.on(&self.connect().await?, &self.connect().await?, name).await
    }

    /// The same on connections that are there.
    pub(crate) async fn on(&self, near: &Channel, far: &Channel, name: u64) -> Outcome<(End, End)> {
        Ok((End::open(near, name).await?, End::open(far, name).await?))
    }

    /// Both ends of a new tunnel through the pump.
    pub(crate) async fn pipe(&self, name: u64) -> Outcome<(Pipe, Pipe)> {
        let mut ends =
            [dial(&self.endpoint, &self.options).await?, dial(&self.endpoint, &self.options).await?];
        for end in &mut ends {
            end.write_u64(name).await?;
            end.flush().await?;
        }
        let [near, far] = ends;
        Ok((near, far))
    }
}

/// One end of a tunnel through the pump.
pub(crate) type Pipe = Pin<Box<dyn jumpstarter_core::io::ByteStream>>;

/// One end of a tunnel.
pub(crate) struct End {
    pub(crate) send: mpsc::Sender<StreamRequest>,
    pub(crate) receive: Streaming<StreamResponse>,
}

impl End {
    async fn open(channel: &Channel, name: u64) -> Outcome<Self> {
        let token = Tokens::new(Key::Fixed(KEY.to_vec())).issue(&name.to_string(), now())?;
        let (send, source) = mpsc::channel(QUEUE);
        let mut request = Request::new(ReceiverStream::new(source));
        request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}"))?);
        let receive = RouterServiceClient::new(channel.clone()).stream(request).await?.into_inner();
        Ok(Self { send, receive })
    }

    pub(crate) async fn say(&self, payload: Bytes) -> Outcome<()> {
        Ok(self.send.send(StreamRequest { payload, frame_type: 0 }).await?)
    }

    pub(crate) async fn hear(&mut self) -> Outcome<Bytes> {
        Ok(self.receive.message().await?.ok_or("the tunnel has ended")?.payload)
    }

    /// Sends back what comes, in the background and for as long as the tunnel lasts.
    pub(crate) fn echo(mut self) {
        tokio::spawn(async move {
            while let Ok(payload) = self.hear().await {
                if self.say(payload).await.is_err() {
                    return;
                }
            }
        });
    }
}
