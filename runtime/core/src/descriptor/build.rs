//! Description → descriptor.

use std::collections::{BTreeMap, BTreeSet};

use jumpstarter_protocol::annotations;
use prost_types::Value;

use super::{
    names,
    proto::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, EnumValueOptions,
        FieldDescriptorProto, FieldOptions, FileDescriptorProto, Label, Location, MessageOptions,
        MethodDescriptorProto, MethodOptions, OneofDescriptorProto, ReservedRange, ServiceDescriptorProto,
        SourceCodeInfo, Type as Wire, path,
    },
};
use crate::describe::{EnumSpec, Field, Framing, Interface, Kind, MessageSpec, Method, Param, Role, Type};

const EMPTY: (&str, &str) = ("google/protobuf/empty.proto", ".google.protobuf.Empty");
const VALUE: (&str, &str) = ("google/protobuf/struct.proto", ".google.protobuf.Value");
const DURATION: (&str, &str) = ("google/protobuf/duration.proto", ".google.protobuf.Duration");

/// What the two directions of a byte stream carry.
pub(crate) static STREAM_DATA: MessageSpec = MessageSpec {
    name: "StreamData",
    fields: &[Field { name: "payload", tag: 1, ty: Type::Bytes, default: None, unit: "", doc: "The bytes." }],
    reserved: (&[], &[]),
    list: false,
    doc: "One piece of a byte stream. The end of a direction is the end of its stream.",
};

pub(super) type Problem = String;

/// The descriptor, or what protobuf cannot express and where.
pub(super) fn build(interface: &'static Interface) -> Result<FileDescriptorProto, Problem> {
    let mut builder = Builder { package: interface.proto_package(), ..Builder::default() };
    builder.claim(interface.service, Claim::Own)?;

    let mut service = Documented::new(interface.doc);
    let mut methods = Vec::new();
    for method in interface.methods {
        methods.push(builder.method(method).map_err(|problem| format!("{}: {problem}", method.export))?);
        service.members.push(method.doc);
    }
    builder.finish_types()?;

    let Builder { package, imports, calls, types, enums, .. } = builder;
    let mut comments = Comments::default();
    comments.add(&[path::SERVICE, 0], &service);
    let (messages, documentation): (Vec<_>, Vec<_>) = calls.into_iter().chain(types).unzip();
    for (index, documented) in (0..).zip(&documentation) {
        comments.add(&[path::MESSAGE, index], documented);
    }
    let (enums, documentation): (Vec<_>, Vec<_>) = enums.into_iter().unzip();
    for (index, documented) in (0..).zip(&documentation) {
        comments.add(&[path::ENUM, index], documented);
    }

    let name = interface.name.replace('-', "_");
    Ok(FileDescriptorProto {
        name: Some(format!("interfaces/{name}/v{}/{name}.proto", interface.version)),
        package: Some(package),
        dependency: imports.into_iter().map(str::to_owned).collect(),
        message_type: messages,
        enum_type: enums,
        service: vec![ServiceDescriptorProto { name: Some(interface.service.to_owned()), method: methods }],
        source_code_info: Some(SourceCodeInfo { location: comments.0 }),
        syntax: Some("proto3".to_owned()),
    })
}

/// Doc comments of something and of its members, which fields of a descriptor have no room for.
struct Documented {
    doc: &'static str,
    members: Vec<&'static str>,
}

impl Documented {
    fn new(doc: &'static str) -> Self {
        Self { doc, members: Vec::new() }
    }
}

#[derive(Default)]
struct Comments(Vec<Location>);

impl Comments {
    fn add(&mut self, path: &[i32], documented: &Documented) {
        self.one(path.to_vec(), documented.doc);
        for (index, doc) in (0..).zip(&documented.members) {
            self.one([path, &[path::MEMBER, index]].concat(), doc);
        }
    }

    fn one(&mut self, path: Vec<i32>, doc: &str) {
        if doc.trim().is_empty() {
            return;
        }
        // The form that compilers give to `// text`, so that a comment survives being printed and compiled.
        let lines = doc.trim().lines().map(str::trim_end);
        let comment =
            lines.map(|line| if line.is_empty() { "\n".to_owned() } else { format!(" {line}\n") }).collect();
        self.0.push(Location {
            path,
            // There is no source text; three zeros are the shortest span that readers accept.
            span: vec![0, 0, 0],
            leading_comments: Some(comment),
            ..Location::default()
        });
    }
}

