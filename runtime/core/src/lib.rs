//! The traits and types everything else is written against: drivers, interfaces, calls, streams, files, errors, and the
//! configuration that people write. No sockets, no files, no clock.
//!
//! People use this crate through `jumpstarter`, which adds the macros. A tour by what you have in front of you:
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`describe`] | interfaces as constants: the source of tables, descriptors, schemas and command lines |
//! | [`descriptor`] | descriptions as protobuf descriptors |
//! | [`dynamic`] | descriptors as descriptions: interfaces that this program was not compiled with; values for people |
//! | [`wire`] | types in both wire languages |
//! | [`dispatch`] | arguments → method → answer, erased |
//! | [`client`] | the other side: what generated clients stand on |
//! | [`driver`], [`instance`] | configuration → driver → open instance in a tree |
//! | [`mod@io`], [`stream`], [`resource`] | byte streams, item streams, files |
//! | [`call`], [`log`] | what a method knows about its call, and how drivers speak |
//! | [`command`] | commands that clients add |
//! | [`config`] | files that people write, with a place for every problem |
//! | [`schemas`] | the same files as JSON Schemas, for editors |
//! | [`selector`] | labels, and which of many labelled things are meant |
//! | [`error`] | what can go wrong |

#![forbid(unsafe_code)]

pub mod call;
pub mod client;
pub mod command;
pub mod config;
pub mod describe;
pub mod descriptor;
pub mod dispatch;
pub mod driver;
pub mod dynamic;
pub mod error;
#[doc(hidden)]
pub mod generated;
pub mod instance;
pub mod io;
pub mod log;
pub mod resource;
pub mod schemas;
pub mod selector;
pub mod stream;
pub mod wire;

pub use call::Call;
pub use error::{Context, Error, ErrorClass, ErrorKind, Result};
pub use io::Io;
pub use resource::{Sink, Source};
pub use selector::{Labels, Selector};
pub use stream::Stream;
pub use wire::Delay;
