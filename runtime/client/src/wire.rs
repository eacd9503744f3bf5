//! Calls below the level of messages: the codec that passes bytes on, and streams in both directions.
//!
//! Streams in both directions do not use tonic's client, because its request streams can only end well. Here a request
//! whose sender is dropped resets the call, so that the other side never takes a part for the whole; and payloads are
//! handed to HTTP/2 without a copy.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::{StreamExt as _, future::BoxFuture};
use http::uri::PathAndQuery;
use http_body::Frame;
use jumpstarter_core::{Error, Result, Stream};
use jumpstarter_protocol::v1::{FrameType, StreamResponse};
use jumpstarter_transport::{
    connect::Channel,
    frames::{CHUNK, FrameReader, Lost, Role},
    server::MAX_MESSAGE,
    status::{self, Call},
};
use prost::encoding::{encode_varint, encoded_len_varint};
use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};
use tower::Service as _;

/// Path of the call that carries upstream's byte streams and files.
const ROUTER_STREAM: PathAndQuery = PathAndQuery::from_static("/jumpstarter.v1.RouterService/Stream");

/// Most bytes of one piece of a native byte stream: each costs two frames and a message, and every gRPC server takes four
/// times as much without being told to.
const PIECE: usize = 1024 * 1024;

/// How many pieces wait for the connection. Flow control does the rest; more would only hold memory.
const DEPTH: usize = 4;

/// Pieces up to this size are copied together, so that many small ones share an HTTP/2 frame.
const SMALL: usize = 4 * 1024;

/// How much of small pieces is copied together.
const BATCH: usize = 16 * 1024;

/// What a stream's decoder has in hand while nothing comes; it grows with the messages and shrinks again.
const IDLE_BUFFER: usize = 512;

/// Passes messages on as the bytes they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

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
        buffer.reserve(item.len());
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

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(IDLE_BUFFER, BATCH)
    }
}

/// A native call with one answer.
pub(crate) async fn unary(
    channel: Channel,
    path: PathAndQuery,
    request: Request<Bytes>,
) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
    ready_for(&mut grpc).await?;
    Ok(grpc.unary(request, path, Raw).await?.into_inner())
}

/// A native call with many answers.
pub(crate) async fn server_stream(
    channel: Channel,
    path: PathAndQuery,
    request: Request<Bytes>,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
    ready_for(&mut grpc).await?;
    grpc.server_streaming(request, path, Raw).await
}

async fn ready_for(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))
}

/// Starts a call with many answers, and does not wait for its response's headers: some servers send them with the first
/// answer only, which may be long in coming.
///
/// `convert` turns messages into answers. All of it is one stream and not several around each other: answers can be many.
pub(crate) async fn start<T: Send + 'static, A: Send + 'static>(
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>> + Send + 'static,
    kind: Call,
    convert: impl Fn(T) -> A + Send + Unpin + 'static,
) -> Result<Stream<A>> {
    let mut call = Box::pin(call);
    // The first poll hands the request to the connection's task; from then on it is under way without us.
    let state = match futures::poll!(call.as_mut()) {
        Poll::Ready(Ok(response)) => Answering::Open(response.into_inner()),
        Poll::Ready(Err(status)) => return Err(status::from_status(&status, kind)),
        Poll::Pending => Answering::Opening(call),
    };
    Ok(Stream::new(Answers { state, kind, convert }))
}

/// The answers of a call with many of them.
struct Answers<F, T, C> {
    state: Answering<F, T>,
    kind: Call,
    convert: C,
}

// There is one for each call in progress, and nearly all of them are open.
#[allow(clippy::large_enum_variant)]
enum Answering<F, T> {
    /// The response's headers have not come yet.
    Opening(Pin<Box<F>>),
    Open(Streaming<T>),
    Over,
}

impl<F, T, A, C> futures::Stream for Answers<F, T, C>
where
    F: Future<Output = Result<Response<Streaming<T>>, Status>>,
    C: Fn(T) -> A + Unpin,
{
    type Item = Result<A>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let next = match &mut this.state {
                Answering::Opening(call) => match ready!(call.as_mut().poll(cx)) {
                    Ok(response) => {
                        this.state = Answering::Open(response.into_inner());
                        continue;
                    }
                    Err(status) => Some(Err(status)),
                },
                Answering::Open(messages) => ready!(messages.poll_next_unpin(cx)),
                Answering::Over => None,
            };
            return Poll::Ready(match next {
                Some(Ok(message)) => Some(Ok((this.convert)(message))),
                Some(Err(status)) => {
                    this.state = Answering::Over;
                    Some(Err(status::from_status(&status, this.kind)))
                }
                None => {
                    this.state = Answering::Over;
                    None
                }
            });
        }
    }
}

