//! The configuration reader against files of every kind.

mod agreement;
mod decoding;
mod files;
mod gallery;
mod pitfalls;
mod rendering;
mod robustness;
mod sample;
mod whole;
