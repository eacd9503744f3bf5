//! Descriptions of interfaces: constants that the macros print, and everything else is derived from.
//!
//! A description exists without an implementation. From it come the dispatch tables, protobuf descriptors, JSON
//! Schemas, command lines and reference pages.

use prost_types::Value;

/// One interface: what a driver can provide and a client can call.
#[derive(Debug)]
pub struct Interface {
    /// Protobuf package without name and version, for example `jumpstarter.driver`.
    pub package: &'static str,
    /// Name in kebab case, for example `storage-mux`.
    pub name: &'static str,
    /// Version, from 1.
    pub version: u32,
    /// The trait's name, which is the gRPC service's name.
    pub service: &'static str,
    /// The trait's doc comment.
    pub doc: &'static str,
    /// Class path of upstream's Python client, which goes into the report's client label.
    pub python: &'static str,
    /// Full names of further gRPC services that mean the same.
    pub also: &'static [&'static str],
    /// The methods in declaration order. A method's index is its identity within one build.
    pub methods: &'static [Method],
}

/// One method.
#[derive(Debug)]
pub struct Method {
    /// Name in the gRPC service, for example `SetLimit`.
    pub rpc: &'static str,
    /// Name in upstream's `DriverCall`, for example `set_limit`.
    pub export: &'static str,
    /// Earlier `(rpc, export)` names that still work.
    pub renamed_from: &'static [(&'static str, &'static str)],
    /// Whether a driver may leave it out, because the trait has a body for it.
    pub optional: bool,
    /// How it answers.
    pub kind: Kind,
    /// Whether pieces of a byte stream are messages whose borders matter.
    pub framing: Framing,
    /// Whether calls of one instance run one after another, and what a second caller experiences.
    pub exclusive: Exclusive,
    /// Parameters in declaration order, without the injected ones.
    pub params: &'static [Param],
    /// What it returns; for a stream, the type of one item.
    pub ret: Type,
    /// Doc comment.
    pub doc: &'static str,
}

/// One parameter.
#[derive(Debug)]
pub struct Param {
    /// Name, which older clients never see: they send arguments by position.
    pub name: &'static str,
    /// Protobuf field number.
    pub tag: u32,
    /// Its type.
    pub ty: Type,
    /// How it is filled.
    pub role: Role,
    /// The default, if an absent argument has one.
    pub default: Option<fn() -> Value>,
    /// Collects every further positional argument.
    pub rest: bool,
    /// Doc comment.
    pub doc: &'static str,
}

/// How a method answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value.
    Unary,
    /// Many values.
    ServerStream,
    /// A byte stream in both directions.
    Bytes,
}

/// What the borders between the pieces of a byte stream mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    Bytes,
    /// One piece is one message.
    Messages,
}

/// Whether calls exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusive {
    /// They run concurrently, as upstream's do.
    No,
    /// A second call waits.
    Wait,
    /// A second call fails: busy.
    Fail,
}

/// How a parameter is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// From the wire.
    Wire,
    /// A file to read, by resource handle.
    Source,
    /// A file to write, by resource handle.
    Sink,
    /// By the runtime; not on the wire.
    Injected,
}

