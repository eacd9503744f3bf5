//! The `serde` deserializer over a [`Node`].

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::decode::{DecodeError, Fault};
use super::document::{Entry, Node, Value};
use super::scalar;
use super::source::Span;
use super::subject::Step;

/// What the rounds of one decoding share.
#[derive(Default)]
pub(super) struct Run {
    /// Nodes (by address; the tree is borrowed throughout) that are treated as absent.
    pub(super) skipped: RefCell<HashSet<usize>>,
    /// Keys that an unknown key of the same mapping was probably meant to be.
    pub(super) meant: RefCell<HashSet<(usize, String)>>,
}

impl Run {
    fn skips(&self, node: &Node) -> bool {
        node.is_unknown() || self.skipped.borrow().contains(&address(node))
    }
}

/// What tells one node of a tree from all others of it.
pub(super) fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

/// The way from the outermost value to the current one, kept on the stack.
pub(super) enum Link<'l, 'de> {
    Root,
    Key { parent: &'l Link<'l, 'de>, entry: &'de Entry },
    Index { parent: &'l Link<'l, 'de>, index: usize },
}

impl Link<'_, '_> {
    pub(super) fn steps(&self) -> Vec<Step> {
        match self {
            Link::Root => Vec::new(),
            Link::Key { parent, entry } => {
                let mut steps = parent.steps();
                steps.push(Step::Key(entry.key.clone()));
                steps
            }
            Link::Index { parent, index } => {
                let mut steps = parent.steps();
                steps.push(Step::Index(*index));
                steps
            }
        }
    }

