//! The table of `docs/changing-an-interface.md`, row by row: two versions of real interfaces and drivers, and what the
//! comparison says. `tests/mutations` has many more edits; these are the promises.

#![allow(missing_docs, dead_code, unused_variables, unreachable_pub)]

use jumpstarter::{DriverFactory, describe::Interface};
use jumpstarter_compatibility::{Accepted, Change, Record, Report, Verdict, check};

fn record(interfaces: &[&'static Interface], drivers: &[&'static dyn DriverFactory]) -> Record {
    let plain: Vec<_> = drivers.iter().map(|driver| *driver as &dyn DriverFactory).collect();
    Record::of(interfaces, &plain).expect("a record")
}

fn compared(before: &Record, after: &Record) -> Report {
    check(before, after, &Accepted::default()).expect("a comparison")
}

/// Rule and who it breaks, of everything that makes the check fail.
fn failures(report: &Report) -> Vec<(&'static str, String)> {
    report.failures().map(|change| (change.rule, change.breaks.to_string())).collect()
}

fn rules<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<&'static str> {
    changes.map(|change| change.rule).collect()
}

fn places(report: &Report) -> Vec<(&'static str, &str)> {
    report.failures().map(|change| (change.rule, change.place.as_str())).collect()
}

const BOTH: &str = "native and legacy clients";
const NATIVE: &str = "native clients";
const LEGACY: &str = "legacy clients";
const FILES: &str = "YAML files";

/// Two versions of the methods of one interface, with the messages that they need.
macro_rules! interfaces {
    ($(#[$doc:meta])* $name:ident, { $($before:tt)* } => { $($after:tt)* } $(; types { $($old:tt)* } => { $($new:tt)* })?, $check:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            mod before {
                use jumpstarter::prelude::*;
                /// Power.
                #[interface(name = "power", version = 1, package = "example")]
                pub trait Power { $($before)* }
                $($($old)*)?
            }
            mod after {
                use jumpstarter::prelude::*;
                /// Power.
                #[interface(name = "power", version = 1, package = "example")]
                pub trait Power { $($after)* }
                $($($new)*)?
            }
            let report = compared(&record(&[&before::POWER], &[]), &record(&[&after::POWER], &[]));
            let check: fn(&Report) = $check;
            check(&report);
        }
    };
}

fn passes(report: &Report) {
    assert!(!report.failed() && report.warnings().next().is_none(), "{report}");
    assert!(report.compatible().next().is_some(), "it is listed all the same");
}

interfaces!(
    a_method_may_be_added_with_a_body,
    { async fn on(&self) -> Result<()>; } => {
        async fn on(&self) -> Result<()>;
        async fn off(&self) -> Result<()> { Err(Error::unsupported()) }
    },
    passes
);

interfaces!(
    a_method_without_a_body_is_a_warning_to_other_peoples_drivers,
    { async fn on(&self) -> Result<()>; } => {
        async fn on(&self) -> Result<()>;
        async fn off(&self) -> Result<()>;
    },
    |report| {
        assert!(!report.failed());
        let warning = report.warnings().next().expect("a warning");
        assert_eq!(warning.rule, "method-added-without-body");
        assert!(warning.breaks.source && !warning.breaks.native && !warning.breaks.legacy);
    }
);

interfaces!(
    removing_a_method_breaks_both_languages,
    { async fn on(&self) -> Result<()>; async fn off(&self, now: bool) -> Result<()>; } => { async fn on(&self) -> Result<()>; },
    |report| assert_eq!(failures(report), [("method-removed", BOTH.to_owned())])
);

interfaces!(
    renaming_a_method_breaks_both_languages,
    { async fn on(&self) -> Result<()>; } => { async fn start(&self) -> Result<()>; },
    |report| assert_eq!(failures(report), [("method-renamed", BOTH.to_owned())])
);

