//! One response, made of the other caller's request.
//!
//! | What happens | What the caller of this response sees |
//! |---|---|
//! | the other one sends | the same bytes |
//! | the other one ends its sending | nothing: that cannot be said in a call, and peers have a frame for it |
//! | both have ended their sending | OK |
//! | the other one breaks, or goes | UNAVAILABLE at once, also if nothing is being sent |
//! | … in the middle of a message | the call is reset, since a status behind half a message would be lost |
//! | the other one sends what must not be passed on | UNAVAILABLE; the other one is told what it did |
//! | nobody comes | OK, after [`Limits::patience`] |

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::{sync::oneshot, time::Sleep};
use tonic::{Status, body::Body};

use crate::{
    pairing::{Limits, Place, Ticket},
    scan::{Bad, Scan, Wrong},
    unpack::Unpack,
};

/// What one caller sends.
#[derive(Debug)]
pub struct Input {
    /// The body of its request.
    pub body: Body,
    /// Whether its messages may be packed with gzip.
    pub gzip: bool,
}

/// What joins two callers.
#[derive(Debug)]
pub struct Pair(Mutex<[End; 2]>);

/// What is known of one caller.
#[derive(Debug, Default)]
struct End {
    /// All it wanted to send has been passed on.
    sent: bool,
    /// Its call is over.
    gone: bool,
    /// It did something that ends its call.
    fault: Option<Status>,
    /// Its response waits for something about the other one.
    waker: Option<Waker>,
}

impl Pair {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    fn lock(&self) -> MutexGuard<'_, [End; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller's side of a pair.
#[derive(Debug)]
pub struct Side {
    pair: Arc<Pair>,
    mine: usize,
}

impl Side {
    pub(crate) fn of(pair: &Arc<Pair>, mine: usize) -> Self {
        Self { pair: Arc::clone(pair), mine }
    }

    /// Changes what is known of one end and wakes the other one's response.
    fn tell(&self, whose: usize, change: impl FnOnce(&mut End)) {
        let waker = {
            let mut ends = self.pair.lock();
            change(&mut ends[whose]);
            // What concerns the other one concerns its own response, if that is where the fault is.
            let reader = if whose == self.mine { 1 - self.mine } else { whose };
            ends[reader].waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.tell(self.mine, |end| end.gone = true);
    }
}

/// What a first caller gets when a second one comes.
#[derive(Debug)]
pub struct Joined {
    /// What the other one sends.
    pub(crate) input: Input,
    /// This one's side.
    pub(crate) side: Side,
}

impl Joined {
    pub(crate) fn into_input(self) -> Input {
        self.input
    }
}

/// The body of one response.
#[derive(Debug)]
pub struct Relay {
    state: State,
    limits: Limits,
    // Counted until the response is dropped.
    ticket: Ticket,
}

#[derive(Debug)]
enum State {
    Waiting(Box<Wait>),
    Joined(Box<Flow>),
    Over,
}

#[derive(Debug)]
struct Wait {
    arrives: oneshot::Receiver<Joined>,
    deadline: Pin<Box<Sleep>>,
    // Given up as soon as the other one is there, or this one goes.
    _place: Place,
}

#[derive(Debug)]
struct Flow {
    body: Body,
    side: Side,
    scan: Scan,
    unpack: Option<Unpack>,
    /// The other one's end was read.
    ended: bool,
    /// What comes after the piece that is being passed on.
    next: Option<Step>,
}

impl Relay {
    pub(crate) fn waiting(
        arrives: oneshot::Receiver<Joined>,
        place: Place,
        limits: Limits,
        ticket: Ticket,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep(limits.patience));
        Self { state: State::Waiting(Box::new(Wait { arrives, deadline, _place: place })), limits, ticket }
    }

    pub(crate) fn joined(input: Input, side: Side, limits: Limits, ticket: Ticket) -> Self {
        Self { state: State::Joined(Box::new(Flow::new(input, side, limits))), limits, ticket }
    }

    /// The last thing a response says.
    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.state = State::Over;
        let mut trailers = http::HeaderMap::new();
        Poll::Ready(Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(unspeakable) => Err(unspeakable),
        }))
    }
}

