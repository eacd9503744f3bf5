//! The second opinion: two sets of `.proto` files, compiled from their texts and compared as protobuf sees them.
//!
//! Nothing here knows our descriptions. It follows each service from its methods to their messages, because names of
//! messages are not on the wire, and asks what a reader of one side makes of bytes of the other one.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor, Value,
};
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver, GoogleFileResolver};

use crate::{
    Error,
    change::{Breaks, Change},
};

/// Something that breaks clients of a gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The protobuf package.
    pub package: String,
    /// Method and field, for example `SetLimit.steps`.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// The parts that lead there, the service first.
    pub way: Vec<Part>,
    /// Whether messages with different names were compared on the way: the break may be that they are different ones.
    pub mixed: bool,
}

/// A part of a service, by its names in the released `.proto` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The service.
    Service,
    /// A method.
    Method(String),
    /// A name that a method had.
    FormerName(String),
    /// A field of what a method is called with.
    Parameter {
        /// The method.
        method: String,
        /// The field.
        name: String,
    },
    /// What a method answers with.
    Answer(String),
    /// A field of a message.
    Field {
        /// The message.
        message: String,
        /// The field.
        name: String,
    },
    /// A number that a message reserves.
    Reserved {
        /// The message.
        message: String,
        /// The number.
        number: u32,
    },
    /// A value of an enum.
    Value {
        /// The enum.
        enumeration: String,
        /// Its number.
        number: i32,
    },
}

impl Break {
    pub(crate) fn into_change(self) -> Change {
        let Self { package, path, what, .. } = self;
        Change::breaking(
            "proto-changed",
            Breaks::NATIVE,
            format!("interfaces/{package}/{path}"),
            format!("{package}: {path}: {what}"),
            "change it back, or raise `version`; only the comparison of `.proto` files saw it",
        )
    }
}

/// Compiles both sets and compares them. Keys are paths as `import` writes them.
pub fn compare(
    released: &BTreeMap<String, String>,
    today: &BTreeMap<String, String>,
) -> Result<Vec<Break>, Error> {
    let (old, new) = (compile("released", released)?, compile("today's", today)?);
    let mut breaks = Vec::new();
    for path in released.keys() {
        for service in old.get_file_by_name(path).iter().flat_map(|file| file.services().collect::<Vec<_>>())
        {
            let mut comparison = Comparison {
                package: service.package_name().to_owned(),
                new: &new,
                path: Vec::new(),
                way: Vec::new(),
                mixed: false,
                seen: BTreeSet::new(),
                breaks: BTreeMap::new(),
            };
            comparison.service(&service);
            breaks.extend(comparison.breaks.into_values());
        }
    }
    Ok(breaks)
}

struct Texts(BTreeMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Texts → descriptors. The files that interfaces import come with the protocol.
pub fn compile(whose: &str, files: &BTreeMap<String, String>) -> Result<DescriptorPool, Error> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(format!("{whose} .proto files do not compile: {error}"));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(files.clone()));
    resolver.add(
        DescriptorSetFileResolver::decode(jumpstarter_protocol::DESCRIPTORS)
            .map_err(|error| failed(&error))?,
    );
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    for path in files.keys() {
        compiler.open_file(path).map_err(|error| failed(&error))?;
    }
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).map_err(|error| failed(&error))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Travels {
    ToServer,
    ToClient,
}

struct Comparison<'a> {
    package: String,
    new: &'a DescriptorPool,
    path: Vec<String>,
    way: Vec<Part>,
    mixed: bool,
    seen: BTreeSet<(String, String, Travels)>,
    breaks: BTreeMap<(String, String), Break>,
}

/// Whose fields are compared.
enum Owner {
    /// What this method is called with.
    Request(String),
    /// The message of this name.
    Message(String),
}

impl Owner {
    fn field(&self, name: &str) -> Part {
        let name = name.to_owned();
        match self {
            Self::Request(method) => Part::Parameter { method: method.clone(), name },
            Self::Message(message) => Part::Field { message: message.clone(), name },
        }
    }
}

