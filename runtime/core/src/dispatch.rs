//! One typed dispatch for both wire languages, and the object-safe edge where the runtime holds a driver.
//!
//! Generated code on the driver's side is one `match`: [`Args`] become typed arguments, the method is called, and
//! [`reply`] erases what it returned. On the client's side it is one line: [`Sending`] collects the arguments and
//! [`Target::call`](crate::client::Target::call) turns the answer back into the method's type.

use std::{any::Any, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::FutureExt as _;
use prost::encoding::{self, WireType};
use prost_types::Value;

use crate::{
    Call, Error, ErrorKind, Io, Result, Stream,
    describe::{Exclusive, Interface, Kind, Method, Role, Type},
    resource::{Handle, Sink, Source},
    wire::{self, Depth, Reading, Wire, WireError},
};

/// A call in progress.
pub type Calling = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// Arguments as they arrived.
#[derive(Debug)]
pub enum Payload {
    /// The bytes of a `<Method>Request`.
    Proto(Bytes),
    /// Positional values of upstream's call.
    Values(Vec<Value>),
}

/// Arguments, and the call they belong to.
#[derive(Debug)]
pub struct Args {
    payload: Payload,
    call: Call,
    attached: Vec<(usize, Attached)>,
}

/// A file that travels beside the arguments of a call.
#[derive(Debug)]
pub enum Attached {
    /// To read.
    Source(Source),
    /// To write.
    Sink(Sink),
}

impl Args {
    /// These arguments for this call.
    pub fn new(payload: Payload, call: Call) -> Self {
        Self { payload, call, attached: Vec::new() }
    }

    /// Arguments of a call within one process: files are handed over as they are.
    pub fn with_attached(mut self, attached: Vec<(usize, Attached)>) -> Self {
        self.attached = attached;
        self
    }

    /// For methods without parameters.
    pub fn none(self, method: &'static Method) -> Result<()> {
        match &self.payload {
            Payload::Values(values) if !values.is_empty() => Err(count_error(method, values.len())),
            _ => Ok(()),
        }
    }

    /// For methods with parameters: they are then taken one by one.
    pub fn reader(self, method: &'static Method) -> Result<Reader> {
        let payload = match self.payload {
            Payload::Proto(bytes) => Fields::Proto(wire::fields(bytes).map_err(|e| refused(method, &e))?),
            Payload::Values(values) => {
                let rest = method.params.last().is_some_and(|param| param.rest);
                if values.len() > method.params.len() && !rest {
                    return Err(count_error(method, values.len()));
                }
                Fields::Values(values.into_iter().map(Some).collect())
            }
        };
        Ok(Reader { method, payload, call: self.call, attached: self.attached })
    }
}

fn refused(method: &Method, error: &WireError) -> Error {
    Error::invalid_argument(format!("the arguments of {} cannot be read: {error}", method.export))
}

fn count_error(method: &Method, got: usize) -> Error {
    let most = method.params.len();
    let plural = if most == 1 { "" } else { "s" };
    Error::new(ErrorKind::ArgumentCount, format!("{}() takes at most {most} argument{plural}, got {got}", method.export))
}

enum Fields {
    /// Every occurrence of every field, in their order.
    Proto(Vec<(u32, WireType, Bytes)>),
    Values(Vec<Option<Value>>),
}

/// Takes arguments one by one.
pub struct Reader {
    method: &'static Method,
    payload: Fields,
    call: Call,
    attached: Vec<(usize, Attached)>,
}

impl Reader {
    /// The argument at this position of the method's parameters. `default` is what an absent one means.
    pub fn arg<A: Argument>(&mut self, index: usize, default: Option<fn() -> A>) -> Result<A> {
        A::take_or(self, index, default)
    }

    /// The call itself, for parameters that the runtime fills.
    pub fn injected<A: Argument>(&mut self) -> Result<A> {
        A::injected(self)
    }

    /// Every further argument.
    pub fn rest<T: Wire>(&mut self, index: usize) -> Result<Vec<T>> {
        let Fields::Values(values) = &mut self.payload else { return self.arg(index, Some(Vec::new)) };
        let further: Vec<_> = values.iter_mut().skip(index).filter_map(Option::take).collect();
        let items = further.into_iter().enumerate();
        items.map(|(i, value)| T::from_value(value, Reading::ARGUMENT).map_err(|e| self.bad(index, &e.within(i)))).collect()
    }

    fn bad(&self, index: usize, error: &WireError) -> Error {
        let name = self.method.params.get(index).map_or("?", |param| param.name);
        Error::invalid_argument(format!("argument `{name}` of {}: {error}", self.method.export))
    }

    fn missing(&self, index: usize) -> Error {
        let name = self.method.params.get(index).map_or("?", |param| param.name);
        let message = format!("argument `{name}` of {}: missing", self.method.export);
        // Upstream answers a wrong number of arguments differently from a wrong value; on the native path, where every
        // field may be absent, it is an ordinary bad argument.
        let kind = match self.payload {
            Fields::Proto(_) => ErrorKind::InvalidArgument,
            Fields::Values(_) => ErrorKind::ArgumentCount,
        };
        Error::new(kind, message)
    }

    fn take_value(&mut self, index: usize) -> Option<Value> {
        match &mut self.payload {
            Fields::Values(values) => values.get_mut(index).and_then(Option::take),
            Fields::Proto(_) => None,
        }
    }

    /// Reads every occurrence of a parameter's field into a value that is zero so far; `None` when there is none.
    fn take_field<T: Wire>(&mut self, index: usize) -> Option<Result<T, WireError>> {
        let tag = self.method.params.get(index)?.tag;
        let Fields::Proto(fields) = &mut self.payload else { return None };
        let mut occurrences = fields.iter_mut().filter(|(number, ..)| *number == tag).peekable();
        occurrences.peek()?;
        let mut value = T::zero();
        let merged = occurrences.try_for_each(|(_, wire_type, part)| value.merge(*wire_type, part, Depth::default()));
        Some(merged.map(|()| value))
    }

    fn take_handle(&mut self, index: usize) -> Result<Handle> {
        let handle = if let Some(value) = self.take_value(index) {
            Handle::from_value(value)
        } else if let Some(text) = self.take_field::<String>(index) {
            text.and_then(|text| Handle::from_json(&text))
        } else {
            return Err(self.missing(index));
        };
        handle.map_err(|e| self.bad(index, &e))
    }

    fn take_attached(&mut self, index: usize) -> Option<Attached> {
        let at = self.attached.iter().position(|(i, _)| *i == index)?;
        Some(self.attached.swap_remove(at).1)
    }
}

/// What a parameter may be: any [`Wire`] type, [`Source`], [`Sink`], or [`Call`] with `#[inject]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a driver method",
    label = "expected a wire type, `Source`, `Sink` or `Call`",
    note = "add `#[message]` to `{Self}`, or use one of the types of the table in `jumpstarter::wire`"
)]
pub trait Argument: Sized + Send + 'static {
    /// How it is filled.
    const ROLE: Role;
    /// What it is on the wire.
    const TYPE: Type;
    /// Both, so that generated code asks once.
    const SHAPE: (Role, Type) = (Self::ROLE, Self::TYPE);

    /// Takes it out of what arrived. `default` is what an absent one means.
    fn take_or(reader: &mut Reader, index: usize, default: Option<fn() -> Self>) -> Result<Self>;

    /// Takes it out of what arrived, where the attribute states no default.
    fn take(reader: &mut Reader, index: usize) -> Result<Self> {
        Self::take_or(reader, index, None)
    }

    /// Takes it from the runtime.
    fn injected(reader: &mut Reader) -> Result<Self> {
        Self::take_or(reader, usize::MAX, None)
    }

    /// Puts it among what is sent.
    fn put(self, sending: &mut Sending, index: usize);
}

