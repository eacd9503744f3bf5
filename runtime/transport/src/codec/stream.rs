//! Runs the state machines over a stream, in slices on the blocking pool.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures::Stream;
use futures::stream::{Fuse, StreamExt as _};
use tokio::task::JoinHandle;

use super::decode::{Framing, Unpacker};
use super::encode::Packer;
use super::{Encoding, Error, PIECE};

/// Input gathered before a slice starts, if it is there already: small frames share the trip to the pool.
const GATHER: usize = PIECE;
/// Most input that one slice works on, in bytes. Packing as xz takes some 0.1 s for it.
const SLICE_INPUT: usize = 4 * PIECE;
/// Most pieces that one slice makes.
const SLICE_PIECES: usize = 4;

/// Unpacks a stream of the client's bytes; with `None` they pass as they are, in bounded pieces.
///
/// An error of `input` ends the stream with that error. Must be polled inside a Tokio runtime.
pub fn unpack<S, E>(encoding: Option<Encoding>, input: S) -> Coded<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<Error>,
{
    unpack_framing(encoding.map(Framing::Resource), input)
}

/// [`unpack`], for what HTTP calls a content encoding as well.
pub(crate) fn unpack_framing<S, E>(framing: Option<Framing>, input: S) -> Coded<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<Error>,
{
    match framing {
        None => Coded::new("plain", Machine::Plain, input),
        Some(framing) => Coded::new(framing.name(), Machine::Unpack(Unpacker::new(framing)), input),
    }
}

/// Packs a driver's bytes into what the client wants; with `None` they pass as they are, in bounded pieces.
///
/// An error of `input` ends the stream with that error and without the packer's tail, so that nobody takes
/// the result for complete. Must be polled inside a Tokio runtime.
pub fn pack<S, E>(encoding: Option<Encoding>, input: S) -> Coded<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<Error>,
{
    match encoding {
        None => Coded::new("plain", Machine::Plain, input),
        Some(encoding) => Coded::new(encoding.name(), Machine::Pack(Packer::new(encoding)), input),
    }
}

enum Machine {
    Plain,
    Unpack(Unpacker),
    Pack(Packer),
}

/// A stream that packs or unpacks another; made by [`pack`] and [`unpack`].
///
/// Its pieces are never empty and at most [`PIECE`] bytes long. It ends after its first error.
pub struct Coded<S> {
    input: Pin<Box<Fuse<S>>>,
    format: &'static str,
    work: Work,
    /// Finished pieces, at most [`SLICE_PIECES`].
    pub(super) pieces: VecDeque<Bytes>,
    even_if_empty: bool,
}

/// Where the state machine is.
enum Work {
    /// Here, waiting for input.
    Idle(Box<Worker>),
    /// On the pool.
    Running(JoinHandle<(Box<Worker>, Slice)>),
    /// Over, with an error that comes after the pieces made before it.
    Failed(Error),
    /// Over.
    Done,
}

impl<S, E> Coded<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<Error>,
{
    fn new(format: &'static str, machine: Machine, input: S) -> Self {
        let worker = Worker {
            machine,
            format,
            input: VecDeque::new(),
            queued: 0,
            fed: false,
            over: false,
            holding: false,
            scratch: Vec::new(),
        };
        Self {
            input: Box::pin(input.fuse()),
            format,
            work: Work::Idle(Box::new(worker)),
            pieces: VecDeque::new(),
            even_if_empty: false,
        }
    }

    /// Makes packing yield a valid empty file, some 10 to 30 bytes, when the input has no bytes.
    ///
    /// For a caller who was asked to write an empty compressed file; the default is to yield nothing, because
    /// most empty transfers are only opened and closed.
    pub fn even_if_empty(mut self) -> Self {
        self.even_if_empty = true;
        self
    }

