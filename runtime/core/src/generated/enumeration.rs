//! The common half of `#[message]` on an enum.

use bytes::Bytes;
use prost::encoding::{self, DecodeContext, WireType};
use prost_types::{Value, value::Kind};

use crate::{
    describe::EnumSpec,
    wire::{WireError, value},
};

/// An enum without data that crosses the wire.
pub trait Enumeration: Copy + Sized + 'static {
    /// What it is called, value by value.
    const SPEC: &'static EnumSpec;
    /// The variants, in the order of [`EnumSpec::values`].
    const ALL: &'static [Self];

    /// Which of them this is.
    fn index(self) -> usize;
}

fn number<T: Enumeration>(variant: T) -> i32 {
    T::SPEC.values.get(variant.index()).map_or(0, |(_, number, _)| *number)
}

fn of_number<T: Enumeration>(number: i32) -> Result<T, WireError> {
    let at = T::SPEC.values.iter().position(|(_, known, _)| *known == number);
    match at.and_then(|at| T::ALL.get(at)) {
        Some(variant) => Ok(*variant),
        None => Err(WireError::new(format!("expected {}, got the number {number}", names::<T>()))),
    }
}

fn names<T: Enumeration>() -> String {
    let names: Vec<_> = T::SPEC.values.iter().map(|(name, ..)| *name).collect();
    format!("one of {}", names.join(", "))
}

/// As a field.
pub fn encode<T: Enumeration>(variant: T, tag: u32, buffer: &mut Vec<u8>) {
    encoding::int32::encode(tag, &number(variant), buffer);
}

/// Inside a packed list.
pub fn encode_packed<T: Enumeration>(variant: T, buffer: &mut Vec<u8>) {
    encoding::encode_varint(u64::from(number(variant).unsigned_abs()), buffer);
}

/// From a field. A number that is not known is an error: a value cannot be guessed.
pub fn merge<T: Enumeration>(
    variant: &mut T,
    wire_type: WireType,
    buffer: &mut Bytes,
) -> Result<(), WireError> {
    let mut number = 0;
    encoding::int32::merge(wire_type, &mut number, buffer, DecodeContext::default())?;
    *variant = of_number(number)?;
    Ok(())
}

/// As text.
pub fn to_value<T: Enumeration>(variant: T) -> Value {
    value::text(T::SPEC.values.get(variant.index()).map_or("", |(name, ..)| *name))
}

/// From text, or from its number.
pub fn from_value<T: Enumeration>(value: &Value) -> Result<T, WireError> {
    match &value.kind {
        Some(Kind::StringValue(text)) => {
            let at = T::SPEC.values.iter().position(|(name, ..)| name == text);
            at.and_then(|at| T::ALL.get(at)).copied().ok_or_else(|| value::expected(&names::<T>(), value))
        }
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < f64::from(i32::MAX) =>
        {
            #[allow(clippy::cast_possible_truncation)]
            of_number(*number as i32)
        }
        _ => Err(value::expected(&names::<T>(), value)),
    }
}
