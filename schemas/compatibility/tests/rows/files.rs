//! Rows about drivers: what exporter files notice, and those who use the devices in them.

use jumpstarter_compatibility::{Record, Report, Verdict};

use crate::{BOTH, FILES, compared, failures, passes, places, record, rules};

/// Two versions of a driver's configuration.
macro_rules! configurations {
    ($name:ident, { $($before:tt)* } => { $($after:tt)* }, $check:expr) => {
        #[test]
        fn $name() {
            configurations!(@version before $($before)*);
            configurations!(@version after $($after)*);
            let report = compared(&record(&[], &[before::Device::DRIVER]), &record(&[], &[after::Device::DRIVER]));
            let check: fn(&Report) = $check;
            check(&report);
        }
    };
    (@version $version:ident $($keys:tt)*) => {
        mod $version {
            use jumpstarter::prelude::*;
            /// Power.
            #[interface(name = "power", version = 1, package = "example")]
            pub trait Power { async fn on(&self) -> Result<()> { Ok(()) } }
            #[config]
            pub struct DeviceConfig { $($keys)* }
            #[driver(type = "device", provides(Power), config = DeviceConfig, open = Device::new)]
            pub struct Device {}
            impl Device { fn new(_: DeviceConfig) -> Self { Self {} } }
            impl Power for Device {}
        }
    };
}

configurations!(
    a_new_required_key_breaks_files,
    { pub a: u32 } => { pub a: u32, pub b: u32 },
    |report| assert_eq!(failures(report), [("key-required", FILES.to_owned())])
);

