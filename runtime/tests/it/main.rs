//! What generated code does at run time.

#![allow(dead_code, unreachable_pub, missing_docs)]

mod sample;
mod both_languages;
