//! Answers: from what the method returned to what is sent, and back.

use std::any::Any;

use bytes::Bytes;
use prost_types::Value;

use crate::{
    Error, Io, Result, Stream,
    describe::{Kind, Type},
    wire::{self, Reading, Wire, WireError},
};

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
            Self::Typed(value) => {
                value.to_value().map_err(|e| Error::invalid_argument(format!("the result: {e}")))
            }
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
        Self::from_result(super::wait(async { call.await.into_result() }))
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
