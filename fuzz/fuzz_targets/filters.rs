//! Names in requests: `cargo +nightly fuzz run filters`.

#![no_main]

#[path = "../lab.rs"]
mod lab;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lab::filters(bytes));
