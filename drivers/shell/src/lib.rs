//! Commands of the exporter's host, under the names that its configuration gives them.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `config` | the keys of the exporter file |
//! | `shell` | [`Shell`]: from a call to a command and back |
//! | `environment` | which variables a caller may set |
//! | `text` | output in pieces as text |

#![forbid(unsafe_code)]

mod config;
mod environment;
mod shell;
mod text;

use jumpstarter::DriverFactory;

pub use config::{MethodConfig, ShellConfig};
pub use shell::Shell;

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[Shell::DRIVER];
