//! Types from nodes, with places.

use indexmap::IndexMap;
use jumpstarter_core::config::{Node, Problems, Subject, Value, check_schema, decode, parse};
use serde::Deserialize;

fn node(text: &str) -> Node {
    let parsed = parse("test.yaml", text);
    assert!(parsed.problems.is_empty(), "{}", parsed.problems);
    parsed.document.expect("a document").root
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    decode(&node(text), &Subject::new("the value", "")).map_err(|problems| lines(&problems))
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Point,
    Circle(f64),
    Rectangle { width: u8, height: u8 },
}

#[test]
fn every_shape_of_value_is_decoded() {
    assert_eq!(
        read::<Vec<Shape>>("[point, {circle: 2}, {rectangle: {width: 1, height: 2}}]"),
        Ok(vec![Shape::Point, Shape::Circle(2.0), Shape::Rectangle { width: 1, height: 2 }])
    );
    assert_eq!(read::<(i8, Option<char>, Option<u64>)>("[-5, x, ~]"), Ok((-5, Some('x'), None)));
    assert_eq!(
        read::<IndexMap<u16, bool>>("{22: on, 80: No}"),
        Ok(IndexMap::from([(22, true), (80, false)]))
    );
    assert_eq!(
        read::<IndexMap<String, String>>("{on: off, 1: no}"),
        Ok(IndexMap::from(
            [("on", "off"), ("1", "no")].map(|(key, value)| (key.to_owned(), value.to_owned()))
        ))
    );
    assert_eq!(read::<i128>("-170141183460469231731687303715884105727"), Ok(i128::MIN + 1));
    assert_eq!(read::<u32>("30.0"), Ok(30));
}

