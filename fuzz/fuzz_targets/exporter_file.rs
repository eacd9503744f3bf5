//! Exporter files: `cargo +nightly fuzz run exporter_file`.

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::exporter_file(bytes));
