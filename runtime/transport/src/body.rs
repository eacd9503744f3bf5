//! Request bodies that cannot end by accident.

use std::{
    error::Error as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::{Code, Status};

/// A request's body as it arrives.
///
/// tonic takes a request that was reset by its client (CANCEL, what every client sends when it goes away) for one that
/// has ended, because to most services it makes no difference. To an upload it makes all the difference, so the reset
/// gets another name here before tonic sees it.
#[derive(Debug)]
pub(crate) struct RequestBody(Incoming);

impl RequestBody {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(body)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.get_mut().0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(cut)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn cut(error: hyper::Error) -> Status {
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let mut status = Status::new(Code::Unavailable, format!("the request was cut: {reason}"));
    status.set_source(std::sync::Arc::new(error));
    status
}