configurations!(
    a_new_optional_key_breaks_nobody,
    { pub a: u32 } => { pub a: u32, pub b: Option<u32>, #[default = 7] pub c: u32 },
    passes
);

configurations!(
    a_removed_key_breaks_files_unless_it_was_deprecated,
    { pub a: Option<u32>, #[deprecated] pub b: Option<u32> } => {},
    |report| {
        assert_eq!(failures(report), [("key-removed", FILES.to_owned())]);
        assert_eq!(rules(report.warnings()), ["key-removed"]);
    }
);

configurations!(
    a_renamed_key_breaks_files_unless_its_old_name_is_an_alias,
    { pub a: u32, #[default = 1] pub b: u32 } => { #[alias("a")] pub c: u32, #[alias("b")] #[default = 1] pub d: u32 },
    passes
);

configurations!(
    a_narrower_type_breaks_files_and_a_wider_one_does_not,
    { pub narrower: u32, pub other: u32, pub null: Option<u32>, pub wider: u8, pub text: Vec<String> } => {
        pub narrower: u16, pub other: String, pub null: u32, pub wider: u64, pub text: Option<Vec<String>>
    },
    |report| {
        let places: Vec<_> = report.failures().map(|change| (change.rule, change.place.as_str())).collect();
        assert_eq!(
            places,
            [
                ("range-narrowed", "drivers/device/config/narrower"),
                ("key-required", "drivers/device/config/null"),
                ("type-narrowed", "drivers/device/config/null"),
                ("type-narrowed", "drivers/device/config/other"),
            ],
            "{report}"
        );
    }
);

configurations!(
    a_changed_default_breaks_files_that_say_nothing,
    { #[default = 1] pub a: u32 } => { #[default = 2] pub a: u32 },
    |report| {
        assert_eq!(failures(report), [("key-default-changed", FILES.to_owned())]);
    }
);

configurations!(
    a_required_key_may_get_a_default,
    { pub port: String, #[alias("rate")] pub baud: u32 } => {
        #[default = "x"] pub port: String, #[alias("rate")] #[default = 1] pub baud: u32
    },
    passes
);

configurations!(
    a_changed_default_of_a_key_with_another_name_is_reported_once,
    { #[alias("baudrate")] #[default = 1] pub baud: u32 } => { #[alias("baudrate")] #[default = 2] pub baud: u32 },
    |report| assert_eq!(places(report), [("key-default-changed", "drivers/device/config/baud")])
);

configurations!(
    a_removed_alias_of_a_key_breaks_files,
    { #[alias("rate", "speed")] pub baud: u32 } => { #[alias("speed")] pub baud: u32 },
    |report| {
        assert_eq!(places(report), [("key-alias-removed", "drivers/device/config/rate")]);
        assert_eq!(
            report.failures().next().map(|change| change.what.as_str()),
            Some("driver device: key `rate`, another name of `baud`, is not taken any more")
        );
        assert_eq!(report.warnings().count(), 0);
    }
);

configurations!(
    a_deprecated_key_goes_with_its_aliases,
    { #[alias("rate")] #[deprecated] pub baud: Option<u32> } => {},
    |report| {
        assert!(!report.failed(), "{report}");
        let places: Vec<_> = report.warnings().map(|change| change.place.as_str()).collect();
        assert_eq!(places, ["drivers/device/config/baud"]);
    }
);

/// Schemas that no driver of ours has yet, as other versions of a library might print them.
#[allow(clippy::too_many_lines)] // A table.
#[test]
fn schemas_are_compared_whatever_words_they_use() {
    use serde_json::json;
    let rule = |old: serde_json::Value, new: serde_json::Value| {
        let record = |schema| Record::default().with_schema("file", schema);
        let (before, after) = (record(old), record(new));
        let changes = jumpstarter_compatibility::compare(&before, &after);
        changes
            .iter()
            .filter(|change| change.verdict > Verdict::Compatible)
            .map(|change| change.rule)
            .collect::<Vec<_>>()
    };
    let key = |schema: serde_json::Value| json!({ "type": "object", "properties": { "key": schema } });
    for (old, new, expected) in [
        (
            json!({ "type": "object" }),
            json!({ "type": "object", "additionalProperties": false }),
            &["keys-closed"][..],
        ),
        (json!({ "type": "object", "additionalProperties": false }), json!({ "type": "object" }), &[]),
        (
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
            &["type-narrowed"],
        ),
        (key(json!({ "enum": ["a", "b"] })), key(json!({ "enum": ["a"] })), &["value-removed"]),
        (key(json!({ "enum": ["a"] })), key(json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] })), &[]),
        (key(json!({ "type": "string" })), key(json!({ "enum": ["a"] })), &["type-narrowed"]),
        (key(json!({ "enum": ["a"] })), key(json!({ "type": "string" })), &[]),
        (
            key(json!({ "type": "string" })),
            key(json!({ "type": "string", "pattern": "^a" })),
            &["type-narrowed"],
        ),
        (
            key(json!({ "type": "string" })),
            key(json!({ "type": "string", "format": "uuid" })),
            &["type-narrowed"],
        ),
        (key(json!({ "type": "string", "format": "uuid" })), key(json!({ "type": "string" })), &[]),
        (
            key(json!({ "type": "string", "maxLength": 9 })),
            key(json!({ "type": "string", "maxLength": 8 })),
            &["range-narrowed"],
        ),
        (key(json!({ "minimum": 0 })), key(json!({ "minimum": 1 })), &["range-narrowed"]),
        (key(json!({ "type": "integer" })), key(json!({ "type": "number" })), &[]),
        (key(json!({ "type": "number" })), key(json!({ "type": "integer" })), &["type-narrowed"]),
        (key(json!(true)), key(json!({ "type": "integer" })), &["type-narrowed"]),
        (
            key(json!({ "type": "integer" })),
            key(json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] })),
            &[],
        ),
        (
            key(json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] })),
            key(json!({ "type": "integer" })),
            &["type-narrowed"],
        ),
        (
            key(json!({ "type": "array" })),
            key(json!({ "type": "array", "items": { "type": "string" } })),
            &["type-narrowed"],
        ),
        (
            key(json!({ "type": "string" })),
            key(json!({ "type": ["string", "array"], "items": { "type": "string" } })),
            &[],
        ),
        (
            key(json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] })),
            key(json!({ "type": ["integer", "null"], "format": "uint8" })),
            &["range-narrowed"],
        ),
        (
            key(json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] })),
            key(json!({ "type": "string" })),
            &[],
        ),
        (
            key(json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] })),
            key(json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] })),
            &["type-narrowed"],
        ),
        (
            key(json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] })),
            key(json!({ "anyOf": [{ "oneOf": [{ "const": "a" }, { "const": "c" }] }, { "type": "null" }] })),
            &["value-removed"],
        ),
        (key(json!({ "type": "string", "default": null })), key(json!({ "type": "string" })), &[]),
        (
            key(json!({ "type": ["string", "null"] })),
            key(json!({ "anyOf": [{ "type": "string" }, { "type": "object" }, { "type": "null" }] })),
            &[],
        ),
        (
            key(json!({ "anyOf": [{ "enum": ["a", "b", "c"] }, { "type": "null" }] })),
            key(json!({ "anyOf": [{ "enum": ["a"] }, { "type": "null" }] })),
            &["value-removed", "value-removed"],
        ),
        (
            key(json!({ "type": "string" })),
            key(json!({ "type": "string", "not": { "const": "x" } })),
            &["schema-changed"],
        ),
        (
            json!({ "$defs": { "t": { "type": "object", "properties": { "t": { "$ref": "#/$defs/t" }, "a": {} }, "additionalProperties": false } }, "$ref": "#/$defs/t" }),
            json!({ "$defs": { "u": { "type": "object", "properties": { "t": { "$ref": "#/$defs/u" } }, "additionalProperties": false } }, "$ref": "#/$defs/u" }),
            &["key-removed"],
        ),
    ] {
        assert_eq!(rule(old.clone(), new.clone()), expected, "{old} → {new}");
    }
}

