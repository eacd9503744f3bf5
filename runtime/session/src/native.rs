//! The native service of each interface, on the same port as everything else.
//!
//! A path is a service and a method of an interface; the instance is chosen by metadata, or is the only one there is.
//! Messages pass through as bytes: the driver's side of an interface reads and writes them itself.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, future::BoxFuture, stream::BoxStream};
use http::{HeaderMap, Request, Response};
use jumpstarter_core::{
    Error, ErrorKind,
    describe::{Kind, Method},
    dispatch::{self, Payload},
};
use jumpstarter_protocol::codec::SmallCodec;
use jumpstarter_transport::{frames::Lost, metadata::INSTANCE, server::MAX_MESSAGE, status};
use tonic::{
    Status, Streaming,
    body::Body,
    codec::Codec,
    server::{Grpc, ServerStreamingService, StreamingService, UnaryService},
};

use crate::{
    access::Access,
    byte_stream::{Event, Style, pump},
    calls::{self, Failure, Operation},
    codec::Raw,
    session::Shared,
    tree::{Node, Provider, parse_uuid},
};

/// Most bytes of one piece of a byte stream. Larger than that of upstream's stream, because each piece costs two frames
/// and a message; a quarter of what every gRPC client takes without being told to.
const PIECE: usize = 1024 * 1024;

/// What a call of a native service is for.
#[derive(Clone)]
pub(crate) struct Found {
    provider: Provider,
    index: usize,
    method: &'static Method,
}

/// Finds out what a path stands for: `None` when no instance of the session has such a method.
pub(crate) fn find(
    shared: &Shared,
    service: &str,
    rpc: &str,
    headers: &HeaderMap,
) -> Option<Result<Found, Status>> {
    let providers = shared.tree.providers(service)?;
    if !providers.iter().any(|provider| provider.provided.interface.by_rpc(rpc).is_some()) {
        return None;
    }
    Some(choose(shared, service, providers, headers).map_err(|error| status::native(&error)).and_then(
        |provider| {
            let interface = provider.provided.interface;
            let index = interface.by_rpc(rpc).ok_or_else(|| {
                let text = format!("{} has no method {rpc} of {service}", provider.node.name());
                status::native(&Error::new(ErrorKind::MethodNotFound, text))
            })?;
            Ok(Found { provider: provider.clone(), index, method: &interface.methods[index] })
        },
    ))
}

fn choose<'a>(
    shared: &Shared,
    service: &str,
    providers: &'a [Provider],
    headers: &HeaderMap,
) -> Result<&'a Provider, Error> {
    let unknown = |text: String| Error::new(ErrorKind::UnknownInstance, text);
    let list = || {
        let names = providers
            .iter()
            .map(|provider| format!("{} ({})", provider.node.name(), provider.node.instance.uuid));
        names.collect::<Vec<_>>().join(", ")
    };
    let Some(value) = headers.get(INSTANCE) else {
        return match providers {
            [only] => Ok(only),
            _ => Err(Error::not_ready(format!(
                "several instances provide {service}; set the metadata key {INSTANCE} to one of: {}",
                list()
            ))),
        };
    };
    let Some(uuid) = value.to_str().ok().and_then(parse_uuid) else {
        return Err(unknown(format!(
            "the metadata key {INSTANCE} holds no uuid; {service} is provided by {}",
            list()
        )));
    };
    if let Some(provider) = providers.iter().find(|provider| provider.node.instance.uuid == uuid) {
        return Ok(provider);
    }
    Err(unknown(match shared.tree.get(uuid) {
        Some(node) => format!("{} ({uuid}) does not provide {service}; {} does", node.name(), list()),
        None => format!(
            "no driver instance of this session has the uuid {uuid}; {service} is provided by {}",
            list()
        ),
    }))
}

/// Carries out a call.
pub(crate) fn call(
    shared: Arc<Shared>,
    access: Arc<Access>,
    found: Found,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    let kind = found.method.kind;
    let handler = Handler { shared, access, found };
    Box::pin(async move {
        Ok(match kind {
            Kind::Unary => grpc(Raw).unary(handler, request).await,
            Kind::ServerStream => grpc(Raw).server_streaming(handler, request).await,
            Kind::Bytes => grpc(SmallCodec::default()).streaming(handler, request).await,
        })
    })
}

fn grpc<C: Codec>(codec: C) -> Grpc<C> {
    Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE)
}

struct Handler {
    shared: Arc<Shared>,
    access: Arc<Access>,
    found: Found,
}

impl Handler {
    fn node(&self) -> &Arc<Node> {
        &self.found.provider.node
    }

    async fn run(&self, payload: Bytes) -> Result<(jumpstarter_core::dispatch::Reply, Operation), Failure> {
        let Found { provider, index, .. } = &self.found;
        Operation::run(&self.shared, self.node(), &provider.provided, *index, Payload::Proto(payload)).await
    }

    fn gate(&self) -> Result<(), Error> {
        self.access.check_gate(&self.shared.status)
    }
}

type Answer<T> = BoxFuture<'static, Result<tonic::Response<T>, Status>>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl UnaryService<Bytes> for Handler {
    type Response = dispatch::Answer;
    type Future = Answer<Self::Response>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let handler =
            Self { shared: self.shared.clone(), access: self.access.clone(), found: self.found.clone() };
        Box::pin(async move {
            let call = async {
                handler.gate()?;
                let (reply, operation) = handler.run(request.into_inner()).await?;
                operation.unary(reply)
            };
            call.await.map(tonic::Response::new).map_err(Failure::native)
        })
    }
}

impl ServerStreamingService<Bytes> for Handler {
    type Response = dispatch::Answer;
    type ResponseStream = Messages<Self::Response>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let handler =
            Self { shared: self.shared.clone(), access: self.access.clone(), found: self.found.clone() };
        Box::pin(async move {
            let call = async {
                handler.gate()?;
                let (reply, operation) = handler.run(request.into_inner()).await?;
                operation.stream(reply)
            };
            let answers = call.await.map_err(Failure::native)?;
            let messages = answers.map(|answer| answer.map_err(Failure::native));
            Ok(tonic::Response::new(calls::with_first(messages).await?))
        })
    }
}

/// One piece of a native byte stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamData {
    /// The data.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

impl StreamingService<StreamData> for Handler {
    type Response = StreamData;
    type ResponseStream = Messages<StreamData>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: tonic::Request<Streaming<StreamData>>) -> Self::Future {
        let handler =
            Self { shared: self.shared.clone(), access: self.access.clone(), found: self.found.clone() };
        Box::pin(async move {
            let call = async {
                let (reply, operation) = handler.run(Bytes::new()).await?;
                operation.bytes(reply)
            };
            let io = call.await.map_err(Failure::native)?;
            // gRPC has no half close for servers: the end of the driver's data is the end of the call.
            let style = Style {
                framing: handler.found.method.framing,
                half_close: false,
                most: PIECE,
                status: status::native,
            };
            let events = pump(&handler.shared, handler.node(), io, payloads(request.into_inner()), style);
            let messages = events.filter_map(async |event| match event {
                Ok(Event::Data(payload)) => Some(Ok(StreamData { payload })),
                Ok(Event::End) => None,
                Err(status) => Some(Err(status)),
            });
            Ok(tonic::Response::new(messages.boxed()))
        })
    }
}

/// The client's data. After a loss there is nothing more to ask.
fn payloads(messages: Streaming<StreamData>) -> impl Stream<Item = Result<Bytes, Lost>> + Send + Unpin {
    messages.map(|message| message.map(|data| data.payload).map_err(Lost::new))
}
