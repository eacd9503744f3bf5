//! An interface that uses everything a description can say. Its types are written by hand (with the same helpers as
//! generated code), so that this crate is tested without the macros.

use std::collections::BTreeMap;

use bytes::Bytes;
use jumpstarter_core::{
    Delay,
    describe::{
        EnumSpec, Exclusive, Field, Framing, Interface, Kind, MessageSpec, Method, Param, Role, Type,
    },
    generated::{self, Enumeration, FieldValues},
    wire::{self, Depth, Reading as Strictness, Wire, WireError, WireType, value},
};
use prost_types::Value;
use uuid::Uuid;

macro_rules! message {
    ($name:ident, $doc:literal, list: $list:literal, reserved: $reserved:expr;
     $($field:ident: $ty:ty = $tag:literal $(, default $default:expr)? $(, unit $unit:literal)?, $field_doc:literal;)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $(pub $field: $ty),* }

        impl $name {
            pub fn spec() -> &'static MessageSpec {
                static SPEC: MessageSpec = MessageSpec {
                    name: stringify!($name),
                    fields: &[$(Field {
                        name: stringify!($field),
                        tag: $tag,
                        ty: <$ty as Wire>::TYPE,
                        default: or_none!($(|| <$ty as Wire>::to_value(&$default).unwrap_or_else(|_| value::null()))?),
                        unit: concat!($($unit)?),
                        doc: $field_doc,
                    }),*],
                    reserved: $reserved,
                    list: $list,
                    doc: $doc,
                };
                &SPEC
            }
        }

        impl Wire for $name {
            const TYPE: Type = Type::Message(Self::spec);
            const ZERO_WHEN_ABSENT: bool = false;

            fn zero() -> Self {
                Self { $($field: or_zero!($ty $(, $default)?)),* }
            }

            fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
                wire::encode_message(self, tag, buffer);
            }

            fn encode_body(&self, buffer: &mut Vec<u8>) {
                $(
                    let present: Option<fn() -> $ty> = or_none!($(|| $default)?);
                    if present.is_some() { self.$field.encode($tag, buffer) } else { self.$field.encode_field($tag, buffer) }
                )*
            }

            fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError> {
                self.merge_body(wire::take_delimited(wire_type, buffer)?, depth.deeper()?)
            }

            fn merge_body(&mut self, body: Bytes, depth: Depth) -> Result<(), WireError> {
                generated::merge_fields(Self::spec(), body, |index, wire_type, part| {
                    match Self::spec().fields[index].tag {
                        $($tag => Wire::merge(&mut self.$field, wire_type, part, depth),)*
                        _ => Ok(()),
                    }
                })
            }

            fn to_value(&self) -> Result<Value, WireError> {
                generated::message_value(Self::spec(), [$(self.$field.to_value()),*])
            }

            fn from_value(value: Value, reading: Strictness) -> Result<Self, WireError> {
                let mut fields = FieldValues::new(Self::spec(), value, reading)?;
                let mut index = 0..;
                let message = Self { $($field: fields.take(index.next().unwrap_or(0), or_none!($(|| $default)?))?),* };
                fields.finish()?;
                Ok(message)
            }
        }
    };
}

macro_rules! or_none {
    () => {
        None
    };
    ($some:expr) => {
        Some($some)
    };
}

macro_rules! or_zero {
    ($ty:ty) => {
        <$ty as Wire>::zero()
    };
    ($ty:ty, $default:expr) => {
        $default
    };
}

message! {
    Reading, "One measurement.", list: false, reserved: (&[3, 9], &["power", "phase"]);
    voltage: f64 = 1, unit "V", "Volts.";
    current: f32 = 2, unit "A", "Amperes.";
    samples: Option<i64> = 4, "How many samples it is the mean of.\n\nAbsent if it is one.";
}

message! {
    Partition, "A part of a disk.\n\nMay have parts itself.", list: false, reserved: (&[], &[]);
    name: String = 1, "Its name.";
    size: u64 = 2, unit "B", "Bytes.";
    children: Vec<Partition> = 3, "";
    parent: Option<Box<Partition>> = 4, "";
    labels: BTreeMap<String, String> = 5, "Anything.";
    readings: BTreeMap<String, Reading> = 6, "";
    flags: Vec<bool> = 7, "";
    offsets: Vec<i64> = 8, "";
    gains: Vec<f64> = 9, "";
    names: Vec<String> = 10, "";
    blobs: Vec<Bytes> = 11, "";
    edge: Option<Edge> = 12, "";
    edges: Vec<Edge> = 13, "";
    counts: BTreeMap<String, i64> = 14, "";
    timeout: Delay = 15, "";
    grace: Option<Delay> = 16, "";
    id: Option<Uuid> = 17, "";
    retries: u8 = 18, default 7, "";
    label: String = 19, default "none \"yet\"".to_owned(), "";
    read_only: bool = 20, "";
    signed: i32 = 21, "";
    anything: Option<Value> = 22, "";
    small: Option<u16> = 23, "";
    modes: BTreeMap<String, Edge> = 24, "";
}

