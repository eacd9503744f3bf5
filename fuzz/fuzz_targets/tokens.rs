//! Tokens: `cargo +nightly fuzz run tokens`.

#![no_main]

#[path = "../lab.rs"]
mod lab;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lab::tokens(bytes));
