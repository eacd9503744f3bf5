//! What is kept of interfaces and drivers: everything that a peer or a file depends on.

use std::collections::BTreeMap;

use jumpstarter_core::{
    config::CommonConfig,
    describe::{self, Exclusive, Framing, Kind, MessageSpec, Role},
    descriptor,
    driver::{DriverFactory, Need},
    dynamic,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::types::Type;
use crate::{Error, schema};

/// Interfaces, drivers and files of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// By protobuf package, for example `jumpstarter.driver.power.v1`.
    pub interfaces: BTreeMap<String, Interface>,
    /// By the name in `type:`.
    pub drivers: BTreeMap<String, Driver>,
    /// JSON Schemas of what is the same for every driver and file, by name.
    pub schemas: BTreeMap<String, Value>,
    /// The emitted `.proto` files, by path.
    pub protos: BTreeMap<String, String>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Protobuf package, without name and version.
    pub package: String,
    /// Name in kebab case.
    pub name: String,
    /// Version.
    pub version: u32,
    /// Name of the gRPC service.
    pub service: String,
    /// Full names of further services with the same meaning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Class of upstream's Python client.
    pub python: String,
    /// In declaration order.
    pub methods: Vec<Method>,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub messages: BTreeMap<String, Message>,
    /// By name: the values by their texts, with their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub enums: BTreeMap<String, BTreeMap<String, i32>>,
}

/// One method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Name in upstream's calls.
    pub export: String,
    /// Name in the gRPC service.
    pub rpc: String,
    /// Earlier names that still work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed_from: Vec<Names>,
    /// `unary`, `server stream`, `bytes` or `messages`.
    pub kind: String,
    /// `wait` or `fail`, where calls exclude each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<String>,
    /// Whether every driver has to have it: the trait has no body for it.
    pub required: bool,
    /// In the order of their positions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// What it answers; for a stream, the type of one item.
    pub returns: Type,
}

/// The two names of a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// In upstream's calls.
    pub export: String,
    /// In the gRPC service.
    pub rpc: String,
}

/// How something may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It may not.
    Required,
    /// Absent is a value of its own.
    Optional,
    /// Absent is the default.
    Default,
    /// A list or map: absent is empty in protobuf, and missing in upstream's calls.
    Repeated,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Name.
    pub name: String,
    /// Position in upstream's calls, from 1.
    pub position: u32,
    /// Field number.
    pub tag: u32,
    /// Type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// How it may be absent.
    pub presence: Presence,
    /// What an absent one means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether it collects every further argument.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Whether upstream's calls carry it as a list of its fields.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// In declaration order.
    pub fields: Vec<Field>,
    /// Numbers that may not be used again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved_tags: Vec<u32>,
    /// Names that may not be used again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved_names: Vec<String>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Field number.
    pub tag: u32,
    /// Type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// How it may be absent.
    pub presence: Presence,
    /// What an absent one means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Unit of a number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// One driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    /// Further names in `type:`.
    pub aliases: Vec<String>,
    /// Protobuf packages of the interfaces that it provides.
    pub provides: Vec<String>,
    /// Class of upstream's Python client.
    pub client: String,
    /// By name.
    pub children: BTreeMap<String, Child>,
    /// JSON Schema of its configuration, without documentation.
    pub config: Value,
}

/// One child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Further accepted names.
    pub also: Vec<String>,
    /// Protobuf package of the interface that it must provide; null for any.
    pub interface: Option<String>,
    /// `required`, `optional`, `made` (by the driver itself) or `rest` (every child that nothing else names).
    pub need: String,
}

impl Record {
    /// The record of these interfaces, and of these drivers with the interfaces that they provide.
    pub fn of(
        interfaces: &[&'static describe::Interface],
        drivers: &[&dyn DriverFactory],
    ) -> Result<Self, Error> {
        let provided = drivers.iter().flat_map(|driver| driver.spec().provides.iter().copied());
        let mut record = Self::default();
        for interface in interfaces.iter().copied().chain(provided) {
            let text = |error: &dyn std::fmt::Display| {
                Error::new(format!("interface `{}`: {error}", interface.name))
            };
            let descriptor = descriptor::file(interface).map_err(|error| text(&error))?;
            let proto = jumpstarter_codegen::proto_text::print(&descriptor.set(), &descriptor.name)
                .map_err(|error| text(&error))?;
            let (id, recorded) = (interface.proto_package(), Interface::of(interface));
            if record.interfaces.get(&id).is_some_and(|earlier| *earlier != recorded) {
                return Err(Error::new(format!(
                    "two different interfaces are called {id}: give one of them another name or version"
                )));
            }
            record.protos.insert(descriptor.name.clone(), proto);
            record.interfaces.insert(id, recorded);
        }
        record.drivers =
            drivers.iter().map(|driver| (driver.spec().type_name.to_owned(), Driver::of(*driver))).collect();
        let common = schema::without_documentation(schemars::schema_for!(CommonConfig).to_value());
        record.schemas.insert("common-config".to_owned(), common);
        Ok(record)
    }

    /// With the JSON Schema of one more kind of file.
    #[must_use]
    pub fn with_schema(mut self, name: impl Into<String>, schema: Value) -> Self {
        self.schemas.insert(name.into(), schema::without_documentation(schema));
        self
    }
}

impl Interface {
    /// The record of this interface.
    pub fn of(interface: &describe::Interface) -> Self {
        let mut types = Types::default();
        let methods = interface.methods.iter().map(|method| Method::of(method, &mut types)).collect();
        Self {
            package: interface.package.to_owned(),
            name: interface.name.to_owned(),
            version: interface.version,
            service: interface.service.to_owned(),
            also: interface.also.iter().map(ToString::to_string).collect(),
            python: interface.python.to_owned(),
            methods,
            messages: types.messages,
            enums: types.enums,
        }
    }

