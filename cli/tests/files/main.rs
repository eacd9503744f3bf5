//! Exporter files checked with the real drivers: what is said about them, and that no content does any harm.

#[path = "../../../fuzz/entry.rs"]
mod entry;
mod gallery;
mod memory;
mod model;
mod mutation;
