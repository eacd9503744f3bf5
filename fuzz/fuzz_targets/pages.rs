//! Page tokens: `cargo +nightly fuzz run pages`.

#![no_main]

#[path = "../lab.rs"]
mod lab;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lab::pages(bytes));
