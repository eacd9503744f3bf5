//! Labs that do not answer: what whoever waits for them is told.

use std::net::TcpListener;

use pty_process::blocking::Command;
use rustix::process::Signal;

use crate::{
    lab::Lab,
    support::{JMP, Place, Running, code, run, stderr},
    terminal::Screen,
};

/// A port that takes every connection and never says anything, and the file of a client of it.
fn silent(place: &Place) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    place.file(
        "me.yaml",
        &format!(
            "apiVersion: jumpstarter.dev/v1alpha1\nkind: ClientConfig\nmetadata: {{namespace: default, name: me}}\n\
             endpoint: {address}\ntoken: a.b.c\ntls: {{ca: '', insecure: true}}\ndrivers: {{allow: [], unsafe: true}}\n"
        ),
    );
    place.file("token", "a.b.c\n");
    (listener, address)
}

#[test]
fn a_log_says_who_does_not_answer_and_standard_output_does_not() {
    let place = Place::new();
    let (_listener, address) = silent(&place);
    let me = ["--client-config", "me.yaml"];
    let controller = format!("Waiting for the controller at {address} to answer");
    let lab = format!("Waiting for the lab at {address} to answer");
    let https = format!("Waiting for the lab at https://{address} to answer");
    let admin = ["admin", "--endpoint", &address, "--token-file", "token"];
    let started: Vec<_> = [
        (&["get", "exporters"][..], &me[..], &controller),
        (&["get", "leases", "-o", "json"], &me, &controller),
        (&["create", "lease", "-l", "a=b"], &me, &controller),
        (&["create", "lease", "-l", "a=b", "--wait"], &me, &controller),
        (&["delete", "leases", "one"], &me, &controller),
        (&["auth", "rotate"], &me, &controller),
        (&["shell", "-l", "a=b", "--client-config", "me.yaml", "--", "true"], &[], &controller),
        (&["login", &address, "--nointeractive"], &[], &https),
        (&admin, &["get", "client"], &lab),
    ]
    .into_iter()
    .map(|(words, more, says)| {
        let words = [words, more].concat();
        let running = Running::start(&mut place.jmp(&words));
        (words.join(" "), running, says)
    })
    .collect();
    for (words, mut running, says) in started {
        let mut said = String::new();
        while !said.ends_with(says.as_str()) {
            said = running.complaint();
            assert!(!said.is_empty() && !said.starts_with("Error"), "{words}: {said}");
        }
        running.child.kill().unwrap();
        let output = running.end();
        assert!(output.stdout.is_empty(), "{words}: {output:?}");
    }
}

#[test]
fn somebody_in_front_of_a_terminal_sees_who_does_not_answer_until_the_answer_is_there() {
    let place = Place::new();
    let lab = Lab::start(&place);
    for words in [
        &["create", "exporter", "rig", "--label", "a=b"][..],
        &["create", "client", "me", "--unsafe", "--save"],
    ] {
        let made = run(&mut place.jmp(&[&["admin", "--lab", "lab"], words].concat()));
        assert_eq!(code(&made), 0, "{}", stderr(&made));
    }
    for (words, waiting) in [
        (&["get", "exporters"][..], "Waiting for the controller at localhost:"),
        (&["admin", "--lab", "lab", "get", "exporter"], "Waiting for the lab in lab to answer"),
    ] {
        lab.signal(Signal::STOP);
        // A line as wide as this: the waiting one is not broken.
        let mut screen = Screen::within(120, &place, Command::new(JMP).args(words), &[]);
        screen.wait_for(waiting);
        screen.wait_for("0s");
        lab.signal(Signal::CONT);
        let (code, seen) = screen.end_seen();
        assert_eq!(code, 0, "{seen}");
        // It is gone before the answer is shown, and does not come back.
        let (before, answer) = seen.split_once("NAME").unwrap();
        assert!(before.rsplit("Waiting").next().unwrap().contains("\u{1b}[2K"), "{seen:?}");
        assert!(answer.contains("rig") && !answer.contains("Waiting"), "{seen:?}");
    }
    lab.end(Signal::TERM);
}
