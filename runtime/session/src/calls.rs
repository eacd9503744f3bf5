//! Driver calls, whatever wire language they came in: lookup, dispatch, panics, cancellation, and one record each.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, Stream, StreamExt as _, stream::BoxStream};
use jumpstarter_core::{
    Call, Error, ErrorKind, Io, Result,
    call::CancelOnDrop,
    describe::Kind,
    dispatch::{Answer, Args, Payload, Provided, Reply},
    log::Doing,
};
use jumpstarter_transport::{
    metadata::{ERRORS, KINDS},
    status,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    count::Counted,
    panics,
    session::Shared,
    tree::{Node, parse_uuid},
};

/// How long driver code may take between two awaits before somebody else notices it.
const BLOCKED: Duration = Duration::from_secs(1);

/// Why a call did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the driver, or the way to it, says.
    Error(Error),
    /// The session has ended.
    Ended,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Whether a caller of upstream's methods asks for the kinds of errors.
pub(crate) fn wants_kinds(metadata: &MetadataMap) -> bool {
    metadata.get(ERRORS).is_some_and(|value| value.as_encoded_bytes() == KINDS.as_bytes())
}

impl Failure {
    /// As the calls of 0.9.0 answer.
    pub(crate) fn legacy(self) -> Status {
        match self {
            Self::Error(error) => status::legacy(&error),
            Self::Ended => ended(),
        }
    }

    /// As the caller wants it: see [`wants_kinds`].
    pub(crate) fn told(self, kinds: bool) -> Status {
        if kinds { self.native() } else { self.legacy() }
    }

    /// As native calls answer.
    pub(crate) fn native(self) -> Status {
        match self {
            Self::Error(error) => status::native(&error),
            Self::Ended => ended(),
        }
    }

    fn error_type(&self) -> &'static str {
        let Self::Error(error) = self else { return "internal_error" };
        match error.kind() {
            ErrorKind::Unsupported | ErrorKind::MethodNotFound => "not_implemented",
            ErrorKind::InvalidArgument | ErrorKind::ArgumentCount | ErrorKind::UnknownResource => {
                "validation_error"
            }
            ErrorKind::Timeout => "timeout",
            ErrorKind::Disconnected => "connection_error",
            ErrorKind::Device
            | ErrorKind::Io
            | ErrorKind::Absent
            | ErrorKind::Busy
            | ErrorKind::Permission
            | ErrorKind::Truncated => "device_error",
            _ => "internal_error",
        }
    }
}

/// What calls answer when their session ends under them: they were not carried out, or not to their end.
pub(crate) fn ended() -> Status {
    Status::unavailable("the session has ended")
}

/// The instance that a legacy request names.
pub(crate) fn instance<'a>(shared: &'a Shared, uuid: &str) -> Result<&'a Arc<Node>> {
    let Some(parsed) = parse_uuid(uuid) else {
        let shown: String = uuid.chars().take(64).collect();
        return Err(Error::new(ErrorKind::UnknownInstance, format!("{shown:?} is not a uuid")));
    };
    shared.tree.get(parsed).ok_or_else(|| {
        Error::new(
            ErrorKind::UnknownInstance,
            format!("no driver instance of this session has the uuid {parsed}"),
        )
    })
}

/// The method that a legacy request names, if it is of this kind. The texts are those of 0.9.0: clients of old drivers
/// probe with them.
pub(crate) fn method<'a>(node: &'a Node, name: &str, kind: Kind) -> Result<(&'a Provided, usize)> {
    let missing = |text: String| Error::new(ErrorKind::MethodNotFound, text);
    let found = node
        .instance
        .provides
        .iter()
        .find_map(|provided| Some((provided, provided.interface.by_export(name)?)));
    let Some((provided, index)) = found else {
        return Err(missing(format!("method {name} not found on driver")));
    };
    if provided.interface.methods.get(index).is_some_and(|method| method.kind == kind) {
        return Ok((provided, index));
    }
    let marker = match kind {
        Kind::Unary => "marker_drivercall",
        Kind::ServerStream => "marker_streamingdrivercall",
        Kind::Bytes => "marker_streamcall",
    };
    Err(missing(format!("method {name} missing marker {marker}")))
}

