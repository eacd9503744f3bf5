//! How Python's values travel: every vector of `value_encoding.json`.
//!
//! All that was on the wire is read. What has a Rust type is written, and has to give the same bytes (the recorded ones
//! have sorted keys, as ours always have).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use jumpstarter_core::wire::{Delay, Reading, Wire, WireError};
use jumpstarter_protocol::value::{from_json, to_json};
use jumpstarter_tests::recording::{folder, hex};
use prost::Message;
use prost_types::Value;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

#[derive(Deserialize)]
struct Vectors {
    encode_cases: Vec<Vector>,
    decode_only_cases: Vec<Vector>,
}

/// One vector: bytes with what they are read as, or why they cannot be written, parsed or read.
#[derive(Deserialize)]
struct Vector {
    description: String,
    wire_hex: Option<String>,
    #[serde(default)]
    decoded: serde_json::Value,
    encode_error: Option<serde_json::Value>,
    parse_error: Option<serde_json::Value>,
    decode_error: Option<serde_json::Value>,
}

impl Vector {
    fn wire(&self) -> Option<Bytes> {
        self.wire_hex.as_deref().map(|text| hex(text).expect("hexadecimal"))
    }
}

fn vectors() -> Vectors {
    let text = std::fs::read_to_string(folder().join("value_encoding.json")).expect("the vectors");
    serde_json::from_str(&text).expect("vectors")
}

#[test]
fn every_recorded_value_is_read_as_upstream_reads_it() {
    let Vectors { encode_cases, decode_only_cases } = vectors();
    let mut read = 0;
    for vector in encode_cases.iter().chain(&decode_only_cases) {
        let Some(wire) = vector.wire() else {
            assert!(vector.encode_error.is_some(), "{}", vector.description);
            continue;
        };
        let live = Value::decode(wire)
            .map_err(|error| error.to_string())
            .and_then(|value| to_json(value).map_err(|error| error.to_string()));
        match (&vector.parse_error, &vector.decode_error) {
            (Some(_), _) => {
                assert!(live.is_err(), "{} cannot be parsed, but gave {live:?}", vector.description);
            }
            // Upstream's reader fails at not-a-number; where it writes, it sends null instead. So do we read it.
            (None, Some(_)) => assert_eq!(live, Ok(json!(null)), "{}", vector.description),
            (None, None) => assert_eq!(live.as_ref(), Ok(&vector.decoded), "{}", vector.description),
        }
        read += 1;
    }
    assert!(read > 150, "only {read} vectors have bytes");
}

/// The same bytes. Only an empty key is left out here and written there, which is the same message.
#[track_caller]
fn assert_written(value: &Value, wire: &Bytes, description: &str) {
    if description == "dict with empty key" {
        assert_eq!(Value::decode(wire.clone()).as_ref(), Ok(value), "{description}");
    } else {
        assert_eq!(value.encode_to_vec()[..], wire[..], "{description}");
    }
}

#[test]
fn every_recorded_value_is_written_again_as_it_came() {
    let Vectors { encode_cases, .. } = vectors();
    for vector in encode_cases.iter().filter(|vector| vector.parse_error.is_none()) {
        let Some(wire) = vector.wire() else { continue };
        let value = from_json(vector.decoded.clone()).expect("a value");
        assert_written(&value, &wire, &vector.description);
    }
}

#[test]
fn pitfall_v11_deep_structures_are_refused_where_upstream_refuses_them() {
    let nested =
        |depth: usize, wrap: fn(serde_json::Value) -> serde_json::Value, inner: serde_json::Value| {
            (0..depth).fold(inner, |value, _| wrap(value))
        };
    let in_list = |value| json!([value]);
    let in_map = |value| json!({ "a": value });
    // 50 empty lists are 49 around an empty one.
    assert!(from_json(nested(49, in_list, json!([]))).is_ok());
    assert!(from_json(nested(50, in_list, json!([]))).is_err());
    assert!(from_json(nested(33, in_map, json!(1.0))).is_ok());
    assert!(from_json(nested(34, in_map, json!(1.0))).is_err());
}

type Written = Result<Value, WireError>;

