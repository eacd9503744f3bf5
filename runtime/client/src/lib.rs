//! The client's side: a session's devices as a tree, and everything that can be done with them.
//!
//! ```no_run
//! # async fn example() -> jumpstarter_core::Result<()> {
//! use jumpstarter_client::{Device, adapters::Expect};
//!
//! // Inside of `jmp shell`, the environment says where the session is.
//! let exporter = Device::from_env().await?;
//! for device in exporter.devices() {
//!     tracing::info!("{}: {}", device.path(), device.client_class());
//! }
//! // With a generated client it is `exporter.client::<PowerClient>("board.power")?.on().await?`.
//! exporter.find("board.power")?.call_values("on", Vec::new()).await?;
//! let mut console = Expect::new(exporter.find("board.console")?.open_stream("connect").await?);
//! console.expect("login: ").await?;
//! # Ok(())
//! # }
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`connection`] | one channel to a session; the environment's contract; status and end of the session |
//! | `tree` | [`Device`]: report → tree, devices by path, typed clients |
//! | `remote` | a device as generated clients call it; native or upstream's calls, decided from the report |
//! | `calls` | calls by name with plain values, on [`Device`] |
//! | [`duplex`] | byte streams |
//! | `resource` | files that travel beside calls |
//! | [`files`] | files and addresses as arguments; progress; how a file is packed |
//! | [`logs`] | what exporter and drivers say |
//! | [`adapters`] | a byte stream as a local port or socket, as a terminal, and for scripts that expect answers |
//! | `wire` | codecs and streams below the level of messages |
//! | `classes` | which existing client classes take whose calls |
//!
//! A failed call is never tried again in another way: which way it goes is decided before, from the report.

#![forbid(unsafe_code)]

pub mod adapters;
mod calls;
mod classes;
pub mod connection;
pub mod duplex;
pub mod files;
pub mod logs;
mod remote;
mod resource;
mod tree;
mod wire;

pub use connection::{Connection, EndSession, Options, Patience, Status, from_env};
pub use jumpstarter_protocol::v1::ExporterStatus;
pub use jumpstarter_transport::{
    codec::Encoding,
    connect::{Credentials, Endpoint, Security},
};
pub use logs::{LogLine, Logs};
pub use tree::Device;