/// Notices driver code that blocks its thread, and with it the streams of others. Says so once for each call.
async fn watched<T>(
    calling: impl Future<Output = std::thread::Result<T>>,
    node: &Node,
    name: &'static str,
) -> std::thread::Result<T> {
    let mut calling = std::pin::pin!(calling);
    let mut said = false;
    std::future::poll_fn(|cx| {
        let begun = Instant::now();
        let _doing = Doing::begin(node.instance.uuid, name);
        let poll = calling.as_mut().poll(cx);
        let blocked = begun.elapsed();
        // What takes long in a panic is the backtrace.
        if blocked > BLOCKED && !said && !matches!(poll, Poll::Ready(Err(_))) {
            said = true;
            let driver = node.name();
            tracing::warn!(driver, operation = name, ?blocked, "driver code blocks its thread");
            let text = format!(
                "{driver} blocked its thread for {} ms in {name}; such a method should be declared blocking",
                blocked.as_millis()
            );
            node.instance.logger.during(name).warn(text);
        }
        poll
    })
    .await
}

/// What a call keeps from its beginning to its last answer. Dropping it cancels the call, if it still runs.
pub(crate) struct Operation {
    shared: Arc<Shared>,
    node: Arc<Node>,
    name: &'static str,
    begun: Option<Instant>,
    over: bool,
    _cancel: CancelOnDrop,
    _counted: Counted,
}

impl Operation {
    /// Starts a call and waits for what the method returns.
    pub(crate) async fn run(
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        provided: &Provided,
        index: usize,
        payload: Payload,
    ) -> Result<(Reply, Self), Failure> {
        if shared.ended.is_cancelled() {
            // The drivers are closed, or about to be.
            return Err(Failure::Ended);
        }
        let name = provided.interface.methods.get(index).map_or("?", |method| method.export);
        let token = CancellationToken::new();
        let mut operation = Self {
            shared: shared.clone(),
            node: node.clone(),
            name,
            begun: tracing::enabled!(tracing::Level::DEBUG).then(Instant::now),
            over: false,
            _cancel: CancelOnDrop::new(token.clone()),
            _counted: Counted::new(&shared.calls),
        };
        let call = Call::new(token, node.instance.logger.during(name), Some(node.resources.clone()));
        let args = Args::new(payload, call);
        let dispatch = provided.dispatch.clone();
        // Within the future, so that a panic before the first await is caught as well.
        let calling = AssertUnwindSafe(async move { dispatch.call(index, args).await }).catch_unwind();
        let calling = watched(calling, node, name);
        let result = tokio::select! {
            biased;
            result = calling => operation.caught(result),
            () = shared.ended.cancelled() => Err(Failure::Ended),
        };
        match result {
            Ok(reply) => Ok((reply, operation)),
            Err(failure) => Err(operation.failed(failure)),
        }
    }

    /// Turns a panic into an error of this call, and of this call only.
    pub(crate) fn caught<T>(&self, result: std::thread::Result<Result<T>>) -> Result<T, Failure> {
        match result {
            Ok(result) => result.map_err(Failure::Error),
            Err(panic) => Err(Failure::Error(panics::report(&self.node, self.name, &*panic))),
        }
    }

    /// Notes that the call has ended with a result.
    pub(crate) fn succeeded(&mut self) {
        self.note("success", "");
    }

    /// Notes that the call has failed.
    pub(crate) fn failed(&mut self, failure: Failure) -> Failure {
        self.note("failure", failure.error_type());
        failure
    }

