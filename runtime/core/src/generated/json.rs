//! `serde` and JSON Schema for `#[message]` types, from their description: one definition of what a message looks
//! like, and no derive to compile for each.

use prost_types::{Value, value::Kind};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Map, json};

use crate::{
    describe::{EnumSpec, MessageSpec, Type},
    wire::{Reading, Wire},
};

/// The body of a message's `Serialize`.
pub fn serialize<T: Wire, S: Serializer>(message: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let value = message.to_value().map_err(ser::Error::custom)?;
    to_json(T::TYPE, value).serialize(serializer)
}

/// The body of a message's `Deserialize`: strict, as for arguments.
pub fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let json = serde_json::Value::deserialize(deserializer)?;
    let value = jumpstarter_protocol::value::from_json(from_map(T::TYPE, json)).map_err(de::Error::custom)?;
    T::from_value(value, Reading::ARGUMENT).map_err(de::Error::custom)
}

/// JSON objects for all messages, also those that are lists in upstream's calls; whole numbers without a fraction.
fn to_json(ty: Type, value: Value) -> serde_json::Value {
    match (ty.inner(), value.kind) {
        (_, None | Some(Kind::NullValue(_))) => serde_json::Value::Null,
        (_, Some(Kind::BoolValue(truth))) => truth.into(),
        (_, Some(Kind::StringValue(text))) => text.into(),
        (Type::F32 | Type::F64 | Type::Json, Some(Kind::NumberValue(number))) => number.into(),
        // Whole by its type, and below 2^53 because it was made that way.
        #[allow(clippy::cast_possible_truncation)]
        (_, Some(Kind::NumberValue(number))) => (number as i64).into(),
        (Type::Message(spec), Some(Kind::ListValue(list))) => {
            let fields = spec().fields.iter().zip(list.values);
            fields
                .map(|(field, value)| (field.name.to_owned(), to_json(field.ty, value)))
                .collect::<Map<_, _>>()
                .into()
        }
        (ty, Some(Kind::ListValue(list))) => {
            let item = if let Type::List(item) = ty { *item } else { Type::Json };
            list.values.into_iter().map(|value| to_json(item, value)).collect()
        }
        (ty, Some(Kind::StructValue(fields))) => {
            let of = |name: &str| match ty {
                Type::Map(item) => *item,
                Type::Message(spec) => {
                    spec().fields.iter().find(|field| field.name == name).map_or(Type::Json, |field| field.ty)
                }
                _ => Type::Json,
            };
            let entries = fields.fields.into_iter().map(|(name, value)| {
                let value = to_json(of(&name), value);
                (name, value)
            });
            entries.collect::<Map<_, _>>().into()
        }
    }
}

/// Objects become lists where upstream's calls want a list. Everything else stays, wrong or right.
fn from_map(ty: Type, json: serde_json::Value) -> serde_json::Value {
    match (ty.inner(), json) {
        (Type::List(item), serde_json::Value::Array(items)) => {
            items.into_iter().map(|value| from_map(*item, value)).collect()
        }
        (Type::Map(item), serde_json::Value::Object(fields)) => fields
            .into_iter()
            .map(|(name, value)| (name, from_map(*item, value)))
            .collect::<Map<_, _>>()
            .into(),
        (Type::Message(spec), serde_json::Value::Object(mut fields)) => {
            let spec = spec();
            for field in spec.fields {
                if let Some(value) = fields.get_mut(field.name) {
                    *value = from_map(field.ty, value.take());
                }
            }
            let complete = spec.fields.iter().all(|field| fields.contains_key(field.name));
            if spec.list && complete && fields.len() == spec.fields.len() {
                return spec.fields.iter().filter_map(|field| fields.remove(field.name)).collect();
            }
            fields.into()
        }
        (_, other) => other,
    }
}

/// JSON Schema of a type; messages and enums become definitions.
pub fn schema(ty: Type, generator: &mut SchemaGenerator) -> Schema {
    match ty {
        Type::Unit => json_schema!({ "type": "null" }),
        Type::Bool => json_schema!({ "type": "boolean" }),
        Type::I32 => whole(i32::MIN.into(), i32::MAX.into()),
        Type::I64 | Type::U64 => json_schema!({ "type": "integer" }),
        Type::U8 => whole(0, u8::MAX.into()),
        Type::U16 => whole(0, u16::MAX.into()),
        Type::U32 => whole(0, u32::MAX.into()),
        Type::F32 | Type::F64 => json_schema!({ "type": ["number", "null"] }),
        Type::Str | Type::Bytes | Type::Handle => json_schema!({ "type": "string" }),
        Type::Format(format) => json_schema!({ "type": "string", "format": format }),
        Type::Json => json_schema!(true),
        Type::Duration => generator.subschema_for::<crate::Delay>(),
        Type::Opt(inner) => {
            let inner = schema(*inner, generator);
            json_schema!({ "anyOf": [inner, { "type": "null" }] })
        }
        Type::List(item) => {
            let item = schema(*item, generator);
            json_schema!({ "type": "array", "items": item })
        }
        Type::Map(item) => {
            let item = schema(*item, generator);
            json_schema!({ "type": "object", "additionalProperties": item })
        }
        Type::Message(spec) => {
            reference(spec().name, generator, |generator| message_schema(spec(), generator))
        }
        Type::Enum(spec) => reference(spec().name, generator, |_| enum_schema(spec())),
    }
}

