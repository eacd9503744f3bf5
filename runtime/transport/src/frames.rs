//! The framing of `RouterService.Stream`: what the frames of one direction mean.
//!
//! The three ways in which frames can cease mean three things, and confusing them is how half an image gets flashed:
//!
//! | What happens | Means |
//! |---|---|
//! | a `GOAWAY` frame, or a clean end of the call | end of data; the other direction goes on |
//! | the call fails | the data is incomplete: [`Lost`] |
//! | the call fails after a `GOAWAY` | this direction was complete, the other one is lost |
//!
//! [`Direction`] is the rule as a state machine. [`FrameReader`] applies it to a stream of messages, and never reports
//! the end of the data twice or after a loss. In the other direction, [`data`] and [`goaway`] make frames, and
//! [`chunks`] cuts byte streams to a size that every peer takes. Message-oriented drivers send one frame per message.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jumpstarter_core::{Error, ErrorKind};
use jumpstarter_protocol::v1::{FrameType, StreamRequest, StreamResponse};
use tonic::{Code, Status};

use crate::status;

/// Largest payload of a frame of a byte stream, in bytes, towards peers we know nothing about.
pub const CHUNK: usize = 64 * 1024;

/// Largest payload of any frame, in bytes. Peers take 4 MiB with everything around it.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// What a Python server's call ends with when it closes first. It says so *after* its `GOAWAY`.
const ACLOSE: &str = "RouterStream: aclose";

/// The two messages that carry frames.
pub trait Frame: Sized {
    /// A frame of this type.
    fn new(kind: FrameType, payload: Bytes) -> Self;

    /// The type's number, which may be one we do not know, and the payload.
    fn into_parts(self) -> (i32, Bytes);
}

macro_rules! frame {
    ($message:ident) => {
        impl Frame for $message {
            fn new(kind: FrameType, payload: Bytes) -> Self {
                Self { payload, frame_type: kind.into() }
            }

            fn into_parts(self) -> (i32, Bytes) {
                (self.frame_type, self.payload)
            }
        }
    };
}

frame!(StreamRequest);
frame!(StreamResponse);

/// A frame with one chunk of data.
pub fn data<F: Frame>(chunk: Bytes) -> F {
    F::new(FrameType::Data, chunk)
}

/// The frame that announces the end of data.
pub fn goaway<F: Frame>() -> F {
    F::new(FrameType::Goaway, Bytes::new())
}

/// Cuts bytes into pieces of at most `limit` bytes, without copying. No bytes make no piece.
pub fn chunks(mut bytes: Bytes, limit: usize) -> impl Iterator<Item = Bytes> + Send {
    let limit = limit.max(1);
    std::iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(bytes.len().min(limit))))
}

/// Which end of the call is reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller, who reads responses.
    Client,
    /// The one who was called, who reads requests.
    Server,
}

/// What a frame means to whoever reads the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A chunk; possibly empty, which is data as well.
    Data(Bytes),
    /// There is no more data, and none is missing.
    End,
}

/// The state of one direction.
#[derive(Debug, Clone)]
pub struct Direction {
    role: Role,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Open,
    /// Data has ended, the call has not.
    Ended,
    /// The call has ended as well.
    Finished,
    Lost(Lost),
}

/// A direction that ceased before its end was announced: whatever was read so far is incomplete.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the stream was lost before its end: {}", describe(.0))]
pub struct Lost(Box<Status>);

impl Lost {
    /// A loss with this status as its reason.
    pub fn new(status: Status) -> Self {
        Self(Box::new(status))
    }

    /// What the call ended with.
    pub fn status(&self) -> &Status {
        &self.0
    }
}

fn describe(status: &Status) -> String {
    match status.message() {
        "" => status::code_name(status.code()).to_owned(),
        message => message.to_owned(),
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        // Exporters of ours say what kind of trouble it was; from others, all that is known is that something is missing.
        let kind = status::kind_in_details(&lost.0).unwrap_or(ErrorKind::Truncated);
        Error::new(kind, status::shorten(&lost.to_string()).into_owned()).caused_by(lost)
    }
}

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        Error::from(lost).into()
    }
}

impl Direction {
    /// A direction that nothing was read from.
    pub fn new(role: Role) -> Self {
        Self { role, state: State::Open }
    }

    /// A frame arrived. Nothing comes of frames that mean nothing (pings, resets, types of other versions: a peer in
    /// Python would make empty data of them) and of frames after the end.
    pub fn frame(&mut self, frame: impl Frame) -> Option<Event> {
        if !matches!(self.state, State::Open) {
            return None;
        }
        let (kind, payload) = frame.into_parts();
        match FrameType::try_from(kind) {
            Ok(FrameType::Data) => Some(Event::Data(payload)),
            Ok(FrameType::Goaway) => {
                self.state = State::Ended;
                Some(Event::End)
            }
            Ok(FrameType::RstStream | FrameType::Ping) | Err(_) => {
                tracing::trace!(kind, "ignoring a frame");
                None
            }
        }
    }

