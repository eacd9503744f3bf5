//! Mistakes that only somebody who knows the drivers can find.

use std::{collections::BTreeSet, path::Path};

use insta::{assert_snapshot, glob};
use jumpstarter_cli::{DRIVERS, Program};
use jumpstarter_core::config::{self, NodeKind, Problems, Subject, check_schema, parse, tree::walk};
use jumpstarter_exporter::check;

/// What no schema can say: what a name in one place means for another.
const BEYOND_SCHEMAS: &[&str] = &[
    "all_that_a_configuration_lacks",
    "isolation_not_there_yet",
    "refs_to_what_a_driver_makes",
    "values_that_open_nothing",
];

fn read(path: &Path) -> (String, String) {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    (name, std::fs::read_to_string(path).expect("a readable file"))
}

fn problems(name: &str, text: &str) -> Problems {
    match check(name, text, &Program::new(&[DRIVERS]).registry(), |_| None) {
        Ok(plan) => plan.warnings,
        Err(problems) => problems,
    }
}

#[test]
fn every_mistake_is_told_with_what_to_write() {
    glob!("bad/*.yaml", |path| {
        let (name, text) = read(path);
        let problems = problems(&name, &text);
        assert!(problems.has_errors(), "{name}");
        assert_snapshot!("bad", problems.render());
    });
}

#[test]
fn good_files_are_good() {
    glob!("good/*.yaml", |path| {
        let (name, text) = read(path);
        let problems = problems(&name, &text);
        assert!(problems.is_empty(), "{problems}");
    });
}

#[test]
fn one_good_file_has_every_driver() {
    let text = include_str!("good/every_driver.yaml");
    let file = config::exporter::read("every_driver.yaml", text, |_| None).file.expect("a file");
    let used: BTreeSet<_> = walk(&file.export)
        .filter_map(|node| match &node.kind {
            NodeKind::Driver(instance) => Some(instance.driver.value.clone()),
            _ => None,
        })
        .collect();
    let all: BTreeSet<_> = DRIVERS.iter().map(|driver| driver.spec().type_name.to_owned()).collect();
    assert_eq!(used, all);
}

#[test]
fn the_written_schema_agrees_about_every_whole_file() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/exporter-config.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    glob!("*/*.yaml", |path| {
        let (name, text) = read(path);
        let good = path.parent().unwrap().ends_with("good");
        if BEYOND_SCHEMAS.iter().any(|stem| name == format!("{stem}.yaml")) {
            return;
        }
        let document = parse(&name, &text).document.expect("YAML").root.to_json();
        let first = validator.iter_errors(&document).next().map(|error| error.to_string());
        assert_eq!(first.is_none(), good, "{name}: {first:?}");
    });
}

#[test]
fn schema_and_driver_agree_about_every_configuration() {
    let registry = Program::new(&[DRIVERS]).registry();
    let mut compared = 0;
    let mut compare = |path: &Path| {
        let (name, text) = read(path);
        let Some(file) = config::exporter::read(&name, &text, |_| None).file else { return };
        for node in walk(&file.export) {
            let NodeKind::Driver(instance) = &node.kind else { continue };
            let Some(driver) = registry.get(&instance.driver) else { continue };
            let subject = Subject::new("it", "");
            let by_schema = check_schema(&driver.config_schema().to_value(), &instance.config, &subject);
            let by_type = driver.prepare(&instance.config, &subject).err();
            // In these files, the driver knows more than any schema, and everywhere else as much.
            let knows_more = ["values_that_open_nothing.yaml", "all_that_a_configuration_lacks.yaml"]
                .contains(&name.as_str());
            let agree = by_schema.has_errors() == by_type.is_some();
            assert!(agree || (knows_more && by_type.is_some()), "{name} {}: {by_schema}", node.path);
            compared += 1;
        }
    };
    glob!("*/*.yaml", |path| compare(path));
    glob!("../../../examples", "*.yaml", |path| compare(path));
    assert!(compared > 15, "only {compared}");
}