impl<T: Wire> Argument for T {
    const ROLE: Role = Role::Wire;
    const TYPE: Type = T::TYPE;

    fn take_or(reader: &mut Reader, index: usize, default: Option<fn() -> Self>) -> Result<Self> {
        if let Some(value) = reader.take_value(index) {
            return T::from_value(value, Reading::ARGUMENT).map_err(|e| reader.bad(index, &e));
        }
        if let Some(argument) = reader.take_field(index) {
            return argument.map_err(|e| reader.bad(index, &e));
        }
        if default.is_none()
            && let Some(default) = reader.method.params.get(index).and_then(|param| param.default)
        {
            return T::from_value(default(), Reading::ARGUMENT).map_err(|e| reader.bad(index, &e));
        }
        match (default, &reader.payload) {
            (Some(default), _) => Ok(default()),
            // proto3 leaves out zero values; a parameter with a default has presence, so absent means absent there.
            (None, Fields::Proto(_)) if T::ZERO_WHEN_ABSENT => Ok(T::zero()),
            (None, Fields::Values(_)) if T::OPTIONAL => Ok(T::zero()),
            (None, _) => Err(reader.missing(index)),
        }
    }

    fn put(self, sending: &mut Sending, index: usize) {
        sending.put_wire(&self, index);
    }
}

