//! JSON Schemas of what people write: which files that were right are wrong now.

mod conditions;
mod forms;
mod words;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::change::{Breaks, Change, Changes, Verdict};
use forms::has_alternatives;
use words::{Range, choices, clauses, reference, resolved, types, width};

/// Words that say nothing about which values are right.
const DOCUMENTATION: &[&str] =
    &["title", "description", "examples", "$comment", "$schema", "markdownDescription", "doNotSuggest"];

/// A schema without what is only for its readers.
pub(crate) fn without_documentation(schema: Value) -> Value {
    match schema {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, _)| !DOCUMENTATION.contains(&key.as_str()));
            let cleaned = kept.map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    // The keys of these are names, not words of a schema.
                    ("properties" | "$defs" | "patternProperties", Value::Object(named)) => named
                        .into_iter()
                        .map(|(name, schema)| (name, without_documentation(schema)))
                        .collect(),
                    // Values, which may look like anything.
                    ("default" | "const" | "enum", value) => value,
                    (_, value) => without_documentation(value),
                };
                (key, value)
            });
            Value::Object(cleaned.collect())
        }
        Value::Array(items) => items.into_iter().map(without_documentation).collect(),
        other => other,
    }
}

/// Compares two schemas. `place` is where they are, `subject` what messages call their owner.
pub(crate) fn compare(place: &str, subject: &str, old: &Value, new: &Value, changes: &mut Changes) {
    let (old_root, new_root) = (old, new);
    let mut comparison =
        Comparison { old_root, new_root, found: Vec::new(), open: BTreeSet::new(), places: Vec::new() };
    comparison.schema(&mut Vec::new(), old, new);
    if comparison.found.is_empty() && old != new {
        let what = "the configuration takes more than it took".to_owned();
        comparison.push(Verdict::Compatible, "schema-widened", &[], what, "");
    }
    for Found { verdict, rule, path, what, remedy } in comparison.found {
        let place =
            std::iter::once(place).chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        let breaks = if verdict == Verdict::Breaking { Breaks::FILES } else { Breaks::NOBODY };
        changes.push(Change::new(verdict, rule, breaks, place, format!("{subject}: {what}"), remedy));
    }
}

struct Found {
    verdict: Verdict,
    rule: &'static str,
    path: Vec<String>,
    what: String,
    remedy: String,
}

struct Comparison<'a> {
    old_root: &'a Value,
    new_root: &'a Value,
    found: Vec<Found>,
    /// References that are being followed: schemas may contain themselves.
    open: BTreeSet<(String, String)>,
    /// In which branches of rules: `where …`.
    places: Vec<String>,
}

/// Words that are compared one by one; any other one that changes is taken for a break.
const COMPARED: &[&str] = &[
    "$ref",
    "$defs",
    "type",
    "enum",
    "const",
    "oneOf",
    "anyOf",
    "allOf",
    "if",
    "then",
    "else",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "default",
    "deprecated",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "format",
    "pattern",
    "writeOnly",
    "readOnly",
];