/// Who uses a name. All types of an interface are at file level, so their names must differ.
#[derive(Clone, Copy)]
enum Claim {
    Own,
    Message(&'static MessageSpec),
    Enum(&'static EnumSpec),
}

#[derive(Default)]
struct Builder {
    package: String,
    imports: BTreeSet<&'static str>,
    claims: BTreeMap<String, Claim>,
    /// Requests and responses.
    calls: Vec<(DescriptorProto, Documented)>,
    /// Other messages, in the order in which they were first met.
    types: Vec<(DescriptorProto, Documented)>,
    enums: Vec<(EnumDescriptorProto, Documented)>,
    /// Messages that were met and are not in `types` yet. A list instead of recursion: types may contain themselves.
    waiting: std::collections::VecDeque<&'static MessageSpec>,
}

/// A field before it is known which message it belongs to.
struct Plan<'a> {
    name: &'a str,
    tag: u32,
    ty: Type,
    default: Option<Value>,
    role: Role,
    rest: bool,
    unit: &'a str,
}

impl Plan<'_> {
    fn param(param: &Param) -> Plan<'_> {
        let Param { name, tag, ty, role, default, rest, doc: _ } = param;
        Plan {
            name,
            tag: *tag,
            ty: *ty,
            default: default.map(|make| make()),
            role: *role,
            rest: *rest,
            unit: "",
        }
    }

    fn field(field: &Field) -> Plan<'_> {
        let Field { name, tag, ty, default, unit, doc: _ } = field;
        Plan {
            name,
            tag: *tag,
            ty: *ty,
            default: default.map(|make| make()),
            role: Role::Wire,
            rest: false,
            unit,
        }
    }
}

impl Builder {
    fn method(&mut self, method: &'static Method) -> Result<MethodDescriptorProto, Problem> {
        let (input, output) = if method.kind == Kind::Bytes {
            let piece = self.message(&STREAM_DATA)?;
            (piece.clone(), piece)
        } else {
            (self.request(method)?, self.response(method)?)
        };
        let options = MethodOptions {
            export: (names::snake(method.rpc) != method.export).then(|| method.export.to_owned()),
            message_framing: (method.kind == Kind::Bytes && method.framing == Framing::Messages)
                .then_some(true),
            renamed_from: method.renamed_from.iter().map(|(rpc, _)| (*rpc).to_owned()).collect(),
        };
        Ok(MethodDescriptorProto {
            name: Some(method.rpc.to_owned()),
            input_type: Some(input),
            output_type: Some(output),
            options: self.options(options),
            client_streaming: (method.kind == Kind::Bytes).then_some(true),
            server_streaming: (method.kind != Kind::Unary).then_some(true),
        })
    }

    fn request(&mut self, method: &'static Method) -> Result<String, Problem> {
        let params: Vec<_> = method.params.iter().filter(|param| param.role != Role::Injected).collect();
        if params.is_empty() {
            return Ok(self.import(EMPTY));
        }
        let (name, full) = self.own(method, "Request")?;
        let mut message = DescriptorProto { name: Some(name), ..DescriptorProto::default() };
        let mut documented = Documented::new("");
        for param in params {
            self.field(&mut message, &Plan::param(param))?;
            documented.members.push(param.doc);
        }
        self.calls.push((message, documented));
        Ok(full)
    }

    fn response(&mut self, method: &'static Method) -> Result<String, Problem> {
        match method.ret {
            Type::Unit => Ok(self.import(EMPTY)),
            Type::Message(spec) => self.message(spec()),
            ty => {
                let (name, full) = self.own(method, "Response")?;
                let mut message = DescriptorProto { name: Some(name), ..DescriptorProto::default() };
                let value = Plan {
                    name: "value",
                    tag: 1,
                    ty,
                    default: None,
                    role: Role::Wire,
                    rest: false,
                    unit: "",
                };
                self.field(&mut message, &value)?;
                self.calls.push((message, Documented::new("")));
                Ok(full)
            }
        }
    }

    /// Adds a field to a message.
    fn field(&mut self, message: &mut DescriptorProto, plan: &Plan<'_>) -> Result<(), Problem> {
        let built = self.build_field(message, plan).map_err(|problem| format!("{}: {problem}", plan.name))?;
        message.field.push(built);
        Ok(())
    }