    /// Takes input while there is some. Whether the worker has something to do; pending when it has not and
    /// more input may come.
    fn poll_gather(
        input: &mut Pin<Box<Fuse<S>>>,
        worker: &mut Worker,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), E>> {
        while !worker.over && worker.queued < GATHER {
            match input.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => worker.feed(bytes),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => worker.over = true,
                Poll::Pending if worker.queued == 0 && !worker.holding => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S, E> Stream for Coded<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<Error>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            // First see to it that the pool has work, then hand out what is finished: the next slice is made
            // while the caller writes this one.
            if let Work::Idle(worker) = &mut this.work {
                match Self::poll_gather(&mut this.input, worker, context) {
                    Poll::Ready(Ok(())) => {
                        let Work::Idle(worker) = std::mem::replace(&mut this.work, Work::Done) else {
                            return Poll::Ready(None);
                        };
                        this.work = start(worker, this.even_if_empty, &mut this.pieces);
                    }
                    Poll::Ready(Err(error)) => {
                        // What was gathered or is finished is a part of something broken: drop it.
                        this.work = Work::Done;
                        this.pieces.clear();
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Pending if this.pieces.is_empty() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            if let Some(piece) = this.pieces.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            match &mut this.work {
                Work::Idle(_) => {}
                Work::Running(job) => match ready!(Pin::new(job).poll(context)) {
                    Ok((worker, slice)) => {
                        this.pieces.extend(slice.pieces);
                        this.work = match slice.then {
                            Then::Continue => Work::Idle(worker),
                            Then::Fail(error) => Work::Failed(error),
                            Then::End => Work::Done,
                        };
                    }
                    Err(error) => {
                        let reason = if error.is_panic() {
                            "the coder crashed".to_owned()
                        } else {
                            "the process is ending".to_owned()
                        };
                        this.work = Work::Failed(Error::Stopped { format: this.format, reason });
                    }
                },
                Work::Failed(_) => {
                    if let Work::Failed(error) = std::mem::replace(&mut this.work, Work::Done) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                Work::Done => return Poll::Ready(None),
            }
        }
    }
}

/// Starts the next slice: on the pool, or here when nothing is to be computed.
fn start(mut worker: Box<Worker>, even_if_empty: bool, pieces: &mut VecDeque<Bytes>) -> Work {
    if matches!(worker.machine, Machine::Plain) {
        while pieces.len() < SLICE_PIECES {
            match worker.take(PIECE) {
                Some(piece) => pieces.push_back(piece),
                None if worker.over => return Work::Done,
                None => break,
            }
        }
        return Work::Idle(worker);
    }
    if worker.over && !worker.fed && !(even_if_empty && matches!(worker.machine, Machine::Pack(_))) {
        return Work::Done;
    }
    Work::Running(tokio::task::spawn_blocking(move || {
        let slice = worker.run();
        (worker, slice)
    }))
}

/// What travels to the pool and back.
struct Worker {
    machine: Machine,
    format: &'static str,
    input: VecDeque<Bytes>,
    /// Bytes in `input`.
    queued: usize,
    /// Whether there ever was a byte.
    fed: bool,
    /// No more input will come.
    over: bool,
    /// The last slice was full: the machine may give more without further input.
    holding: bool,
    /// Room for one piece; made by the first slice.
    scratch: Vec<u8>,
}

/// What a slice made.
struct Slice {
    pieces: Vec<Bytes>,
    then: Then,
}

enum Then {
    Continue,
    End,
    Fail(Error),
}

impl Worker {
    fn feed(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.fed = true;
            self.input.push_back(bytes);
        }
    }

    /// Takes up to `most` bytes out of the input, without copying.
    fn take(&mut self, most: usize) -> Option<Bytes> {
        let front = self.input.front_mut()?;
        let piece = front.split_to(most.min(front.len()));
        if front.is_empty() {
            self.input.pop_front();
        }
        self.queued -= piece.len();
        Some(piece)
    }

    fn run(&mut self) -> Slice {
        let mut slice = Slice { pieces: Vec::new(), then: Then::Continue };
        self.scratch.resize(PIECE, 0);
        let mut filled = 0;
        let mut read = 0;
        let result = self.fill(&mut slice.pieces, &mut filled, &mut read);
        if filled > 0 {
            slice.pieces.push(Bytes::copy_from_slice(self.scratch.get(..filled).unwrap_or_default()));
        }
        match result {
            Ok(false) => {}
            Ok(true) => slice.then = Then::End,
            Err(error) => slice.then = Then::Fail(error),
        }
        slice
    }

    /// Works until the slice is full, the input used up, or everything done, which is `true`.
    fn fill(&mut self, pieces: &mut Vec<Bytes>, filled: &mut usize, read: &mut usize) -> Result<bool, Error> {
        self.holding = false;
        loop {
            if *filled == PIECE {
                pieces.push(Bytes::copy_from_slice(&self.scratch));
                *filled = 0;
                if pieces.len() == SLICE_PIECES {
                    self.holding = true;
                    return Ok(false);
                }
            }
            let room = self.scratch.get_mut(*filled..).unwrap_or_default();
            // Not more than the slice may still read: one buffer of the caller may be of any size.
            let input = self.input.front().map_or(&[][..], |front| {
                front.get(..front.len().min(SLICE_INPUT.saturating_sub(*read))).unwrap_or_default()
            });
            if input.is_empty() && !self.input.is_empty() {
                return Ok(false);
            }
            let at_end = input.is_empty() && self.over;
            let step = match &mut self.machine {
                Machine::Plain => return Ok(true),
                Machine::Unpack(unpacker) => unpacker.step(input, room)?,
                Machine::Pack(packer) if at_end => packer.finish(room)?,
                Machine::Pack(packer) => packer.step(input, room)?,
            };
            let offered = input.len();
            let full = step.written == room.len();
            *filled += step.written;
            *read += step.read;
            self.consume(step.read);
            if at_end && !full {
                return match &self.machine {
                    Machine::Unpack(unpacker) => unpacker.finish().map(|()| true),
                    Machine::Pack(_) if step.complete => Ok(true),
                    Machine::Pack(_) if step.written > 0 => continue,
                    Machine::Pack(_) | Machine::Plain => Err(self.stuck()),
                };
            }
            if at_end && step.complete && matches!(self.machine, Machine::Pack(_)) {
                return Ok(true);
            }
            if offered > 0 && step.read == 0 && step.written == 0 && !step.complete {
                return Err(self.stuck());
            }
            if offered == 0 && !self.over && !full {
                // Everything is in, and what was held back is out.
                return Ok(false);
            }
        }
    }

    fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        if let Some(front) = self.input.front_mut() {
            front.advance(count.min(front.len()));
            if front.is_empty() {
                self.input.pop_front();
            }
        }
        self.queued = self.queued.saturating_sub(count);
    }

    /// A state machine that neither takes nor gives would spin for ever.
    fn stuck(&self) -> Error {
        Error::Stopped { format: self.format, reason: "the coder makes no progress".to_owned() }
    }
}
