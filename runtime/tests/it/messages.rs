//! `#[message]`.

use jumpstarter::{
    types::Bytes,
    wire::{
        Reading as Strictness, Wire, decode_result, encode_result,
        value::{number, text},
    },
};

use crate::{
    sample::{Partition, Piece, Reading, Side},
    support::map,
};

#[test]
fn an_absent_key_takes_its_default_or_is_an_error() {
    let reading = map([("voltage", number(5.0)), ("current", number(1.0))]);
    let expected = Reading { voltage: 5.0, current: 1.0, place: "front".into() };
    assert_eq!(Reading::from_value(reading, Strictness::ARGUMENT), Ok(expected));
    let error = Reading::from_value(map([("voltage", number(5.0))]), Strictness::ARGUMENT).unwrap_err();
    assert_eq!(error.to_string(), "current: missing");
}

#[test]
fn unknown_keys_are_refused_in_arguments_and_ignored_in_results() {
    let reading = || map([("voltage", number(5.0)), ("current", number(1.0)), ("phase", number(0.0))]);
    let error = Reading::from_value(reading(), Strictness::ARGUMENT).unwrap_err();
    assert_eq!(error.to_string(), "unknown key `phase` in Reading (known: voltage, current, place)");
    assert!(Reading::from_value(reading(), Strictness::RESULT).is_ok());
}

#[test]
fn a_field_with_a_default_has_presence_in_protobuf() {
    let zero = Reading { voltage: 0.0, current: 0.0, place: String::new() };
    let bytes = encode_result(&zero);
    assert_eq!(bytes, [0x1a, 0], "the empty place travels, the zeros do not");
    assert_eq!(decode_result::<Reading>(bytes.into()), Ok(zero));
    let absent = decode_result::<Reading>(Bytes::new()).unwrap();
    assert_eq!(absent.place, "front");
}

#[test]
fn pinned_numbers_are_used_and_unknown_ones_skipped() {
    let partition = Partition { name: "a".into(), inner: Vec::new(), side: Some(Side::NotConnected) };
    let mut bytes = encode_result(&partition);
    assert_eq!(bytes, [0x0a, 1, b'a', 0x38, 9]);
    bytes.extend([0x50, 1]);
    assert_eq!(decode_result::<Partition>(bytes.into()), Ok(partition));
}

#[test]
fn an_unknown_number_of_an_enum_is_an_error() {
    let error = decode_result::<Partition>(Bytes::from_static(&[0x38, 5])).unwrap_err();
    assert_eq!(error.to_string(), "side: expected one of host, dut, not_connected, got the number 5");
    let error = decode_result::<Side>(Bytes::new()).unwrap_err();
    assert_eq!(error.to_string(), "the answer holds no value");
}

#[test]
fn nesting_is_limited_when_messages_arrive() {
    let mut partition = Partition { name: "x".into(), inner: Vec::new(), side: None };
    for _ in 0..200 {
        partition = Partition { name: String::new(), inner: vec![partition], side: None };
    }
    let error = decode_result::<Partition>(encode_result(&partition).into()).unwrap_err();
    assert!(error.to_string().ends_with("nested too deeply"), "{error}");
}

#[test]
fn serde_and_the_schema_show_one_shape() {
    let piece = Piece { stream: 1, text: "x".into(), code: None };
    let json = serde_json::to_value(&piece).unwrap();
    assert_eq!(json, serde_json::json!({ "stream": 1, "text": "x", "code": null }));
    assert_eq!(serde_json::from_value::<Piece>(json).unwrap(), piece);
    let error =
        serde_json::from_value::<Reading>(serde_json::json!({ "voltage": 1, "curent": 2 })).unwrap_err();
    assert!(error.to_string().contains("current: missing"), "{error}");
    assert_eq!(serde_json::to_value(Side::NotConnected).unwrap(), "not_connected");

    let schema = schemars::schema_for!(Partition).to_value();
    assert_eq!(schema["$defs"]["Partition"]["properties"]["inner"]["items"]["$ref"], "#/$defs/Partition");
    assert_eq!(schema["$defs"]["Side"]["enum"], serde_json::json!(["host", "dut", "not_connected"]));
    let schema = schemars::schema_for!(Reading).to_value();
    assert_eq!(schema["$defs"]["Reading"]["properties"]["place"]["default"], "front");
    assert_eq!(schema["$defs"]["Reading"]["required"], serde_json::json!(["voltage", "current"]));
}

#[test]
fn text_and_values_convert_back_and_forth() {
    for side in [Side::Host, Side::Dut, Side::NotConnected] {
        let value = side.to_value().unwrap();
        assert_eq!(Side::from_value(value, Strictness::ARGUMENT), Ok(side));
    }
    assert_eq!(Side::Dut.to_value(), Ok(text("dut")));
}
