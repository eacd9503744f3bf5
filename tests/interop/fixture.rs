//! Tests that lease an exporter from our lab: the attribute in Rust, the recipe of the documentation in Python.

use std::{path::Path, process::Stdio, time::Duration};

use jumpstarter::{Error, Result, leases::Leased};
use jumpstarter_interfaces::PowerClient;
use jumpstarter_tests::{
    lab::{Lab, PATIENCE, is_free},
    programs,
    python::python,
};
use serde_json::json;
use tokio::process::{Child, Command};

#[jumpstarter::test(selector = "board=demo", duration = "5m", timeout = "1m")]
#[ignore = "the tests below run it, with a lab"]
async fn child_switches_its_supply(rig: &Leased) -> Result<()> {
    let power: PowerClient = rig.client("power")?;
    power.on().await?;
    assert_eq!(rig.lease().exporter(), "rig");
    Ok(())
}

#[jumpstarter::test(exporter = "rig")]
#[ignore = "the tests below run it, with a lab"]
async fn child_panics(rig: &Leased) {
    panic!("on purpose, with {}", rig.lease().exporter());
}

#[jumpstarter::test(selector = "board=demo")]
#[ignore = "the tests below run it, with a lab"]
async fn child_finds_a_broken_device(_rig: &Leased) -> Result<()> {
    Err(Error::device("the fuse has blown"))
}

#[jumpstarter::test(selector = "board=none")]
#[ignore = "the tests below run it, with a lab"]
async fn child_gets_nothing(_rig: &Leased) {
    unreachable!("there is no such board");
}

#[jumpstarter::test]
#[ignore = "the tests below run it"]
#[should_panic(expected = "on purpose")]
async fn child_panics_as_it_should() {
    panic!("it does so on purpose");
}

#[jumpstarter::test]
#[ignore = "the tests below run it"]
#[should_panic(expected = "anything")]
async fn child_does_not_panic_as_it_should() {}

#[jumpstarter::test]
#[ignore = "the tests below run it"]
async fn child_returns_an_error_of_its_own() -> std::result::Result<(), std::num::ParseIntError> {
    "no number".parse::<u32>().map(drop)
}

/// What the report of a test says: of what kind its failure is, and the element that says so.
fn reported(folder: &Path, name: &str) -> Option<(String, &'static str)> {
    let file = folder.join(format!("TEST-jumpstarter-tests.interop.fixture.{name}.xml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let case = format!("<testcase name=\"fixture::{name}\" classname=\"jumpstarter-tests::interop\" ");
    assert!(text.contains(&case), "{text}");
    let (_, rest) = text.split_once("<property name=\"jumpstarter.kind\" value=\"")?;
    let element =
        ["<failure ", "<error "].into_iter().find(|element| text.contains(element)).expect("one of them");
    Some((rest.split_once('"')?.0.to_owned(), element))
}

#[test]
fn a_test_in_rust_writes_a_report_for_whoever_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("not/there/yet");
    let run = |name: &str, reports: &Path| {
        let mut command = std::process::Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", &format!("fixture::{name}"), "--ignored", "--nocapture"]);
        let output = command.env("JUMPSTARTER_JUNIT_DIR", reports).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), said)
    };
    for (name, good) in [
        ("child_panics_as_it_should", true),
        ("child_does_not_panic_as_it_should", false),
        ("child_returns_an_error_of_its_own", false),
    ] {
        let (ended, said) = run(name, &reports);
        assert_eq!(ended, good, "{said}");
        let expected = (!good).then(|| ("device".to_owned(), "<failure "));
        assert_eq!(reported(&reports, name), expected, "{name}: {said}");
    }
    // Nothing of what was written beside stays.
    assert_eq!(std::fs::read_dir(&reports).expect("a folder").count(), 3);
    // A report that is asked for and cannot be had must not be missed.
    std::fs::write(folder.path().join("taken"), "").expect("written");
    let (good, said) = run("child_does_not_panic_as_it_should", &folder.path().join("taken"));
    assert!(!good && said.contains("cannot be written (JUMPSTARTER_JUNIT_DIR)"), "{said}");
    let (good, said) = run("child_ends_well", &folder.path().join("taken"));
    assert!(!good && said.contains("cannot be written (JUMPSTARTER_JUNIT_DIR)"), "{said}");
}

#[jumpstarter::test]
#[ignore = "the tests below run it"]
async fn child_ends_well() {}

struct Bench {
    lab: Lab,
    client: std::path::PathBuf,
    exporter: Child,
}