/// The vectors that have a counterpart among Rust's types, by description.
fn written() -> Vec<(&'static str, Written)> {
    fn map<T: Wire>(entries: impl IntoIterator<Item = (&'static str, T)>) -> Written {
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>().to_value()
    }
    let uuid = Uuid::from_u128(0x1234_5678_1234_5678_1234_5678_1234_5678);
    let seconds = |seconds: u64| Delay::from(Duration::from_secs(seconds)).to_value();
    let micros = |micros: u64| Delay::from(Duration::from_micros(micros)).to_value();
    let time = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").to_value();
    let address = |text: &str| text.parse::<IpAddr>().expect("an address").to_value();
    let text = |text: &str| text.to_owned().to_value();
    vec![
        ("None", ().to_value()),
        ("True", true.to_value()),
        ("False", false.to_value()),
        ("int zero", 0_i64.to_value()),
        ("int", 42_u8.to_value()),
        ("negative int", (-1_i32).to_value()),
        ("int 2**31-1", i32::MAX.to_value()),
        ("int 2**53-1, largest odd integer a double holds", ((1_i64 << 53) - 1).to_value()),
        ("int 2**53", (1_u64 << 53).to_value()),
        ("float 0.0", 0.0_f64.to_value()),
        ("float -0.0", (-0.0_f64).to_value()),
        ("float with an integral value", 3.0_f32.to_value()),
        ("float", "3.14".parse::<f64>().expect("a number").to_value()),
        ("float 0.1", 0.1_f64.to_value()),
        ("float 1e100", 1e100_f64.to_value()),
        ("float 1e15 (integral, below 2**53)", 1e15_f64.to_value()),
        ("float 1e16 (integral, above 2**53)", 1e16_f64.to_value()),
        ("float smallest subnormal", f64::from_bits(1).to_value()),
        ("float max", f64::MAX.to_value()),
        ("float nan", f64::NAN.to_value()),
        ("float +inf", f64::INFINITY.to_value()),
        ("float -inf", f64::NEG_INFINITY.to_value()),
        ("empty str", text("")),
        ("str", text("hello")),
        ("str non-ascii", text("héllo 世界 😀")),
        ("str with control characters", text("a\0b\n\t\x7f")),
        ("str that looks like a number", text("1e3")),
        ("empty bytes", Bytes::new().to_value()),
        ("bytes ascii", Bytes::from_static(b"hello").to_value()),
        ("bytes utf-8", Bytes::from_static(b"h\xc3\xa9").to_value()),
        ("bytes with NUL", Bytes::from_static(b"\0\x01").to_value()),
        ("empty list", Vec::<i64>::new().to_value()),
        ("set of small ints", vec![1_i64, 2, 3].to_value()),
        ("frozenset of one str", vec!["a".to_owned()].to_value()),
        ("empty dict", map::<f64>([])),
        ("dict with empty key", map([("", 1_i64)])),
        ("dict with int keys", map([("1", "one".to_owned()), ("2", "two".to_owned())])),
        ("dict with integral float key", map([("2.0", "x".to_owned())])),
        ("OrderedDict", map([("z", 1.0), ("a", 2.0)])),
        ("UUID", uuid.to_value()),
        ("datetime UTC", time("2024-01-02T03:04:05Z")),
        ("timedelta zero", seconds(0)),
        ("timedelta 90 s", seconds(90)),
        ("timedelta 1.5 s", micros(1_500_000)),
        ("timedelta 1 us", micros(1)),
        ("timedelta 1 day", seconds(86_400)),
        ("timedelta 400 days", seconds(400 * 86_400 + 3600)),
        ("timedelta 30 minutes", seconds(1800)),
        ("IPv4Address", address("127.0.0.1")),
        ("IPv6Address", address("::1")),
        ("PosixPath", PathBuf::from("/a/b").to_value()),
        ("pydantic Url", url::Url::parse("http://h/p?q=1").expect("a URL").to_value()),
        ("Optional[int] holding None, inside a list", vec![None, Some(1_i64)].to_value()),
        ("upstream PowerReading", map([("voltage", 5.0), ("current", 2.0)])),
        ("list containing nan", vec![f64::NAN].to_value()),
        ("dict containing inf", map([("a", f64::INFINITY)])),
    ]
}

#[test]
fn rust_values_are_written_as_upstream_writes_pythons() {
    let Vectors { encode_cases, .. } = vectors();
    for (description, live) in written() {
        let vector = encode_cases.iter().find(|vector| vector.description == description);
        let wire = vector.and_then(Vector::wire).unwrap_or_else(|| panic!("{description}: no such vector"));
        assert_written(&live.expect(description), &wire, description);
    }
}

#[test]
fn pitfall_v7_bytes_that_are_no_text_cannot_be_written() {
    assert!(Bytes::from_static(b"\xff\xfe").to_value().is_err());
}

#[test]
fn pitfall_v2_integers_beyond_a_double_are_refused_instead_of_rounded() {
    assert!(((1_i64 << 53) + 1).to_value().is_err());
    assert!(u64::MAX.to_value().is_err());
}

#[test]
fn durations_of_upstream_are_read_back() {
    for (text, seconds) in
        [("PT0S", 0.0), ("PT1M30S", 90.0), ("PT0.000001S", 1e-6), ("P1Y35DT1H", 34_563_600.0)]
    {
        let value = text.to_owned().to_value().expect("text");
        let delay =
            Delay::from_value(value, Reading::RESULT).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(Delay::from_secs(seconds), Ok(delay), "{text}");
    }
}