impl Comparison<'_> {
    fn push(
        &mut self,
        verdict: Verdict,
        rule: &'static str,
        path: &[String],
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let what = what.into();
        let what =
            self.places.iter().map(String::as_str).chain([what.as_str()]).collect::<Vec<_>>().join(", ");
        self.found.push(Found { verdict, rule, path: path.to_vec(), what, remedy: remedy.into() });
    }

    fn breaking(&mut self, rule: &'static str, path: &[String], what: String, remedy: impl Into<String>) {
        self.push(Verdict::Breaking, rule, path, what, remedy);
    }

    fn schema(&mut self, path: &mut Vec<String>, old: &Value, new: &Value) {
        let (old_ref, new_ref) = (reference(old), reference(new));
        let pair = (old_ref.unwrap_or_default().to_owned(), new_ref.unwrap_or_default().to_owned());
        let follows = old_ref.is_some() || new_ref.is_some();
        if follows && !self.open.insert(pair.clone()) {
            return;
        }
        let (before, after) = (resolved(self.old_root, old), resolved(self.new_root, new));
        self.plain(path, &before, &after);
        if follows {
            self.open.remove(&pair);
        }
    }

    fn plain(&mut self, path: &mut Vec<String>, old: &Map<String, Value>, new: &Map<String, Value>) {
        let name = key(path);
        if new.get("deprecated") == Some(&Value::Bool(true)) && old.get("deprecated") != new.get("deprecated")
        {
            self.push(Verdict::Compatible, "key-deprecated", path, format!("{name} is deprecated"), "");
        }
        self.unit(path, old, new);
        self.conditions(path, old, new);
        match (choices(old), choices(new)) {
            (Some(old), Some(new)) => {
                for gone in old.difference(&new) {
                    let mut place = path.clone();
                    place.push(gone.trim_matches('"').to_owned());
                    self.breaking(
                        "value-removed",
                        &place,
                        format!("{name} cannot be {gone} any more"),
                        "keep it, with `#[alias(…)]` on the value that takes its place",
                    );
                }
                for fresh in new.difference(&old) {
                    self.push(Verdict::Compatible, "value-added", path, format!("{name} can be {fresh}"), "");
                }
                return;
            }
            (None, Some(new)) => {
                let list = new.into_iter().collect::<Vec<_>>().join(", ");
                self.breaking("type-narrowed", path, format!("{name} can only be one of {list}"), REMEDY);
                return;
            }
            (Some(_) | None, None) => {}
        }
        let (before, after) = (has_alternatives(old), has_alternatives(new));
        if before || after {
            self.forms(path, old, new);
        }
        // What stands beside alternatives is right for all of them.
        if before == after {
            self.types(path, old, new);
            self.bounds(path, old, new);
            self.object(path, old, new);
            self.items(path, old, new);
        }
        for word in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let unknown = !COMPARED.contains(&word.as_str()) && !word.starts_with("x-");
            if unknown && old.get(word) != new.get(word) && new.contains_key(word) {
                self.breaking(
                    "schema-changed",
                    path,
                    format!("`{word}` of {name} changed, and nothing says that every old value still fits"),
                    REMEDY,
                );
            }
        }
    }

    /// What numbers count. Nothing reads it, but everybody who wrote one had it in mind.
    fn unit(&mut self, path: &[String], old: &Map<String, Value>, new: &Map<String, Value>) {
        let unit = |map: &Map<String, Value>| map.get("x-unit").and_then(Value::as_str).map(str::to_owned);
        match (unit(old), unit(new)) {
            (Some(old), Some(new)) if old != new => {
                let what = format!("{} is in {new} where it was in {old}", key(path));
                self.breaking(
                    "unit-changed",
                    path,
                    what,
                    "add another key beside it, and convert the old one",
                );
            }
            (None, Some(unit)) => {
                let what = format!("{} says its unit, {unit}", key(path));
                self.push(Verdict::Compatible, "unit-named", path, what, "");
            }
            _ => {}
        }
    }

    fn items(&mut self, path: &mut Vec<String>, old: &Map<String, Value>, new: &Map<String, Value>) {
        let Some(after) = new.get("items") else { return };
        // Without a word about them, items could be anything.
        let anything = Value::Bool(true);
        let before = old.get("items").unwrap_or(&anything);
        if types(old).is_none_or(|types| types.contains("array")) {
            path.push("items".to_owned());
            self.schema(path, before, after);
            path.pop();
        }
    }

    fn types(&mut self, path: &[String], old: &Map<String, Value>, new: &Map<String, Value>) {
        let (Some(after), before) = (types(new), types(old)) else { return };
        let fits = |ty: &String| after.contains(ty) || (ty == "integer" && after.contains("number"));
        let gone: Vec<_> = match &before {
            Some(before) => before.iter().filter(|ty| !fits(ty)).cloned().collect(),
            None => vec!["anything".to_owned()],
        };
        if !gone.is_empty() {
            let now = after.iter().cloned().collect::<Vec<_>>().join(" or ");
            self.breaking(
                "type-narrowed",
                path,
                format!("{} cannot be {} any more, only {now}", key(path), gone.join(" or ")),
                REMEDY,
            );
        }
    }

    fn bounds(&mut self, path: &[String], old: &Map<String, Value>, new: &Map<String, Value>) {
        let name = key(path);
        let (before, after) = (Range::of(old), Range::of(new));
        if after.low.is_some_and(|low| before.low.is_none_or(|before| low > before)) {
            let (low, before) = (shown(after.low), shown(before.low));
            self.breaking(
                "range-narrowed",
                path,
                format!("{name} must be at least {low} where {before} was enough"),
                REMEDY,
            );
        }
        if after.high.is_some_and(|high| before.high.is_none_or(|before| high < before)) {
            let (high, before) = (shown(after.high), shown(before.high));
            self.breaking(
                "range-narrowed",
                path,
                format!("{name} must be at most {high} where {before} was allowed"),
                REMEDY,
            );
        }
        for (word, least) in [
            ("exclusiveMinimum", true),
            ("minLength", true),
            ("minItems", true),
            ("minProperties", true),
            ("exclusiveMaximum", false),
            ("maxLength", false),
            ("maxItems", false),
            ("maxProperties", false),
        ] {
            let number = |map: &Map<String, Value>| map.get(word).and_then(Value::as_f64);
            let (before, after) = (number(old), number(new));
            let narrower = after.is_some_and(|after| {
                before.is_none_or(|before| if least { after > before } else { after < before })
            });
            if narrower {
                self.breaking(
                    "range-narrowed",
                    path,
                    format!("`{word}` of {name} is {} where it was {}", shown(after), shown(before)),
                    REMEDY,
                );
            }
        }
        for word in ["format", "pattern"] {
            let text = |map: &Map<String, Value>| map.get(word).and_then(Value::as_str).map(str::to_owned);
            let (before, after) = (text(old), text(new));
            // The width of a number is a range, which was compared.
            let is_width = |text: &Option<String>| {
                text.as_deref()
                    .is_some_and(|text| width(text).is_some() || ["float", "double"].contains(&text))
            };
            if before != after && after.is_some() && !is_width(&after) {
                self.breaking(
                    "type-narrowed",
                    path,
                    format!("{name} must have the form {} now", after.unwrap_or_default()),
                    REMEDY,
                );
            }
        }
    }

    fn object(&mut self, path: &mut Vec<String>, old: &Map<String, Value>, new: &Map<String, Value>) {
        let none = Map::new();
        let named = |map: &Map<String, Value>| {
            map.get("properties").and_then(Value::as_object).unwrap_or(&none).clone()
        };
        let (before, after) = (named(old), named(new));
        let closed = |map: &Map<String, Value>| map.get("additionalProperties") == Some(&Value::Bool(false));
        let is_object = |map: &Map<String, Value>| types(map).is_none_or(|types| types.contains("object"));
        for (name, old_key) in &before {
            if is_compared_as_another(name, &before, &after) {
                continue;
            }
            path.push(name.clone());
            match after.get(name) {
                Some(new_key) => {
                    self.schema(path, old_key, new_key);
                    if may_be_absent(name, old) && may_be_absent(name, new) {
                        self.default(path, old_key, new_key);
                    }
                }
                None if !closed(new) => {
                    let what = format!("{} has no meaning any more", key(path));
                    self.push(Verdict::Compatible, "key-removed", path, what, "");
                }
                None => self.removed(path, old_key, &before, &after),
            }
            path.pop();
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            path.push(name.clone());
            self.push(Verdict::Compatible, "key-added", path, format!("{} is new", key(path)), "");
            path.pop();
        }
        // Names that are gone were reported as such.
        let mut known = clauses(old);
        for clause in &mut known {
            if clause.iter().any(|name| after.contains_key(name)) {
                clause.retain(|name| after.contains_key(name));
            }
        }
        for clause in clauses(new) {
            if known.iter().any(|known| known.is_subset(&clause)) {
                continue;
            }
            let Some(name) = clause.iter().next() else { continue };
            path.push(name.clone());
            let what = if clause.iter().any(|key| before.contains_key(key)) {
                "is required now"
            } else {
                "is new and required"
            };
            self.breaking(
                "key-required",
                path,
                format!("{} {what}", key(path)),
                "give it a default: `#[default = …]`, or make it an `Option`",
            );
            path.pop();
        }
        if is_object(old) && is_object(new) {
            match (old.get("additionalProperties"), new.get("additionalProperties")) {
                (Some(Value::Bool(false)), _) | (_, None | Some(Value::Bool(true))) => {}
                (_, Some(Value::Bool(false))) => {
                    self.breaking(
                        "keys-closed",
                        path,
                        format!("{} takes no other keys any more", key(path)),
                        "keep taking them",
                    );
                }
                (before, Some(after)) => {
                    path.push("*".to_owned());
                    self.schema(path, before.unwrap_or(&Value::Bool(true)), after);
                    path.pop();
                }
            }
        }
    }
}

