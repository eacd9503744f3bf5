//! Descriptor → description.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use prost::Message as _;
use prost_types::Value;

use super::slots::{Free, MessageSlot};
use crate::{
    describe::{
        EnumSpec, Exclusive, Field, Framing, Interface, Kind, MessageSpec, Method, Param, Role, Type,
    },
    descriptor::{
        self, names,
        proto::{
            DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, Label,
            MessageOptions, MethodDescriptorProto, Type as Wire, path,
        },
    },
};

const EMPTY: &str = ".google.protobuf.Empty";
const VALUE: &str = ".google.protobuf.Value";
const DURATION: &str = ".google.protobuf.Duration";

/// Most methods that a described service may have.
const MAX_METHODS: usize = 1024;

type Problem = String;

type MakeDefault = fn() -> Value;

/// The description of a service in these files.
pub(super) fn interface(
    files: &[FileDescriptorProto],
    service: &str,
    free: &mut Free,
) -> Result<&'static Interface, Problem> {
    let (full_package, short) = service.rsplit_once('.').unwrap_or(("", service));
    let (package, name, version) = split_package(full_package).ok_or_else(|| {
        format!("its package `{full_package}` does not end in a name and a version, as in `example.lamp.v1`")
    })?;
    let in_file = |file: &FileDescriptorProto| {
        let found = file.service.iter().position(|candidate| candidate.name() == short);
        found.filter(|_| file.package() == full_package)
    };
    let Some((file, index)) = files.iter().find_map(|file| Some((file, in_file(file)?))) else {
        return Err("it does not contain this service".to_owned());
    };
    let methods = &file.service[index].method;
    if methods.len() > MAX_METHODS {
        return Err(format!("it has more than {MAX_METHODS} methods"));
    }

    let imports = well_known();
    let mut reader = Reader {
        index: Index::new(files.iter().chain(&imports)),
        made: HashMap::new(),
        waiting: VecDeque::new(),
        free,
    };
    let comments = comments(file);
    let at = i32::try_from(index).unwrap_or(i32::MAX);
    let doc = |path: &[i32]| comments.get(path).map_or("", |doc| keep(doc));
    let mut described = Vec::new();
    for (number, method) in (0..).zip(methods) {
        if !reader.expressible(method) {
            tracing::debug!(
                service,
                method = method.name(),
                "left out: descriptions cannot express its types"
            );
            continue;
        }
        described.push(reader.method(method, doc(&[path::SERVICE, at, path::MEMBER, number]))?);
    }
    reader.finish_messages()?;

    Ok(Box::leak(Box::new(Interface {
        package: keep(package),
        name: keep(&name.replace('_', "-")),
        version,
        service: keep(short),
        doc: doc(&[path::SERVICE, at]),
        python: "",
        also: &[],
        methods: keep_all(described),
    })))
}

/// `jumpstarter.driver.storage_mux.v1` → `jumpstarter.driver`, `storage_mux`, 1. Only what a description joins again
/// to the same.
fn split_package(package: &str) -> Option<(&str, &str, u32)> {
    let (rest, last) = package.rsplit_once('.')?;
    let digits = last.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']))?;
    let (package, name) = rest.rsplit_once('.')?;
    let plain = !package.is_empty() && !name.is_empty() && !name.contains('-');
    Some((package, name, digits.parse().ok()?)).filter(|_| plain)
}

/// Files that descriptors import and need not contain.
fn well_known() -> Vec<FileDescriptorProto> {
    let files = descriptor::known_files();
    files
        .filter_map(|bytes| FileDescriptorProto::decode(bytes).ok())
        .filter(|file| file.package() == "google.protobuf")
        .collect()
}

/// For ever; bounded by the caller.
fn keep(text: &str) -> &'static str {
    if text.is_empty() { "" } else { Box::leak(text.to_owned().into_boxed_str()) }
}

fn keep_all<T>(items: Vec<T>) -> &'static [T] {
    if items.is_empty() { &[] } else { Box::leak(items.into_boxed_slice()) }
}

fn keep_type(ty: Type) -> &'static Type {
    Box::leak(Box::new(ty))
}

type Comments = HashMap<Vec<i32>, String>;

/// Comments by path, without the space that follows `//`.
fn comments(file: &FileDescriptorProto) -> Comments {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let texts = locations.filter_map(|at| {
        let text = at.leading_comments.as_ref().or(at.trailing_comments.as_ref())?;
        let lines: Vec<_> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        Some((at.path.clone(), lines.join("\n").trim().to_owned()))
    });
    texts.collect()
}

