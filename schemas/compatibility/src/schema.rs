//! JSON Schemas of what people write: which files that were right are wrong now.

mod words;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::change::{Breaks, Change, Changes, Verdict};
use words::{Range, branches, choices, clauses, reference, resolved, spelled, types, width};

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
    let mut comparison = Comparison { old_root, new_root, found: Vec::new(), open: BTreeSet::new() };
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
        what: String,
        remedy: impl Into<String>,
    ) {
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
        if old.get("default") != new.get("default") && path_is_key(path) {
            let shown = |map: &Map<String, Value>| {
                map.get("default").map_or_else(|| "nothing".to_owned(), ToString::to_string)
            };
            self.breaking(
                "key-default-changed",
                path,
                format!("an absent {name} means {} where it meant {}", shown(new), shown(old)),
                "change it back; accept it only if whoever says nothing is better off with it",
            );
        }
        match (choices(old), choices(new)) {
            (Some(old), Some(new)) => {
                for gone in old.difference(&new) {
                    self.breaking(
                        "value-removed",
                        path,
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
        let (before, after) = (branches(old), branches(new));
        if before.len() + after.len() > 2 {
            self.branches(path, &before, &after);
        } else {
            self.types(path, old, new);
            self.bounds(path, old, new);
            self.object(path, old, new);
            if let (Some(old), Some(new)) = (old.get("items"), new.get("items")) {
                path.push("items".to_owned());
                self.schema(path, old, new);
                path.pop();
            }
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

    /// Each form that was right must be right in one of the new forms.
    fn branches(&mut self, path: &[String], old: &[Value], new: &[Value]) {
        for before in old {
            let fits = new.iter().any(|after| {
                let mut attempt = Comparison {
                    old_root: self.old_root,
                    new_root: self.new_root,
                    found: Vec::new(),
                    open: self.open.clone(),
                };
                attempt.schema(&mut path.to_vec(), before, after);
                attempt.found.iter().all(|found| found.verdict != Verdict::Breaking)
            });
            if !fits {
                let form = spelled(&resolved(self.old_root, before));
                self.breaking(
                    "type-narrowed",
                    path,
                    format!("{} cannot be {form} any more", key(path)),
                    REMEDY,
                );
            }
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
            path.push(name.clone());
            match after.get(name) {
                Some(new_key) => self.schema(path, old_key, new_key),
                None if !closed(new) => {
                    self.push(Verdict::Compatible, "key-removed", path, format!("{} has no meaning any more", key(path)), "");
                }
                None if old_key.get("deprecated") == Some(&Value::Bool(true)) => self.push(
                    Verdict::Warning,
                    "key-removed",
                    path,
                    format!("{} is gone; it was deprecated in the last release", key(path)),
                    "files that still have it are wrong now",
                ),
                None => self.breaking(
                    "key-removed",
                    path,
                    format!("{} is gone", key(path)),
                    "keep it for a release with `#[deprecated]`; if it has another name now, write `#[alias(\"…\")]` on the new one",
                ),
            }
            path.pop();
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            path.push(name.clone());
            self.push(Verdict::Compatible, "key-added", path, format!("{} is new", key(path)), "");
            path.pop();
        }
        let known = clauses(old);
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
            // What it meant when it was absent is beside the point.
            self.found.retain(|found| found.rule != "key-default-changed" || found.path != *path);
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

const REMEDY: &str = "take both, or add another key beside it";

/// `key `config.baudrate``, or the configuration itself.
fn key(path: &[String]) -> String {
    if path.is_empty() { "the configuration".to_owned() } else { format!("key `{}`", path.join(".")) }
}

fn path_is_key(path: &[String]) -> bool {
    path.last().is_some_and(|last| last != "items" && last != "*")
}

fn shown(number: Option<f64>) -> String {
    number.map_or_else(|| "anything".to_owned(), |number| number.to_string())
}
