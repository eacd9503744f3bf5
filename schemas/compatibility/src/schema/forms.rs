//! The alternative forms of a value: `anyOf`, `oneOf`, and what may be null. Each form that was right is compared with the
//! form of today that stands for it, so that what changed within is found where it is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Comparison, Found, REMEDY, Verdict, key,
    words::{choices, reference, resolved, spelled, types},
};

/// Words that belong to the whole and not to one form of it.
const OF_THE_WHOLE: &[&str] = &["default", "deprecated"];

/// Alternatives within alternatives; schemas may contain themselves.
const DEPTH: usize = 8;

/// One form of a value.
struct Form {
    /// What it is called in the schema.
    name: Option<String>,
    schema: Value,
    resolved: Map<String, Value>,
}

fn alternatives(schema: &Map<String, Value>) -> Option<&Vec<Value>> {
    ["anyOf", "oneOf"].iter().find_map(|word| schema.get(*word)?.as_array())
}

/// Whether a value has several forms, written one by one.
pub(super) fn has_alternatives(schema: &Map<String, Value>) -> bool {
    alternatives(schema).is_some()
}

/// The forms of a value; a schema without alternatives has one, or one for each of its types.
fn forms(root: &Value, name: Option<&str>, schema: &Value, depth: usize, found: &mut Vec<Form>) {
    let mut whole = resolved(root, schema);
    let name = reference(schema).or(name);
    if let Some(values) = choices(&whole) {
        // A list of values is one form, however it is written.
        let values = values.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        whole.retain(|word, _| !["anyOf", "oneOf", "const"].contains(&word.as_str()));
        whole.insert("enum".to_owned(), Value::Array(values));
        let (name, schema) = (name.map(str::to_owned), Value::Object(whole.clone()));
        found.push(Form { name, schema, resolved: whole });
        return;
    }
    if depth < DEPTH
        && let Some(parts) = alternatives(&whole)
    {
        for part in parts {
            forms(root, None, part, depth + 1, found);
        }
        return;
    }
    let name = name.map(str::to_owned);
    let several = types(&whole).filter(|types| types.len() > 1);
    let Some(several) = several else {
        found.push(Form { name, schema: schema.clone(), resolved: whole });
        return;
    };
    for ty in several {
        let mut one = whole.clone();
        one.insert("type".to_owned(), Value::String(ty));
        found.push(Form { name: name.clone(), schema: Value::Object(one.clone()), resolved: one });
    }
}

fn of(root: &Value, schema: &Map<String, Value>) -> Vec<Form> {
    let mut plain = schema.clone();
    plain.retain(|word, _| !OF_THE_WHOLE.contains(&word.as_str()));
    let mut found = Vec::new();
    forms(root, None, &Value::Object(plain), 0, &mut found);
    found
}

impl Form {
    /// Its types; a whole number is a number. None for anything.
    fn kind(&self) -> Option<BTreeSet<String>> {
        let simple = |ty: String| if ty == "integer" { "number".to_owned() } else { ty };
        let object = || self.resolved.get("properties").map(|_| BTreeSet::from(["object".to_owned()]));
        types(&self.resolved).map(|types| types.into_iter().map(simple).collect()).or_else(object)
    }

    fn is_kin(&self, other: &Self) -> bool {
        match (self.kind(), other.kind()) {
            (Some(a), Some(b)) => !a.is_disjoint(&b),
            _ => true,
        }
    }

    /// Keys with one possible value, by which forms of a mapping are told apart.
    fn marks(&self) -> BTreeSet<(String, String)> {
        let properties = self.resolved.get("properties").and_then(Value::as_object);
        let marks = properties.into_iter().flatten().filter_map(|(name, schema)| {
            let mark = schema.get("const").or_else(|| match schema.get("enum")?.as_array()?.as_slice() {
                [one] => Some(one),
                _ => None,
            });
            Some((name.clone(), mark?.to_string()))
        });
        marks.collect()
    }

    /// Whether it is surely the same form, whatever changed within.
    fn is_same(&self, other: &Self) -> bool {
        (self.name.is_some() && self.name == other.name)
            || (!self.marks().is_empty() && self.marks() == other.marks())
    }
}

impl Comparison<'_> {
    /// Each form that was right must be right today: in the form of the same name, or in the one of its kind that takes
    /// most of it.
    pub(super) fn forms(&mut self, path: &[String], old: &Map<String, Value>, new: &Map<String, Value>) {
        let (before, after) = (of(self.old_root, old), of(self.new_root, new));
        let mut gone = Vec::new();
        for then in &before {
            if then.kind().is_none() && after.iter().all(|now| now.kind().is_some()) {
                gone.push("anything".to_owned());
                continue;
            }
            let kin: Vec<_> = after.iter().filter(|now| now.is_kin(then)).collect();
            let same: Vec<_> = kin.iter().copied().filter(|now| now.is_same(then)).collect();
            let candidates = if same.is_empty() { kin } else { same };
            let attempts = candidates.into_iter().map(|now| self.attempt(path, then, now));
            let breaks =
                |found: &Vec<Found>| found.iter().filter(|found| found.verdict == Verdict::Breaking).count();
            match attempts.min_by_key(breaks) {
                Some(found) => self.found.extend(found),
                None => gone.push(spelled(&then.resolved)),
            }
        }
        if !gone.is_empty() {
            let what = format!("{} cannot be {} any more", key(path), gone.join(" or "));
            self.breaking("type-narrowed", path, what, REMEDY);
        }
    }

    fn attempt(&self, path: &[String], then: &Form, now: &Form) -> Vec<Found> {
        let mut attempt = Comparison {
            old_root: self.old_root,
            new_root: self.new_root,
            found: Vec::new(),
            open: self.open.clone(),
            places: self.places.clone(),
        };
        attempt.schema(&mut path.to_vec(), &then.schema, &now.schema);
        attempt.found
    }
}
