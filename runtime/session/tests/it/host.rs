//! A session on connections in memory, and the clients that tests use.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    Reason, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::Request;
use hyper_util::rt::TokioIo;
use jumpstarter_core::instance::Instance;
use jumpstarter_protocol::v1::{
    DriverCallRequest, FrameType, StreamRequest, StreamResponse, StreamingDriverCallRequest,
    exporter_service_client::ExporterServiceClient, router_service_client::RouterServiceClient,
};
use jumpstarter_session::{Access, LogBuffer, Session, SessionService};
use jumpstarter_transport::{
    frames,
    server::{Peer, Server},
};
use prost_types::{Value, value::Kind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::driver::{Tester, composite};

pub(crate) struct Host {
    pub(crate) session: Session,
    pub(crate) server: Server<SessionService>,
    pub(crate) tester: Arc<Tester>,
    pub(crate) instance: Arc<Instance>,
}

impl Host {
    /// One tester, `board`, below the root.
    pub(crate) fn new() -> Self {
        Self::with_access(Access::open())
    }

    pub(crate) fn with_access(access: Access) -> Self {
        let logs = LogBuffer::new();
        let tester = Tester::new("board", &Arc::default());
        let instance = tester.instance(logs.clone(), Vec::new());
        let root = composite(vec![("board".to_owned(), instance.clone())]);
        let session = Session::builder(root).logs(logs).build().expect("a session");
        let server = Server::new(session.service(access));
        Self { session, server, tester, instance }
    }

    pub(crate) fn uuid(&self) -> String {
        self.instance.uuid.to_string()
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.channel_as(Peer::Tunnel).await
    }

    pub(crate) async fn channel_as(&self, peer: Peer) -> Channel {
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.server.connection(far, peer);
        let mut near = Some(near);
        let connect = tower::service_fn(move |_| {
            let near = near.take().ok_or_else(|| std::io::Error::other("one connection only"));
            async { near.map(TokioIo::new) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connect).await.expect("a connection")
    }

    pub(crate) async fn exporter(&self) -> ExporterServiceClient<Channel> {
        ExporterServiceClient::new(self.channel().await)
    }

    /// A client that can break every rule.
    pub(crate) async fn raw(&self) -> Raw {
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.server.connection(far, Peer::Tunnel);
        let (send, connection) = h2::client::handshake(near).await.expect("HTTP/2");
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Raw { send, connection }
    }

    pub(crate) async fn call(&self, method: &str, args: Vec<Value>) -> Result<Value, Status> {
        call(&mut self.exporter().await, &self.uuid(), method, args).await
    }

    pub(crate) async fn items(&self, method: &str, args: Vec<Value>) -> (Vec<f64>, Result<(), Status>) {
        let request = StreamingDriverCallRequest { uuid: self.uuid(), method: method.to_owned(), args };
        let mut stream = match self.exporter().await.streaming_driver_call(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return (Vec::new(), Err(status)),
        };
        let mut items = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => match message.result.and_then(|value| value.kind) {
                    Some(Kind::NumberValue(number)) => items.push(number),
                    other => panic!("not a number: {other:?}"),
                },
                Ok(None) => return (items, Ok(())),
                Err(status) => return (items, Err(status)),
            }
        }
    }

    /// Opens a stream with this request metadata.
    pub(crate) async fn open(&self, request: &str) -> Result<Opened, Status> {
        open(self.channel().await, request).await
    }

    pub(crate) async fn open_driver(&self, method: &str) -> Result<Opened, Status> {
        self.open(&format!(r#"{{"kind":"driver","uuid":"{}","method":"{method}"}}"#, self.instance.uuid))
            .await
    }

    pub(crate) async fn open_resource(&self, encoding: Option<&str>) -> Result<Opened, Status> {
        self.open(&self.resource_request(encoding)).await
    }

    pub(crate) fn resource_request(&self, encoding: Option<&str>) -> String {
        let uuid = self.instance.uuid;
        let encoding = encoding.map_or_else(|| "null".to_owned(), |name| format!("{name:?}"));
        format!(r#"{{"kind":"resource","uuid":"{uuid}","x_jmp_content_encoding":{encoding}}}"#)
    }

    /// Waits until drivers have taken every file that was opened for them.
    pub(crate) async fn has_taken_files(&self) {
        let taking = async {
            while self.session.activity().waiting_resources > 0 {
                tokio::task::yield_now().await;
            }
        };
        let taken = tokio::time::timeout(std::time::Duration::from_secs(30), taking).await;
        assert!(taken.is_ok(), "nobody takes them: {:?}", self.session.activity());
    }

    /// Everything was given back.
    pub(crate) async fn is_idle(&self) {
        // Tasks end when the runtime gets to them; nothing announces it.
        for _ in 0..2000 {
            let activity = self.session.activity();
            if (activity.calls, activity.streams, activity.waiting_resources, activity.tasks) == (0, 0, 0, 0)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("something is left: {:?}", self.session.activity());
    }
}

pub(crate) async fn call(
    client: &mut ExporterServiceClient<Channel>,
    uuid: &str,
    method: &str,
    args: Vec<Value>,
) -> Result<Value, Status> {
    let request = DriverCallRequest { uuid: uuid.to_owned(), method: method.to_owned(), args };
    let response = client.driver_call(request).await?.into_inner();
    assert!(uuid::Uuid::parse_str(&response.uuid).is_ok());
    Ok(response.result.expect("a result is always set"))
}

/// A stream that was opened.
pub(crate) struct Opened {
    pub(crate) metadata: tonic::metadata::MetadataMap,
    pub(crate) sender: Option<mpsc::Sender<StreamRequest>>,
    pub(crate) frames: Streaming<StreamResponse>,
}

pub(crate) async fn open(channel: Channel, request: &str) -> Result<Opened, Status> {
    let (sender, receiver) = mpsc::channel(16);
    let mut message = tonic::Request::new(ReceiverStream::new(receiver));
    message.metadata_mut().insert("request", request.parse().expect("metadata"));
    // The sender lives on: only an explicit end is one.
    let response = RouterServiceClient::new(channel).stream(message).await?;
    let (metadata, frames, _) = response.into_parts();
    Ok(Opened { metadata, sender: Some(sender), frames })
}

impl Opened {
    pub(crate) async fn send(&self, data: impl Into<Bytes>) {
        self.send_frame(frames::data(data.into())).await;
    }

    pub(crate) async fn goaway(&self) {
        self.send_frame(frames::goaway()).await;
    }

    pub(crate) async fn send_frame(&self, frame: StreamRequest) {
        self.sender.as_ref().expect("not half-closed").send(frame).await.expect("the call runs");
    }

    /// The next frame with its type.
    pub(crate) async fn frame(&mut self) -> Result<Option<(FrameType, Bytes)>, Status> {
        let message = self.frames.message().await?;
        Ok(message.map(|frame| (frame.frame_type(), frame.payload)))
    }

    pub(crate) async fn data(&mut self) -> Bytes {
        match self.frame().await {
            Ok(Some((FrameType::Data, payload))) => payload,
            other => panic!("expected data, got {other:?}"),
        }
    }

    /// The data up to the end, which has to be announced.
    pub(crate) async fn rest(&mut self) -> Result<Bytes, Status> {
        let mut all = BytesMut::new();
        loop {
            match self.frame().await? {
                Some((FrameType::Data, payload)) => all.put(payload),
                Some((FrameType::Goaway, _)) => return Ok(all.freeze()),
                other => panic!("expected data or the end, got {other:?}"),
            }
        }
    }

    /// The handle that came with the headers, as the map that upstream's clients send.
    pub(crate) fn handle(&self) -> Value {
        let text = self.metadata.get("resource").expect("a handle").to_str().expect("text");
        let json = serde_json::from_str(text).expect("JSON");
        jumpstarter_protocol::value::from_json(json).expect("a value")
    }
}

/// An HTTP/2 connection without gRPC.
pub(crate) struct Raw {
    pub(crate) send: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
}

/// One request on it.
pub(crate) struct RawCall {
    pub(crate) response: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

impl Raw {
    pub(crate) async fn open(&self, path: &str, metadata: &[(&str, &str)]) -> RawCall {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (key, value) in metadata {
            request = request.header(*key, *value);
        }
        let mut send = self.send.clone().ready().await.expect("the connection is open");
        let (response, body) =
            send.send_request(request.body(()).expect("a request"), false).expect("a stream");
        RawCall { response, body }
    }

    /// The connection is lost, in the middle of whatever it was doing.
    pub(crate) fn cut(self) {
        self.connection.abort();
    }
}

/// How a client's call can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Reset(Reason),
    Connection,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] = [
        Self::Reset(Reason::CANCEL),
        Self::Reset(Reason::NO_ERROR),
        Self::Reset(Reason::INTERNAL_ERROR),
        Self::Connection,
    ];
}

impl RawCall {
    pub(crate) fn message(&mut self, message: &impl prost::Message) {
        let body = message.encode_to_vec();
        let mut framed = BytesMut::with_capacity(5 + body.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(body.len()).expect("a small message"));
        framed.put_slice(&body);
        self.body.send_data(framed.freeze(), false).expect("the stream is open");
    }

    pub(crate) fn data(&mut self, data: &[u8]) {
        self.message(&frames::data::<StreamRequest>(Bytes::copy_from_slice(data)));
    }

    pub(crate) fn goaway(&mut self) {
        self.message(&frames::goaway::<StreamRequest>());
    }

    pub(crate) fn cut(mut self, raw: Raw, how: Cut) {
        match how {
            Cut::Reset(reason) => {
                self.body.send_reset(reason);
                // Somebody has to carry the frame away.
                tokio::spawn(async move {
                    let _kept = self;
                    let _ = raw.connection.await;
                });
            }
            Cut::Connection => raw.cut(),
        }
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

pub(crate) fn number(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}
