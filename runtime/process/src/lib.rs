//! Commands that drivers run.
//!
//! Each command is the leader of a session and a process group of its own, so that everything it starts can be ended
//! together, and nothing of it can reach for the exporter's terminal. Its input is empty, its output is passed on as it
//! appears, and nothing polls. It ends in one of three ways: by itself, because its time is over, or because nobody
//! listens any more. In the last two the whole group is asked to end (SIGTERM) and, after [`GRACE`], made to (SIGKILL).
//!
//! What a command leaves running in the background when it ends by itself goes on, until [`Jobs::close`]. If the exporter
//! is killed, a small guard process ends all of it.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `job` | what to run, and what comes of it |
//! | `jobs` | the commands of one driver, and their end |
//! | `group` | a process group and its signals |
//! | `guard` | the process that outlives a killed exporter |
//! | [`programs`] | where a program is that is known by its name |

#![deny(unsafe_code)]

mod group;
mod guard;
mod job;
mod jobs;
pub mod programs;

pub use group::GRACE;
pub use job::{End, Event, Job, Output, Running};
pub use jobs::Jobs;
