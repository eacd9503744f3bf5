//! The client against exporters that play well, and against some that do not.

mod adapters;
mod calls;
mod files;
mod gadget;
mod logs;
mod peer;
mod streams;
mod tree;