impl Argument for Source {
    const ROLE: Role = Role::Source;
    const TYPE: Type = Type::Handle;

    fn take_or(reader: &mut Reader, index: usize, _: Option<fn() -> Self>) -> Result<Self> {
        match reader.take_attached(index) {
            Some(Attached::Source(source)) => Ok(source),
            _ => reader.take_handle(index).and_then(|handle| reader.call.source(handle)),
        }
    }

    fn put(self, sending: &mut Sending, index: usize) {
        sending.attached.push((index, Attached::Source(self)));
    }
}

impl Argument for Sink {
    const ROLE: Role = Role::Sink;
    const TYPE: Type = Type::Handle;

    fn take_or(reader: &mut Reader, index: usize, _: Option<fn() -> Self>) -> Result<Self> {
        match reader.take_attached(index) {
            Some(Attached::Sink(sink)) => Ok(sink),
            _ => reader.take_handle(index).and_then(|handle| reader.call.sink(handle)),
        }
    }

    fn put(self, sending: &mut Sending, index: usize) {
        sending.attached.push((index, Attached::Sink(self)));
    }
}

impl Argument for Call {
    const ROLE: Role = Role::Injected;
    const TYPE: Type = Type::Unit;

    fn take_or(reader: &mut Reader, _: usize, _: Option<fn() -> Self>) -> Result<Self> {
        Ok(reader.call.clone())
    }

    fn put(self, _: &mut Sending, _: usize) {}
}

/// Something that can be written in both wire languages.
pub trait Encode: Any + Send {
    /// As the method's response message.
    fn to_proto(&self) -> Bytes;
    /// The same, behind what the buffer holds already.
    fn write_proto(&self, buffer: &mut Vec<u8>);
    /// As upstream's calls carry it.
    fn to_value(&self) -> Result<Value, WireError>;
    /// For receivers in the same process.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Wire> Encode for T {
    fn to_proto(&self) -> Bytes {
        wire::encode_result(self).into()
    }

