//! What was written, with its places.

mod attributes;
mod keys;

pub(crate) use attributes::{Attributes, doc_of, derives};
pub(crate) use keys::{Given, Keys, text};