    fn build_field(
        &mut self,
        message: &mut DescriptorProto,
        plan: &Plan<'_>,
    ) -> Result<FieldDescriptorProto, Problem> {
        let mut field = FieldDescriptorProto {
            name: Some(plan.name.to_owned()),
            number: Some(field_number(plan.tag)?),
            label: Some(Label::Optional.into()),
            json_name: Some(names::json(plan.name)),
            ..FieldDescriptorProto::default()
        };
        let single = match plan.ty.inner() {
            Type::List(item) => {
                field.label = Some(Label::Repeated.into());
                *item
            }
            Type::Map(item) => {
                field.label = Some(Label::Repeated.into());
                let (ty, name) = self.map_entry(message, plan.name, *item)?;
                (field.r#type, field.type_name) = (Some(ty.into()), Some(name));
                field.options = self.field_options(plan, *item);
                return Ok(field);
            }
            single => {
                // Absent differs from zero when the type says so, and when absent means a default.
                if matches!(plan.ty, Type::Opt(_)) || plan.default.is_some() {
                    field.proto3_optional = Some(true);
                    field.oneof_index = Some(synthetic_oneof(message, plan.name)?);
                }
                single
            }
        };
        let (ty, type_name) = self.single(single)?;
        (field.r#type, field.type_name) = (Some(ty.into()), type_name);
        field.options = self.field_options(plan, single);
        Ok(field)
    }

    fn field_options(&mut self, plan: &Plan<'_>, single: Type) -> Option<FieldOptions> {
        let options = FieldOptions {
            resource_handle: matches!(single, Type::Handle).then_some(true),
            default_json: plan.default.as_ref().map(json_text),
            resource_sink: (plan.role == Role::Sink).then_some(true),
            format: if let Type::Format(format) = single { Some(format.to_owned()) } else { None },
            rest: plan.rest.then_some(true),
            unit: (!plan.unit.is_empty()).then(|| plan.unit.to_owned()),
        };
        self.options(options)
    }

    /// The hidden message that protobuf makes for each map.
    fn map_entry(
        &mut self,
        message: &mut DescriptorProto,
        field: &str,
        item: Type,
    ) -> Result<(Wire, String), Problem> {
        let name = names::map_entry(field);
        let full = format!(".{}.{}.{name}", self.package, message.name());
        let part = |name: &str, number, (ty, type_name): (Wire, Option<String>)| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(ty.into()),
            type_name,
            json_name: Some(name.to_owned()),
            ..FieldDescriptorProto::default()
        };
        let value = part("value", 2, self.single(item)?);
        message.nested_type.push(DescriptorProto {
            name: Some(name),
            field: vec![part("key", 1, (Wire::String, None)), value],
            options: Some(MessageOptions { map_entry: Some(true), positional: None }),
            ..DescriptorProto::default()
        });
        Ok((Wire::Message, full))
    }

    /// A type that is one thing: no option, list or map.
    fn single(&mut self, ty: Type) -> Result<(Wire, Option<String>), Problem> {
        Ok(match ty {
            Type::Bool => (Wire::Bool, None),
            Type::I32 | Type::I64 => (Wire::Int64, None),
            Type::U8 | Type::U16 | Type::U32 => (Wire::Uint32, None),
            Type::U64 => (Wire::Uint64, None),
            Type::F32 => (Wire::Float, None),
            Type::F64 => (Wire::Double, None),
            Type::Str | Type::Format(_) | Type::Handle => (Wire::String, None),
            Type::Bytes => (Wire::Bytes, None),
            Type::Json => (Wire::Message, Some(self.import(VALUE))),
            Type::Duration => (Wire::Message, Some(self.import(DURATION))),
            Type::Message(spec) => (Wire::Message, Some(self.message(spec())?)),
            Type::Enum(spec) => (Wire::Enum, Some(self.enumeration(spec())?)),
            Type::Unit => return Err(inexpressible("nothing")),
            Type::Opt(_) => return Err(inexpressible("an option")),
            Type::List(_) => return Err(inexpressible("a list")),
            Type::Map(_) => return Err(inexpressible("a map")),
        })
    }

    fn message(&mut self, spec: &'static MessageSpec) -> Result<String, Problem> {
        if self.claim(spec.name, Claim::Message(spec))? {
            self.waiting.push_back(spec);
        }
        Ok(self.full(spec.name))
    }

    fn enumeration(&mut self, spec: &'static EnumSpec) -> Result<String, Problem> {
        if self.claim(spec.name, Claim::Enum(spec))? {
            let mut documented = Documented::new(spec.doc);
            let mut values = vec![EnumValueDescriptorProto {
                name: Some(names::enum_value(spec.name, "UNSPECIFIED")),
                number: Some(0),
                options: None,
            }];
            documented.members.push("");
            for (text, number, doc) in spec.values {
                let name = names::enum_value(spec.name, text);
                let differs = names::enum_text(spec.name, &name) != *text;
                let options = self.options(EnumValueOptions { text: differs.then(|| (*text).to_owned()) });
                values.push(EnumValueDescriptorProto { name: Some(name), number: Some(*number), options });
                documented.members.push(doc);
            }
            for value in &values {
                self.claim(value.name(), Claim::Own)?;
            }
            self.enums
                .push((EnumDescriptorProto { name: Some(spec.name.to_owned()), value: values }, documented));
        }
        Ok(self.full(spec.name))
    }

    /// Describes the messages that were met, and those that are met meanwhile.
    fn finish_types(&mut self) -> Result<(), Problem> {
        while let Some(spec) = self.waiting.pop_front() {
            let mut message = DescriptorProto {
                name: Some(spec.name.to_owned()),
                options: self
                    .options(MessageOptions { map_entry: None, positional: spec.list.then_some(true) }),
                ..DescriptorProto::default()
            };
            let mut documented = Documented::new(spec.doc);
            for field in spec.fields {
                self.field(&mut message, &Plan::field(field))
                    .map_err(|problem| format!("{}.{problem}", spec.name))?;
                documented.members.push(field.doc);
            }
            for number in spec.reserved.0 {
                let start = field_number(*number)?;
                message.reserved_range.push(ReservedRange { start: Some(start), end: Some(start + 1) });
            }
            message.reserved_name = spec.reserved.1.iter().map(ToString::to_string).collect();
            self.types.push((message, documented));
        }
        Ok(())
    }

    /// Takes a name; false when the same type has it already.
    fn claim(&mut self, name: &str, claim: Claim) -> Result<bool, Problem> {
        match (self.claims.get(name), claim) {
            (None, _) => {
                self.claims.insert(name.to_owned(), claim);
                Ok(true)
            }
            (Some(Claim::Message(before)), Claim::Message(spec)) if same_message(before, spec) => Ok(false),
            (Some(Claim::Enum(before)), Claim::Enum(spec)) if same_enum(before, spec) => Ok(false),
            _ => Err(format!(
                "the name `{name}` is taken twice; types, requests, responses and the service share one scope"
            )),
        }
    }

    fn own(&mut self, method: &Method, suffix: &str) -> Result<(String, String), Problem> {
        let name = format!("{}{suffix}", method.rpc);
        self.claim(&name, Claim::Own)?;
        let full = self.full(&name);
        Ok((name, full))
    }

    fn full(&self, name: &str) -> String {
        format!(".{}.{name}", self.package)
    }

    fn import(&mut self, (file, name): (&'static str, &str)) -> String {
        self.imports.insert(file);
        name.to_owned()
    }

    /// Options that say nothing are left out; the others need an import.
    fn options<T: Default + PartialEq>(&mut self, options: T) -> Option<T> {
        if options == T::default() {
            return None;
        }
        self.imports.insert(annotations::FILE);
        Some(options)
    }
}

fn inexpressible(what: &str) -> Problem {
    format!("protobuf has no list, map or field of {what}; put it into a `#[message]` struct")
}

fn field_number(tag: u32) -> Result<i32, Problem> {
    match i32::try_from(tag) {
        Ok(number @ (1..19_000 | 20_000..=0x1fff_ffff)) => Ok(number),
        _ => Err(format!("{tag} is not a field number: 1 to 536870911 without 19000 to 19999")),
    }
}

/// Presence is expressed as a union of one field, as compilers do.
fn synthetic_oneof(message: &mut DescriptorProto, field: &str) -> Result<i32, Problem> {
    let index = i32::try_from(message.oneof_decl.len()).map_err(|_| "too many fields".to_owned())?;
    message.oneof_decl.push(OneofDescriptorProto { name: Some(format!("_{field}")), options: None });
    Ok(index)
}

/// By content, not by address: constants may exist several times.
fn same_message(a: &MessageSpec, b: &MessageSpec) -> bool {
    let fields = |spec: &MessageSpec| {
        spec.fields.iter().map(|field| (field.name, field.tag, shape(field.ty))).collect::<Vec<_>>()
    };
    std::ptr::eq(a, b) || (a.list == b.list && fields(a) == fields(b))
}

fn same_enum(a: &EnumSpec, b: &EnumSpec) -> bool {
    let values =
        |spec: &EnumSpec| spec.values.iter().map(|(text, number, _)| (*text, *number)).collect::<Vec<_>>();
    std::ptr::eq(a, b) || values(a) == values(b)
}

/// A type in words, messages and enums by name only, which ends recursion.
fn shape(ty: Type) -> String {
    match ty {
        Type::Opt(inner) => format!("{}?", shape(*inner)),
        Type::List(inner) => format!("[{}]", shape(*inner)),
        Type::Map(inner) => format!("{{{}}}", shape(*inner)),
        Type::Message(spec) => spec().name.to_owned(),
        Type::Enum(spec) => spec().name.to_owned(),
        other => format!("{other:?}"),
    }
}

/// A default as JSON; whole numbers without fraction, as people write them.
fn json_text(value: &Value) -> String {
    crate::dynamic::to_json(value).to_string()
}
