//! The messages of `google/protobuf/descriptor.proto`, as far as interfaces use them.
//!
//! The usual structs (`prost_types`) drop options that are not part of that file, and with them everything this project
//! says about a field beyond its type. These hold the options of `jumpstarter.annotations` as ordinary fields; on the
//! wire they are the same bytes. Numbers and names are those of `descriptor.proto`.

use bytes::Bytes;

pub use prost_types::{
    OneofDescriptorProto, SourceCodeInfo,
    descriptor_proto::ReservedRange,
    field_descriptor_proto::{Label, Type},
    source_code_info::Location,
};

/// A `FileDescriptorSet` whose files are left serialized.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawFileSet {
    /// Serialized `FileDescriptorProto`s.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub file: Vec<Bytes>,
}

/// Several files.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileDescriptorSet {
    /// The files.
    #[prost(message, repeated, tag = "1")]
    pub file: Vec<FileDescriptorProto>,
}

/// One `.proto` file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileDescriptorProto {
    /// Path under which others import it.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Package.
    #[prost(string, optional, tag = "2")]
    pub package: Option<String>,
    /// Imported paths.
    #[prost(string, repeated, tag = "3")]
    pub dependency: Vec<String>,
    /// Messages at file level.
    #[prost(message, repeated, tag = "4")]
    pub message_type: Vec<DescriptorProto>,
    /// Enums at file level.
    #[prost(message, repeated, tag = "5")]
    pub enum_type: Vec<EnumDescriptorProto>,
    /// Services.
    #[prost(message, repeated, tag = "6")]
    pub service: Vec<ServiceDescriptorProto>,
    /// Comments.
    #[prost(message, optional, tag = "9")]
    pub source_code_info: Option<SourceCodeInfo>,
    /// Language version.
    #[prost(string, optional, tag = "12")]
    pub syntax: Option<String>,
}

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DescriptorProto {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Fields in order of declaration.
    #[prost(message, repeated, tag = "2")]
    pub field: Vec<FieldDescriptorProto>,
    /// Messages inside; in interfaces, entries of maps only.
    #[prost(message, repeated, tag = "3")]
    pub nested_type: Vec<DescriptorProto>,
    /// Enums inside; interfaces have none.
    #[prost(message, repeated, tag = "4")]
    pub enum_type: Vec<EnumDescriptorProto>,
    /// Options.
    #[prost(message, optional, tag = "7")]
    pub options: Option<MessageOptions>,
    /// Unions; in interfaces, the synthetic ones of optional fields only.
    #[prost(message, repeated, tag = "8")]
    pub oneof_decl: Vec<OneofDescriptorProto>,
    /// Numbers that may not be used.
    #[prost(message, repeated, tag = "9")]
    pub reserved_range: Vec<ReservedRange>,
    /// Names that may not be used.
    #[prost(string, repeated, tag = "10")]
    pub reserved_name: Vec<String>,
}

/// One field.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FieldDescriptorProto {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Number.
    #[prost(int32, optional, tag = "3")]
    pub number: Option<i32>,
    /// One or many.
    #[prost(enumeration = "Label", optional, tag = "4")]
    pub label: Option<i32>,
    /// Kind of type.
    #[prost(enumeration = "Type", optional, tag = "5")]
    pub r#type: Option<i32>,
    /// Full name of a message or enum, with a dot in front.
    #[prost(string, optional, tag = "6")]
    pub type_name: Option<String>,
    /// Options.
    #[prost(message, optional, tag = "8")]
    pub options: Option<FieldOptions>,
    /// Index of the union it belongs to.
    #[prost(int32, optional, tag = "9")]
    pub oneof_index: Option<i32>,
    /// Name in protobuf's JSON form.
    #[prost(string, optional, tag = "10")]
    pub json_name: Option<String>,
    /// Whether absent differs from zero.
    #[prost(bool, optional, tag = "17")]
    pub proto3_optional: Option<bool>,
}

