//! Objects, their names, and what may be changed.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use jumpstarter_core::selector::{Labels, Selector, is_label_key, is_label_value};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Revision, StoreError};

/// Longest name of an object, in characters (Kubernetes, a DNS subdomain of RFC 1123).
const LONGEST_NAME: usize = 253;

/// Longest name of a namespace, in characters (Kubernetes, a DNS label of RFC 1123).
const LONGEST_NAMESPACE: usize = 63;

/// Which object. Sorted by kind, namespace, name: the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What kind of thing: `Lease`.
    pub kind: String,
    /// Where its name is known.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
}

impl Key {
    /// The name of an object.
    pub fn new(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Whether an object can have this key.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], with what is wrong and what may stand there instead.
    pub fn check(&self) -> Result<(), StoreError> {
        let dns = |text: &str, longest: usize, dots: bool| {
            let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            text.len() <= longest
                && text.split('.').all(|part| {
                    let bytes = part.as_bytes();
                    bytes.first().is_some_and(|byte| good(*byte))
                        && bytes.last().is_some_and(|byte| good(*byte))
                        && bytes.iter().all(|byte| good(*byte) || *byte == b'-')
                })
                && (dots || !text.contains('.'))
        };
        if self.kind.is_empty() || !self.kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(StoreError::Invalid(format!("`{}` is not a kind of object", self.kind)));
        }
        if !dns(&self.namespace, LONGEST_NAMESPACE, false) {
            return Err(StoreError::Invalid(format!(
                "`{}` cannot be a namespace: use lower-case letters, digits and `-`, with a letter or digit at both ends",
                self.namespace
            )));
        }
        if !dns(&self.name, LONGEST_NAME, true) {
            return Err(StoreError::Invalid(format!(
                "`{}` cannot be a name: use lower-case letters, digits, `-` and `.`, with a letter or digit at both ends",
                self.name
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// An object as it is to become.
#[derive(Clone, Debug, PartialEq)]
pub struct New {
    /// Its name.
    pub key: Key,
    /// For selectors.
    pub labels: Labels,
    /// For everything else.
    pub annotations: BTreeMap<String, String>,
    /// What is wanted.
    pub spec: Value,
    /// What is so, if anything is known already.
    pub status: Value,
}

impl New {
    /// With nothing but a spec.
    pub fn with_spec(key: Key, spec: Value) -> Self {
        Self { key, labels: Labels::new(), annotations: BTreeMap::new(), spec, status: Value::Null }
    }
}

/// An object as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Another object of the same name has another one.
    pub uid: Uuid,
    /// The store's revision at its last change.
    pub revision: Revision,
    /// How often its spec was changed, from 1.
    pub generation: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was deleted. Only an event shows such an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
    /// For selectors.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// For everything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What is wanted.
    pub spec: Value,
    /// What is so.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub status: Value,
}

impl Object {
    /// About how many bytes it takes, as text.
    pub(crate) fn weight(&self) -> usize {
        let texts = |map: &BTreeMap<String, String>| -> usize {
            map.iter().map(|(key, value)| key.len() + value.len() + 8).sum()
        };
        let Key { kind, namespace, name } = &self.key;
        let fixed = 256 + kind.len() + namespace.len() + name.len();
        fixed + texts(&self.labels) + texts(&self.annotations) + weight(&self.spec) + weight(&self.status)
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 8,
        Value::Array(values) => 8 + values.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 8 + map.iter().map(|(key, value)| key.len() + 8 + weight(value)).sum::<usize>(),
    }
}

/// Parts of an object that are to change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// Labels to be set, or removed.
    pub labels: BTreeMap<String, Option<String>>,
    /// Annotations to be set, or removed.
    pub annotations: BTreeMap<String, Option<String>>,
    /// What of the spec (RFC 7396: null removes, a list is replaced as a whole); null for nothing.
    pub spec: Value,
    /// Only if it is still this object, and not another of its name.
    pub uid: Option<Uuid>,
    /// Only if it is still at this revision.
    pub revision: Option<Revision>,
    /// How soon a crash may not take it back any more.
    pub durability: Durability,
}

/// A merge patch of RFC 7396.
pub(crate) fn merge(value: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(map) = value {
        for (key, patch) in patch {
            if patch.is_null() {
                map.remove(&key);
            } else {
                merge(map.entry(key).or_insert(Value::Null), patch);
            }
        }
    }
}

/// When a change must be safe from a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before it is answered.
    #[default]
    Now,
    /// With the next change that must, or when the store is closed. Until then everybody sees it, and a crash takes it back.
    /// For what is soon said again: that an exporter is still there. And for what nobody hears of before another change that
    /// must: after a crash, a change is there only if all before it are.
    Soon,
}

/// Checks what cannot be stored anywhere.
pub(crate) fn check(key: &Key, labels: &Labels) -> Result<(), StoreError> {
    key.check()?;
    for (key, value) in labels {
        if !is_label_key(key) {
            return Err(StoreError::Invalid(format!("`{key}` is not the key of a label")));
        }
        if !is_label_value(value) {
            return Err(StoreError::Invalid(format!("`{value}` is not the value of a label (`{key}`)")));
        }
    }
    Ok(())
}

/// Which objects a list is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Their kind.
    pub kind: String,
    /// Where, or everywhere.
    pub namespace: Option<String>,
    /// Their labels.
    pub selector: Selector,
    /// How many at most; 0 is all of them.
    pub limit: usize,
    /// What the page before said about this one.
    pub page: Option<String>,
}

/// What a watch is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The kind of object.
    pub kind: String,
    /// Where, or everywhere.
    pub namespace: Option<String>,
}

impl Scope {
    /// All objects of a kind.
    pub fn all(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: None }
    }

    /// Whether it is about this object.
    pub fn contains(&self, key: &Key) -> bool {
        key.kind == self.kind && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

/// Some of the objects of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The objects.
    pub items: Vec<Arc<Object>>,
    /// The store's revision when they were read: where a watch can begin.
    pub revision: Revision,
    /// What to say to get the next page; absent at the end.
    pub next: Option<String>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// It was made.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The object afterwards; a deleted one as it was, with the revision of its end.
    #[serde(with = "shared")]
    pub object: Arc<Object>,
}

impl Event {
    /// The store's revision afterwards.
    pub fn revision(&self) -> &Revision {
        &self.object.revision
    }
}

/// An object that many hold is written like any other.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Object;

    pub(super) fn serialize<S: Serializer>(object: &Arc<Object>, serializer: S) -> Result<S::Ok, S::Error> {
        object.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Object>, D::Error> {
        Object::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_does_what_the_examples_of_its_rfc_do() {
        // RFC 7396, appendix A.
        for (mut value, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            merge(&mut value, patch);
            assert_eq!(value, result);
        }
    }
}