    fn write_proto(&self, buffer: &mut Vec<u8>) {
        wire::write_result(self, buffer);
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Wire::to_value(self)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// One result, in whatever form it is at hand.
pub enum Answer {
    /// As the method returned it.
    Typed(Box<dyn Encode>),
    /// As it came over the native path.
    Proto(Bytes),
    /// As it came over upstream's call.
    Value(Value),
}

impl Answer {
    /// As the method's response message.
    pub fn into_proto(self) -> Result<Bytes> {
        match self {
            Self::Typed(value) => Ok(value.to_proto()),
            Self::Proto(bytes) => Ok(bytes),
            Self::Value(_) => Err(Error::internal("a value of upstream's call has no response message")),
        }
    }

    /// As upstream's calls carry it.
    pub fn into_value(self) -> Result<Value> {
        match self {
            // Upstream answers INVALID_ARGUMENT when a result cannot be serialised; the text says whose fault it is.
            Self::Typed(value) => value.to_value().map_err(|e| Error::invalid_argument(format!("the result: {e}"))),
            Self::Value(value) => Ok(value),
            Self::Proto(_) => Err(Error::internal("a response message has no value of upstream's call")),
        }
    }

    /// As the type that the method returns.
    pub fn decode<T: Wire>(self) -> Result<T> {
        match self {
            Self::Typed(value) => match value.into_any().downcast::<T>() {
                Ok(value) => Ok(*value),
                Err(_) => Err(Error::internal("the driver returned another type than its interface says")),
            },
            Self::Proto(bytes) => wire::decode_result(bytes).map_err(|e| unreadable(&e)),
            Self::Value(value) => T::from_value(value, Reading::RESULT).map_err(|e| unreadable(&e)),
        }
    }
}

fn unreadable(error: &WireError) -> Error {
    Error::internal(format!("the result cannot be read: {error}"))
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// What a method answered, erased.
#[derive(Debug)]
pub enum Reply {
    /// One value.
    Unary(Answer),
    /// Many values.
    Stream(Stream<Answer>),
    /// A byte stream.
    Bytes(Io),
}

/// What a method may return: any [`Wire`] type, [`Stream`] of one, or [`Io`].
#[diagnostic::on_unimplemented(
    message = "a driver method cannot return `{Self}`",
    label = "expected a wire type, `Stream<…>` or `Io`",
    note = "add `#[message]` to `{Self}`, or use one of the types of the table in `jumpstarter::wire`"
)]
pub trait Outcome: Sized + Send + 'static {
    /// How it answers.
    const KIND: Kind;
    /// Type of the value, or of one item.
    const TYPE: Type;
    /// Both, so that generated code asks once.
    const SHAPE: (Kind, Type) = (Self::KIND, Self::TYPE);

    /// Erases it.
    fn into_reply(self) -> Reply;

    /// Gets it back.
    fn from_reply(reply: Reply) -> Result<Self>;

    /// Erases what a method returned.
    fn erase(result: Result<Self>) -> Result<Reply> {
        result.map(Self::into_reply)
    }

    /// Turns an answer into what a client's method returns.
    fn restore(reply: Result<Reply>) -> Result<Self> {
        reply.and_then(Self::from_reply)
    }
}

fn wrong_kind() -> Error {
    Error::internal("the other side answered with another kind of result than the interface says")
}

impl<T: Wire> Outcome for T {
    const KIND: Kind = Kind::Unary;
    const TYPE: Type = T::TYPE;

    fn into_reply(self) -> Reply {
        Reply::Unary(Answer::Typed(Box::new(self)))
    }

    fn from_reply(reply: Reply) -> Result<Self> {
        match reply {
            Reply::Unary(answer) => answer.decode(),
            _ => Err(wrong_kind()),
        }
    }
}

impl<T: Wire> Outcome for Stream<T> {
    const KIND: Kind = Kind::ServerStream;
    const TYPE: Type = T::TYPE;

    fn into_reply(self) -> Reply {
        Reply::Stream(self.map(|item| Ok(Answer::Typed(Box::new(item)))))
    }

    fn from_reply(reply: Reply) -> Result<Self> {
        match reply {
            Reply::Stream(answers) => Ok(answers.map(Answer::decode)),
            _ => Err(wrong_kind()),
        }
    }
}

impl Outcome for Io {
    const KIND: Kind = Kind::Bytes;
    const TYPE: Type = Type::Unit;

    fn into_reply(self) -> Reply {
        Reply::Bytes(self)
    }

    fn from_reply(reply: Reply) -> Result<Self> {
        match reply {
            Reply::Bytes(io) => Ok(io),
            _ => Err(wrong_kind()),
        }
    }
}

/// Finds what a method returns inside its `Result`, through aliases.
#[diagnostic::on_unimplemented(
    message = "driver methods return `jumpstarter::Result<…>`",
    label = "not a `jumpstarter::Result`"
)]
pub trait Returned {
    /// What is inside.
    type Value;

    /// As a result, whatever alias the author used.
    fn into_result(self) -> Result<Self::Value>;

    /// The other way.
    fn from_result(result: Result<Self::Value>) -> Self;

    /// Waits for a client's answer, for methods that block.
    fn wait(call: impl Future<Output = Self> + Send) -> Self
    where
        Self: Sized + Send,
        Self::Value: Send,
    {
        Self::from_result(wait(async { call.await.into_result() }))
    }
}