    /// The call ended cleanly: for a request, the peer closed its direction; for a response, the status is OK.
    pub fn finished(&mut self) -> Option<Event> {
        let event = matches!(self.state, State::Open).then_some(Event::End);
        if !matches!(self.state, State::Lost(_)) {
            self.state = State::Finished;
        }
        event
    }

    /// The call failed.
    ///
    /// # Errors
    /// [`Lost`], unless it is what a Python server says after the end of its data.
    pub fn failed(&mut self, status: Status) -> Result<(), Lost> {
        let farewell =
            self.role == Role::Client && status.code() == Code::Aborted && status.message() == ACLOSE;
        match &self.state {
            State::Lost(lost) => return Err(lost.clone()),
            State::Finished => return Ok(()),
            State::Ended if farewell => {
                self.state = State::Finished;
                return Ok(());
            }
            State::Ended | State::Open => {}
        }
        let lost = Lost::new(status);
        self.state = State::Lost(lost.clone());
        Err(lost)
    }
}

/// The data of one direction of a call, frame by frame.
///
/// As a [`Stream`] it yields chunks; `None` means that the data is complete. A loss is an error every time one asks, so
/// that no retry can mistake it for the end.
#[derive(Debug)]
pub struct FrameReader<S> {
    frames: S,
    direction: Direction,
}

impl<S, F> FrameReader<S>
where
    S: Stream<Item = Result<F, Status>> + Unpin,
    F: Frame,
{
    /// Reads the frames of a call's response (as its client) or request (as its server).
    pub fn new(frames: S, role: Role) -> Self {
        Self { frames, direction: Direction::new(role) }
    }

    /// The next chunk, or `None` at the end of the data. May be cancelled without losing anything.
    ///
    /// # Errors
    /// [`Lost`] when the call ceased before the data had ended.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Lost> {
        self.next().await.transpose()
    }

    /// Waits for the end of the call, and ignores what is still sent. As a server: until the client is done with it.
    ///
    /// # Errors
    /// [`Lost`] when the call fails.
    pub async fn finish(&mut self) -> Result<(), Lost> {
        loop {
            match &self.direction.state {
                State::Finished => return Ok(()),
                State::Lost(lost) => return Err(lost.clone()),
                State::Open | State::Ended => {}
            }
            match self.frames.next().await {
                Some(Ok(_)) => {}
                Some(Err(status)) => self.direction.failed(status)?,
                None => {
                    self.direction.finished();
                }
            }
        }
    }
}

