//! Defaults that attributes state.
//!
//! A default that is text stands for whatever the type reads from text, so `#[default = "500ms"]` works for a length
//! of time. Text that the type cannot read is the author's mistake and is found by whoever first asks for the default
//! (schemas and command lines do): these functions then panic and say where.

use prost_types::Value;
use serde::de::{DeserializeOwned, IntoDeserializer as _};

use crate::{
    command::parse_text,
    dispatch::Argument,
    wire::{Reading, Wire},
};

/// The default of a parameter or a message's field, for the description.
pub fn default_value<T: Wire>(default: &T) -> Value {
    default.to_value().unwrap_or_else(|error| panic!("a default that upstream's calls cannot carry: {error}"))
}

/// A wire type from the text of its default.
pub fn text<T: Wire>(text: &str, place: &str) -> T {
    let value = parse_text(T::TYPE, text);
    value
        .and_then(|value| T::from_value(value, Reading::ARGUMENT))
        .unwrap_or_else(|error| panic!("the default of {place}: {error}"))
}

/// The description's default from its text.
pub fn value_of_text<T: Argument>(default: &str, place: &str) -> Value {
    T::default_of_text(default, place)
}

/// A type of a configuration from the text of its default.
pub fn config_text<T: DeserializeOwned>(text: &str, place: &str) -> T {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(text).unwrap_or_else(|error| panic!("the default of {place}: {error}"))
}

/// The error of a driver that only other drivers make.
pub fn only_made(type_name: &str, makers: &[&str]) -> crate::Error {
    let by = match makers {
        [] => "another driver makes it as a child of its own".to_owned(),
        makers => {
            let names: Vec<_> = makers.iter().map(|maker| format!("`{maker}`")).collect();
            format!("it is made by {}, as a child", names.join(" or "))
        }
    };
    crate::Error::configuration(format!(
        "`{type_name}` cannot stand in an exporter file: {by}; configure that one instead"
    ))
}
