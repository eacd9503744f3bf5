//! Supplies beside real counterparts: an SNMP agent, an MQTT broker with a device behind it, HTTP servers, and the
//! unmodified Python implementation on either side.

mod agent;
mod broker;
mod devices;
mod faults;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jumpstarter::{Delay, ErrorKind, Result};
use jumpstarter_interfaces::{PowerClient, PowerCycleClient, PowerReading};
use jumpstarter_tests::client::{Client, Outcome};
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::methods::{Methods, Pair};
use jumpstarter_tests::python::python;
use jumpstarter_tests::{ours, programs};
use rustix::process::{Pid, Signal, kill_process};

use self::agent::Agent;
use self::broker::{Broker, Plug};
use self::devices::{Strip, Switch};
use crate::shell::connect;
use crate::steady::{Held, alone};

/// A program of the system that stands for a device, or for what is between. It ends with this value.
pub(crate) struct Counterpart(Child);

impl Counterpart {
    /// Starts it and waits for a line of its output that says that it is ready.
    pub(crate) fn start(program: &Path, arguments: &[&str], folder: &Path, ready: &str) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        // The agent neither reads descriptions of objects nor keeps state elsewhere.
        command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", folder.join("state")).env("HOME", folder);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut output = BufReader::new(child.stderr.take().expect("its output"));
        let mut said = String::new();
        while !said.contains(ready) {
            let read = output.read_line(&mut said).expect("a line");
            assert!(read > 0, "{} did not start:\n{said}", program.display());
        }
        // It may go on talking.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self(child)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.0.id().try_into().expect("a process")).expect("a process");
        kill_process(process, signal).expect("it is there");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it is there");
        self.0.wait().expect("its end");
    }
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        self.signal_quietly();
        let _ = self.0.wait();
    }
}

impl Counterpart {
    fn signal_quietly(&mut self) {
        let _ = self.0.kill();
    }
}

/// An exporter file with one supply, `power`.
pub(crate) fn config(driver: &str, keys: &str) -> String {
    let keys: String = keys.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    let head = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata: {namespace: default, name: power}\n";
    let keys = if keys.is_empty() { String::new() } else { format!("    config:\n{keys}") };
    format!("{head}export:\n  power:\n    type: {driver}\n{keys}")
}

/// What is called both ways, and what comes of it.
struct Case<'a> {
    /// Our name of the driver, and upstream's class.
    driver: &'static str,
    class: Option<&'static str>,
    keys: String,
    /// What is measured; `None` where the device cannot.
    readings: Option<&'static [[f64; 2]]>,
    /// Looks at what the device has been told, and forgets it.
    told: Box<dyn Fn() -> Vec<String> + 'a>,
    /// What `on`, `off` and `cycle` tell it.
    wanted: [&'static [&'static str]; 3],
    /// What upstream's exporter answers to `read`, where ours can.
    theirs: Option<&'static str>,
}

/// Commands that both programs have.
const COMMANDS: &str = "j on, cycle, off";
/// Which of the things that a device is told each of them stands for.
const TYPED: [usize; 3] = [0, 2, 1];
const READ: &str = "j read";

/// What `j read` prints of one reading, in either program.
fn printed([voltage, current]: &[f64; 2]) -> String {
    let power = voltage * current;
    format!("voltage={voltage:?} V  current={current:?} A  apparent_power={power:?} VA\n")
}

const NO_RESCUE: &str = "not implemented: it has no rescue mode";

const UPSTREAM_READ: &str = "its `read` is no stream: an error, as without it";