    /// The nearest key on the way.
    pub(super) fn key_span(&self) -> Option<Span> {
        match self {
            Link::Root => None,
            Link::Key { entry, .. } => Some(entry.key_span),
            Link::Index { parent, .. } => parent.key_span(),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Decoder<'l, 'de> {
    pub(super) node: &'de Node,
    pub(super) run: &'l Run,
    pub(super) link: &'l Link<'l, 'de>,
}

impl<'de> Decoder<'_, 'de> {
    fn placed<T>(self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        result.map_err(|error| error.at(self.node, self.link))
    }

    fn refuse<T>(self, fault: Fault) -> Result<T, DecodeError> {
        self.placed(Err(DecodeError::new(fault)))
    }

    fn whole<V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, DecodeError> {
        if let Ok(value) = u64::try_from(value) {
            visitor.visit_u64(value)
        } else if let Ok(value) = i64::try_from(value) {
            visitor.visit_i64(value)
        } else {
            visitor.visit_i128(value)
        }
    }

    /// Whatever stands there, as the file says it.
    fn value<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => Self::whole(*value, visitor),
            Value::Float(value) if value.is_finite() => visitor.visit_f64(*value),
            Value::Float(_) => Err(DecodeError::new(Fault::Expected("a finite number".to_owned()))),
            Value::Str { text, .. } => visitor.visit_borrowed_str(text),
            Value::Seq(items) => visitor.visit_seq(Items { decoder: self, items: items.iter().enumerate() }),
            Value::Map(map) => visitor.visit_map(Entries { decoder: self, rest: map.iter(), current: None }),
        })
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // A type that wants a fraction takes whole numbers up to 64 bits; the others are as good to it.
        match &self.node.value {
            Value::Int(value) if u64::try_from(*value).is_err() && i64::try_from(*value).is_err() =>
            {
                #[expect(clippy::cast_precision_loss, reason = "a fraction was asked for")]
                self.placed(visitor.visit_f64(*value as f64))
            }
            _ => self.value(visitor),
        }
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // JSON Schema and Python both take 30.0 for the integer 30.
        if let Value::Float(value) = &self.node.value
            && value.fract() == 0.0
            && value.abs() < 9.0e15
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked: below 2^53 and without a fraction"
            )]
            return self.placed(Self::whole(*value as i128, visitor));
        }
        self.value(visitor)
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.$to(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Decoder<'_, 'de> {
    type Error = DecodeError;

    forward! { integer:
        deserialize_i8, deserialize_i16, deserialize_i32, deserialize_i64, deserialize_i128,
        deserialize_u8, deserialize_u16, deserialize_u32, deserialize_u64, deserialize_u128,
    }

    forward! { float: deserialize_f32, deserialize_f64 }

    forward! { value:
        deserialize_char, deserialize_str, deserialize_string,
        deserialize_identifier, deserialize_seq, deserialize_map, deserialize_unit,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Nobody said what is wanted, so nobody can say which of two numbers `017` is.
        if self.node.plain_text().is_some_and(|text| scalar::leading_zero(text).is_some()) {
            return self.refuse(Fault::Expected("a number or quoted text".to_owned()));
        }
        self.value(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.plain_text().and_then(scalar::yes_or_no) {
            Some(value) => self.placed(visitor.visit_bool(value)),
            None => self.value(visitor),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Str { text, .. } => self.placed(visitor.visit_borrowed_bytes(text.as_bytes())),
            _ => self.value(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.value(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.placed(visitor.visit_newtype_struct(self))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.value(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.value(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        // A list would be taken for the fields in their order; no file means that.
        if let Value::Seq(_) = self.node.value {
            return self.refuse(Fault::Expected("a mapping".to_owned()));
        }
        self.value(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let result = match &self.node.value {
            Value::Str { text, .. } => {
                let name: StrDeserializer<'_, DecodeError> = text.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Map(map) => match map.entries.as_slice() {
                [entry] => visitor.visit_enum(Choice { decoder: self, entry }),
                _ => Err(DecodeError::new(Fault::Variant(known))),
            },
            _ => Err(DecodeError::new(Fault::Variant(known))),
        };
        self.placed(result)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

struct Items<'l, 'de> {
    decoder: Decoder<'l, 'de>,
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let run = self.decoder.run;
        let Some((index, node)) = self.items.find(|(_, node)| !run.skips(node)) else { return Ok(None) };
        let link = Link::Index { parent: self.decoder.link, index };
        // Types that convert what they read complain after their value was left: it is still meant.
        seed.deserialize(Decoder { node, run, link: &link }).map(Some).map_err(|error| error.at(node, &link))
    }
}

struct Entries<'l, 'de> {
    decoder: Decoder<'l, 'de>,
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let run = self.decoder.run;
        let Some(entry) = self.rest.find(|entry| !run.skips(&entry.value)) else { return Ok(None) };
        self.current = Some(entry);
        let link = Link::Key { parent: self.decoder.link, entry };
        seed.deserialize(KeyDecoder(&entry.key)).map(Some).map_err(|error| error.at(&entry.value, &link))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let entry = self.current.take().ok_or_else(|| {
            DecodeError::new(Fault::Other("a value was asked for before its key".to_owned()))
        })?;
        let link = Link::Key { parent: self.decoder.link, entry };
        seed.deserialize(Decoder { node: &entry.value, run: self.decoder.run, link: &link })
            .map_err(|error| error.at(&entry.value, &link))
    }
}

/// A key: always text in a file, but a map may be keyed by numbers or booleans.
struct KeyDecoder<'de>(&'de str);

macro_rules! parsed_key {
    ($($method:ident => $visit:ident, $expected:literal);* $(;)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(DecodeError::new(Fault::Other(concat!("as a key, this must be ", $expected).to_owned()))),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for KeyDecoder<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        BorrowedStrDeserializer::new(self.0).deserialize_enum(name, known, visitor)
    }

    parsed_key! {
        deserialize_bool => visit_bool, "true or false";
        deserialize_i8 => visit_i8, "a whole number";
        deserialize_i16 => visit_i16, "a whole number";
        deserialize_i32 => visit_i32, "a whole number";
        deserialize_i64 => visit_i64, "a whole number";
        deserialize_u8 => visit_u8, "a whole number";
        deserialize_u16 => visit_u16, "a whole number";
        deserialize_u32 => visit_u32, "a whole number";
        deserialize_u64 => visit_u64, "a whole number";
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// `name: content`, one of several shapes.
struct Choice<'l, 'de> {
    decoder: Decoder<'l, 'de>,
    entry: &'de Entry,
}

impl<'l, 'de> de::EnumAccess<'de> for Choice<'l, 'de> {
    type Error = DecodeError;
    type Variant = Content<'l, 'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self::Variant), DecodeError> {
        let name = seed.deserialize(KeyDecoder(&self.entry.key))?;
        Ok((name, Content { decoder: self.decoder, entry: self.entry }))
    }
}

struct Content<'l, 'de> {
    decoder: Decoder<'l, 'de>,
    entry: &'de Entry,
}

impl<'de> Content<'_, 'de> {
    fn with<T>(
        self,
        decode: impl FnOnce(Decoder<'_, 'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let link = Link::Key { parent: self.decoder.link, entry: self.entry };
        decode(Decoder { node: &self.entry.value, run: self.decoder.run, link: &link })
            .map_err(|error| error.at(&self.entry.value, &link))
    }
}

impl<'de> de::VariantAccess<'de> for Content<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.with(|decoder| match decoder.node.value {
            Value::Null => Ok(()),
            _ => decoder.refuse(Fault::Expected("empty".to_owned())),
        })
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.with(|decoder| seed.deserialize(decoder))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.with(|decoder| decoder.value(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.with(|decoder| decoder.value(visitor))
    }
}
