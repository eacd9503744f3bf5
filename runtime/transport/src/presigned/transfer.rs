//! The two directions: [`Download`] reads an answer's body, [`Upload`] writes a request's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use http::header::CONTENT_ENCODING;
use http::{Request as Message, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use jumpstarter_core::resource::SinkBody;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use super::http::{Exchange, Limit, Silence, with_causes};
use super::{Error, Method};
use crate::codec::{self, Coded, Encoding, Framing, PIECE};

/// The body of an answer: a stream of pieces of at most [`PIECE`] bytes.
///
/// It ends with `None` only when the whole body has come; everything else is an error, the last item.
pub struct Download {
    body: Coded<BoxStream<'static, Result<Bytes, Error>>>,
    length: Option<u64>,
    deadline: Pin<Box<Sleep>>,
    limit: Limit,
    /// With where the body comes from after redirects.
    silence: Silence,
    /// When the server has been silent for too long, while somebody waits for it.
    quiet: Option<Pin<Box<Sleep>>>,
    over: bool,
    _connection: AbortOnDropHandle<()>,
}

impl Download {
    pub(super) fn new(
        response: Response<Incoming>,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
        limit: Limit,
        silence: Silence,
    ) -> Result<Self, Error> {
        let framing = framing(&response, &silence.url)?;
        let body = response.into_body();
        let length = if framing.is_none() { body.size_hint().exact() } else { None };
        let place = silence.url.clone();
        let body = body
            .into_data_stream()
            .map(move |piece| {
                piece.map_err(|error| Error::Cut {
                    method: Method::Get.name(),
                    url: place.clone(),
                    reason: with_causes(&error),
                })
            })
            .boxed();
        // What goes wrong on the connection is told to the body as well.
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(reason = %with_causes(&error), "a presigned download's connection failed");
            }
        });
        Ok(Self {
            body: codec::unpack_framing(framing, body),
            length,
            deadline: Box::pin(sleep_until(limit.at)),
            limit,
            silence,
            quiet: None,
            over: false,
            _connection: AbortOnDropHandle::new(connection),
        })
    }

    /// The number of bytes that will come, if the server said so and they come as they are.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Stream for Download {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        let item = if this.deadline.as_mut().poll(context).is_ready() {
            Some(Err(this.limit.error()))
        } else {
            match this.body.poll_next_unpin(context) {
                Poll::Pending => {
                    let limit = this.silence.limit;
                    let quiet = this.quiet.get_or_insert_with(|| Box::pin(sleep(limit)));
                    if quiet.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    Some(Err(this.silence.error()))
                }
                Poll::Ready(item) => {
                    // Time in which nobody asks for anything is nobody's silence.
                    this.quiet = None;
                    item
                }
            }
        };
        this.over = !matches!(item, Some(Ok(_)));
        Poll::Ready(item.map(|piece| {
            piece.map_err(|error| match error {
                Error::Content { reason, .. } => Error::Content { url: this.silence.url.clone(), reason },
                other => other,
            })
        }))
    }
}

/// What to undo before the driver sees the body.
fn framing(response: &Response<Incoming>, url: &str) -> Result<Option<Framing>, Error> {
    let mut found = None;
    for value in response.headers().get_all(CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for name in text.split(',').map(str::trim) {
            let next = match name {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Framing::Resource(Encoding::Gzip),
                "deflate" => Framing::Deflate,
                "zstd" => Framing::Resource(Encoding::Zstd),
                "br" | "compress" | "x-compress" | "dcb" | "dcz" | "exi" | "pack200-gzip" => {
                    let reason =
                        format!("its content encoding `{name}` was not asked for and is not supported");
                    return Err(Error::Content { url: url.to_owned(), reason });
                }
                other => {
                    // Object stores keep whatever was once uploaded under this header ("binary", "utf-8",
                    // "aws-chunked"); such a label does not change the bytes.
                    tracing::warn!(encoding = %other.escape_debug(), %url, "unknown content encoding ignored");
                    continue;
                }
            };
            if found.replace(next).is_some() {
                let reason = "it is packed more than once".to_owned();
                return Err(Error::Content { url: url.to_owned(), reason });
            }
        }
    }
    Ok(found)
}

/// Pieces under way between the driver and the connection.
const AHEAD: usize = 4;

/// What goes through the channel.
pub(super) enum Part {
    Data(Bytes),
    /// The driver is done. A channel that just closes means that it is not.
    End,
}

