//! Numbers, truth, text, bytes and nothing.

use bytes::Bytes;
use prost::encoding::{self, DecodeContext, WireType};
use prost_types::{Value, value::Kind};

use super::{Depth, Reading, Wire, WireError, value};
use crate::describe::Type;

/// Largest whole number that a double holds without loss: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The same as a whole number.
const EXACT_WHOLE: u128 = 1 << 53;

/// Reads a whole number that is exactly representable, or says what arrived instead.
fn whole(value: &Value, min: f64, max: f64) -> Result<f64, WireError> {
    match value.kind {
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.is_finite() => {
            if number < min || number > max {
                Err(WireError::new(format!("expected a whole number from {min} to {max}, got {number}")))
            } else if number.abs() > EXACT {
                Err(WireError::new(format!(
                    "{number} is beyond 2^53, where whole numbers lose digits on this path"
                )))
            } else {
                Ok(number)
            }
        }
        _ => Err(value::expected("a whole number", value)),
    }
}

macro_rules! integer {
    ($rust:ty, $type:ident, $codec:ident, $carrier:ty) => {
        impl Wire for $rust {
            const TYPE: Type = Type::$type;
            const PACKED: Option<WireType> = Some(WireType::Varint);

            fn zero() -> Self {
                0
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }

            fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
                encoding::$codec::encode(tag, &<$carrier>::from(*self), buffer);
            }

            fn encode_packed(&self, buffer: &mut Vec<u8>) {
                #[allow(clippy::cast_sign_loss, clippy::cast_lossless)]
                encoding::encode_varint(<$carrier>::from(*self) as u64, buffer);
            }

            fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
                let mut carried = <$carrier>::default();
                encoding::$codec::merge(wire_type, &mut carried, buffer, DecodeContext::default())?;
                *self = <$rust>::try_from(carried).map_err(|_| {
                    WireError::new(format!("{carried} is not between {} and {}", <$rust>::MIN, <$rust>::MAX))
                })?;
                Ok(())
            }

            #[allow(clippy::cast_precision_loss, clippy::cast_lossless)]
            fn to_value(&self) -> Result<Value, WireError> {
                let number = *self as f64;
                // Compared before the conversion: 2^53 + 1 is rounded to 2^53 by it.
                if i128::from(*self).unsigned_abs() > EXACT_WHOLE {
                    return Err(WireError::new(format!(
                        "{self} is beyond 2^53 and would lose digits on this path"
                    )));
                }
                Ok(value::number(number))
            }

            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_lossless,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss
            )]
            fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
                Ok(whole(&value, <$rust>::MIN as f64, <$rust>::MAX as f64)? as $rust)
            }
        }
    };
}

integer!(i32, I32, int64, i64);
integer!(i64, I64, int64, i64);
integer!(u8, U8, uint32, u32);
integer!(u16, U16, uint32, u32);
integer!(u32, U32, uint32, u32);
integer!(u64, U64, uint64, u64);

macro_rules! float {
    ($rust:ty, $type:ident, $codec:ident, $wire:ident) => {
        impl Wire for $rust {
            const TYPE: Type = Type::$type;
            const PACKED: Option<WireType> = Some(WireType::$wire);

            fn zero() -> Self {
                0.0
            }

            fn is_zero(&self) -> bool {
                // Negative zero is not the default value and must travel.
                self.to_bits() == 0
            }

            fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
                encoding::$codec::encode(tag, self, buffer);
            }

            fn encode_packed(&self, buffer: &mut Vec<u8>) {
                buffer.extend_from_slice(&self.to_le_bytes());
            }

            fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
                Ok(encoding::$codec::merge(wire_type, self, buffer, DecodeContext::default())?)
            }

            #[allow(clippy::cast_lossless)]
            fn to_value(&self) -> Result<Value, WireError> {
                Ok(value::number(*self as f64))
            }

            #[allow(clippy::cast_possible_truncation)]
            fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
                match value.kind {
                    Some(Kind::NumberValue(number)) if number.is_finite() => Ok(number as $rust),
                    _ => Err(value::expected("a number", &value)),
                }
            }
        }
    };
}

float!(f32, F32, float, ThirtyTwoBit);
float!(f64, F64, double, SixtyFourBit);

impl Wire for bool {
    const TYPE: Type = Type::Bool;
    const PACKED: Option<WireType> = Some(WireType::Varint);

    fn zero() -> Self {
        false
    }

    fn is_zero(&self) -> bool {
        !self
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        encoding::bool::encode(tag, self, buffer);
    }

    fn encode_packed(&self, buffer: &mut Vec<u8>) {
        buffer.push(u8::from(*self));
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
        Ok(encoding::bool::merge(wire_type, self, buffer, DecodeContext::default())?)
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(value::boolean(*self))
    }

    fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
        match value.kind {
            Some(Kind::BoolValue(truth)) => Ok(truth),
            _ => Err(value::expected("true or false", &value)),
        }
    }
}

impl Wire for String {
    const TYPE: Type = Type::Str;

    fn zero() -> Self {
        String::new()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        encoding::string::encode(tag, self, buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
        Ok(encoding::string::merge(wire_type, self, buffer, DecodeContext::default())?)
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(value::text(self.as_str()))
    }

    fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
        value::into_text(value)
    }
}

impl Wire for Bytes {
    const TYPE: Type = Type::Bytes;

    fn zero() -> Self {
        Bytes::new()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        encoding::bytes::encode(tag, self, buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
        Ok(encoding::bytes::merge(wire_type, self, buffer, DecodeContext::default())?)
    }

    fn to_value(&self) -> Result<Value, WireError> {
        match std::str::from_utf8(self) {
            Ok(text) => Ok(value::text(text)),
            Err(_) => Err(WireError::new("a binary result needs the native call: only UTF-8 fits a value")),
        }
    }

    fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
        Ok(Bytes::from(value::into_text(value)?))
    }
}

impl Wire for () {
    const TYPE: Type = Type::Unit;

    fn zero() {}

    fn is_zero(&self) -> bool {
        true
    }

    fn encode(&self, _: u32, _: &mut Vec<u8>) {}

    fn merge(&mut self, _: WireType, _: &mut Bytes, _: Depth) -> Result<(), WireError> {
        Ok(())
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(value::null())
    }

    fn from_value(_: Value, _: Reading) -> Result<(), WireError> {
        Ok(())
    }
}
