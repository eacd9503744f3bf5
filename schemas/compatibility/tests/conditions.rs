//! Rules of schemas that hold for some values only: what changed is named, with where it holds.

use jumpstarter_compatibility::{Record, Verdict, compare};
use serde_json::{Value, json};

/// Verdict, rule, place and words of everything that changed.
fn changes(old: &Value, new: &Value) -> Vec<(Verdict, &'static str, String, String)> {
    let record = |schema: &Value| Record::default().with_schema("file", schema.clone());
    compare(&record(old), &record(new))
        .into_iter()
        .map(|change| {
            let place = change.place.strip_prefix("schemas/file").expect("a place").to_owned();
            (change.verdict, change.rule, place, change.what)
        })
        .collect()
}

#[track_caller]
fn one(old: &Value, new: &Value, wanted: (Verdict, &str, &str, &str)) {
    let found = changes(old, new);
    let [(verdict, rule, place, what)] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((*verdict, *rule, place.as_str(), what.as_str()), wanted);
}

/// A mapping whose further keys depend on `scheme`, as in the configuration of storage.
fn storage(schemes: &[&str], rules: &[(&str, Value)]) -> Value {
    let rules: Vec<_> = rules
        .iter()
        .map(|(scheme, then)| {
            json!({ "if": { "properties": { "scheme": { "const": scheme } }, "required": ["scheme"] }, "then": then })
        })
        .collect();
    json!({
        "type": "object",
        "properties": {
            "scheme": { "enum": schemes },
            "kwargs": { "type": "object", "additionalProperties": { "type": "string" } },
        },
        "required": ["scheme"],
        "additionalProperties": false,
        "allOf": rules,
    })
}

fn kwargs(keys: &[&str], required: &[&str]) -> Value {
    let keys: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!(true))).collect();
    json!({ "properties": { "kwargs": { "properties": keys, "required": required, "additionalProperties": false } } })
}

#[test]
fn a_key_that_is_gone_from_one_branch_is_named_with_the_branch() {
    let schema = |keys: &[&str], required: &[&str]| {
        storage(&["fs", "s3"], &[("fs", kwargs(&["root"], &["root"])), ("s3", kwargs(keys, required))])
    };
    one(
        &schema(&["bucket", "region"], &[]),
        &schema(&["bucket"], &[]),
        (
            Verdict::Breaking,
            "key-removed",
            "/kwargs/region",
            "file: where `scheme` is \"s3\", key `kwargs.region` is gone",
        ),
    );
    one(
        &schema(&["bucket"], &[]),
        &schema(&["bucket"], &["bucket"]),
        (
            Verdict::Breaking,
            "key-required",
            "/kwargs/bucket",
            "file: where `scheme` is \"s3\", key `kwargs.bucket` is required now",
        ),
    );
    one(
        &schema(&["bucket"], &[]),
        &schema(&["bucket", "region"], &[]),
        (
            Verdict::Compatible,
            "key-added",
            "/kwargs/region",
            "file: where `scheme` is \"s3\", key `kwargs.region` is new",
        ),
    );
    assert_eq!(changes(&schema(&["bucket"], &[]), &schema(&["bucket"], &[])), []);
}

#[test]
fn a_rule_for_a_value_that_is_new_breaks_nobody_and_one_for_an_old_value_does() {
    let fs = || ("fs", kwargs(&["root"], &["root"]));
    let s3 = || ("s3", kwargs(&["bucket"], &[]));
    let found = changes(&storage(&["fs"], &[fs()]), &storage(&["fs", "s3"], &[fs(), s3()]));
    let rules: Vec<_> = found.iter().map(|(verdict, rule, ..)| (*verdict, *rule)).collect();
    assert_eq!(rules, [(Verdict::Compatible, "rule-added"), (Verdict::Compatible, "value-added")]);
    let (old, new) = (storage(&["fs", "s3"], &[fs()]), storage(&["fs", "s3"], &[fs(), s3()]));
    let rule = "{\"properties\":{\"kwargs\":{\"additionalProperties\":false,\"properties\":{\"bucket\":true},\"required\":[]}}}";
    let words = format!(
        "file: the configuration has a rule that it had not: where `scheme` is \"s3\", it must be {rule}"
    );
    one(&old, &new, (Verdict::Breaking, "rule-added", "", &words));
    let words = "file: the configuration has no rule of its own any more where `scheme` is \"s3\"";
    one(&new, &old, (Verdict::Compatible, "rule-removed", "", words));
}

