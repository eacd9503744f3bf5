//! `#[config]`.

use jumpstarter::Delay;
use serde_json::json;

use crate::sample::{BenchConfig, BenchMode};

#[test]
fn absent_keys_take_their_defaults() {
    let config: BenchConfig = serde_json::from_value(json!({ "title": "x" })).unwrap();
    let expected = BenchConfig {
        path: "/dev/bench".into(),
        baudrate: 115_200,
        settle: "500ms".parse::<Delay>().unwrap(),
        mode: BenchMode::Fast,
        title: "x".into(),
        extra: None,
    };
    assert_eq!(config, expected);
}

#[test]
fn old_names_work_and_unknown_ones_do_not() {
    let config: BenchConfig =
        serde_json::from_value(json!({ "caption": "x", "baud": 9600, "mode": "very_slow" })).unwrap();
    assert_eq!((config.baudrate, config.mode), (9600, BenchMode::VerySlow));
    let error = serde_json::from_value::<BenchConfig>(json!({ "title": "x", "colour": 1 })).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `colour`"), "{error}");
    assert!(serde_json::from_value::<BenchConfig>(json!({})).is_err());
}

#[test]
fn the_schema_knows_defaults_documentation_units_and_old_names() {
    let schema = schemars::schema_for!(BenchConfig).to_value();
    let properties = &schema["properties"];
    assert_eq!(properties["baudrate"]["default"], 115_200);
    assert_eq!(properties["baudrate"]["description"], "Bits per second.");
    assert_eq!(properties["baudrate"]["x-unit"], "bit/s");
    assert_eq!(properties["extra"]["x-unit"], "V");
    assert_eq!(properties["extra"]["examples"], json!([3.3]));
    assert_eq!(properties["settle"]["default"], "PT0.5S");
    assert_eq!(properties["mode"]["default"], "fast");
    assert_eq!(properties["baud"]["deprecated"], true);
    assert_eq!(properties["baud"]["description"], "Old name of `baudrate`.");
    assert!(properties["baudrate"].get("x-aliases").is_none());
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["allOf"],
        json!([{ "anyOf": [{ "required": ["title"] }, { "required": ["caption"] }] }])
    );
}
