//! Marks in time.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A mark that the store gives an object at each change, and itself at each moment.
///
/// It can be compared with another one for being the same, and handed back; nothing else can be read in it. The embedded
/// store counts, Kubernetes writes what it likes (`resourceVersion`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revision(Form);

/// Counting is so frequent that it should not need memory of its own.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Number(u64),
    Text(Arc<str>),
}

impl Revision {
    /// Before everything.
    pub const ZERO: Self = Self::from_number(0);

    /// The mark of a store that counts.
    pub const fn from_number(number: u64) -> Self {
        Self(Form::Number(number))
    }

    /// What a store that counts meant with it; nothing, when it is not from such a store.
    pub fn number(&self) -> Option<u64> {
        match self.0 {
            Form::Number(number) => Some(number),
            Form::Text(_) => None,
        }
    }
}

impl From<&str> for Revision {
    /// The mark that is written like this. Every text is one.
    fn from(text: &str) -> Self {
        match text.parse::<u64>() {
            // `007` is another text than `7`, so it is another mark.
            Ok(number) if number.to_string() == text => Self::from_number(number),
            _ => Self(Form::Text(text.into())),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Number(number) => number.fmt(f),
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_the_text_that_it_was_made_from() {
        for text in ["0", "7", "18446744073709551615", "007", "18446744073709551616", "", "a:7", "-1", "+1"] {
            let revision = Revision::from(text);
            assert_eq!(revision.to_string(), text);
            assert_eq!(serde_json::to_value(&revision).unwrap(), serde_json::json!(text));
            assert_eq!(serde_json::from_value::<Revision>(serde_json::json!(text)).unwrap(), revision);
        }
        assert_eq!(Revision::from("7"), Revision::from_number(7));
        assert_ne!(Revision::from("007"), Revision::from_number(7));
        assert_eq!(Revision::from("007").number(), None);
    }
}
