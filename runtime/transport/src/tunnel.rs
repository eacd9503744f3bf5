//! A call of `RouterService.Stream` as a connection: bytes in both directions, each of which ends on its own.
//!
//! What comes is cut anywhere; nothing depends on where one frame ends. The end of a direction crosses as `GOAWAY`. A tunnel
//! that breaks is an error for its reader, never an end, and one that is dropped before it was shut down resets its call. What was
//! written before it was shut down still arrives, if that takes no longer than [`LAST`].

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{StreamExt as _, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
    time::timeout,
};
use tokio_util::sync::PollSender;
use tonic::{Response, Status, metadata::MetadataMap};

use crate::{
    connect::Channel,
    frames::{CHUNK, Lost},
    stream::{self, Chunk, ResponseReader},
};

/// How long what was sent last may take to arrive; then the call is cut.
pub const LAST: Duration = Duration::from_secs(5);

type Opening = BoxFuture<'static, Result<Response<ResponseReader>, Status>>;

enum Reading {
    /// The answer's headers may come with its first byte only.
    Opening(Opening),
    /// Boxed: it is much larger than the others.
    Open(Box<ResponseReader>),
    /// Kept: without its reader, the call would be cut in the other direction as well.
    Ended(Box<ResponseReader>),
    /// In between.
    Moving,
    Failed(Status),
}

/// What became of a tunnel, for whoever gave it away.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<Mutex<Became>>);

#[derive(Debug, Default)]
struct Became {
    spoken: bool,
    lost: Option<Status>,
}

impl Outcome {
    /// Whether anything has come from the far end.
    pub fn has_spoken(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spoken
    }

    /// What the call failed with.
    pub fn lost(&self) -> Option<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lost.clone()
    }

    fn note(&self, note: impl FnOnce(&mut Became)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The connection.
pub struct Tunnel {
    reading: Reading,
    /// What has come and was not read yet.
    piece: Bytes,
    /// `None` once this direction has ended.
    writing: Option<PollSender<Chunk>>,
    outcome: Outcome,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Opens a call and answers it as a connection, which can be written to at once.
pub fn open(channel: Channel, metadata: MetadataMap) -> (Tunnel, Outcome) {
    let (writer, opening) = stream::open(channel, metadata);
    let outcome = Outcome::default();
    let tunnel = Tunnel {
        reading: Reading::Opening(Box::pin(opening)),
        piece: Bytes::new(),
        writing: Some(writer.into_sender()),
        outcome: outcome.clone(),
    };
    (tunnel, outcome)
}

impl Tunnel {
    fn fail(&mut self, status: Status) -> io::Error {
        self.outcome.note(|became| became.lost = Some(status.clone()));
        self.reading = Reading::Failed(status.clone());
        Lost::new(status).into()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.reading {
                Reading::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(response) => self.reading = Reading::Open(Box::new(response.into_inner())),
                    Err(status) => return Poll::Ready(Err(self.fail(status))),
                },
                Reading::Open(frames) => match ready!(frames.poll_next_unpin(cx)) {
                    Some(Ok(piece)) => {
                        self.outcome.note(|became| became.spoken = true);
                        // An empty piece is nothing to a stream of bytes; an empty read would be its end.
                        if !piece.is_empty() {
                            self.piece = piece;
                            return Poll::Ready(Ok(()));
                        }
                    }
                    None => {
                        if let Reading::Open(frames) = std::mem::replace(&mut self.reading, Reading::Moving) {
                            self.reading = Reading::Ended(frames);
                        }
                    }
                    Some(Err(lost)) => {
                        let status = lost.status().clone();
                        return Poll::Ready(Err(self.fail(status)));
                    }
                },
                Reading::Ended(_) | Reading::Moving => return Poll::Ready(Ok(())),
                Reading::Failed(status) => return Poll::Ready(Err(Lost::new(status.clone()).into())),
            }
        }
    }

    /// Room for one more frame.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut PollSender<Chunk>>> {
        let gone = |why| io::Error::new(io::ErrorKind::BrokenPipe, why);
        // A peer that is only written to must be heard as well.
        if let Reading::Opening(opening) = &mut self.reading
            && let Poll::Ready(opened) = opening.as_mut().poll(cx)
        {
            match opened {
                Ok(response) => self.reading = Reading::Open(Box::new(response.into_inner())),
                Err(status) => return Poll::Ready(Err(self.fail(status))),
            }
        }
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Err(gone("this direction of the tunnel has ended")));
        };
        match ready!(writing.poll_reserve(cx)) {
            Ok(()) => Poll::Ready(Ok(writing)),
            Err(_) => Poll::Ready(Err(gone("the tunnel has ended"))),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let (Reading::Open(mut frames) | Reading::Ended(mut frames)) =
            std::mem::replace(&mut self.reading, Reading::Moving)
        else {
            return;
        };
        // Only what was ended in order is worth waiting for, and only where there is somebody to wait.
        let Some(runtime) = Handle::try_current().ok().filter(|_| self.writing.is_none()) else { return };
        runtime.spawn(async move {
            // Nobody wants what still comes; the call must go on until what was sent last has left.
            let _ = timeout(LAST, frames.finish()).await;
        });
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            ready!(self.poll_piece(cx))?;
        }
        let count = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..count]);
        self.piece.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>().min(CHUNK);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let writing = ready!(self.poll_room(cx))?;
        // In one frame what was written at once: HTTP/2 hands over a header of nine bytes and its payload apart.
        let mut piece = BytesMut::with_capacity(length);
        for slice in slices {
            let room = length - piece.len();
            piece.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        match writing.send_item(Chunk::Data(piece.freeze())) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(_) => Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the tunnel has ended"))),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task has it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing.is_some() {
            // A call that is over needs no announcement; how it ended is for the reader to say.
            if let Ok(writing) = ready!(self.poll_room(cx)) {
                let _ = writing.send_item(Chunk::End);
            }
            self.writing = None;
        }
        Poll::Ready(Ok(()))
    }
}