/// What stands in a mapping that may be left out, or that is one of several forms, is found where it is.
#[test]
fn mappings_among_other_forms_are_compared_key_by_key() {
    use serde_json::{Value, json};
    let compared = |old: &Value, new: &Value| {
        let record = |schema: &Value| Record::default().with_schema("file", schema.clone());
        jumpstarter_compatibility::compare(&record(old), &record(new))
            .into_iter()
            .filter(|change| change.verdict > Verdict::Compatible)
            .map(|change| {
                (change.rule, change.place.strip_prefix("schemas/file").unwrap().to_owned(), change.what)
            })
            .collect::<Vec<_>>()
    };
    let nest = |keys: Value, required: Value| json!({ "type": "object", "properties": keys, "required": required, "additionalProperties": false });
    let string = json!({ "type": "string" });
    // A tagged one, a named one, and one that is neither.
    let schema = |tagged: Value, named: Value, inner: Value| {
        json!({
            "type": "object",
            "$defs": { "Named": named, "Method": { "anyOf": [{ "type": "string" }, inner] } },
            "properties": {
                "tagged": { "oneOf": [
                    nest(json!({ "type": { "const": "a" }, "x": string }), json!(["type"])),
                    tagged,
                ] },
                "named": { "anyOf": [{ "$ref": "#/$defs/Named" }, { "type": "null" }] },
                "methods": { "additionalProperties": { "anyOf": [{ "$ref": "#/$defs/Method" }, { "type": "null" }] } },
            },
        })
    };
    let tagged = nest(json!({ "type": { "const": "b" }, "x": string, "y": string }), json!(["type"]));
    let named = nest(json!({ "time": { "type": "integer", "default": 1 }, "bearer": string }), json!([]));
    let inner = nest(json!({ "command": string, "cwd": string }), json!(["command"]));
    let old = schema(tagged.clone(), named.clone(), inner.clone());
    assert_eq!(compared(&old, &old), []);
    let new = schema(
        nest(json!({ "type": { "const": "b" }, "x": string }), json!(["type"])),
        nest(json!({ "time": { "type": "integer", "default": 2 } }), json!([])),
        nest(json!({ "command": string, "cwd": string, "user": string }), json!(["command", "user"])),
    );
    let found = compared(&old, &new);
    let found: Vec<_> =
        found.iter().map(|(rule, place, what)| (*rule, place.as_str(), what.as_str())).collect();
    assert_eq!(
        found,
        [
            ("key-required", "/methods/*/user", "file: key `methods.*.user` is new and required"),
            ("key-removed", "/named/bearer", "file: key `named.bearer` is gone"),
            (
                "key-default-changed",
                "/named/time",
                "file: an absent key `named.time` means 2 where it meant 1"
            ),
            ("key-removed", "/tagged/y", "file: key `tagged.y` is gone"),
        ]
    );
    // Whether it may be left out is another question.
    let required = |mut schema: Value| {
        schema["properties"]["named"] = json!({ "$ref": "#/$defs/Named" });
        schema
    };
    let narrower = compared(&old, &required(new.clone()));
    assert!(
        narrower.iter().any(|(rule, place, what)| *rule == "type-narrowed"
            && place == "/named"
            && what == "file: key `named` cannot be null any more"),
        "{narrower:?}"
    );
    assert_eq!(narrower.len(), 5, "{narrower:?}");
    let wider = compared(&required(old.clone()), &new);
    assert_eq!(wider.len(), 4, "{wider:?}");
}

