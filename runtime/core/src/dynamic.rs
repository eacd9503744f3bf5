//! Values without their types: what `j` and other programs need for interfaces they were not compiled with.

use prost_types::{Value, value::Kind};

/// JSON of a value. Whole numbers are printed without fraction; what JSON has no word for is null.
pub fn to_json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(truth)) => (*truth).into(),
        Some(Kind::NumberValue(number)) => json_number(*number),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(to_json).collect(),
        Some(Kind::StructValue(map)) => {
            map.fields.iter().map(|(key, item)| (key.clone(), to_json(item))).collect()
        }
    }
}

/// Up to 2^53 every whole double is one integer.
#[allow(clippy::cast_possible_truncation)]
fn json_number(number: f64) -> serde_json::Value {
    if number.fract() == 0.0
        && number.abs() <= 9_007_199_254_740_992.0
        && !(number == 0.0 && number.is_sign_negative())
    {
        (number as i64).into()
    } else {
        serde_json::Number::from_f64(number).map_or(serde_json::Value::Null, Into::into)
    }
}
