//! Bodies of calls to a router: `cargo +nightly fuzz run frames`.

#![no_main]

#[path = "../lab.rs"]
mod lab;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lab::frames(bytes));
