//! What has changed between two states of an object, as a JSON merge patch (RFC 7396).
//!
//! Several programs write to one object. Whoever writes a whole object takes back what another has written in between, and
//! removes the fields that a newer version knows and this one does not. So only what changed is written.

use serde::Serialize;
use serde_json::{Map, Value};

/// What must be said to get from `old` to `new`; null when they are equal.
pub fn between<T: Serialize>(old: &T, new: &T) -> Value {
    // Resources are maps with text keys: they can be printed.
    let value = |object: &T| serde_json::to_value(object).unwrap_or_default();
    difference(&value(old), &value(new)).unwrap_or_default()
}

fn difference(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (key, value) in new {
                match old.get(key) {
                    Some(known) => patch.extend(difference(known, value).map(|value| (key.clone(), value))),
                    None => drop(patch.insert(key.clone(), value.clone())),
                }
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (old, new) => (old != new).then(|| new.clone()),
    }
}

/// Does what a patch says.
pub fn apply(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(object) = object else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.remove(key);
        } else {
            apply(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
