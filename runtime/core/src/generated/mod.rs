//! What generated code calls. Nothing here is for people; `jumpstarter::__private` hands it on.
//!
//! Whatever does not depend on the author's item is here, as ordinary code, so that an expansion stays short.

mod check;
mod default;
pub mod enumeration;
mod json;
mod message;

pub use check::{field, injected, method, new_commands, param};
pub use default::{config_text, default_value, only_made, text, value_of_text};
pub use enumeration::Enumeration;
pub use json::{deserialize, schema, serialize, with_aliases};
pub use message::{FieldValues, merge_fields, message_value};
