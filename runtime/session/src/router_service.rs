//! `jumpstarter.v1.RouterService` inside a session: byte streams of drivers, and resources.
//!
//! Which of them is said by the request's metadata key `request`, as JSON. The response's headers go out as soon as the
//! driver has opened its side, because clients wait for them before they send anything; a driver that cannot open its
//! side fails the call. Streams are never behind the gate.

use std::{convert::Infallible, sync::Arc};

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use jumpstarter_core::{Error, ErrorKind, Result, describe::Kind, dispatch::Payload};
use jumpstarter_protocol::{
    codec::SmallCodec,
    v1::{StreamRequest, StreamResponse},
};
use jumpstarter_transport::{
    codec::Encoding,
    frames::{self, CHUNK, FrameReader, Role},
    server::MAX_MESSAGE,
    status,
};
use serde::Deserialize;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    metadata::MetadataMap,
    server::{Grpc, StreamingService},
};

use crate::{
    byte_stream::{Event, Style, pump},
    calls::{self, Failure, Operation},
    resources,
    session::Shared,
};

/// What the metadata key `request` holds. Unknown fields are for others.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Opening {
    Driver {
        uuid: String,
        method: String,
    },
    Resource {
        uuid: String,
        #[serde(default)]
        x_jmp_content_encoding: Option<String>,
        /// Ours: how many bytes the client will send, as they are on the wire.
        #[serde(default)]
        length: Option<u64>,
        /// The client looks at what is said with the end of the data. Only clients of ours do.
        #[serde(default)]
        notes: bool,
    },
}

fn opening(metadata: &MetadataMap) -> Result<Opening> {
    // Upstream answers UNKNOWN to all of these, like to any other exception.
    let wrong = |text: String| Error::new(ErrorKind::Device, text);
    // Python's servers let the last of several win.
    let Some(value) = metadata.get_all("request").iter().next_back() else {
        return Err(wrong(
            "the metadata key `request` is missing; send {\"kind\":\"driver\",\"uuid\":…,\"method\":…}"
                .to_owned(),
        ));
    };
    serde_json::from_slice(value.as_encoded_bytes())
        .map_err(|error| wrong(format!("the metadata key `request` cannot be understood: {error}")))
}

/// The service behind every way in.
#[derive(Clone)]
pub(crate) struct Router {
    shared: Arc<Shared>,
}

impl Router {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn driver(
        &self,
        uuid: &str,
        method: &str,
        kinds: bool,
        frames: Streaming<StreamRequest>,
    ) -> Result<Response<Frames>, Failure> {
        let node = calls::instance(&self.shared, uuid)?;
        let (provided, index) = calls::method(node, method, Kind::Bytes)?;
        let framing = provided.interface.methods[index].framing;
        let payload = Payload::Values(Vec::new());
        let opened = Operation::run(&self.shared, node, provided, index, payload).await;
        let (reply, operation) = if kinds { opened? } else { opened.map_err(unopened)? };
        let io = operation.bytes(reply)?;
        let input = FrameReader::new(frames, Role::Server);
        let status = if kinds { status::native } else { status::legacy };
        let style = Style { framing, half_close: true, most: CHUNK, status };
        let events = pump(&self.shared, node, io, input, style);
        let frames = events.map(|event| {
            Ok(match event? {
                Event::Data(chunk) => frames::data(chunk),
                Event::End => frames::goaway(),
            })
        });
        Ok(Response::new(frames.boxed()))
    }
}

/// In the existing release, whatever a driver says while it opens a byte stream is UNKNOWN. The text stays.
fn unopened(failure: Failure) -> Failure {
    match failure {
        Failure::Error(error) if !matches!(error.kind(), ErrorKind::Internal | ErrorKind::Cancelled) => {
            Failure::Error(error.with_kind(ErrorKind::Device))
        }
        other => other,
    }
}

type Frames = BoxStream<'static, Result<StreamResponse, Status>>;

impl Router {
    async fn stream(&self, request: Request<Streaming<StreamRequest>>) -> Result<Response<Frames>, Status> {
        let (metadata, _, frames) = request.into_parts();
        let kinds = calls::wants_kinds(&metadata);
        let opening = opening(&metadata).map_err(|error| Failure::from(error).told(kinds))?;
        let response = match opening {
            Opening::Driver { uuid, method } => self.driver(&uuid, &method, kinds, frames).await,
            Opening::Resource { uuid, x_jmp_content_encoding, length, notes } => {
                let encoding = x_jmp_content_encoding.map(|name| name.parse::<Encoding>()).transpose();
                let open = || {
                    let node = calls::instance(&self.shared, &uuid)?;
                    let encoding = encoding.map_err(Error::from)?;
                    let announced = resources::Announced { length, notes };
                    resources::open(&self.shared, node, encoding, announced, &metadata, frames)
                };
                open()
            }
        };
        response.map_err(|failure| failure.told(kinds))
    }
}

/// A call of the only method there is.
impl StreamingService<StreamRequest> for Router {
    type Response = StreamResponse;
    type ResponseStream = Frames;
    type Future = BoxFuture<'static, Result<Response<Frames>, Status>>;

    fn call(&mut self, request: Request<Streaming<StreamRequest>>) -> Self::Future {
        let router = self.clone();
        Box::pin(async move { router.stream(request).await })
    }
}

/// Answers `RouterService.Stream`.
///
/// Not through the generated server: its buffers hold 8 KiB for each direction of each stream, which is most of what an
/// idle console would cost.
pub(crate) fn call(
    router: Router,
    request: http::Request<Body>,
) -> BoxFuture<'static, Result<http::Response<Body>, Infallible>> {
    Box::pin(async move {
        let codec = SmallCodec::<StreamResponse, StreamRequest>::default();
        Ok(Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE).streaming(router, request).await)
    })
}
