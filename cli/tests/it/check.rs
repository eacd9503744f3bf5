//! `jmp config exporter check`: which files are read, what is told of those that cannot be, exit codes.

use std::process::Output;

use crate::support::{Place, code, example, run, run_with, stderr, stdout, told};

const GOOD: &str =
    "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport: {power: {type: mock-power}}\n";
const BAD: &str =
    "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport: {power: {type: mock-pwoer}}\n";

fn check(place: &Place, words: &[&str]) -> Output {
    run(&mut place.jmp(&[&["config", "exporter", "check"], words].concat()))
}

/// What is told of words that stand for nothing that can be read.
#[track_caller]
fn refused(place: &Place, words: &[&str], expected: &[&str]) {
    let output = check(place, words);
    assert_eq!(code(&output), 1, "{}", told(&output));
    for part in expected {
        assert!(stdout(&output).contains(part), "{part}: {}", told(&output));
    }
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_was_probably_meant() {
    let place = Place::new();
    place.file("board.yaml", GOOD);
    let missing = "error: cannot read this file: no such file or directory";
    refused(&place, &["baord.yaml"], &["baord.yaml: 1 problem", missing, "did you mean `board.yaml`?"]);
    refused(&place, &["nowhere/x.yaml"], &[missing, "there is no folder nowhere"]);
    refused(&place, &["nobody"], &["this exporter does not exist"]);
    std::os::unix::fs::symlink("gone.yaml", place.path().join("link.yaml")).unwrap();
    refused(&place, &["link.yaml"], &[missing, "it is a link that leads nowhere"]);
    // In a folder as well: somebody meant to have a file there.
    std::fs::create_dir(place.path().join("rigs")).unwrap();
    std::os::unix::fs::symlink("gone.yaml", place.path().join("rigs/link.yaml")).unwrap();
    place.file("rigs/good.yaml", GOOD);
    refused(&place, &["rigs"], &["rigs/good.yaml: ok", "it is a link that leads nowhere"]);
}

#[test]
fn every_file_that_is_named_is_told_of_and_one_bad_one_decides() {
    let place = Place::new();
    place.file("a.yaml", GOOD);
    place.file("b.yml", BAD);
    place.file("c.yaml", GOOD);
    let output = check(&place, &["a.yaml", "b.yml", "nowhere.yaml", "c.yaml"]);
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    let places = ["a.yaml: ok", "b.yml: 1 problem", "nowhere.yaml: 1 problem", "c.yaml: ok"]
        .map(|part| text.find(part));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    let output = check(&place, &["a.yaml", "c.yaml"]);
    assert_eq!(told(&output), "exit code: 0\n----- stdout -----\na.yaml: ok\nc.yaml: ok\n");
    let output = check(&place, &["a.yaml", "b.yml", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let files =
        [0, 1].map(|index| (json[index]["file"].as_str().unwrap(), json[index]["ok"].as_bool().unwrap()));
    assert_eq!((code(&output), files), (1, [("a.yaml", true), ("b.yml", false)]));
}

#[test]
fn a_folder_stands_for_its_files_of_both_endings() {
    let place = Place::new();
    place.file("rigs/one.yaml", GOOD);
    place.file("rigs/two.yml", GOOD);
    place.file("rigs/notes.txt", BAD);
    place.file("rigs/below.yaml/other.yaml", BAD);
    let output = check(&place, &["rigs"]);
    assert_eq!(told(&output), "exit code: 0\n----- stdout -----\nrigs/one.yaml: ok\nrigs/two.yml: ok\n");
    std::fs::create_dir(place.path().join("empty")).unwrap();
    refused(&place, &["empty"], &["empty: 1 problem", "there is no .yaml or .yml file in this folder"]);
}

#[test]
fn standard_input_is_checked_like_a_file() {
    let place = Place::new();
    let mut command = place.jmp(&["config", "exporter", "check", "-"]);
    assert_eq!(told(&run_with(&mut command, GOOD)), "exit code: 0\n----- stdout -----\n-: ok\n");
    let output = run_with(&mut place.jmp(&["config", "exporter", "check", "-"]), BAD);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("┌ -:3:24"), "{}", told(&output));
}

#[test]
fn a_pipe_with_the_name_of_a_file_keeps_nobody_waiting() {
    let place = Place::new();
    place.file("rigs/good.yaml", GOOD);
    let pipe = place.path().join("rigs/pipe.yaml");
    assert!(place.program("mkfifo").arg(&pipe).status().unwrap().success());
    let output = check(&place, &["rigs"]);
    assert_eq!(told(&output), "exit code: 0\n----- stdout -----\nrigs/good.yaml: ok\n");
    refused(&place, &["rigs/pipe.yaml"], &["cannot read this file: it is a pipe, not a file", "name `-`"]);
    let output = run(&mut place.jmp(&["shell", "--exporter-config", "rigs/pipe.yaml", "--", "true"]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("cannot read rigs/pipe.yaml: it is a pipe"), "{}", told(&output));
    assert!(stderr(&output).contains("write `<(PROGRAM)`"), "{}", told(&output));
    // What a shell opened is read: `check <(generate)`.
    let mut command = place.jmp(&["config", "exporter", "check", "/dev/stdin"]);
    assert_eq!(told(&run_with(&mut command, GOOD)), "exit code: 0\n----- stdout -----\n/dev/stdin: ok\n");
}

#[test]
fn a_word_that_names_nothing_is_answered_with_what_can_be_written_here() {
    let place = Place::new();
    refused(
        &place,
        &[""],
        &["no file is named: write a file, a folder of them, or the name of a configured exporter"],
    );
    assert!(!stdout(&check(&place, &["a\\b"])).contains("--exporter-config"));
    assert_eq!(code(&check(&place, &[])), 2);
    let output = run(&mut place.jmp(&["shell", "--exporter", "../x", "--", "true"]));
    assert!(stderr(&output).contains("use --exporter-config for a path"), "{}", told(&output));
    assert_eq!(code(&check(&place, &[&example("power.yaml")])), 0);
}

#[test]
fn help_texts_for_commands_that_a_driver_does_not_have_are_told_with_the_nearest_names() {
    let place = Place::new();
    let file = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
export:
  power:
    type: mock-power
    methods_description: {on: On, cycle: Off and on, onn: On, read: Measure}
  input:
    type: simulated-board
    methods_description: {led: The lamp}
  shell:
    type: shell
    config: {methods: {greet: echo Hello, up_time: uptime}}
    methods_description: {greet: Say hello, up_time: How long, gret: Say hello}
  bus:
    type: dbus-network
    config: {kind: system}
    methods_description: {run: Run it, forward-tcp: A port, forward_udp: A port}
";
    place.file("rig.yaml", file);
    let output = check(&place, &["rig.yaml"]);
    // What the existing implementation takes is no error.
    let expected = "exit code: 0\n----- stdout -----
rig.yaml: 4 warnings

warning: driver `mock-power` has no command `onn`
   ┌ rig.yaml:6:54
 6 │     methods_description: {on: On, cycle: Off and on, onn: On, read: Measure}
   │                                                      ^^^ export.power.methods_description
   help: did you mean `on`? its commands: cycle, read, on, off, rescue

warning: driver `simulated-board` has no command `led`
   ┌ rig.yaml:9:27
 9 │     methods_description: {led: The lamp}
   │                           ^^^ export.input.methods_description
   help: it has no commands of its own; a device below it is described by its own `description`

warning: driver `shell` has no command `gret`
   ┌ rig.yaml:13:64
13 │     methods_description: {greet: Say hello, up_time: How long, gret: Say hello}
   │                                                                ^^^^ export.shell.methods_description
   help: did you mean `greet`? its commands: greet, up_time

warning: driver `dbus-network` has no command `forward_udp`
   ┌ rig.yaml:17:61
17 │     methods_description: {run: Run it, forward-tcp: A port, forward_udp: A port}
   │                                                             ^^^^^^^^^^^ export.bus.methods_description
   help: did you mean `forward-udp`? its commands: forward-tcp, forward-udp, forward-unix, run
";
    assert_eq!(told(&output), expected);
}

#[test]
fn what_is_no_text_is_told_with_the_place_where_that_is_seen() {
    let place = Place::new();
    std::fs::write(place.path().join("board.yaml"), b"kind: ExporterConfig\nexport: \x7fELF\x02\0\0")
        .unwrap();
    std::fs::write(place.path().join("utf16.yaml"), b"\xff\xfek\0i\0").unwrap();
    refused(
        &place,
        &["board.yaml", "utf16.yaml"],
        &["the file is no text: byte 35 is zero\n   ┌ board.yaml:2:14\n 2 │ export: ", "┌ utf16.yaml:1:1\n"],
    );
    let output = check(&place, &["board.yaml", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let problem = &json[0]["problems"][0];
    assert_eq!(
        (&problem["line"], &problem["column"], &problem["start"]),
        (&2.into(), &14.into(), &34.into())
    );
}