    /// One record for each call; drivers never write it.
    fn note(&mut self, result: &'static str, error_type: &'static str) {
        self.over = true;
        if let Some(begun) = self.begun {
            tracing::debug!(
                operation = self.name,
                driver_type = self.node.instance.type_name,
                uuid = %self.node.instance.uuid,
                result,
                error_type,
                duration_ms = begun.elapsed().as_secs_f64() * 1e3,
                "a driver call ended"
            );
        }
    }

    /// A method that answers with one value.
    pub(crate) fn unary(mut self, reply: Reply) -> Result<Answer, Failure> {
        match reply {
            Reply::Unary(answer) => {
                self.succeeded();
                Ok(answer)
            }
            _ => Err(self.failed(wrong_reply())),
        }
    }

    /// A method that answers with many values. The call lasts until the stream is dropped.
    pub(crate) fn stream(mut self, reply: Reply) -> Result<Answers, Failure> {
        match reply {
            Reply::Stream(stream) => {
                let ended = Box::pin(self.shared.ended.clone().cancelled_owned());
                Ok(Answers { stream: Some(stream), ended, operation: self })
            }
            _ => Err(self.failed(wrong_reply())),
        }
    }

    /// A method that answers with a byte stream.
    pub(crate) fn bytes(mut self, reply: Reply) -> Result<Io, Failure> {
        match reply {
            Reply::Bytes(io) => {
                self.succeeded();
                Ok(io)
            }
            _ => Err(self.failed(wrong_reply())),
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.over {
            self.note("cancelled", "");
        }
    }
}

fn wrong_reply() -> Failure {
    Failure::Error(Error::internal("the driver answered with another kind of result than its interface says"))
}

/// The answers of a call, up to the first error.
pub(crate) struct Answers {
    /// Gone once it has ended: the driver need not wait for the client to notice.
    stream: Option<jumpstarter_core::Stream<Answer>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    operation: Operation,
}

impl Stream for Answers {
    type Item = Result<Answer, Failure>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let _doing = Doing::begin(this.operation.node.instance.uuid, this.operation.name);
        // What has panicked is dropped below and never polled again.
        let item = match std::panic::catch_unwind(AssertUnwindSafe(|| stream.poll_next_unpin(cx))) {
            Ok(Poll::Ready(item)) => item.map(|item| item.map_err(Failure::Error)),
            Err(panic) => Some(this.operation.caught(Err(panic))),
            Ok(Poll::Pending) => match this.ended.as_mut().poll(cx) {
                Poll::Ready(()) => Some(Err(Failure::Ended)),
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(match item {
            Some(Ok(answer)) => Some(Ok(answer)),
            Some(Err(failure)) => {
                this.stream = None;
                Some(Err(this.operation.failed(failure)))
            }
            None => {
                this.stream = None;
                this.operation.succeeded();
                None
            }
        })
    }
}

/// Looks at the first item if it is there already: a call that fails or ends at once answers with nothing but a status. It does not wait for it, because the response's headers tell the client that the call has begun.
pub(crate) async fn with_first<T, S>(stream: S) -> Result<BoxStream<'static, Result<T, Status>>, Status>
where
    T: Send + Unpin + 'static,
    S: Stream<Item = Result<T, Status>> + Send + Unpin + 'static,
{
    let mut stream = stream;
    Ok(match futures::poll!(stream.next()) {
        Poll::Ready(Some(Err(status))) => return Err(status),
        Poll::Ready(first @ Some(_)) => Looked { first, rest: stream }.boxed(),
        // Also OK is sent as a status alone.
        Poll::Ready(None) => return Err(Status::ok("")),
        Poll::Pending => stream.boxed(),
    })
}

/// A stream whose first item was taken out to look at it.
struct Looked<T, S> {
    first: Option<T>,
    rest: S,
}

impl<T: Unpin, S: Stream<Item = T> + Unpin> Stream for Looked<T, S> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.rest.poll_next_unpin(cx),
        }
    }
}
