//! Our bytes against prost-reflect's, for random values.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use jumpstarter_core::{
    Delay, descriptor,
    dispatch::{Language, Payload, Sending},
    wire::{self, MAX_DEPTH, Reading as Strictness, Wire, value},
};
use proptest::{collection, option, prelude::*};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use prost_types::Value;
use uuid::Uuid;

use super::samples::{Edge, Partition, Piece, Reading, SAMPLE};

fn descriptor_of(message: &str) -> MessageDescriptor {
    static POOL: std::sync::OnceLock<DescriptorPool> = std::sync::OnceLock::new();
    let pool = POOL.get_or_init(|| {
        DescriptorPool::decode(descriptor::file_set(&SAMPLE).expect("a descriptor")).expect("it links")
    });
    pool.get_message_by_name(&format!("jumpstarter.x.sample_board.v2.{message}")).expect("a message")
}

/// Finite. No negative zero, which the oracle drops although it is not proto3's default value.
fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(0.0)].prop_map(|number| number + 0.0)
}

/// Whole numbers that fit a double.
fn whole() -> impl Strategy<Value = i64> {
    prop_oneof![-(1_i64 << 53)..=(1 << 53), Just(0)]
}

fn map<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
    most: usize,
) -> impl Strategy<Value = BTreeMap<String, T>> {
    collection::btree_map(".{0,4}", value, 0..=most)
}

fn edge() -> impl Strategy<Value = Edge> {
    prop_oneof![Just(Edge::Rising), Just(Edge::Falling), Just(Edge::BothWays)]
}

/// Upstream's text for lengths of time knows microseconds.
fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![Just(0), 0..10_000_000_000_000_u64].prop_map(|micros| Duration::from_micros(micros).into())
}

fn reading() -> impl Strategy<Value = Reading> {
    (float(), any::<f32>(), option::of(whole())).prop_map(|(voltage, current, samples)| Reading {
        voltage,
        current: current + 0.0,
        samples,
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    (".{0,8}", ".{0,8}", option::of(any::<i32>())).prop_map(|(stream, text, code)| Piece {
        stream,
        text,
        code,
    })
}

fn any_value(most: usize) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(value::null()),
        any::<bool>().prop_map(value::boolean),
        float().prop_map(value::number),
        ".{0,6}".prop_map(value::text),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(value::list),
            map(inner, most).prop_map(value::map),
        ]
    })
}

/// A tree of parts. `entries` bounds the size of maps: an oracle that keeps them unordered can only be compared byte by
/// byte for maps with one entry.
fn partition(entries: usize) -> BoxedStrategy<Partition> {
    leaf_partition(entries)
        .prop_recursive(4, 12, 3, move |inner| {
            (leaf_partition(entries), collection::vec(inner.clone(), 0..3), option::of(inner)).prop_map(
                |(mut partition, children, parent)| {
                    partition.children = children;
                    partition.parent = parent.map(Box::new);
                    partition
                },
            )
        })
        .boxed()
}

fn leaf_partition(entries: usize) -> BoxedStrategy<Partition> {
    let texts = (
        ".{0,8}",
        0..=1_u64 << 53,
        map(".{0,4}", entries),
        map(reading(), entries),
        collection::vec(any::<bool>(), 0..4),
    );
    let lists = (
        collection::vec(whole(), 0..4),
        collection::vec(float(), 0..4),
        collection::vec(".{0,4}", 0..3),
        collection::vec(".{0,4}".prop_map(Bytes::from), 0..3),
        collection::vec(edge(), 0..4),
        map(whole(), entries),
    );
    let singles = (
        option::of(edge()),
        delay(),
        option::of(delay()),
        option::of(any::<u128>().prop_map(Uuid::from_u128)),
        any::<u8>(),
        ".{0,4}",
        any::<bool>(),
        any::<i32>(),
    );
    let rest = (option::of(any_value(entries)), option::of(any::<u16>()), map(edge(), entries));
    (texts, lists, singles, rest)
        .prop_map(|((name, size, labels, readings, flags), lists, singles, (anything, small, modes))| {
            let (offsets, gains, names, blobs, edges, counts) = lists;
            let (edge, timeout, grace, id, retries, label, read_only, signed) = singles;
            Partition {
                name,
                size,
                children: Vec::new(),
                parent: None,
                labels,
                readings,
                flags,
                offsets,
                gains,
                names,
                blobs,
                edge,
                edges,
                counts,
                timeout,
                grace,
                id,
                retries,
                label,
                read_only,
                signed,
                anything,
                small,
                modes,
            }
        })
        .boxed()
}

/// Ours → bytes → theirs → bytes → ours.
fn round<T: Wire + Clone + PartialEq + std::fmt::Debug>(sample: &T, message: &str, identical: bool) {
    let bytes = wire::encode_result(sample);
    let theirs = DynamicMessage::decode(descriptor_of(message), bytes.as_slice()).expect("they read ours");
    assert_eq!(theirs.unknown_fields().count(), 0);
    let again = theirs.encode_to_vec();
    if identical {
        assert_eq!(again, bytes, "{theirs}");
    }
    assert_eq!(&wire::decode_result::<T>(again.into()).expect("we read theirs"), sample);
}

fn through_value<T: Wire + PartialEq + std::fmt::Debug>(sample: &T) {
    for reading in [Strictness::ARGUMENT, Strictness::RESULT] {
        let value = sample.to_value().expect("a value");
        // What goes over the wire is the value's bytes.
        let value = Value::decode(value.encode_to_vec().as_slice()).expect("a value");
        assert_eq!(&T::from_value(value, reading).expect("the sample"), sample);
    }
}

