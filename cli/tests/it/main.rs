//! The commands as people start them: the built programs, real processes, real terminals.
//!
//! | Module | What is shown |
//! |---|---|
//! | `support` | starting programs in an environment that is the same everywhere |
//! | `check` | exporter files that are checked: which are read, what is told, exit codes |
//! | `usage` | help, mistakes, exit codes |
//! | `shell` | the command that a shell runs: its environment, its exit code, its end |
//! | `devices` | `j` |
//! | `listener` | `jmp run` and shells that connect to it |
//! | `terminal` | consoles and prompts in a pseudo-terminal |
//! | `completion` | what scripts ask, what they get |
//! | `clients` | files of clients, and which one is used |
//! | `leases` | a lab, an exporter that is leased, and every way out |

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod check;
mod clients;
mod completion;
mod devices;
mod lab;
mod leases;
mod listener;
mod registered;
/// An exporter that does what the wire asks of one, and no more.
#[path = "../../../runtime/lease/tests/it/rig.rs"]
mod rig;
mod schema;
mod shell;
mod support;
mod terminal;
mod usage;
