//! Messages as trees: decoded by their descriptors, printable, compared by meaning.
//!
//! A [`Tree`] knows nothing of the order of map entries, and shows what protobuf's own JSON hides: fields that are not
//! in the descriptors, and a `Value` without a kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    Value,
};

/// A decoded message or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// `null` of a `google.protobuf.Value`.
    Null,
    /// A `google.protobuf.Value` without a kind.
    Unset,
    /// A boolean.
    Bool(bool),
    /// A floating point number.
    Number(f64),
    /// An integer of any width.
    Integer(i128),
    /// Text, or the name of an enum's value.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// A repeated field or a list value.
    List(Vec<Tree>),
    /// A message by field names, a map field, a struct value.
    Map(BTreeMap<String, Tree>),
}

static POOL: LazyLock<Result<DescriptorPool, String>> = LazyLock::new(|| {
    DescriptorPool::decode(jumpstarter_protocol::DESCRIPTORS).map_err(|error| error.to_string())
});

/// Which end of an RPC a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to server.
    Request,
    /// Server to client.
    Response,
}

/// The type of the messages of an RPC (`/package.Service/Method`); `None` when no such RPC is described.
pub fn type_of(path: &str, direction: Direction) -> Option<MessageDescriptor> {
    let pool = POOL.as_ref().ok()?;
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let method = pool.get_service_by_name(service)?.methods().find(|known| known.name() == method)?;
    Some(match direction {
        Direction::Request => method.input(),
        Direction::Response => method.output(),
    })
}

/// A message type by its full name.
pub fn type_named(name: &str) -> Option<MessageDescriptor> {
    POOL.as_ref().ok()?.get_message_by_name(name)
}

impl Tree {
    /// Decodes a message of an RPC. Bytes that are no message of its type, and messages of RPCs that nobody knows, stay
    /// bytes.
    pub fn decode(path: &str, direction: Direction, bytes: &Bytes) -> Self {
        type_of(path, direction)
            .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes.clone()).ok())
            .map_or_else(|| Self::Bytes(bytes.clone()), |message| Self::of_message(&message))
    }

    fn of_message(message: &DynamicMessage) -> Self {
        match message.descriptor().full_name() {
            "google.protobuf.Value" => {
                let kind = message.fields().next().map(|(field, value)| Self::of_field(&field, value));
                return kind.unwrap_or(Self::Unset);
            }
            "google.protobuf.Struct" | "google.protobuf.ListValue" => {
                let inner = message.fields().next().map(|(field, value)| Self::of_field(&field, value));
                return inner.unwrap_or_else(|| {
                    if message.descriptor().name() == "Struct" {
                        Self::Map(BTreeMap::new())
                    } else {
                        Self::List(Vec::new())
                    }
                });
            }
            _ => {}
        }
        let mut fields: BTreeMap<String, Self> = message
            .fields()
            .map(|(field, value)| (field.name().to_owned(), Self::of_field(&field, value)))
            .collect();
        for unknown in message.unknown_fields() {
            let mut bytes = Vec::new();
            unknown.encode(&mut bytes);
            fields.insert(format!("(unknown field {})", unknown.number()), Self::Bytes(bytes.into()));
        }
        Self::Map(fields)
    }

    fn of_field(field: &FieldDescriptor, value: &Value) -> Self {
        match value {
            Value::List(items) if field.cardinality() == Cardinality::Repeated => {
                Self::List(items.iter().map(|item| Self::of_value(&field.kind(), item)).collect())
            }
            Value::Map(entries) => {
                let kind = match field.kind() {
                    Kind::Message(entry) => entry.map_entry_value_field().kind(),
                    other => other,
                };
                let entries = entries.iter().map(|(key, value)| {
                    let key = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
                    (key, Self::of_value(&kind, value))
                });
                Self::Map(entries.collect())
            }
            single => Self::of_value(&field.kind(), single),
        }
    }

    fn of_value(kind: &Kind, value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::I32(value) => Self::Integer((*value).into()),
            Value::I64(value) => Self::Integer((*value).into()),
            Value::U32(value) => Self::Integer((*value).into()),
            Value::U64(value) => Self::Integer((*value).into()),
            Value::F32(value) => Self::Number((*value).into()),
            Value::F64(value) => Self::Number(*value),
            Value::String(value) => Self::Text(value.clone()),
            Value::Bytes(value) => Self::Bytes(value.clone()),
            Value::EnumNumber(number) => match kind {
                Kind::Enum(descriptor) if descriptor.full_name() == "google.protobuf.NullValue" => Self::Null,
                Kind::Enum(descriptor) => descriptor.get_value(*number).map_or_else(
                    || Self::Integer((*number).into()),
                    |known| Self::Text(known.name().to_owned()),
                ),
                _ => Self::Integer((*number).into()),
            },
            Value::Message(message) => Self::of_message(message),
            Value::List(items) => Self::List(items.iter().map(|item| Self::of_value(kind, item)).collect()),
            Value::Map(_) => Self::Text("(a map inside a map)".to_owned()),
        }
    }

    /// The entry of a map, or of a message by the field's name.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The text of a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// JSON text as a tree.
    pub fn of_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(value) => Self::Number(value.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            serde_json::Value::Object(entries) => {
                Self::Map(entries.iter().map(|(key, value)| (key.clone(), Self::of_json(value))).collect())
            }
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Unset => f.write_str("(unset)"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) if bytes.len() > 200 => {
                write!(f, "{} bytes starting b\"{}\"", bytes.len(), bytes[..200].escape_ascii())
            }
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}
