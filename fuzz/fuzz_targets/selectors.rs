//! Label selectors: `cargo +nightly fuzz run selectors`.

#![no_main]

#[path = "../lab.rs"]
mod lab;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lab::selectors(bytes));
