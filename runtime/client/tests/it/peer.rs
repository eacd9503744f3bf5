//! An exporter made by hand, each of whose answers a test can choose.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use jumpstarter_client::{Connection, Device, Patience};
use jumpstarter_protocol::v1::{
    DriverCallRequest, DriverCallResponse, DriverInstanceReport, EndSessionRequest, EndSessionResponse,
    FrameType, GetReportResponse, GetStatusRequest, GetStatusResponse, LogStreamResponse, ResetRequest,
    ResetResponse, StreamRequest, StreamResponse, StreamingDriverCallRequest, StreamingDriverCallResponse,
    exporter_service_server::{ExporterService, ExporterServiceServer},
    router_service_server::{RouterService, RouterServiceServer},
};
use jumpstarter_transport::{
    connect::{Credentials, connect_stream},
    frames,
    server::{MAX_MESSAGE, Peer as Who, Server},
};
use prost_types::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    server::{Grpc, NamedService, StreamingService, UnaryService},
    service::Routes,
};

use crate::gadget;

pub(crate) type Frames = BoxStream<'static, Result<StreamResponse, Status>>;
type Answers<T> = BoxStream<'static, Result<T, Status>>;
type Answer<T> = BoxFuture<'static, Result<T, Status>>;
type Handler<Q, A> = Arc<dyn Fn(Q) -> Answer<A> + Send + Sync>;

/// A call of a native service.
pub(crate) struct NativeCall {
    pub(crate) rpc: String,
    pub(crate) metadata: MetadataMap,
    /// The messages; one for a call that is not a stream.
    pub(crate) messages: BoxStream<'static, Result<Bytes, Status>>,
}

/// The exporter.
#[derive(Clone)]
pub(crate) struct Peer {
    report: GetReportResponse,
    unary: Handler<DriverCallRequest, Value>,
    streaming: Handler<StreamingDriverCallRequest, Answers<StreamingDriverCallResponse>>,
    stream: Handler<(MetadataMap, Streaming<StreamRequest>), Response<Frames>>,
    logs: Handler<(), Answers<LogStreamResponse>>,
    status: Result<GetStatusResponse, Status>,
    native: Handler<NativeCall, Answers<Bytes>>,
}

fn missing<Q: 'static, A: Send + 'static>(what: &'static str) -> Handler<Q, A> {
    Arc::new(move |_| Box::pin(std::future::ready(Err(Status::unimplemented(what)))))
}

fn handler<Q, A, F: Future<Output = Result<A, Status>> + Send + 'static>(
    f: impl Fn(Q) -> F + Send + Sync + 'static,
) -> Handler<Q, A> {
    Arc::new(move |request| Box::pin(f(request)))
}

/// One line of a report.
pub(crate) fn report(uuid: &str, parent: Option<&str>, name: &str, class: &str) -> DriverInstanceReport {
    let mut labels = HashMap::from([("jumpstarter.dev/client".to_owned(), class.to_owned())]);
    if !name.is_empty() {
        labels.insert("jumpstarter.dev/name".to_owned(), name.to_owned());
    }
    DriverInstanceReport {
        uuid: uuid.to_owned(),
        parent_uuid: parent.map(ToOwned::to_owned),
        labels,
        ..Default::default()
    }
}

impl Peer {
    /// One gadget below the root, like release 0.9.0: without native services.
    pub(crate) fn legacy() -> Self {
        Self::with(vec![
            report("root", None, "", "some.Composite"),
            report("g", Some("root"), "gadget", gadget::CLASS),
        ])
    }

    /// One gadget below the root with its native service, like ours.
    pub(crate) fn native() -> Self {
        let mut peer = Self::legacy();
        peer.report.reports[1].native_services = vec![gadget::SERVICE.to_owned()];
        peer
    }

    pub(crate) fn with(reports: Vec<DriverInstanceReport>) -> Self {
        Self {
            report: GetReportResponse { uuid: "session".to_owned(), reports, ..Default::default() },
            unary: missing("DriverCall"),
            streaming: missing("StreamingDriverCall"),
            stream: missing("Stream"),
            logs: missing("LogStream"),
            status: Err(Status::unimplemented("GetStatus")),
            native: missing("native"),
        }
    }

