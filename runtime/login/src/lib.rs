//! Signing in to a lab: what it says about itself, and tokens from the identity provider that it names.
//!
//! Nothing here asks a person, prints or writes a file: that is the program's. Tokens are in [`Secret`]s, and no message
//! holds one.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`lab`] | `[CLIENT@]HOST`, and the document that a lab answers to whoever logs in |
//! | [`provider`] | OpenID Connect: discovery, and the grants that bring tokens |
//! | [`callback`] | where a browser comes back to |
//! | [`claims`] | what a token says about itself, which is not checked here |
//! | [`web`] | HTTPS, and whom it trusts |

#![deny(unsafe_code)]

pub mod callback;
pub mod claims;
pub mod lab;
pub mod provider;
pub mod web;

pub use callback::Callback;
pub use claims::Claims;
pub use jumpstarter_core::config::source::Secret;
pub use lab::{Lab, Target};
pub use provider::{DeviceCode, Provider, Tokens};
pub use web::{Trust, Web};
