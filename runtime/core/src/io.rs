//! [`Io`]: a byte stream or a message stream between a device and whoever uses it.
//!
//! Both ends of both directions are independent: finishing one leaves the other running, and a direction that was cut
//! is an error for its reader, never an end.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::mpsc,
};
use tokio_util::sync::PollSender;

/// How many bytes one read of a byte stream asks for; upstream's peers use the same size for their pieces.
pub const CHUNK: usize = 64 * 1024;

/// How many pieces wait between the two ends of [`Io::pair`]; upstream's pipes hold as many.
pub const PIPE_DEPTH: usize = 32;

/// What [`Io::new`] takes: anything that can be read and written asynchronously.
pub trait ByteStream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> ByteStream for T {}

/// What [`Io::messages`] takes: whole messages in both directions. Closing the sink finishes that direction.
pub trait MessageStream: Stream<Item = io::Result<Bytes>> + Sink<Bytes, Error = io::Error> + Send {}
impl<T: Stream<Item = io::Result<Bytes>> + Sink<Bytes, Error = io::Error> + Send> MessageStream for T {}

/// A connection to a device, or to a client.
pub struct Io {
    inner: Inner,
}

enum Inner {
    Bytes(Pin<Box<dyn ByteStream>>),
    Messages { stream: Pin<Box<dyn MessageStream>>, rest: Bytes },
}

impl Io {
    /// A byte stream: pieces may be split and joined on the way.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self { inner: Inner::Bytes(Box::pin(stream)) }
    }

    /// A message stream (datagrams, CAN frames, WebSocket messages): one piece is one message, all the way.
    pub fn messages(stream: impl MessageStream + 'static) -> Self {
        Self { inner: Inner::Messages { stream: Box::pin(stream), rest: Bytes::new() } }
    }

    /// Joins a reading and a writing half to a byte stream.
    pub fn join(reader: impl AsyncRead + Send + 'static, writer: impl AsyncWrite + Send + 'static) -> Self {
        Self::new(tokio::io::join(reader, writer))
    }

    /// Two connected ends in memory, each direction bounded to [`PIPE_DEPTH`] pieces.
    ///
    /// An end that is dropped without having finished its direction is an error
    /// ([`io::ErrorKind::ConnectionAborted`]) for the other end's reader.
    pub fn pair() -> (Self, Self) {
        let (near, far) = Self::pipes();
        (Self::messages(near), Self::messages(far))
    }

    fn pipes() -> (Pipe, Pipe) {
        let (to_far, from_near) = mpsc::channel(PIPE_DEPTH);
        let (to_near, from_far) = mpsc::channel(PIPE_DEPTH);
        (Pipe::new(to_far, from_far), Pipe::new(to_near, from_near))
    }

    /// Whether pieces are messages whose borders matter.
    pub fn is_messages(&self) -> bool {
        matches!(self.inner, Inner::Messages { .. })
    }

    /// The next piece: at most [`CHUNK`] bytes, or one message; `None` once the other side has finished.
    pub async fn recv(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.inner {
            Inner::Bytes(stream) => read_chunk(stream).await,
            Inner::Messages { stream, rest } => {
                if !rest.is_empty() {
                    return Ok(Some(std::mem::take(rest)));
                }
                stream.next().await.transpose()
            }
        }
    }

    /// Sends one piece and hands it to the other side before it returns.
    pub async fn send(&mut self, piece: impl Into<Bytes>) -> io::Result<()> {
        let piece = piece.into();
        match &mut self.inner {
            Inner::Bytes(stream) => {
                stream.write_all(&piece).await?;
                stream.flush().await
            }
            Inner::Messages { stream, .. } => stream.send(piece).await,
        }
    }

    /// Says that nothing more will be sent. The other direction stays open.
    pub async fn finish(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Bytes(stream) => stream.shutdown().await,
            Inner::Messages { stream, .. } => stream.close().await,
        }
    }

    /// Takes the two directions apart, for two tasks.
    pub fn split(self) -> (IoReader, IoWriter) {
        match self.inner {
            Inner::Bytes(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (IoReader(ReadHalf::Bytes(reader, BytesMut::new())), IoWriter(WriteHalf::Bytes(writer)))
            }
            Inner::Messages { stream, rest } => {
                let (writer, reader) = stream.split();
                (IoReader(ReadHalf::Messages(reader, rest)), IoWriter(WriteHalf::Messages(writer)))
            }
        }
    }
}

async fn read_chunk<R: AsyncRead + Unpin + ?Sized>(reader: &mut R) -> io::Result<Option<Bytes>> {
    let mut buffer = BytesMut::with_capacity(4096);
    read_into(reader, &mut buffer).await
}

/// Reads what is there. The buffer grows only when the last read filled it, so an idle console costs 4 KiB and a
/// busy transfer gets whole chunks.
async fn read_into<R: AsyncRead + Unpin + ?Sized>(
    reader: &mut R,
    buffer: &mut BytesMut,
) -> io::Result<Option<Bytes>> {
    if buffer.capacity() == 0 {
        buffer.reserve(4096);
    }
    let room = buffer.capacity();
    let count = reader.read_buf(buffer).await?;
    if count == 0 {
        return Ok(None);
    }
    let piece = buffer.split().freeze();
    if count == room {
        buffer.reserve((room * 4).min(CHUNK));
    }
    Ok(Some(piece))
}

