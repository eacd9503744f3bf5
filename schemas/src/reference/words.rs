//! Types and texts as people read them.

use std::fmt::Write as _;

use jumpstarter_core::{
    Delay,
    describe::{EnumSpec, MessageSpec, Param, Type},
};
use jumpstarter_protocol::value;

/// A doc comment as running text: its line breaks are those of the source.
pub(super) fn prose(doc: &str) -> String {
    let paragraphs = doc.trim().split("\n\n").map(|paragraph| {
        let keeps = paragraph.lines().any(|line| line.starts_with([' ', '-', '*', '|', '`']));
        if keeps { paragraph.to_owned() } else { paragraph.split_whitespace().collect::<Vec<_>>().join(" ") }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// A doc comment in a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The first sentence or line of a doc comment.
pub(super) fn summary(doc: &str) -> String {
    let text = cell(doc.split("\n\n").next().unwrap_or_default());
    match text.find(". ") {
        Some(end) => text[..=end].to_owned(),
        None => text,
    }
}

/// A table; nothing without rows.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n|{}\n", titles.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// A type in a description of an interface. Named types are sections of the same page.
pub(super) fn of_type(ty: Type) -> String {
    match ty {
        Type::Unit => "nothing".to_owned(),
        Type::Bool => "true or false".to_owned(),
        Type::I32 | Type::I64 => "whole number".to_owned(),
        Type::U8 => "whole number, 0 to 255".to_owned(),
        Type::U16 => "whole number, 0 to 65535".to_owned(),
        Type::U32 | Type::U64 => "whole number, 0 or more".to_owned(),
        Type::F32 | Type::F64 => "number".to_owned(),
        Type::Str => "text".to_owned(),
        Type::Format(format) => format!("text ({format})"),
        Type::Bytes => "bytes".to_owned(),
        Type::Json => "any JSON value".to_owned(),
        Type::Duration => "length of time".to_owned(),
        Type::Handle => "file".to_owned(),
        Type::Opt(inner) => format!("{}, or nothing", of_type(*inner)),
        Type::List(item) => format!("list of: {}", of_type(*item)),
        Type::Map(item) => format!("mapping of text to: {}", of_type(*item)),
        Type::Message(spec) => named(spec().name),
        Type::Enum(spec) => named(spec().name),
    }
}

fn named(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// How a type is written in protobuf.
pub(super) fn proto_type(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::I32 | Type::I64 => "int64",
        Type::U8 | Type::U16 | Type::U32 => "uint32",
        Type::U64 => "uint64",
        Type::F32 => "float",
        Type::F64 => "double",
        Type::Str | Type::Format(_) | Type::Handle => "string",
        Type::Bytes => "bytes",
        Type::Json => "google.protobuf.Value",
        Type::Duration => "google.protobuf.Duration",
        Type::Unit => "google.protobuf.Empty",
        Type::Opt(inner) => proto_type(*inner),
        Type::List(_) => "repeated",
        Type::Map(_) => "map",
        Type::Message(_) => "message",
        Type::Enum(_) => "enum",
    }
}

/// The default of a parameter, or what its absence means.
pub(super) fn default_of(param: &Param) -> String {
    match param.default {
        Some(default) => match value::to_json(default()) {
            Ok(serde_json::Value::String(text)) if matches!(param.ty.inner(), Type::Duration) => {
                format!("`{}`", friendly(&text))
            }
            Ok(json) => format!("`{}`", whole(json, param.ty)),
            Err(_) => "has one".to_owned(),
        },
        None if matches!(param.ty, Type::Opt(_)) => "nothing".to_owned(),
        None if param.rest => "none".to_owned(),
        None => "required".to_owned(),
    }
}

/// `google.protobuf.Value` has only floating point; a whole number is written as one.
fn whole(json: serde_json::Value, ty: Type) -> serde_json::Value {
    let is_whole = matches!(ty.inner(), Type::I32 | Type::I64 | Type::U8 | Type::U16 | Type::U32 | Type::U64);
    #[expect(clippy::cast_possible_truncation, reason = "beyond 2^53 it stays as it is")]
    match json.as_f64().filter(|number| is_whole && number.fract() == 0.0 && number.abs() < 9e15) {
        Some(number) => (number as i64).into(),
        None => json,
    }
}

/// A length of time as people write it.
pub(super) fn friendly(text: &str) -> String {
    text.parse::<Delay>().map_or_else(|_| text.to_owned(), Delay::friendly)
}

/// Every named type that is reachable from a type, itself included, in order of appearance.
pub(super) fn named_types(ty: Type, found: &mut Named) {
    match ty {
        Type::Opt(inner) | Type::List(inner) | Type::Map(inner) => named_types(*inner, found),
        Type::Message(spec) => {
            let spec = spec();
            if !found.messages.iter().any(|known| std::ptr::eq(*known, spec)) {
                found.messages.push(spec);
                for field in spec.fields {
                    named_types(field.ty, found);
                }
            }
        }
        Type::Enum(spec) => {
            let spec = spec();
            if !found.enums.iter().any(|known| std::ptr::eq(*known, spec)) {
                found.enums.push(spec);
            }
        }
        _ => {}
    }
}

/// Named types.
#[derive(Default)]
pub(super) struct Named {
    pub(super) messages: Vec<&'static MessageSpec>,
    pub(super) enums: Vec<&'static EnumSpec>,
}
