//! Resources: files of a client that a driver method reads or writes.
//!
//! A client opens a `Stream` of kind `resource`, gets a handle in the response's metadata and passes that handle as an
//! argument of a call of the same instance. [`Resources`] is where the two meet: it belongs to one instance, holds the
//! handles that nobody has used yet, and gives each to the first who asks. A handle disappears with its stream.
//!
//! The direction is the driver's choice. As a [`Source`], frames go straight from the call to the driver, through the
//! unpacker; as a [`Sink`], pieces go through a short channel into the packer and the response's body. In both cases the
//! end is explicit: what the client did not end is an error for the driver, and what the driver did not finish is an
//! error for the client.
//!
//! Modules: `incoming` and `outgoing` are the two directions; this one holds handles and the response.

mod incoming;
mod outgoing;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use jumpstarter_core::{
    Error, ErrorKind, Result,
    resource::{self, Handle, Sink, Source},
};
use jumpstarter_protocol::v1::{StreamRequest, StreamResponse};
use jumpstarter_transport::{
    codec::{self, Encoding},
    frames::{self, FrameReader},
    presigned::{Http, Method, Request},
    status,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Response, Status, Streaming,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use uuid::Uuid;

use self::{
    incoming::Wire,
    outgoing::{ClientSink, Outgoing, UrlSink},
};
use crate::{
    byte_stream::GRACE,
    calls::{Failure, ended},
    count::Counted,
    hint,
    session::Shared,
    tree::Node,
};

/// Handles of one instance that may wait for a driver. Each is an open stream of some client.
const MAX_WAITING: usize = 1024;

/// Pieces between a driver and the packer.
const AHEAD: usize = 4;

/// Largest payload of a frame with data of a driver.
const CHUNK: usize = frames::CHUNK;

type Frames = FrameReader<BoxStream<'static, Result<StreamRequest, Status>>>;

/// The resource handles of one instance.
pub(crate) struct Resources {
    waiting: Mutex<HashMap<Uuid, Waiting>>,
    http: Http,
}

/// A stream that no driver has opened yet.
struct Waiting {
    wire: Wire,
    taken: oneshot::Sender<Taken>,
}

/// What the body of a stream becomes once a driver has opened it.
enum Taken {
    /// The driver reads. The frames come back when it is done.
    Reading(oneshot::Receiver<Frames>),
    /// The driver writes.
    Writing(Box<Outgoing>),
}

impl Resources {
    pub(crate) fn new(http: Http) -> Self {
        Self { waiting: Mutex::default(), http }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many handles wait for a driver.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Takes a handle: whoever comes first has it.
    fn take(&self, uuid: Uuid) -> Result<Waiting> {
        let unknown = || {
            let text = format!(
                "unknown resource {uuid}: it belongs to another driver, was used already, or its stream has ended"
            );
            Error::new(ErrorKind::UnknownResource, text)
        };
        let waiting = self.lock().remove(&uuid);
        waiting.filter(|waiting| !waiting.taken.is_closed()).ok_or_else(unknown)
    }
}

fn encoding(name: Option<String>) -> Result<Option<Encoding>> {
    name.map(|name| name.parse::<Encoding>()).transpose().map_err(Error::from)
}

impl resource::Resources for Resources {
    fn source(&self, handle: Handle) -> Result<Source> {
        match handle {
            Handle::ClientStream { uuid, x_jmp_content_encoding } => {
                let encoding = encoding(x_jmp_content_encoding)?;
                let Waiting { mut wire, taken } = self.take(uuid)?;
                let (done, back) = oneshot::channel();
                wire.done = Some(done);
                let length = wire.announced.filter(|_| encoding.is_none());
                let gone = || Error::truncated("the client ended the transfer before the driver opened it");
                taken.send(Taken::Reading(back)).map_err(|_| gone())?;
                let source = Source::new(codec::unpack(encoding, wire));
                Ok(match length {
                    Some(length) => source.with_len(length),
                    None => source,
                })
            }
            Handle::PresignedRequest { headers, url, method } => {
                let request = Request::new(&method, &url, headers)?;
                if request.method() != Method::Get {
                    return Err(Error::invalid_argument(
                        "presigned_request: the driver reads, which needs method GET",
                    ));
                }
                let http = self.http.clone();
                // The driver may take its time before it reads; the connection is made when it does.
                let body = async move { Ok::<_, Error>(http.get(&request).await?.map_err(Error::from)) };
                Ok(Source::new(body.into_stream().try_flatten()))
            }
        }
    }

    fn sink(&self, handle: Handle) -> Result<Sink> {
        match handle {
            Handle::ClientStream { uuid, x_jmp_content_encoding } => {
                let encoding = encoding(x_jmp_content_encoding)?;
                let Waiting { mut wire, taken } = self.take(uuid)?;
                let (frames, noted) = (wire.frames.take(), wire.noted);
                let (pieces, receiver) = mpsc::channel(AHEAD);
                let reason = Arc::new(OnceLock::new());
                let outgoing = Outgoing::new(receiver, reason.clone(), encoding, frames, noted);
                taken.send(Taken::Writing(Box::new(outgoing))).map_err(|_| gone())?;
                Ok(Sink::new(ClientSink { pieces, reason }))
            }
            Handle::PresignedRequest { headers, url, method } => {
                let request = Request::new(&method, &url, headers)?;
                if request.method() != Method::Put {
                    return Err(Error::invalid_argument(
                        "presigned_request: the driver writes, which needs method PUT",
                    ));
                }
                Ok(Sink::new(UrlSink { http: self.http.clone(), request, upload: None }))
            }
        }
    }
}

fn gone() -> Error {
    Error::disconnected("the client ended the transfer")
}

/// Removes a handle that was not used when its stream goes.
struct Registration {
    resources: Arc<Resources>,
    uuid: Uuid,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let waiting = self.resources.lock().remove(&self.uuid);
        drop(waiting);
    }
}

/// What a client of ours says with its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    /// How many bytes it will send.
    pub(crate) length: Option<u64>,
    /// It looks at what is said with the end of the data.
    pub(crate) notes: bool,
}

