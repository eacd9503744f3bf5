//! Byte streams to drivers: an [`Io`] over either dialect.
//!
//! Each direction ends on its own. Pieces arrive as they were sent, one for one; what a write may not do is decided by
//! the interface: pieces of byte streams are cut to a size that every peer takes, messages are never cut. An [`Io`] that
//! is dropped before it was finished resets the call, so that the driver sees a loss and not an end.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{Sink, Stream, StreamExt as _};
use jumpstarter_core::{Error, Io, Result, describe::Framing};
use jumpstarter_transport::{
    connect::Channel,
    status::{self, Call},
};
use tokio_util::sync::PollSender;
use tonic::metadata::MetadataMap;

use crate::{
    resource::Pumps,
    wire::{self, Dialect, Inbox, Item, Opening},
};

/// Largest message of a stream whose messages may not be cut. Peers take 4 MiB with everything around it.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024 - 1024;

/// Opens a stream.
///
/// A failure to open is reported here when the other side reports it within `patience`. After that the stream is handed
/// out as it is, and the failure comes with the first read: some peers say nothing at all before they have data, and
/// waiting for them would keep back the very request that makes them talk.
pub(crate) async fn open(
    channel: &Channel,
    metadata: MetadataMap,
    dialect: Dialect,
    framing: Framing,
    patience: Duration,
    keep: Option<Pumps>,
) -> Result<Io> {
    let (outbox, mut opening) = wire::open(channel, metadata, dialect, framing == Framing::Bytes);
    let incoming = match tokio::time::timeout(patience, &mut opening).await {
        Ok(Ok(opened)) => Incoming::Open(Box::new(opened.inbox)),
        Ok(Err(status)) => return Err(status::from_status(&status, Call::Stream)),
        Err(_) => Incoming::Opening(opening),
    };
    Ok(Io::messages(Duplex {
        outgoing: PollSender::new(outbox),
        finished: false,
        incoming,
        framing,
        _keep: keep,
    }))
}

/// Both directions of a call.
struct Duplex {
    outgoing: PollSender<Item>,
    finished: bool,
    incoming: Incoming,
    framing: Framing,
    /// Files that travel beside this stream.
    _keep: Option<Pumps>,
}

enum Incoming {
    Opening(Opening),
    /// Boxed: it is much larger than the others.
    Open(Box<Inbox>),
    /// It never opened.
    Failed(Error),
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").field("finished", &self.finished).finish_non_exhaustive()
    }
}

impl Stream for Duplex {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.incoming {
                Incoming::Opening(opening) => {
                    self.incoming = match ready!(opening.as_mut().poll(cx)) {
                        Ok(opened) => Incoming::Open(Box::new(opened.inbox)),
                        Err(status) => Incoming::Failed(status::from_status(&status, Call::Stream)),
                    };
                }
                Incoming::Open(inbox) => {
                    return Poll::Ready(
                        ready!(inbox.poll_next_unpin(cx)).map(|piece| piece.map_err(io::Error::from)),
                    );
                }
                Incoming::Failed(error) => return Poll::Ready(Some(Err(error.clone().into()))),
            }
        }
    }
}

impl Duplex {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A stream that is only written to must make headway with its opening, too.
        if let Incoming::Opening(opening) = &mut self.incoming
            && let Poll::Ready(opened) = opening.as_mut().poll(cx)
        {
            self.incoming = match opened {
                Ok(opened) => Incoming::Open(Box::new(opened.inbox)),
                Err(status) => Incoming::Failed(status::from_status(&status, Call::Stream)),
            };
        }
        if let Incoming::Failed(error) = &self.incoming {
            return Poll::Ready(Err(error.clone().into()));
        }
        self.outgoing.poll_reserve(cx).map_err(|_| gone())
    }
}

impl Sink<Bytes> for Duplex {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            let finished =
                io::Error::new(io::ErrorKind::BrokenPipe, "this direction of the stream is finished");
            return Poll::Ready(Err(finished));
        }
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, piece: Bytes) -> io::Result<()> {
        if self.framing == Framing::Messages && piece.len() > MAX_MESSAGE {
            let size = piece.len();
            let text = format!(
                "a message of {size} bytes is too large: at most {MAX_MESSAGE} bytes can be sent at once"
            );
            return Err(Error::invalid_argument(text).into());
        }
        self.outgoing.send_item(Item::Piece(piece)).map_err(|_| gone())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task has it; flow control is between it and the peer.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            // A call that is over needs no announcement; how it ended is for the reader to say.
            if ready!(self.poll_room(cx)).is_ok() {
                let _ = self.outgoing.send_item(Item::End(Bytes::new()));
            }
            self.finished = true;
            self.outgoing.close();
        }
        Poll::Ready(Ok(()))
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the exporter has ended the stream")
}