impl<T> Returned for Result<T> {
    type Value = T;

    fn into_result(self) -> Result<T> {
        self
    }

    fn from_result(result: Result<T>) -> Self {
        result
    }
}

/// What `#[rest]` may stand before.
#[diagnostic::on_unimplemented(
    message = "`#[rest]` collects what is left: make it the last parameter, a `Vec<…>`",
    label = "not a `Vec` of a wire type"
)]
pub trait Rest: Sized {
    /// True; asking for it is what checks the type.
    const REST: bool = true;

    /// Takes every further argument.
    fn take(reader: &mut Reader, index: usize) -> Result<Self>;

    /// Puts every further argument among what is sent.
    fn put(self, sending: &mut Sending, index: usize);
}

impl<T: Wire> Rest for Vec<T> {
    fn take(reader: &mut Reader, index: usize) -> Result<Self> {
        reader.rest(index)
    }

    fn put(self, sending: &mut Sending, index: usize) {
        sending.rest(index, self);
    }
}

/// Erases a method call.
pub fn calling(call: impl Future<Output = Result<Reply>> + Send + 'static) -> Calling {
    Box::pin(call)
}

/// Erases a method call whose result is not a [`Reply`] yet.
pub fn reply<R: Outcome>(call: impl Future<Output = Result<R>> + Send + 'static) -> Calling {
    Box::pin(call.map(|result| result.map(Outcome::into_reply)))
}

/// Erases a call of a method that blocks: it runs on the blocking pool.
pub fn blocking(call: impl FnOnce() -> Result<Reply> + Send + 'static) -> Calling {
    Box::pin(async move {
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::cancelled("the exporter is shutting down")),
            },
        }
    })
}

/// Waits for a client's answer from a method that blocks. Works from any thread that belongs to a runtime.
pub fn wait<T: Send>(call: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Err(Error::internal("a blocking client call outside of a tokio runtime"));
    };
    // A thread of its own: blocking the current one is forbidden when it drives the runtime.
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(call)).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// For indices that no method has.
pub fn unknown() -> Calling {
    Box::pin(std::future::ready(Err(Error::new(ErrorKind::MethodNotFound, "no such method"))))
}

/// The object-safe side of a driver: what the runtime holds.
pub trait Dispatch: Send + Sync {
    /// Starts the method with this index of the interface.
    fn call(&self, method: usize, args: Args) -> Calling;
}

/// A driver behind [`Dispatch`], with the lock for its exclusive methods.
pub struct Hosted<T> {
    interface: &'static Interface,
    driver: Arc<T>,
    dispatch: fn(Arc<T>, usize, Args) -> Calling,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<T: Send + Sync + 'static> Hosted<T> {
    /// Hosts a driver's side of one interface. `dispatch` is the generated function.
    pub fn new(interface: &'static Interface, driver: Arc<T>, dispatch: fn(Arc<T>, usize, Args) -> Calling) -> Self {
        Self { interface, driver, dispatch, lock: Arc::default() }
    }
}

impl<T: Send + Sync + 'static> Dispatch for Hosted<T> {
    fn call(&self, method: usize, args: Args) -> Calling {
        let exclusive = self.interface.methods.get(method).map_or(Exclusive::No, |method| method.exclusive);
        if exclusive == Exclusive::No {
            return (self.dispatch)(self.driver.clone(), method, args);
        }
        let (lock, driver, dispatch) = (self.lock.clone(), self.driver.clone(), self.dispatch);
        Box::pin(async move {
            let guard = match exclusive {
                Exclusive::Fail => lock.try_lock_owned().map_err(|_| Error::busy("another call is in progress"))?,
                _ => lock.lock_owned().await,
            };
            let reply = dispatch(driver, method, args).await?;
            Ok(match reply {
                // The call lasts until its last item.
                Reply::Stream(stream) => Reply::Stream(stream.map(move |item| {
                    let _held = &guard;
                    Ok(item)
                })),
                other => other,
            })
        })
    }
}

