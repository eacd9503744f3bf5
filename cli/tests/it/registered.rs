//! `jmp run` with a controller: a lab of ours.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lab::Lab,
    manager::Manager,
    support::{Kept, Place, code, run, stderr, stdout, told},
};

/// An exporter file as the lab's administrator gets it, with a device.
pub(crate) fn exporter_file(place: &Place) -> String {
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
pub(crate) struct Exporter {
    pub(crate) child: Kept,
    log: BufReader<std::process::ChildStderr>,
}

impl Exporter {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = Kept::spawn(command.stderr(Stdio::piped()));
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// What it says, up to a line with these words.
    pub(crate) fn until(&mut self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.log.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
        said
    }

    pub(crate) fn end(self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        self.ended()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
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
fn an_exporter_can_end_after_its_first_lease() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let create = ["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--save"];
    assert_eq!(code(&run(&mut place.jmp(&create))), 0);
    let mut rig = Exporter::start(&mut place.jmp(&[
        "run",
        "--exporter-config",
        &file,
        "--exit-on-lease-end",
        "--log-format",
        "text",
    ]));
    let mut said = rig.until("AVAILABLE");
    // A client that looks and takes nothing is no lease.
    assert_eq!(code(&run(&mut place.jmp(&["get", "exporters"]))), 0);
    assert!(rig.child.try_wait().unwrap().is_none());
    let used = run(&mut place.jmp(&["shell", "--selector", "board=demo", "--", "j", "power", "on"]));
    assert_eq!(code(&used), 0, "{}", told(&used));
    said.push_str(&std::io::read_to_string(rig.log).unwrap());
    assert_eq!(rig.child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("unregistered from localhost:"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with('{')), "{said}");
    assert_eq!(status(&place), "Offline");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_a_hook_has_said_is_shown_to_whoever_comes_first_and_to_nobody_again() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let path = place.path().join(&file);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "\nhooks: {beforeLease: {script: 'echo prepared for $CLIENT_NAME'}}\n")
        .unwrap();
    let create = ["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--save"];
    assert_eq!(code(&run(&mut place.jmp(&create))), 0);
    let mut rig =
        Exporter::start(&mut place.jmp(&["run", "--exporter-config", &file, "--log-format", "text"]));
    rig.until("AVAILABLE");
    let jmp = |words: &[&str]| {
        let output = run(&mut place.jmp(words));
        assert_eq!(code(&output), 0, "{}", told(&output));
        output
    };
    let said = |output: &std::process::Output| stderr(output).matches("prepared for me").count();
    // Who makes a lease sees its hook, and who joins it does not see that once more.
    let inner = "jmp shell --lease $JMP_LEASE -- j power on 2>inner.log";
    let script = inner.replace("jmp ", &format!("{} ", crate::support::JMP));
    let output = jmp(&["shell", "--selector", "board=demo", "--", "sh", "-c", &script]);
    assert_eq!(said(&output), 1, "{}", told(&output));
    let inner = std::fs::read_to_string(place.path().join("inner.log")).unwrap();
    assert!(inner.contains("Using existing lease") && !inner.contains("prepared"), "{inner}");
    // The lease may be older than every shell: the first one sees it then.
    let lease = stdout(&jmp(&["create", "lease", "-l", "board=demo", "--wait", "-o", "name"]));
    let shell = ["shell", "--lease", lease.trim_end(), "--", "j", "power", "read"];
    let counts = [(); 3].map(|()| said(&jmp(&shell)));
    assert_eq!(counts, [1, 0, 0]);
    jmp(&["delete", "leases", lease.trim_end()]);
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn the_form_of_the_log_is_said_before_the_command_or_behind_it() {
    let place = Place::new();
    let text =
        "hooks: {beforeLease: {script: 'exit 3', onFailure: exit}}\nexport: {power: {type: mock-power}}\n";
    let file = place.file("exit.yaml", text);
    let words = ["run", "--exporter-config", file.to_str().unwrap(), "--tls-grpc-listener", "127.0.0.1:0"];
    for (before, behind, json) in [
        (&[][..], &[][..], true),
        (&["--log-format", "text"], &[], false),
        (&[], &["--log-format", "TEXT"], false),
        // What is nearer counts.
        (&["--log-format", "text"], &["--log-format", "json"], true),
    ] {
        let output = run(&mut place.jmp(&[before, &words, &["--tls-grpc-insecure"], behind].concat()));
        assert_eq!(code(&output), 1, "{}", told(&output));
        let said = stderr(&output);
        assert!(said.contains("exit code 3"), "{said}");
        assert!(said.lines().all(|line| line.starts_with('{') == json), "{before:?} {behind:?}: {said}");
    }
}

#[test]
fn a_service_manager_is_told_that_it_is_ready_what_it_does_and_that_it_lives() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let mut manager = Manager::new(&place);
    let mut command = place.jmp(&["run", "--exporter-config", &file]);
    let rig = Exporter::start(manager.looks_after(&mut command));
    manager.hears("READY=1");
    manager.hears("STATUS=AVAILABLE");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    // Logs of a service are JSON, one object per line.
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    manager.hears("STOPPING=1");
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
