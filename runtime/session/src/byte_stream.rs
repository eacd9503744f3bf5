//! Moves bytes between a client's call and a driver's [`Io`].
//!
//! The two directions are independent. Towards the driver there is a task, because it must go on while the client does
//! not read; towards the client the response's body itself reads the device, so that HTTP/2 flow control is the only
//! buffer. The driver's side is given back as soon as both directions have ended, the client has gone, or the session
//! ends, whether or not anybody polls the body then.
//!
//! How the ways to end are kept apart:
//!
//! | What happens | The other side sees |
//! |---|---|
//! | the client ends its data | the driver's reader sees the end; the client goes on receiving |
//! | the client's call is cut | the driver's side is dropped without an end, which is an error for its reader |
//! | the client goes after it has ended its data | the driver still gets all of it, within [`GRACE`] |
//! | the driver ends its data | [`Event::End`]; the client goes on sending |
//! | the driver's side breaks | the call fails, after the data that was read before |

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt as _, stream::BoxStream};
use jumpstarter_core::{
    Error, Io, Result,
    describe::Framing,
    io::{IoReader, IoWriter},
};
use jumpstarter_transport::frames::Lost;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::{calls::ended, count::Counted, panics, session::Shared, tree::Node};

/// How long a call is kept after both directions have ended, so that its client can end it; how long the last bytes of
/// a client that has gone may take to reach the device; how long a device that takes no more data may still be read.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// What messages call the operation in progress.
const STREAM: &str = "a byte stream";

/// What goes to the client.
#[derive(Debug)]
pub(crate) enum Event {
    /// Data.
    Data(Bytes),
    /// There will be no more data.
    End,
}

/// How a stream behaves on its way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether borders between pieces are kept.
    pub(crate) framing: Framing,
    /// Whether the call goes on after the driver's data has ended: the client can still send, and ends it itself.
    pub(crate) half_close: bool,
    /// Most bytes of one piece towards the client, where borders are not kept.
    pub(crate) most: usize,
    /// How errors are told in this wire language.
    pub(crate) status: fn(&Error) -> Status,
}

/// Where the direction towards the driver stands.
#[derive(Clone, Debug)]
enum Uplink {
    Running,
    /// All data was handed over.
    Ended,
    /// The client's call was cut.
    Lost(Status),
    /// The driver takes no more data.
    Broken(Status),
}

/// Starts to move bytes. What comes out is the response; dropping it gives the driver's side back.
pub(crate) fn pump<S>(
    shared: &Arc<Shared>,
    node: &Arc<Node>,
    io: Io,
    input: S,
    style: Style,
) -> BoxStream<'static, Result<Event, Status>>
where
    S: Stream<Item = Result<Bytes, Lost>> + Send + Unpin + 'static,
{
    let (reader, writer) = io.split();
    let reader = Slot::new(reader, node.clone(), style.status);
    let (state, uplink) = watch::channel(Uplink::Running);
    // Cancelled when the body is dropped, and when the session ends.
    let closing = shared.ended.child_token();
    let supervisor = Supervisor {
        node: node.clone(),
        state,
        reader: reader.clone(),
        closing: closing.clone(),
        ended: shared.ended.clone(),
        status: style.status,
    };
    shared.tasks.spawn(supervisor.run(writer, input));
    let downlink = Box::new(Downlink {
        reader,
        rest: Bytes::new(),
        uplink,
        uplink_known: false,
        deadline: None,
        phase: Phase::Reading,
        style,
        ended: shared.ended.clone(),
        _closing: closing.drop_guard(),
        _counted: Counted::new(&shared.streams),
    });
    futures::stream::unfold(downlink, async |mut downlink| {
        let event = downlink.next().await?;
        Some((event, downlink))
    })
    .boxed()
}

/// Runs the direction towards the driver, and takes the driver's side away when nobody needs it any more.
struct Supervisor {
    node: Arc<Node>,
    state: watch::Sender<Uplink>,
    reader: Slot,
    closing: CancellationToken,
    ended: CancellationToken,
    status: fn(&Error) -> Status,
}

impl Supervisor {
    async fn run<S>(self, writer: IoWriter, input: S)
    where
        S: Stream<Item = Result<Bytes, Lost>> + Send + Unpin + 'static,
    {
        let mut work =
            Box::pin(AssertUnwindSafe(send(writer, input, &self.state, self.status)).catch_unwind());
        let result = tokio::select! {
            biased;
            result = &mut work => Some(result),
            () = self.closing.cancelled() => {
                self.reader.clear();
                // What the client had sent before it went still belongs to the device, also the end of it.
                tokio::select! {
                    biased;
                    result = &mut work => Some(result),
                    () = self.ended.cancelled() => None,
                    () = sleep(GRACE) => None,
                }
            }
        };
        // With this goes the driver's writing half.
        drop(work);
        if let Some(result) = result {
            self.state.send_replace(result.unwrap_or_else(|panic| {
                Uplink::Broken((self.status)(&panics::report(&self.node, STREAM, &*panic)))
            }));
        }
        self.closing.cancelled().await;
        self.reader.clear();
    }
}

