//! What goes over the wire: the messages and services of the Jumpstarter protocol, generated from the `.proto` files of
//! this package at build time (without `protoc`).
//!
//! | Module | Contents |
//! |---|---|
//! | [`v1`] | package `jumpstarter.v1`: controller, exporter and router services with their messages |
//! | [`client`] | package `jumpstarter.client.v1`: what clients ask of the controller |
//! | [`admin`] | package `jumpstarter.admin.v1`: what an administrator asks of a lab without Kubernetes |
//! | [`codec`] | how messages become bytes |
//! | [`value`] | `google.protobuf.Value` to and from JSON |
//! | [`annotations`] | names of the options that driver interfaces carry |
//!
//! [`DESCRIPTORS`] is the same protocol as a descriptor set, for reflection services and for reading it at run time.
//! Byte fields are [`bytes::Bytes`], so that passing a frame on copies nothing.

#![forbid(unsafe_code)]

pub mod codec;
pub mod value;

/// Messages and services of package `jumpstarter.v1`.
///
/// Clients are generated without a transport: they take any `tonic::client::GrpcService`.
// Generated: style is the generator's, and documentation is complete as far as the `.proto` files are.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("jumpstarter.v1");
}

/// What clients ask of the controller.
pub mod client {
    /// Messages and services of package `jumpstarter.client.v1`.
    // As above.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("jumpstarter.client.v1");
    }
}

/// What an administrator asks of a lab without Kubernetes.
pub mod admin {
    /// Messages and services of package `jumpstarter.admin.v1`.
    // As above.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("jumpstarter.admin.v1");
    }
}

/// Options that driver interfaces carry, package `jumpstarter.annotations`.
pub mod annotations {
    /// Full name of the field option that marks a text field as a resource handle.
    pub const RESOURCE_HANDLE: &str = "jumpstarter.annotations.resource_handle";

    /// Number of that option among the extensions of `google.protobuf.FieldOptions`.
    pub const RESOURCE_HANDLE_NUMBER: u32 = 50_000;

    /// Number of the field option that holds, as JSON, what an absent field means.
    pub const DEFAULT_JSON_NUMBER: u32 = 50_001;

    /// Number of the field option that says a resource handle is for bytes from the driver to the client.
    pub const RESOURCE_SINK_NUMBER: u32 = 50_002;

    /// Number of the field option that names the form of a text.
    pub const FORMAT_NUMBER: u32 = 50_003;

    /// Number of the field option of a parameter that collects all further arguments.
    pub const REST_NUMBER: u32 = 50_004;

    /// Number of the field option that names the unit of a number.
    pub const UNIT_NUMBER: u32 = 50_005;

    /// Number of the message option for messages that are lists in `DriverCall`.
    pub const POSITIONAL_NUMBER: u32 = 50_010;

    /// Number of the option that holds an enum value's text in `DriverCall`.
    pub const TEXT_NUMBER: u32 = 50_020;

    /// Number of the option that holds a method's name in `DriverCall`.
    pub const EXPORT_NUMBER: u32 = 50_030;

    /// Number of the method option for byte streams whose pieces are messages.
    pub const MESSAGE_FRAMING_NUMBER: u32 = 50_031;

    /// Number of the method option that holds a method's earlier names.
    pub const RENAMED_FROM_NUMBER: u32 = 50_032;

    /// Path under which interfaces import the options.
    pub const FILE: &str = "jumpstarter/annotations/annotations.proto";
}

/// Serialized `google.protobuf.FileDescriptorSet` of every file of the protocol, imports included and first.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
