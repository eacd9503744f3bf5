//! What the program takes passes the written schemas: lengths of time, UUIDs, numbers of every size.

use std::sync::LazyLock;

use jumpstarter_core::config::{CommonConfig, FailureDetection, Subject, decode, parse};
use jumpstarter_core::{Delay, schemas};
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Value, json};

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::new(schema).expect("a schema")
}

fn of<T: schemars::JsonSchema>() -> jsonschema::Validator {
    validator(&schemars::schema_for!(T).to_value())
}

static DELAY: LazyLock<jsonschema::Validator> = LazyLock::new(of::<Delay>);
static COMMON: LazyLock<jsonschema::Validator> = LazyLock::new(of::<CommonConfig>);

/// The names of units, and what looks like one.
const UNIT: &str = "(y|yr|yrs|year|years|mo|mos|month|months|w|wk|wks|week|weeks|d|day|days|h|hr|hrs|hour|hours|m|min|mins\
|minute|minutes|s|sec|secs|second|seconds|ms|msec|msecs|milli|millis|millisecond|milliseconds|us|µs|μs|usec|usecs|µsecs\
|micro|micros|microsecond|microseconds|ns|nsec|nsecs|nano|nanos|nanosecond|nanoseconds|soon|ss|hs)";

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_length_of_time_that_is_read_passes_the_schema(
        text in prop_oneof![
            string_regex(&format!("[-+]?([0-9]{{1,3}}([.,][0-9]{{1,2}})? ?{UNIT}[, ]{{0,2}}){{1,3}}( ago)?")).expect("a pattern"),
            "[-+]?[0-9]{1,3}:[0-9]{1,3}:[0-9]{1,3}([.,][0-9]{1,3})?",
            string_regex(&format!("[0-9]{{1,2}} ?{UNIT},? [0-9]{{1,3}}:[0-9]{{1,3}}:[0-9]{{1,3}}")).expect("a pattern"),
            "[-+]?[Pp]([0-9]{1,2}[YyMmWwDd]){0,3}([Tt]([0-9]{1,2}([.,][0-9]{1,3})?[HhMmSs]){0,3})?",
            " ?[-+]?[0-9]{0,3}\\.?[0-9]{0,3}([eE][-+]?[0-9]{1,2})? ?",
            "[-+ 0-9.,:PTYMWDHSEptymwdhsaegonurkicl]{0,8}",
        ]
    ) {
        if text.parse::<Delay>().is_ok() {
            prop_assert!(DELAY.is_valid(&json!(text)), "{:?}", text);
        }
    }

    #[test]
    fn every_uuid_that_is_read_passes_the_schema(
        text in prop_oneof![
            "[0-9a-fA-F]{31,33}",
            "(urn:uuid:|\\{)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\\}?",
            "(URN:UUID:|urn:uuid:|\\{)[0-9a-f]{32}\\}?",
        ]
    ) {
        let document = parse("x", &format!("uuid: '{text}'")).document.expect("YAML");
        let read = decode::<CommonConfig>(&document.root, &Subject::new("it", "")).is_ok();
        prop_assert_eq!(COMMON.is_valid(&json!({ "uuid": text })), read, "{:?}", text);
    }
}

#[test]
fn what_is_no_length_of_time_is_refused_by_both() {
    let validator = &DELAY;
    for text in [
        "soon",
        "",
        " ",
        "5 parsecs",
        "2x",
        "s",
        "P",
        "PT",
        "1h 30q",
        "1:2",
        "five seconds",
        "ago",
        "-",
        ".",
        "-1s",
        "- 0s",
        "2s ago",
        "0s ago",
        "-1",
        "-0",
        "1h,30m",
    ] {
        assert!(text.parse::<Delay>().is_err(), "{text:?} is read");
        assert!(!validator.is_valid(&json!(text)), "{text:?} passes the schema");
    }
    for text in [
        "2s",
        "500ms",
        "1h 30m",
        "PT2S",
        "P1DT3.000005S",
        "0.25",
        "1e3",
        " 5 ",
        "1 hour, 30 minutes",
        "1:30:00",
        "1:2:3",
        "1:2:3",
    ] {
        assert!(text.parse::<Delay>().is_ok(), "{text:?} is not read");
        assert!(validator.is_valid(&json!(text)), "{text:?} does not pass the schema");
    }
}

#[test]
fn numbers_end_in_the_schema_where_they_end_in_the_program() {
    let validator = validator(&schemas::exporter(&[]));
    let takes = |value: u64| {
        let file = json!({ "failureDetection": { "maxRapidFailures": value } });
        let read = parse("x", &format!("maxRapidFailures: {value}")).document.expect("YAML");
        let read = decode::<FailureDetection>(&read.root, &Subject::new("it", "")).is_ok();
        assert_eq!(validator.is_valid(&file), read, "{value}");
        read
    };
    assert!(takes(u64::from(u32::MAX)) && !takes(u64::from(u32::MAX) + 1) && !takes(99_999_999_999));
    let option = |text: &str| {
        let number: Value = serde_json::from_str(text).expect("a number");
        validator.is_valid(&json!({ "grpcOptions": { "a": number } }))
    };
    assert!(option("9223372036854775807") && !option("18446744073709551615"));
}