/// One enum.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EnumDescriptorProto {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Values.
    #[prost(message, repeated, tag = "2")]
    pub value: Vec<EnumValueDescriptorProto>,
}

/// One value of an enum.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EnumValueDescriptorProto {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Number.
    #[prost(int32, optional, tag = "2")]
    pub number: Option<i32>,
    /// Options.
    #[prost(message, optional, tag = "3")]
    pub options: Option<EnumValueOptions>,
}

/// One service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServiceDescriptorProto {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Methods.
    #[prost(message, repeated, tag = "2")]
    pub method: Vec<MethodDescriptorProto>,
}

/// One method.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MethodDescriptorProto {
    /// Name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Full name of the request.
    #[prost(string, optional, tag = "2")]
    pub input_type: Option<String>,
    /// Full name of the response.
    #[prost(string, optional, tag = "3")]
    pub output_type: Option<String>,
    /// Options.
    #[prost(message, optional, tag = "4")]
    pub options: Option<MethodOptions>,
    /// Whether there are many requests.
    #[prost(bool, optional, tag = "5")]
    pub client_streaming: Option<bool>,
    /// Whether there are many responses.
    #[prost(bool, optional, tag = "6")]
    pub server_streaming: Option<bool>,
}

/// Options of a message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MessageOptions {
    /// It is the entry of a map field.
    #[prost(bool, optional, tag = "7")]
    pub map_entry: Option<bool>,
    /// `jumpstarter.annotations.positional`
    #[prost(bool, optional, tag = "50010")]
    pub positional: Option<bool>,
}

/// Options of a field.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FieldOptions {
    /// `jumpstarter.annotations.resource_handle`
    #[prost(bool, optional, tag = "50000")]
    pub resource_handle: Option<bool>,
    /// `jumpstarter.annotations.default_json`
    #[prost(string, optional, tag = "50001")]
    pub default_json: Option<String>,
    /// `jumpstarter.annotations.resource_sink`
    #[prost(bool, optional, tag = "50002")]
    pub resource_sink: Option<bool>,
    /// `jumpstarter.annotations.format`
    #[prost(string, optional, tag = "50003")]
    pub format: Option<String>,
    /// `jumpstarter.annotations.rest`
    #[prost(bool, optional, tag = "50004")]
    pub rest: Option<bool>,
    /// `jumpstarter.annotations.unit`
    #[prost(string, optional, tag = "50005")]
    pub unit: Option<String>,
}

/// Options of an enum's value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EnumValueOptions {
    /// `jumpstarter.annotations.text`
    #[prost(string, optional, tag = "50020")]
    pub text: Option<String>,
}

/// Options of a method.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MethodOptions {
    /// `jumpstarter.annotations.export`
    #[prost(string, optional, tag = "50030")]
    pub export: Option<String>,
    /// `jumpstarter.annotations.message_framing`
    #[prost(bool, optional, tag = "50031")]
    pub message_framing: Option<bool>,
    /// `jumpstarter.annotations.renamed_from`
    #[prost(string, repeated, tag = "50032")]
    pub renamed_from: Vec<String>,
}

/// Numbers of `descriptor.proto`'s fields, of which paths of comments are made.
pub mod path {
    /// `FileDescriptorProto.message_type`
    pub const MESSAGE: i32 = 4;
    /// `FileDescriptorProto.enum_type`
    pub const ENUM: i32 = 5;
    /// `FileDescriptorProto.service`
    pub const SERVICE: i32 = 6;
    /// `DescriptorProto.nested_type`
    pub const NESTED_MESSAGE: i32 = 3;
    /// `DescriptorProto.enum_type`
    pub const NESTED_ENUM: i32 = 4;
    /// `DescriptorProto.field`, `EnumDescriptorProto.value` and `ServiceDescriptorProto.method`
    pub const MEMBER: i32 = 2;
}
