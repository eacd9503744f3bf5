//! How kinds of values are called in messages.

use super::document::{Node, Style, Value};
use super::scalar;
use super::source::is_secret_key;
use super::suggest::quoted;

/// What stands in the file, as the end of "…, but it is".
///
/// `key` decides whether the value may be shown.
pub(super) fn describe(node: &Node, key: Option<&str>) -> String {
    let secret = key.is_some_and(is_secret_key);
    let written = node.as_written().unwrap_or_default();
    match &node.value {
        Value::Null => "empty".to_owned(),
        Value::Seq(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Int(_) | Value::Float(_) if secret => "a number".to_owned(),
        Value::Int(_) | Value::Float(_) => format!("the number {}", shortened(written)),
        Value::Bool(value) => format!("the truth value {value}"),
        Value::Str { .. } if secret => "other text".to_owned(),
        Value::Str { .. } => format!("the text {}", quoted(written)),
    }
}

fn shortened(written: &str) -> String {
    quoted(written).trim_matches('`').to_owned()
}

/// What `serde` expected, in the words of these messages.
pub(super) fn expected(serde: &str) -> String {
    let words = match serde {
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "u32" => "a whole number from 0 to 4294967295",
        "i64" | "i128" | "isize" => "a whole number",
        "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number, 1 or more"
        }
        "f32" | "f64" => "a number",
        "a string" | "string" | "a str" | "str" | "a borrowed string" => "text",
        "a boolean" | "bool" => "true or false",
        "a map" => "a mapping",
        "a sequence" | "a set" => "a list",
        "path string" => "a path",
        "unit" => "empty",
        "a character" => "one character",
        other if other.starts_with("struct ") => "a mapping",
        other if other.starts_with("tuple ") || other.starts_with("an array of") => "a list",
        other => other,
    };
    words.to_owned()
}

/// What a JSON Schema type is called.
pub(super) fn json_type(name: &str) -> &str {
    match name {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "boolean" => "true or false",
        "object" => "a mapping",
        "array" => "a list",
        "null" => "empty",
        other => other,
    }
}

/// How the value has to be written to be what was expected.
pub(super) fn remedy(node: &Node, expected: &str, key: Option<&str>) -> Option<String> {
    if key.is_some_and(is_secret_key) {
        return (expected == "text"
            && matches!(node.value, Value::Int(_) | Value::Float(_) | Value::Bool(_)))
        .then(|| "write it in quotes".to_owned());
    }
    let written = node.as_written().unwrap_or_default();
    let prefix = key.map(|key| format!("{key}: ")).unwrap_or_default();
    let number = expected.contains("number");
    if number && let Some(digits) = scalar::leading_zero(written) {
        return Some(format!(
            "some readers take a number with a leading zero for octal: write `{prefix}{}`",
            if digits.is_empty() { "0" } else { digits }
        ));
    }
    let short = written.len() <= 40;
    if expected.starts_with("a mapping")
        && let Some((inner, value)) = glued(node)
    {
        return Some(format!("a space is missing: write `{inner}: {value}`"));
    }
    match &node.value {
        Value::Str { .. } if expected == "a mapping with a `script`" => {
            Some(format!("write the script below it: `{prefix}{{script: …}}`"))
        }
        Value::Null | Value::Str { .. } | Value::Seq(_) if expected == "a mapping" => {
            Some("write one indented `key: value` per line".to_owned())
        }
        Value::Int(_) | Value::Float(_) | Value::Bool(_)
            if matches!(expected, "text" | "a path") && short =>
        {
            Some(format!("write it in quotes: `{prefix}\"{written}\"`"))
        }
        Value::Str { style: Style::Quoted | Style::Block, text } if short => {
            let plain = scalar::resolve(text);
            let whole = !matches!(plain, Value::Float(_)) || !expected.contains("whole number");
            let would_fit = (number && whole && matches!(plain, Value::Int(_) | Value::Float(_)))
                || (expected == "true or false" && matches!(plain, Value::Bool(_)));
            would_fit.then(|| format!("without quotes: `{prefix}{text}`"))
        }
        Value::Str { .. } | Value::Int(_) | Value::Float(_) if expected == "a list" && short => {
            Some(format!("a list of one is written `{prefix}[{written}]`"))
        }
        Value::Float(value) if number && !value.is_finite() => Some("write a finite number".to_owned()),
        _ => None,
    }
}

/// The key and the value of unquoted text that lacks only the space between them: `type:mock-power`.
pub(super) fn glued(node: &Node) -> Option<(&str, &str)> {
    let text = node.plain_text().filter(|text| text.len() <= 60 && !text.contains(' '))?;
    let (key, value) = text.split_once(':')?;
    let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    (word && !value.is_empty() && !value.starts_with('/') && !is_secret_key(key)).then_some((key, value))
}
