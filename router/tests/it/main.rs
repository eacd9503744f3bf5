//! The router with callers on connections of its own, in one process.
//!
//! | Module | What it shows |
//! |---|---|
//! | `pairs` | who meets whom, what passes, how it ends |
//! | `doors` | who is let in |
//! | `program` | how the program starts and ends |

mod doors;
mod pairs;
mod program;

use bytes::Bytes;
use jumpstarter_protocol::v1::{
    FrameType, StreamRequest, StreamResponse, router_service_client::RouterServiceClient,
};
use jumpstarter_router::{Key, Limits, Router, Tokens, serve, token::now};
use jumpstarter_transport::{
    connect::{Channel, Credentials, connect_stream},
    server::{Peer, Server},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataValue, service::Routes};

/// A router without listeners.
pub(crate) struct Running {
    server: Server<Routes>,
    pub(crate) router: Router,
    pub(crate) tokens: Tokens,
}

pub(crate) fn start(limits: Limits) -> Running {
    let tokens = Tokens::new(Key::Fixed(b"between us".to_vec()));
    let router = Router::new(tokens.clone(), limits);
    let server = serve::server(router.clone()).expect("a server").0;
    Running { server, router, tokens }
}

impl Running {
    /// A connection of a caller's own.
    pub(crate) async fn connect(&self) -> Channel {
        self.connect_from(Peer::Tunnel).await
    }

    pub(crate) async fn connect_from(&self, peer: Peer) -> Channel {
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.server.connection(far, peer);
        connect_stream(near, Credentials::none()).await.expect("a connection")
    }

    pub(crate) fn token(&self, stream: &str) -> String {
        self.tokens.issue(stream, now()).expect("a token")
    }

    /// A caller on a new connection.
    pub(crate) async fn caller(&self, stream: &str) -> Caller {
        Caller::on(self.connect().await, &self.token(stream)).await.expect("a call")
    }

    /// Waits until so many callers wait.
    pub(crate) async fn until_waiting(&self, waiting: usize) {
        self.until(|load| load.waiting == waiting).await;
    }

    /// Waits until so many calls go on.
    pub(crate) async fn until_calls(&self, calls: usize) {
        self.until(|load| load.calls == calls).await;
    }

    async fn until(&self, good: impl Fn(jumpstarter_router::pairing::Load) -> bool) {
        let wait = async {
            while !good(self.router.load()) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "{:?}", self.router.load());
    }

    pub(crate) async fn stop(self) -> bool {
        self.server.shutdown(std::time::Duration::from_millis(50)).await
    }
}

/// One call.
pub(crate) struct Caller {
    pub(crate) send: Option<mpsc::Sender<StreamRequest>>,
    pub(crate) receive: Streaming<StreamResponse>,
}

pub(crate) async fn call(
    channel: Channel,
    authorization: Option<&str>,
    source: mpsc::Receiver<StreamRequest>,
) -> Result<Response<Streaming<StreamResponse>>, Status> {
    call_on(channel, authorization, source).await
}

/// The same, on a connection of any kind.
pub(crate) async fn call_on<C>(
    channel: C,
    authorization: Option<&str>,
    source: mpsc::Receiver<StreamRequest>,
) -> Result<Response<Streaming<StreamResponse>>, Status>
where
    C: tonic::client::GrpcService<tonic::body::Body, Error: Into<tonic::codegen::StdError>>,
    C::ResponseBody:
        tonic::codegen::Body<Data = Bytes, Error: Into<tonic::codegen::StdError> + Send> + Send + 'static,
{
    let mut request = Request::new(futures::stream::unfold(source, async |mut source| {
        source.recv().await.map(|frame| (frame, source))
    }));
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse::<MetadataValue<_>>().expect("text"));
    }
    RouterServiceClient::new(channel).max_decoding_message_size(64 << 20).stream(request).await
}

impl Caller {
    pub(crate) async fn on(channel: Channel, token: &str) -> Result<Self, Status> {
        let (send, source) = mpsc::channel(4);
        let receive = call(channel, Some(&format!("Bearer {token}")), source).await?.into_inner();
        Ok(Self { send: Some(send), receive })
    }

    pub(crate) async fn say(&self, payload: impl Into<Bytes>) {
        self.frame(frame(FrameType::Data, payload)).await;
    }

    pub(crate) async fn frame(&self, frame: StreamRequest) {
        self.send.as_ref().expect("not ended").send(frame).await.expect("a call that goes on");
    }

    /// The payload of the next frame.
    pub(crate) async fn hear(&mut self) -> Result<Option<Bytes>, Status> {
        Ok(self.receive.message().await?.map(|frame| frame.payload))
    }

    /// Ends the sending.
    pub(crate) fn end(&mut self) {
        self.send = None;
    }
}

pub(crate) fn frame(kind: FrameType, payload: impl Into<Bytes>) -> StreamRequest {
    StreamRequest { payload: payload.into(), frame_type: kind.into() }
}

/// In the background, with its result.
pub(crate) fn aside<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}
