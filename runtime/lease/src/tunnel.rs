//! Byte streams to the exporter of a lease, through a router.
//!
//! One tunnel is one dial and one call at the router. Each direction ends on its own; what breaks the call is an error for
//! its reader, in words. Connections to routers are kept for the next tunnel, and one carries one tunnel at a time: a
//! program that does not read holds up nobody but itself.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use jumpstarter_core::{Error, ErrorKind, Result};
use jumpstarter_transport::{
    connect::{self, Channel},
    frames::{CHUNK, Lost},
    status::innermost,
    stream::{self, FrameWriter, ResponseReader},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Response, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{
    background,
    controller::router,
    dial::{Attempts, dial},
    held::{Held, Over, Shared},
};

/// How long a router may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long what was sent last may take to arrive; then the call is cut.
const LAST: Duration = Duration::from_secs(5);

/// How many connections without a tunnel are kept per router.
const IDLE: usize = 2;

/// How long a controller may ask an exporter beyond the limit of a tunnel.
const LATE: Duration = Duration::from_secs(6);

/// For how long a router that was lost is old news: every tunnel through it notices on its own, within as long at the latest.
const NEWS: Duration = Duration::from_secs(10);

/// Opens tunnels for one lease. Cheap to clone.
#[derive(Clone)]
pub struct Tunnels {
    lease: Arc<Shared>,
    limit: Duration,
    idle: Arc<Mutex<HashMap<String, Vec<Channel>>>>,
    told: Arc<Mutex<HashMap<String, Instant>>>,
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tunnels({})", self.lease.name())
    }
}

impl Tunnels {
    /// For this lease. `limit` is how long a tunnel may take to come about.
    pub fn new(held: &Held, limit: Duration) -> Self {
        Self { lease: held.shared().clone(), limit, idle: Arc::default(), told: Arc::default() }
    }

    /// The lease that they belong to.
    pub(crate) fn lease(&self) -> &Shared {
        &self.lease
    }

    /// How long a tunnel may take to come about.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Within how long it is known whether one comes about: the controller may still be asking the exporter when time is up.
    pub fn patience(&self) -> Duration {
        self.limit.saturating_add(LATE)
    }