/// Two versions of a driver with its children.
macro_rules! drivers {
    ($name:ident, ($($before:tt)*) { $($old:tt)* } => ($($after:tt)*) { $($new:tt)* }, $check:expr) => {
        #[test]
        fn $name() {
            drivers!(@version before ($($before)*) $($old)*);
            drivers!(@version after ($($after)*) $($new)*);
            let report = compared(&record(&[], &[before::Device::DRIVER]), &record(&[], &[after::Device::DRIVER]));
            let check: fn(&Report) = $check;
            check(&report);
        }
    };
    (@version $version:ident ($($names:tt)*) $($children:tt)*) => {
        mod $version {
            use jumpstarter::{NoConfig, prelude::*};
            /// Power.
            #[interface(name = "power", version = 1, package = "example")]
            pub trait Power { async fn on(&self) -> Result<()> { Ok(()) } }
            /// Another.
            #[interface(name = "lamp", version = 1, package = "example")]
            pub trait Lamp { async fn shine(&self) -> Result<()> { Ok(()) } }
            #[children]
            pub struct Parts { $($children)* }
            #[driver($($names)*, provides(Power, Lamp), children = Parts)]
            pub struct Device {}
            impl Driver for Device {
                async fn open(_: NoConfig, _: &mut Open<Parts>) -> Result<Self> { Ok(Self {}) }
            }
            impl Power for Device {}
            impl Lamp for Device {}
        }
    };
}

drivers!(
    a_new_required_child_breaks_files,
    (type = "device") {} => (type = "device") { pub a: PowerClient },
    |report| assert_eq!(failures(report), [("child-required", FILES.to_owned())])
);

drivers!(
    a_new_optional_child_breaks_nobody,
    (type = "device") { pub a: PowerClient } => (type = "device") { pub a: Option<PowerClient>, pub b: Option<PowerClient> },
    passes
);

drivers!(
    a_child_of_another_kind_breaks_files,
    (type = "device") { pub a: PowerClient } => (type = "device") { pub a: LampClient },
    |report| assert_eq!(failures(report), [("child-kind-changed", FILES.to_owned())])
);

drivers!(
    a_removed_child_breaks_files_unless_others_are_welcome,
    (type = "device") { pub a: PowerClient, pub b: Option<PowerClient> } => (type = "device") { pub a: PowerClient },
    |report| assert_eq!(failures(report), [("child-removed", FILES.to_owned())])
);

drivers!(
    a_removed_child_is_welcome_where_others_are,
    (type = "device") { pub a: PowerClient, #[child(rest)] pub others: Children } => (type = "device") { #[child(rest)] pub others: Children },
    passes
);

drivers!(
    children_of_any_name_that_are_not_welcome_any_more_break_files,
    (type = "device") { #[child(rest)] pub others: Children } => (type = "device") {},
    |report| assert_eq!(failures(report), [("child-removed", FILES.to_owned())])
);

drivers!(
    a_driver_that_stops_to_make_a_child_breaks_clients,
    (type = "device") { #[child(made)] pub a: PowerClient } => (type = "device") {},
    |report| assert_eq!(failures(report), [("child-removed", BOTH.to_owned())])
);

drivers!(
    a_renamed_driver_breaks_files,
    (type = "device") {} => (type = "apparatus") {},
    |report| assert_eq!(failures(report), [("driver-renamed", FILES.to_owned())])
);

drivers!(
    a_renamed_driver_with_its_old_name_as_an_alias_breaks_nobody,
    (type = "device", aliases("older")) {} => (type = "apparatus", aliases("older", "device")) {},
    passes
);

drivers!(
    a_removed_alias_breaks_files,
    (type = "device", aliases("older")) {} => (type = "device") {},
    |report| assert_eq!(failures(report), [("driver-alias-removed", FILES.to_owned())])
);
