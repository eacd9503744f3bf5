//! [`Wire`]: what a type looks like in the two wire languages.
//!
//! Generated code never asks what a type is called; it calls this trait. The protobuf side writes the same bytes as a
//! protobuf compiler would for the emitted `.proto` (a property test holds it against prost-reflect); the other side
//! is upstream's `google.protobuf.Value`, where every number is a double and bytes are text.

mod containers;
mod formats;
mod scalars;
pub mod value;

use std::{collections::BTreeMap, fmt};

use bytes::{Buf, Bytes};
use prost::{
    DecodeError,
    encoding::{self, DecodeContext},
};
use prost_types::Value;

pub use prost::encoding::WireType;

use crate::{describe::Type, generated::FieldValues};
pub use formats::Delay;

/// How deep messages and values may be nested when they arrive; protobuf's own limit.
pub const MAX_DEPTH: u8 = 100;

/// How strictly a value is read, and how deep we are.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Arguments refuse unknown keys, results (which may come from a newer peer) ignore them.
    pub strict: bool,
    depth: u8,
}

impl Reading {
    /// For arguments.
    pub const ARGUMENT: Self = Self { strict: true, depth: MAX_DEPTH };
    /// For results.
    pub const RESULT: Self = Self { strict: false, depth: MAX_DEPTH };

    /// One level further down.
    pub fn deeper(self) -> Result<Self, WireError> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(WireError::new("nested too deeply")),
        }
    }
}

/// How many levels of messages may still follow.
#[derive(Clone, Copy, Debug)]
pub struct Depth(u8);

impl Default for Depth {
    fn default() -> Self {
        Self(MAX_DEPTH)
    }
}

impl Depth {
    /// One level further down.
    pub fn deeper(self) -> Result<Self, WireError> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| WireError::new("nested too deeply"))
    }
}

/// Why something cannot be read from, or written to, the wire. Reads on after "argument `x` of `m`: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError(String);

impl WireError {
    /// With this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Names the place: `size: expected a number, got null`.
    #[must_use]
    pub fn within(self, name: impl fmt::Display) -> Self {
        Self(format!("{name}: {}", self.0))
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}

impl From<DecodeError> for WireError {
    fn from(error: DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// A type that can be an argument or a result.
///
/// Implemented for the scalars, text, bytes, options, lists, maps and a few standard types, and by `#[message]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross the wire",
    label = "not a wire type",
    note = "add `#[message]` to `{Self}`, or use one of the types of the table in `jumpstarter::wire`",
    note = "`Stream<…>` and `Io` stand alone: a method returns `Result<Io>`, not an option or a list of them"
)]
pub trait Wire: Sized + Send + Sync + 'static {
    /// What it is.
    const TYPE: Type;
    /// Whether an absent argument is fine without a default.
    const OPTIONAL: bool = false;
    /// Whether an absent protobuf field means [`Wire::zero`] (false for enums, whose zero means "not said").
    const ZERO_WHEN_ABSENT: bool = true;
    /// The wire type inside packed lists, for types that are packed.
    const PACKED: Option<WireType> = None;

    /// The value of a field that was not sent.
    fn zero() -> Self;

    /// Whether proto3 leaves this value out.
    fn is_zero(&self) -> bool {
        false
    }

    /// Writes it as a field, always.
    fn encode(&self, tag: u32, buffer: &mut Vec<u8>);

    /// Writes it as a field of a message, unless it is [zero](Wire::is_zero).
    fn encode_field(&self, tag: u32, buffer: &mut Vec<u8>) {
        if !self.is_zero() {
            self.encode(tag, buffer);
        }
    }

    /// Writes it into a packed list, without key. Only called where [`Wire::PACKED`] is set.
    fn encode_packed(&self, _buffer: &mut Vec<u8>) {}

    /// Takes in one occurrence of the field.
    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError>;

    /// Writes the fields of a message, without key and length. Only called for messages.
    fn encode_body(&self, _buffer: &mut Vec<u8>) {}

    /// Reads the fields of a message. Only called for messages.
    fn merge_body(&mut self, _body: Bytes, _depth: Depth) -> Result<(), WireError> {
        Ok(())
    }

    /// As upstream's calls carry it.
    fn to_value(&self) -> Result<Value, WireError>;

    /// From what upstream's calls carry.
    fn from_value(value: Value, reading: Reading) -> Result<Self, WireError>;

