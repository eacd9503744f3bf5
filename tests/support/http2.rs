//! One HTTP/2 connection, either end, with nothing hidden.
//!
//! Recordings are about headers, trailers, their order and the codes of resets, and libraries tidy exactly those away:
//! none of them would send the `:authority` that gRPC's C core sends on unix sockets, or tell whether trailers came
//! alone. So this speaks the protocol itself: frames ([`frame`]), header compression in the form that grpcio uses
//! ([`hpack`]), flow control, gRPC's length prefix; everything that arrives becomes an [`Arrival`], in order.
//!
//! It is a tool for tests. What a peer does wrong is reported as [`Arrived::Closed`] or [`Arrived::Broken`].

pub mod frame;
pub mod hpack;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use frame::{Frame, Kind, PREFACE, Setting, flags};

/// Names and values of one header block, in the order of the wire.
pub type Headers = Vec<(String, String)>;

/// A byte stream to or from a peer: a unix socket, a TCP connection, a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Opens streams; greets as grpcio's client does.
    Client,
    /// Answers them; greets as grpcio's server does.
    Server,
}

/// Something that the peer sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The stream; 0 for the connection itself.
    pub stream: u32,
    /// What arrived on it.
    pub what: Arrived,
}

/// The contents of an [`Arrival`].
#[derive(Debug, Clone, PartialEq)]
pub enum Arrived {
    /// The first header block of a stream that goes on.
    Headers(Headers),
    /// One gRPC message, without its prefix.
    Message(Bytes),
    /// The last header block; `only` when no other came before it. An [`Arrived::End`] does not follow.
    Trailers {
        /// Names and values.
        headers: Headers,
        /// No headers came first.
        only: bool,
    },
    /// The peer has ended its direction without trailers.
    End,
    /// The peer has reset the stream with this code.
    Reset(u32),
    /// The peer broke gRPC's framing on this stream.
    Broken(String),
    /// The connection is over.
    Closed(String),
}

/// More arrivals than any recording has are a defect of the peer (or of the test) rather than a reason to buffer.
const ARRIVALS: usize = 65_536;

/// What grpcio announces for each stream.
const WINDOW: u32 = 4_194_304;

/// A connection to a peer. Dropping it closes the connection.
pub struct Connection {
    shared: Arc<Shared>,
    arrivals: mpsc::Receiver<Arrival>,
    reader: JoinHandle<()>,
}

struct Shared {
    writer: tokio::sync::Mutex<Writer>,
    windows: Mutex<Windows>,
    changed: Notify,
}

struct Writer {
    io: Box<dyn AsyncWrite + Send + Unpin>,
    encoder: hpack::Encoder,
}

/// How much the peer is willing to receive.
struct Windows {
    connection: i64,
    initial: i64,
    streams: HashMap<u32, i64>,
    closed: HashSet<u32>,
    max_frame: usize,
    gone: bool,
}