impl<S, F> Stream for FrameReader<S>
where
    S: Stream<Item = Result<F, Status>> + Unpin,
    F: Frame,
{
    type Item = Result<Bytes, Lost>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &this.direction.state {
                State::Open => {}
                State::Ended | State::Finished => return Poll::Ready(None),
                State::Lost(lost) => return Poll::Ready(Some(Err(lost.clone()))),
            }
            let event = match ready!(this.frames.poll_next_unpin(cx)) {
                Some(Ok(frame)) => this.direction.frame(frame),
                Some(Err(status)) => match this.direction.failed(status) {
                    Ok(()) => continue,
                    Err(lost) => return Poll::Ready(Some(Err(lost))),
                },
                None => this.direction.finished(),
            };
            match event {
                Some(Event::Data(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Some(Event::End) => return Poll::Ready(None),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    type Call = Vec<Result<StreamResponse, Status>>;

    // What arrives in a call is a result, so that is what the cases are made of.
    #[expect(clippy::unnecessary_wraps)]
    fn frame(kind: i32, payload: &'static [u8]) -> Result<StreamResponse, Status> {
        Ok(StreamResponse { payload: payload.into(), frame_type: kind })
    }

    #[expect(clippy::unnecessary_wraps)]
    fn text(payload: &'static str) -> Result<StreamResponse, Status> {
        Ok(data(payload.into()))
    }

    fn reader(
        role: Role,
        call: Call,
    ) -> FrameReader<stream::Iter<std::vec::IntoIter<Result<StreamResponse, Status>>>> {
        FrameReader::new(stream::iter(call), role)
    }

    /// Reads to the end; the chunks, and whether they are complete.
    async fn read(role: Role, call: Call) -> (Vec<Bytes>, Result<(), Code>) {
        let mut reader = reader(role, call);
        let mut chunks = Vec::new();
        loop {
            match reader.chunk().await {
                Ok(Some(chunk)) => chunks.push(chunk),
                Ok(None) => return (chunks, Ok(())),
                Err(lost) => {
                    let again = reader.chunk().await.expect_err("a loss stays a loss");
                    assert_eq!(again.status().code(), lost.status().code());
                    return (chunks, Err(lost.status().code()));
                }
            }
        }
    }

    #[tokio::test]
    async fn pitfall_s1_data_ends_with_a_goaway_or_a_clean_end_of_the_call_and_nothing_else() {
        for role in [Role::Client, Role::Server] {
            let clean = vec![text("a"), text("b"), Ok(goaway())];
            // Cut after every frame, by everything that can cut a call.
            for code in
                [Code::Cancelled, Code::Unavailable, Code::Unknown, Code::Internal, Code::Aborted, Code::Ok]
            {
                for length in 0..clean.len() {
                    let mut call = clean[..length].to_vec();
                    call.push(Err(Status::new(code, "cut")));
                    let (chunks, end) = read(role, call).await;
                    assert_eq!(
                        (chunks.len(), end),
                        (length, Err(code)),
                        "cut after {length} frames by {code:?}"
                    );
                }
            }
            assert_eq!(read(role, clean).await, (vec!["a".into(), "b".into()], Ok(())));
            assert_eq!(read(role, vec![text("a")]).await, (vec!["a".into()], Ok(())));
        }
    }

    #[tokio::test]
    async fn pitfall_s1_a_lost_stream_is_an_error_of_its_own_kind_for_drivers() {
        let mut reader = reader(Role::Server, vec![Err(Status::unavailable("connection reset"))]);
        let error = Error::from(reader.chunk().await.expect_err("lost"));
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(error.message(), "the stream was lost before its end: connection reset");
        let io = io::Error::from(error);
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn pitfall_s2_the_end_of_one_direction_leaves_the_call_open() {
        let mut reader =
            reader(Role::Server, vec![text("a"), Ok(goaway()), text("late"), Err(Status::cancelled("done"))]);
        assert_eq!(reader.chunk().await.expect("data"), Some("a".into()));
        assert_eq!(reader.chunk().await.expect("the end"), None);
        // Later frames of the direction are not data, and the end is reported as often as one asks.
        assert_eq!(reader.chunk().await.expect("the end"), None);
        // How the call ended is still known to those who wait for it.
        assert_eq!(reader.finish().await.expect_err("cancelled").status().code(), Code::Cancelled);
    }

    #[tokio::test]
    async fn pitfall_s3_a_python_servers_farewell_counts_as_a_clean_end_only_after_its_goaway() {
        let farewell = || Err(Status::aborted(ACLOSE));
        let mut after = reader(Role::Client, vec![text("a"), Ok(goaway()), farewell()]);
        assert_eq!(after.chunk().await.expect("data"), Some("a".into()));
        assert_eq!(after.chunk().await.expect("the end"), None);
        after.finish().await.expect("a clean end");

        assert_eq!(read(Role::Client, vec![text("a"), farewell()]).await.1, Err(Code::Aborted));

        // Nobody says that to a server, and nothing but the exact words will do.
        let mut server = reader(Role::Server, vec![Ok(goaway()), farewell()]);
        server.finish().await.expect_err("not a farewell");
        let mut other = reader(Role::Client, vec![Ok(goaway()), Err(Status::aborted("RouterStream"))]);
        assert_eq!(other.chunk().await.expect("the end"), None);
        other.finish().await.expect_err("not a farewell");
    }

    #[tokio::test]
    async fn pitfall_s5_empty_data_is_data_while_pings_and_resets_are_nothing() {
        let call = vec![frame(6, b"ping"), text(""), frame(3, b""), text("a"), Ok(goaway())];
        assert_eq!(read(Role::Client, call).await, (vec!["".into(), "a".into()], Ok(())));
    }

    #[tokio::test]
    async fn pitfall_s11_unknown_frame_types_are_ignored() {
        let call = vec![frame(4, b"x"), frame(-1, b"x"), frame(i32::MAX, b"x"), text("a"), Ok(goaway())];
        assert_eq!(read(Role::Server, call).await, (vec!["a".into()], Ok(())));
    }

    #[test]
    fn pitfall_s6_frames_keep_the_boundaries_of_messages() {
        let mut direction = Direction::new(Role::Server);
        for message in ["a", "", "bc"] {
            let sent: StreamRequest = data(message.into());
            assert_eq!(direction.frame(sent), Some(Event::Data(message.into())));
        }
    }

    proptest! {
        #[test]
        fn chunks_are_the_bytes_cut_to_size(bytes in proptest::collection::vec(any::<u8>(), 0..300), limit in 0_usize..40) {
            let pieces: Vec<_> = chunks(bytes.clone().into(), limit).collect();
            prop_assert_eq!(pieces.concat(), bytes);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= limit.max(1)));
        }
    }
}