    /// Full name of its gRPC service.
    pub(crate) fn full_service(&self) -> String {
        let Self { package, name, version, service, .. } = self;
        format!("{package}.{}.v{version}.{service}", name.replace('-', "_"))
    }

    /// What messages call it.
    pub(crate) fn title(&self) -> String {
        if self.version == 1 { self.name.clone() } else { format!("{} v{}", self.name, self.version) }
    }
}

/// Types that were met on the way.
#[derive(Default)]
struct Types {
    messages: BTreeMap<String, Message>,
    enums: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Types {
    /// The type, and everything that it is made of.
    fn meet(&mut self, ty: describe::Type) -> Type {
        match ty {
            describe::Type::Opt(inner) => Type::Optional(Box::new(self.meet(*inner))),
            describe::Type::List(item) => Type::List(Box::new(self.meet(*item))),
            describe::Type::Map(item) => Type::Map(Box::new(self.meet(*item))),
            describe::Type::Message(spec) => {
                let spec = spec();
                self.message(spec);
                Type::Message(spec.name.to_owned())
            }
            describe::Type::Enum(spec) => {
                let spec = spec();
                let values = spec.values.iter().map(|(text, number, _)| ((*text).to_owned(), *number));
                self.enums.insert(spec.name.to_owned(), values.collect());
                Type::Enum(spec.name.to_owned())
            }
            simple => Type::simple(simple),
        }
    }

    fn message(&mut self, spec: &'static MessageSpec) {
        if self.messages.contains_key(spec.name) {
            return;
        }
        let mut message = Message {
            list: spec.list,
            fields: Vec::new(),
            reserved_tags: spec.reserved.0.to_vec(),
            reserved_names: spec.reserved.1.iter().map(ToString::to_string).collect(),
        };
        // Known before its fields are looked at: a message may contain itself.
        self.messages.insert(spec.name.to_owned(), message.clone());
        for field in spec.fields {
            let ty = self.meet(field.ty);
            message.fields.push(Field {
                name: field.name.to_owned(),
                tag: field.tag,
                presence: presence(&ty, field.default.is_some()),
                ty,
                default: field.default.map(|make| dynamic::json(field.ty, &make())),
                unit: field.unit.to_owned(),
            });
        }
        self.messages.insert(spec.name.to_owned(), message);
    }
}

fn presence(ty: &Type, default: bool) -> Presence {
    match ty {
        _ if default => Presence::Default,
        Type::Optional(_) => Presence::Optional,
        Type::List(_) | Type::Map(_) => Presence::Repeated,
        _ => Presence::Required,
    }
}

impl Method {
    fn of(method: &describe::Method, types: &mut Types) -> Self {
        let kind = match (method.kind, method.framing) {
            (Kind::Unary, _) => "unary",
            (Kind::ServerStream, _) => "server stream",
            (Kind::Bytes, Framing::Bytes) => "bytes",
            (Kind::Bytes, Framing::Messages) => "messages",
        };
        let exclusive = match method.exclusive {
            Exclusive::No => None,
            Exclusive::Wait => Some("wait"),
            Exclusive::Fail => Some("fail"),
        };
        let names =
            |(rpc, export): &(&str, &str)| Names { export: (*export).to_owned(), rpc: (*rpc).to_owned() };
        let params = method.params.iter().filter(|param| param.role != Role::Injected);
        let params = (1..).zip(params).map(|(position, param)| {
            let ty = match param.role {
                Role::Source => Type::Source,
                Role::Sink => Type::Sink,
                Role::Wire | Role::Injected => types.meet(param.ty),
            };
            Param {
                name: param.name.to_owned(),
                position,
                tag: param.tag,
                presence: presence(&ty, param.default.is_some()),
                ty,
                default: param.default.map(|make| dynamic::json(param.ty, &make())),
                rest: param.rest,
            }
        });
        Self {
            export: method.export.to_owned(),
            rpc: method.rpc.to_owned(),
            renamed_from: method.renamed_from.iter().map(names).collect(),
            kind: kind.to_owned(),
            exclusive: exclusive.map(str::to_owned),
            required: !method.optional,
            params: params.collect(),
            returns: types.meet(method.ret),
        }
    }
}

impl Driver {
    fn of(driver: &dyn DriverFactory) -> Self {
        let spec = driver.spec();
        let children = driver.children().iter().map(|child| {
            let need = match child.need {
                Need::Required => "required",
                Need::Optional => "optional",
                Need::Made => "made",
                Need::Rest => "rest",
            };
            let recorded = Child {
                also: child.also.iter().map(ToString::to_string).collect(),
                interface: child.interface.map(describe::Interface::proto_package),
                need: need.to_owned(),
            };
            (child.name.to_owned(), recorded)
        });
        Self {
            aliases: spec.aliases.iter().map(ToString::to_string).collect(),
            provides: spec.provides.iter().map(|interface| interface.proto_package()).collect(),
            client: spec.client_label().to_owned(),
            children: children.collect(),
            config: schema::without_documentation(driver.config_schema().to_value()),
        }
    }
}
