//! Tables of keys, from a JSON Schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::words::{cell, table};

/// Keys of a mapping, in sections: the mapping itself, then every mapping inside of it.
pub(super) struct Keys<'a> {
    definitions: &'a Map<String, Value>,
    /// Headings of mappings that are shown in another place, by the key that leads there.
    elsewhere: &'a [(&'a str, &'a str)],
}

impl<'a> Keys<'a> {
    /// Of a schema with these definitions. `elsewhere` has, for keys that are explained in another place, the words to put
    /// instead of a type.
    pub(super) fn new(definitions: &'a Map<String, Value>, elsewhere: &'a [(&'a str, &'a str)]) -> Self {
        Self { definitions, elsewhere }
    }

    /// The table of the mapping at this path. `order` says which keys come first, and in which order.
    pub(super) fn table(&self, schema: &'a Value, path: &str, order: &[&str]) -> String {
        let schema = self.resolved(schema);
        let required = |key: &str| {
            schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key))
                || one_of_two(schema, key)
        };
        let rows: Vec<_> = keys(schema, order)
            .into_iter()
            .map(|(key, property)| {
                let resolved = self.resolved(property);
                let default = property.get("default").or_else(|| resolved.get("default"));
                let shown = match default {
                    Some(default) => said(default),
                    None if required(key) => "**required**".to_owned(),
                    None => String::new(),
                };
                let example = property.get("examples").or_else(|| resolved.get("examples"));
                let example =
                    example.and_then(|examples| examples.get(0)).filter(|_| default.is_none_or(says_nothing));
                let words = property.get("description").or_else(|| resolved.get("description"));
                let mut meaning = cell(words.and_then(Value::as_str).unwrap_or_default());
                if let Some(example) = example {
                    let _ = write!(meaning, " For example `{}`.", cell(&self::shown(example)));
                }
                let old = old_names(schema, key);
                if !old.is_empty() {
                    let _ = write!(meaning, " Old name: {}.", old.join(", "));
                }
                let kind = self
                    .elsewhere
                    .iter()
                    .find(|(known, _)| *known == key)
                    .map_or_else(|| self.linked(property, path, key), |(_, words)| (*words).to_owned());
                [format!("`{key}`"), cell(&kind), self.unit(property).to_owned(), shown, meaning]
            })
            .collect();
        if rows.iter().all(|[_, _, unit, ..]| unit.is_empty()) {
            let rows: Vec<_> =
                rows.into_iter().map(|[key, kind, _, default, words]| [key, kind, default, words]).collect();
            return table(["Key", "Value", "Default", "Meaning"], &rows);
        }
        table(["Key", "Value", "Unit", "Default", "Meaning"], &rows)
    }

    /// Mappings inside of a mapping, each with the ways to it and its schema.
    pub(super) fn inner(&self, schema: &'a Value, order: &[&str]) -> Vec<(Vec<String>, &'a Value)> {
        let mut found = Vec::new();
        self.collect(schema, "", order, &mut found);
        found
    }

    fn collect(
        &self,
        schema: &'a Value,
        path: &str,
        order: &[&str],
        found: &mut Vec<(Vec<String>, &'a Value)>,
    ) {
        let schema = self.resolved(schema);
        for (key, property) in keys(schema, order) {
            if self.elsewhere.iter().any(|(known, _)| *known == key) {
                continue;
            }
            let values = self.values(property);
            let named = [(self.mapping(property), String::new()), (values, format!(".{NAME}"))];
            for (inner, name) in named {
                if !has_keys(inner) {
                    continue;
                }
                let path = format!("{}{name}", below(path, key));
                if let Some((paths, _)) = found.iter_mut().find(|(_, known)| std::ptr::eq(*known, inner)) {
                    paths.push(path);
                } else {
                    found.push((vec![path.clone()], inner));
                    self.collect(inner, &path, &[], found);
                }
            }
        }
    }

    /// What a value may be; a mapping with keys of its own leads to their table.
    fn linked(&self, property: &'a Value, path: &str, key: &str) -> String {
        let kind = self.kind(property);
        let anchor = below(path, key).replace('.', "").to_lowercase();
        if has_keys(self.mapping(property)) {
            return format!("[mapping](#{anchor})");
        }
        let Some(before) = kind.strip_suffix("mapping").filter(|_| has_keys(self.values(property))) else {
            return kind;
        };
        format!("{before}[mapping](#{anchor}{})", NAME.to_lowercase())
    }

    /// The mapping that the values of a mapping with names of people's own may be.
    fn values(&self, property: &'a Value) -> &'a Value {
        self.mapping(&self.mapping(property)["additionalProperties"])
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/"));
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }

    /// The mapping that a value may be, null left out.
    fn mapping(&self, schema: &'a Value) -> &'a Value {
        let schema = self.resolved(schema);
        match schema["anyOf"].as_array() {
            Some(choices) => choices
                .iter()
                .map(|choice| self.resolved(choice))
                .find(|choice| choice["properties"].is_object())
                .unwrap_or(schema),
            None => schema,
        }
    }

    /// What numbers count; nothing for what has no unit.
    fn unit(&self, property: &'a Value) -> &'a str {
        let forms = property["anyOf"].as_array().into_iter().flatten().map(|form| self.resolved(form));
        let mut schemas = [property, self.resolved(property)].into_iter().chain(forms);
        schemas.find_map(|schema| schema["x-unit"].as_str()).unwrap_or_default()
    }

    /// What a value may be, in words.
    fn kind(&self, property: &'a Value) -> String {
        let schema = self.resolved(property);
        if property["$ref"].as_str().is_some_and(|to| to.ends_with("/Delay")) {
            return "length of time: `500ms`, `2s`, `1h 30m`, or a number of seconds".to_owned();
        }
        if let Some(only) = schema.get("const") {
            return format!("`{}`", shown(only));
        }
        if schema["properties"].is_object() {
            return "mapping".to_owned();
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<_> = values
                .iter()
                .filter(|value| !value.is_null())
                .map(|value| format!("`{}`", shown(value)))
                .collect();
            return values.join(", ");
        }
        if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let choices: Vec<_> = choices
                .iter()
                .filter(|choice| choice.get("x-alias-of").is_none() && choice["type"] != "null")
                .map(|choice| self.kind(choice))
                .collect();
            return choices.join(", ");
        }
        let mut names: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if is_number_in_quotes(schema) {
            names.sort_by_key(|name| *name == "string");
        }
        let words: Vec<_> =
            names.iter().filter(|name| **name != "null").map(|name| self.word(name, schema)).collect();
        if names.contains(&"array") && names.contains(&"string") {
            return format!("{}, or the same as one text", words.first().cloned().unwrap_or_default());
        }
        words.join(" or ")
    }

    fn word(&self, name: &str, schema: &'a Value) -> String {
        let range = || match (bound(&schema["minimum"]), bound(&schema["maximum"])) {
            (Some(least), Some(most)) => format!(", {least} to {most}"),
            (Some(least), None) => format!(", {least} or more"),
            (None, Some(most)) => format!(", at most {most}"),
            (None, None) if schema["exclusiveMinimum"] == 0 => " above 0".to_owned(),
            (None, None) => String::new(),
        };
        match name {
            "integer" => format!("whole number{}", range()),
            "number" => format!("number{}", range()),
            "boolean" => "`true` or `false`".to_owned(),
            "string" => match schema["format"].as_str() {
                Some("uuid") => "text, a UUID".to_owned(),
                Some(format) => format!("text in the format {format}"),
                None if is_number_in_quotes(schema) => "the same in quotes".to_owned(),
                None => "text".to_owned(),
            },
            "array" => format!("list of: {}", self.kind(&schema["items"])),
            "object" => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => format!("mapping of names to: {}", self.kind(values)),
                _ => "mapping".to_owned(),
            },
            other => other.to_owned(),
        }
    }
}

/// Stands for names that people choose.
const NAME: &str = "NAME";

fn has_keys(mapping: &Value) -> bool {
    mapping["properties"].as_object().is_some_and(|keys| !keys.is_empty())
}

/// Whether text is taken as well, if it is a number.
fn is_number_in_quotes(schema: &Value) -> bool {
    schema["type"].is_array() && schema["minimum"].is_number() && schema["pattern"].is_string()
}

/// Keys with their schemas, without old names.
fn keys<'s>(schema: &'s Value, order: &[&str]) -> Vec<(&'s str, &'s Value)> {
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let mut keys: Vec<_> = properties
        .iter()
        .filter(|(_, property)| property.get("x-alias-of").is_none())
        .map(|(key, property)| (key.as_str(), property))
        .collect();
    keys.sort_by_key(|(key, _)| (order.iter().position(|known| known == key).unwrap_or(order.len()), *key));
    keys
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether a default leaves open what values look like.
fn says_nothing(default: &Value) -> bool {
    match default {
        Value::String(text) => text.is_empty(),
        Value::Object(keys) => keys.is_empty(),
        Value::Array(items) => items.is_empty(),
        other => other.is_null(),
    }
}

/// A default.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        Value::Object(keys) if keys.is_empty() => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        other => format!("`{other}`"),
    }
}

fn bound(value: &Value) -> Option<String> {
    value.is_number().then(|| value.to_string())
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn old_names(schema: &Value, key: &str) -> Vec<String> {
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["x-alias-of"] == key)
        .map(|(old, _)| format!("`{old}`"))
        .collect()
}

/// Whether a key, or its old name, must be there.
fn one_of_two(schema: &Value, key: &str) -> bool {
    let asked = |part: &Value| {
        part["anyOf"]
            .as_array()
            .is_some_and(|choices| choices.iter().any(|choice| choice["required"][0] == key))
    };
    schema["allOf"].as_array().is_some_and(|parts| parts.iter().any(asked))
}
