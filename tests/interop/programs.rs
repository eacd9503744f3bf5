//! The Python client with our programs, as people run them: `jmp shell` and `jmp run`, by their command lines.

use std::path::{Path, PathBuf};

use jumpstarter_tests::client::{Client, Outcome};
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::helpers::free_address;
use jumpstarter_tests::programs;
use jumpstarter_tests::python::{Python, python};

use crate::checks::{self, PackedDumps};

/// A supply, the simulated board, and a reference.
const CONFIG: &str = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata:
  namespace: default
  name: programs
export:
  power:
    type: jumpstarter_driver_power.driver.MockPower
  rig:
    children:
      board:
        type: simulated-board
  supply:
    ref: rig.board.power
";

const READINGS: [[f64; 2]; 2] = [[0.0, 0.0], [5.0, 2.0]];

const TREE: [[&str; 2]; 11] = [
    ["", "jumpstarter_driver_composite.client.CompositeClient"],
    ["power", "jumpstarter_driver_power.client.PowerClient"],
    ["rig", "jumpstarter_driver_composite.client.CompositeClient"],
    ["rig.board", "jumpstarter_driver_composite.client.CompositeClient"],
    ["rig.board.power", "jumpstarter_driver_power.client.PowerClient"],
    ["rig.board.console", "jumpstarter_driver_pyserial.client.PySerialClient"],
    ["rig.board.storage", "jumpstarter_driver_opendal.client.StorageMuxFlasherClient"],
    ["rig.board.button", "jumpstarter_driver_gpiod.client.DigitalOutputClient"],
    ["rig.board.led", "jumpstarter_driver_gpiod.client.DigitalInputClient"],
    // The package with its class is not installed here.
    ["rig.board.machine", "jumpstarter.client.base.StubDriverClient"],
    ["supply", "jumpstarter_driver_power.client.PowerClient"],
];

/// What goes wrong with a device that works: as the driver of that device words it.
const ERRORS: [(&str, &str, &[&str], &str); 4] = [
    ("read_pin=[1]", "DriverError", &["DriverError"], "read_pin"),
    ("wait_for_active=[0.01]", "DriverError", &["DriverError"], "waiting for the lamp"),
    ("wait_for_active=[\"soon\"]", "DriverInvalidArgument", &["DriverError", "ValueError"], "timeout"),
    ("nosuch", "DriverMethodNotImplemented", &["DriverError", "NotImplementedError"], "not found on driver"),
];

/// An image of the examples.
fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello.board")
}

async fn use_everything(client: &Client) {
    checks::power(client, "power", &READINGS).await;
    checks::tree(client, &TREE).await;
    checks::logs(client, "power", "on", "power on").await;
    checks::errors(client, "rig.board.led", &ERRORS).await;
    checks::flash(client, "rig.board.storage", PackedDumps::Complete).await;
    let flash = format!("node('rig.board.storage').flash({:?})", image().display().to_string());
    client.python(&flash).await.expect("python runs").success();
    let steps = [
        "call:supply.on",
        "expect:sha256 [0-9a-f]{64}",
        "expect:demo> ",
        "send:version",
        "expect:[0-9]+[.][0-9]+",
        "call:supply.off",
    ];
    let seen = checks::console(client, "rig.board.console", &steps).await;
    let file = std::fs::read(image()).expect("the image");
    let digest = jumpstarter::resource::hex(&<sha2::Sha256 as sha2::Digest>::digest(file));
    assert_eq!(seen.first().map(String::as_str), Some(format!("sha256 {digest}").as_str()), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_use_a_session_of_our_shell() {
    let Some(python) = python() else { return };
    let exporter = Exporter::local(&Program::Ours(programs::jmp()), CONFIG).await.expect("an exporter");
    use_everything(&Client::new(&python, &exporter.host())).await;
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_use_our_standalone_exporter_over_tcp() {
    let Some(python) = python() else { return };
    let address = free_address().await.expect("an address");
    let program = Program::Ours(programs::jmp());
    let exporter = Exporter::standalone(&program, CONFIG, &address, None).await.expect("an exporter");
    use_everything(&Client::new(&python, &exporter.host())).await;
    // A shell of theirs in a session of ours.
    let shell = ["shell", "--tls-grpc", &address, "--tls-grpc-insecure", "--", "j", "power", "read"];
    let output = run(&python, "jmp", &shell).await.success();
    assert!(output.ends_with("voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA\n"), "{output}");
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_shell_runs_their_commands() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("exporter.yaml");
    std::fs::write(&file, CONFIG).expect("a file");
    let mut command = tokio::process::Command::new(programs::jmp());
    command.args(["shell", "--exporter-config"]).arg(&file).args(["--", "j", "power", "read"]);
    // Their `j` is found before ours.
    let theirs = python.process("j");
    let path = theirs.as_std().get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
    command.env("PATH", path.expect("the environment's programs come first"));
    command.env("XDG_CONFIG_HOME", folder.path());
    let output: Outcome = command.output().await.expect("jmp runs").into();
    assert!(output.success().ends_with("voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA\n"));
}

async fn run(python: &Python, program: &str, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = python.process(program);
    command.args(arguments).env("XDG_CONFIG_HOME", folder.path());
    command.output().await.expect("the program runs").into()
}
