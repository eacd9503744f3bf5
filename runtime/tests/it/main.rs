//! What generated code does at run time.

#![allow(unreachable_pub, missing_docs)]

mod both_languages;
mod commands;
mod configuration;
mod description;
mod drivers;
mod messages;
mod sample;
mod support;
