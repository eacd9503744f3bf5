//! One call of `RouterService.Stream`, as its client.
//!
//! tonic's generated client cannot take back a request: when the stream it sends from is dropped half way, the server
//! sees a clean end, and an upload that was cancelled looks complete. Here the end has to be said, with
//! [`FrameWriter::finish`]; a writer that is dropped without it resets the call.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::Stream;
use http::{Extensions, uri::PathAndQuery};
use jumpstarter_protocol::v1::{StreamRequest, StreamResponse};
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tonic::{
    Request, Response, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};

use crate::{
    connect::Channel,
    frames::{self, FrameReader, Lost, Role},
    server::MAX_MESSAGE,
};

const PATH: &str = "/jumpstarter.v1.RouterService/Stream";

/// How many frames wait for the connection before the sender does.
const DEPTH: usize = 16;

/// Reads the data of a call's response.
pub type ResponseReader = FrameReader<Streaming<StreamResponse>>;

/// Opens a call. The writer works at once; awaiting the second value waits for the response's headers, which some
/// servers send only with their first frame. So have something to send under way before awaiting it.
///
/// # Errors
/// The future fails with the call's status.
pub fn open(
    channel: Channel,
    metadata: MetadataMap,
) -> (FrameWriter, impl Future<Output = Result<Response<ResponseReader>, Status>> + Send + 'static) {
    let (frames, source) = mpsc::channel(DEPTH);
    let call = async move {
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = Request::from_parts(metadata, Extensions::default(), Outgoing { source, ended: false });
        let response = grpc.streaming(request, PathAndQuery::from_static(PATH), Framing).await?;
        Ok(response.map(|frames| FrameReader::new(frames, Role::Client)))
    };
    (FrameWriter { frames }, call)
}

/// Sends the data of a call's request.
#[derive(Debug)]
#[must_use = "a writer that is dropped resets its call; end it with `finish`"]
pub struct FrameWriter {
    frames: mpsc::Sender<Chunk>,
}

impl FrameWriter {
    /// Sends one chunk as one frame. Waits while the peer is slower; may be cancelled, and then has not sent it.
    ///
    /// # Errors
    /// When the call has ended.
    pub async fn send(&self, chunk: Bytes) -> Result<(), Lost> {
        self.frames.send(Chunk::Data(chunk)).await.map_err(|_| ended())
    }

    /// Announces the end of the data and closes this direction. Answers can still be read.
    ///
    /// # Errors
    /// When the call has ended.
    pub async fn finish(self) -> Result<(), Lost> {
        self.frames.send(Chunk::End).await.map_err(|_| ended())
    }

    /// Waits until nobody takes data any more, because the call has ended.
    pub async fn closed(&self) {
        self.frames.closed().await;
    }
}

impl FrameWriter {
    /// For those who poll.
    pub(crate) fn into_sender(self) -> PollSender<Chunk> {
        PollSender::new(self.frames)
    }
}

fn ended() -> Lost {
    Lost::new(Status::unavailable("the call has ended"))
}

/// What a writer hands to its call.
#[derive(Debug)]
pub(crate) enum Chunk {
    Data(Bytes),
    End,
}

/// What the request consists of.
enum Item {
    Frame(StreamRequest),
    /// The writer was dropped.
    Cut,
}

struct Outgoing {
    source: mpsc::Receiver<Chunk>,
    ended: bool,
}

impl Stream for Outgoing {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(this.source.poll_recv(cx)) {
            Some(Chunk::Data(chunk)) => Item::Frame(frames::data(chunk)),
            Some(Chunk::End) => {
                this.ended = true;
                Item::Frame(frames::goaway())
            }
            None => {
                this.ended = true;
                Item::Cut
            }
        }))
    }
}

/// Encodes frames, and turns a cut into the error that makes the connection reset the call.
#[derive(Debug)]
struct Framing;

impl Codec for Framing {
    type Encode = Item;
    type Decode = StreamResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Framing {
    type Item = Item;
    type Error = Status;

    fn encode(&mut self, item: Item, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {
            Item::Frame(frame) => frame.encode(to).map_err(|error| Status::internal(error.to_string())),
            Item::Cut => Err(Status::cancelled("the sender gave up")),
        }
    }
}

impl Decoder for Framing {
    type Item = StreamResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<StreamResponse>, Status> {
        StreamResponse::decode(from)
            .map(Some)
            .map_err(|error| Status::internal(format!("a frame cannot be decoded: {error}")))
    }
}