fn whole(min: i64, max: i64) -> Schema {
    json_schema!({ "type": "integer", "minimum": min, "maximum": max })
}

/// A reference to a definition, which is made when it is not there. It is entered before its fields are looked at, so
/// recursion ends.
fn reference(
    name: &'static str,
    generator: &mut SchemaGenerator,
    make: impl FnOnce(&mut SchemaGenerator) -> Schema,
) -> Schema {
    if !generator.definitions().contains_key(name) {
        generator.definitions_mut().insert(name.to_owned(), json!(true));
        let definition = make(generator);
        generator.definitions_mut().insert(name.to_owned(), definition.to_value());
    }
    let path = generator.settings().definitions_path.trim_matches('/').to_owned();
    json_schema!({ "$ref": format!("#/{path}/{name}") })
}

fn message_schema(spec: &MessageSpec, generator: &mut SchemaGenerator) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in spec.fields {
        let mut property = schema(field.ty, generator);
        if !field.doc.is_empty() {
            property.insert("description".to_owned(), field.doc.into());
        }
        match field.default {
            Some(default) => {
                property.insert("default".to_owned(), to_json(field.ty, default()));
            }
            None if !matches!(field.ty, Type::Opt(_)) => required.push(field.name),
            None => {}
        }
        properties.insert(field.name.to_owned(), property.to_value());
    }
    let mut object =
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object.insert("required".to_owned(), required.into());
    }
    described(object, spec.doc)
}

fn enum_schema(spec: &EnumSpec) -> Schema {
    let names: Vec<_> = spec.values.iter().map(|(name, ..)| *name).collect();
    described(json_schema!({ "type": "string", "enum": names }), spec.doc)
}

fn described(mut schema: Schema, doc: &str) -> Schema {
    if !doc.is_empty() {
        schema.insert("description".to_owned(), doc.into());
    }
    schema
}

/// Lets a configuration's schema accept the old names of its keys and of its choices. The macro notes them at each
/// property and variant, as `x-aliases`.
///
/// An old name carries `x-alias-of` with the name to write instead, and `doNotSuggest`, by which editors leave it out of
/// what they offer.
pub fn with_aliases(schema: &mut Schema) {
    if let Some(variants) = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
        old_choices(variants);
    }
    let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) else {
        return;
    };
    let mut renamed: Vec<(String, Vec<String>)> = Vec::new();
    let mut old = Map::new();
    for (name, property) in properties.iter_mut() {
        let Some(property) = property.as_object_mut() else { continue };
        let Some(aliases) = taken(property) else { continue };
        for alias in &aliases {
            let mut copy = property.clone();
            copy.insert("deprecated".to_owned(), true.into());
            copy.insert("doNotSuggest".to_owned(), true.into());
            copy.insert("x-alias-of".to_owned(), name.as_str().into());
            copy.insert("description".to_owned(), format!("Old name of `{name}`.").into());
            old.insert(alias.clone(), copy.into());
        }
        renamed.push((name.clone(), aliases));
    }
    properties.append(&mut old);
    let mut choices = Vec::new();
    if let Some(required) = schema.get_mut("required").and_then(serde_json::Value::as_array_mut) {
        for (name, aliases) in renamed {
            let before = required.len();
            required.retain(|key| *key != name.as_str());
            if required.len() < before {
                let names = std::iter::once(&name).chain(&aliases);
                choices.push(
                    json!({ "anyOf": names.map(|name| json!({ "required": [name] })).collect::<Vec<_>>() }),
                );
            }
        }
    }
    if !choices.is_empty() {
        schema.insert("allOf".to_owned(), choices.into());
    }
}

/// The old names noted at a schema, which are no longer noted there then.
fn taken(noted: &mut Map<String, serde_json::Value>) -> Option<Vec<String>> {
    let serde_json::Value::Array(aliases) = noted.remove("x-aliases")? else { return None };
    Some(aliases.iter().filter_map(|alias| alias.as_str().map(str::to_owned)).collect())
}

fn old_choices(variants: &mut Vec<serde_json::Value>) {
    let mut old = Vec::new();
    for variant in variants.iter_mut() {
        let Some(variant) = variant.as_object_mut() else { continue };
        let Some(aliases) = taken(variant) else { continue };
        let name = variant.get("const").and_then(serde_json::Value::as_str).unwrap_or_default();
        old.extend(aliases.iter().map(|alias| {
            json!({
                "const": alias,
                "type": "string",
                "deprecated": true,
                "doNotSuggest": true,
                "x-alias-of": name,
                "description": format!("Old name of `{name}`."),
            })
        }));
    }
    variants.append(&mut old);
}