impl Comparison<'_> {
    /// What an absent key means, then and now.
    fn default(&mut self, path: &[String], old: &Value, new: &Value) {
        // Null is nothing as well.
        let default = |root: &Value, schema: &Value| {
            resolved(root, schema).remove("default").filter(|value| !value.is_null())
        };
        let (before, after) = (default(self.old_root, old), default(self.new_root, new));
        if before != after {
            let shown = |value: Option<Value>| value.map_or("nothing".to_owned(), |value| value.to_string());
            let what =
                format!("an absent {} means {} where it meant {}", key(path), shown(after), shown(before));
            let remedy = "change it back; accept it only if whoever says nothing is better off with it";
            self.breaking("key-default-changed", path, what, remedy);
        }
    }

    /// A key that is not taken any more.
    fn removed(
        &mut self,
        path: &[String],
        old: &Value,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) {
        let name = key(path);
        if let Some(real) = alias_of(old) {
            // Where the key itself is gone, its other names go with it.
            if after.contains_key(real) || !before.contains_key(real) {
                let old_name = path.last().map(String::as_str).unwrap_or_default();
                self.breaking(
                    "key-alias-removed",
                    path,
                    format!("{name}, another name of `{real}`, is not taken any more"),
                    format!("keep `#[alias(\"{old_name}\")]` on `{real}`"),
                );
            }
        } else if old.get("deprecated") == Some(&Value::Bool(true)) {
            self.push(
                Verdict::Warning,
                "key-removed",
                path,
                format!("{name} is gone; it was deprecated in the last release"),
                "files that still have it are wrong now",
            );
        } else {
            self.breaking(
                "key-removed",
                path,
                format!("{name} is gone"),
                "keep it for a release with `#[deprecated]`; if it has another name now, write `#[alias(\"…\")]` on the new one",
            );
        }
    }
}

