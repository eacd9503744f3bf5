//! Files that people write, read with places: text in, a typed value or a list of problems out.
//!
//! Nothing here opens a file or reads an environment variable; the caller brings the text and a
//! look-up function. Whatever the text holds, reading it ends, stays within fixed budgets
//! ([`document`]) and never panics.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`source`] | one text with its name; spans, lines, secrets that no excerpt may show |
//! | [`problem`] | what is wrong, where, what to write instead; rendering and a JSON form |
//! | [`suggest`] | the nearest known word |
//! | [`encoding`] | bytes to text |
//! | [`document`] | YAML to a tree of nodes, each with its place |
//! | [`mod@decode`] | any `serde` type from a node, all problems of one pass collected |
//! | [`schema`] | a JSON Schema walk over a node |
//! | [`exporter`] | the exporter file: keys, hooks, overrides from the environment |
//! | [`client`], [`user`] | the client's and the user's files |
//! | `top` | what the three have in common |
//! | [`tree`], [`common`] | the driver nodes of an exporter file; what every node can say |
//! | [`references`] | `ref` nodes resolved over the whole tree |
//!
//! ```
//! use jumpstarter_core::config;
//!
//! let reading = config::exporter::read("rig.yaml", "exports: {}\n", |_| None);
//! assert!(reading.problems.to_string().contains("did you mean `export`?"));
//! ```

pub mod client;
pub mod common;
pub mod decode;
mod deserializer;
pub mod document;
pub mod encoding;
pub mod exporter;
mod hints;
mod lines;
pub mod problem;
mod recover;
pub mod references;
mod render;
mod scalar;
pub mod schema;
pub mod source;
mod subject;
pub mod suggest;
mod syntax;
mod top;
pub mod tree;
pub mod user;
mod wording;
mod yaml;

pub use client::ClientConfig;
pub use common::{CommonConfig, Isolation, LogLevel};
pub(crate) use decode::refused_rest;
pub use decode::{Subject, decode, decode_checked};
pub use document::{Document, Entry, Map, Node, Parsed, Value, parse};
pub use exporter::{
    ExporterFile, FailureDetection, GrpcOption, Hook, Hooks, Metadata, OnFailure, Reading, Tls,
};
pub use problem::{Problem, Problems, Severity};
pub use references::{References, Target};
pub use schema::check_schema;
pub use source::{Secret, Source, Span, Spanned};
pub use suggest::nearest;
pub use tree::{DriverInstance, DriverNode, NodeKind};
pub use user::UserConfig;
