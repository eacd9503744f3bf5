//! The machine: scenes, chance, and its table in the documentation.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod chance;
mod scenes;
mod table;
