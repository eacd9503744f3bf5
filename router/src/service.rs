//! `jumpstarter.v1.RouterService` around the table of calls.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header};
use jumpstarter_transport::server::Peer;
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use crate::{
    pairing::{Limits, Load, Refusal, Table},
    relay::Input,
    token::{Tokens, now},
};

/// The only method of the service.
const STREAM: &str = "/jumpstarter.v1.RouterService/Stream";

/// The service. Clones share their calls.
#[derive(Clone, Debug)]
pub struct Router {
    tokens: Arc<Tokens>,
    table: Arc<Table>,
}

impl Router {
    /// Takes calls with these tokens, within these limits.
    pub fn new(tokens: Tokens, limits: Limits) -> Self {
        Self { tokens: Arc::new(tokens), table: Table::new(limits) }
    }

    /// How many calls it carries.
    pub fn load(&self) -> Load {
        self.table.load()
    }

    /// How many bytes it has passed on, framing of gRPC included.
    pub fn carried(&self) -> u64 {
        self.table.carried()
    }

    fn stream(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let peer = request.extensions().get::<Peer>().copied();
        let stream = self.admit(request.headers()).inspect_err(|_| {
            tracing::info!(peer = shown(peer), "router authentication failed");
        })?;
        let gzip = packing(request.headers())?;
        let input = Input { body: request.into_body(), gzip };
        let relay = self.table.join(stream, input, peer.and_then(address)).map_err(|refusal| {
            tracing::warn!(peer = shown(peer), ?refusal, "a stream was refused");
            Status::resource_exhausted(match refusal {
                Refusal::Full { calls } => format!("the router is full: it carries {calls} calls"),
                Refusal::FullOfAddress { calls } => {
                    format!("the router carries {calls} calls from this address already")
                }
            })
        })?;
        let mut response = Response::new(Body::new(relay));
        // Sent at once: a caller that waits for them before it sends anything would wait for ever (both ends do).
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-accept-encoding", header::HeaderValue::from_static("identity,gzip"));
        Ok(response)
    }

    /// The stream that the caller's token opens.
    fn admit(&self, headers: &HeaderMap) -> Result<String, Status> {
        let refused = |why: &str| Status::unauthenticated(format!("missing or invalid authorization: {why}"));
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or_else(|| refused("there is no `authorization` in the metadata"))?;
        if values.next().is_some() {
            return Err(refused("there is more than one `authorization` in the metadata"));
        }
        let text = value.to_str().map_err(|_| refused("it is not text"))?;
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(refused("write `Bearer TOKEN`")),
        };
        self.tokens.stream(token, now()).map_err(|why| {
            // Why, is for the log: whoever guesses learns nothing.
            tracing::debug!(why, "a token was refused");
            Status::unauthenticated("invalid jwt token")
        })
    }
}

/// Whether a caller's messages may be packed.
fn packing(headers: &HeaderMap) -> Result<bool, Status> {
    match headers.get("grpc-encoding").map(header::HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(other) => Err(Status::unimplemented(format!(
            "messages packed with {:?} are not taken; use gzip, or none",
            String::from_utf8_lossy(other)
        ))),
    }
}

fn address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.ip()),
        _ => None,
    }
}

/// Who called, for people: the address without the port, which differs from call to call.
fn shown(peer: Option<Peer>) -> String {
    peer.and_then(address).map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

impl NamedService for Router {
    const NAME: &'static str = "jumpstarter.v1.RouterService";
}

impl Service<Request<Body>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = if request.uri().path() == STREAM {
            self.stream(request)
        } else {
            Err(Status::unimplemented(format!("there is no method {}", request.uri().path())))
        };
        ready(Ok(answer.unwrap_or_else(Status::into_http)))
    }
}
