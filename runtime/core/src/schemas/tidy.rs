//! What derived schemas say too much or not well enough for people.

use serde_json::{Map, Value, json};

use crate::Delay;

/// Prepares a derived schema for people:
///
/// * `default: null` is what an absent key means anyway, and editors would write it;
/// * lengths of time are written as people write them;
/// * a key and its old name exclude each other;
/// * the size of an integer in memory is nobody's business: `minimum` and `maximum` say what fits.
pub(super) fn tidy(schema: &mut Value) {
    each(schema, &mut |object| {
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
        if let Some(format) = object.get("format").and_then(Value::as_str).filter(|format| is_size(format)) {
            let (minimum, maximum) = range(format);
            object.remove("format");
            for (key, limit) in [("minimum", minimum), ("maximum", maximum)] {
                if let Some(limit) = limit {
                    object.entry(key).or_insert(limit);
                }
            }
        }
        let is_time = object.get("$ref").and_then(Value::as_str).is_some_and(|to| to.ends_with("/Delay"));
        if is_time
            && let Some(default) = object.get_mut("default")
            && let Some(delay) = default.as_str().and_then(|text| text.parse::<Delay>().ok())
        {
            *default = delay.friendly().into();
        }
        exclude_old_names(object);
    });
}

fn is_size(format: &str) -> bool {
    let digits = format.trim_start_matches("uint").trim_start_matches("int");
    matches!(format, "double" | "float")
        || (digits.len() < format.len() && digits.chars().all(|c| c.is_ascii_digit()))
}

/// What fits into an integer of this size. The file's own reader knows no smaller number than that of 64 bits.
fn range(format: &str) -> (Option<Value>, Option<Value>) {
    match format {
        "int8" => (Some(i8::MIN.into()), Some(i8::MAX.into())),
        "int16" => (Some(i16::MIN.into()), Some(i16::MAX.into())),
        "int32" => (Some(i32::MIN.into()), Some(i32::MAX.into())),
        "int" | "int64" => (Some(i64::MIN.into()), Some(i64::MAX.into())),
        "uint8" => (Some(0.into()), Some(u8::MAX.into())),
        "uint16" => (Some(0.into()), Some(u16::MAX.into())),
        "uint32" => (Some(0.into()), Some(u32::MAX.into())),
        "uint" | "uint64" => (Some(0.into()), Some(u64::MAX.into())),
        _ => (None, None),
    }
}

fn exclude_old_names(object: &mut Map<String, Value>) {
    let Some(properties) = object.get("properties").and_then(Value::as_object) else { return };
    let mut pairs: Vec<Value> = properties
        .iter()
        .filter_map(|(old, property)| Some((old, property.get("x-alias-of")?)))
        .map(|(old, name)| json!({ "not": { "required": [name, old] } }))
        .collect();
    if pairs.is_empty() {
        return;
    }
    if let Value::Array(all) = object.entry("allOf").or_insert_with(|| json!([])) {
        all.append(&mut pairs);
    }
}

/// Every object in a schema, outermost first.
fn each(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|value| each(value, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        _ => {}
    }
}

/// Points references to definitions at where the definitions are now.
pub(super) fn relocate(value: &mut Value, name_of: &impl Fn(&str) -> String) {
    each(value, &mut |object| {
        if let Some(Value::String(to)) = object.get_mut("$ref")
            && let Some(name) = to.strip_prefix("#/$defs/")
        {
            *to = format!("#/$defs/{}", name_of(name));
        }
    });
}

/// The same value with all keys in order, however they were put in.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> = object.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