/// A message and where its comments are.
#[derive(Clone)]
struct MessageAt<'a> {
    message: &'a DescriptorProto,
    file: usize,
    path: Vec<i32>,
}

/// All types by full name.
struct Index<'a> {
    messages: BTreeMap<String, MessageAt<'a>>,
    enums: BTreeMap<String, (&'a EnumDescriptorProto, usize, Vec<i32>)>,
    comments: Vec<Comments>,
}

impl<'a> Index<'a> {
    fn new(files: impl Iterator<Item = &'a FileDescriptorProto>) -> Self {
        let mut index = Self { messages: BTreeMap::new(), enums: BTreeMap::new(), comments: Vec::new() };
        for (number, file) in files.enumerate() {
            index.comments.push(comments(file));
            let scope =
                if file.package().is_empty() { String::new() } else { format!(".{}", file.package()) };
            index.add_enums(&file.enum_type, &scope, number, &[], path::ENUM);
            index.add_messages(&file.message_type, &scope, number, &[], path::MESSAGE);
        }
        index
    }

    // Recursion is bounded by the decoder, which accepts a hundred nested messages.
    fn add_messages(
        &mut self,
        messages: &'a [DescriptorProto],
        scope: &str,
        file: usize,
        path: &[i32],
        member: i32,
    ) {
        for (number, message) in (0..).zip(messages) {
            let full = format!("{scope}.{}", message.name());
            let path = [path, &[member, number]].concat();
            self.add_enums(&message.enum_type, &full, file, &path, path::NESTED_ENUM);
            self.add_messages(&message.nested_type, &full, file, &path, path::NESTED_MESSAGE);
            self.messages.entry(full).or_insert(MessageAt { message, file, path });
        }
    }

    fn add_enums(
        &mut self,
        enums: &'a [EnumDescriptorProto],
        scope: &str,
        file: usize,
        path: &[i32],
        member: i32,
    ) {
        for (number, item) in (0..).zip(enums) {
            let path = [path, &[member, number]].concat();
            self.enums.entry(format!("{scope}.{}", item.name())).or_insert((item, file, path));
        }
    }

    fn doc(&self, file: usize, path: &[i32]) -> &'static str {
        self.comments.get(file).and_then(|comments| comments.get(path)).map_or("", |doc| keep(doc))
    }

    fn message(&self, name: &str) -> Result<&MessageAt<'a>, Problem> {
        self.messages.get(name).ok_or_else(|| format!("the message `{name}` is missing"))
    }

    /// The entry type of a map field.
    fn map_entry(&self, field: &FieldDescriptorProto) -> Option<&'a DescriptorProto> {
        let entry = self.messages.get(field.type_name())?.message;
        (field.label() == Label::Repeated && entry.options.as_ref().is_some_and(MessageOptions::map_entry))
            .then_some(entry)
    }
}

struct Reader<'a, 'f> {
    index: Index<'a>,
    made: HashMap<String, Type>,
    /// Messages that have a slot and no content yet: a list instead of recursion, because messages may contain themselves.
    waiting: VecDeque<(MessageAt<'a>, MessageSlot)>,
    free: &'f mut Free,
}

impl Reader<'_, '_> {
    /// Whether descriptions have words for a method and for everything that its types reach.
    fn expressible(&self, method: &MethodDescriptorProto) -> bool {
        if self.is_byte_stream(method) {
            return true;
        }
        let mut seen = BTreeSet::new();
        let mut waiting = vec![method.input_type(), method.output_type()];
        while let Some(name) = waiting.pop() {
            if [EMPTY, VALUE, DURATION].contains(&name) || !seen.insert(name) {
                continue;
            }
            let Some(at) = self.index.messages.get(name) else { return false };
            for field in &at.message.field {
                match field.r#type() {
                    Wire::Message => {
                        let entry = self.index.map_entry(field);
                        let text_keys = |entry: &DescriptorProto| {
                            entry.field.iter().any(|part| part.number() == 1 && part.r#type() == Wire::String)
                                && entry.field.iter().any(|part| part.number() == 2)
                        };
                        if entry.is_some_and(|entry| !text_keys(entry)) {
                            return false;
                        }
                        waiting.push(field.type_name());
                    }
                    Wire::Enum if !self.index.enums.contains_key(field.type_name()) => return false,
                    Wire::Group
                    | Wire::Fixed32
                    | Wire::Fixed64
                    | Wire::Sfixed32
                    | Wire::Sfixed64
                    | Wire::Sint32
                    | Wire::Sint64 => {
                        return false;
                    }
                    _ => {}
                }
            }
        }
        !method.client_streaming()
    }