impl Comparison<'_> {
    fn add(&mut self, what: impl Into<String>) {
        let (path, what) = (self.path.join("."), what.into());
        let (package, way, mixed) = (self.package.clone(), self.way.clone(), self.mixed);
        let found = Break { package, path: path.clone(), what: what.clone(), way, mixed };
        self.breaks.entry((path, what)).or_insert(found);
    }

    fn within(&mut self, name: &str, part: Part, look: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        self.at(part, look);
        self.path.pop();
    }

    fn at(&mut self, part: Part, look: impl FnOnce(&mut Self)) {
        self.way.push(part);
        look(self);
        self.way.pop();
    }

    fn service(&mut self, old: &ServiceDescriptor) {
        self.within(old.name(), Part::Service, |this| {
            let Some(new) = this.new.get_service_by_name(old.full_name()) else {
                this.add("the service is gone");
                return;
            };
            for method in old.methods() {
                let part = Part::Method(method.name().to_owned());
                this.within(method.name(), part, |this| this.method(&method, &new));
            }
        });
    }

    fn method(&mut self, old: &MethodDescriptor, new: &ServiceDescriptor) {
        for former in former_names(old) {
            if answering(new, &former).is_none() {
                self.at(Part::FormerName(former.clone()), |this| {
                    this.add(format!("the former name {former} is gone"));
                });
            }
        }
        let Some(new) = answering(new, old.name()) else {
            self.add("the method is gone");
            return;
        };
        if (old.is_client_streaming(), old.is_server_streaming())
            != (new.is_client_streaming(), new.is_server_streaming())
        {
            self.add("other streaming");
            return;
        }
        let request = Owner::Request(old.name().to_owned());
        self.message(&old.input(), &new.input(), Travels::ToServer, Some(request));
        self.at(Part::Answer(old.name().to_owned()), |this| {
            this.message(&old.output(), &new.output(), Travels::ToClient, None);
        });
    }

    fn message(
        &mut self,
        old: &MessageDescriptor,
        new: &MessageDescriptor,
        travels: Travels,
        owner: Option<Owner>,
    ) {
        let message = || Owner::Message(old.name().to_owned());
        let known = |message: &MessageDescriptor| message.full_name().starts_with("google.protobuf.");
        if known(old) || known(new) {
            // Nothing at all may become a message of one's own, whose fields are then all new.
            if old.full_name() != new.full_name() {
                if old.full_name() == "google.protobuf.Empty" {
                    self.fields(&[], old, new, travels, &owner.unwrap_or_else(message));
                } else {
                    self.add(format!("{} is {} now", old.full_name(), new.full_name()));
                }
            }
            return;
        }
        if self.seen.insert((old.full_name().to_owned(), new.full_name().to_owned(), travels)) {
            let (fields, earlier) = (old.fields().collect::<Vec<_>>(), self.mixed);
            self.mixed |= owner.is_none() && old.name() != new.name();
            self.fields(&fields, old, new, travels, &owner.unwrap_or_else(message));
            self.mixed = earlier;
        }
    }

    fn fields(
        &mut self,
        fields: &[FieldDescriptor],
        old: &MessageDescriptor,
        new: &MessageDescriptor,
        travels: Travels,
        owner: &Owner,
    ) {
        let reserved = |message: &MessageDescriptor, number: u32| {
            message.reserved_ranges().any(|range| range.contains(&number))
        };
        for before in fields {
            let moved = new.get_field_by_name(before.name()).map(|after| after.number());
            let part = || owner.field(before.name());
            if let Some(number) = moved.filter(|number| *number != before.number()) {
                self.within(before.name(), part(), |this| {
                    this.add(format!("number {} is {number} now", before.number()));
                });
            }
            self.within(before.name(), part(), |this| match new.get_field(before.number()) {
                Some(after) => this.field(before, &after, travels),
                None if reserved(new, before.number()) => {}
                None => this.add(format!("number {} is gone, and not reserved", before.number())),
            });
        }
        for after in
            new.fields().filter(|after| fields.iter().all(|before| before.number() != after.number()))
        {
            self.within(after.name(), owner.field(after.name()), |this| {
                if reserved(old, after.number()) {
                    this.add(format!("number {} was reserved", after.number()));
                }
                // A value that is not sent is zero, and nobody can see that nobody meant it.
                if !after.is_list() && !after.is_map() && !optional(&after) {
                    this.add(format!("number {} is new and has no presence", after.number()));
                }
            });
        }
        for range in old.reserved_ranges() {
            for number in range.start..range.end {
                if !reserved(new, number) && new.get_field(number).is_none() {
                    let part = Part::Reserved { message: old.name().to_owned(), number };
                    self.at(part, |this| this.add(format!("number {number} is not reserved any more")));
                }
            }
        }
    }

    fn field(&mut self, old: &FieldDescriptor, new: &FieldDescriptor, travels: Travels) {
        let label = |field: &FieldDescriptor| (field.cardinality() == Cardinality::Repeated, field.is_map());
        if label(old) != label(new) {
            self.add("another label");
            return;
        }
        let (writer, reader) = match travels {
            Travels::ToServer => (old, new),
            Travels::ToClient => (new, old),
        };
        let message = matches!(writer.kind(), Kind::Message(_));
        match (optional(writer), optional(reader)) {
            (true, false) => self.add("what may be absent arrives as zero"),
            (false, true) if !message => self.add("zero arrives as absent"),
            _ => {}
        }
        match (old.kind(), new.kind()) {
            (Kind::Message(old), Kind::Message(new)) if old.is_map_entry() => {
                for number in [1, 2] {
                    if let (Some(old), Some(new)) = (old.get_field(number), new.get_field(number)) {
                        self.kind(&old, &new, travels);
                    }
                }
            }
            _ => self.kind(old, new, travels),
        }
    }

    fn kind(&mut self, old: &FieldDescriptor, new: &FieldDescriptor, travels: Travels) {
        match (old.kind(), new.kind()) {
            (Kind::Message(old), Kind::Message(new)) => self.message(&old, &new, travels, None),
            (Kind::Enum(old), Kind::Enum(new)) => self.enumeration(&old, &new),
            (old, new) if old == new => {}
            (old, new) => {
                let (writer, reader) = match travels {
                    Travels::ToServer => (&old, &new),
                    Travels::ToClient => (&new, &old),
                };
                // The same bytes; a wider reader takes every number of a narrower writer.
                let wider =
                    matches!((writer, reader), (Kind::Uint32, Kind::Uint64) | (Kind::Int32, Kind::Int64));
                if !wider {
                    self.add(format!("type {old:?} is {new:?} now"));
                }
            }
        }
    }

    fn enumeration(&mut self, old: &EnumDescriptor, new: &EnumDescriptor) {
        for value in old.values() {
            let part = Part::Value { enumeration: old.name().to_owned(), number: value.number() };
            self.at(part, |this| match new.get_value_by_name(value.name()) {
                Some(same) if same.number() == value.number() => {}
                Some(other) => this.add(format!("{} has number {} now", value.name(), other.number())),
                // With its number it is only a name, unless that is another value's.
                None => {
                    let taken = new.get_value(value.number());
                    let known = taken.is_some_and(|taken| old.get_value_by_name(taken.name()).is_none());
                    if !known {
                        this.add(format!("{} is gone", value.name()));
                    }
                }
            });
        }
    }
}

/// Whether the file says `optional`.
fn optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

/// What answers to this name: under it, or under a later one.
fn answering(service: &ServiceDescriptor, name: &str) -> Option<MethodDescriptor> {
    service
        .methods()
        .find(|method| method.name() == name)
        .or_else(|| service.methods().find(|method| former_names(method).iter().any(|former| former == name)))
}

fn former_names(method: &MethodDescriptor) -> Vec<String> {
    let pool = method.parent_pool();
    let Some(option) = pool.get_extension_by_name("jumpstarter.annotations.renamed_from") else {
        return Vec::new();
    };
    match method.options().get_extension(&option).as_ref() {
        Value::List(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
