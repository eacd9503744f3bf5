//! The description document: an interface as JSON, for generators that know no Rust.
//!
//! `schemas/interfaces/<name>.v<version>.json` says everything that a client in another language needs: the names in both
//! wire languages, parameters with types and defaults, messages, enums, and the words that people read. It is printed from
//! the same constant as the gRPC service; generators read the document and nothing else.
//!
//! A type is a text for what has no parts (`"u32"`, `"text"`), and an object with one key for what has
//! (`{"list": "u32"}`, `{"message": "Reading"}`). Defaults are JSON as upstream's calls carry it: lengths of time are ISO 8601
//! text, enums are words, numbers are numbers.

use std::collections::BTreeMap;

use jumpstarter_core::{
    describe::{self, EnumSpec, Framing, Kind, MessageSpec},
    dynamic,
};
use serde::{Deserialize, Serialize};

/// Form of this document. Raised when a reader of the old form would misunderstand the new one.
pub const FORMAT: u32 = 1;

/// One interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Form of the document, [`FORMAT`].
    pub format: u32,
    /// Protobuf package without name and version.
    pub package: String,
    /// Name in kebab case.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
    /// Name of the gRPC service within its package `<package>.<name>.v<version>`.
    pub service: String,
    /// What it is for.
    pub doc: String,
    /// Class path of the Python client.
    pub python: String,
    /// Whether a driver of this project that provides the interface has children.
    pub children: bool,
    /// Methods in order.
    pub methods: Vec<Method>,
    /// Structures that the methods use, by name.
    pub messages: Vec<Message>,
    /// Enums that they use, by name.
    pub enums: Vec<Enum>,
}

/// One method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Name in the gRPC service.
    pub rpc: String,
    /// Name in upstream's `DriverCall` and `StreamingDriverCall`, and of a byte stream in `RouterService.Stream`.
    pub call: String,
    /// How it answers.
    pub answers: Answers,
    /// Type of what it answers with, or of one item; `"unit"` for byte streams.
    pub returns: Type,
    /// Parameters in order, as upstream's calls send them.
    pub parameters: Vec<Parameter>,
    /// What it does.
    pub doc: String,
}

/// How a method answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// With one value.
    Value,
    /// With many values.
    Stream,
    /// With bytes in both directions.
    Bytes,
    /// With messages in both directions: bytes in pieces whose borders matter.
    Messages,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// Protobuf field number.
    pub tag: u32,
    /// How it is filled.
    pub role: Role,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// What an absent argument means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Whether it collects every further argument; its type is a list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// What it means.
    pub doc: String,
}

/// How a parameter is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// With a value.
    Value,
    /// With a file that the driver reads; its handle is a value.
    Source,
    /// With a file that the driver writes; its handle is a value.
    Sink,
}

/// A type. Whole numbers are named by their range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Nothing.
    Unit,
    /// True or false.
    Bool,
    /// Whole number of 32 bits.
    I32,
    /// Whole number of 64 bits.
    I64,
    /// Whole number of 8 bits without sign.
    U8,
    /// Whole number of 16 bits without sign.
    U16,
    /// Whole number of 32 bits without sign.
    U32,
    /// Whole number of 64 bits without sign.
    U64,
    /// Number of 32 bits.
    F32,
    /// Number of 64 bits.
    F64,
    /// Text.
    Text,
    /// Text of a JSON Schema format: `uuid`, `path`, `ip`, `date-time`, `uri`.
    Format(String),
    /// Bytes; upstream's calls carry them only if they are UTF-8.
    Bytes,
    /// Any JSON value.
    Json,
    /// Length of time.
    Duration,
    /// Handle of a file.
    Handle,
    /// Maybe absent.
    Optional(Box<Type>),
    /// Many.
    List(Box<Type>),
    /// By text.
    Map(Box<Type>),
    /// A structure of this name.
    Message(String),
    /// An enum of this name.
    Enum(String),
}

/// A structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Name.
    pub name: String,
    /// Whether upstream's calls carry it as the list of its fields.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// What it is.
    pub doc: String,
}

/// One field of a structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Protobuf field number.
    pub tag: u32,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// What an absent field means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Unit of a number; shown to people, not part of the value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What it means.
    pub doc: String,
}

/// An enum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enum {
    /// Name.
    pub name: String,
    /// Values in order.
    pub values: Vec<EnumValue>,
    /// What it is.
    pub doc: String,
}

/// One value of an enum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumValue {
    /// The word in upstream's calls.
    pub name: String,
    /// Protobuf number, from 1.
    pub number: i32,
    /// What it means.
    pub doc: String,
}

/// Structures and enums that were met, by name.
#[derive(Default)]
struct Met {
    messages: BTreeMap<&'static str, Message>,
    enums: BTreeMap<&'static str, Enum>,
}

impl Description {
    /// The description of an interface; `children` as in [`Description::children`].
    pub fn of(interface: &describe::Interface, children: bool) -> Self {
        let mut met = Met::default();
        let methods = interface.methods.iter().map(|method| met.method(method)).collect();
        Self {
            format: FORMAT,
            package: interface.package.to_owned(),
            name: interface.name.to_owned(),
            version: interface.version,
            service: interface.service.to_owned(),
            doc: interface.doc.to_owned(),
            python: interface.python.to_owned(),
            children,
            methods,
            messages: met.messages.into_values().collect(),
            enums: met.enums.into_values().collect(),
        }
    }

