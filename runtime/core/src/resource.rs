//! Files on their way between a client and a driver: [`Source`] to read, [`Sink`] to write.
//!
//! The end of data is explicit. A source that ends without having been ended by its sender is an error, and a sink that
//! is dropped without [`Sink::finish`] is an error at the other side.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use prost_types::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use uuid::Uuid;

use crate::{
    Error, Result,
    io::CHUNK,
    wire::{WireError, value},
};

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// Prints a digest the way `sha256sum` does.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        use fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a digest the way `sha256sum` prints it.
pub fn parse_sha256(text: &str) -> Option<Sha256Digest> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (i, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(digest)
}

/// How many bytes [`packing_by_magic`] looks at.
const MAGIC: usize = 6;

/// How data is packed (`gzip`, `xz`, `bz2` or `zstd`), by its first six bytes: the signatures that these formats begin with.
pub fn packing_by_magic(first: &[u8]) -> Option<&'static str> {
    match first {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some("bz2"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// Data that a driver method reads, piece by piece.
pub struct Source {
    body: BoxStream<'static, Result<Bytes>>,
    len: Option<u64>,
    digest: Option<Sha256Digest>,
    seen: u64,
    hasher: Option<Sha256>,
    ended: bool,
    packing: Option<String>,
    handle: Option<Handle>,
}

impl Source {
    /// From a stream whose end is a real end: whoever makes it turns every cut into an error.
    pub fn new(body: impl futures::Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self {
            body: body.boxed(),
            len: None,
            digest: None,
            seen: 0,
            hasher: None,
            ended: false,
            packing: None,
            handle: None,
        }
    }

    /// From bytes at hand.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        let mut rest = bytes;
        let pieces =
            std::iter::from_fn(move || (!rest.is_empty()).then(|| Ok(rest.split_to(rest.len().min(CHUNK)))));
        Self::new(futures::stream::iter(pieces)).with_len(len)
    }

    /// From a reader whose end of file is a real end, for example a file of this machine.
    pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        let state = (Box::pin(reader), bytes::BytesMut::new());
        Self::new(futures::stream::try_unfold(state, async |(mut reader, mut buffer)| {
            buffer.reserve(CHUNK);
            // Fill whole pieces: small reads would cost a message each.
            while buffer.len() < CHUNK {
                if (&mut reader).take((CHUNK - buffer.len()) as u64).read_buf(&mut buffer).await? == 0 {
                    break;
                }
            }
            let piece = buffer.split().freeze();
            Ok(if piece.is_empty() { None } else { Some((piece, (reader, buffer))) })
        }))
    }

    /// Stands for a request that the exporter makes itself, so that the data does not pass through the client.
    /// Such a source holds nothing to read here.
    pub fn from_url(url: impl Into<String>, headers: BTreeMap<String, String>) -> Self {
        let elsewhere =
            Error::unsupported_because("this file is fetched by the exporter and cannot be read here");
        let mut source = Self::new(futures::stream::iter([Err(elsewhere)]));
        source.handle = Some(Handle::PresignedRequest { headers, url: url.into(), method: "GET".to_owned() });
        source
    }

    /// Says that the bytes are packed (`gzip`, `xz`, `bz2` or `zstd`): the exporter unpacks them for the driver.
    /// Only looked at where a client sends; a driver always sees what was packed.
    #[must_use]
    pub fn packed_as(mut self, encoding: Option<impl Into<String>>) -> Self {
        self.packing = encoding.map(Into::into);
        self
    }

    /// Looks at the first bytes and says that the data is packed as they tell, or that it is not packed.
    ///
    /// # Errors
    /// When the first bytes cannot be read, as it is with those of [`Source::from_url`].
    pub async fn packed_as_found(mut self) -> Result<Self> {
        if self.handle.is_some() {
            return Err(Error::usage(
                "how a file is packed that the exporter fetches cannot be seen here: name the compression",
            ));
        }
        let len = self.len;
        let mut first = bytes::BytesMut::new();
        while first.len() < MAGIC
            && let Some(piece) = self.next().await?
        {
            first.extend_from_slice(&piece);
        }
        let packing = packing_by_magic(&first);
        // Length and digest are verified inside, by the original.
        let found = Self::new(futures::stream::iter([Ok(first.freeze())]).chain(self)).packed_as(packing);
        Ok(match len {
            Some(len) => found.with_len(len),
            None => found,
        })
    }

    /// How the bytes are packed, on the sending side.
    pub fn packing(&self) -> Option<&str> {
        self.packing.as_deref()
    }

    /// The handle to pass instead of opening a stream, for [`Source::from_url`].
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// Announces how many bytes will come.
    #[must_use]
    pub fn with_len(mut self, len: u64) -> Self {
        self.len = Some(len);
        self
    }

    /// Announces the digest of all bytes. They are hashed while they stream.
    #[must_use]
    pub fn with_digest(mut self, digest: Sha256Digest) -> Self {
        self.digest = Some(digest);
        self.hasher = Some(Sha256::new());
        self
    }

    /// How many bytes will come, where announced.
    pub fn len(&self) -> Option<u64> {
        self.len
    }

    /// Whether it was announced that nothing will come.
    pub fn is_empty(&self) -> bool {
        self.len == Some(0)
    }

    /// The digest of all bytes, where announced.
    pub fn digest(&self) -> Option<Sha256Digest> {
        self.digest
    }

    /// The next piece; `None` only after an explicit end. Length and digest are verified there.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_next_piece(cx)).await
    }

    fn poll_next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let next = std::task::ready!(self.body.poll_next_unpin(cx));
        Poll::Ready(match next {
            Some(Ok(piece)) => {
                self.seen += piece.len() as u64;
                if let Some(len) = self.len.filter(|len| self.seen > *len) {
                    self.ended = true;
                    return Poll::Ready(Err(Error::truncated(format!(
                        "more data than the announced {len} bytes"
                    ))));
                }
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&piece);
                }
                Ok(Some(piece))
            }
            Some(Err(error)) => {
                self.ended = true;
                Err(error)
            }
            None => {
                self.ended = true;
                self.verify().map(|()| None)
            }
        })
    }

    fn verify(&mut self) -> Result<()> {
        if let Some(len) = self.len.filter(|len| self.seen != *len) {
            return Err(Error::truncated(format!("got {} of the announced {len} bytes", self.seen)));
        }
        if let (Some(hasher), Some(announced)) = (self.hasher.take(), self.digest) {
            let digest: Sha256Digest = hasher.finalize().into();
            if digest != announced {
                return Err(Error::truncated(format!(
                    "the data does not have the announced digest: sha256 {} instead of {}",
                    hex(&digest),
                    hex(&announced)
                )));
            }
        }
        Ok(())
    }

    /// Reads on to the end, discarding, and verifies length and digest where they were announced.
    pub async fn finish(mut self) -> Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// Everything, but not more than `limit` bytes.
    pub async fn read_to_end(mut self, limit: usize) -> Result<Bytes> {
        let mut all = bytes::BytesMut::new();
        while let Some(piece) = self.next().await? {
            if all.len() + piece.len() > limit {
                return Err(Error::device(format!("more than {limit} bytes")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Copies everything into a writer, flushes it, and says how many bytes there were.
    pub async fn copy_to(&mut self, writer: &mut (impl AsyncWrite + Unpin + ?Sized)) -> Result<u64> {
        while let Some(piece) = self.next().await? {
            writer.write_all(&piece).await?;
        }
        writer.flush().await?;
        Ok(self.seen)
    }

    /// As a reader. A cut is an error there, too.
    pub fn into_reader(self) -> impl AsyncRead + Send + Unpin {
        SourceReader { source: self, rest: Bytes::new() }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?} bytes)", self.len)
    }
}

impl futures::Stream for Source {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_piece(cx).map(Result::transpose)
    }
}

struct SourceReader {
    source: Source,
    rest: Bytes,
}

impl AsyncRead for SourceReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.rest.is_empty() {
            match std::task::ready!(self.source.poll_next_piece(cx))? {
                Some(piece) => self.rest = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

/// What is behind a [`Sink`].
pub trait SinkBody: Send {
    /// Takes one piece; resolves when there is room for the next.
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>>;
    /// Ends the data and waits until the other side has it.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
    /// The data ends here although it is not complete: the other side must see an error.
    fn abort(self: Box<Self>, reason: Error);
    /// The same, because whoever wrote was itself given up in the middle, for example when its caller has gone.
    fn abandon(self: Box<Self>, reason: Error) {
        self.abort(reason);
    }
}

/// Where a driver method writes data, piece by piece.
pub struct Sink {
    body: Option<Box<dyn SinkBody>>,
    written: u64,
    packing: Option<String>,
    handle: Option<Handle>,
}

impl Sink {
    /// With this behind it.
    pub fn new(body: impl SinkBody + 'static) -> Self {
        Self { body: Some(Box::new(body)), written: 0, packing: None, handle: None }
    }

    /// Into a writer, which is flushed and shut down at the end.
    pub fn to_writer(writer: impl AsyncWrite + Send + 'static) -> Self {
        struct Writer<W>(Pin<Box<W>>);
        impl<W: AsyncWrite + Send + 'static> SinkBody for Writer<W> {
            fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
                Box::pin(async move { Ok(self.0.write_all(&piece).await?) })
            }

            fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
                Box::pin(async move {
                    self.0.flush().await?;
                    Ok(self.0.shutdown().await?)
                })
            }

            fn abort(self: Box<Self>, _: Error) {}
        }
        Self::new(Writer(Box::pin(writer)))
    }

    /// Into memory; the second half resolves to the bytes, or to an error when the sink was not finished.
    pub fn to_memory() -> (Self, impl Future<Output = Result<Bytes>> + Send + 'static) {
        struct Memory(Vec<u8>, tokio::sync::oneshot::Sender<Result<Bytes>>);
        impl SinkBody for Memory {
            fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
                self.0.extend_from_slice(&piece);
                Box::pin(std::future::ready(Ok(())))
            }

            fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
                let _ = self.1.send(Ok(self.0.into()));
                Box::pin(std::future::ready(Ok(())))
            }

            fn abort(self: Box<Self>, reason: Error) {
                let _ = self.1.send(Err(reason));
            }
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let bytes =
            async { receiver.await.unwrap_or_else(|_| Err(Error::truncated("the data was not finished"))) };
        (Self::new(Memory(Vec::new(), sender)), bytes)
    }

    /// Stands for a request that the exporter makes itself, so that the data does not pass through the client.
    /// Nothing can be written to such a sink here.
    pub fn to_url(url: impl Into<String>, headers: BTreeMap<String, String>) -> Self {
        let handle = Handle::PresignedRequest { headers, url: url.into(), method: "PUT".to_owned() };
        Self { body: None, written: 0, packing: None, handle: Some(handle) }
    }

    /// The handle to pass instead of opening a stream, for [`Sink::to_url`].
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// Asks for packed bytes (`gzip`, `xz`, `bz2` or `zstd`): the exporter packs what the driver writes. Only looked at
    /// where a client receives.
    #[must_use]
    pub fn packed_as(mut self, encoding: Option<impl Into<String>>) -> Self {
        self.packing = encoding.map(Into::into);
        self
    }

    /// How the bytes shall arrive, on the receiving side.
    pub fn packing(&self) -> Option<&str> {
        self.packing.as_deref()
    }

    /// Writes one piece.
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<()> {
        let piece = piece.into();
        self.written += piece.len() as u64;
        match &mut self.body {
            Some(body) => body.write(piece).await,
            None if self.handle.is_some() => Err(Error::unsupported_because(
                "this file is stored by the exporter and cannot be written here",
            )),
            None => Err(Error::internal("written to a finished sink")),
        }
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Ends the data: the reader now knows that it has everything.
    pub async fn finish(mut self) -> Result<()> {
        match self.body.take() {
            Some(body) => body.finish().await,
            None => Ok(()),
        }
    }

    /// Gives up: the reader gets this error.
    pub fn abort(mut self, reason: Error) {
        if let Some(body) = self.body.take() {
            body.abort(reason);
        }
    }

    /// Copies a reader to its end and finishes.
    pub async fn copy_from(self, reader: impl AsyncRead + Send + 'static) -> Result<u64> {
        self.copy_source(Source::from_reader(reader)).await
    }

    /// Copies a source to its end and finishes; an error of the source reaches the reader.
    pub async fn copy_source(mut self, mut source: Source) -> Result<u64> {
        loop {
            match source.next().await {
                Ok(Some(piece)) => self.write(piece).await?,
                Ok(None) => break,
                Err(error) => {
                    self.abort(error.clone());
                    return Err(error);
                }
            }
        }
        let written = self.written;
        self.finish().await?;
        Ok(written)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            body.abandon(Error::truncated(format!(
                "the driver stopped after {} bytes without finishing",
                self.written
            )));
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({} bytes)", self.written)
    }
}