/// One interface of a driver instance.
#[derive(Clone)]
pub struct Provided {
    /// Which.
    pub interface: &'static Interface,
    /// How to call it.
    pub dispatch: Arc<dyn Dispatch>,
}

impl Provided {
    /// Hosts a driver's side of one interface.
    pub fn new<T: Send + Sync + 'static>(
        interface: &'static Interface,
        driver: Arc<T>,
        dispatch: fn(Arc<T>, usize, Args) -> Calling,
    ) -> Self {
        Self { interface, dispatch: Arc::new(Hosted::new(interface, driver, dispatch)) }
    }
}

impl std::fmt::Debug for Provided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provided({})", self.interface.name)
    }
}

/// Which wire language a peer understands for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The interface's own gRPC service.
    Native,
    /// Upstream's `DriverCall` and its relatives.
    Legacy,
}

/// Arguments on their way out.
#[derive(Debug)]
pub struct Sending {
    method: &'static Method,
    payload: Payload,
    /// Files, by position of their parameter.
    pub attached: Vec<(usize, Attached)>,
    failed: Option<Error>,
}

impl Sending {
    /// For a call of this method in this language.
    pub fn new(method: &'static Method, language: Language) -> Self {
        let payload = match language {
            Language::Native => Payload::Proto(Bytes::new()),
            Language::Legacy => Payload::Values(Vec::with_capacity(method.params.len())),
        };
        Self { method, payload, attached: Vec::new(), failed: None }
    }

    /// Adds the argument for the parameter at this position.
    pub fn push<A: Argument>(&mut self, index: usize, argument: A) {
        argument.put(self, index);
    }

    /// Adds every further argument.
    pub fn rest<T: Wire>(&mut self, index: usize, arguments: Vec<T>) {
        if let Payload::Values(_) = self.payload {
            for (i, argument) in arguments.into_iter().enumerate() {
                self.put_wire(&argument, index + i);
            }
        } else {
            self.put_wire(&arguments, index);
        }
    }

    fn put_wire<T: Wire>(&mut self, argument: &T, index: usize) {
        let name = self.method.params.get(index).map_or("…", |param| param.name);
        match &mut self.payload {
            Payload::Proto(bytes) => {
                let Some(param) = self.method.params.get(index) else { return };
                let mut buffer = Vec::from(std::mem::take(bytes));
                // A parameter with a default has presence: its zero value must travel.
                if param.default.is_some() { argument.encode(param.tag, &mut buffer) } else { argument.encode_field(param.tag, &mut buffer) }
                *bytes = buffer.into();
            }
            Payload::Values(values) => match argument.to_value() {
                Ok(value) => set(values, index, value),
                Err(error) => {
                    self.failed = Some(Error::invalid_argument(format!("argument `{name}` of {}: {error}", self.method.export)));
                }
            },
        }
    }

    /// Puts the handle of an attached file where its parameter is.
    pub fn put_handle(&mut self, index: usize, handle: &Handle) {
        match &mut self.payload {
            Payload::Proto(bytes) => {
                let Some(param) = self.method.params.get(index) else { return };
                let mut buffer = Vec::from(std::mem::take(bytes));
                encoding::string::encode(param.tag, &handle.to_json(), &mut buffer);
                *bytes = buffer.into();
            }
            Payload::Values(values) => set(values, index, handle.to_value()),
        }
    }

    /// What to send. Trailing arguments that equal their defaults are left out of upstream's call, so that older
    /// drivers accept it.
    pub fn finish(mut self) -> Result<(Payload, Vec<(usize, Attached)>)> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Payload::Values(values) = &mut self.payload {
            while let Some(last) = values.last() {
                let Some(param) = self.method.params.get(values.len() - 1).filter(|param| !param.rest) else { break };
                let spare = match param.default {
                    Some(default) => *last == default(),
                    None => matches!(param.ty, Type::Opt(_)) && wire::value::is_null(last),
                };
                if !spare {
                    break;
                }
                values.pop();
            }
        }
        Ok((self.payload, self.attached))
    }
}

fn set(values: &mut Vec<Value>, index: usize, value: Value) {
    if values.len() <= index {
        values.resize_with(index + 1, wire::value::null);
    }
    values[index] = value;
}
