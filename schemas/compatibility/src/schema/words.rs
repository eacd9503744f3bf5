//! The words of JSON Schemas, read the way they are compared: references followed, lists of values in one form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub(super) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

/// A schema with its reference followed; what stands beside the reference counts as well.
pub(super) fn resolved(root: &Value, schema: &Value) -> Map<String, Value> {
    let mut result = Map::new();
    let mut current = schema;
    // Chains of references are short; a circle of them has no meaning.
    for _ in 0..16 {
        match current {
            Value::Object(map) => {
                for (word, value) in map {
                    result.entry(word.clone()).or_insert_with(|| value.clone());
                }
            }
            Value::Bool(false) => {
                result.insert("not".to_owned(), Value::Object(Map::new()));
            }
            _ => {}
        }
        let target = reference(current).and_then(|text| root.pointer(text.strip_prefix('#')?));
        match target {
            Some(next) => current = next,
            None => break,
        }
    }
    result.remove("$ref");
    result
}

/// The values that are right, where a schema lists them.
pub(super) fn choices(schema: &Map<String, Value>) -> Option<BTreeSet<String>> {
    if let Some(value) = schema.get("const") {
        return Some(BTreeSet::from([value.to_string()]));
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return Some(values.iter().map(ToString::to_string).collect());
    }
    let forms = ["oneOf", "anyOf"].iter().find_map(|word| schema.get(*word)?.as_array())?;
    let mut all = BTreeSet::new();
    for form in forms {
        all.extend(choices(form.as_object()?)?);
    }
    Some(all)
}

pub(super) fn spelled(schema: &Map<String, Value>) -> String {
    match (types(schema), choices(schema)) {
        (_, Some(values)) => values.into_iter().collect::<Vec<_>>().join(" or "),
        (Some(types), None) => types.into_iter().collect::<Vec<_>>().join(" or "),
        (None, None) => "what it could be".to_owned(),
    }
}

pub(super) fn types(schema: &Map<String, Value>) -> Option<BTreeSet<String>> {
    match schema.get("type") {
        Some(Value::String(one)) => Some(BTreeSet::from([one.clone()])),
        Some(Value::Array(several)) => {
            Some(several.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        // A list of values says it as well.
        _ => Some(choices(schema)?.iter().filter_map(|text| type_of(text)).collect()),
    }
}

/// The type of a value that is written as JSON.
fn type_of(json: &str) -> Option<String> {
    let name = match serde_json::from_str(json).ok()? {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Some(name.to_owned())
}

/// Keys of which one has to be there, each.
pub(super) fn clauses(schema: &Map<String, Value>) -> Vec<BTreeSet<String>> {
    let required = |schema: &Map<String, Value>| -> Vec<String> {
        let keys = schema.get("required").and_then(Value::as_array);
        keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut all: Vec<_> = required(schema).into_iter().map(|key| BTreeSet::from([key])).collect();
    // What a key with old names needs: one of them.
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        let forms = part.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let clause: BTreeSet<_> = forms.filter_map(Value::as_object).flat_map(required).collect();
        if !clause.is_empty() {
            all.push(clause);
        }
    }
    all
}

/// The numbers that are right.
pub(super) struct Range {
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

impl Range {
    pub(super) fn of(schema: &Map<String, Value>) -> Self {
        let format = schema.get("format").and_then(Value::as_str).and_then(width);
        let number = |word: &str| schema.get(word).and_then(Value::as_f64);
        let tighter = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (a, b) => a.or(b),
        };
        Self {
            low: tighter(number("minimum"), format.map(|(low, _)| low), f64::max),
            high: tighter(number("maximum"), format.map(|(_, high)| high), f64::min),
        }
    }
}

/// What the format of an integer says about its range.
#[allow(clippy::cast_precision_loss)]
pub(super) fn width(format: &str) -> Option<(f64, f64)> {
    let known: BTreeMap<_, _> = BTreeMap::from([
        ("int8", (f64::from(i8::MIN), f64::from(i8::MAX))),
        ("int16", (f64::from(i16::MIN), f64::from(i16::MAX))),
        ("int32", (f64::from(i32::MIN), f64::from(i32::MAX))),
        ("int64", (i64::MIN as f64, i64::MAX as f64)),
        ("uint8", (0.0, f64::from(u8::MAX))),
        ("uint16", (0.0, f64::from(u16::MAX))),
        ("uint32", (0.0, f64::from(u32::MAX))),
        ("uint64", (0.0, u64::MAX as f64)),
        ("int", (i64::MIN as f64, i64::MAX as f64)),
        ("uint", (0.0, u64::MAX as f64)),
    ]);
    known.get(format).copied()
}