impl Case<'_> {
    async fn python_on_ours(&self, client: &Client, methods: &mut Methods) {
        for (method, wanted) in ["on", "off", "cycle"].into_iter().zip(self.wanted) {
            let call = if method == "cycle" { "cycle(0)".to_owned() } else { format!("{method}()") };
            let done = client.python(&format!("node('power').{call}")).await.expect("a client");
            methods.works(Pair::PythonOnOurs, self.driver, method, outcome(done));
            let told = (self.told)();
            // A session begins and ends with other commands at some devices.
            assert!(ends_with(&told, wanted), "{}.{method}: {told:?}", self.driver);
        }
        let lines = ["on", "cycle -w 0", "off"].map(|line| format!("power {line}"));
        let mut typed = Ok(());
        for (line, index) in lines.iter().zip(TYPED) {
            let done = client.j(&line.split(' ').collect::<Vec<_>>()).await.expect("j runs");
            typed = typed.and(outcome(done));
            let told = (self.told)();
            assert!(ends_with(&told, self.wanted[index]), "{}: {line}: {told:?}", self.driver);
        }
        methods.works(Pair::PythonOnOurs, self.driver, COMMANDS, typed);
        let code = "from jumpstarter.client.core import DriverMethodNotImplemented\ntry:\n    node('power').rescue()\n\
                    except DriverMethodNotImplemented:\n    pass\nelse:\n    raise AssertionError('it has one')\n";
        client.python(code).await.expect("a client").success();
        methods.otherwise(Pair::PythonOnOurs, self.driver, "rescue", NO_RESCUE);
        let code = "print('=', [[r.voltage, r.current] for r in node('power').read()])";
        let read = client.python(code).await.expect("a client");
        if let Some(readings) = self.readings {
            assert!(read.stdout.contains(&format!("= {readings:?}")), "{}: {read:?}", self.driver);
            methods.works(Pair::PythonOnOurs, self.driver, "read", outcome(read));
            let typed = client.j(&["power", "read", "-n", "1"]).await.expect("j runs");
            assert_eq!(
                typed.stdout,
                readings.iter().map(printed).collect::<String>(),
                "{}: {typed:?}",
                self.driver
            );
            methods.works(Pair::PythonOnOurs, self.driver, READ, outcome(typed));
        } else {
            assert!(read.stderr.contains("DriverMethodNotImplemented"), "{}: {read:?}", self.driver);
            methods.otherwise(Pair::PythonOnOurs, self.driver, "read", "not implemented: it cannot measure");
            let typed = client.j(&["power", "read"]).await.expect("j runs");
            assert!(typed.code != Some(0) && typed.stdout.is_empty(), "{}: {typed:?}", self.driver);
            methods.otherwise(Pair::PythonOnOurs, self.driver, READ, "not implemented: it cannot measure");
        }
    }

    async fn ours_on_python(&self, power: &PowerClient, host: &str, methods: &mut Methods) {
        for (method, wanted) in ["on", "off", "cycle"].into_iter().zip(self.wanted) {
            let done = match method {
                "on" => power.on().await,
                "off" => power.off().await,
                _ => power.cycle(Delay::ZERO).await,
            };
            methods.works(Pair::OursOnPython, self.driver, method, done);
            let told = (self.told)();
            assert!(ends_with(&told, wanted), "{}.{method}: {told:?}", self.driver);
        }
        let mut typed = Ok(());
        let lines = [&["power", "on"][..], &["power", "cycle", "-w", "0s"], &["power", "off"]];
        for (words, index) in lines.into_iter().zip(TYPED) {
            let done = crate::shell::j(host, words).output().await.expect("j runs");
            typed = typed.and(outcome(done.into()));
            let told = (self.told)();
            assert!(ends_with(&told, self.wanted[index]), "{}: {words:?}: {told:?}", self.driver);
        }
        methods.works(Pair::OursOnPython, self.driver, COMMANDS, typed);
        let error = power.rescue().await.expect_err("it has none");
        assert!(matches!(error.kind(), ErrorKind::MethodNotFound | ErrorKind::Unsupported), "{error:?}");
        methods.otherwise(Pair::OursOnPython, self.driver, "rescue", NO_RESCUE);
        let typed: Outcome =
            crate::shell::j(host, &["power", "read", "-n", "1"]).output().await.expect("j runs").into();
        let read: Result<Vec<_>> = async { power.read().await?.collect().await }.await;
        if let Some(why) = self.theirs {
            let error = read.expect_err("no stream");
            assert!(error.message().contains("method read"), "{}: {error}", self.driver);
            methods.otherwise(Pair::OursOnPython, self.driver, "read", why);
            assert!(typed.code == Some(1) && typed.stderr.contains("read"), "{}: {typed:?}", self.driver);
            methods.otherwise(Pair::OursOnPython, self.driver, READ, why);
            return;
        }
        let wanted = self.readings.unwrap_or_default().iter();
        let wanted: Vec<_> =
            wanted.map(|[voltage, current]| PowerReading { voltage: *voltage, current: *current }).collect();
        assert_eq!(read.as_ref().ok(), Some(&wanted), "{}: {read:?}", self.driver);
        methods.works(Pair::OursOnPython, self.driver, "read", read);
        let lines: String = self.readings.unwrap_or_default().iter().map(printed).collect();
        assert_eq!(typed.stdout, lines, "{}: {typed:?}", self.driver);
        methods.works(Pair::OursOnPython, self.driver, READ, outcome(typed));
    }
}

fn ends_with(told: &[String], wanted: &[&str]) -> bool {
    told.len() >= wanted.len() && told[told.len() - wanted.len()..].iter().eq(wanted)
}

fn outcome(done: Outcome) -> Result<(), String> {
    if done.code == Some(0) { Ok(()) } else { Err(done.stderr) }
}