fn lock(windows: &Mutex<Windows>) -> MutexGuard<'_, Windows> {
    windows.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Greets the peer and starts to read.
    pub async fn open(io: impl Io + 'static, role: Role) -> io::Result<Self> {
        let (reader, writer) = tokio::io::split(io);
        let shared = Arc::new(Shared {
            writer: tokio::sync::Mutex::new(Writer {
                io: Box::new(writer),
                encoder: hpack::Encoder::default(),
            }),
            windows: Mutex::new(Windows {
                connection: 65_535,
                initial: 65_535,
                streams: HashMap::new(),
                closed: HashSet::new(),
                max_frame: 16_384,
                gone: false,
            }),
            changed: Notify::new(),
        });
        let mut greeting = Vec::new();
        let mut settings = Vec::new();
        if role == Role::Client {
            greeting.extend_from_slice(PREFACE);
            settings.extend([Setting::ENABLE_PUSH.to(0), Setting::MAX_CONCURRENT_STREAMS.to(0)]);
        }
        settings.extend([
            Setting::INITIAL_WINDOW_SIZE.to(WINDOW),
            Setting::MAX_FRAME_SIZE.to(WINDOW),
            Setting::MAX_HEADER_LIST_SIZE.to(16_384),
            Setting::GRPC_ALLOW_TRUE_BINARY_METADATA.to(1),
        ]);
        greeting.extend(Frame::settings(&settings).to_bytes());
        greeting.extend(Frame::window_update(0, WINDOW - 65_535).to_bytes());
        {
            let mut writer = shared.writer.lock().await;
            writer.io.write_all(&greeting).await?;
            writer.io.flush().await?;
        }
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let state = Reader {
            io: reader,
            buffer: BytesMut::new(),
            shared: Arc::clone(&shared),
            arrivals: sender,
            decoder: loona_hpack::Decoder::new(),
            streams: HashMap::new(),
            role,
        };
        Ok(Self { shared, arrivals, reader: tokio::spawn(state.run()) })
    }

    /// The next thing that the peer sends; `None` once [`Arrived::Closed`] has been seen.
    pub async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// Something that has arrived already.
    pub fn arrived(&mut self) -> Option<Arrival> {
        self.arrivals.try_recv().ok()
    }

    /// The sending half, for several tasks.
    pub fn sender(&self) -> Sender {
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The sending half of a [`Connection`].
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// A header block; `end` ends our direction of the stream with it.
    pub async fn headers(&self, stream: u32, headers: &[(String, String)], end: bool) -> io::Result<()> {
        let max = lock(&self.shared.windows).max_frame;
        let mut writer = self.shared.writer.lock().await;
        let block = writer.encoder.encode(headers);
        let mut chunks = block.chunks(max).peekable();
        let mut kind = Kind::HEADERS;
        let mut out = Vec::new();
        while let Some(chunk) = chunks.next() {
            let mut bits = if kind == Kind::HEADERS && end { flags::END_STREAM } else { 0 };
            if chunks.peek().is_none() {
                bits |= flags::END_HEADERS;
            }
            out.extend(Frame::new(kind, bits, stream, Bytes::copy_from_slice(chunk)).to_bytes());
            kind = Kind::CONTINUATION;
        }
        writer.io.write_all(&out).await?;
        writer.io.flush().await
    }

    /// One gRPC message, as soon as the peer's windows allow; `end` ends our direction with its last byte.
    pub async fn message(&self, stream: u32, message: &[u8], end: bool) -> io::Result<()> {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let mut rest = BytesMut::with_capacity(message.len() + 5);
        rest.extend_from_slice(&[0]);
        rest.extend_from_slice(&length.to_be_bytes());
        rest.extend_from_slice(message);
        let mut rest = rest.freeze();
        while !rest.is_empty() {
            let room = self.room(stream, rest.len()).await?;
            let chunk = rest.split_to(room);
            let bits = if end && rest.is_empty() { flags::END_STREAM } else { 0 };
            self.write(&Frame::new(Kind::DATA, bits, stream, chunk)).await?;
        }
        Ok(())
    }

    /// Ends our direction with an empty DATA frame.
    pub async fn end(&self, stream: u32) -> io::Result<()> {
        self.write(&Frame::new(Kind::DATA, flags::END_STREAM, stream, Bytes::new())).await
    }

    /// Resets the stream.
    pub async fn reset(&self, stream: u32, code: u32) -> io::Result<()> {
        self.write(&Frame::new(Kind::RST_STREAM, 0, stream, Bytes::copy_from_slice(&code.to_be_bytes())))
            .await
    }

    /// Closes our direction of the connection.
    pub async fn close(&self) -> io::Result<()> {
        self.shared.writer.lock().await.io.shutdown().await
    }

    async fn write(&self, frame: &Frame) -> io::Result<()> {
        let mut writer = self.shared.writer.lock().await;
        writer.io.write_all(&frame.to_bytes()).await?;
        writer.io.flush().await
    }

    /// Takes as much of both windows as there is, up to `wanted` and the size of a frame; waits for some.
    async fn room(&self, stream: u32, wanted: usize) -> io::Result<usize> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut windows = lock(&self.shared.windows);
                if windows.gone {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the peer has closed the connection",
                    ));
                }
                if windows.closed.contains(&stream) {
                    return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer has reset the stream"));
                }
                let initial = windows.initial;
                let of_stream = *windows.streams.entry(stream).or_insert(initial);
                let room = of_stream.min(windows.connection).min(i64::try_from(wanted).unwrap_or(i64::MAX));
                let room = usize::try_from(room).unwrap_or(0).min(windows.max_frame);
                if room > 0 {
                    let taken = i64::try_from(room).unwrap_or(i64::MAX);
                    windows.connection -= taken;
                    windows.streams.insert(stream, of_stream - taken);
                    return Ok(room);
                }
            }
            tokio::time::timeout(Duration::from_secs(30), changed).await.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "the peer does not read: no window for 30 s")
            })?;
        }
    }
}

