//! Arguments: from what arrived to the types that the method takes.

use bytes::Bytes;
use prost::encoding::WireType;
use prost_types::Value;

use super::Sending;
use crate::{
    Call, Error, ErrorKind, Result,
    describe::{Method, Role, Type},
    resource::{Handle, Sink, Source},
    wire::{self, Depth, Reading, Wire, WireError, value},
};

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
    Error::new(
        ErrorKind::ArgumentCount,
        format!("{}() takes at most {most} argument{plural}, got {got}", method.export),
    )
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
        items
            .map(|(i, value)| {
                T::from_value(value, Reading::ARGUMENT).map_err(|e| self.bad(index, &e.within(i)))
            })
            .collect()
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
        let merged =
            occurrences.try_for_each(|(_, wire_type, part)| value.merge(*wire_type, part, Depth::default()));
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

    /// What stands for an absent one on a command line, from its text. Only for generated code: text that the type cannot
    /// read is the author's mistake, and panics.
    fn default_of_text(text: &str, place: &str) -> Value;
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

    fn default_of_text(text: &str, place: &str) -> Value {
        crate::generated::default_value(&crate::generated::text::<T>(text, place))
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

    fn default_of_text(text: &str, _: &str) -> Value {
        value::text(text)
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

    fn default_of_text(text: &str, _: &str) -> Value {
        value::text(text)
    }
}

impl Argument for Call {
    const ROLE: Role = Role::Injected;
    const TYPE: Type = Type::Unit;

    fn take_or(reader: &mut Reader, _: usize, _: Option<fn() -> Self>) -> Result<Self> {
        Ok(reader.call.clone())
    }

    fn put(self, _: &mut Sending, _: usize) {}

    fn default_of_text(_: &str, place: &str) -> Value {
        panic!("the default of {place}: it is filled in by the runtime")
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
