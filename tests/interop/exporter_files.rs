//! Files of exporters: written by one program, read by the other.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use jumpstarter_tests::{programs, python::python};
use serde_json::Value;

fn run(mut command: Command, home: &Path, words: &[&str]) -> String {
    command.args(["config", "exporter"]).args(words);
    command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env_remove("JMP_CLIENT_CONFIG_HOME")
        .stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{words:?}: {}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

const GIVEN: [&str; 8] =
    ["--namespace", "lab", "--name", "rig-3", "--endpoint", "lab.example.com:443", "--token", "s3cret"];

#[test]
fn each_program_reads_the_exporters_that_the_other_has_made() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let ours = |words: &[&str]| run(Command::new(programs::jmp()), home.path(), words);
    let theirs = |words: &[&str]| run(Command::new(python.program("jmp")), home.path(), words);
    ours(&[&["create", "ours", "-k", "--nointeractive"], &GIVEN[..]].concat());
    theirs(&[&["create", "theirs", "-k", "--nointeractive"], &GIVEN[..]].concat());
    let facts = |list: &str, alias: &str| {
        let list: Value = serde_json::from_str(list).expect("JSON");
        assert_eq!(
            (&list["kind"], &list["apiVersion"]),
            (&"ExporterConfigList".into(), &"jumpstarter.dev/v1alpha1".into())
        );
        let items = list["items"].as_array().expect("a list").clone();
        let item = items.into_iter().find(|item| item["alias"] == alias).expect(alias);
        ["kind", "metadata", "endpoint", "token", "tls", "grpcOptions", "export", "path"]
            .map(|key| item[key].clone())
    };
    let (by_us, by_them) = (ours(&["list", "-o", "json", "--show-secrets"]), theirs(&["list", "-o", "json"]));
    for alias in ["ours", "theirs"] {
        let expected = facts(&by_them, alias);
        assert_eq!(expected[3], "s3cret");
        assert_eq!(expected[4]["insecure"], true);
        assert_eq!(facts(&by_us, alias), expected, "{alias}");
    }
    for line in ours(&["check", "ours", "theirs"]).lines() {
        assert!(line.ends_with(".yaml: ok"), "{line}");
    }
    // What one makes, the other may remove.
    theirs(&["delete", "ours"]);
    ours(&["delete", "theirs"]);
    assert_eq!(ours(&["list"]), "No resources found.\n");
}