/// What a client passes in place of a file: how the exporter gets at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Handle {
    /// A stream that the client holds open.
    ClientStream {
        /// Which one.
        uuid: Uuid,
        /// How the client's bytes are packed: `gzip`, `xz`, `bz2` or `zstd`.
        #[serde(default)]
        x_jmp_content_encoding: Option<String>,
    },
    /// A request that the exporter makes itself.
    PresignedRequest {
        /// Headers to send.
        headers: BTreeMap<String, String>,
        /// Where, verbatim.
        url: String,
        /// `GET` to read, `PUT` to write.
        method: String,
    },
}

impl Handle {
    /// Reads a handle from either form: a map (upstream's clients) or JSON text (generated clients).
    pub fn from_value(value: Value) -> Result<Self, WireError> {
        let shape = |e: &serde_json::Error| WireError::new(format!("expected a resource handle: {e}"));
        match value.kind {
            Some(prost_types::value::Kind::StringValue(text)) => Self::from_json(&text),
            Some(prost_types::value::Kind::StructValue(_)) => {
                let json =
                    jumpstarter_protocol::value::to_json(value).map_err(|e| WireError::new(e.to_string()))?;
                serde_json::from_value(json).map_err(|e| shape(&e))
            }
            kind => Err(value::expected("a resource handle", &Value { kind })),
        }
    }

    /// Reads a handle from JSON text.
    pub fn from_json(text: &str) -> Result<Self, WireError> {
        serde_json::from_str(text).map_err(|e| WireError::new(format!("expected a resource handle: {e}")))
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        // Serialising strings and uuids into memory cannot fail; an empty text would be refused by every reader.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As upstream's calls carry it.
    pub fn to_value(&self) -> Value {
        let json = serde_json::to_value(self).unwrap_or_default();
        jumpstarter_protocol::value::from_json(json).unwrap_or_else(|_| value::null())
    }
}

/// Turns handles into data; the session has one for each driver instance.
pub trait Resources: Send + Sync {
    /// Opens for reading. A handle works once.
    fn source(&self, handle: Handle) -> Result<Source>;
    /// Opens for writing. A handle works once.
    fn sink(&self, handle: Handle) -> Result<Sink>;
}