    /// From the field of a message in upstream's calls; what generated code asks for.
    #[doc(hidden)]
    fn take_or(
        fields: &mut FieldValues,
        index: usize,
        default: Option<fn() -> Self>,
    ) -> Result<Self, WireError> {
        fields.take(index, default)
    }

    /// The same, where the attribute states no default.
    #[doc(hidden)]
    fn take(fields: &mut FieldValues, index: usize) -> Result<Self, WireError> {
        fields.take(index, None)
    }
}

/// Takes the fields of a message apart: for each number, its occurrences in order.
pub fn split(buffer: &mut Bytes) -> Result<BTreeMap<u32, Vec<(WireType, Bytes)>>, WireError> {
    let mut ordered: BTreeMap<u32, Vec<(WireType, Bytes)>> = BTreeMap::new();
    for (tag, wire_type, part) in fields(std::mem::take(buffer))? {
        ordered.entry(tag).or_default().push((wire_type, part));
    }
    Ok(ordered)
}

/// The same without an order: every occurrence of every field, as they came. Costs one allocation at most.
pub fn fields(mut buffer: Bytes) -> Result<Vec<(u32, WireType, Bytes)>, WireError> {
    let mut fields = Vec::new();
    while buffer.has_remaining() {
        let (tag, wire_type) = take_key(&mut buffer)?;
        let rest = buffer.clone();
        encoding::skip_field(wire_type, tag, &mut buffer, DecodeContext::default())?;
        let used = rest.len() - buffer.len();
        fields.push((tag, wire_type, rest.slice(..used)));
    }
    Ok(fields)
}

/// Takes the key of a field off the front. Nearly all have one byte, and are not worth a loop.
pub fn take_key(buffer: &mut Bytes) -> Result<(u32, WireType), WireError> {
    match buffer.first() {
        Some(&key @ 8..0x80) => {
            buffer.advance(1);
            Ok((u32::from(key >> 3), WireType::try_from(u64::from(key & 7))?))
        }
        _ => Ok(encoding::decode_key(buffer)?),
    }
}

/// Takes `length`-prefixed bytes off the front.
pub fn take_delimited(wire_type: WireType, buffer: &mut Bytes) -> Result<Bytes, WireError> {
    encoding::check_wire_type(WireType::LengthDelimited, wire_type)?;
    let length = encoding::decode_varint(buffer)?;
    match usize::try_from(length) {
        Ok(length) if length <= buffer.len() => Ok(buffer.split_to(length)),
        _ => Err(WireError::new("a field is longer than its message")),
    }
}

/// Writes a message as a field.
pub fn encode_message<T: Wire>(message: &T, tag: u32, buffer: &mut Vec<u8>) {
    let mut body = Vec::new();
    message.encode_body(&mut body);
    encoding::encode_key(tag, WireType::LengthDelimited, buffer);
    encoding::encode_varint(body.len() as u64, buffer);
    buffer.extend_from_slice(&body);
}

/// Encodes what a method returns: a message bare, anything else as field 1 of its response.
pub fn encode_result<T: Wire>(value: &T) -> Vec<u8> {
    let mut buffer = Vec::new();
    write_result(value, &mut buffer);
    buffer
}

/// The same, behind what the buffer holds already.
pub fn write_result<T: Wire>(value: &T, buffer: &mut Vec<u8>) {
    match T::TYPE {
        Type::Unit => {}
        Type::Message(_) => value.encode_body(buffer),
        _ => value.encode_field(1, buffer),
    }
}

/// Decodes what a method returned; the counterpart of [`encode_result`].
pub fn decode_result<T: Wire>(mut buffer: Bytes) -> Result<T, WireError> {
    let mut value = T::zero();
    match T::TYPE {
        Type::Unit => {}
        Type::Message(_) => value.merge_body(buffer, Depth::default())?,
        _ => {
            let mut found = false;
            while buffer.has_remaining() {
                let (tag, wire_type) = take_key(&mut buffer)?;
                if tag == 1 {
                    value.merge(wire_type, &mut buffer, Depth::default())?;
                    found = true;
                } else {
                    encoding::skip_field(wire_type, tag, &mut buffer, DecodeContext::default())?;
                }
            }
            if !found && !T::ZERO_WHEN_ABSENT {
                return Err(WireError::new("the answer holds no value"));
            }
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
