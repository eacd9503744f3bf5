//! What `jmp run` does when the process that serves crashes.

use std::{net::TcpListener, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lab::Lab,
    manager::Manager,
    registered::{Exporter, exporter_file},
    support::{Place, children, code, example, is_alive, run, stderr, stdout, told, until},
};

const NOTHING: [PathBuf; 0] = [];
const LISTENS: &str = "INFO     Session server started on";
const AGAIN: &str = "starting it again in";

/// A hook that ends the process that runs it, as a driver that crashes does.
const CRASH: &str = "hooks: {beforeLease: {script: 'kill -s KILL $PPID; sleep 60'}}\n";

fn file(place: &Place, more: &str) -> String {
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    place.file("rig.yaml", &format!("{text}{more}")).display().to_string()
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// `jmp run`, on a port.
fn listening(place: &Place, file: &str, address: &str) -> std::process::Command {
    let words = ["--log-format", "text", "run", "--exporter-config", file, "--tls-grpc-insecure"];
    let mut command = place.jmp(&words);
    command.args(["--tls-grpc-listener", address]);
    command
}

/// The process that serves.
fn worker(rig: &Exporter) -> String {
    let mut found = None;
    until("it has a worker", || {
        found = children(&rig.child.id().to_string()).into_iter().find(|child| {
            std::fs::read(format!("/proc/{child}/cmdline"))
                .is_ok_and(|line| line.starts_with(b"jmp-worker\0"))
        });
        found.is_some()
    });
    found.unwrap()
}

fn send(process: &str, signal: Signal) {
    kill_process(Pid::from_raw(process.parse().unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_crash_costs_a_session_and_not_the_exporter() {
    let place = Place::new();
    let address = free_address();
    let mut rig = Exporter::start(&mut listening(&place, &example("power.yaml"), &address));
    rig.until(LISTENS);
    let first = worker(&rig);
    send(&first, Signal::KILL);
    let said = rig.until(LISTENS);
    assert!(said.contains("the exporter was ended by signal 9; starting it again in "), "{said}");
    assert_ne!(worker(&rig), first);
    let words = ["shell", "--tls-grpc", &address, "--tls-grpc-insecure", "--", "j", "power", "read"];
    let used = run(&mut place.jmp(&words));
    assert!(stdout(&used).starts_with("voltage="), "{}", told(&used));
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    assert!(!log.contains(AGAIN), "{log}");
    assert_eq!(place.leftovers(), NOTHING);
}

#[test]
fn a_crash_of_a_registered_exporter_is_a_status_for_the_service_manager_and_it_registers_again() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let mut manager = Manager::new(&place);
    let mut command = place.jmp(&["--log-format", "text", "run", "--exporter-config", &file]);
    let rig = Exporter::start(manager.looks_after(&mut command));
    manager.hears("STATUS=AVAILABLE");
    send(&worker(&rig), Signal::KILL);
    manager.hears_that("another start", |line| line.contains(AGAIN));
    // Nobody is at work now, and that is no reason to end all of it.
    manager.hears("WATCHDOG=1");
    manager.hears("STATUS=AVAILABLE");
    manager.hears("WATCHDOG=1");
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    assert!(log.contains("unregistered from localhost:"), "{log}");
    manager.hears("STOPPING=1");
    let all = manager.heard();
    assert_eq!(all.iter().filter(|line| *line == "READY=1").count(), 1, "{all:?}");
    assert!(all.iter().all(|line| !line.contains("FAILURES")), "{all:?}");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn an_exporter_that_crashes_again_and_again_gives_up_with_code_1() {
    let place = Place::new();
    let file = file(&place, &format!("{CRASH}failureDetection: {{maxRapidFailures: 3}}\n"));
    let output = run(&mut listening(&place, &file, "127.0.0.1:0"));
    assert_eq!(code(&output), 1, "{}", told(&output));
    let said = stderr(&output);
    let last = "Error: 3 times in a row the exporter ended within 60 s of its start, the last time it was ended by signal 9; giving up, see `failureDetection` in the exporter file\n";
    assert!(said.ends_with(last), "{said}");
    assert_eq!((said.matches(LISTENS).count(), said.matches(AGAIN).count()), (3, 2), "{said}");
    assert_eq!(place.leftovers(), NOTHING);
}

#[test]
fn who_lives_longer_than_the_window_is_started_again_however_often() {
    let place = Place::new();
    let limits = "failureDetection: {maxRapidFailures: 1, rapidFailureWindow: 0}\n";
    let mut rig = Exporter::start(&mut listening(&place, &file(&place, limits), "127.0.0.1:0"));
    for _ in 0..3 {
        rig.until(LISTENS);
        send(&worker(&rig), Signal::ABORT);
    }
    rig.until(LISTENS);
    assert_eq!(rig.end(Signal::TERM).0, Some(143));
}

#[test]
fn an_exporter_that_gives_up_tells_the_controller_that_it_is_gone() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let path = exporter_file(&place);
    let text = std::fs::read_to_string(place.path().join(&path)).unwrap();
    place.file(&path, &format!("{text}\nfailureDetection: {{maxRapidFailures: 1}}\n"));
    let mut rig =
        Exporter::start(&mut place.jmp(&["--log-format", "text", "run", "--exporter-config", &path]));
    rig.until("AVAILABLE");
    send(&worker(&rig), Signal::KILL);
    let (ended, log) = rig.ended();
    assert_eq!(ended, Some(1), "{log}");
    assert!(log.contains("the exporter ended within 60 s of its start"), "{log}");
    assert!(log.contains("unregistered from localhost:"), "{log}");
    let one = run(&mut place.jmp(&["admin", "--lab", "lab", "get", "exporter", "rig", "-o", "json"]));
    assert!(stdout(&one).contains("ended unexpectedly and is not started again"), "{}", told(&one));
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_signal_between_two_workers_is_the_end() {
    let place = Place::new();
    let file = file(&place, &format!("{CRASH}failureDetection: {{maxRapidFailures: 1000}}\n"));
    let mut rig = Exporter::start(&mut listening(&place, &file, "127.0.0.1:0"));
    // The fourth pause is two seconds at least.
    for _ in 0..4 {
        rig.until(AGAIN);
    }
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    assert!(log.contains("SIGTERM received") && !log.contains(LISTENS), "{log}");
}

#[test]
fn a_mistake_in_the_file_is_told_once_and_never_tried_again() {
    let place = Place::new();
    let bad = file(&place, "failureDetection: {maxRapidFailure: 3}\n");
    let output = run(&mut listening(&place, &bad, "127.0.0.1:0"));
    assert_eq!(code(&output), 1, "{}", told(&output));
    let said = stderr(&output);
    assert_eq!((said.matches("unknown key `maxRapidFailure`").count(), said.matches(AGAIN).count()), (1, 0));

    // Also one that was made while the exporter was at work.
    let good = file(&place, "");
    let mut rig = Exporter::start(&mut listening(&place, &good, "127.0.0.1:0"));
    rig.until(LISTENS);
    file(&place, "nothing: like this\n");
    send(&worker(&rig), Signal::KILL);
    let (ended, log) = rig.ended();
    assert_eq!(ended, Some(1), "{log}");
    assert!(log.contains("unknown key `nothing`"), "{log}");
}

#[test]
fn what_may_pass_is_tried_again() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = file(&place, "failureDetection: {maxRapidFailures: 100}\n");
    let mut rig = Exporter::start(&mut listening(&place, &file, &address));
    let said = rig.until(AGAIN);
    assert!(said.contains("Error: listening on ") && said.contains("the exporter failed;"), "{said}");
    drop(taken);
    rig.until(LISTENS);
    assert_eq!(rig.end(Signal::INT).0, Some(130));
}

#[test]
fn a_signal_to_both_processes_is_one_and_a_second_one_insists() {
    let place = Place::new();
    let after = "hooks: {afterLease: {script: 'echo begun; cat fifo; echo over'}}\n";
    let fifo = place.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for insists in [false, true] {
        let mut rig = Exporter::start(&mut listening(&place, &file(&place, after), "127.0.0.1:0"));
        rig.until(LISTENS);
        // As a service manager does it.
        send(&worker(&rig), Signal::TERM);
        rig.signal(Signal::TERM);
        rig.until("begun");
        if insists {
            let (ended, log) = rig.end(Signal::TERM);
            assert_eq!(ended, Some(143), "{log}");
            assert!(log.contains("stopping at once") && !log.contains("over"), "{log}");
        } else {
            std::fs::write(&fifo, "").unwrap();
            let (ended, log) = rig.ended();
            assert_eq!(ended, Some(143), "{log}");
            assert!(log.contains("over") && !log.contains("stopping at once"), "{log}");
        }
        assert_eq!(place.leftovers(), NOTHING);
    }
}

#[test]
fn pitfall_p5_the_process_that_serves_does_not_outlive_a_supervisor_that_is_killed() {
    let place = Place::new();
    let mut rig = Exporter::start(&mut listening(&place, &example("power.yaml"), "127.0.0.1:0"));
    rig.until(LISTENS);
    let worker = worker(&rig);
    // It does not look at the time: it is stopped, and acts when it goes on.
    let (ended, _) = rig.end(Signal::KILL);
    assert_eq!(ended, None);
    until("the worker ends", || !is_alive(&worker));
}
