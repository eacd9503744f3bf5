//! Lets clients through whose `:authority` our HTTP/2 server would refuse.
//!
//! gRPC's C core names a unix socket in the request's `:authority` by its percent-encoded path, others by the bare path.
//! Neither is a host, so the `http` crate rejects it and the connection's first request is reset before any service
//! sees it. That concerns tunnels as much as local sockets: the path is that of the *client's* machine.
//!
//! [`AuthorityAdapter`] stands between a connection and the server and reads the first request's header block. If the
//! authority is acceptable, as with all our own clients, the adapter steps aside for good and costs one branch per
//! read. Otherwise it takes over header compression for the connection: it decodes every block, because compression
//! is stateful, and hands it on as literals that leave the server's table alone, with `localhost` in place of what is
//! no host. gRPC does not route on the authority. Everything else passes untouched.
//!
//! Whatever the adapter cannot make sense of *before* it has changed anything, it leaves to the server, which knows
//! how to answer; later it fails the connection, because the two ends' compression states have parted.

mod rewrite;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rewrite::{Rewriter, Step};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// How much is asked for at once while headers are being looked at.
const READ: usize = 8 * 1024;

/// From this size on, the rest of a frame goes straight to the reader instead of through our buffer.
const DIRECT: usize = 4 * 1024;

/// A connection whose requests always carry an acceptable `:authority`. See the [module](self).
#[derive(Debug)]
pub struct AuthorityAdapter<S> {
    inner: S,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Looking at, or changing, header blocks.
    Active(Box<Active>),
    /// Nothing to change any more; these bytes were read already.
    Drain(BytesMut),
    /// Out of the way.
    Aside,
    /// The client's compression and ours have parted; everything that could be handed on was.
    Failed(String),
}

#[derive(Debug)]
struct Active {
    rewriter: Rewriter,
    /// Read, and not handed on or understood yet.
    input: BytesMut,
    /// Made by the rewriter, to be handed on before anything else.
    output: BytesMut,
    /// How many of the next bytes pass as they are.
    pass: usize,
    end: bool,
}

impl<S> AuthorityAdapter<S> {
    /// Watches a connection that was just accepted, before its first byte is read.
    pub fn new(inner: S) -> Self {
        let active = Active {
            rewriter: Rewriter::new(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            pass: 0,
            end: false,
        };
        Self { inner, state: State::Active(Box::new(active)) }
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl Active {
    /// Hands on what is ready. Tells whether more can follow without reading.
    fn fill(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<Next> {
        loop {
            if buf.remaining() == 0 {
                return Ok(Next::Full);
            }
            if !self.output.is_empty() {
                give(&mut self.output, usize::MAX, buf);
                continue;
            }
            if self.pass > 0 {
                if self.input.is_empty() {
                    return Ok(Next::Read);
                }
                self.pass -= give(&mut self.input, self.pass, buf);
                continue;
            }
            match self.rewriter.step(&mut self.input, &mut self.output)? {
                Step::Pass(count) => self.pass = count,
                Step::Changed => {}
                Step::More => return Ok(Next::Read),
                Step::Aside => return Ok(Next::Aside),
            }
        }
    }
}

/// What [`Active::fill`] needs next.
enum Next {
    Read,
    Full,
    Aside,
}

/// Moves at most `limit` bytes to the reader; returns how many.
fn give(from: &mut BytesMut, limit: usize, to: &mut ReadBuf<'_>) -> usize {
    let count = from.len().min(limit).min(to.remaining());
    to.put_slice(&from[..count]);
    from.advance(count);
    count
}

impl<S: AsyncRead + Unpin> AsyncRead for AuthorityAdapter<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            match &mut this.state {
                State::Aside => return Pin::new(&mut this.inner).poll_read(cx, buf),
                State::Failed(reason) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason.clone())));
                }
                State::Drain(rest) => {
                    give(rest, usize::MAX, buf);
                    if rest.is_empty() {
                        this.state = State::Aside;
                    }
                    if buf.filled().len() > before || buf.remaining() == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Active(active) => {
                    let next = match active.fill(buf) {
                        Ok(next) => next,
                        Err(error) => {
                            // What came before the error has to be read before the error is.
                            this.state = State::Failed(error.to_string());
                            if buf.filled().len() > before {
                                return Poll::Ready(Ok(()));
                            }
                            continue;
                        }
                    };
                    match next {
                        Next::Full => return Poll::Ready(Ok(())),
                        Next::Aside => {
                            let rest = std::mem::take(&mut active.input);
                            this.state = State::Drain(rest);
                            continue;
                        }
                        Next::Read if buf.filled().len() > before => return Poll::Ready(Ok(())),
                        Next::Read => {}
                    }
                    if active.end {
                        // Half a frame: the server has to see that something is missing.
                        let rest = std::mem::take(&mut active.input);
                        this.state = State::Drain(rest);
                        continue;
                    }
                    if active.pass >= DIRECT {
                        let limit = active.pass.min(buf.remaining());
                        let mut direct = ReadBuf::new(buf.initialize_unfilled_to(limit));
                        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut direct))?;
                        let count = direct.filled().len();
                        buf.advance(count);
                        active.pass -= count;
                        return Poll::Ready(Ok(()));
                    }
                    active.input.reserve(READ);
                    active.end =
                        ready!(poll_read_buf(Pin::new(&mut this.inner), cx, &mut active.input))? == 0;
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AuthorityAdapter<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
