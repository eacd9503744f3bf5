//! The fixture, and every edited copy of it, compiled.

#![forbid(unsafe_code)]
// The copies are what the edits make of them.
#![allow(missing_docs, unused_variables, dead_code, clippy::pedantic)]

use jumpstarter::{DriverFactory, describe::Interface};

/// Name, interfaces and drivers of one copy.
pub type Variant = (&'static str, &'static [&'static Interface], &'static [&'static dyn DriverFactory]);

#[path = "fixture.rs"]
pub mod original;

include!(concat!(env!("OUT_DIR"), "/variants.rs"));
