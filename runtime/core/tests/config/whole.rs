//! The schema of the whole file against the program, over the gallery.

use insta::glob;
use jumpstarter_core::config::{self, Problems, parse};
use jumpstarter_core::driver::{ChildSpec, DriverFactory, DriverSpec, Need, NoConfig, Prepared};
use jumpstarter_core::{describe::Interface, schemas};
use serde_json::{Value, json};

use super::sample::{self, Machine, Serial};

/// A driver of the gallery: its schema is all that is of interest.
struct Sample {
    spec: &'static DriverSpec,
    schema: fn() -> schemars::Schema,
    children: &'static [ChildSpec],
}

impl DriverFactory for Sample {
    fn spec(&self) -> &'static DriverSpec {
        self.spec
    }

    fn config_schema(&self) -> schemars::Schema {
        (self.schema)()
    }

    fn children(&self) -> &'static [ChildSpec] {
        self.children
    }

    fn prepare(&self, _: &config::Node, _: &config::Subject) -> Result<Box<dyn Prepared>, Problems> {
        unreachable!("nothing is opened here")
    }
}

const fn spec(type_name: &'static str, provides: &'static [&'static Interface]) -> DriverSpec {
    DriverSpec { type_name, aliases: &[], doc: "A driver.", provides, client: None, labels: &[] }
}

const fn child(name: &'static str, interface: Option<&'static Interface>, need: Need) -> ChildSpec {
    ChildSpec { name, also: &[], interface, need, doc: "A child." }
}

static POWER: Interface = Interface {
    package: "test",
    name: "power",
    version: 1,
    service: "Power",
    doc: "",
    python: "",
    also: &[],
    methods: &[],
};

const ANYTHING: &[ChildSpec] = &[child("", None, Need::Rest)];

static SERIAL: DriverSpec = spec("serial", &[]);
static MACHINE: DriverSpec = spec("machine", &[]);
static SUPPLY: DriverSpec = spec("supply", &[&POWER]);
static BENCH: DriverSpec = spec("bench", &[]);
static MAKER: DriverSpec = spec("maker", &[]);

static DRIVERS: &[&dyn DriverFactory] = &[
    &Sample { spec: &SERIAL, schema: || schemars::schema_for!(Serial), children: ANYTHING },
    &Sample { spec: &MACHINE, schema: || schemars::schema_for!(Machine), children: ANYTHING },
    &Sample { spec: &SUPPLY, schema: || schemars::schema_for!(NoConfig), children: &[] },
    &Sample {
        spec: &BENCH,
        schema: || schemars::schema_for!(NoConfig),
        children: &[
            ChildSpec { also: &["supply"], ..child("power", Some(&POWER), Need::Required) },
            child("spare", Some(&POWER), Need::Optional),
        ],
    },
    &Sample {
        spec: &MAKER,
        schema: || schemars::schema_for!(NoConfig),
        children: &[child("made", Some(&POWER), Need::Made), child("", None, Need::Rest)],
    },
];

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::new(schema).expect("a schema")
}

fn objections(validator: &jsonschema::Validator, file: &Value) -> Vec<String> {
    validator.iter_errors(file).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Types of the gallery that it has no driver for; any configuration is right for them.
fn without_strangers(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let known = ["serial", "machine"];
            let stranger =
                object.get("type").and_then(Value::as_str).is_some_and(|name| !known.contains(&name.trim()));
            // Only nodes have such a type, and a node that has nothing else wrong stays right as another driver.
            if stranger && object["type"].as_str().is_some_and(|name| !name.trim().is_empty()) {
                object.insert("type".to_owned(), "anything".into());
            }
            object.values_mut().for_each(without_strangers);
        }
        Value::Array(items) => items.iter_mut().for_each(without_strangers),
        _ => {}
    }
}

/// A driver that takes any configuration.
static ANY: DriverSpec = spec("anything", &[]);

fn gallery() -> Vec<&'static dyn DriverFactory> {
    static STRANGER: Sample = Sample {
        spec: &ANY,
        schema: || schemars::json_schema!({ "type": "object", "properties": {} }),
        children: ANYTHING,
    };
    DRIVERS.iter().copied().chain([&STRANGER as &dyn DriverFactory]).collect()
}

/// Mistakes that no schema can name, by the beginning of the file's name.
const BEYOND: &[&str] = &[
    // Where references lead.
    "refs_",
    // Which of two spellings of one letter was meant.
    "letters_of_other_scripts",
];

/// Files that are right here and that the schema refuses.
const NARROWER: &[&str] = &[
    // A validator is told of `yes` and `off` as text; the type knows what is meant.
    "words_of_yaml_1_1.yaml",
    "booleans_in_every_spelling.yaml",
    // What is left empty beside a reference says nothing; the schema has no word for that.
    "refs_with_nothing_beside_them.yaml",
    // `isolation: process` is read here, and refused by the program that opens drivers.
    "common_settings.yaml",
];

