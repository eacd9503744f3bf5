//! The least that the same costs with gRPC: a server and a client as tonic's generator would write them, with the same
//! windows, sockets and run time as ours, and nothing else.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use hyper_util::rt::TokioIo;
use jumpstarter_transport::server::{CONNECTION_WINDOW, FRAME, STREAM_WINDOW};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client::Grpc as ClientGrpc,
    codegen::http::{self, uri::PathAndQuery},
    server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService},
    transport::{Channel, Endpoint, Server},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::{Outcome, ours, process};

/// A request with a number.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Ask {
    /// The number.
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Reading {
    /// Volts.
    #[prost(double, tag = "1")]
    pub(crate) voltage: f64,
    /// Amperes.
    #[prost(double, tag = "2")]
    pub(crate) current: f64,
}

/// One piece of a byte stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Piece {
    /// The bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;
type Answer<T> = BoxFuture<'static, Result<Response<T>, Status>>;

fn reading(channel: u32) -> Reading {
    let ours::Reading { voltage, current } = ours::reading(channel);
    Reading { voltage, current }
}

struct Sample;

impl UnaryService<Ask> for Sample {
    type Response = Reading;
    type Future = Answer<Reading>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(reading(request.into_inner().number))) })
    }
}

struct Samples;

impl ServerStreamingService<Ask> for Samples {
    type Response = Reading;
    type ResponseStream = Answers<Reading>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let readings = (0..request.into_inner().number).map(|channel| Ok(reading(channel)));
        Box::pin(async move { Ok(Response::new(futures::stream::iter(readings).boxed())) })
    }
}

struct Source;

impl StreamingService<Piece> for Source {
    type Response = Piece;
    type ResponseStream = Answers<Piece>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Streaming<Piece>>) -> Self::Future {
        let mut input = request.into_inner();
        let pieces = futures::stream::once(async move {
            let order = input.message().await?.and_then(|first| ours::ordered(first.payload));
            let (payload, count) = order.ok_or_else(|| Status::invalid_argument("no order"))?;
            let pieces = (0..count).map(move |_| {
                // The request stays open as long as the answer lasts.
                let _open = &input;
                Ok(Piece { payload: payload.clone() })
            });
            Ok::<_, Status>(futures::stream::iter(pieces))
        });
        let pieces = futures::TryStreamExt::try_flatten(pieces);
        Box::pin(async move { Ok(Response::new(pieces.boxed())) })
    }
}

struct Sink;

impl StreamingService<Piece> for Sink {
    type Response = Piece;
    type ResponseStream = Answers<Piece>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Streaming<Piece>>) -> Self::Future {
        let mut input = request.into_inner();
        let total = futures::stream::once(async move {
            let mut total = 0;
            while let Some(piece) = input.message().await? {
                total += piece.payload.len() as u64;
            }
            Ok(Piece { payload: Bytes::copy_from_slice(&total.to_be_bytes()) })
        });
        Box::pin(async move { Ok(Response::new(total.boxed())) })
    }
}

/// Writes what comes into a file, as ours does: synced, and with the digest of everything as the answer.
struct Store(PathBuf);

impl StreamingService<Piece> for Store {
    type Response = Piece;
    type ResponseStream = Answers<Piece>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Streaming<Piece>>) -> Self::Future {
        let (mut input, path) = (request.into_inner(), self.0.clone());
        let digest = futures::stream::once(async move {
            let mut file = tokio::fs::File::create(path).await?;
            let mut hasher = Sha256::new();
            while let Some(piece) = input.message().await? {
                hasher.update(&piece.payload);
                file.write_all(&piece.payload).await?;
            }
            file.flush().await?;
            file.sync_all().await?;
            Ok(Piece { payload: Bytes::copy_from_slice(&hasher.finalize()) })
        });
        Box::pin(async move { Ok(Response::new(digest.boxed())) })
    }
}

/// Connects to a TCP port and copies both ways.
struct Forward;

/// Where that port is.
const TARGET: &str = "x-target";

impl StreamingService<Piece> for Forward {
    type Response = Piece;
    type ResponseStream = Answers<Piece>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Streaming<Piece>>) -> Self::Future {
        Box::pin(async move {
            let target = request.metadata().get(TARGET).and_then(|target| target.to_str().ok());
            let target = target.ok_or_else(|| Status::invalid_argument("no target"))?.to_owned();
            let mut input = request.into_inner();
            let stream = TcpStream::connect(target).await?;
            stream.set_nodelay(true)?;
            let (reader, mut writer) = stream.into_split();
            tokio::spawn(async move {
                while let Some(piece) = input.message().await? {
                    writer.write_all(&piece.payload).await?;
                }
                Ok::<_, Status>(writer.shutdown().await?)
            });
            let pieces =
                futures::stream::try_unfold((reader, BytesMut::new()), async |(mut reader, mut buffer)| {
                    buffer.reserve(64 << 10);
                    let count = reader.read_buf(&mut buffer).await?;
                    let payload = buffer.split().freeze();
                    Ok::<_, Status>((count > 0).then_some((Piece { payload }, (reader, buffer))))
                });
            Ok(Response::new(pieces.boxed()))
        })
    }
}