impl Bench {
    async fn start() -> Self {
        let mut lab = Lab::start().await;
        let credential = lab.create("Exporter", "rig", json!({ "board": "demo" })).await;
        let devices = json!({ "export": { "power": { "type": "mock-power" } } });
        let file = lab.config("ExporterConfig", "rig", &credential, &devices);
        let exporter = Command::new(programs::jmp())
            .args(["run", "--exporter-config"])
            .arg(file)
            .env("HOME", lab.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let credential = lab.create("Client", "me", json!({})).await;
        let drivers = json!({ "drivers": { "allow": [], "unsafe": true } });
        let client = lab.config("ClientConfig", "me", &credential, &drivers);
        let mut bench = Self { lab, client, exporter };
        bench.free().await;
        bench
    }

    /// Waits until the exporter is nobody's.
    async fn free(&mut self) {
        self.lab.until("Exporter", "rig", is_free).await;
    }

    /// A test of this program: its exit code, and what it printed.
    async fn child(&self, name: &str) -> (Option<i32>, String) {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", &format!("fixture::{name}"), "--ignored", "--nocapture"]);
        self.said(command).await
    }

    async fn said(&self, mut command: Command) -> (Option<i32>, String) {
        command
            .env("JMP_CLIENT_CONFIG", &self.client)
            .env("HOME", self.lab.path())
            .env("JUMPSTARTER_JUNIT_DIR", self.lab.path().join("reports"))
            .env_remove("JMP_LEASE")
            .env_remove("JUMPSTARTER_HOST")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.expect("in time").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    async fn stop(mut self) {
        self.exporter.kill().await.expect("it ran");
        self.lab.serving.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_in_rust_leases_its_exporter_and_gives_it_back_however_it_ends() {
    let mut bench = Bench::start().await;
    let (code, said) = bench.child("child_switches_its_supply").await;
    assert!(code == Some(0) && said.contains("1 passed"), "{said}");
    assert!(!said.contains("jumpstarter.kind"), "{said}");
    let reports = bench.lab.path().join("reports");
    assert_eq!(reported(&reports, "child_switches_its_supply"), None);
    bench.free().await;
    for (name, says, kind, report) in [
        // What says nothing of its kind has none in print, and is the device's in a report.
        ("child_panics", "on purpose, with rig", None, ("device", "<failure ")),
        ("child_finds_a_broken_device", "the fuse has blown", Some("device"), ("device", "<failure ")),
        ("child_gets_nothing", "no exporter for this test: ", Some("usage"), ("usage", "<error ")),
    ] {
        let (code, said) = bench.child(name).await;
        assert_eq!(code, Some(101), "{said}");
        assert!(said.contains(says) && said.contains("1 failed"), "{said}");
        let told = said.lines().find_map(|line| line.strip_prefix("jumpstarter.kind: "));
        assert_eq!(told, kind, "{said}");
        assert_eq!(reported(&reports, name), Some((report.0.to_owned(), report.1)));
        bench.free().await;
    }
    // A lab that is away is nobody's device.
    let Bench { lab, client, mut exporter } = bench;
    exporter.kill().await.expect("it ran");
    let stopped = lab.serving.stop(Duration::from_secs(1));
    stopped.await;
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "fixture::child_switches_its_supply", "--ignored", "--nocapture"]);
    command.env("JMP_CLIENT_CONFIG", &client).env_remove("JMP_LEASE").stdin(Stdio::null());
    command.env("JUMPSTARTER_JUNIT_DIR", &reports);
    let output = command.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("jumpstarter.kind: infrastructure\n"), "{said}");
    // The report of the run before is replaced.
    let expected = ("infrastructure".to_owned(), "<error ");
    assert_eq!(reported(&reports, "child_switches_its_supply"), Some(expected));
    let mut command = Command::new(programs::jmp());
    command.args(["get", "exporters"]).env("JMP_CLIENT_CONFIG", &client).env("JMP_EXIT_CODES", "kind");
    assert_eq!(command.output().await.expect("it runs").status.code(), Some(69));
}

/// A block of a page, by its file.
fn block(name: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/using-a-device.md");
    let page = std::fs::read_to_string(page).expect("a page");
    let (_, rest) = page.split_once(&format!("```python file={name}\n")).expect(name);
    rest.split_once("```").expect("an end").0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_for_pytest_says_who_has_to_act() {
    let Some(python) = python() else { return };
    let mut bench = Bench::start().await;
    let folder = bench.lab.path().join("suite");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("conftest.py"), block("conftest.py")).expect("written");
    let tests = r#"
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from jumpstarter.common.exceptions import ConfigurationError, ConnectionError


def test_good(client):
    client.power.on()


def test_wrong(client):
    client.power.on()
    assert 1 == 2


def test_device(client):
    client.power.call("on", "too", "many")


def test_usage(client):
    client.power.call("nothing")


def test_lab():
    raise ConnectionError("the lab is away")


def test_cut():
    raise AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata(), "away")


def test_caused():
    try:
        raise ConfigurationError("the file is wrong")
    except ConfigurationError as error:
        raise RuntimeError("no session") from error


@pytest.fixture
def broken():
    raise TimeoutError("nobody answers")


def test_setup(broken):
    pass
"#;
    std::fs::write(folder.join("test_suite.py"), tests).expect("written");
    let mut command = Command::new(programs::jmp());
    command.args(["shell", "--selector", "board=demo", "--"]).arg(python.program("python"));
    command
        .args(["-m", "pytest", "-p", "no:cacheprovider", "-q", "--junitxml=report.xml"])
        .current_dir(&folder);
    let (code, said) = bench.said(command).await;
    assert_eq!(code, Some(1), "{said}");
    let report = std::fs::read_to_string(folder.join("report.xml")).expect("a report");
    for (name, kind) in [
        ("good", None),
        ("wrong", Some("device")),
        // Existing clients are told UNKNOWN of this, as by the existing exporter: it may be anything.
        ("device", Some("device")),
        ("usage", Some("usage")),
        ("lab", Some("infrastructure")),
        ("cut", Some("infrastructure")),
        ("caused", Some("configuration")),
        ("setup", Some("infrastructure")),
    ] {
        let (_, rest) =
            report.split_once(&format!("name=\"test_{name}\"")).unwrap_or_else(|| panic!("{name}: {report}"));
        let case = rest.split("<testcase").next().expect("a case");
        let found = case.split_once("<property name=\"jumpstarter.kind\" value=\"").map(|(_, rest)| rest);
        let found = found.and_then(|rest| Some(rest.split_once('"')?.0));
        assert_eq!(found, kind, "{name}: {case}\n{said}");
    }
    bench.free().await;
    bench.stop().await;
}