/// The key that this one is another name of.
fn alias_of(schema: &Value) -> Option<&str> {
    schema.get("x-alias-of")?.as_str()
}

/// Whether a key is, and was, another name of a key that is compared itself.
fn is_compared_as_another(name: &str, before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    let bare = |keys: &Map<String, Value>, name: &str| {
        let mut schema = keys.get(name)?.as_object()?.clone();
        schema.retain(|word, _| word != "deprecated" && word != "x-alias-of");
        Some(schema)
    };
    let Some(real) = after.get(name).and_then(alias_of) else { return false };
    let was = |one: &str, other: &str| before.get(one).and_then(alias_of) == Some(other);
    (was(name, real) || was(real, name))
        && bare(before, real).is_some_and(|schema| bare(before, name) == Some(schema))
        && bare(after, real).is_some_and(|schema| bare(after, name) == Some(schema))
}

/// Whether a mapping is right without this key.
fn may_be_absent(name: &str, mapping: &Map<String, Value>) -> bool {
    clauses(mapping).iter().all(|clause| !clause.contains(name))
}

const REMEDY: &str = "take both, or add another key beside it";

/// `key `config.baudrate``, or the configuration itself.
fn key(path: &[String]) -> String {
    if path.is_empty() { "the configuration".to_owned() } else { format!("key `{}`", path.join(".")) }
}

fn shown(number: Option<f64>) -> String {
    number.map_or_else(|| "anything".to_owned(), |number| number.to_string())
}