#[test]
fn wrong_values_name_what_was_expected_and_what_is_there() {
    assert_eq!(
        read::<u8>("300").expect_err("too large"),
        ["1:1: the value must be a whole number from 0 to 255, but it is the number 300"]
    );
    assert_eq!(
        read::<Vec<u8>>("[1, x, [2]]").expect_err("two wrong items"),
        [
            "1:5: item 2 of the value must be a whole number from 0 to 255, but it is the text `x`",
            "1:8: item 3 of the value must be a whole number from 0 to 255, but it is a list",
        ]
    );
    assert_eq!(
        read::<f64>(".nan").expect_err("no number"),
        ["1:1: the value must be a finite number, but it is the number .nan"]
    );
    assert_eq!(
        read::<Shape>("cirle").expect_err("no shape"),
        ["1:1: the value must be one of point, circle, rectangle, but it is the text `cirle`"]
    );
    assert_eq!(
        read::<serde_json::Value>("{a: 017}").expect_err("ambiguous"),
        ["1:5: `a` must be a number or quoted text, but it is the text `017`"]
    );
    assert_eq!(read::<String>("017"), Ok("017".to_owned()));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only decoding is of interest")]
struct Outer {
    name: String,
    inner: Vec<Inner>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only decoding is of interest")]
struct Inner {
    port: u16,
    host: String,
}

#[test]
fn one_pass_reports_unknown_keys_wrong_values_and_missing_keys_of_all_parts() {
    let text = "\
nmae: x
inner:
  - {port: 1, hots: a, extra: 2}
  - {host: b}
  - {port: p, host: 5}
";
    assert_eq!(
        read::<Outer>(text).expect_err("many mistakes"),
        [
            "1:1: unknown key `nmae` in the value",
            "2:1: missing key `port` in `inner` of the value",
            "3:15: unknown key `hots` in `inner` of the value",
            "3:24: unknown key `extra` in `inner` of the value",
            "5:12: `port` must be a whole number from 0 to 65535, but it is the text `p`",
            "5:21: `host` must be text, but it is the number 5",
        ]
    );
}

#[test]
fn a_schema_walk_reports_every_missing_key() {
    let schema = serde_json::json!({
        "type": "object",
        "required": ["a", "b"],
        "properties": {
            "a": true, "b": true,
            "on": { "anyOf": [{ "type": "boolean" }, { "type": "null" }] },
            "kind": { "oneOf": [
                { "type": "string" },
                { "type": "object", "required": ["x"], "properties": { "x": { "type": "integer", "maximum": 9 } } }
            ] },
        },
        "additionalProperties": false,
    });
    let check = |text: &str| lines(&check_schema(&schema, &node(text), &Subject::new("the value", "")));
    assert_eq!(
        check("{on: yes, kind: {x: 3}}"),
        ["1:1: missing key `a` in the value", "1:1: missing key `b` in the value"]
    );
    assert_eq!(
        check("{a: 1, b: 2, on: 5, kind: {x: 10}}"),
        [
            "1:18: `on` must be true or false, but it is the number 5",
            "1:31: `x` must be at most 9, but it is the number 10",
        ]
    );
    assert_eq!(
        check("{a: 1, b: 2, kind: 5}"),
        ["1:20: `kind` must be text or a mapping, but it is the number 5"]
    );
}

#[test]
fn the_parts_of_an_exporter_file_agree_with_the_schemas_printed_from_their_types() {
    use jumpstarter_core::config::{CommonConfig, FailureDetection, Hooks, Metadata, Tls};

    fn agree<T: serde::de::DeserializeOwned + schemars::JsonSchema>(texts: &[(&str, bool)]) {
        let (schema, subject) = (schemars::schema_for!(T).into(), Subject::new("it", ""));
        for (text, good) in texts {
            assert_eq!(decode::<T>(&node(text), &subject).is_ok(), *good, "the type about {text}");
            assert_eq!(
                check_schema(&schema, &node(text), &subject).is_empty(),
                *good,
                "the schema about {text}"
            );
        }
    }

    agree::<Hooks>(&[
        ("{}", true),
        ("{beforeLease: {script: ls, timeout: 5, onFailure: endLease}, afterLease: null}", true),
        ("{beforeLease: {}}", false),
        ("{beforeLease: {script: ls, timeout: 0}}", false),
        ("{beforeLease: {script: ls, onFailure: never}}", false),
        ("{beforeLease: {script: ls, shell: sh}}", false),
        ("{afterlease: {script: ls}}", false),
    ]);
    agree::<Tls>(&[
        ("{ca: 'LS0tLS1CRUdJTiBD RVJUSUZJQ0FURS0tLS0t+/=='}", true),
        ("{ca: 'not base64!!'}", false),
        ("{ca: '-----BEGIN CERTIFICATE-----'}", false),
        ("{ca: '', insecure: off}", true),
        ("{insecure: 1}", false),
        ("{cert: x}", false),
    ]);
    agree::<Metadata>(&[("{name: a, namespace: ~}", true), ("{name: 5}", false), ("{labels: {}}", false)]);
    agree::<FailureDetection>(&[("{maxRapidFailures: 3}", true), ("{rapidFailureWindow: -1}", false)]);
    agree::<CommonConfig>(&[
        ("{labels: {a: b}, log_level: DEBUG, uuid: 6f0ac5b5-0f4e-4b5f-8a27-60e4b3d1a001}", true),
        ("{labels: {a: 1}}", false),
        ("{log_level: debug}", false),
    ]);
}

#[test]
fn keys_and_values_know_their_places() {
    let root = node("a: 1\n\"ü b\":\n  - x\n  -   {c: ~}\n");
    let map = root.as_map().expect("a mapping");
    let entry = map.entry("ü b").expect("the key");
    assert_eq!(
        (entry.key_span.line, entry.key_span.column, entry.key_span.start, entry.key_span.end),
        (2, 1, 5, 11)
    );
    let items = entry.value.as_seq().expect("a list");
    assert_eq!((items[1].span.line, items[1].span.column), (4, 7));
    let inner = items[1].as_map().and_then(|map| map.entry("c")).expect("c");
    assert_eq!((inner.value.span.line, inner.value.span.column), (4, 11));
    assert_eq!(inner.value.value, Value::Null);
}

/// What is wrong with a whole file, one line each.
fn of_file(text: &str) -> (Vec<String>, usize) {
    let (_, problems) = super::sample::problems("x", text);
    (problems.iter().map(|problem| problem.message().to_owned()).collect(), problems.len())
}

#[test]
fn no_number_of_mistakes_in_one_value_hides_the_others() {
    let many = |count: usize| (0..count).map(|key| format!("k{key}: [], ")).collect::<Vec<_>>().concat();
    for (open, close) in [
        ("hooks: {", "}"),
        ("hooks: {beforeLease: {script: x, ", "}}"),
        ("metadata: {", "}"),
        ("grpcOptions: {", "}"),
        ("export: {a: {type: serial, config: {url: x, labels: {", "}}}}"),
        ("export: {a: {type: serial, config: {url: x}, methods_description: {", "}}}"),
        ("export: {a: {type: serial, config: {url: x, ", "}}}"),
    ] {
        for count in [65, 99, 100, 101, 300] {
            let (told, all) = of_file(&format!("{open}{}{close}", many(count)));
            assert_eq!((told.len(), all), (count.min(100), count), "{open}");
        }
        // Of very many, it is said that there are more.
        let (told, all) = of_file(&format!("{open}{}{close}", many(2_000)));
        assert!(told.len() == 100 && all > 500, "{open} {all}");
    }
}

#[test]
fn a_key_in_two_spellings_hides_nothing_else() {
    let (told, _) =
        of_file("hooks: {afterLease: {script: x, on_failure: warn, onFailure: exit, timeout: 0, foo: 1}}");
    assert_eq!(told.len(), 3, "{told:#?}");
    let (told, _) =
        of_file("hooks: {beforeLease: {script: x, timeout: 0}, before_lease: {script: x, foo: 1}, bar: 1}");
    assert_eq!(told.len(), 4, "{told:#?}");
    assert_eq!(told.iter().filter(|told| told.contains("two spellings")).count(), 1, "{told:#?}");
}

#[test]
fn a_driver_without_a_name_is_checked_and_hides_no_reference() {
    let wrong = "{type: serial, ref: x, config: {bad: 1}}";
    for key in ["''", "[a]", "{a: b}", "' '", "\"a\\tb\""] {
        let (told, _) = of_file(&format!("export: {{{key}: {wrong}, b: {{ref: nowhere}}}}"));
        assert!(told.iter().any(|told| told.contains("unknown key `bad`")), "{key}: {told:#?}");
        assert!(told.iter().any(|told| told.contains("has both `type` and `ref`")), "{key}: {told:#?}");
        assert!(told.iter().any(|told| told.contains("refers to `nowhere`")), "{key}: {told:#?}");
        assert!(told.iter().all(|told| !told.contains('\0')), "{key}: {told:#?}");
        assert_eq!(told.len(), 5, "{key}: {told:#?}");
    }
    // The name that was forgotten may be the one that is referred to.
    let (told, _) = of_file("export: {: {type: serial, config: {url: x, bad: 1}}, b: {ref: nowhere}}");
    assert_eq!(told.len(), 2, "{told:#?}");
}

#[test]
fn advice_can_be_followed() {
    let told = |text: &str| {
        let (_, problems) = super::sample::problems("x", text);
        let told = problems
            .iter()
            .map(|problem| (problem.message().to_owned(), problem.help_text().map(str::to_owned)));
        told.collect::<Vec<_>>()
    };
    let [(message, help)] = &told("export: {a.b: {type: x}, c: {ref: a.b}}")[..] else {
        panic!("one problem")
    };
    assert_eq!(message, "`c` refers to `a.b`, which is not there");
    let dots = "a name with a dot cannot be referred to, because dots stand between names: rename `a.b`";
    assert_eq!(help.as_deref(), Some(dots));
    let [(message, help)] = &told("export: {a: {type: x, isolation: proces}}")[..] else {
        panic!("one problem")
    };
    assert!(message.starts_with("`isolation` must be `none`"), "{message}");
    assert_eq!(help.as_deref(), None);
    // Whole numbers of any size are numbers.
    for number in ["18446744073709551616", "-9223372036854775809"] {
        let node = node(number);
        let read: f64 = decode(&node, &Subject::new("it", "")).expect("a number");
        assert!((read - number.parse::<f64>().unwrap()).abs() < 1.0, "{read}");
    }
    assert_eq!(
        read::<std::path::PathBuf>("[]").expect_err("no path"),
        ["1:1: the value must be a path, but it is a list"]
    );
}