    /// Whether somebody still has to be told that a tunnel through this router is lost. From now on, they have been.
    pub(crate) fn is_news(&self, router: &str) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert(router.to_owned(), now);
        before.is_none_or(|before| now.duration_since(before) > NEWS)
    }

    /// Opens one. Failures that pass are waited for: the exporter may be getting ready, a router may have gone away.
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`] when the exporter cannot be reached in time, [`ErrorKind::Permission`] when the lease was
    /// handed to another client.
    pub async fn open(&self) -> Result<Tunnel> {
        let this = self.clone();
        background::run(async move { this.open_here().await }).await
    }

    /// Like [`open`](Self::open), on the threads of leases.
    pub(crate) async fn open_here(&self) -> Result<Tunnel> {
        if let Some(over) = self.lease.why_over() {
            let kind = match over {
                Over::Transferred(_) => ErrorKind::Permission,
                Over::Expired | Over::Ended(_) => ErrorKind::Disconnected,
            };
            return Err(Error::new(kind, over.words(self.lease.name())));
        }
        let mut attempts = Attempts::within(self.limit);
        loop {
            let answer = dial(&self.lease, &mut attempts).await?;
            let place = answer.router_endpoint;
            let channel = match self.channel(&place).await {
                Ok(channel) => channel,
                // The controller may name another one.
                Err(error) if crate::controller::is_away(&error) => {
                    attempts.again(error).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut metadata = MetadataMap::new();
            let mut token = MetadataValue::try_from(format!("Bearer {}", answer.router_token))
                .map_err(|_| Error::internal("the controller gave a token that cannot be sent"))?;
            token.set_sensitive(true);
            metadata.insert("authorization", token);
            let (writer, opening) = stream::open(channel.clone(), metadata);
            return Ok(Tunnel {
                reading: Reading::Opening(opening.boxed()),
                piece: Bytes::new(),
                writer: Some(Arc::new(writer)),
                sending: None,
                talk: Arc::default(),
                route: Some(Route {
                    lease: self.lease.clone(),
                    place,
                    channel,
                    idle: self.idle.clone(),
                    sound: true,
                }),
            });
        }
    }

    async fn channel(&self, place: &str) -> Result<Channel> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place).and_then(Vec::pop);
        if let Some(channel) = kept {
            return Ok(channel);
        }
        let endpoint = router(place)?;
        let options = self.lease.controller().to_router(CONNECT);
        connect::connect(&endpoint, &options).await.map_err(|error| error.context("the router"))
    }
}

/// Where a tunnel leads; gives the connection back.
struct Route {
    lease: Arc<Shared>,
    place: String,
    channel: Channel,
    idle: Arc<Mutex<HashMap<String, Vec<Channel>>>>,
    sound: bool,
}

impl Route {
    /// What a call that failed means.
    fn lost(&mut self, status: &Status) -> Error {
        self.sound = false;
        // The lease may be the reason.
        self.lease.suspect();
        let place = &self.place;
        let message = match StdError::source(status) {
            // What the HTTP/2 library says when pings are not answered depends on what it was about to do.
            Some(cause) => match innermost(cause) {
                cause if cause.contains("broken pipe") || cause.contains("timed out") => {
                    format!("the connection to the router at {place} was lost: it does not answer any more")
                }
                cause => format!("the connection to the router at {place} was lost: {cause}"),
            },
            None => match status.message() {
                "" => format!("the router at {place} has lost the exporter"),
                said => format!("the router at {place} has lost the exporter: {said}"),
            },
        };
        Error::new(ErrorKind::Disconnected, message).caused_by(status.clone())
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        if !self.sound {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(self.place.clone()).or_default();
        if kept.len() < IDLE {
            kept.push(self.channel.clone());
        }
    }
}

/// Who has said something, and why nobody does any more.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    asked: AtomicBool,
    answered: AtomicBool,
    lost: Mutex<Option<Error>>,
    over: CancellationToken,
}

impl Talk {
    /// Whether something was sent, and nothing has come.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && !self.answered.load(Ordering::Relaxed)
    }

    /// Why the tunnel is lost, if it is: what is served through it only knows that it ended.
    pub(crate) fn lost(&self) -> Option<Error> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the tunnel leads nowhere any more, whether anybody uses it or not. Answers why, if it was lost.
    pub(crate) async fn over(&self) -> Option<Error> {
        self.over.cancelled().await;
        self.lost()
    }
}

type Opening = BoxFuture<'static, Result<Response<ResponseReader>, Status>>;

enum Reading {
    Opening(Opening),
    /// Boxed: it is much larger than the others.
    Open(Box<ResponseReader>),
    /// All was read, and the call goes on.
    Ended(Box<ResponseReader>),
    Failed(Error),
    /// Between two of the others.
    Moving,
}

/// One tunnel: bytes to and from the exporter's session. Dropping it before both directions have ended resets it; afterwards
/// what was sent last still has its time to arrive.
pub struct Tunnel {
    reading: Reading,
    /// What has come and was not read yet.
    piece: Bytes,
    writer: Option<Arc<FrameWriter>>,
    /// A piece, or the end, that is on its way to the connection.
    sending: Option<BoxFuture<'static, Result<(), Lost>>>,
    talk: Arc<Talk>,
    /// Here until the tunnel is dropped.
    route: Option<Route>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("router", &self.router()).finish_non_exhaustive()
    }
}

impl Tunnel {
    /// Which router it leads through.
    pub fn router(&self) -> &str {
        self.route.as_ref().map_or("", |route| route.place.as_str())
    }

    fn lost(&mut self, status: &Status) -> Error {
        let error = match &mut self.route {
            Some(route) => route.lost(status),
            None => Error::disconnected("the tunnel to the exporter has ended"),
        };
        *self.talk.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        self.talk.over.cancel();
        error
    }

    pub(crate) fn talk(&self) -> Arc<Talk> {
        self.talk.clone()
    }

    /// Makes headway with the opening: a tunnel that is only written to must, too.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Reading::Opening(opening) = &mut self.reading {
            self.reading = match ready!(opening.as_mut().poll(cx)) {
                Ok(response) => Reading::Open(Box::new(response.into_inner())),
                Err(status) => Reading::Failed(self.lost(&status)),
            };
        }
        Poll::Ready(())
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(sent.map_err(|_| self.gone()))
    }

    /// Nothing can be sent any more. Why, is for the reader to find out, unless it has already.
    fn gone(&self) -> io::Error {
        match &self.reading {
            Reading::Failed(error) => error.clone().into(),
            _ => io::Error::new(io::ErrorKind::BrokenPipe, "the tunnel to the exporter has ended"),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.talk.over.cancel();
        let finished = self.writer.is_none() && self.sending.is_none();
        let Reading::Ended(mut reader) = std::mem::replace(&mut self.reading, Reading::Moving) else {
            return;
        };
        let Some(route) = self.route.take().filter(|_| finished) else { return };
        // What was sent last may still be on its way to the connection, and would be cut with the call.
        let last = background::spawn(async move {
            let _ = tokio::time::timeout(LAST, reader.finish()).await;
            drop(route);
        });
        drop(last);
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.piece.is_empty() {
                let count = this.piece.len().min(to.remaining());
                to.put_slice(&this.piece[..count]);
                this.piece.advance(count);
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_open(cx));
            match &mut this.reading {
                Reading::Opening(_) => {}
                Reading::Open(reader) => match ready!(reader.poll_next_unpin(cx)) {
                    Some(Ok(piece)) => {
                        this.talk.answered.store(true, Ordering::Relaxed);
                        this.piece = piece;
                    }
                    Some(Err(lost)) => this.reading = Reading::Failed(this.lost(lost.status())),
                    None => {
                        if let Reading::Open(reader) = std::mem::replace(&mut this.reading, Reading::Moving) {
                            this.reading = Reading::Ended(reader);
                        }
                    }
                },
                Reading::Ended(_) | Reading::Moving => return Poll::Ready(Ok(())),
                Reading::Failed(error) => return Poll::Ready(Err(error.clone().into())),
            }
        }
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
        let this = &mut *self;
        // A call that is not polled does not begin.
        let _ = this.poll_open(cx);
        ready!(this.poll_sent(cx))?;
        let Some(writer) = this.writer.clone() else {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "this direction has ended")));
        };
        let count = slices.iter().map(|slice| slice.len()).sum::<usize>().min(CHUNK);
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        // One frame for what was written at once: HTTP/2 hands over small headers and what follows them apart.
        let mut piece = BytesMut::with_capacity(count);
        for slice in slices {
            let room = count - piece.len();
            piece.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        this.talk.asked.store(true, Ordering::Relaxed);
        this.sending = Some(async move { writer.send(piece.freeze()).await }.boxed());
        // Handed over: the next write waits if there is no room.
        match this.poll_sent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.poll_open(cx);
        self.poll_sent(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let _ = this.poll_open(cx);
        ready!(this.poll_sent(cx))?;
        // Nobody else has it when nothing is being sent.
        if let Some(writer) = this.writer.take().and_then(Arc::into_inner) {
            this.sending = Some(writer.finish().boxed());
        }
        // A tunnel that is over needs no announcement; how it ended is for the reader to say.
        let _ = ready!(this.poll_sent(cx));
        Poll::Ready(Ok(()))
    }
}
