//! Files that people write, against the written schemas: two validators that know nothing of this program agree with it.
//!
//! | Folder | Files in it |
//! |---|---|
//! | `good` | are right |
//! | `bad` | are wrong in one way each, and a schema can say so |
//! | `beyond` | are wrong in a way that no schema can say: only the program sees it |
//!
//! The first line of each names its schema, as in files of people.
//!
//! | Module | Contents |
//! |---|---|
//! | `schemas` | the `jsonschema` crate |
//! | `python` | the `jsonschema` package for Python |

#![forbid(unsafe_code)]

mod python;
mod schemas;

use std::{
    fs,
    path::{Path, PathBuf},
};

use jumpstarter_core::{
    config::{self, Problems, client::Environment},
    driver::DriverFactory,
};
use jumpstarter_exporter::{Registry, check};
use jumpstarter_lab::LabConfig;

const DRIVERS: &[&[&dyn DriverFactory]] = &[
    jumpstarter_driver_board::DRIVERS,
    jumpstarter_driver_composite::DRIVERS,
    jumpstarter_driver_network::DRIVERS,
    jumpstarter_driver_power::DRIVERS,
    jumpstarter_driver_serial::DRIVERS,
    jumpstarter_driver_shell::DRIVERS,
    jumpstarter_driver_storage::DRIVERS,
];

const MARK: &str = "# yaml-language-server: $schema=";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are below the root").to_owned()
}

/// A file with the schema that its first line names.
#[derive(Debug)]
struct File {
    /// Relative to the root.
    name: String,
    text: String,
    schema: PathBuf,
}

impl File {
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let first = text.lines().next().unwrap_or_default();
        let schema =
            first.strip_prefix(MARK).unwrap_or_else(|| panic!("{name}: the first line is not `{MARK}…`"));
        assert!(Path::new(schema).is_relative(), "{name}: {schema} is somewhere on one machine");
        let schema = path.parent().expect("a folder").join(schema);
        let schema =
            schema.canonicalize().unwrap_or_else(|error| panic!("{name}: {}: {error}", schema.display()));
        Self { name, text, schema }
    }

    /// What this program says about it.
    fn problems(&self) -> Problems {
        let nothing = |_: &str| None;
        let name = self.schema.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name {
            "exporter-config.json" => match check(&self.name, &self.text, &Registry::new(DRIVERS), nothing) {
                Ok(plan) => plan.warnings,
                Err(problems) => problems,
            },
            "client-config.json" => {
                config::client::read(&self.name, &self.text, nothing, Environment::Fills).problems
            }
            "lab-config.json" => match LabConfig::read(&self.name, &self.text) {
                Ok(_) => Problems::new(),
                Err(problems) => problems,
            },
            "user-config.json" => config::user::read(&self.name, &self.text).problems,
            other => panic!("{}: {other} is the schema of no file", self.name),
        }
    }
}

/// The YAML files of a folder, sorted.
fn folder(name: &str) -> Vec<File> {
    let folder = root().join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
    paths.sort();
    paths.iter().map(|path| File::read(path)).collect()
}

/// Everything that is right: the examples as well, and what the reference pages show.
fn good() -> Vec<File> {
    let mut good = folder("examples");
    assert!(good.len() > 1, "only {} examples", good.len());
    good.extend(folder("tests/files/good"));
    good.extend(on_pages(&root().join("docs")));
    good
}

/// YAML blocks on pages that name a schema.
fn on_pages(folder: &Path) -> Vec<File> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(on_pages(&path));
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (at, block) in text.split("```yaml").skip(1).enumerate() {
            let block = block.split_once('\n').map(|(_, rest)| rest).unwrap_or_default();
            let block = &block[..block.find("```").expect("the end of the block")];
            let Some(schema) = block.lines().next().and_then(|line| line.strip_prefix(MARK)) else {
                continue;
            };
            let place = path.parent().expect("a folder").join(schema);
            let schema = place.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", place.display()));
            let name = path.strip_prefix(root()).unwrap_or(&path).display();
            found.push(File { name: format!("{name}, block {}", at + 1), text: block.to_owned(), schema });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[test]
fn this_program_agrees_with_the_folders() {
    for file in good() {
        let problems = file.problems();
        assert!(problems.is_empty(), "{problems}");
    }
    for file in folder("tests/files/bad").into_iter().chain(folder("tests/files/beyond")) {
        assert!(file.problems().has_errors(), "{}: nothing is wrong with it", file.name);
    }
}