/// As a device of an exporter file is described.
fn device(otherwise: &Value) -> Value {
    json!({
        "type": "object",
        "$defs": {
            "device": {
                "type": "object",
                "if": { "required": ["type"] },
                "then": { "oneOf": [{ "required": ["type"] }] },
                "else": { "if": { "required": ["ref"] }, "then": { "$ref": "#/$defs/reference" }, "else": otherwise },
            },
            "reference": { "type": "object", "properties": { "ref": { "type": "string" } }, "required": ["ref"], "additionalProperties": false },
        },
        "properties": { "export": { "type": "object", "additionalProperties": { "$ref": "#/$defs/device" } } },
    })
}

#[test]
fn what_changed_deep_in_an_else_is_named() {
    let keys = |keys: Value| json!({ "type": "object", "properties": keys, "additionalProperties": false });
    let place = "where not there is `type`, where not there is `ref`";
    one(
        &device(&keys(json!({ "children": {}, "description": {} }))),
        &device(&keys(json!({ "children": {} }))),
        (
            Verdict::Breaking,
            "key-removed",
            "/export/*/description",
            &format!("file: {place}, key `export.*.description` is gone"),
        ),
    );
    let mut narrowed = device(&keys(json!({})));
    narrowed["$defs"]["reference"]["properties"]["ref"]["minLength"] = json!(1);
    one(
        &device(&keys(json!({}))),
        &narrowed,
        (
            Verdict::Breaking,
            "range-narrowed",
            "/export/*/ref",
            "file: where not there is `type`, where there is `ref`, `minLength` of key `export.*.ref` is 1 where it was anything",
        ),
    );
}

#[test]
fn a_branch_that_was_open_and_asks_for_something_now_is_a_break() {
    let schema = |then: Value| json!({ "if": { "required": ["a"] }, "then": then });
    one(
        &schema(json!(true)),
        &schema(json!({ "properties": { "b": { "type": "integer" } } })),
        (
            Verdict::Breaking,
            "type-narrowed",
            "/b",
            "file: where there is `a`, key `b` must be {\"type\":\"integer\"} now",
        ),
    );
    one(
        &schema(json!({ "properties": { "b": { "type": "integer" } } })),
        &schema(json!({ "properties": { "b": { "type": ["integer", "string"] } } })),
        (
            Verdict::Compatible,
            "schema-widened",
            "",
            "file: where there is `a`, the configuration takes more than it took",
        ),
    );
    let further = |part: Value| json!({ "type": "object", "allOf": [part] });
    one(
        &json!({ "type": "object" }),
        &further(json!({ "maxProperties": 1 })),
        (
            Verdict::Breaking,
            "rule-added",
            "",
            "file: the configuration must also be {\"maxProperties\":1} now",
        ),
    );
}

#[test]
fn a_unit_may_be_named_and_not_changed() {
    let schema = |unit: Option<&str>| {
        let mut key = json!({ "type": "integer" });
        if let Some(unit) = unit {
            key["x-unit"] = unit.into();
        }
        json!({ "type": "object", "properties": { "wait": key } })
    };
    let (none, seconds, millis) = (schema(None), schema(Some("s")), schema(Some("ms")));
    one(
        &seconds,
        &millis,
        (Verdict::Breaking, "unit-changed", "/wait", "file: key `wait` is in ms where it was in s"),
    );
    one(&none, &seconds, (Verdict::Compatible, "unit-named", "/wait", "file: key `wait` says its unit, s"));
}