impl HttpBody for Relay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let State::Waiting(wait) = &mut this.state {
            match Pin::new(&mut wait.arrives).poll(cx) {
                Poll::Ready(Ok(Joined { input, side })) => {
                    this.state = State::Joined(Box::new(Flow::new(input, side, this.limits)));
                }
                // The table is gone, and so is the router.
                Poll::Ready(Err(_)) => return this.end(&Status::unavailable("the router is closing")),
                Poll::Pending => {
                    ready!(wait.deadline.as_mut().poll(cx));
                    return this.end(&Status::ok(""));
                }
            }
        }
        let State::Joined(flow) = &mut this.state else { return Poll::Ready(None) };
        match ready!(flow.poll(cx)) {
            Step::Pass(piece) => {
                this.ticket.carry(piece.len());
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Step::End(status) => this.end(&status),
            Step::Break(status) => {
                this.state = State::Over;
                Poll::Ready(Some(Err(status)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

#[derive(Debug)]
enum Step {
    Pass(Bytes),
    End(Status),
    /// Half a message was passed on.
    Break(Status),
}

impl Flow {
    fn new(input: Input, side: Side, limits: Limits) -> Self {
        let unpack = input.gzip.then(|| Unpack::new(limits.message));
        Self { body: input.body, side, scan: Scan::new(limits.message), unpack, ended: false, next: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(step) = self.next.take() {
            return Poll::Ready(step);
        }
        let (mine, other) = (self.side.mine, 1 - self.side.mine);
        if let Some(status) = self.side.pair.lock()[mine].fault.take() {
            return Poll::Ready(self.stop(status));
        }
        while !self.ended {
            let piece = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => piece,
                    // A request's trailers mean nothing in gRPC.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    let lost = Status::unavailable(format!(
                        "the other side of the stream was lost: {}",
                        error.message()
                    ));
                    return Poll::Ready(self.stop(lost));
                }
                Poll::Ready(None) if self.is_inside() => {
                    let lost =
                        Status::unavailable("the other side of the stream ended in the middle of a message");
                    return Poll::Ready(self.stop(lost));
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    self.side.tell(other, |end| end.sent = true);
                    // The other one's response may wait for exactly this.
                    break;
                }
                Poll::Pending => break,
            };
            let (piece, fault) = self.take(piece);
            let stop = fault.map(|fault| {
                let what = fault.message().to_owned();
                self.side.tell(other, |end| end.fault = Some(fault));
                self.stop(Status::unavailable(format!("the other side of the stream was refused: {what}")))
            });
            match (piece.is_empty(), stop) {
                (true, None) => {}
                (true, Some(stop)) => return Poll::Ready(stop),
                (false, stop) => {
                    self.next = stop;
                    return Poll::Ready(Step::Pass(piece));
                }
            }
        }
        let mut ends = self.side.pair.lock();
        if ends[other].sent && ends[mine].sent {
            return Poll::Ready(Step::End(Status::ok("")));
        }
        if ends[other].gone {
            drop(ends);
            return Poll::Ready(self.stop(Status::unavailable("the other side of the stream has gone")));
        }
        if !ends[mine].waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            ends[mine].waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What is passed on of a piece, possibly nothing yet; and what is wrong with what comes after that.
    fn take(&mut self, mut piece: Bytes) -> (Bytes, Option<Status>) {
        match &mut self.unpack {
            None => match self.scan.advance(&piece) {
                Ok(()) => (piece, None),
                Err(Bad { wrong, before }) => {
                    piece.truncate(before);
                    (piece, Some(refusal(wrong, self.scan.limit())))
                }
            },
            Some(unpack) => match unpack.advance(&piece) {
                Ok(piece) => (piece, None),
                Err(fault) => (Bytes::new(), Some(fault)),
            },
        }
    }

    fn is_inside(&self) -> bool {
        self.unpack.as_ref().map_or_else(|| self.scan.is_inside(), Unpack::is_inside)
    }

    fn stop(&self, status: Status) -> Step {
        // What is unpacked is passed on whole.
        if self.unpack.is_none() && self.scan.is_inside() { Step::Break(status) } else { Step::End(status) }
    }
}

/// What a caller is told who sends this.
pub(crate) fn refusal(wrong: Wrong, limit: u32) -> Status {
    match wrong {
        Wrong::TooLarge(length) => Status::resource_exhausted(format!(
            "a message of {length} bytes is larger than the {limit} bytes that are passed on"
        )),
        Wrong::Compressed => {
            Status::internal("a message is compressed, but the call does not say how (`grpc-encoding`)")
        }
        Wrong::Flag(flag) => {
            Status::internal(format!("a message begins with {flag} instead of 0 or 1: this is not gRPC"))
        }
    }
}
