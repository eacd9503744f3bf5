//! The common half of `#[message]` on a struct.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost_types::Value;

use crate::{
    describe::MessageSpec,
    wire::{self, Reading, Wire, WireError, value},
};

/// Reads the fields of a message: calls `take` with the index in the specification, for each occurrence, in order.
/// Numbers that are not known are skipped; a field whose type has no value for "not sent" must be there.
pub fn merge_fields(
    spec: &'static MessageSpec,
    mut body: Bytes,
    mut take: impl FnMut(usize, WireType, &mut Bytes) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut seen = Seen::of(spec.fields.len());
    while body.has_remaining() {
        let (tag, wire_type) = wire::take_key(&mut body)?;
        match spec.fields.iter().position(|field| field.tag == tag) {
            Some(index) => {
                let before = body.remaining();
                take(index, wire_type, &mut body).map_err(|error| error.within(spec.fields[index].name))?;
                if body.remaining() == before {
                    // A type without content leaves its field where it is.
                    encoding::skip_field(wire_type, tag, &mut body, DecodeContext::default())?;
                }
                seen.insert(index);
            }
            None => encoding::skip_field(wire_type, tag, &mut body, DecodeContext::default())?,
        }
    }
    let absent =
        spec.fields.iter().enumerate().find(|(index, field)| !seen.contains(*index) && field.required());
    match absent {
        Some((_, field)) => Err(WireError::new("missing").within(field.name)),
        None => Ok(()),
    }
}

/// Which fields have come. Messages are read in streams of many thousands a second, and few have more fields than a word
/// has bits.
enum Seen {
    Few(u64),
    Many(Vec<bool>),
}

impl Seen {
    fn of(fields: usize) -> Self {
        if fields <= 64 { Self::Few(0) } else { Self::Many(vec![false; fields]) }
    }

    fn insert(&mut self, index: usize) {
        match self {
            Self::Few(bits) => *bits |= 1 << index,
            Self::Many(seen) => seen[index] = true,
        }
    }

    fn contains(&self, index: usize) -> bool {
        match self {
            Self::Few(bits) => bits >> index & 1 == 1,
            Self::Many(seen) => seen[index],
        }
    }
}

/// As upstream's calls carry it: a map by name, or a list of the fields.
pub fn message_value(
    spec: &'static MessageSpec,
    values: impl IntoIterator<Item = Result<Value, WireError>>,
) -> Result<Value, WireError> {
    let values = spec.fields.iter().zip(values);
    let mut values =
        values.map(|(field, value)| Ok((field.name, value.map_err(|error| error.within(field.name))?)));
    if spec.list {
        return values.map(|entry| entry.map(|(_, value)| value)).collect::<Result<_, _>>().map(value::list);
    }
    values
        .try_fold(BTreeMap::new(), |mut fields, entry: Result<_, WireError>| {
            let (name, value) = entry?;
            fields.insert(name.to_owned(), value);
            Ok(fields)
        })
        .map(value::map)
}

/// The fields of a message as they came in upstream's calls; they are taken one by one.
pub struct FieldValues {
    spec: &'static MessageSpec,
    fields: Vec<Option<Value>>,
    unknown: Option<WireError>,
    reading: Reading,
}

impl FieldValues {
    /// Takes a map by name, or a list of fields, apart.
    pub fn new(spec: &'static MessageSpec, value: Value, reading: Reading) -> Result<Self, WireError> {
        let mut unknown = None;
        let reading = reading.deeper()?;
        let fields = if spec.list {
            let mut items: Vec<_> = value::into_list(value)?.into_iter().map(Some).collect();
            if items.len() > spec.fields.len() {
                let most = spec.fields.len();
                unknown = Some(WireError::new(format!("expected at most {most} items, got {}", items.len())));
            }
            items.resize(spec.fields.len(), None);
            items
        } else {
            let mut map = value::into_map(value)?;
            let fields = spec.fields.iter().map(|field| map.remove(field.name)).collect();
            unknown = map.into_keys().next().map(|key| unknown_key(spec, &key));
            fields
        };
        Ok(Self { spec, fields, unknown, reading })
    }

    /// The field at this index. An absent one is its default, or nothing where that is a value.
    pub fn take<T: Wire>(&mut self, index: usize, default: Option<fn() -> T>) -> Result<T, WireError> {
        let name = self.spec.fields.get(index).map_or("?", |field| field.name);
        match (self.fields.get_mut(index).and_then(Option::take), default) {
            (Some(value), _) => T::from_value(value, self.reading).map_err(|error| error.within(name)),
            (None, Some(default)) => Ok(default()),
            (None, None) if T::OPTIONAL => Ok(T::zero()),
            (None, None) => Err(WireError::new("missing").within(name)),
        }
    }

    /// Keys that nothing took are an error in arguments, and a newer peer's in results.
    pub fn finish(self) -> Result<(), WireError> {
        match self.unknown {
            Some(error) if self.reading.strict => Err(error),
            _ => Ok(()),
        }
    }
}

fn unknown_key(spec: &'static MessageSpec, key: &str) -> WireError {
    let known: Vec<_> = spec.fields.iter().map(|field| field.name).collect();
    WireError::new(format!("unknown key `{key}` in {} (known: {})", spec.name, known.join(", ")))
}
