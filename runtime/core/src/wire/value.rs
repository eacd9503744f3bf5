//! Small helpers for `google.protobuf.Value`, used by hand-written and generated code.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};

use super::WireError;

/// Null, which is also what a method without result answers.
pub fn null() -> Value {
    Value { kind: Some(Kind::NullValue(0)) }
}

/// A number; NaN and infinities become null, as in upstream.
pub fn number(number: f64) -> Value {
    if number.is_finite() { Value { kind: Some(Kind::NumberValue(number)) } } else { null() }
}

/// Text.
pub fn text(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

/// Truth.
pub fn boolean(value: bool) -> Value {
    Value { kind: Some(Kind::BoolValue(value)) }
}

/// A list.
pub fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(Kind::ListValue(ListValue { values })) }
}

/// A map with text keys.
pub fn map(fields: BTreeMap<String, Value>) -> Value {
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

/// Whether it is null; a value without a kind is.
pub fn is_null(value: &Value) -> bool {
    matches!(value.kind, None | Some(Kind::NullValue(_)))
}

/// What a value is, in words, with its content where that helps.
pub fn describe(value: &Value) -> String {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => "null".to_owned(),
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::NumberValue(value)) => value.to_string(),
        Some(Kind::StringValue(value)) => {
            let mut short: String = value.chars().take(40).collect();
            if short.len() < value.len() {
                short.push('…');
            }
            format!("the text {short:?}")
        }
        Some(Kind::ListValue(_)) => "a list".to_owned(),
        Some(Kind::StructValue(_)) => "a map".to_owned(),
    }
}

/// "expected a map, got 1.5".
pub fn expected(what: &str, value: &Value) -> WireError {
    WireError::new(format!("expected {what}, got {}", describe(value)))
}

/// The fields of a map.
pub fn into_map(value: Value) -> Result<BTreeMap<String, Value>, WireError> {
    match value.kind {
        Some(Kind::StructValue(fields)) => Ok(fields.fields),
        kind => Err(expected("a map", &Value { kind })),
    }
}

/// The items of a list.
pub fn into_list(value: Value) -> Result<Vec<Value>, WireError> {
    match value.kind {
        Some(Kind::ListValue(list)) => Ok(list.values),
        kind => Err(expected("a list", &Value { kind })),
    }
}

/// The text.
pub fn into_text(value: Value) -> Result<String, WireError> {
    match value.kind {
        Some(Kind::StringValue(text)) => Ok(text),
        kind => Err(expected("text", &Value { kind })),
    }
}