    /// Both directions carry messages that are one piece of bytes.
    fn is_byte_stream(&self, method: &MethodDescriptorProto) -> bool {
        let piece = |name: &str| {
            let message = self.index.messages.get(name).map(|at| at.message);
            message.is_some_and(|message| {
                matches!(message.field.as_slice(), [payload] if payload.number() == 1
                    && payload.r#type() == Wire::Bytes && payload.label() != Label::Repeated)
            })
        };
        method.client_streaming()
            && method.server_streaming()
            && piece(method.input_type())
            && piece(method.output_type())
    }

    fn method(&mut self, method: &MethodDescriptorProto, doc: &'static str) -> Result<Method, Problem> {
        let options = method.options.clone().unwrap_or_default();
        let kind = match (method.client_streaming(), method.server_streaming()) {
            (true, _) => Kind::Bytes,
            (false, true) => Kind::ServerStream,
            (false, false) => Kind::Unary,
        };
        let (params, ret) = if kind == Kind::Bytes {
            (Vec::new(), Type::Unit)
        } else {
            (self.params(method.input_type())?, self.result(method)?)
        };
        Ok(Method {
            rpc: keep(method.name()),
            export: keep(&options.export.clone().unwrap_or_else(|| names::snake(method.name()))),
            renamed_from: keep_all(
                options.renamed_from.iter().map(|rpc| (keep(rpc), keep(&names::snake(rpc)))).collect(),
            ),
            optional: false,
            kind,
            framing: if options.message_framing() { Framing::Messages } else { Framing::Bytes },
            exclusive: Exclusive::No,
            params: keep_all(params),
            ret,
            doc,
        })
    }

    fn params(&mut self, request: &str) -> Result<Vec<Param>, Problem> {
        if request == EMPTY {
            return Ok(Vec::new());
        }
        let at = self.index.message(request)?.clone();
        let mut params = Vec::new();
        for (number, field) in (0..).zip(&at.message.field) {
            let (ty, default) = self.field_type(field)?;
            let options = field.options.clone().unwrap_or_default();
            let role = match ty.inner() {
                Type::Handle if options.resource_sink() => Role::Sink,
                Type::Handle => Role::Source,
                _ => Role::Wire,
            };
            // Roles other than `Wire` are types of their own, which are never optional.
            let ty = if role == Role::Wire { ty } else { Type::Handle };
            let rest = options.rest()
                && matches!(ty, Type::List(_))
                && usize::try_from(number + 1) == Ok(at.message.field.len());
            params.push(Param {
                name: keep(field.name()),
                tag: field.number().unsigned_abs(),
                ty,
                role,
                default,
                rest,
                doc: self.index.doc(at.file, &[at.path.as_slice(), &[path::MEMBER, number]].concat()),
            });
        }
        Ok(params)
    }

    fn result(&mut self, method: &MethodDescriptorProto) -> Result<Type, Problem> {
        if method.output_type() == EMPTY {
            return Ok(Type::Unit);
        }
        let message = self.index.message(method.output_type())?.message;
        match message.field.as_slice() {
            // The wrapper of what is not a message itself.
            [value]
                if value.number() == 1
                    && value.name() == "value"
                    && message.name() == format!("{}Response", method.name()) =>
            {
                self.field_type(value).map(|(ty, _)| ty)
            }
            _ => self.message(method.output_type()),
        }
    }

    /// A field's type and default.
    fn field_type(&mut self, field: &FieldDescriptorProto) -> Result<(Type, Option<MakeDefault>), Problem> {
        let default = field.options.as_ref().and_then(|options| options.default_json.as_deref());
        let default = default.map(|json| default_value(field, json)).transpose()?;
        let default = default.and_then(|value| self.free.default_value(value));
        if let Some(entry) = self.index.map_entry(field) {
            let value = entry.field.iter().find(|part| part.number() == 2);
            let value = value.ok_or_else(|| format!("the map `{}` has no values", field.name()))?;
            return Ok((Type::Map(keep_type(self.single(value)?)), default));
        }
        let single = self.single(field)?;
        Ok(match field.label() {
            Label::Repeated => (Type::List(keep_type(single)), default),
            // A default that is not known is the other side's business: absent is sent as absent.
            _ if field.oneof_index.is_some() && default.is_none() => (Type::Opt(keep_type(single)), None),
            _ => (single, default),
        })
    }

    fn single(&mut self, field: &FieldDescriptorProto) -> Result<Type, Problem> {
        Ok(match field.r#type() {
            Wire::Bool => Type::Bool,
            Wire::Int32 => Type::I32,
            Wire::Int64 => Type::I64,
            Wire::Uint32 => Type::U32,
            Wire::Uint64 => Type::U64,
            Wire::Float => Type::F32,
            Wire::Double => Type::F64,
            Wire::Bytes => Type::Bytes,
            Wire::String => match &field.options {
                Some(options) if options.resource_handle() => Type::Handle,
                Some(options) if options.format.is_some() => Type::Format(keep(options.format())),
                _ => Type::Str,
            },
            Wire::Message if field.type_name() == VALUE => Type::Json,
            Wire::Message if field.type_name() == DURATION => Type::Duration,
            Wire::Message => self.message(field.type_name())?,
            Wire::Enum => self.enumeration(field.type_name())?,
            other => return Err(format!("field `{}` has the type {}", field.name(), other.as_str_name())),
        })
    }

