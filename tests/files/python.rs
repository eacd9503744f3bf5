//! The `jsonschema` package for Python, and the YAML reader that the existing implementation uses.

use std::io::Write as _;
use std::process::Stdio;

use jumpstarter_tests::python::{python, scripts};
use serde_json::{Value, json};

use crate::{File, folder, good};

/// The package's objections to each of these files, by name.
fn objections(files: &[File]) -> Option<Value> {
    let python = python()?;
    let files: Vec<_> = files
        .iter()
        .map(|file| json!({ "name": file.name, "schema": file.schema, "text": file.text }))
        .collect();
    let mut command = python.command("python");
    command.arg(scripts().join("validate.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("Python starts");
    let mut input = process.stdin.take().expect("its standard input");
    input.write_all(json!(files).to_string().as_bytes()).expect("Python reads");
    drop(input);
    let output = process.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "{:?}", output.status);
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn the_python_package_accepts_what_is_right() {
    let files = good();
    let Some(objections) = objections(&files) else { return };
    for file in files {
        assert_eq!(objections[&file.name], json!([]), "{}", file.name);
    }
}

#[test]
fn the_python_package_refuses_what_is_wrong() {
    let files = folder("tests/files/bad");
    let Some(objections) = objections(&files) else { return };
    for file in files {
        let said = objections[&file.name].as_array().unwrap_or_else(|| panic!("{}: no answer", file.name));
        assert!(!said.is_empty(), "{}: nothing is wrong with it", file.name);
    }
}
