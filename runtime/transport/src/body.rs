//! Bodies that cannot end by accident.
//!
//! A peer that goes away resets its streams. hyper takes a reset with NO_ERROR, and tonic a request's with CANCEL, for an
//! end as good as any other, and tonic does not miss the status of a response that had begun well: to most programs it
//! makes no difference. To an upload, and to whoever counts the readings of a streaming call, it makes all the
//! difference. So each body is asked here whether it ended or only ceased.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::{Code, Status, metadata::MetadataMap};

use crate::status::innermost;

/// A request's body, whose end its client has to announce.
#[derive(Debug)]
pub(crate) struct RequestBody {
    body: Incoming,
    done: bool,
}

impl RequestBody {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, done: false }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => {
                this.done = true;
                Some(Err(cut(error)))
            }
            None => {
                this.done = true;
                // Only an announced end leaves this behind.
                (!this.body.is_end_stream())
                    .then(|| Err(Status::unavailable("the request was cut: its client has gone")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body, which has to end with a status: without one the call has not ended, whatever the connection says.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    body: tonic::body::Body,
    /// Whether there was a status, or an error in its place.
    done: bool,
}

/// Key of a status in headers and trailers.
const STATUS: &str = "grpc-status";

/// Key of the details of a status.
const DETAILS: &str = "grpc-status-details-bin";

/// Guards a response on its way to tonic.
pub(crate) fn guard(response: http::Response<tonic::body::Body>) -> http::Response<tonic::body::Body> {
    let (mut head, body) = response.into_parts();
    check_details(&mut head.headers);
    // Not gRPC at all, or no more than a status: nothing can be missing.
    let done = head.headers.contains_key(STATUS) || !head.status.is_success();
    http::Response::from_parts(head, tonic::body::Body::new(ResponseBody { body, done }))
}

/// Removes details that are no base64: tonic would panic.
fn check_details(headers: &mut HeaderMap) {
    if let Some(value) = headers.get(DETAILS) {
        let mut alone = HeaderMap::new();
        alone.insert(DETAILS, value.clone());
        let readable =
            MetadataMap::from_headers(alone).get_bin(DETAILS).is_some_and(|value| value.to_bytes().is_ok());
        if !readable {
            headers.remove(DETAILS);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    check_details(trailers);
                    this.done |= trailers.contains_key(STATUS);
                }
                Some(Ok(frame))
            }
            Some(Err(status)) => {
                this.done = true;
                Some(Err(status))
            }
            None if this.done => None,
            None => {
                this.done = true;
                Some(Err(Status::unavailable("the answer was cut: it ended without a status")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn cut(error: hyper::Error) -> Status {
    let mut status = Status::new(Code::Unavailable, format!("the request was cut: {}", innermost(&error)));
    status.set_source(Arc::new(error));
    status
}
