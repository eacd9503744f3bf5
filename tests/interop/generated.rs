//! The Python package that is generated from our interfaces, used by the unmodified Python client, and what that client
//! does without it.

use std::path::{Path, PathBuf};

use jumpstarter_core::describe::Interface;
use jumpstarter_schemas::{description::Description, python as generator};
use jumpstarter_tests::client::{Client, Outcome};
use jumpstarter_tests::drivers::shapes::{FAMILY, SHAPES};
use jumpstarter_tests::ours;
use jumpstarter_tests::python::{Python, python, scripts};
use tempfile::TempDir;

const BOARD: &str = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
export:
  board:
    type: simulated-board
";

const EVERY_SHAPE: &str = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
export:
  shapes:
    type: test-shapes
  family:
    type: test-family
    children:
      shapes: {ref: shapes}
      power: {type: mock-power}
  typed:
    type: test-typed-family
    children:
      power: {type: mock-power}
";

/// The committed package.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/clients/python")
}

/// A package for these interfaces, made from their documents; whether drivers of them have children.
fn generated(interfaces: &[(&Interface, bool)]) -> TempDir {
    let described = interfaces.iter().map(|(interface, children)| {
        let document = serde_json::to_string(&Description::of(interface, *children)).expect("JSON");
        serde_json::from_str(&document).expect("the same document")
    });
    let described: Vec<Description> = described.collect();
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in generator::package(&described, "0.0.1").expect("a package") {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    folder
}

fn outcome(mut command: std::process::Command) -> Outcome {
    command.output().expect("the program runs").into()
}

/// Formatter, linter and type checker have nothing to say about the package in this folder, and about further files.
fn is_tidy(python: &Python, package: &Path, further: &[&Path]) {
    let cache = tempfile::tempdir().expect("a folder");
    for check in [&["format", "--check"][..], &["check", "--select", "E,F,I,B,UP", "--ignore", "E501"]] {
        let mut command = python.command("ruff");
        command.args(check).arg("--no-cache").arg("--config").arg(package.join("pyproject.toml"));
        outcome({
            command.arg(package).args(further);
            command
        })
        .success();
    }
    let mut command = python.command("mypy");
    command.arg("--strict").arg("--cache-dir").arg(cache.path()).env("MYPYPATH", package.join("src"));
    command.arg("--package").arg("jumpstarter_driver_x");
    outcome(command).success();
    for file in further {
        let mut command = python.command("mypy");
        command.arg("--strict").arg("--cache-dir").arg(cache.path()).env("MYPYPATH", package.join("src"));
        outcome({
            command.arg(file);
            command
        })
        .success();
    }
}

fn own_test() -> PathBuf {
    scripts().join("pytest/test_machine.py")
}

#[test]
fn the_package_and_a_test_with_it_are_formatted_and_strictly_typed() {
    let Some(python) = python() else { return };
    is_tidy(&python, &package(), &[&own_test()]);
}

#[test]
fn a_package_with_every_shape_is_formatted_and_strictly_typed() {
    let Some(python) = python() else { return };
    is_tidy(&python, generated(&[(&SHAPES, false), (&FAMILY, true)]).path(), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_clients_know_every_shape() {
    let Some(python) = python() else { return };
    let packages = python.install(generated(&[(&SHAPES, false), (&FAMILY, true)]).path());
    let exporter = ours::start_text(EVERY_SHAPE).await;
    let client = Client::new(&python, &exporter.address.to_string()).with_packages(packages.path());
    let output = client.check("shapes", &[]).await.expect("the check runs").success();
    assert_eq!(output, "done");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_commands_know_every_shape() {
    let Some(python) = python() else { return };
    let packages = python.install(generated(&[(&SHAPES, false), (&FAMILY, true)]).path());
    let exporter = ours::start_text(EVERY_SHAPE).await;
    let client = Client::new(&python, &exporter.address.to_string()).with_packages(packages.path());
    let file = packages.path().join("content");
    std::fs::write(&file, "12345").expect("a file");
    let file = file.display().to_string();
    let digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";
    for (words, wanted) in [
        (&["sum", "1", "-2", "3", "0.5", "-0.25", "6"][..], "8.25\n".to_owned()),
        (&["set-limit", "main", "--steps", "2"], "channel=main  amps=1.5 A  steps=2\n".to_owned()),
        (
            &["set-limit", "main", "--amps", "-3", "--output", "json"],
            "{\"amps\":-3.0,\"channel\":\"main\",\"steps\":null}\n".to_owned(),
        ),
        (&["toggle", "--on", "no"], "false\n".to_owned()),
        (&["paint", "RED"], "red\nlight_blue\n".to_owned()),
        (&["mix", "{\"a\": \"red\"}"], "a=red\n".to_owned()),
        (&["corner", "[1, 2]"], "x=1.0 mm  y=2.0 mm\n".to_owned()),
        (&["corner", "{\"x\": 1, \"y\": 2}", "--output", "json"], "{\"x\":1.0,\"y\":2.0}\n".to_owned()),
        (&["pause"], "PT1.5S\n".to_owned()),
        (&["pause", "--time", "1h 30m"], "PT1H30M\n".to_owned()),
        (&["maybe"], String::new()),
        (&["names", "a", "b", "--prefix", "x"], "xa\nxb\n".to_owned()),
        (&["names", "a"], "a\n".to_owned()),
        (&["count", "-1", "--times", "2"], "channel=-1  amps=0.0 A\nchannel=0  amps=1.0 A\n".to_owned()),
        (&["upload", &file], format!("from=some  size=5 B  sha256={digest}\n")),
        (&["call"], "called\n".to_owned()),
    ] {
        let words = [&["shapes"], words].concat();
        let output = client.j(&words).await.expect("j runs").success();
        assert_eq!(output, wanted, "{words:?}");
    }
    let output = client.run("j", &["shapes", "upload", "-"], "12345").await.expect("j runs").success();
    assert_eq!(output, format!("from=some  size=5 B  sha256={digest}\n"));
    let output = client.run("j", &["shapes", "chat"], "hello").await.expect("j runs").success();
    assert_eq!(output, "HELLO");
    for (words, complaint) in [
        (&["sum", "256", "0", "0", "0", "0", "0"][..], "256 is not in the range 0<=x<=255."),
        (&["paint", "green"], "'green' is not one of red, light_blue"),
        (&["pause", "--time", "soon"], "'soon' is no length of time such as 2s, 500ms, 1h 30m or PT2S"),
        (&["mix", "{"], "expected JSON: "),
        (&["mix", "{\"a\": 1}"], "a: Input should be 'red' or 'light_blue'"),
        (&["fail"], "on purpose"),
    ] {
        let outcome = client.j(&[&["shapes"], words].concat()).await.expect("j runs");
        assert_eq!(outcome.code, Some(1), "{words:?}: {outcome:?}");
        assert!(outcome.stderr.contains(complaint), "{words:?}: {outcome:?}");
    }
    // A class of its own on a node with children keeps them.
    assert_eq!(client.j(&["typed", "size"]).await.expect("j runs").success(), "1\n");
    client.j(&["typed", "power", "on"]).await.expect("j runs").success();
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_j_has_the_commands_of_a_generated_client() {
    let Some(python) = python() else { return };
    let packages = python.install(&package());
    let exporter = ours::start_text(BOARD).await;
    let client = Client::new(&python, &exporter.address.to_string()).with_packages(packages.path());
    let j = async |words: &[&str]| client.j(&[&["board"], words].concat()).await.expect("j runs");

    let help = j(&["machine", "--help"]).await.success();
    for line in ["Tells what a board is doing.", "save-log", "wait-for", "What the board is doing now."] {
        assert!(help.contains(line), "{line}: {help}");
    }
    let help = j(&["machine", "wait-for", "--help"]).await.success();
    let lines = [
        "Usage: j board machine wait-for [OPTIONS] PHASE",
        "PHASE  What to wait for.  [off|boot|recovery|running|prompt|halted|panicked]",
        "How long at most.  [default: (30s)]",
        "--output [text|json]",
    ];
    for line in lines {
        assert!(help.contains(line), "{line}: {help}");
    }

    assert_eq!(j(&["machine", "state"]).await.success(), "phase=off  starts=0\n");
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello.board");
    j(&["storage", "flash", &image.display().to_string()]).await.success();
    j(&["power", "on"]).await.success();
    let state = j(&["machine", "wait-for", "prompt", "--timeout", "20s", "--output", "json"]).await.success();
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    let content = std::fs::read(image).expect("the image");
    let digest = jumpstarter::resource::hex(&<sha2::Sha256 as sha2::Digest>::digest(&content));
    let wanted = serde_json::json!({
        "phase": "prompt", "starts": 1, "image": { "size": content.len(), "sha256": digest },
    });
    assert_eq!(state, wanted);
    let seen = j(&["machine", "watch", "--count", "1"]).await.success();
    assert!(seen.starts_with("phase=prompt  starts=1  image={"), "{seen}");
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    j(&["machine", "save-log", &log.display().to_string()]).await.success();
    let saved = std::fs::read_to_string(log).expect("a log");
    assert!(saved.contains("Hello from the image"));
    // With `-` the data is all there is on standard output; upstream's progress bar stands aside.
    let printed = j(&["machine", "save-log", "-"]).await;
    assert!(printed.stderr.contains("transfer"), "{printed:?}");
    assert_eq!(printed.success(), saved);
    let library = "import sys\nclient.board.machine.save_log(sys.stdout.buffer)";
    assert_eq!(client.python(library).await.expect("python runs").success(), saved);

    for (words, complaint) in [
        (
            &["machine", "wait-for", "sideways"][..],
            "Invalid value for 'PHASE': 'sideways' is not one of off, boot",
        ),
        (&["machine", "watch", "--cuont", "1"], "--cuont"),
        (&["machine", "watch", "--count", "-1"], "-1 is not in the range 0<=x<=4294967295."),
        (&["machine", "wait-for", "off", "--timeout", "20ms"], "the board is not in phase off after 20ms"),
    ] {
        let outcome = j(words).await;
        assert_eq!(outcome.code, Some(1), "{words:?}: {outcome:?}");
        assert!(outcome.stderr.contains(complaint), "{words:?}: {outcome:?}");
    }
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_somebody_uses_the_generated_client() {
    let Some(python) = python() else { return };
    let packages = python.install(&package());
    let exporter = ours::start_text(BOARD).await;
    let client = Client::new(&python, &exporter.address.to_string()).with_packages(packages.path());
    let file = own_test().display().to_string();
    let arguments = ["-B", "-m", "pytest", "-p", "no:cacheprovider", "--quiet", &file];
    let output = client.run("python", &arguments, "").await.expect("pytest runs").success();
    assert!(output.contains("6 passed"), "{output}");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_package_everything_else_works_and_the_package_is_named() {
    let Some(python) = python() else { return };
    let exporter = ours::start_text(BOARD).await;
    let client = Client::new(&python, &exporter.address.to_string());
    let help = client.j(&["board", "--help"]).await.expect("j runs");
    let unavailable = "Driver client 'jumpstarter_driver_x.client.MachineClient' is not available.";
    assert!(help.stderr.contains(unavailable), "{help:?}");
    let help = help.success();
    // Click breaks lines where it likes.
    let words: Vec<_> = help.split_whitespace().collect();
    let hint = "If machine is not among the commands below, a Python package is missing: \
                pip install --find-links FOLDER jumpstarter-driver-x, where FOLDER has its wheel. \
                The wheel comes with Jumpstarter in Rust";
    assert!(words.join(" ").contains(hint), "{help}");
    for command in ["power", "console", "storage", "button", "led"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    assert!(!help.contains("\n  machine "), "{help}");
    client.j(&["board", "power", "on"]).await.expect("j runs").success();
    let power = client.j(&["board", "power", "read"]).await.expect("j runs").success();
    assert!(power.starts_with("voltage=5.0 V"), "{power}");
    let missing = client.python("client.board.machine.state()").await.expect("python runs");
    let installed = "ImportError: Driver 'jumpstarter_driver_x.client.MachineClient' is not installed.";
    assert!(missing.code == Some(1) && missing.stderr.contains(installed), "{missing:?}");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hint_says_brings_the_package_and_holds_afterwards() {
    let Some(python) = python() else { return };
    let wheels = python.wheel(&package());
    let packages = python.install_from(wheels.path(), "jumpstarter-driver-x");
    let exporter = ours::start_text(BOARD).await;
    let client = Client::new(&python, &exporter.address.to_string()).with_packages(packages.path());
    assert_eq!(
        client.j(&["board", "machine", "state"]).await.expect("j runs").success(),
        "phase=off  starts=0\n"
    );
    let help = client.j(&["board", "--help"]).await.expect("j runs").success();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("If machine is not among the commands below"), "{help}");
    assert!(help.contains("\n  machine "), "{help}");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_clients_need_no_python_package_and_are_not_told_of_one() {
    let exporter = ours::start_text(BOARD).await;
    let device = crate::devices::connect(&exporter.address).await;
    let board = device.find("board").expect("a board");
    assert_eq!(board.description(), None);
    let machine: jumpstarter_interfaces::MachineClient = device.client("board.machine").expect("a machine");
    assert_eq!(machine.state().await.expect("a state").phase, jumpstarter_interfaces::Phase::Off);
    drop(device);
    exporter.stop().await;
}