/// The receiving half: everything the protocol wants to be answered is answered here.
struct Reader<R> {
    io: R,
    buffer: BytesMut,
    shared: Arc<Shared>,
    arrivals: mpsc::Sender<Arrival>,
    decoder: loona_hpack::Decoder<'static>,
    streams: HashMap<u32, Incoming>,
    role: Role,
}

#[derive(Default)]
struct Incoming {
    started: bool,
    partial: BytesMut,
}

impl<R: AsyncRead + Send + Unpin> Reader<R> {
    async fn run(mut self) {
        let reason = match self.read_all().await {
            Ok(()) => "closed by the peer".to_owned(),
            Err(error) => error.to_string(),
        };
        lock(&self.shared.windows).gone = true;
        self.shared.changed.notify_waiters();
        self.arrive(0, Arrived::Closed(reason)).ok();
    }

    fn arrive(&self, stream: u32, what: Arrived) -> io::Result<()> {
        self.arrivals
            .try_send(Arrival { stream, what })
            .map_err(|_| io::Error::other(format!("more than {ARRIVALS} events were left unread")))
    }

    async fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.buffer.len() < length {
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(false)
                } else {
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ends inside a frame"))
                };
            }
        }
        Ok(true)
    }

    async fn frame(&mut self) -> io::Result<Option<Frame>> {
        if !self.fill(frame::HEADER).await? {
            return Ok(None);
        }
        let header = self.buffer.split_to(frame::HEADER).freeze();
        let length = frame::length(&header);
        if length > 0 && !self.fill(length).await? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ends inside a frame"));
        }
        Ok(Some(Frame::parse(&header, self.buffer.split_to(length).freeze())))
    }

    async fn read_all(&mut self) -> io::Result<()> {
        if self.role == Role::Server {
            if !self.fill(PREFACE.len()).await? {
                return Ok(());
            }
            let preface = self.buffer.split_to(PREFACE.len());
            if preface != PREFACE {
                return Err(io::Error::other("the client does not speak HTTP/2"));
            }
        }
        while let Some(frame) = self.frame().await? {
            self.on(frame).await?;
        }
        Ok(())
    }

    async fn reply(&mut self, frames: &[Frame]) -> io::Result<()> {
        let out: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        let mut writer = self.shared.writer.lock().await;
        writer.io.write_all(&out).await?;
        writer.io.flush().await
    }

    async fn on(&mut self, frame: Frame) -> io::Result<()> {
        let stream = frame.stream;
        match frame.kind {
            Kind::SETTINGS if frame.flags & flags::ACK == 0 => {
                self.on_settings(&frame.payload);
                self.reply(&[Frame::new(Kind::SETTINGS, flags::ACK, 0, Bytes::new())]).await
            }
            Kind::PING if frame.flags & flags::ACK == 0 => {
                self.reply(&[Frame::new(Kind::PING, flags::ACK, 0, frame.payload)]).await
            }
            Kind::WINDOW_UPDATE => {
                let increment = i64::from(frame::number(&frame.payload) & 0x7fff_ffff);
                let mut windows = lock(&self.shared.windows);
                if stream == 0 {
                    windows.connection += increment;
                } else {
                    let initial = windows.initial;
                    *windows.streams.entry(stream).or_insert(initial) += increment;
                }
                drop(windows);
                self.shared.changed.notify_waiters();
                Ok(())
            }
            Kind::RST_STREAM => {
                lock(&self.shared.windows).closed.insert(stream);
                self.shared.changed.notify_waiters();
                self.arrive(stream, Arrived::Reset(frame::number(&frame.payload)))
            }
            Kind::HEADERS => self.on_headers(frame).await,
            Kind::DATA => {
                let size = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
                if size > 0 {
                    self.reply(&[Frame::window_update(0, size), Frame::window_update(stream, size)]).await?;
                }
                self.on_data(&frame)
            }
            Kind::GOAWAY => {
                let code = frame.payload.get(4..8).map_or(0, frame::number);
                if code == 0 {
                    Ok(())
                } else {
                    Err(io::Error::other(format!("GOAWAY with error code {code}")))
                }
            }
            _ => Ok(()),
        }
    }

    fn on_settings(&self, payload: &[u8]) {
        let mut windows = lock(&self.shared.windows);
        for (setting, value) in frame::settings(payload) {
            match setting {
                Setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - windows.initial;
                    windows.initial += change;
                    windows.streams.values_mut().for_each(|window| *window += change);
                }
                Setting::MAX_FRAME_SIZE => windows.max_frame = usize::try_from(value).unwrap_or(16_384),
                _ => {}
            }
        }
        drop(windows);
        self.shared.changed.notify_waiters();
    }

    async fn on_headers(&mut self, first: Frame) -> io::Result<()> {
        let stream = first.stream;
        let end = first.flags & flags::END_STREAM != 0;
        let mut done = first.flags & flags::END_HEADERS != 0;
        let mut block = BytesMut::from(first.header_block()?.as_ref());
        while !done {
            let Some(next) = self.frame().await? else {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection ends inside a header block",
                ));
            };
            if next.kind != Kind::CONTINUATION || next.stream != stream {
                return Err(io::Error::other("a header block is interrupted by another frame"));
            }
            block.extend_from_slice(&next.payload);
            done = next.flags & flags::END_HEADERS != 0;
        }
        let headers = self
            .decoder
            .decode(&block)
            .map_err(|error| io::Error::other(format!("a header block cannot be decoded: {error:?}")))?
            .into_iter()
            .map(|(name, value)| (text(&name), text(&value)))
            .collect();
        let started = std::mem::replace(&mut self.streams.entry(stream).or_default().started, true);
        match (self.role, started, end) {
            (Role::Client, _, true) => self.arrive(stream, Arrived::Trailers { headers, only: !started }),
            (Role::Server, false, true) => {
                self.arrive(stream, Arrived::Headers(headers))?;
                self.arrive(stream, Arrived::End)
            }
            (Role::Server, true, _) => {
                self.arrive(stream, Arrived::Broken("a client sent trailers".to_owned()))
            }
            (_, false, false) => self.arrive(stream, Arrived::Headers(headers)),
            (Role::Client, true, false) => self
                .arrive(stream, Arrived::Broken("headers came twice and did not end the stream".to_owned())),
        }
    }

    fn on_data(&mut self, frame: &Frame) -> io::Result<()> {
        let stream = frame.stream;
        let mut messages = Vec::new();
        let partial = &mut self.streams.entry(stream).or_default().partial;
        partial.extend_from_slice(frame.data()?.as_ref());
        while partial.len() >= 5 {
            let length = usize::try_from(frame::number(&partial[1..5])).unwrap_or(usize::MAX);
            if partial.len() - 5 < length {
                break;
            }
            let compressed = partial[0] != 0;
            partial.advance(5);
            let message = partial.split_to(length).freeze();
            messages.push(if compressed {
                Arrived::Broken("a message is compressed although nobody asked for it".to_owned())
            } else {
                Arrived::Message(message)
            });
        }
        let cut = !partial.is_empty();
        for message in messages {
            self.arrive(stream, message)?;
        }
        if frame.flags & flags::END_STREAM != 0 {
            if cut {
                self.arrive(stream, Arrived::Broken("the stream ends inside a message".to_owned()))?;
            }
            self.arrive(stream, Arrived::End)?;
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
