//! A shell that is killed gives nothing back: the lab does.

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    lab::Lab,
    registered::{Exporter, exporter_file},
    support::{Place, Running, children, code, is_alive, run, stderr, stdout},
};

/// What the lab says of a lease.
fn lease(place: &Place, name: &str) -> Value {
    let shown = run(&mut place.jmp(&["admin", "--lab", "lab", "get", "lease", name, "-o", "json"]));
    serde_json::from_str(&stdout(&shown)).unwrap_or_else(|_| panic!("{}", stderr(&shown)))
}

fn is_held(lease: &Value) -> bool {
    lease["metadata"]["annotations"]["jumpstarter.dev/lease-held"] == "true"
}

#[test]
fn a_lease_whose_shell_was_killed_is_the_next_ones_after_a_while_and_one_that_nobody_holds_lasts() {
    let place = Place::new();
    place.file("lab.yaml", "leasePolicy: {clientTimeout: 20s}\n");
    let lab = Lab::start_with(&place, &["--config", "lab.yaml"]);
    let file = exporter_file(&place);
    let made =
        run(&mut place.jmp(&["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--save"]));
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let mut rig =
        Exporter::start(&mut place.jmp(&["--log-format", "text", "run", "--exporter-config", &file]));
    rig.until("AVAILABLE");

    let words = ["shell", "-l", "board=demo", "--", "sh", "-c", "echo $JMP_LEASE; exec sleep 1000"];
    let mut shell = Running::start(&mut place.jmp(&words));
    let held = shell.line();
    assert!(is_held(&lease(&place, &held)));
    let command = children(&shell.child.id().to_string());
    shell.signal(Signal::KILL);
    // The command belongs to its user.
    for process in command.iter().filter(|process| is_alive(process)) {
        let process = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
        let _ = rustix::process::kill_process(process, Signal::KILL);
    }
    shell.end();

    let next = run(&mut place.jmp(&["shell", "-l", "board=demo", "--", "j", "power", "on"]));
    assert_eq!(code(&next), 0, "{}", stderr(&next));
    let gone = lease(&place, &held);
    let last = gone["status"]["conditions"].as_array().unwrap().last().unwrap();
    assert_eq!(last["reason"], "ClientLost", "{gone}");

    // Whoever waits for a lease holds it, and leaves it when it is there.
    let made = run(&mut place.jmp(&["create", "lease", "-l", "board=demo", "--wait", "60", "-o", "name"]));
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let left = lease(&place, stdout(&made).trim_end());
    assert!(left["status"]["exporterRef"]["name"] == "rig" && !is_held(&left), "{left}");

    // One that somebody else ends while it is used.
    let name = left["metadata"]["name"].as_str().unwrap();
    assert_eq!(code(&run(&mut place.jmp(&["delete", "leases", name]))), 0);
    let mut shell = Running::start(place.jmp(&words).env("JMP_EXIT_CODES", "kind"));
    let taken = shell.line();
    assert_eq!(code(&run(&mut place.jmp(&["delete", "leases", &taken]))), 0);
    let output = shell.end();
    let says = format!("Error: lease {taken} is over: the lease was released\n");
    assert!(code(&output) == 69 && stderr(&output).ends_with(&says), "{output:?}");
    assert_eq!(rig.end(Signal::TERM).0, Some(143));
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}
