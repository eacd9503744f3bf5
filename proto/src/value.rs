//! `google.protobuf.Value`, the type of arguments and results of driver calls, to and from JSON.
//!
//! The two are almost the same thing. The differences, each decided the way existing peers decide it:
//!
//! * every number is a double: integers that a double cannot hold are refused rather than rounded;
//! * not-a-number and the infinities do not exist in JSON and become null;
//! * a value without a kind, and a null of an unknown number, are null;
//! * receivers accept [`MAX_MESSAGES`] nested messages, which is 50 lists or 33 maps around a number: deeper structures
//!   are refused on both sides, so that they fail where they are made and no input can exhaust the stack.

use std::fmt;

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number};

/// How many messages may be nested: a list counts two, a map three, a scalar one.
pub const MAX_MESSAGES: usize = 100;

/// Largest magnitude up to which every integer is a double.
const MAX_INTEGER: u64 = 1 << 53;

/// Why a value cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// More than [`MAX_MESSAGES`] nested messages.
    TooDeep,
    /// An integer beyond 2^53, printed.
    IntegerTooLarge(String),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(
                f,
                "the value is nested too deeply: at most {MAX_MESSAGES} messages (50 lists or 33 maps); send a flatter one, or JSON as text"
            ),
            Self::IntegerTooLarge(number) => {
                write!(f, "{number} does not fit into a double without loss; send it as text")
            }
        }
    }
}

impl std::error::Error for ValueError {}

/// JSON of a value that was received. Numbers stay doubles: `1` arrives as `1.0`.
pub fn to_json(value: Value) -> Result<serde_json::Value, ValueError> {
    json_at(value, 1)
}

/// JSON of a map that was received.
pub fn struct_to_json(fields: Struct) -> Result<Map<String, serde_json::Value>, ValueError> {
    fields_at(fields, 1)
}

/// The value to send for a piece of JSON.
pub fn from_json(value: serde_json::Value) -> Result<Value, ValueError> {
    value_at(value, 1)
}

/// A null; what methods without a result answer.
pub fn null() -> Value {
    Value { kind: Some(Kind::NullValue(0)) }
}

/// `used` counts the messages from the outermost one to the one at hand, inclusive.
fn check(used: usize) -> Result<(), ValueError> {
    if used > MAX_MESSAGES { Err(ValueError::TooDeep) } else { Ok(()) }
}

fn json_at(value: Value, used: usize) -> Result<serde_json::Value, ValueError> {
    check(used)?;
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => Number::from_f64(value).map_or(serde_json::Value::Null, Into::into),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::ListValue(list)) => {
            check(used + 1)?;
            list.values.into_iter().map(|item| json_at(item, used + 2)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Some(Kind::StructValue(fields)) => fields_at(fields, used + 1)?.into(),
    })
}

fn fields_at(fields: Struct, used: usize) -> Result<Map<String, serde_json::Value>, ValueError> {
    check(used)?;
    // One message more for the map's entry.
    fields.fields.into_iter().map(|(key, item)| Ok((key, json_at(item, used + 2)?))).collect()
}

fn value_at(value: serde_json::Value, used: usize) -> Result<Value, ValueError> {
    check(used)?;
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(double(&number)?),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(items) => {
            check(used + 1)?;
            let values = items.into_iter().map(|item| value_at(item, used + 2)).collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
        serde_json::Value::Object(items) => {
            check(used + 1)?;
            let fields = items
                .into_iter()
                .map(|(key, item)| Ok((key, value_at(item, used + 3)?)))
                .collect::<Result<_, ValueError>>()?;
            Kind::StructValue(Struct { fields })
        }
    };
    Ok(Value { kind: Some(kind) })
}

fn double(number: &Number) -> Result<f64, ValueError> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    if magnitude.is_some_and(|magnitude| magnitude > MAX_INTEGER) {
        return Err(ValueError::IntegerTooLarge(number.to_string()));
    }
    number.as_f64().ok_or_else(|| ValueError::IntegerTooLarge(number.to_string()))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::json;

    use super::*;

    fn number(value: f64) -> Value {
        Value { kind: Some(Kind::NumberValue(value)) }
    }

    #[test]
    fn everything_json_can_say_survives_the_round_trip() {
        let value = json!({"a": [1.5, null, true, "text", {}, []], "b": {"c": -0.0}});
        assert_eq!(to_json(from_json(value.clone()).unwrap()).unwrap(), value);
    }

    #[test]
    fn integers_are_sent_as_numbers_and_arrive_as_doubles() {
        assert_eq!(from_json(json!(3)).unwrap(), number(3.0));
        assert_eq!(to_json(number(3.0)).unwrap().to_string(), "3.0");
    }

    #[test]
    fn integers_that_would_be_rounded_are_refused() {
        assert_eq!(from_json(json!(1_u64 << 53)).unwrap(), number(9_007_199_254_740_992.0));
        assert_eq!(
            from_json(json!((1_u64 << 53) + 1)).unwrap_err(),
            ValueError::IntegerTooLarge("9007199254740993".to_owned())
        );
        assert!(from_json(json!(i64::MIN)).is_err());
    }

    #[test]
    fn what_is_no_number_or_has_no_kind_is_null_at_every_depth() {
        let list = Value {
            kind: Some(Kind::ListValue(ListValue {
                values: vec![
                    number(f64::NAN),
                    number(f64::INFINITY),
                    Value { kind: None },
                    Value { kind: Some(Kind::NullValue(7)) },
                ],
            })),
        };
        assert_eq!(to_json(list).unwrap(), json!([null, null, null, null]));
    }

    #[test]
    fn fifty_lists_and_thirty_three_maps_are_the_deepest() {
        let nest = |count: usize, wrap: fn(serde_json::Value) -> serde_json::Value, start| {
            (0..count).fold(start, |inner, _| wrap(inner))
        };
        let list = |count| nest(count, |inner| json!([inner]), json!([]));
        let map = |count| nest(count, |inner| json!({ "a": inner }), json!(1));

        for deepest in [list(49), map(33)] {
            let sent = from_json(deepest).unwrap();
            // The limit is the decoder's as well, also inside of a call.
            let call = crate::v1::DriverCallResponse { uuid: String::new(), result: Some(sent) };
            assert_eq!(crate::v1::DriverCallResponse::decode(call.encode_to_vec().as_slice()).unwrap(), call);
            assert!(to_json(call.result.unwrap()).is_ok());
        }
        for too_deep in [list(50), map(34)] {
            assert_eq!(from_json(too_deep).unwrap_err(), ValueError::TooDeep);
        }
        let received = (0..60).fold(null(), |inner, _| Value {
            kind: Some(Kind::ListValue(ListValue { values: vec![inner] })),
        });
        assert_eq!(to_json(received).unwrap_err(), ValueError::TooDeep);
    }
}
