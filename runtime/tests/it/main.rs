//! What generated code does at run time.

// A test says what it expects by unwrapping; helpers of tests as well.
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod both_languages;
mod commands;
mod configuration;
mod description;
mod drivers;
mod messages;
mod sample;
mod support;