    /// The structure of this name.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.name == name)
    }
}

impl Met {
    fn method(&mut self, method: &describe::Method) -> Method {
        let wired = method.params.iter().filter(|param| param.role != describe::Role::Injected);
        let parameters = wired.map(|param| Parameter {
            name: param.name.to_owned(),
            tag: param.tag,
            role: match param.role {
                describe::Role::Source => Role::Source,
                describe::Role::Sink => Role::Sink,
                describe::Role::Wire | describe::Role::Injected => Role::Value,
            },
            ty: self.ty(param.ty),
            default: param.default.map(|default| dynamic::json(param.ty, &default())),
            rest: param.rest,
            doc: param.doc.to_owned(),
        });
        Method {
            rpc: method.rpc.to_owned(),
            call: method.export.to_owned(),
            answers: match (method.kind, method.framing) {
                (Kind::Unary, _) => Answers::Value,
                (Kind::ServerStream, _) => Answers::Stream,
                (Kind::Bytes, Framing::Bytes) => Answers::Bytes,
                (Kind::Bytes, Framing::Messages) => Answers::Messages,
            },
            parameters: parameters.collect(),
            returns: self.ty(method.ret),
            doc: method.doc.to_owned(),
        }
    }

    fn ty(&mut self, ty: describe::Type) -> Type {
        use describe::Type as T;
        match ty {
            T::Unit => Type::Unit,
            T::Bool => Type::Bool,
            T::I32 => Type::I32,
            T::I64 => Type::I64,
            T::U8 => Type::U8,
            T::U16 => Type::U16,
            T::U32 => Type::U32,
            T::U64 => Type::U64,
            T::F32 => Type::F32,
            T::F64 => Type::F64,
            T::Str => Type::Text,
            T::Format(format) => Type::Format(format.to_owned()),
            T::Bytes => Type::Bytes,
            T::Json => Type::Json,
            T::Duration => Type::Duration,
            T::Handle => Type::Handle,
            T::Opt(inner) => Type::Optional(Box::new(self.ty(*inner))),
            T::List(item) => Type::List(Box::new(self.ty(*item))),
            T::Map(item) => Type::Map(Box::new(self.ty(*item))),
            T::Message(spec) => Type::Message(self.message(spec())),
            T::Enum(spec) => Type::Enum(self.enumeration(spec())),
        }
    }

    fn message(&mut self, spec: &'static MessageSpec) -> String {
        if !self.messages.contains_key(spec.name) {
            let message = Message {
                name: spec.name.to_owned(),
                list: spec.list,
                fields: Vec::new(),
                doc: spec.doc.to_owned(),
            };
            // Known before its fields are looked at: it may contain itself.
            self.messages.insert(spec.name, message);
            let fields = spec.fields.iter().map(|field| Field {
                name: field.name.to_owned(),
                tag: field.tag,
                ty: self.ty(field.ty),
                default: field.default.map(|default| dynamic::json(field.ty, &default())),
                unit: field.unit.to_owned(),
                doc: field.doc.to_owned(),
            });
            let fields = fields.collect();
            if let Some(message) = self.messages.get_mut(spec.name) {
                message.fields = fields;
            }
        }
        spec.name.to_owned()
    }

    fn enumeration(&mut self, spec: &'static EnumSpec) -> String {
        let values = spec.values.iter().map(|(name, number, doc)| EnumValue {
            name: (*name).to_owned(),
            number: *number,
            doc: (*doc).to_owned(),
        });
        let known = Enum { name: spec.name.to_owned(), values: values.collect(), doc: spec.doc.to_owned() };
        self.enums.insert(spec.name, known);
        spec.name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_back_as_what_was_written() {
        for client in jumpstarter_interfaces::CLIENTS {
            let description = Description::of(client.interface, true);
            let text = serde_json::to_string(&description).expect("JSON");
            let read: Description = serde_json::from_str(&text).expect("the same");
            assert_eq!(read, description);
        }
    }

    #[test]
    fn a_document_says_what_a_generator_needs() {
        let document =
            serde_json::to_value(Description::of(&jumpstarter_interfaces::machine::MACHINE, false))
                .expect("JSON");
        assert_eq!(document["format"], 1);
        let wait = &document["methods"][1];
        assert_eq!(wait["rpc"], "WaitFor");
        assert_eq!(wait["call"], "wait_for");
        assert_eq!(wait["returns"], serde_json::json!({ "message": "MachineState" }));
        let timeout = serde_json::json!({
            "name": "timeout", "tag": 2, "role": "value", "type": "duration", "default": "PT30S", "doc": "How long at most.",
        });
        assert_eq!(wait["parameters"][1], timeout);
        assert_eq!(document["methods"][2]["answers"], "stream");
        assert_eq!(document["methods"][3]["parameters"][0]["role"], "sink");
        let size =
            serde_json::json!({ "name": "size", "tag": 1, "type": "u64", "unit": "B", "doc": "Size." });
        assert_eq!(document["messages"][0]["fields"][0], size);
        assert_eq!(document["enums"][0]["values"][4]["name"], "prompt");
    }
}
