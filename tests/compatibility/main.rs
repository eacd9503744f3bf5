//! Recorded conversations of the existing implementation, replayed.
//!
//! `docs/compatibility.md` lists every recording with its test and the differences that are wanted.

mod client;
mod itself;
mod ours;
mod programs;
mod recordings;
mod reports;
mod table;
mod upstream;
mod values;
mod wanted;