/// The direction towards the driver.
async fn send<S>(
    mut writer: IoWriter,
    mut input: S,
    state: &watch::Sender<Uplink>,
    status: fn(&Error) -> Status,
) -> Uplink
where
    S: Stream<Item = Result<Bytes, Lost>> + Send + Unpin,
{
    let broken = |error: std::io::Error| {
        Uplink::Broken(status(&Error::from(error).context("the device takes no more data")))
    };
    let failed = loop {
        match input.next().await {
            Some(Ok(piece)) => {
                if let Err(error) = writer.send(piece).await {
                    break broken(error);
                }
            }
            Some(Err(lost)) => return Uplink::Lost(lost.status().clone()),
            None => {
                return match writer.finish().await {
                    Ok(()) => Uplink::Ended,
                    // A device that is gone has no use for the end of data.
                    Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Uplink::Ended,
                    Err(error) => broken(error),
                };
            }
        }
    };
    drop(writer);
    state.send_replace(failed.clone());
    // The client must not be stuck behind data that nobody takes while it waits for what is still read.
    while let Some(Ok(_)) = input.next().await {}
    failed
}

type Reader = BoxStream<'static, Result<Bytes, Status>>;

/// The driver's reading half, where both the body and the supervisor reach it.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Reader>>>);

impl Slot {
    fn new(reader: IoReader, node: Arc<Node>, status: fn(&Error) -> Status) -> Self {
        let state = (reader, node, status);
        let pieces = futures::stream::unfold(state, async |(mut reader, node, status)| {
            let piece = AssertUnwindSafe(reader.recv()).catch_unwind().await;
            let piece = match piece {
                Ok(Ok(piece)) => Ok(piece?),
                Ok(Err(error)) => Err(status(&Error::from(error))),
                Err(panic) => Err(status(&panics::report(&node, STREAM, &*panic))),
            };
            Some((piece, (reader, node, status)))
        });
        Self(Arc::new(Mutex::new(Some(pieces.boxed()))))
    }

    async fn next(&self) -> Option<Result<Bytes, Status>> {
        std::future::poll_fn(|cx| match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reader) => reader.poll_next_unpin(cx),
            None => Poll::Ready(Some(Err(ended()))),
        })
        .await
    }

    fn clear(&self) {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A driver's code may run when this is dropped; not under the lock.
        drop(reader);
    }
}

enum Phase {
    Reading,
    /// The driver's data has ended.
    Finished,
    Over,
}

/// The direction towards the client.
struct Downlink {
    reader: Slot,
    /// What is left of a piece that was too large for one frame.
    rest: Bytes,
    uplink: watch::Receiver<Uplink>,
    /// Whether the other direction has reached its last state.
    uplink_known: bool,
    /// When to give up on a device that takes no more data.
    deadline: Option<Instant>,
    phase: Phase,
    style: Style,
    ended: CancellationToken,
    _closing: DropGuard,
    _counted: Counted,
}

impl Downlink {
    async fn next(&mut self) -> Option<Result<Event, Status>> {
        if !self.rest.is_empty() {
            return Some(Ok(self.piece()));
        }
        if let Phase::Reading = self.phase {
            return Some(self.read().await);
        }
        if let Phase::Finished = self.phase {
            self.phase = Phase::Over;
            if self.style.half_close {
                return self.linger().await.err().map(Err);
            }
        }
        None
    }

    fn piece(&mut self) -> Event {
        let most = match self.style.framing {
            Framing::Bytes => self.style.most.min(self.rest.len()),
            Framing::Messages => self.rest.len(),
        };
        Event::Data(self.rest.split_to(most))
    }

    fn fail(&mut self, status: Status) -> Result<Event, Status> {
        self.phase = Phase::Over;
        self.reader.clear();
        Err(status)
    }

    async fn read(&mut self) -> Result<Event, Status> {
        loop {
            let deadline = self.deadline;
            tokio::select! {
                biased;
                piece = self.reader.next() => return match piece {
                    Some(Ok(piece)) => {
                        // Also when it is empty: an empty message is a message.
                        self.rest = piece;
                        Ok(self.piece())
                    }
                    Some(Err(status)) => self.fail(status),
                    None => {
                        self.reader.clear();
                        self.phase = Phase::Finished;
                        let state = self.uplink.borrow().clone();
                        match state {
                            // What the client sent did not arrive: that must not look like a clean end.
                            Uplink::Broken(status) => self.fail(status),
                            _ => Ok(Event::End),
                        }
                    }
                },
                changed = self.uplink.changed(), if !self.uplink_known => {
                    let state = self.uplink.borrow_and_update().clone();
                    match state {
                        Uplink::Running => self.uplink_known = changed.is_err(),
                        Uplink::Ended => self.uplink_known = true,
                        Uplink::Lost(status) => return self.fail(status),
                        Uplink::Broken(_) => {
                            self.uplink_known = true;
                            self.deadline = Some(Instant::now() + GRACE);
                        }
                    }
                }
                () = self.ended.cancelled() => return self.fail(ended()),
                () = at(deadline), if deadline.is_some() => {
                    let state = self.uplink.borrow().clone();
                    let status = if let Uplink::Broken(status) = state { status } else { ended() };
                    return self.fail(status);
                }
            }
        }
    }

    /// Waits for the client to end the call. When it has nothing more to say either, not for ever.
    async fn linger(&mut self) -> Result<(), Status> {
        loop {
            let state = self.uplink.borrow_and_update().clone();
            match state {
                Uplink::Running => tokio::select! {
                    changed = self.uplink.changed() => if changed.is_err() { return Ok(()) },
                    () = self.ended.cancelled() => return Err(ended()),
                },
                Uplink::Ended => {
                    tokio::select! {
                        () = self.ended.cancelled() => {}
                        () = sleep(GRACE) => {}
                    }
                    return Ok(());
                }
                Uplink::Lost(status) | Uplink::Broken(status) => return Err(status),
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