#[test]
fn the_schema_of_the_file_agrees_with_the_program_over_the_gallery() {
    let validator = validator(&schemas::exporter(&gallery()));
    let (mut refused, mut accepted, mut beyond) = (0, 0, Vec::new());
    glob!("*/*.yaml", |path| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = std::fs::read_to_string(path).expect("a readable file");
        let parsed = parse(&name, &text);
        let Some(document) = parsed.document.filter(|_| !parsed.problems.has_errors()) else { return };
        let mut json = document.root.to_json();
        without_strangers(&mut json);
        let said = objections(&validator, &json);
        let (_, problems) = sample::problems(&name, &text);
        if problems.has_errors() {
            if BEYOND.iter().any(|start| name.starts_with(start)) {
                return;
            }
            refused += 1;
            if said.is_empty() {
                beyond.push(format!("{name}: {problems}"));
            }
        } else if !NARROWER.contains(&name.as_str()) {
            accepted += 1;
            assert!(said.is_empty(), "{name}: only the schema objects: {said:#?}");
        }
    });
    assert!(beyond.is_empty(), "only the program objects:\n{}", beyond.join("\n"));
    assert!(refused > 15 && accepted > 10, "{refused} refused, {accepted} accepted");
}

#[test]
fn a_child_must_be_there_and_of_the_right_kind() {
    let validator = validator(&schemas::exporter(DRIVERS));
    let says = |node: Value| objections(&validator, &json!({ "export": { "it": node } }));
    let supply = json!({ "type": "supply" });
    for good in [
        json!({ "type": "bench", "children": { "power": supply } }),
        json!({ "type": "bench", "children": { "supply": supply, "spare": { "ref": "other" } } }),
        json!({ "type": "maker", "children": { "other": { "type": "serial", "config": { "url": "x" } } } }),
        json!({ "type": "maker" }),
        json!({ "type": "supply", "children": {} }),
    ] {
        assert_eq!(says(good.clone()), [""; 0], "{good}");
    }
    for bad in [
        json!({ "type": "bench" }),
        json!({ "type": "bench", "children": {} }),
        json!({ "type": "bench", "children": { "spare": supply } }),
        // Provides something else, or nothing.
        json!({ "type": "bench", "children": { "power": { "type": "serial", "config": { "url": "x" } } } }),
        json!({ "type": "bench", "children": { "power": { "children": {} } } }),
        json!({ "type": "bench", "children": { "power": supply, "spare": { "type": "maker" } } }),
        json!({ "type": "bench", "children": { "power": supply, "third": supply } }),
        json!({ "type": "maker", "children": { "made": supply } }),
        json!({ "type": "supply", "children": { "a": supply } }),
        json!({ "type": "serial" }),
        json!({ "type": "serial", "config": null }),
    ] {
        assert_ne!(says(bad.clone()), [""; 0], "{bad}");
    }
}

#[test]
fn two_meanings_of_one_name_do_not_get_in_each_others_way() {
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Other {
        mode: LogLevel,
    }
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum LogLevel {
        Loud,
    }
    static OTHER: DriverSpec = spec("other", &[]);
    static FACTORY: Sample = Sample { spec: &OTHER, schema: || schemars::schema_for!(Other), children: &[] };
    let drivers: Vec<_> = DRIVERS.iter().copied().chain([&FACTORY as &dyn DriverFactory]).collect();
    let validator = validator(&schemas::exporter(&drivers));
    let with = |config: Value| json!({ "export": { "it": { "type": "serial", "config": config } } });
    assert_eq!(objections(&validator, &with(json!({ "url": "x", "log_level": "DEBUG" }))), [""; 0]);
    assert_ne!(objections(&validator, &with(json!({ "url": "x", "log_level": "Loud" }))), [""; 0]);
}

#[test]
fn the_text_of_a_schema_is_the_same_whenever_it_is_printed() {
    let print = || schemas::text(&schemas::exporter(DRIVERS));
    let text = print();
    assert_eq!(text, print());
    // Keys are sorted, wherever they come from.
    let mut keys: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("  \"")) {
        keys.extend(line.trim().trim_start_matches('"').split('"').next());
    }
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(keys, sorted);
    assert!(text.ends_with("}\n") && !text.contains("\"default\": null"), "{text}");
}

#[test]
fn a_key_that_occurs_twice_says_where_in_the_tree_it_is() {
    let parsed = parse("rig.yaml", "export:\n  a: {type: b, type: c}\n  list: [x, {y: 1, y: 2}]\n");
    let paths: Vec<_> = parsed.problems.iter().map(|problem| problem.tree_path().to_owned()).collect();
    assert_eq!(paths, ["export.a.type", "export.list[1].y"]);
}