    fn message(&mut self, name: &str) -> Result<Type, Problem> {
        if let Some(made) = self.made.get(name) {
            return Ok(*made);
        }
        let at = self.index.message(name)?.clone();
        let slot = self.free.message()?;
        let ty = Type::Message(slot.function());
        self.made.insert(name.to_owned(), ty);
        self.waiting.push_back((at, slot));
        Ok(ty)
    }

    fn enumeration(&mut self, name: &str) -> Result<Type, Problem> {
        if let Some(made) = self.made.get(name) {
            return Ok(*made);
        }
        let Some((proto, file, at)) = self.index.enums.get(name) else {
            return Err(format!("the enum `{name}` is missing"));
        };
        let values = (0..)
            .zip(&proto.value)
            .filter(|(_, value)| value.number() != 0 || !value.name().ends_with("UNSPECIFIED"));
        let values = values.map(|(number, value)| {
            let text = value.options.as_ref().and_then(|options| options.text.clone());
            let text = text.unwrap_or_else(|| names::enum_text(proto.name(), value.name()));
            let doc = self.index.doc(*file, &[at.as_slice(), &[path::MEMBER, number]].concat());
            (keep(&text), value.number(), doc)
        });
        let spec = EnumSpec {
            name: keep(proto.name()),
            values: keep_all(values.collect()),
            doc: self.index.doc(*file, at),
        };
        let ty = Type::Enum(self.free.enumeration(spec)?);
        self.made.insert(name.to_owned(), ty);
        Ok(ty)
    }

    /// Fills the slots of the messages that were met, and of those that are met meanwhile.
    fn finish_messages(&mut self) -> Result<(), Problem> {
        while let Some((at, slot)) = self.waiting.pop_front() {
            let mut fields = Vec::new();
            for (number, field) in (0..).zip(&at.message.field) {
                let (ty, default) = self.field_type(field)?;
                let unit = field.options.as_ref().map_or("", |options| options.unit());
                fields.push(Field {
                    name: keep(field.name()),
                    tag: field.number().unsigned_abs(),
                    ty,
                    default,
                    unit: keep(unit),
                    doc: self.index.doc(at.file, &[at.path.as_slice(), &[path::MEMBER, number]].concat()),
                });
            }
            slot.fill(MessageSpec {
                name: keep(at.message.name()),
                fields: keep_all(fields),
                reserved: (&[], &[]),
                list: at.message.options.as_ref().is_some_and(MessageOptions::positional),
                doc: self.index.doc(at.file, &at.path),
            });
        }
        Ok(())
    }
}

fn default_value(field: &FieldDescriptorProto, json: &str) -> Result<Value, Problem> {
    let of = |error: &dyn std::fmt::Display| format!("the default of `{}`: {error}", field.name());
    let json: serde_json::Value = serde_json::from_str(json).map_err(|error| of(&error))?;
    jumpstarter_protocol::value::from_json(json).map_err(|error| of(&error))
}
