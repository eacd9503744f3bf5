//! A session as its clients see it: over HTTP/2, on connections in memory, with a driver written by hand.

// Helpers of tests may fail like tests.
#![allow(clippy::unwrap_used)]

mod calls;
mod driver;
mod host;
mod native;
mod properties;
mod resources;
mod session;
mod streams;