/// The reading half of an [`Io`].
pub struct IoReader(ReadHalf);

enum ReadHalf {
    Bytes(tokio::io::ReadHalf<Pin<Box<dyn ByteStream>>>, BytesMut),
    Messages(futures::stream::SplitStream<Pin<Box<dyn MessageStream>>>, Bytes),
}

impl IoReader {
    /// The next piece, or `None` once the other side has finished.
    pub async fn recv(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.0 {
            ReadHalf::Bytes(reader, buffer) => read_into(reader, buffer).await,
            ReadHalf::Messages(_, rest) if !rest.is_empty() => Ok(Some(std::mem::take(rest))),
            ReadHalf::Messages(stream, _) => stream.next().await.transpose(),
        }
    }
}

/// The writing half of an [`Io`].
pub struct IoWriter(WriteHalf);

enum WriteHalf {
    Bytes(tokio::io::WriteHalf<Pin<Box<dyn ByteStream>>>),
    Messages(futures::stream::SplitSink<Pin<Box<dyn MessageStream>>, Bytes>),
}

impl IoWriter {
    /// Sends one piece and hands it over before it returns.
    pub async fn send(&mut self, piece: Bytes) -> io::Result<()> {
        match &mut self.0 {
            WriteHalf::Bytes(writer) => {
                writer.write_all(&piece).await?;
                writer.flush().await
            }
            WriteHalf::Messages(sink) => sink.send(piece).await,
        }
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) -> io::Result<()> {
        match &mut self.0 {
            WriteHalf::Bytes(writer) => writer.shutdown().await,
            WriteHalf::Messages(sink) => sink.close().await,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Bytes(stream) => stream.as_mut().poll_read(cx, buf),
            Inner::Messages { stream, rest } => {
                // An empty message is data, but a read of nothing means the end: skip it here.
                while rest.is_empty() {
                    match ready!(stream.as_mut().poll_next(cx)).transpose()? {
                        Some(piece) => *rest = piece,
                        None => return Poll::Ready(Ok(())),
                    }
                }
                let count = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..count]);
                rest.advance(count);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Bytes(stream) => stream.as_mut().poll_write(cx, data),
            Inner::Messages { stream, .. } => {
                ready!(stream.as_mut().poll_ready(cx))?;
                let count = data.len().min(CHUNK);
                stream.as_mut().start_send(Bytes::copy_from_slice(&data[..count]))?;
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Bytes(stream) => stream.as_mut().poll_flush(cx),
            Inner::Messages { stream, .. } => stream.as_mut().poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Bytes(stream) => stream.as_mut().poll_shutdown(cx),
            Inner::Messages { stream, .. } => stream.as_mut().poll_close(cx),
        }
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_messages() { "Io(messages)" } else { "Io(bytes)" })
    }
}

enum Item {
    Piece(Bytes),
    End,
}

/// One end of [`Io::pair`].
struct Pipe {
    sender: PollSender<Item>,
    finished: bool,
    receiver: mpsc::Receiver<Item>,
    ended: bool,
}

impl Pipe {
    fn new(sender: mpsc::Sender<Item>, receiver: mpsc::Receiver<Item>) -> Self {
        Self { sender: PollSender::new(sender), finished: false, receiver, ended: false }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other end is gone")
}

impl Stream for Pipe {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.receiver.poll_recv(cx)) {
            Some(Item::Piece(piece)) => Poll::Ready(Some(Ok(piece))),
            Some(Item::End) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => {
                self.ended = true;
                let cut =
                    io::Error::new(io::ErrorKind::ConnectionAborted, "the stream was cut before its end");
                Poll::Ready(Some(Err(cut)))
            }
        }
    }
}

impl Sink<Bytes> for Pipe {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "this direction is finished")));
        }
        self.sender.poll_reserve(cx).map_err(|_| gone())
    }

    fn start_send(mut self: Pin<&mut Self>, piece: Bytes) -> io::Result<()> {
        self.sender.send_item(Item::Piece(piece)).map_err(|_| gone())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            // A reader that is gone does not need to hear about the end.
            if ready!(self.sender.poll_reserve(cx)).is_ok() {
                let _ = self.sender.send_item(Item::End);
            }
            self.finished = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finishing_one_direction_leaves_the_other_open() {
        let (mut near, mut far) = Io::pair();
        near.send("last words").await.unwrap();
        near.finish().await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap(), "last words");
        assert_eq!(far.recv().await.unwrap(), None);
        far.send("answer").await.unwrap();
        assert_eq!(near.recv().await.unwrap().unwrap(), "answer");
    }

    #[tokio::test]
    async fn a_dropped_end_is_an_error_and_not_an_end() {
        let (mut near, far) = Io::pair();
        drop(far);
        assert_eq!(near.recv().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn reading_bytes_from_messages_keeps_every_byte() {
        let (mut near, mut far) = Io::pair();
        near.send("ab").await.unwrap();
        near.send("").await.unwrap();
        near.send("cde").await.unwrap();
        near.finish().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "abcde");
    }

    #[tokio::test]
    async fn empty_messages_are_delivered_as_messages() {
        let (mut near, mut far) = Io::pair();
        near.send("").await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap(), "");
    }
}
