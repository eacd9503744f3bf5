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
//! | [`config`] | the file that says how it is run |
//! | [`metrics`] | what is counted |
//! | `routers` | routers on other machines |
//! | `status` | what the status page shows |
//! | [`web`] | the few pages beside the gRPC services |

#![forbid(unsafe_code)]

pub mod admin;
pub mod certificate;
pub mod config;
pub mod data;
pub mod metrics;
mod routers;
pub mod serve;
mod status;
pub mod web;

pub use config::LabConfig;
pub use data::Data;
pub use serve::{Protection, Serving, Settings};

/// The namespace of a lab that has only one.
pub const NAMESPACE: &str = "default";