/// Answers a `Stream` of kind `resource`.
pub(crate) fn open(
    shared: &Arc<Shared>,
    node: &Node,
    encoding: Option<Encoding>,
    announced: Announced,
    metadata: &MetadataMap,
    frames: Streaming<StreamRequest>,
) -> Result<Response<BoxStream<'static, Result<StreamResponse, Status>>>, Failure> {
    let uuid = Uuid::new_v4();
    let name = encoding.map(|encoding| encoding.name().to_owned());
    let handle = Handle::ClientStream { uuid, x_jmp_content_encoding: name.clone() };
    let accepted = name.unwrap_or_default();
    let value =
        |text: &str| AsciiMetadataValue::try_from(text).map_err(|error| Error::internal(error.to_string()));
    // Only clients of ours announce digests, but they need not say so before.
    let hashed = !hint::is_python(metadata);

    let (taken, when_taken) = oneshot::channel();
    if shared.ended.is_cancelled() {
        return Err(Failure::Ended);
    }
    {
        let mut waiting = node.resources.lock();
        if waiting.len() >= MAX_WAITING {
            let text = format!("{MAX_WAITING} resources of {} wait for a call that uses them", node.name());
            return Err(Error::busy(text).into());
        }
        waiting.insert(uuid, Waiting { wire: Wire::new(frames, announced, hashed), taken });
    }
    let body = Body {
        state: State::Waiting(when_taken),
        ended: shared.ended.clone(),
        _registration: Registration { resources: node.resources.clone(), uuid },
        _counted: Counted::new(&shared.streams),
    };
    let frames = futures::stream::unfold(Box::new(body), async |mut body| {
        let frame = body.next().await?;
        Some((frame, body))
    });
    let mut response = Response::new(frames.boxed());
    response.metadata_mut().insert("resource", value(&handle.to_json())?);
    // Always there, if empty: without it, clients pack and unpack themselves.
    response.metadata_mut().insert("x_jmp_accept_encoding", value(&accepted)?);
    Ok(response)
}

/// The response of a resource's stream.
struct Body {
    state: State,
    ended: CancellationToken,
    _registration: Registration,
    _counted: Counted,
}

enum State {
    Waiting(oneshot::Receiver<Taken>),
    Reading(oneshot::Receiver<Frames>),
    Writing(Box<Outgoing>),
    /// Our direction has ended; the client's, perhaps not.
    Draining(Option<Frames>),
    Over,
}

impl Body {
    async fn next(&mut self) -> Option<Result<StreamResponse, Status>> {
        loop {
            let ended_token = self.ended.clone();
            let step = tokio::select! {
                biased;
                step = self.step() => step,
                () = ended_token.cancelled() => {
                    self.state = State::Over;
                    Step::Frame(Err(ended()))
                }
            };
            match step {
                Step::Again => {}
                Step::Frame(frame) => return Some(frame),
                Step::Over => return None,
            }
        }
    }

    async fn step(&mut self) -> Step {
        match &mut self.state {
            State::Waiting(taken) => {
                self.state = match taken.await {
                    Ok(Taken::Reading(back)) => State::Reading(back),
                    Ok(Taken::Writing(outgoing)) => State::Writing(outgoing),
                    // Taken by a call that then failed to open it.
                    Err(_) => State::Over,
                };
                Step::Again
            }
            State::Reading(back) => {
                let frames = back.await.ok();
                self.state = State::Draining(frames);
                Step::Frame(Ok(frames::goaway()))
            }
            State::Writing(outgoing) => match outgoing.packed.next().await {
                Some(Ok(mut piece)) => {
                    outgoing.count(&piece);
                    debug_assert!(piece.len() <= CHUNK, "the packer makes pieces of that size at most");
                    Step::Frame(Ok(frames::data(piece.split_to(piece.len()))))
                }
                Some(Err(error)) => {
                    outgoing.tell(Err(error.clone()));
                    self.state = State::Over;
                    Step::Frame(Err(status::legacy(&error)))
                }
                None => {
                    let farewell = outgoing.farewell();
                    outgoing.tell(Ok(()));
                    self.state = State::Draining(outgoing.frames.take());
                    Step::Frame(Ok(StreamResponse { payload: farewell, ..frames::goaway() }))
                }
            },
            State::Draining(frames) => {
                // What the client still sends is of no use, but it must not be stuck with it.
                if let Some(frames) = frames {
                    while let Ok(Some(_)) = frames.chunk().await {}
                }
                sleep(GRACE).await;
                self.state = State::Over;
                Step::Over
            }
            State::Over => Step::Over,
        }
    }
}

enum Step {
    Again,
    Frame(Result<StreamResponse, Status>),
    Over,
}
