//! Hosts a tree of drivers: whoever connects can see the tree, call methods, open byte streams, hand over files and read
//! the log, in upstream's wire language and in that of each interface's own gRPC service.
//!
//! A [`Session`] lasts as long as one user has the devices. It knows drivers only as
//! [`Instance`](jumpstarter_core::instance::Instance)s, and nothing of leases, hooks or controllers; an exporter tells it its
//! [status](StatusBoard) and is told by it that a client has asked for the [end](EndLease).
//!
//! ```no_run
//! # async fn example(root: std::sync::Arc<jumpstarter_core::instance::Instance>) -> jumpstarter_core::Result<()> {
//! use jumpstarter_session::{Access, Session};
//! use jumpstarter_transport::{server::Server, socket};
//!
//! let session = Session::builder(root).build()?;
//! session.start().await?;
//! let directory = socket::RuntimeDirectory::create()?;
//! let (listener, path) = directory.listen(socket::MAIN)?;
//! let server = Server::new(session.service(Access::open()));
//! server.listen_unix(listener);
//! println!("export JUMPSTARTER_HOST={}", path.display());
//! # session.ended().await;
//! session.end().await;
//! # Ok(())
//! # }
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | `session` | the session's life: build, reset, end; what all parts share |
//! | `tree` | instances by uuid, services by name |
//! | `report`, `hint` | `GetReport`, and a word to Python clients |
//! | `status`, `logs` | what the session says about itself and its drivers |
//! | `access` | passphrase and gate of one way in |
//! | `service` | which path belongs to whom |
//! | `exporter_service`, `router_service` | upstream's services |
//! | `native` | the gRPC service of each interface |
//! | `reflection` | reflection and health |
//! | `calls` | dispatch: panics, cancellation, the end of the session, one record each |
//! | `byte_stream` | a driver's byte stream ↔ a call |
//! | `resources` | files of a client ↔ a driver method |
//! | `codec` | messages as bytes, with buffers for many silent streams |
//! | `count` | how much is going on, and the end of bursts |
//! | `panics` | where a driver panicked |

#![forbid(unsafe_code)]

mod access;
mod byte_stream;
mod calls;
mod codec;
mod count;
mod exporter_service;
mod hint;
mod logs;
mod native;
mod panics;
mod reflection;
mod report;
mod resources;
mod router_service;
mod service;
mod session;
mod status;
mod tree;

pub use access::Access;
pub use logs::{CAPACITY as LOG_CAPACITY, LogBuffer, LogReader};
pub use service::SessionService;
pub use session::{Activity, Builder, EndLease, Session};
pub use status::{Snapshot, StatusBoard, status_name};
