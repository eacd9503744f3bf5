//! Types of a record: their spelling, and which values one of them takes that another one sends.

use std::{fmt, str::FromStr};

use jumpstarter_core::describe;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A type. Written as words: `list of message Partition`, `optional u16`, `text uuid`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Type {
    Nothing,
    Bool,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Text,
    /// Text of a JSON Schema format.
    Format(String),
    Bytes,
    Json,
    Duration,
    /// A file to read.
    Source,
    /// A file to write.
    Sink,
    Optional(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>),
    /// A message of the interface, by name.
    Message(String),
    /// An enum of the interface, by name.
    Enum(String),
}

const WORDS: &[(&str, Type)] = &[
    ("nothing", Type::Nothing),
    ("bool", Type::Bool),
    ("i32", Type::I32),
    ("i64", Type::I64),
    ("u8", Type::U8),
    ("u16", Type::U16),
    ("u32", Type::U32),
    ("u64", Type::U64),
    ("f32", Type::F32),
    ("f64", Type::F64),
    ("text", Type::Text),
    ("bytes", Type::Bytes),
    ("json", Type::Json),
    ("duration", Type::Duration),
    ("source", Type::Source),
    ("sink", Type::Sink),
];

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => write!(f, "text {format}"),
            Self::Optional(inner) => write!(f, "optional {inner}"),
            Self::List(item) => write!(f, "list of {item}"),
            Self::Map(item) => write!(f, "map of {item}"),
            Self::Message(name) => write!(f, "message {name}"),
            Self::Enum(name) => write!(f, "enum {name}"),
            simple => {
                let word = WORDS.iter().find(|(_, ty)| ty == simple).map_or("nothing", |(word, _)| word);
                f.write_str(word)
            }
        }
    }
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let within = |rest: &str| rest.parse().map(Box::new);
        if let Some((_, ty)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(ty.clone());
        }
        let (word, rest) = text.split_once(' ').ok_or_else(|| format!("`{text}` is not a type"))?;
        match (word, rest.strip_prefix("of ")) {
            ("optional", _) => within(rest).map(Self::Optional),
            ("list", Some(item)) => within(item).map(Self::List),
            ("map", Some(item)) => within(item).map(Self::Map),
            ("text", _) => Ok(Self::Format(rest.to_owned())),
            ("message", _) => Ok(Self::Message(rest.to_owned())),
            ("enum", _) => Ok(Self::Enum(rest.to_owned())),
            _ => Err(format!("`{text}` is not a type")),
        }
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What is wrong when a reader of one type gets what a writer of another one sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// In protobuf bytes.
    pub(crate) native: bool,
    /// In upstream's values.
    pub(crate) legacy: bool,
    /// Whether the protobuf types differ as well.
    pub(crate) in_proto: bool,
}

impl Mismatch {
    const EVERYWHERE: Self = Self { native: true, legacy: true, in_proto: true };

    pub(crate) fn any(self) -> bool {
        self.native || self.legacy
    }
}

impl Type {
    pub(crate) fn simple(ty: describe::Type) -> Self {
        use describe::Type as From;
        match ty {
            From::Bool => Self::Bool,
            From::I32 => Self::I32,
            From::I64 => Self::I64,
            From::U8 => Self::U8,
            From::U16 => Self::U16,
            From::U32 => Self::U32,
            From::U64 => Self::U64,
            From::F32 => Self::F32,
            From::F64 => Self::F64,
            From::Str => Self::Text,
            From::Format(format) => Self::Format(format.to_owned()),
            From::Bytes => Self::Bytes,
            From::Json => Self::Json,
            From::Duration => Self::Duration,
            From::Handle => Self::Source,
            From::Unit | From::Opt(_) | From::List(_) | From::Map(_) | From::Message(_) | From::Enum(_) => {
                Self::Nothing
            }
        }
    }