pub(super) type UploadBody = StreamBody<BoxUploadStream>;
type BoxUploadStream = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// The body of a `PUT`, and what feeds it.
pub(super) fn upload_body() -> (mpsc::Sender<Part>, UploadBody) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // The closing error stands behind everything; it is reached when no end was sent.
    let parts = ReceiverStream::new(receiver).map(Some).chain(futures::stream::iter([None]));
    let frames = parts.scan((), |(), part| {
        futures::future::ready(match part {
            Some(Part::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Part::End) => None,
            None => Some(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the upload was given up"))),
        })
    });
    (sender, StreamBody::new(Box::pin(frames)))
}

/// The body of a `PUT` under way.
///
/// It counts as done only after [`finish`](Self::finish) has returned `Ok`. Dropping it before closes the
/// connection without the end that HTTP requires, so that the server does not take the part for the whole.
pub struct Upload {
    parts: mpsc::Sender<Part>,
    answer: Answer,
    /// Bytes still owed, when the handle's headers promise a length.
    owed: Option<u64>,
    limit: Limit,
}

enum Answer {
    Awaited(AbortOnDropHandle<Result<(), Error>>),
    /// The transfer is over with this error, which every further call repeats.
    Failed(Error),
}

impl Upload {
    pub(super) fn new(
        mut exchange: Exchange<UploadBody>,
        message: Message<UploadBody>,
        parts: mpsc::Sender<Part>,
        length: Option<u64>,
        limit: Limit,
    ) -> Self {
        let watch = limit.clone();
        // With the task ends the connection, and with that the channel: a waiting `send` notices.
        let task = tokio::spawn(async move {
            let response = watch.apply(exchange.ask(message)).await?;
            watch.check(&response)
        });
        Self { parts, answer: Answer::Awaited(AbortOnDropHandle::new(task)), owed: length, limit }
    }

    /// Sends some bytes; waits while the server is slow.
    ///
    /// # Errors
    ///
    /// Whatever ended the transfer: a refusal by the server may come before everything is sent.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if let Answer::Failed(error) = &self.answer {
            return Err(error.clone());
        }
        if let Some(owed) = &mut self.owed {
            match owed.checked_sub(bytes.len() as u64) {
                Some(rest) => *owed = rest,
                None => return Err(self.fail("there are more bytes than its Content-Length header says")),
            }
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            if self.parts.send(Part::Data(piece)).await.is_err() {
                return Err(self.early().await);
            }
        }
        Ok(())
    }

    /// Ends the body and waits for the server to confirm.
    pub async fn finish(mut self) -> Result<(), Error> {
        if let Answer::Failed(error) = &self.answer {
            return Err(error.clone());
        }
        if self.owed.is_some_and(|owed| owed > 0) {
            return Err(self.fail("there are fewer bytes than its Content-Length header says"));
        }
        // With a length given, the body is complete, and may be gone already, after the last byte.
        if self.parts.send(Part::End).await.is_err() && self.owed.is_none() {
            return Err(self.early().await);
        }
        match &mut self.answer {
            Answer::Awaited(task) => task.await.unwrap_or_else(|_| Err(cut(&self.limit, ENDING))),
            Answer::Failed(error) => Err(error.clone()),
        }
    }

    /// Gives up with an error of our own; closes the connection.
    fn fail(&mut self, reason: &str) -> Error {
        let error = cut(&self.limit, reason);
        self.answer = Answer::Failed(error.clone());
        error
    }

    /// The connection takes no more bytes: why?
    async fn early(&mut self) -> Error {
        let error = match &mut self.answer {
            Answer::Awaited(task) => match task.await {
                Ok(Err(error)) => error,
                Ok(Ok(())) => cut(&self.limit, "the server answered before it had everything"),
                Err(_) => cut(&self.limit, ENDING),
            },
            Answer::Failed(error) => error.clone(),
        };
        self.answer = Answer::Failed(error.clone());
        error
    }
}

impl SinkBody for Upload {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, jumpstarter_core::Result<()>> {
        Box::pin(async move { Ok(self.send(piece).await?) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, jumpstarter_core::Result<()>> {
        Box::pin(async move { Ok(Upload::finish(*self).await?) })
    }

    fn abort(self: Box<Self>, reason: jumpstarter_core::Error) {
        tracing::debug!(%reason, url = %self.limit.url, "a presigned upload is given up");
    }
}

const ENDING: &str = "the process is ending";

fn cut(limit: &Limit, reason: &str) -> Error {
    Error::Cut { method: limit.method.name(), url: limit.url.clone(), reason: reason.to_owned() }
}