/// On this path an optional value that is null is one that is absent.
fn without_null(mut partition: Partition) -> Partition {
    partition.anything = partition.anything.filter(|value| !value::is_null(value));
    partition.children = partition.children.into_iter().map(without_null).collect();
    partition.parent = partition.parent.map(|parent| Box::new(without_null(*parent)));
    partition
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_bytes_are_those_of_prost_reflect(partition in partition(1), reading in reading(), piece in piece()) {
        round(&partition, "Partition", true);
        round(&reading, "Reading", true);
        round(&piece, "Piece", true);
    }

    #[test]
    fn maps_of_any_size_survive_prost_reflect(partition in partition(4)) {
        round(&partition, "Partition", false);
    }

    #[test]
    fn wrapped_results_are_those_of_prost_reflect(
        parts in collection::vec(partition(1), 0..3), found in option::of(partition(1)), readings in map(reading(), 1),
        text in collection::vec(any::<u8>(), 0..9), delay in delay(), truth in any::<bool>(), number in any::<i32>(),
    ) {
        round(&parts, "PartitionsResponse", true);
        round(&found, "FindResponse", true);
        round(&readings, "LabelsResponse", true);
        round(&Bytes::from(text), "BlobResponse", true);
        round(&delay, "ReadBackResponse", true);
        round(&truth, "SetLimitResponse", true);
        round(&number, "CountResponse", true);
    }

    #[test]
    fn typed_values_survive_upstreams_calls(partition in partition(3), reading in reading(), piece in piece()) {
        through_value(&without_null(partition));
        through_value(&reading);
        through_value(&piece);
    }

    #[test]
    fn requests_are_those_of_prost_reflect(
        channel in ".{0,8}", amps in float(), steps in option::of(any::<i64>()), edge in edge(), other in edge(), offset in any::<f32>(),
    ) {
        let method = &SAMPLE.methods[SAMPLE.by_rpc("SetLimit").expect("the method")];
        let mut sending = Sending::new(method, Language::Native);
        sending.push(0, channel.clone());
        sending.push(1, amps);
        sending.push(2, steps);
        sending.push(3, edge);
        sending.push(5, offset);
        sending.push(4, other);
        let (Payload::Proto(bytes), _) = sending.finish().expect("arguments") else { panic!("bytes") };
        let theirs = DynamicMessage::decode(descriptor_of("SetLimitRequest"), bytes.clone()).expect("they read ours");
        prop_assert_eq!(theirs.encode_to_vec(), bytes);
        prop_assert!(theirs.has_field_by_name("amps"), "a parameter with a default has presence, also when it is zero");
        prop_assert_eq!(theirs.has_field_by_name("steps"), steps.is_some());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = wire::decode_result::<Partition>(bytes.clone());
        let _ = wire::decode_result::<Vec<Partition>>(bytes.clone());
        let _ = wire::decode_result::<BTreeMap<String, Partition>>(bytes.clone());
        if let Ok(value) = Value::decode(bytes) {
            let _ = Partition::from_value(value, Strictness::ARGUMENT);
        }
    }

    #[test]
    fn damaged_messages_never_panic(partition in partition(2), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = wire::encode_result(&partition);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        // Whatever is still a message to us is one to others, unless we know better what its fields may hold.
        if let Ok(read) = wire::decode_result::<Partition>(bytes.clone().into()) {
            prop_assert!(DynamicMessage::decode(descriptor_of("Partition"), bytes.as_slice()).is_ok(), "{:?}", read);
        }
    }
}

/// A message within itself, this often, as bytes.
fn nested(field: u32, times: usize) -> Vec<u8> {
    let mut bytes = wire::encode_result(&Partition::zero());
    for _ in 0..times {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(field, &bytes, &mut outer);
        bytes = outer;
    }
    bytes
}

#[test]
fn nesting_has_a_limit_in_bytes_that_is_protobufs_own() {
    let depth = usize::from(MAX_DEPTH);
    for field in [3, 4] {
        assert!(wire::decode_result::<Partition>(nested(field, depth - 1).into()).is_ok());
        let error = wire::decode_result::<Partition>(nested(field, depth + 1).into()).expect_err("too deep");
        assert!(error.to_string().contains("nested too deeply"), "{error}");
        // Far beyond any stack that recursion without a limit would need.
        assert!(wire::decode_result::<Partition>(nested(field, 5_000).into()).is_err());
    }
}

#[test]
fn pitfall_v11_nesting_has_a_limit_in_values() {
    let nest = |times: usize| {
        (0..times).fold(
            Reading { voltage: 1.0, current: 1.0, samples: None }.to_value().expect("a value"),
            |inner, _| value::list(vec![inner]),
        )
    };
    let error = Partition::from_value(nest(3), Strictness::ARGUMENT).expect_err("a list is no map");
    assert!(error.to_string().contains("expected a map, got a list"), "{error}");
    let mut deep = Partition::zero();
    for _ in 0..200 {
        deep = Partition { children: vec![deep], ..Partition::zero() };
    }
    let error =
        Partition::from_value(deep.to_value().expect("a value"), Strictness::ARGUMENT).expect_err("too deep");
    assert!(error.to_string().contains("nested too deeply"), "{error}");
}

#[test]
fn negative_zero_travels() {
    let sample = Reading { voltage: -0.0, current: -0.0, samples: None };
    let read = wire::decode_result::<Reading>(wire::encode_result(&sample).into()).expect("a message");
    assert!(read.voltage.is_sign_negative() && read.current.is_sign_negative());
}

#[test]
fn both_forms_of_packed_lists_are_read() {
    let mut unpacked = Vec::new();
    for number in [3_i64, 0, -1] {
        prost::encoding::int64::encode(8, &number, &mut unpacked);
    }
    let read = wire::decode_result::<Partition>(unpacked.into()).expect("a message");
    assert_eq!(read.offsets, [3, 0, -1]);
}