/// How the two ends of a byte stream speak.
#[derive(Clone, Debug)]
pub(crate) enum Dialect {
    /// Upstream's: frames with a type; an end is announced by one of them.
    Frames,
    /// The interface's own service: messages with a payload; the end of the request is the end.
    Native(PathAndQuery),
}

/// What goes out.
#[derive(Debug)]
pub(crate) enum Item {
    /// A piece of data.
    Piece(Bytes),
    /// There is no more, and none is missing. Upstream's dialect can carry a note about it.
    End(Bytes),
}

/// The sending half of a stream. Dropping it without an [`Item::End`] resets the call.
pub(crate) type Outbox = mpsc::Sender<Item>;

/// A call whose response's headers have not come yet.
pub(crate) type Opening = BoxFuture<'static, Result<Opened, Status>>;

/// A call whose response's headers have come.
pub(crate) struct Opened {
    /// The headers.
    pub(crate) metadata: MetadataMap,
    /// What follows them.
    pub(crate) inbox: Inbox,
}

/// Opens a stream in both directions. The request goes out as soon as the future is polled.
///
/// With `cut`, pieces are cut to a size that every peer takes; without, one piece is one message.
pub(crate) fn open(
    channel: &Channel,
    metadata: MetadataMap,
    dialect: Dialect,
    cut: bool,
) -> (Outbox, Opening) {
    let (outbox, pieces) = mpsc::channel(DEPTH);
    let (path, frames, most) = match dialect {
        Dialect::Frames => (ROUTER_STREAM, true, CHUNK),
        Dialect::Native(path) => (path, false, PIECE),
    };
    let body = Outgoing {
        pieces,
        frames,
        cut: cut.then_some(most),
        rest: Bytes::new(),
        payload: Bytes::new(),
        state: Sending::Open,
    };
    let mut channel = channel.clone();
    let opening = async move {
        let mut request = http::Request::new(tonic::body::Body::new(body));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = http::Uri::from(path);
        *request.headers_mut() = metadata.into_headers();
        let headers = request.headers_mut();
        headers.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
        let broken = |error: tonic::transport::Error| Status::from_error(Box::new(error));
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(broken)?;
        let (head, body) = channel.call(request).await.map_err(broken)?.into_parts();
        let inbox = match Status::from_header_map(&head.headers) {
            Some(status) if status.code() != tonic::Code::Ok => return Err(status),
            early => Inbox::new(frames, early.is_some(), body, head.status),
        };
        Ok(Opened { metadata: MetadataMap::from_headers(head.headers), inbox })
    };
    (outbox, Box::pin(opening))
}

/// The request's body, made of pieces as they come.
struct Outgoing {
    pieces: mpsc::Receiver<Item>,
    frames: bool,
    /// Most bytes of one message, for byte streams.
    cut: Option<usize>,
    /// What is left of a piece that is cut into several messages.
    rest: Bytes,
    /// The payload whose head was just sent.
    payload: Bytes,
    state: Sending,
}

#[derive(Clone, Copy, PartialEq)]
enum Sending {
    Open,
    Ended,
    Dropped,
}

