//! Values of described types, and whether prost-reflect reads the same ones.

use std::collections::BTreeMap;

use jumpstarter_core::{
    describe::{EnumSpec, MessageSpec, Type},
    descriptor::names,
    wire::value::{boolean, is_null, list, map, null, number, text},
};
use proptest::{collection, option, prelude::*};
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use prost_types::{Value, value::Kind};

/// The same value every time, and another one for another name: exchanged fields have to show.
pub(crate) fn sample(ty: Type, name: &str) -> Value {
    let seed = f64::from(name.bytes().map(u32::from).sum::<u32>() % 100);
    match ty {
        Type::Unit | Type::Handle => null(),
        Type::Bool => boolean(true),
        Type::I32 | Type::I64 => number(-seed),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => number(seed + 100.0),
        Type::F32 | Type::F64 => number(seed + 0.5),
        Type::Str | Type::Bytes => text(format!("a {name}")),
        Type::Format(format) => text(formatted(format)),
        Type::Json => {
            let nested = list(vec![null(), boolean(false), text(name), number(-0.5)]);
            map(BTreeMap::from([("key".to_owned(), nested)]))
        }
        Type::Duration => text("PT2.5S"),
        Type::Opt(inner) => sample(*inner, name),
        Type::List(item) => list(vec![sample(*item, name)]),
        Type::Map(item) => map(BTreeMap::from([("key".to_owned(), sample(*item, name))])),
        Type::Message(spec) => message(spec(), |field| sample(field.ty, field.name)),
        Type::Enum(spec) => text(spec().values[spec().values.len() - 1].0),
    }
}

fn formatted(format: &str) -> &'static str {
    match format {
        "uuid" => "123e4567-e89b-12d3-a456-426614174000",
        "path" => "/dev/null",
        "uri" => "http://example.org/",
        "ip" => "192.0.2.7",
        _ => "2026-01-02T03:04:05Z",
    }
}

fn message(spec: &'static MessageSpec, value: impl Fn(&jumpstarter_core::describe::Field) -> Value) -> Value {
    let values = spec.fields.iter().map(|field| (field.name.to_owned(), value(field)));
    if spec.list { list(values.map(|(_, value)| value).collect()) } else { map(values.collect()) }
}

/// Any value; `depth` ends recursion.
pub(crate) fn any_value(ty: Type, depth: u32) -> BoxedStrategy<Value> {
    #[allow(clippy::cast_precision_loss)]
    let whole = |range: std::ops::RangeInclusive<i64>| {
        prop_oneof![range, Just(0)].prop_map(|whole| number(whole as f64)).boxed()
    };
    let most = 1_i64 << 53;
    match ty {
        Type::Unit | Type::Handle => Just(null()).boxed(),
        Type::Bool => any::<bool>().prop_map(boolean).boxed(),
        Type::I32 => whole(i32::MIN.into()..=i32::MAX.into()),
        Type::I64 => whole(-most..=most),
        Type::U8 => whole(0..=u8::MAX.into()),
        Type::U16 => whole(0..=u16::MAX.into()),
        Type::U32 => whole(0..=u32::MAX.into()),
        Type::U64 => whole(0..=most),
        // No negative zero, which the other implementation drops.
        Type::F32 => any::<f32>().prop_map(|float| number(f64::from(float) + 0.0)).boxed(),
        Type::F64 => prop_oneof![any::<f64>(), Just(0.0)].prop_map(|float| number(float + 0.0)).boxed(),
        Type::Str | Type::Bytes => ".{0,8}".prop_map(text).boxed(),
        Type::Format(_) => Just(sample(ty, "")).boxed(),
        Type::Json => any_json(),
        // To the microsecond, which is what the text of upstream has.
        Type::Duration => prop_oneof![
            Just(text("PT0S")),
            (0..10_000_000_000_u64, 0..1_000_000_u32)
                .prop_map(|(seconds, micros)| text(format!("PT{seconds}.{micros:06}S"))),
        ]
        .boxed(),
        Type::Opt(inner) => {
            option::of(any_value(*inner, depth)).prop_map(|value| value.unwrap_or_else(null)).boxed()
        }
        Type::List(_) | Type::Map(_) if depth == 0 => match ty {
            Type::List(_) => Just(list(Vec::new())).boxed(),
            _ => Just(map(BTreeMap::new())).boxed(),
        },
        Type::List(item) => collection::vec(any_value(*item, depth - 1), 0..3).prop_map(list).boxed(),
        // One entry at most: the other implementation keeps maps in no order.
        Type::Map(item) => {
            collection::btree_map(".{0,4}", any_value(*item, depth - 1), 0..2).prop_map(map).boxed()
        }
        Type::Message(spec) => {
            let spec = spec();
            let fields: Vec<_> =
                spec.fields.iter().map(|field| any_value(field.ty, depth.saturating_sub(1))).collect();
            fields
                .prop_map(move |values| {
                    let by_name: BTreeMap<_, _> =
                        spec.fields.iter().map(|field| field.name).zip(values).collect();
                    message(spec, |field| by_name[field.name].clone())
                })
                .boxed()
        }
        Type::Enum(spec) => {
            let values: Vec<_> = spec().values.iter().map(|(text, ..)| *text).collect();
            proptest::sample::select(values).prop_map(text).boxed()
        }
    }
}