/// A type as both wire languages see it.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// Nothing.
    Unit,
    /// Truth.
    Bool,
    /// Whole number; `int64` on the wire.
    I32,
    /// Whole number.
    I64,
    /// Whole number; `uint32` on the wire.
    U8,
    /// Whole number; `uint32` on the wire.
    U16,
    /// Whole number.
    U32,
    /// Whole number.
    U64,
    /// `float`.
    F32,
    /// `double`.
    F64,
    /// Text.
    Str,
    /// Text of a JSON Schema format, for example `uuid`.
    Format(&'static str),
    /// Bytes.
    Bytes,
    /// Any JSON value.
    Json,
    /// `google.protobuf.Duration`.
    Duration,
    /// JSON text of a resource handle.
    Handle,
    /// May be absent.
    Opt(&'static Type),
    /// Many.
    List(&'static Type),
    /// Text keys.
    Map(&'static Type),
    /// A `#[message]` struct. The function breaks recursion.
    Message(fn() -> &'static MessageSpec),
    /// A `#[message]` enum.
    Enum(fn() -> &'static EnumSpec),
}

/// A `#[message]` struct.
#[derive(Debug)]
pub struct MessageSpec {
    /// Name.
    pub name: &'static str,
    /// Fields in declaration order.
    pub fields: &'static [Field],
    /// Numbers and names that may not be used again.
    pub reserved: (&'static [u32], &'static [&'static str]),
    /// Whether it is a list of its fields in upstream's calls.
    pub list: bool,
    /// Doc comment.
    pub doc: &'static str,
}

/// A field of a `#[message]` struct.
#[derive(Debug)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Protobuf field number.
    pub tag: u32,
    /// Type.
    pub ty: Type,
    /// The default, if an absent key has one.
    pub default: Option<fn() -> Value>,
    /// Unit of a number, for example `V`; empty if it has none.
    pub unit: &'static str,
    /// Doc comment.
    pub doc: &'static str,
}

impl Field {
    /// Whether a message without this field is incomplete: there is no default, and the type has no value that means
    /// "not sent".
    pub fn required(&self) -> bool {
        self.default.is_none() && matches!(self.ty, Type::Format(_) | Type::Enum(_) | Type::Message(_))
    }
}

/// A `#[message]` enum.
#[derive(Debug)]
pub struct EnumSpec {
    /// Name.
    pub name: &'static str,
    /// Variants: name on the wire, number from 1, doc comment. Number 0 is `<NAME>_UNSPECIFIED`.
    pub values: &'static [(&'static str, i32, &'static str)],
    /// Doc comment.
    pub doc: &'static str,
}

impl Interface {
    /// Full name of the protobuf package, for example `jumpstarter.driver.power.v1`.
    pub fn proto_package(&self) -> String {
        format!("{}.{}.v{}", self.package, self.name.replace('-', "_"), self.version)
    }

    /// Full name of the gRPC service, for example `jumpstarter.driver.power.v1.Power`.
    pub fn full_service(&self) -> String {
        format!("{}.{}", self.proto_package(), self.service)
    }

    /// Full names of all gRPC services that reach this interface, the main one first.
    pub fn services(&self) -> impl Iterator<Item = String> + '_ {
        std::iter::once(self.full_service()).chain(self.also.iter().map(ToString::to_string))
    }

    /// Index of the method that upstream's calls know by this name.
    pub fn by_export(&self, export: &str) -> Option<usize> {
        self.methods.iter().position(|method| {
            method.export == export || method.renamed_from.iter().any(|(_, old)| *old == export)
        })
    }

    /// Index of the method with this name in the gRPC service.
    pub fn by_rpc(&self, rpc: &str) -> Option<usize> {
        self.methods
            .iter()
            .position(|method| method.rpc == rpc || method.renamed_from.iter().any(|(old, _)| *old == rpc))
    }
}

impl Method {
    /// Whether a call needs a resource stream.
    pub fn has_resource(&self) -> bool {
        self.params.iter().any(|param| matches!(param.role, Role::Source | Role::Sink))
    }
}

impl Type {
    /// The type without [`Type::Opt`] around it.
    pub fn inner(self) -> Type {
        match self {
            Type::Opt(inner) => inner.inner(),
            other => other,
        }
    }
}

/// Refuses, at compile time, two provided interfaces that share a method of upstream's calls.
#[track_caller]
pub const fn assert_no_shared_names(interfaces: &[&Interface]) {
    let mut a = 0;
    while a < interfaces.len() {
        let mut b = a + 1;
        while b < interfaces.len() {
            let (left, right) = (interfaces[a].methods, interfaces[b].methods);
            let mut i = 0;
            while i < left.len() {
                let mut j = 0;
                while j < right.len() {
                    if same(left[i].export, right[j].export) {
                        let message = Sentence::new(
                            "two of the interfaces have a method called `",
                            left[i].export,
                            "`, which is how older clients call it: provide one of them in a child",
                        );
                        panic!("{}", message.text());
                    }
                    j += 1;
                }
                i += 1;
            }
            b += 1;
        }
        a += 1;
    }
}

/// A message with a name in it, put together while the author's crate is compiled: such a panic takes one text only.
pub(crate) struct Sentence([u8; Self::MOST], usize);

impl Sentence {
    const MOST: usize = 256;

    /// Longer ones are cut.
    pub(crate) const fn new(before: &str, name: &str, after: &str) -> Self {
        Self([0; Self::MOST], 0).and(before).and(name).and(after)
    }

    const fn and(mut self, part: &str) -> Self {
        let part = part.as_bytes();
        let mut i = 0;
        while i < part.len() && self.1 < Self::MOST {
            self.0[self.1] = part[i];
            self.1 += 1;
            i += 1;
        }
        self
    }

    pub(crate) const fn text(&self) -> &str {
        match std::str::from_utf8(self.0.split_at(self.1).0) {
            Ok(text) => text,
            Err(_) => "two things have the same name",
        }
    }
}

pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
