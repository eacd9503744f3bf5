//! What a lab counts, for Prometheus: `/metrics`.
//!
//! | Name | Kind | Labels | Meaning |
//! |---|---|---|---|
//! | `jumpstarter_grpc_calls_total` | counter | `method`, `code` | calls that have ended |
//! | `jumpstarter_grpc_calls_open` | gauge | `method` | calls that go on: streams, for the most part |
//! | `jumpstarter_router_calls` | gauge | `state` | ends of tunnels that are `joined`, or `waiting` for the other one |
//! | `jumpstarter_router_bytes_total` | counter | | bytes that the router has passed on |
//!
//! and those of [`jumpstarter_service::metrics`].

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use jumpstarter_router::Router;
use jumpstarter_service::Lab;
use jumpstarter_store::Store;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use prost::Message as _;
use tonic::{Code, body::Body};
use tower::Service;

type Ended = [(&'static str, String); 2];
type Open = [(&'static str, String); 1];

/// Everything that is counted.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    calls: Calls,
}

/// Counts of calls.
#[derive(Clone, Debug)]
struct Calls {
    /// Paths of the methods that there are: whoever makes up others does not make series of them.
    known: Arc<HashSet<String>>,
    ended: Family<Ended, Counter>,
    open: Family<Open, Gauge>,
}

/// Paths of all methods of these descriptor sets.
fn paths(sets: &[&[u8]]) -> HashSet<String> {
    let read = sets.iter().filter_map(|set| prost_types::FileDescriptorSet::decode(*set).ok());
    read.flat_map(|set| set.file)
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().flat_map(move |service| {
                let name = format!("{package}.{}", service.name());
                service.method.into_iter().map(move |method| format!("/{name}/{}", method.name()))
            })
        })
        .collect()
}

impl Metrics {
    /// Of this lab and its router, for the methods in these descriptor sets.
    pub fn new<S: Store>(lab: &Lab<S>, router: &Router, descriptors: &[&[u8]]) -> Self {
        let mut registry = Registry::default();
        jumpstarter_service::metrics::register(lab, &mut registry);
        let calls =
            Calls { known: Arc::new(paths(descriptors)), ended: Family::default(), open: Family::default() };
        registry.register("jumpstarter_grpc_calls", "Calls that have ended", calls.ended.clone());
        registry.register("jumpstarter_grpc_calls_open", "Calls that go on", calls.open.clone());
        registry.register_collector(Box::new(Carried(router.clone())));
        Self { registry: Arc::new(registry), calls }
    }

    /// The page.
    pub fn page(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// The same service, with its calls counted.
    pub fn count<S>(&self, service: S) -> Counted<S> {
        Counted { service, calls: self.calls.clone() }
    }
}

#[derive(Debug)]
struct Carried(Router);

impl Collector for Carried {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let load = self.0.load();
        let mut calls = encoder.encode_descriptor(
            "jumpstarter_router_calls",
            "Ends of tunnels that are joined, or wait for the other one",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in [("joined", load.calls.saturating_sub(load.waiting)), ("waiting", load.waiting)]
        {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(calls.encode_family(&[("state", state)])?)?;
        }
        let counter = ConstCounter::new(self.0.carried());
        let bytes = encoder.encode_descriptor(
            "jumpstarter_router_bytes",
            "Bytes that the router has passed on",
            None,
            MetricType::Counter,
        )?;
        counter.encode(bytes)
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    service: S,
    calls: Calls,
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let kind = request.headers().get(CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            return self.service.call(request).boxed();
        }
        let call = self.calls.begin(request.uri().path());
        let answer = self.service.call(request);
        async move {
            let (head, body) = answer.await?.into_parts();
            let mut body = Counting { body, call };
            // An answer without a body has its status in front.
            body.call.read(&head.headers);
            Ok(Response::from_parts(head, Body::new(body)))
        }
        .boxed()
    }
}

impl Calls {
    fn begin(&self, path: &str) -> Call {
        let method = if self.known.contains(path) { path.trim_start_matches('/') } else { "unknown" };
        let method = method.to_owned();
        let open = self.open.get_or_create(&[("method", method.clone())]).clone();
        open.inc();
        Call { method, ended: self.ended.clone(), open, code: None }
    }
}

/// A call that goes on; counted when it is dropped.
struct Call {
    method: String,
    ended: Family<Ended, Counter>,
    open: Gauge,
    code: Option<Code>,
}

impl Call {
    fn read(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.open.dec();
        // Whoever called has gone.
        let code = self.code.unwrap_or(Code::Cancelled);
        let method = std::mem::take(&mut self.method);
        self.ended.get_or_create(&[("method", method), ("code", format!("{code:?}"))]).inc();
    }
}

/// A response whose end is looked at.
struct Counting {
    body: Body,
    call: Call,
}

impl http_body::Body for Counting {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.call.read(trailers);
                }
            }
            Some(Err(status)) => this.call.code = Some(status.code()),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
