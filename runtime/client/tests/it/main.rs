//! The client against exporters that play well, and against some that do not.

// Helpers of tests fail as tests do; some make what a call of tonic wants, which is a `Result`.
#![allow(clippy::unwrap_used, clippy::unnecessary_wraps)]

mod adapters;
mod calls;
mod files;
mod gadget;
mod logs;
mod peer;
mod streams;
mod tree;