    /// Whether it is another type on the wire: messages and enums are compared elsewhere, whatever they are called.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        match (self.inner(), other.inner()) {
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.differs(b),
            (Self::Message(_), Self::Message(_)) | (Self::Enum(_), Self::Enum(_)) => false,
            (a, b) => a != b,
        }
    }

    /// Without `optional` around it.
    pub(crate) fn inner(&self) -> &Self {
        match self {
            Self::Optional(inner) => inner.inner(),
            other => other,
        }
    }

    /// Whether protobuf says of such a field that it is not there, whatever its presence.
    pub(crate) fn always_sent(&self) -> bool {
        matches!(self.inner(), Self::Message(_) | Self::Duration | Self::Json)
    }

    fn range(&self) -> Option<(i128, i128)> {
        Some(match self {
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::I64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            _ => return None,
        })
    }

    /// The scalar of protobuf.
    fn proto(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I32 | Self::I64 => "int64",
            Self::U8 | Self::U16 | Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F32 => "float",
            Self::F64 => "double",
            Self::Text | Self::Format(_) | Self::Source | Self::Sink => "string",
            Self::Bytes => "bytes",
            Self::Json => "Value",
            Self::Duration => "Duration",
            Self::Nothing
            | Self::Optional(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Message(_)
            | Self::Enum(_) => "",
        }
    }

    /// What goes wrong when `self` is read where `writer` is written. `named` compares messages and enums, which are
    /// names here, and says whether these two are of one kind.
    pub(crate) fn reads(&self, writer: &Self, named: &mut dyn FnMut(&Self, &Self)) -> Mismatch {
        match (self.inner(), writer.inner()) {
            (Self::List(reader), Self::List(writer)) | (Self::Map(reader), Self::Map(writer)) => {
                reader.reads(writer, named)
            }
            (reader @ Self::Message(_), writer @ Self::Message(_))
            | (reader @ Self::Enum(_), writer @ Self::Enum(_)) => {
                named(reader, writer);
                Mismatch::default()
            }
            (reader, writer) if reader == writer => Mismatch::default(),
            (reader, writer) if reader.proto().is_empty() || writer.proto().is_empty() => {
                Mismatch { legacy: *reader != Self::Json, ..Mismatch::EVERYWHERE }
            }
            (reader, writer) => reader.reads_scalar(writer),
        }
    }

    fn reads_scalar(&self, writer: &Self) -> Mismatch {
        let fits = match (self.range(), writer.range()) {
            (Some((low, high)), Some((least, most))) => low <= least && most <= high,
            // Every text is a text; not every text has a form. A fraction that is rounded is still the one that was meant.
            (None, None) => matches!(
                (self, writer),
                (Self::Text, Self::Format(_)) | (Self::F64, Self::F32) | (Self::F32, Self::F64)
            ),
            _ => false,
        };
        let number = |ty: &Self| matches!(ty, Self::F32 | Self::F64) || ty.range().is_some();
        let legacy = match (self, writer) {
            (Self::Json, _) => false,
            (Self::F32 | Self::F64, writer) => !number(writer),
            _ => !fits,
        };
        let in_proto =
            self.proto() != writer.proto() && (self.proto(), writer.proto()) != ("uint64", "uint32");
        Mismatch { native: in_proto || !fits, legacy, in_proto }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(reader: &str, writer: &str) -> (bool, bool, bool) {
        let (reader, writer): (Type, Type) = (reader.parse().unwrap(), writer.parse().unwrap());
        let Mismatch { native, legacy, in_proto } = reader.reads(&writer, &mut |_, _| {});
        (native, legacy, in_proto)
    }

    #[test]
    fn types_are_written_and_read() {
        for text in [
            "nothing",
            "u8",
            "text",
            "text date-time",
            "optional list of map of message Partition",
            "map of optional enum Edge",
            "sink",
        ] {
            assert_eq!(text.parse::<Type>().unwrap().to_string(), text);
        }
        assert_eq!("listof u8".parse::<Type>().unwrap_err(), "`listof u8` is not a type");
        assert_eq!("list u8".parse::<Type>().unwrap_err(), "`list u8` is not a type");
    }

    #[test]
    fn wider_integers_of_one_family_read_narrower_ones() {
        assert_eq!(reads("u32", "u8"), (false, false, false));
        assert_eq!(reads("u64", "u32"), (false, false, false));
        assert_eq!(reads("i64", "i32"), (false, false, false));
        // The other way round values are refused; protobuf sees it only where its own types differ.
        assert_eq!(reads("u8", "u32"), (true, true, false));
        assert_eq!(reads("u32", "u64"), (true, true, true));
        // Another family has other bytes, and the same values in upstream's calls.
        assert_eq!(reads("i64", "u32"), (true, false, true));
        assert_eq!(reads("f64", "i32"), (true, false, true));
    }

    #[test]
    fn text_reads_text_of_every_form() {
        assert_eq!(reads("text", "text uuid"), (false, false, false));
        assert_eq!(reads("text uuid", "text"), (true, true, false));
        assert_eq!(reads("source", "text"), (true, true, false));
        assert_eq!(reads("list of text", "text"), (true, true, true));
        assert_eq!(reads("json", "text"), (true, false, true));
    }
}