    pub(crate) fn on_call<F>(mut self, f: impl Fn(DriverCallRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, Status>> + Send + 'static,
    {
        self.unary = handler(f);
        self
    }

    pub(crate) fn on_streaming<F>(
        mut self,
        f: impl Fn(StreamingDriverCallRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Answers<StreamingDriverCallResponse>, Status>> + Send + 'static,
    {
        self.streaming = handler(f);
        self
    }

    pub(crate) fn on_stream<F>(
        mut self,
        f: impl Fn(MetadataMap, Streaming<StreamRequest>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Response<Frames>, Status>> + Send + 'static,
    {
        self.stream = handler(move |(metadata, frames)| f(metadata, frames));
        self
    }

    pub(crate) fn on_logs<F>(mut self, f: impl Fn(()) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Answers<LogStreamResponse>, Status>> + Send + 'static,
    {
        self.logs = handler(f);
        self
    }

    pub(crate) fn on_native<F>(mut self, f: impl Fn(NativeCall) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Answers<Bytes>, Status>> + Send + 'static,
    {
        self.native = handler(f);
        self
    }

    pub(crate) fn with_status(mut self, status: GetStatusResponse) -> Self {
        self.status = Ok(status);
        self
    }

    /// Services of the gadget.
    pub(crate) fn with_services(mut self, services: &[&str]) -> Self {
        self.report.reports[1].native_services = services.iter().map(ToString::to_string).collect();
        self
    }

    /// Starts serving, and connects; a connection in memory, which ends with the server.
    pub(crate) async fn connect(self) -> (Connection, Server<Routes>) {
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.serve(near, far).await
    }

    async fn serve(self, near: DuplexStream, far: DuplexStream) -> (Connection, Server<Routes>) {
        let native = Native(self.native.clone());
        let routes =
            Routes::new(ExporterServiceServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE))
                .add_service(RouterServiceServer::new(self))
                .add_service(native);
        let server = Server::new(routes.prepare());
        server.connection(far, Who::Tunnel);
        let channel = connect_stream(near, Credentials::none()).await.unwrap();
        let patience = Patience {
            stream: Duration::from_secs(5),
            resource: Duration::from_mins(1),
            stall: Duration::from_secs(30),
        };
        (Connection::from_channel(channel, "the peer", patience), server)
    }

    /// Starts serving, and takes the tree; from then on, only so many bytes pass from the client (first) and to it (second)
    /// before the connection is cut.
    pub(crate) async fn device_cut_after(self, up: usize, down: usize) -> (Device, Server<Routes>) {
        let (near, middle_near) = tokio::io::duplex(256 * 1024);
        let (middle_far, far) = tokio::io::duplex(256 * 1024);
        let budgets = [Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(usize::MAX))];
        let [up_budget, down_budget] = budgets.clone();
        tokio::spawn(async move {
            let (from_client, to_client) = tokio::io::split(middle_near);
            let (from_server, to_server) = tokio::io::split(middle_far);
            // The first direction that has used up its budget ends both.
            tokio::select! {
                () = relay(from_client, to_server, up_budget) => {}
                () = relay(from_server, to_client, down_budget) => {}
            }
        });
        let (connection, server) = self.serve(near, far).await;
        let device = connection.device().await.unwrap();
        for (budget, limit) in budgets.iter().zip([up, down]) {
            budget.store(limit, Ordering::SeqCst);
        }
        (device, server)
    }

    /// Starts serving, and takes the tree. The server lives as long as the second value.
    pub(crate) async fn device(self) -> (Device, Server<Routes>) {
        let (connection, server) = self.connect().await;
        (connection.device().await.unwrap(), server)
    }
}

async fn relay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, budget: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let left = budget.load(Ordering::SeqCst);
        let passed = count.min(left);
        if to.write_all(&buffer[..passed]).await.is_err() || passed < count {
            return;
        }
        if left != usize::MAX {
            budget.store(left - passed, Ordering::SeqCst);
        }
    }
}

/// A frame of data.
pub(crate) fn data(payload: impl Into<Bytes>) -> Result<StreamResponse, Status> {
    Ok(frames::data(payload.into()))
}

/// The frame that announces an end.
pub(crate) fn goaway() -> Result<StreamResponse, Status> {
    Ok(frames::goaway())
}

/// A frame of another kind.
pub(crate) fn odd(frame_type: i32) -> Result<StreamResponse, Status> {
    Ok(StreamResponse { payload: "odd".into(), frame_type })
}

/// A response of these frames.
pub(crate) fn frames_of(frames: Vec<Result<StreamResponse, Status>>) -> Response<Frames> {
    Response::new(stream::iter(frames).boxed())
}

/// These frames, and then nothing more for as long as the client stays.
pub(crate) fn open_frames(frames: Vec<Result<StreamResponse, Status>>) -> Response<Frames> {
    Response::new(stream::iter(frames).chain(stream::pending()).boxed())
}

/// Reads a client's frames until it ends or breaks.
pub(crate) struct Received {
    pub(crate) pieces: Vec<Bytes>,
    /// What the announcement of the end carried; `None` if there was no announcement.
    pub(crate) note: Option<Bytes>,
    /// How the call ended, if it did while the frames were read.
    pub(crate) lost: Option<Status>,
}

impl Received {
    pub(crate) async fn all(mut frames: Streaming<StreamRequest>) -> Self {
        let mut received = Self { pieces: Vec::new(), note: None, lost: None };
        loop {
            match frames.message().await {
                Ok(Some(frame)) if frame.frame_type == FrameType::Goaway as i32 => {
                    received.note = Some(frame.payload);
                }
                Ok(Some(frame)) => received.pieces.push(frame.payload),
                Ok(None) => return received,
                Err(status) => {
                    received.lost = Some(status);
                    return received;
                }
            }
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

#[tonic::async_trait]
impl ExporterService for Peer {
    type StreamingDriverCallStream = Answers<StreamingDriverCallResponse>;
    type LogStreamStream = Answers<LogStreamResponse>;

    async fn get_report(&self, _: Request<()>) -> Result<Response<GetReportResponse>, Status> {
        Ok(Response::new(self.report.clone()))
    }

    async fn driver_call(
        &self,
        request: Request<DriverCallRequest>,
    ) -> Result<Response<DriverCallResponse>, Status> {
        let result = (self.unary)(request.into_inner()).await?;
        let result = result.kind.is_some().then_some(result);
        Ok(Response::new(DriverCallResponse { uuid: "any".to_owned(), result }))
    }

    async fn streaming_driver_call(
        &self,
        request: Request<StreamingDriverCallRequest>,
    ) -> Result<Response<Self::StreamingDriverCallStream>, Status> {
        Ok(Response::new((self.streaming)(request.into_inner()).await?))
    }

    async fn log_stream(&self, _: Request<()>) -> Result<Response<Self::LogStreamStream>, Status> {
        Ok(Response::new((self.logs)(()).await?))
    }

    async fn reset(&self, _: Request<ResetRequest>) -> Result<Response<ResetResponse>, Status> {
        Err(Status::unimplemented("Reset"))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        self.status.clone().map(Response::new)
    }

    async fn end_session(
        &self,
        _: Request<EndSessionRequest>,
    ) -> Result<Response<EndSessionResponse>, Status> {
        Ok(Response::new(EndSessionResponse {
            success: false,
            message: Some("No active lease context".to_owned()),
        }))
    }
}

#[tonic::async_trait]
impl RouterService for Peer {
    type StreamStream = Frames;

    async fn stream(&self, request: Request<Streaming<StreamRequest>>) -> Result<Response<Frames>, Status> {
        let (metadata, _, frames) = request.into_parts();
        (self.stream)((metadata, frames)).await
    }
}

/// The gadget's own service: all of its methods, whatever their kind.
#[derive(Clone)]
struct Native(Handler<NativeCall, Answers<Bytes>>);

impl NamedService for Native {
    const NAME: &'static str = gadget::SERVICE;
}

struct One(Native, String);

impl UnaryService<Bytes> for One {
    type Response = Bytes;
    type Future = Answer<Response<Bytes>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (metadata, _, message) = request.into_parts();
        let messages = stream::iter([Ok(message)]).boxed();
        let answers = (self.0.0)(NativeCall { rpc: self.1.clone(), metadata, messages });
        Box::pin(async move {
            let answer = answers.await?.next().await;
            answer.unwrap_or_else(|| Err(Status::internal("no answer"))).map(Response::new)
        })
    }
}

impl StreamingService<Bytes> for One {
    type Response = Bytes;
    type ResponseStream = Answers<Bytes>;
    type Future = Answer<Response<Answers<Bytes>>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (metadata, _, messages) = request.into_parts();
        let answers = (self.0.0)(NativeCall { rpc: self.1.clone(), metadata, messages: messages.boxed() });
        Box::pin(async move { answers.await.map(Response::new) })
    }
}

impl tower::Service<http::Request<Body>> for Native {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let rpc = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let one = One(self.clone(), rpc.clone());
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw);
            Ok(match rpc.as_str() {
                "Read" | "Connect" | "Frames" => grpc.streaming(one, request).await,
                _ => grpc.unary(one, request).await,
            })
        })
    }
}

struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