/// Any JSON, a few levels deep. One key at most: the other implementation keeps maps in no order.
fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(null()),
        any::<bool>().prop_map(boolean),
        any::<f64>().prop_map(|float| number(float + 0.0)),
        ".{0,4}".prop_map(text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(list),
            collection::btree_map(".{0,4}", inner, 0..2).prop_map(map),
        ]
    })
    .boxed()
}

/// Seconds and nanoseconds of a text such as `PT2.5S`, the only form that these tests write.
fn parts(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_prefix("PT")?.strip_suffix('S')?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
    Some((seconds.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}

/// Whether what prost-reflect read is this value, to the bit.
#[allow(clippy::float_cmp)]
pub(crate) fn same(ty: Type, ours: &Value, theirs: &prost_reflect::Value) -> bool {
    use prost_reflect::Value as Theirs;
    match (ty, ours.kind.as_ref(), theirs) {
        (Type::Opt(inner), _, _) => same(*inner, ours, theirs),
        (_, Some(Kind::BoolValue(a)), Theirs::Bool(b)) => a == b,
        #[allow(clippy::cast_precision_loss)]
        (_, Some(Kind::NumberValue(a)), Theirs::I64(b)) => *a == *b as f64,
        (_, Some(Kind::NumberValue(a)), Theirs::U32(b)) => *a == f64::from(*b),
        #[allow(clippy::cast_precision_loss)]
        (_, Some(Kind::NumberValue(a)), Theirs::U64(b)) => *a == *b as f64,
        (_, Some(Kind::NumberValue(a)), Theirs::F64(b)) => a == b,
        (_, Some(Kind::NumberValue(a)), Theirs::F32(b)) => *a == f64::from(*b),
        (Type::Enum(spec), Some(Kind::StringValue(a)), Theirs::EnumNumber(b)) => {
            number_of(spec(), a) == Some(*b)
        }
        (Type::Bytes, Some(Kind::StringValue(a)), Theirs::Bytes(b)) => a.as_bytes() == b.as_ref(),
        (_, Some(Kind::StringValue(a)), Theirs::String(b)) => a == b,
        (Type::List(item), Some(Kind::ListValue(a)), Theirs::List(b)) => {
            a.values.len() == b.len() && a.values.iter().zip(b).all(|(a, b)| same(*item, a, b))
        }
        (Type::Map(item), Some(Kind::StructValue(a)), Theirs::Map(b)) => {
            let of = |key: &String| b.get(&prost_reflect::MapKey::String(key.clone()));
            a.fields.len() == b.len()
                && a.fields.iter().all(|(key, a)| of(key).is_some_and(|b| same(*item, a, b)))
        }
        (Type::Message(spec), Some(_), Theirs::Message(b)) => same_message(spec(), ours, b),
        (Type::Duration, Some(Kind::StringValue(a)), Theirs::Message(b)) => {
            let read: prost_types::Duration = b.transcode_to().expect("a length of time");
            parts(a) == Some((read.seconds, read.nanos))
        }
        (Type::Json, Some(_), Theirs::Message(b)) => b.transcode_to::<Value>().expect("JSON") == *ours,
        _ => false,
    }
}

pub(crate) fn same_message(spec: &'static MessageSpec, ours: &Value, theirs: &DynamicMessage) -> bool {
    spec.fields.iter().enumerate().all(|(index, field)| {
        let value = match ours.kind.as_ref() {
            Some(Kind::StructValue(fields)) => fields.fields.get(field.name),
            Some(Kind::ListValue(items)) => items.values.get(index),
            _ => None,
        };
        value.is_some_and(|value| same_field(field.ty, field.name, value, theirs))
    })
}

/// Whether a field holds this value, or is absent where that is null.
pub(crate) fn same_field(ty: Type, name: &str, ours: &Value, theirs: &DynamicMessage) -> bool {
    let Some(field) = theirs.descriptor().get_field_by_name(name) else { return false };
    // In JSON, null is a value like any other.
    let absent = is_null(ours) && !matches!(ty, Type::Json);
    if absent { !theirs.has_field(&field) } else { same(ty, ours, &theirs.get_field(&field)) }
}

fn number_of(spec: &'static EnumSpec, text: &str) -> Option<i32> {
    let found = spec.values.iter().find(|(candidate, ..)| *candidate == text);
    debug_assert!(names::enum_value(spec.name, text).len() > text.len());
    found.map(|(_, number, _)| *number)
}
