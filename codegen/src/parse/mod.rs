//! What was written, with its places.

mod attributes;
mod keys;

pub(crate) use attributes::{Attributes, derives, doc_of};
pub(crate) use keys::{Given, Keys, text};
