//! From an exporter file to open drivers that clients can use.
//!
//! ```text
//! file ──► check (every problem, no hardware) ──► plan ──► open ──► session ──► listeners, hooks
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`registry`] | which drivers this program has, under which names |
//! | [`plan`] | a file checked against the registry: what would be opened |
//! | [`open`] | a plan turned into a tree of open drivers |
//! | [`hook`] | scripts before and after a lease |
//! | [`local`] | a session on a private socket, for one person |
//! | [`memory`] | giving memory back |
//! | `motd` | what a hook adds to the message of the day |
//! | `unknown` | what to tell somebody who named a driver that is not there |
//! | [`standalone`] | a session on a TCP port, with hooks, until it is told to stop |
//! | [`registered`] | registered with a controller, and leased, until it is told to stop |
//!
//! This crate has never heard of any driver: it is handed a [`Registry`].

// One call of the C library, which has no safe binding.
#![deny(unsafe_code)]

pub mod hook;
pub mod local;
pub mod memory;
mod motd;
pub mod open;
pub mod plan;
pub mod registered;
pub mod registry;
pub mod standalone;
mod unknown;

pub use plan::{Mode, Plan, check};
pub use registry::{Commands, Known, Registry};
