//! Tests of the resources from outside.

mod objects;
mod parity;