fn nothing() -> Box<dyn Fn() -> Vec<String>> {
    Box::new(Vec::new)
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
#[tokio::test(flavor = "multi_thread")]
async fn every_method_works_both_ways() {
    let (Some(python), Some(agent), Some(broker)) = (python(), Agent::start(), Broker::start().await) else {
        return;
    };
    let plug = Plug::start(&broker).await;
    let switch = Switch::start().await;
    let strip = Strip::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mock: &[[f64; 2]] = &[[0.0, 0.0], [5.0, 2.0]];
    let case = |driver, class, keys: String, readings, told: Box<dyn Fn() -> Vec<String>>, wanted, theirs| {
        Case { driver, class, keys, readings, told, wanted, theirs }
    };
    let none: [&'static [&'static str]; 3] = [&[], &[], &[]];
    let cases = [
        case(
            "mock-power",
            Some("jumpstarter_driver_power.driver.MockPower"),
            String::new(),
            Some(mock),
            nothing(),
            none,
            None,
        ),
        case(
            "sync-mock-power",
            Some("jumpstarter_driver_power.driver.SyncMockPower"),
            String::new(),
            Some(mock),
            nothing(),
            none,
            None,
        ),
        case(
            "http-power",
            Some("jumpstarter_driver_http_power.driver.HttpPower"),
            switch.keys(),
            Some(&[[229.5, 0.25]]),
            switch.told(),
            [&["/relay/0?turn=on"], &["/relay/0?turn=off"], &["/relay/0?turn=off", "/relay/0?turn=on"]],
            None,
        ),
        case(
            "snmp-power",
            Some("jumpstarter_driver_snmp.driver.SNMPServer"),
            agent.keys(),
            None,
            agent.told(),
            [&["1"], &["0"], &["0", "1"]],
            Some("it has no `read`"),
        ),
        case(
            "tasmota-power",
            Some("jumpstarter_driver_tasmota.driver.TasmotaPower"),
            broker.keys(),
            Some(&[[229.0, 0.048]]),
            plug.told(),
            [&["ON"], &["OFF"], &["OFF", "ON"]],
            Some(UPSTREAM_READ),
        ),
        case(
            "energenie-power",
            Some("jumpstarter_driver_energenie.driver.EnerGenie"),
            strip.keys(),
            None,
            strip.told(),
            [&["cte2=1"], &["cte2=0"], &["cte2=0", "cte2=1"]],
            Some(UPSTREAM_READ),
        ),
        case(
            "command-power",
            None,
            format!("on: 'echo on >> {0}'\n'off': 'echo off >> {0}'\nread: 'echo 5 2'", log.display()),
            Some(&[[5.0, 2.0]]),
            Box::new(move || {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                std::fs::remove_file(&log).ok();
                text.lines().map(str::to_owned).collect()
            }),
            [&["on"], &["off"], &["off", "on"]],
            None,
        ),
    ];
    let mut methods = Methods::new("power");
    for case in &cases {
        // By upstream's name where there is one: files that were written for it have to work.
        let exporter = ours::start_text(&config(case.class.unwrap_or(case.driver), &case.keys)).await;
        let client = Client::new(&python, &exporter.address.to_string());
        case.python_on_ours(&client, &mut methods).await;
        exporter.stop().await;
        match case.class {
            Some(class) => {
                let upstream =
                    Exporter::local(&Program::Upstream(python.clone()), &config(class, &case.keys)).await;
                let upstream = upstream.expect("an exporter");
                let device = connect(&upstream.host()).await;
                let power = device.client("power").expect("a supply");
                case.ours_on_python(&power, &upstream.host(), &mut methods).await;
                upstream.stop().await.expect("an orderly end");
            }
            None => {
                for method in ["on", "off", "cycle", COMMANDS, "rescue", "read", READ] {
                    methods.otherwise(Pair::OursOnPython, case.driver, method, "there is no such driver");
                }
            }
        }
    }
    let classes: Vec<_> = cases.iter().filter_map(|case| Some((case.class?, case.driver))).collect();
    methods.covers(&python, &classes);
    methods.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_can_be_read_back_is_waited_for() {
    let Some(agent) = Agent::start() else { return };
    let keys = format!("{}state_oid: {}\n", agent.keys(), agent::SWITCH);
    let exporter = ours::start_text(&config("snmp-power", &keys)).await;
    let power: PowerClient = exporter.bench().client("power").expect("a supply");
    power.on().await.expect("on");
    assert_eq!((agent.told())(), ["1"]);
    exporter.stop().await;
    // An outlet that never shows the state.
    let keys = format!("{}state_oid: {}\ntimeout: 0.5\n", agent.keys(), agent::FIXED);
    let exporter = ours::start_text(&config("snmp-power", &keys)).await;
    let power: PowerClient = exporter.bench().client("power").expect("a supply");
    let error = power.on().await.expect_err("no state");
    let message = "SNMP set failed: the outlet does not reach the state 1 within 500ms: it shows 7";
    assert_eq!(error.message(), message);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_security_level_is_spoken() {
    let Some(agent) = Agent::start() else { return };
    for (user, level) in agent::USERS {
        let exporter = ours::start_text(&config("snmp-power", &agent.keys_of(user, level))).await;
        let power: PowerClient = exporter.bench().client("power").expect("a supply");
        power.on().await.unwrap_or_else(|error| panic!("{user}: {error}"));
        power.off().await.unwrap_or_else(|error| panic!("{user}: {error}"));
        assert_eq!((agent.told())(), ["1", "0"], "{user}");
        exporter.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_leads_to_a_broker_as_well() {
    let Some(broker) = Broker::start().await else { return };
    let plug = Plug::start(&broker).await;
    let exporter = ours::start_text(&config("tasmota-power", &broker.unix_keys())).await;
    let power: PowerClient = exporter.bench().client("power").expect("a supply");
    power.on().await.expect("on");
    exporter.stop().await;
    // Off when the session begins, and when it ends.
    assert_eq!((plug.told())(), ["OFF", "ON", "OFF"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_is_trusted_if_its_certificate_is() {
    let Some(broker) = Broker::start().await else { return };
    let plug = Plug::start(&broker).await;
    let text = config("tasmota-power", &broker.secure_keys());
    let stranger = tempfile::NamedTempFile::new().expect("a file");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(stranger.path(), other.cert.pem()).expect("written");
    let program = Program::Ours(programs::jmp());
    let start = async |certificate: &str| {
        Exporter::local_with(&program, &text, &[("SSL_CERT_FILE", certificate)]).await
    };
    let exporter = start(&broker.certificate()).await.expect("an exporter");
    let power: PowerClient = connect(&exporter.host()).await.client("power").expect("a supply");
    (plug.told())();
    power.on().await.expect("on");
    power.off().await.expect("off");
    assert_eq!((plug.told())(), ["ON", "OFF"]);
    exporter.stop().await.expect("an orderly end");
    // What the user reads about a stranger.
    let error = match start(&stranger.path().display().to_string()).await {
        Err(error) => error.to_string(),
        Ok(exporter) => {
            let power: PowerClient = connect(&exporter.host()).await.client("power").expect("a supply");
            power.on().await.expect_err("a stranger").to_string()
        }
    };
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn supplies_that_cycle_by_themselves_do_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let keys = format!("on: 'false'\n'off': 'false'\ncycle: 'echo $1 >> {}'", log.display());
    let exporter = ours::start_text(&config("command-power", &keys)).await;
    let text = crate::shell::seen(&exporter.address.to_string(), &["power", "cycle", "-w", "0.5"]).await;
    assert_eq!(text, "$ j power cycle -w 0.5\n[0]\n");
    let cycle: PowerCycleClient = exporter.bench().client("power").expect("a supply");
    cycle.cycle(Delay::ZERO).await.expect("a cycle");
    assert_eq!(std::fs::read_to_string(log).expect("a log"), "0.5\n0\n");
    exporter.stop().await;
}

/// Calls, as many as an evening of tests makes.
const ROUNDS: usize = 10_000;

async fn switch_often(exporter: &ours::Running, rounds: usize) {
    let power: PowerClient = exporter.bench().client("power").expect("a supply");
    for _ in 0..rounds / 2 {
        power.on().await.expect("on");
        power.off().await.expect("off");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_leave_nothing_behind() {
    if !alone("power::ten_thousand_calls_leave_nothing_behind") {
        return;
    }
    let (Some(agent), Some(broker)) = (Agent::start(), Broker::start().await) else { return };
    let plug = Plug::start(&broker).await;
    let switch = Switch::start().await;
    let strip = Strip::start().await;
    // The outlet that the agent keeps itself: no script is started for it.
    let agents = agent.keys_of("nobody", "").replace("plug: 4", "plug: 9");
    for (driver, keys) in [
        ("mock-power", String::new()),
        ("http-power", switch.keys()),
        ("energenie-power", strip.keys()),
        ("tasmota-power", broker.keys()),
        ("snmp-power", agents),
        // Each round is a process.
        ("command-power", "on: 'true'\n'off': 'true'".to_owned()),
    ] {
        let exporter = ours::start_text(&config(driver, &keys)).await;
        switch_often(&exporter, 200).await;
        for forget in [plug.told(), switch.told(), strip.told()] {
            forget();
        }
        let before = Held::now();
        switch_often(&exporter, ROUNDS).await;
        for forget in [plug.told(), switch.told(), strip.told()] {
            forget();
        }
        Held::is_what_it_was(before).await;
        exporter.stop().await;
    }
}