impl Outgoing {
    /// Writes one message to `out`, or its head there and its payload to `self.payload`.
    fn message(&mut self, mut piece: Bytes, out: &mut BytesMut) {
        let payload = match self.cut {
            Some(limit) if piece.len() > limit => {
                let payload = piece.split_to(limit);
                self.rest = piece;
                payload
            }
            _ => piece,
        };
        head(out, payload.len(), false);
        if payload.len() <= SMALL {
            out.put(payload);
        } else {
            self.payload = payload;
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.rest.is_empty() {
            self.pieces.poll_recv(cx)
        } else {
            Poll::Ready(Some(Item::Piece(std::mem::take(&mut self.rest))))
        }
    }
}

/// Writes what stands before a payload: gRPC's prefix and the head of the message's only field; for an end, the second
/// field, which says so, as well.
fn head(out: &mut BytesMut, payload: usize, goaway: bool) {
    // Protobuf leaves an empty field out altogether.
    let field = if payload == 0 { 0 } else { 1 + encoded_len_varint(payload as u64) };
    let length = field + payload + if goaway { GOAWAY.len() } else { 0 };
    out.reserve(5 + length.min(SMALL + 16));
    out.put_u8(0);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    if goaway {
        // Fields may come in any order; this way the payload is last in both cases.
        out.put_slice(&GOAWAY);
    }
    if payload > 0 {
        out.put_u8(0x0a);
        encode_varint(payload as u64, out);
    }
}

/// `frame_type = FRAME_TYPE_GOAWAY`, encoded.
const GOAWAY: [u8; 2] = [0x10, FrameType::Goaway as u8];

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if !this.payload.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.payload)))));
        }
        let mut out = BytesMut::new();
        while this.state == Sending::Open && this.payload.is_empty() && out.len() < BATCH {
            match this.poll_piece(cx) {
                Poll::Ready(Some(Item::Piece(piece))) => this.message(piece, &mut out),
                Poll::Ready(Some(Item::End(note))) => {
                    this.state = Sending::Ended;
                    if this.frames {
                        head(&mut out, note.len(), true);
                        out.put(note);
                    }
                }
                Poll::Ready(None) => this.state = Sending::Dropped,
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if !out.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(out.freeze()))));
        }
        Poll::Ready(match this.state {
            Sending::Dropped => Some(Err(Status::cancelled("the stream was dropped before its end"))),
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.state == Sending::Ended && self.payload.is_empty()
    }
}

/// The message of native byte streams.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamData {
    /// The piece.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// Decodes messages, with little memory while none come.
struct Messages<M>(PhantomData<fn() -> M>);

impl<M: prost::Message + Default> Decoder for Messages<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        M::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(format!("a message cannot be read: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(IDLE_BUFFER, BATCH)
    }
}

/// The receiving half of a stream: pieces, then `None` when the data is complete. A loss is an error each time.
pub(crate) enum Inbox {
    /// Upstream's dialect.
    Frames {
        /// Applies the rules for ends and losses.
        reader: FrameReader<Watched>,
        /// The note that came with the announced end; unset as long as none was announced.
        farewell: Arc<OnceLock<Bytes>>,
    },
    /// The interface's own service.
    Native {
        /// The messages.
        messages: Streaming<StreamData>,
        /// The loss, once there was one.
        lost: Option<Lost>,
    },
}

impl Inbox {
    fn new<B>(frames: bool, empty: bool, body: B, status: http::StatusCode) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        fn streaming<D, B>(decoder: D, empty: bool, body: B, status: http::StatusCode) -> Streaming<D::Item>
        where
            D: Decoder<Error = Status> + Send + 'static,
            B: http_body::Body + Send + 'static,
            B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        {
            if empty {
                Streaming::new_empty(decoder, body)
            } else {
                Streaming::new_response(decoder, body, status, None, Some(MAX_MESSAGE))
            }
        }
        if frames {
            let farewell = Arc::new(OnceLock::new());
            let messages = streaming(Messages(PhantomData), empty, body, status);
            let reader = FrameReader::new(Watched { messages, farewell: farewell.clone() }, Role::Client);
            Self::Frames { reader, farewell }
        } else {
            Self::Native { messages: streaming(Messages(PhantomData), empty, body, status), lost: None }
        }
    }

    /// The note that came with the end of the data, if the end was announced and not only reached.
    pub(crate) fn farewell(&self) -> Option<&Bytes> {
        match self {
            Self::Frames { farewell, .. } => farewell.get(),
            Self::Native { .. } => None,
        }
    }
}

impl futures::Stream for Inbox {
    type Item = Result<Bytes, Lost>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Frames { reader, .. } => reader.poll_next_unpin(cx),
            Self::Native { messages, lost } => {
                if let Some(lost) = lost {
                    return Poll::Ready(Some(Err(lost.clone())));
                }
                Poll::Ready(match ready!(messages.poll_next_unpin(cx)) {
                    Some(Ok(message)) => Some(Ok(message.payload)),
                    Some(Err(status)) => Some(Err(lost.insert(Lost::new(status)).clone())),
                    None => None,
                })
            }
        }
    }
}

/// Frames on their way to the reader; remembers what the announcement of the end said.
pub(crate) struct Watched {
    messages: Streaming<StreamResponse>,
    farewell: Arc<OnceLock<Bytes>>,
}

