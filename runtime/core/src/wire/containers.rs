//! Options, lists and maps.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use prost::encoding::{self, WireType};
use prost_types::Value;

use super::{Depth, Reading, Wire, WireError, split, take_delimited, value};
use crate::describe::Type;

impl<T: Wire> Wire for Option<T> {
    const TYPE: Type = Type::Opt(&T::TYPE);
    const OPTIONAL: bool = true;

    fn zero() -> Self {
        None
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        if let Some(inner) = self {
            inner.encode(tag, buffer);
        }
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError> {
        self.get_or_insert_with(T::zero).merge(wire_type, buffer, depth)
    }

    fn to_value(&self) -> Result<Value, WireError> {
        self.as_ref().map_or_else(|| Ok(value::null()), T::to_value)
    }

    fn from_value(value: Value, reading: Reading) -> Result<Self, WireError> {
        if value::is_null(&value) { Ok(None) } else { T::from_value(value, reading).map(Some) }
    }
}

impl<T: Wire> Wire for Box<T> {
    const TYPE: Type = T::TYPE;
    const OPTIONAL: bool = T::OPTIONAL;
    const ZERO_WHEN_ABSENT: bool = T::ZERO_WHEN_ABSENT;
    const PACKED: Option<WireType> = T::PACKED;

    fn zero() -> Self {
        Box::new(T::zero())
    }

    fn is_zero(&self) -> bool {
        (**self).is_zero()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        (**self).encode(tag, buffer);
    }

    fn encode_packed(&self, buffer: &mut Vec<u8>) {
        (**self).encode_packed(buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError> {
        (**self).merge(wire_type, buffer, depth)
    }

    fn encode_body(&self, buffer: &mut Vec<u8>) {
        (**self).encode_body(buffer);
    }

    fn merge_body(&mut self, body: Bytes, depth: Depth) -> Result<(), WireError> {
        (**self).merge_body(body, depth)
    }

    fn to_value(&self) -> Result<Value, WireError> {
        (**self).to_value()
    }

    fn from_value(value: Value, reading: Reading) -> Result<Self, WireError> {
        T::from_value(value, reading).map(Box::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    const TYPE: Type = Type::List(&T::TYPE);

    fn zero() -> Self {
        Vec::new()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        if T::PACKED.is_some() {
            let mut body = Vec::new();
            for item in self {
                item.encode_packed(&mut body);
            }
            encoding::encode_key(tag, WireType::LengthDelimited, buffer);
            encoding::encode_varint(body.len() as u64, buffer);
            buffer.extend_from_slice(&body);
        } else {
            for item in self {
                item.encode(tag, buffer);
            }
        }
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError> {
        match T::PACKED {
            // A reader of proto3 accepts both forms, whatever the writer chose.
            Some(inner) if wire_type == WireType::LengthDelimited => {
                let mut body = take_delimited(wire_type, buffer)?;
                while body.has_remaining() {
                    let mut item = T::zero();
                    item.merge(inner, &mut body, depth)?;
                    self.push(item);
                }
            }
            _ => {
                let mut item = T::zero();
                item.merge(wire_type, buffer, depth)?;
                self.push(item);
            }
        }
        Ok(())
    }

    fn to_value(&self) -> Result<Value, WireError> {
        let items = self.iter().enumerate().map(|(i, item)| item.to_value().map_err(|e| e.within(i)));
        Ok(value::list(items.collect::<Result<_, _>>()?))
    }

    fn from_value(value: Value, reading: Reading) -> Result<Self, WireError> {
        let reading = reading.deeper()?;
        let items = value::into_list(value)?.into_iter().enumerate();
        items.map(|(i, item)| T::from_value(item, reading).map_err(|e| e.within(i))).collect()
    }
}

impl<T: Wire> Wire for BTreeMap<String, T> {
    const TYPE: Type = Type::Map(&T::TYPE);

    fn zero() -> Self {
        BTreeMap::new()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        for (key, item) in self {
            let mut entry = Vec::new();
            key.encode_field(1, &mut entry);
            item.encode_field(2, &mut entry);
            encoding::encode_key(tag, WireType::LengthDelimited, buffer);
            encoding::encode_varint(entry.len() as u64, buffer);
            buffer.extend_from_slice(&entry);
        }
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError> {
        let depth = depth.deeper()?;
        let mut entry = split(&mut take_delimited(wire_type, buffer)?)?;
        let mut key = String::new();
        for (wire_type, mut part) in entry.remove(&1).unwrap_or_default() {
            key.merge(wire_type, &mut part, depth)?;
        }
        let mut item = T::zero();
        for (wire_type, mut part) in entry.remove(&2).unwrap_or_default() {
            item.merge(wire_type, &mut part, depth)?;
        }
        self.insert(key, item);
        Ok(())
    }

    fn to_value(&self) -> Result<Value, WireError> {
        let entries =
            self.iter().map(|(key, item)| Ok((key.clone(), item.to_value().map_err(|e| e.within(key))?)));
        Ok(value::map(entries.collect::<Result<_, WireError>>()?))
    }

    fn from_value(value: Value, reading: Reading) -> Result<Self, WireError> {
        let reading = reading.deeper()?;
        let entries = value::into_map(value)?.into_iter();
        entries
            .map(|(key, item)| {
                T::from_value(item, reading).map_err(|e| e.within(&key)).map(|item| (key, item))
            })
            .collect()
    }
}
