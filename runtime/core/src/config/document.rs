//! YAML as a tree in which every key and value knows its place.
//!
//! # Which YAML
//!
//! Plain scalars are typed as YAML 1.2's core schema says, with these deliberate differences, each of
//! which keeps a file's meaning the same for readers of YAML 1.1 and 1.2:
//!
//! * Keys are always text: `on:` is the key `on`, `1:` is the key `1`.
//! * Unquoted `on`, `off`, `yes`, `no` stay text; a decoder that wants a boolean accepts them.
//! * `017` is text here, because one half of the world reads 17 and the other 15. A decoder that
//!   wants a number refuses it and says what to write.
//! * `115_200` is a number.
//! * Anchors, aliases and merge keys (`<<`) work; tags other than those of the core schema are
//!   problems, because nothing here could give them a meaning.
//!
//! # Budgets
//!
//! [`MAX_BYTES`] of text, [`MAX_NODES`] nodes and [`MAX_DEPTH`] levels after aliases were expanded,
//! [`MAX_EXPANDED_BYTES`] of text repeated by aliases, one document. Going over one is a problem like
//! any other.

use std::sync::Arc;

use serde_json::{Number, Value as Json};

use super::problem::Problems;
use super::source::{Source, Span};
use super::yaml;

/// Longest text that is read.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most nodes of a document, aliases expanded.
pub const MAX_NODES: usize = 50_000;

/// Deepest nesting, aliases expanded.
pub const MAX_DEPTH: usize = 64;

/// Most text that anchors and aliases may repeat.
pub const MAX_EXPANDED_BYTES: usize = 8 * 1024 * 1024;

/// What came out of [`parse`].
#[derive(Debug)]
pub struct Parsed {
    /// The tree, unless the text exceeds a budget or nothing of it is YAML. Behind a problem (a syntax
    /// error, a duplicate key, an unknown tag) the tree is what could be read, and worth checking further;
    /// mappings that lost something know that ([`Map::is_incomplete`]).
    pub document: Option<Document>,
    /// The text, needed to show further problems.
    pub source: Arc<Source>,
    /// Everything found so far.
    pub problems: Problems,
}

/// One YAML document.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text it was read from.
    pub source: Arc<Source>,
    /// The outermost value. [`Value::Null`] when the text holds nothing but comments.
    pub root: Node,
}

/// Reads a text. `name` is what messages call it, usually the path of the file.
pub fn parse(name: &str, text: &str) -> Parsed {
    yaml::read(name, text)
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Where it stands. What an alias stands for keeps the place of its anchor, because that is where
    /// it must be changed.
    pub span: Span,
    /// How an unquoted scalar that is not text was written: `0x1F`, `1.10`, `True`.
    pub(crate) raw: Option<Box<str>>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`, unquoted.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number, and whole ones that do not fit 128 bits.
    Float(f64),
    /// Text.
    Str {
        /// The text, escapes resolved.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Map),
}

/// How text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes on one or several lines.
    Plain,
    /// In single or double quotes, or with the tag `!!str`.
    Quoted,
    /// As a block, `|` or `>`.
    Block,
}

/// A mapping in the order of the file. No key occurs twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    pub(crate) entries: Vec<Entry>,
    /// Whether the file says more than could be read: what is missing may be there.
    pub(crate) incomplete: bool,
    /// Values behind what is no key: a list, an empty text. Their key is empty. That there is no key was reported; what
    /// is wrong with the values was not.
    pub(crate) nameless: Vec<Entry>,
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// What belongs to it.
    pub value: Node,
}

impl Entry {
    /// Where to point: at the value, or at the key when the value was left out.
    pub fn place(&self) -> Span {
        place(self.key_span, &self.value)
    }
}

/// Where to point: at the value, or at its key when the value was left out.
pub(super) fn place(key: Span, value: &Node) -> Span {
    if value.span.is_empty() { key } else { value.span }
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// All entries.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the file says more than could be read, so that nothing can be said about what is missing. The
    /// reason is among the problems of the file.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete || !self.nameless.is_empty()
    }

    /// Takes an entry out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Node {
    pub(crate) fn new(value: Value, span: Span) -> Self {
        Self { value, span, raw: None }
    }

    /// A mapping without entries, for a value that was left out.
    pub fn empty_map(span: Span) -> Self {
        Self::new(Value::Map(Map::default()), span)
    }

    /// Such a mapping that may have had entries which could not be read.
    pub(crate) fn incomplete_map(span: Span, incomplete: bool) -> Self {
        Self::new(Value::Map(Map { incomplete, ..Map::default() }), span)
    }

    /// Whether something stands here that could not be read at all, whatever it was.
    pub(crate) fn is_unknown(&self) -> bool {
        self.as_map().is_some_and(|map| map.is_incomplete() && map.is_empty())
    }

    /// Whether it is a mapping of which the file says more than could be read.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.as_map().is_some_and(Map::is_incomplete)
    }

    /// Whether it is null or was left out.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if it is text. A number is not.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A scalar as it was written, without quotes.
    pub fn as_written(&self) -> Option<&str> {
        match &self.value {
            Value::Str { text, .. } => Some(text),
            Value::Null if self.raw.is_none() => Some(""),
            _ => self.raw.as_deref(),
        }
    }

    /// The text of an unquoted scalar that is text.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        match &self.value {
            Value::Str { text, style: Style::Plain } => Some(text),
            _ => None,
        }
    }

    /// The value of a key, if it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The same value for JSON tools.
    ///
    /// Whole numbers beyond 64 bits lose precision; `.inf` and `.nan` become text, since JSON has no
    /// such numbers. What could not be read is left out.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => json_number(*value),
            Value::Float(value) => Number::from_f64(*value)
                .map_or_else(|| Json::String(self.raw.as_deref().unwrap_or(".nan").to_owned()), Json::Number),
            Value::Str { text, .. } => Json::String(text.clone()),
            Value::Seq(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(map) => {
                let known = map.iter().filter(|entry| !entry.value.is_unknown());
                Json::Object(known.map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "JSON numbers of that size are floating point")]
fn json_number(value: i128) -> Json {
    if let Ok(small) = i64::try_from(value) {
        return Json::from(small);
    }
    u64::try_from(value).map_or_else(|_| Json::from(value as f64), Json::from)
}