impl futures::Stream for Watched {
    type Item = Result<StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(Pin::new(&mut self.messages).poll_next(cx));
        if let Some(Ok(frame)) = &frame
            && frame.frame_type == FrameType::Goaway as i32
        {
            // Only the first one counts, as for the reader.
            let _ = self.farewell.set(frame.payload.clone());
        }
        Poll::Ready(frame)
    }
}

/// A metadata value for text that is known to be plain, or an error that says where it came from.
pub(crate) fn header(what: &str, text: &str) -> Result<tonic::metadata::AsciiMetadataValue> {
    text.parse().map_err(|_| {
        Error::invalid_argument(format!("{what} {text:?} cannot be sent: only printable ASCII can"))
    })
}

#[cfg(test)]
mod tests {
    use jumpstarter_protocol::v1::StreamRequest;
    use prost::Message as _;

    use super::*;

    /// All bytes of a body that was fed these items, and whether it ended well.
    async fn body(frames: bool, cut: Option<usize>, items: Vec<Item>) -> (BytesMut, bool) {
        let (sender, pieces) = mpsc::channel(64);
        for item in items {
            sender.try_send(item).unwrap();
        }
        drop(sender);
        let mut body =
            Outgoing { pieces, frames, cut, rest: Bytes::new(), payload: Bytes::new(), state: Sending::Open };
        let mut all = BytesMut::new();
        loop {
            match std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await {
                Some(Ok(frame)) => all.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => return (all, false),
                None => return (all, true),
            }
        }
    }

    fn messages<M: prost::Message + Default>(mut bytes: BytesMut) -> Vec<M> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(bytes.get_u8(), 0);
            let length = bytes.get_u32() as usize;
            messages.push(M::decode(bytes.split_to(length)).unwrap());
        }
        messages
    }

    #[tokio::test]
    async fn the_hand_made_encoding_is_what_prost_reads() {
        for size in [0, 1, 127, 128, SMALL, SMALL + 1, 16_383, 16_384, 300_000] {
            let piece = Bytes::from(vec![7; size]);
            let note = Bytes::from_static(b"{}");
            let (sent, well) =
                body(true, None, vec![Item::Piece(piece.clone()), Item::End(note.clone())]).await;
            assert!(well);
            let frames: Vec<StreamRequest> = messages(sent);
            assert_eq!(frames.len(), 2);
            assert_eq!((&frames[0].payload, frames[0].frame_type), (&piece, FrameType::Data as i32));
            assert_eq!((&frames[1].payload, frames[1].frame_type), (&note, FrameType::Goaway as i32));

            let (sent, well) = body(false, None, vec![Item::Piece(piece.clone()), Item::End(note)]).await;
            assert!(well);
            assert_eq!(messages::<StreamData>(sent), [StreamData { payload: piece }]);
        }
    }

    #[tokio::test]
    async fn an_end_without_a_note_is_exactly_what_upstream_sends() {
        let (sent, _) = body(true, None, vec![Item::End(Bytes::new())]).await;
        let goaway = StreamRequest { payload: Bytes::new(), frame_type: FrameType::Goaway.into() };
        assert_eq!(sent[5..], goaway.encode_to_vec());
    }

    #[tokio::test]
    async fn pitfall_s1_a_dropped_sender_is_a_failure_and_never_an_end() {
        for frames in [true, false] {
            let (sent, well) = body(frames, None, vec![Item::Piece("data".into())]).await;
            assert!(!well);
            assert_eq!(messages::<StreamData>(sent).len(), 1, "what was sent before still goes out");
        }
    }

    #[tokio::test]
    async fn byte_streams_are_cut_and_messages_are_not() {
        let piece = Bytes::from(vec![1; 10]);
        let (sent, _) = body(true, Some(4), vec![Item::Piece(piece.clone()), Item::End(Bytes::new())]).await;
        let sizes: Vec<_> =
            messages::<StreamRequest>(sent).into_iter().map(|frame| frame.payload.len()).collect();
        assert_eq!(sizes, [4, 4, 2, 0]);
        let (sent, _) =
            body(true, None, vec![Item::Piece(piece), Item::Piece(Bytes::new()), Item::Piece("x".into())])
                .await;
        let sizes: Vec<_> =
            messages::<StreamRequest>(sent).into_iter().map(|frame| frame.payload.len()).collect();
        assert_eq!(sizes, [10, 0, 1], "an empty message is a message");
    }
}
