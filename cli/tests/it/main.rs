//! The commands as people start them: the built programs, real processes, real terminals.
//!
//! | Module | What is shown |
//! |---|---|
//! | `support` | starting programs in an environment that is the same everywhere |
//! | `admin` | what the owner of a lab is shown, asked and refused |
//! | `check` | exporter files that are checked: which are read, what is told, exit codes |
//! | `usage` | help, mistakes, exit codes |
//! | `shell` | the command that a shell runs: its environment, its exit code, its end |
//! | `devices` | `j` |
//! | `listener` | `jmp run` and shells that connect to it |
//! | `supervisor` | what `jmp run` does when the process that serves crashes |
//! | `records` | what it logs as JSON |
//! | `first` | being the first process of a container |
//! | `terminal` | consoles and prompts in a pseudo-terminal |
//! | `slow` | a lab that takes its time to answer |
//! | `interrupts` | Ctrl-C in a terminal, while a lease is held |
//! | `completion` | what scripts ask, what they get |
//! | `clients` | files of clients, and which one is used |
//! | `exporters` | files of exporters: written, listed, changed, removed |
//! | `login` | a token that somebody brings, and what it says |
//! | `kinds` | who has to act, in exit codes |
//! | `machines` | two machines with a cable between them |
//! | `manager` | a service manager that is told how a service is |
//! | `share` | the four commands of the README, on two machines |
//! | `leases` | a lab, an exporter that is leased, and every way out |

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod admin;
mod check;
mod clients;
mod completion;
mod devices;
mod exporters;
mod first;
mod gone;
mod interrupts;
mod kinds;
mod lab;
mod leases;
mod listener;
mod login;
mod machines;
mod manager;
mod records;
mod registered;
/// An exporter that does what the wire asks of one, and no more.
#[path = "../../../runtime/lease/tests/it/rig.rs"]
mod rig;
mod schema;
mod share;
mod shell;
mod slow;
mod supervisor;
mod support;
mod terminal;
mod usage;