message! {
    Piece, "A piece of output: which stream, what, and the exit code at the end.", list: true, reserved: (&[], &[]);
    stream: String = 1, "";
    text: String = 2, "";
    code: Option<i32> = 3, "";
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edge {
    Rising,
    Falling,
    BothWays,
}

impl Enumeration for Edge {
    const SPEC: &'static EnumSpec = &EnumSpec {
        name: "Edge",
        values: &[("rising", 1, "Low to high."), ("falling", 2, ""), ("both-ways", 5, "Every change.")],
        doc: "Which changes count.",
    };
    const ALL: &'static [Self] = &[Self::Rising, Self::Falling, Self::BothWays];

    fn index(self) -> usize {
        self as usize
    }
}

impl Wire for Edge {
    const TYPE: Type = Type::Enum(|| <Self as Enumeration>::SPEC);
    const ZERO_WHEN_ABSENT: bool = false;
    const PACKED: Option<WireType> = Some(WireType::Varint);

    fn zero() -> Self {
        Self::Rising
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        generated::enumeration::encode(*self, tag, buffer);
    }

    fn encode_packed(&self, buffer: &mut Vec<u8>) {
        generated::enumeration::encode_packed(*self, buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
        generated::enumeration::merge(self, wire_type, buffer)
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(generated::enumeration::to_value(*self))
    }

    fn from_value(value: Value, _: Strictness) -> Result<Self, WireError> {
        generated::enumeration::from_value(&value)
    }
}

/// A parameter with little to say.
pub const fn param(name: &'static str, tag: u32, ty: Type) -> Param {
    Param { name, tag, ty, role: Role::Wire, default: None, rest: false, doc: "" }
}

/// A method with little to say.
pub const fn method(rpc: &'static str, export: &'static str, params: &'static [Param], ret: Type) -> Method {
    Method {
        rpc,
        export,
        renamed_from: &[],
        optional: false,
        kind: Kind::Unary,
        framing: Framing::Bytes,
        exclusive: Exclusive::No,
        params,
        ret,
        doc: "",
    }
}

pub static SAMPLE: Interface = Interface {
    package: "jumpstarter.x",
    name: "sample-board",
    version: 2,
    service: "SampleBoard",
    doc: "Everything at once.\n\n    indented text\n\"quoted\" \\ slashed */",
    python: "",
    also: &[],
    methods: &[
        Method { doc: "Switch it on.", ..method("On", "on", &[], Type::Unit) },
        Method {
            doc: "Limit the current.",
            ..method(
                "SetLimit",
                "set_limit",
                &[
                    Param { doc: "Which output.", ..param("channel", 1, Type::Str) },
                    Param {
                        default: Some(|| value::number(1.5)),
                        doc: "At most.",
                        ..param("amps", 2, Type::F64)
                    },
                    param("steps", 3, Type::Opt(&Type::I64)),
                    param("edge", 4, Edge::TYPE),
                    Param { default: Some(|| value::text("falling")), ..param("other_edge", 6, Edge::TYPE) },
                    Param { default: Some(|| value::number(-0.0)), ..param("offset", 5, Type::F32) },
                ],
                Type::Bool,
            )
        },
        Method { kind: Kind::ServerStream, ..method("Read", "read", &[], Reading::TYPE) },
        Method {
            kind: Kind::ServerStream,
            ..method("Count", "count", &[param("from", 1, Type::U16)], Type::I32)
        },
        method(
            "Partitions",
            "partitions",
            &[
                param("filter", 1, Type::Map(&Type::Str)),
                param("ids", 2, Type::List(&Type::Format("uuid"))),
                Param {
                    default: Some(|| value::list(Vec::new())),
                    ..param("edges", 3, Type::List(&Edge::TYPE))
                },
            ],
            Type::List(&Partition::TYPE),
        ),
        method("Find", "find", &[param("like", 1, Partition::TYPE)], Type::Opt(&Partition::TYPE)),
        method("Labels", "labels", &[], Type::Map(&Reading::TYPE)),
        method(
            "Flash",
            "flash",
            &[
                Param { role: Role::Source, ..param("source", 1, Type::Handle) },
                param("target", 2, Type::Opt(&Type::Format("path"))),
            ],
            Type::Unit,
        ),
        method("Dump", "dump", &[Param { role: Role::Sink, ..param("sink", 3, Type::Handle) }], Type::Unit),
        Method { kind: Kind::Bytes, ..method("Connect", "connect", &[], Type::Unit) },
        Method {
            kind: Kind::Bytes,
            framing: Framing::Messages,
            doc: "Packets.",
            ..method("Packets", "packets", &[], Type::Unit)
        },
        method("GetCPUInfo", "get_cpu_info", &[], Type::Json),
        method(
            "ReadBack",
            "readback",
            &[param("delay", 1, Type::Duration), param("grace", 2, Type::Opt(&Type::Duration))],
            Type::Duration,
        ),
        Method {
            kind: Kind::ServerStream,
            ..method(
                "CallMethod",
                "call_method",
                &[
                    param("method", 1, Type::Str),
                    param("env", 2, Type::Map(&Type::Json)),
                    Param { rest: true, ..param("args", 3, Type::List(&Type::Str)) },
                ],
                Piece::TYPE,
            )
        },
        method(
            "Blob",
            "blob",
            &[param("data", 1, Type::Bytes), param("size", 2, Type::U64), param("n", 3, Type::U8)],
            Type::Bytes,
        ),
    ],
};
