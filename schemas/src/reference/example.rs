//! YAML, from a JSON Schema.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// What an example shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Only what must be there.
    Required,
    /// Every key.
    Everything,
}

/// An example of a value with this schema.
pub(super) fn of(schema: &Value, definitions: &Map<String, Value>, shown: Shown) -> Value {
    let first = |key: &str| schema[key].as_array().and_then(|values| values.first()).cloned();
    let name = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/"));
    let target = name.and_then(|name| definitions.get(name));
    let said = || schema.get("default").cloned().filter(|default| !is_empty(default));
    if let Some(value) = first("examples").or_else(|| schema.get("const").cloned()).or_else(said) {
        return value;
    }
    if let Some(target) = target {
        return of(target, definitions, shown);
    }
    if let Some(value) = first("enum") {
        return value;
    }
    if let Some(choice) = first("oneOf").or_else(|| first("anyOf")) {
        return of(&choice, definitions, shown);
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    match kind {
        "object" => mapping(schema, definitions, shown),
        "array" => json!([of(&schema["items"], definitions, shown)]),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => schema.get("default").cloned().unwrap_or(Value::Bool(true)),
        "string" => match schema["format"].as_str() {
            Some("uuid") => "6f0ac5b5-0f4e-4b5f-8a27-60e4b3d1a001".into(),
            _ => "…".into(),
        },
        _ => Value::Null,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn mapping(schema: &Value, definitions: &Map<String, Value>, shown: Shown) -> Value {
    let mut example = Map::new();
    let required = |key: &String| {
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key))
    };
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let old = property.get("x-alias-of").is_some() || property.get("doNotSuggest").is_some();
        if old || (shown == Shown::Required && !required(key)) {
            continue;
        }
        example.insert(key.clone(), of(property, definitions, shown));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object())
        && example.is_empty()
        && shown == Shown::Everything
    {
        example.insert("name".to_owned(), of(values, definitions, shown));
    }
    Value::Object(example)
}

/// YAML, so many blanks deep. Keys come in this order, then by name.
pub(super) fn yaml(value: &Value, order: &[&str], depth: usize) -> String {
    let indent = " ".repeat(depth);
    let Value::Object(object) = value else { return format!("{indent}{}\n", scalar(value)) };
    let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
    keys.sort_by_key(|key| (order.iter().position(|known| known == key).unwrap_or(order.len()), *key));
    let mut text = String::new();
    for key in keys {
        let name = scalar(&key.into());
        match &object[key] {
            inner @ Value::Object(fields) if !fields.is_empty() => {
                let _ = write!(text, "{indent}{name}:\n{}", yaml(inner, order, depth + 2));
            }
            other => {
                let _ = writeln!(text, "{indent}{name}: {}", scalar(other));
            }
        }
    }
    text
}

/// A value on one line. JSON is YAML, and text that cannot be taken for anything else needs no quotes.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else {
        return match value {
            Value::Array(items) => format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        };
    };
    let word = text.chars().next().is_some_and(char::is_alphabetic)
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' '))
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_lowercase().as_str());
    let time = text.chars().next().is_some_and(|c| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic())
        && !text.starts_with("0x")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    if word || time { text.clone() } else { value.to_string() }
}