#[derive(Clone)]
struct Bare {
    storage: PathBuf,
}

impl NamedService for Bare {
    const NAME: &'static str = "bench.bare.v1.Probe";
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let storage = self.storage.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                SAMPLE => Grpc::new(ProstCodec::default()).unary(Sample, request).await,
                SAMPLES => Grpc::new(ProstCodec::default()).server_streaming(Samples, request).await,
                SOURCE => Grpc::new(ProstCodec::default()).streaming(Source, request).await,
                SINK => Grpc::new(ProstCodec::default()).streaming(Sink, request).await,
                STORE => Grpc::new(ProstCodec::default()).streaming(Store(storage), request).await,
                FORWARD => Grpc::new(ProstCodec::default()).streaming(Forward, request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

const SAMPLE: &str = "/bench.bare.v1.Probe/Sample";
const SAMPLES: &str = "/bench.bare.v1.Probe/Samples";
const SOURCE: &str = "/bench.bare.v1.Probe/Source";
const SINK: &str = "/bench.bare.v1.Probe/Sink";
const STORE: &str = "/bench.bare.v1.Probe/Store";
const FORWARD: &str = "/bench.bare.v1.Probe/Forward";

/// Serves on a socket of its own until standard input ends.
pub(crate) async fn serve() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket)?;
    process::announce(&socket);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .add_service(Bare { storage: folder.path().join("image") })
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), process::until_input_ends())
        .await?;
    Ok(())
}

/// The bare client.
#[derive(Clone)]
pub(crate) struct Client(ClientGrpc<Channel>);

impl Client {
    /// A new connection.
    pub(crate) async fn connect(socket: &Path) -> Outcome<Self> {
        let path = socket.to_owned();
        let connector = service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .connect_with_connector(connector)
            .await?;
        Ok(Self(ClientGrpc::new(channel)))
    }

    pub(crate) async fn sample(&mut self, number: u32) -> Outcome<Reading> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static(SAMPLE);
        let answer = self.0.unary(Request::new(Ask { number }), path, ProstCodec::default()).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn samples(&mut self, number: u32) -> Outcome<Streaming<Reading>> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static(SAMPLES);
        let answers =
            self.0.server_streaming(Request::new(Ask { number }), path, ProstCodec::default()).await?;
        Ok(answers.into_inner())
    }

    /// An open stream that nothing was ordered from.
    pub(crate) async fn source(&mut self) -> Outcome<(mpsc::Sender<Piece>, Streaming<Piece>)> {
        self.0.ready().await?;
        let (sender, pieces) = mpsc::channel(4);
        let path = PathAndQuery::from_static(SOURCE);
        let pieces = ReceiverStream::new(pieces);
        let answer = self.0.streaming(Request::new(pieces), path, ProstCodec::default()).await?;
        Ok((sender, answer.into_inner()))
    }

    /// A stream that leads to a TCP port.
    pub(crate) async fn forward(
        &mut self,
        target: SocketAddr,
    ) -> Outcome<(mpsc::Sender<Piece>, Streaming<Piece>)> {
        self.0.ready().await?;
        let (sender, pieces) = mpsc::channel(32);
        let mut request = Request::new(ReceiverStream::new(pieces));
        request.metadata_mut().insert(TARGET, target.to_string().parse()?);
        let path = PathAndQuery::from_static(FORWARD);
        let answer = self.0.streaming(request, path, ProstCodec::default()).await?;
        Ok((sender, answer.into_inner()))
    }

    /// Has so many pieces sent, and counts their bytes.
    pub(crate) async fn receive(&mut self, size: usize, count: usize) -> Outcome<u64> {
        let (sender, mut pieces) = self.source().await?;
        sender.send(Piece { payload: ours::order(size, count) }).await?;
        let mut bytes = 0;
        while let Some(piece) = pieces.message().await? {
            bytes += piece.payload.len() as u64;
        }
        Ok(bytes)
    }

    /// Sends so many pieces; how many bytes the server has seen.
    pub(crate) async fn send(&mut self, piece: &Bytes, count: usize) -> Outcome<u64> {
        let payload = piece.clone();
        let pieces = futures::stream::iter((0..count).map(move |_| Piece { payload: payload.clone() }));
        let total = self.exchange(SINK, pieces).await?;
        Ok(total.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// Sends pieces into a file; the digest that the server has computed.
    pub(crate) async fn store(
        &mut self,
        pieces: impl futures::Stream<Item = Bytes> + Send + 'static,
    ) -> Outcome<Bytes> {
        self.exchange(STORE, pieces.map(|payload| Piece { payload })).await
    }

    async fn exchange(
        &mut self,
        path: &'static str,
        pieces: impl futures::Stream<Item = Piece> + Send + 'static,
    ) -> Outcome<Bytes> {
        self.0.ready().await?;
        let pieces: Pin<Box<dyn futures::Stream<Item = Piece> + Send>> = pieces.boxed();
        let path = PathAndQuery::from_static(path);
        let mut answer =
            self.0.streaming(Request::new(pieces), path, ProstCodec::default()).await?.into_inner();
        let last: Piece = answer.message().await?.ok_or("no answer")?;
        Ok(last.payload)
    }
}
