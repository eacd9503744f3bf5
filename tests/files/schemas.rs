//! The `jsonschema` crate, with the schemas as they are written.

use std::{collections::BTreeMap, fs, path::Path};

use jsonschema::Validator;
use jumpstarter_core::config;
use serde_json::Value;

use crate::{File, folder, good, root};

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the validator says about files.
#[derive(Default)]
struct Judge(BTreeMap<std::path::PathBuf, Validator>);

impl Judge {
    fn objections(&mut self, file: &File) -> Vec<String> {
        let validator = self
            .0
            .entry(file.schema.clone())
            .or_insert_with(|| jsonschema::draft202012::new(&read(&file.schema)).expect("a schema"));
        let parsed = config::parse(&file.name, &file.text);
        let document =
            parsed.document.unwrap_or_else(|| panic!("{}: no YAML: {}", file.name, parsed.problems));
        validator.iter_errors(&document.root.to_json()).map(|error| error.to_string()).collect()
    }
}

#[test]
fn the_written_schemas_are_schemas() {
    let mut paths: Vec<_> = ["exporter", "client", "user"]
        .iter()
        .map(|kind| root().join(format!("schemas/{kind}-config.json")))
        .collect();
    let drivers = fs::read_dir(root().join("schemas/drivers")).expect("the drivers").flatten();
    paths.extend(drivers.map(|entry| entry.path()));
    assert!(paths.len() > 6, "only {paths:?}");
    for path in paths {
        let schema = read(&path);
        if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn the_written_schemas_accept_what_is_right() {
    let mut judge = Judge::default();
    for file in good() {
        assert_eq!(judge.objections(&file), [""; 0], "{}", file.name);
    }
}

#[test]
fn the_written_schemas_refuse_what_is_wrong() {
    let mut judge = Judge::default();
    let bad = folder("tests/files/bad");
    assert!(bad.len() > 30, "only {}", bad.len());
    for file in bad {
        assert_ne!(judge.objections(&file), [""; 0], "{}", file.name);
    }
}

/// When this fails, the file belongs into `bad`.
#[test]
fn what_only_this_program_sees_is_still_beyond_the_schemas() {
    let mut judge = Judge::default();
    for file in folder("tests/files/beyond") {
        assert_eq!(judge.objections(&file), [""; 0], "{}", file.name);
    }
}