interfaces!(
    renaming_a_method_and_keeping_its_old_name_breaks_nobody,
    { async fn on(&self) -> Result<()>; } => { #[renamed_from = "on"] async fn start(&self) -> Result<()>; },
    passes
);

interfaces!(
    a_parameter_with_a_default_may_be_added_at_the_end,
    { async fn set(&self, a: u32) -> Result<()>; } => {
        async fn set(&self, a: u32, #[default = 1] b: u32, c: Option<String>) -> Result<()>;
    },
    passes
);

interfaces!(
    a_parameter_with_a_default_in_front_breaks_legacy_clients,
    { async fn set_limit(&self, a: u32, b: Option<u32>, steps: Option<u32>) -> Result<()>; } => {
        async fn set_limit(&self, a: u32, b: Option<u32>, #[tag = 4] c: Option<u32>, #[tag = 3] steps: Option<u32>) -> Result<()>;
    },
    |report| {
        assert_eq!(failures(report), [("parameter-moved", LEGACY.to_owned())]);
        assert_eq!(
            report.failures().next().expect("a failure").to_string(),
            "breaking for legacy clients: power.set_limit: parameter `steps` moved from position 3 to 4; add new parameters at the end (parameter-moved)"
        );
    }
);

interfaces!(
    a_parameter_without_a_default_breaks_both_languages,
    { async fn set(&self, a: u32) -> Result<()>; } => { async fn set(&self, a: u32, b: u32) -> Result<()>; },
    |report| assert_eq!(failures(report), [("parameter-added-without-default", BOTH.to_owned())])
);

interfaces!(
    reordering_parameters_breaks_legacy_clients_and_others_unless_tags_are_pinned,
    {
        async fn pinned(&self, a: u32, b: u32) -> Result<()>;
        async fn unpinned(&self, a: u32, b: u32) -> Result<()>;
    } => {
        async fn pinned(&self, #[tag = 2] b: u32, #[tag = 1] a: u32) -> Result<()>;
        async fn unpinned(&self, b: u32, a: u32) -> Result<()>;
    },
    |report| {
        let of = |method: &str| -> Vec<_> {
            let place = format!("/{method}/a");
            let found = report.failures().filter(|change| change.place.ends_with(&place));
            found.map(|change| (change.rule, change.breaks.to_string())).collect()
        };
        assert_eq!(of("pinned"), [("parameter-moved", LEGACY.to_owned())]);
        assert_eq!(of("unpinned"), [("parameter-moved", LEGACY.to_owned()), ("parameter-retagged", NATIVE.to_owned())]);
        assert_eq!(report.failures().count(), 6);
    }
);

interfaces!(
    renaming_a_parameter_breaks_nobody,
    { async fn set(&self, a: u32) -> Result<()>; } => { async fn set(&self, b: u32) -> Result<()>; },
    passes
);

interfaces!(
    renaming_a_field_breaks_legacy_clients,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub volts: f64 } } => { #[message] pub struct Answer { pub voltage: f64 } },
    |report| assert_eq!(failures(report), [("field-renamed", LEGACY.to_owned())])
);

interfaces!(
    changing_types_streams_tags_and_presence_breaks,
    {
        async fn kind(&self, a: bool) -> Result<()>;
        async fn stream(&self) -> Result<u32>;
        async fn tag(&self, a: u32) -> Result<()>;
        async fn presence(&self, a: u32) -> Result<()>;
    } => {
        async fn kind(&self, a: String) -> Result<()>;
        async fn stream(&self) -> Result<Stream<u32>>;
        async fn tag(&self, #[tag = 2] a: u32) -> Result<()>;
        async fn presence(&self, #[default = 1] a: u32) -> Result<()>;
    },
    |report| assert_eq!(
        failures(report),
        [
            ("parameter-type-changed", BOTH.to_owned()),
            ("parameter-presence-changed", NATIVE.to_owned()),
            ("streaming-changed", BOTH.to_owned()),
            ("parameter-retagged", NATIVE.to_owned()),
        ]
    )
);

interfaces!(
    integers_of_one_family_may_become_wider_where_they_are_read,
    { async fn set(&self, a: u8, b: u32, c: i32) -> Result<u64>; } => { async fn set(&self, a: u16, b: u64, c: i64) -> Result<u32>; },
    passes
);

interfaces!(
    a_field_may_go_when_it_had_a_default_and_its_number_is_reserved,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub a: f64, #[default = 1] pub b: u32, pub c: Option<u32> } }
    => { #[message] #[reserved(2, 3, "b", "c")] pub struct Answer { pub a: f64 } },
    passes
);

interfaces!(
    a_field_without_a_default_is_missed_by_legacy_clients,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub a: f64, pub b: u32 } }
    => { #[message] #[reserved(2, "b")] pub struct Answer { pub a: f64 } },
    |report| assert_eq!(failures(report), [("field-removed", LEGACY.to_owned())])
);

interfaces!(
    a_field_that_callers_send_is_refused_when_it_is_gone,
    { async fn set(&self, it: Request) -> Result<()>; } => { async fn set(&self, it: Request) -> Result<()>; };
    types { #[message] pub struct Request { pub a: f64, #[default = 1] pub b: u32 } }
    => { #[message] #[reserved(2, "b")] pub struct Request { pub a: f64 } },
    |report| assert_eq!(failures(report), [("field-removed", LEGACY.to_owned())])
);

interfaces!(
    a_tag_that_is_used_again_is_an_error_that_nobody_can_accept,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub a: f64, #[default = 1] pub b: u32 } }
    => { #[message] pub struct Answer { pub a: f64, #[tag = 2] pub text: String } },
    |report| {
        assert_eq!(rules(report.failures()), ["tag-reused"]);
        assert_eq!(report.failures().next().map(|change| change.verdict), Some(Verdict::Corrupting));
    }
);

interfaces!(
    an_option_that_becomes_required_breaks_both_languages,
    { async fn set(&self, a: Option<u32>) -> Result<()>; } => { async fn set(&self, a: u32) -> Result<()>; },
    |report| assert_eq!(failures(report), [("parameter-presence-changed", BOTH.to_owned())])
);

/// Messages may contain themselves, and may travel in both directions: each change of one is reported once.
#[test]
fn a_message_is_compared_once_however_it_is_reached() {
    mod before {
        use jumpstarter::prelude::*;
        /// A tree.
        #[interface(name = "tree", version = 1, package = "example")]
        pub trait Tree {
            async fn graft(&self, it: Node, all: Vec<Node>) -> Result<Node>;
        }
        #[message]
        pub struct Node {
            pub inner: Vec<Node>,
            pub size: u8,
        }
    }
    mod after {
        use jumpstarter::prelude::*;
        /// A tree.
        #[interface(name = "tree", version = 1, package = "example")]
        pub trait Tree {
            async fn graft(&self, it: Branch, all: Vec<Branch>) -> Result<Branch>;
        }
        #[message]
        pub struct Branch {
            pub inner: Vec<Branch>,
            pub size: u16,
        }
    }
    let report = compared(&record(&[&before::TREE], &[]), &record(&[&after::TREE], &[]));
    // Wider is right for what drivers read, and wrong for what clients read.
    assert_eq!(failures(&report), [("field-range-changed", BOTH.to_owned())]);
    assert_eq!(rules(report.compatible()), ["message-renamed", "field-type-compatible"], "{report}");
}

#[test]
fn a_new_version_beside_the_old_one_breaks_nobody_and_in_its_place_everybody() {
    mod v1 {
        use jumpstarter::prelude::*;
        /// Power.
        #[interface(name = "power", version = 1, package = "example")]
        pub trait Power {
            async fn on(&self) -> Result<()>;
        }
    }
    mod v2 {
        use jumpstarter::prelude::*;
        /// Power.
        #[interface(name = "power", version = 2, package = "example")]
        pub trait Power {
            async fn on(&self, channel: u32) -> Result<()>;
        }
    }
    mod moved {
        use jumpstarter::prelude::*;
        /// Power.
        #[interface(name = "supply", version = 1, package = "example", also = ["example.power.v1.Power"])]
        pub trait Supply {
            async fn on(&self) -> Result<()>;
        }
    }
    let released = record(&[&v1::POWER], &[]);
    passes(&compared(&released, &record(&[&v1::POWER, &v2::POWER], &[])));
    let report = compared(&released, &record(&[&v2::POWER], &[]));
    assert_eq!(failures(&report), [("interface-removed", BOTH.to_owned())]);
    let said = report.failures().next().expect("a failure").to_string();
    assert!(
        said.contains("keep version 1 beside version 2 for a while: `provides(PowerV1, Power)`"),
        "{said}"
    );

    let ours = jumpstarter_compatibility::compare(&released, &record(&[&moved::SUPPLY], &[]));
    assert_eq!(rules(ours.iter()), ["interface-moved"], "a service that still answers is no break");
    assert_eq!(ours[0].verdict, Verdict::Warning);
}

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

interfaces!(
    a_required_message_may_get_a_default,
    { async fn set(&self, wait: jumpstarter::Delay) -> Result<()>; } => {
        async fn set(&self, #[default = "1s"] wait: jumpstarter::Delay) -> Result<()>;
    },
    passes
);

interfaces!(
    a_field_that_is_always_sent_may_get_a_default,
    { async fn set(&self, it: Request) -> Result<()>; } => { async fn set(&self, it: Request) -> Result<()>; };
    types { #[message] pub struct Request { pub wait: jumpstarter::Delay } }
    => { #[message] pub struct Request { #[default = "1s"] pub wait: jumpstarter::Delay } },
    passes
);

interfaces!(
    a_changed_default_of_a_parameter_breaks_whoever_says_nothing,
    { async fn set(&self, #[default = "2s"] wait: jumpstarter::Delay) -> Result<()>; } => {
        async fn set(&self, #[default = "1s"] wait: jumpstarter::Delay) -> Result<()>;
    },
    |report| assert_eq!(failures(report), [("parameter-default-changed", BOTH.to_owned())])
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
