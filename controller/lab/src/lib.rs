//! A complete lab in one process: controller, router and store on one port, without Kubernetes.
//!
//! ```text
//!             ┌─ ControllerService, ClientService ──► jumpstarter-service ──► store (one file)
//!  one port ──┼─ RouterService ─────────────────────► jumpstarter-router
//!   (TLS)     ├─ health, reflection
//!             └─ /healthz /readyz /v1/auth/config
//!
//!  DIR/admin@localhost (unix socket, its owner only) ── AdminService
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`data`] | the folder: store, keys, certificates |
//! | [`certificate`] | the lab's authority, and its certificate for every name of this machine |
//! | [`serve`] | everything on one port; how it starts and ends |
//! | [`admin`] | what an administrator asks |
//! | [`web`] | the few pages beside the gRPC services |

#![forbid(unsafe_code)]

pub mod admin;
pub mod certificate;
pub mod data;
pub mod serve;
pub mod web;

pub use data::Data;
pub use jumpstarter_leasing::Settings as Leases;
pub use serve::{Protection, Serving, Settings};

/// The namespace of a lab that has only one.
pub const NAMESPACE: &str = "default";
