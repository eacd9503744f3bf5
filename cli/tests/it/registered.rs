//! `jmp run` with a controller: a lab of ours.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lab::Lab,
    support::{Place, code, run, stderr, stdout, told},
};

/// An exporter file as the lab's administrator gets it, with a device.
fn exporter_file(place: &Place) -> String {
    let mut create = place.jmp(&["admin", "--lab", "lab", "create", "exporter", "rig"]);
    let made = run(create.args(["--label", "board=demo", "--out", "rig.yaml"]));
    assert_eq!(code(&made), 0, "{}", told(&made));
    let file = place.path().join("rig.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("export:")).collect();
    lines.extend(["export:", "  power: {type: mock-power}"]);
    std::fs::write(&file, lines.join("\n")).unwrap();
    "rig.yaml".to_owned()
}

/// An exporter that runs, and its log.
struct Exporter {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Exporter {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// What it says, up to a line with these words.
    fn until(&mut self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.log.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
        said
    }

    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let said = std::io::read_to_string(self.log).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn status(place: &Place) -> String {
    let one = run(&mut place.jmp(&["admin", "--lab", "lab", "get", "exporter", "rig", "-o", "json"]));
    let one: serde_json::Value = serde_json::from_str(&stdout(&one)).unwrap();
    one["status"]["exporterStatus"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_exporter_registers_with_the_file_that_the_lab_wrote_and_goes_when_it_is_told_to() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    for (signal, expected) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut rig =
            Exporter::start(&mut place.jmp(&["--log-format", "text", "run", "--exporter-config", &file]));
        rig.until("AVAILABLE");
        let (ended, log) = rig.end(signal);
        assert_eq!(ended, Some(expected), "{log}");
        assert!(log.contains("unregistered from localhost:"), "{log}");
        assert_eq!(status(&place), "Offline");
    }
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_service_manager_is_told_that_it_is_ready_what_it_does_and_that_it_lives() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let heard = |wanted: &str| {
        let mut all = Vec::new();
        let mut buffer = [0; 1024];
        while !all.iter().any(|line: &String| line == wanted) {
            let count =
                manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}, heard {all:?}"));
            all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        all
    };
    let mut command = place.jmp(&["run", "--exporter-config", &file]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let rig = Exporter::start(&mut command);
    heard("READY=1");
    heard("STATUS=AVAILABLE");
    heard("WATCHDOG=1");
    heard("WATCHDOG=1");
    // Logs of a service are JSON, one object per line.
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    heard("STOPPING=1");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["component"], "exporter", "{line}");
    }
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_is_missing_to_register_is_said_with_its_place_and_a_lab_that_refuses_with_its_reason() {
    let place = Place::new();
    let bare = place.file("bare.yaml", "export:\n  power: {type: mock-power}\n");
    let output = run(&mut place.jmp(&["run", "--exporter-config", bare.to_str().unwrap()]));
    assert_eq!(code(&output), 1, "{}", told(&output));
    for says in
        ["`endpoint` is needed to register with a controller", "`token` is needed", "--tls-grpc-listener"]
    {
        assert!(stderr(&output).contains(says), "{says}: {}", told(&output));
    }

    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let rotate = ["admin", "--lab", "lab", "rotate", "exporter", "rig", "--out", "new.yaml"];
    assert_eq!(code(&run(&mut place.jmp(&rotate))), 0);
    let output = run(&mut place.jmp(&["--log-format", "text", "run", "--exporter-config", &file]));
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert!(stderr(&output).contains("cannot register with localhost:"), "{}", told(&output));
    assert!(stderr(&output).contains("replaced by an administrator"), "{}", told(&output));
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}
