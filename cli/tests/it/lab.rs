//! `jmp serve`, and `jmp admin` beside it.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, code, stderr, stdout};

/// A lab on a port of its own.
pub(crate) struct Lab {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Lab {
    pub(crate) fn start(place: &Place) -> Self {
        let mut command = place.jmp(&["serve", "--data", "lab", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lab = Self { child, log };
        lab.until("the lab is ready");
        lab
    }

    /// What it says, up to a line with these words.
    fn until(&mut self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.log.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
        said
    }

    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let said = std::io::read_to_string(self.log).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn run(place: &Place, words: &[&str]) -> std::process::Output {
    place.jmp(words).output().unwrap()
}

#[test]
fn a_new_lab_says_what_to_do_and_what_it_says_works_when_pasted() {
    let place = Place::new();
    let mut lab = Lab::start(&place);
    let said = lab.until("run it where they are");
    let commands: Vec<_> =
        said.lines().map(str::trim).filter(|line| line.starts_with("jmp admin ")).collect();
    assert_eq!(commands.len(), 2, "{said}");
    for command in commands {
        let words: Vec<_> = command.split_whitespace().skip(1).map(|word| word.trim_matches('\'')).collect();
        let output = run(&place, &words);
        assert_eq!(code(&output), 0, "{command}: {}", stderr(&output));
    }
    for file in ["rig.yaml", "me.yaml"] {
        let path = place.path().join(file);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        let text = std::fs::read_to_string(&path).unwrap();
        for key in ["endpoint: localhost:", "token: ", "namespace: default", "tls:"] {
            assert!(text.contains(key), "{file} has no {key}");
        }
    }
    // What an exporter file is, this program checks itself.
    assert_eq!(code(&run(&place, &["config", "exporter", "check", "rig.yaml"])), 0);

    let names = run(&place, &["admin", "--lab", "lab", "get", "exporter", "-o", "name"]);
    assert_eq!(stdout(&names), "exporter.jumpstarter.dev/rig\n");
    let one = run(&place, &["admin", "--lab", "lab", "get", "exporter", "rig", "-o", "json"]);
    let one: serde_json::Value = serde_json::from_str(&stdout(&one)).unwrap();
    assert_eq!((&one["kind"], &one["metadata"]["labels"]["board"]), (&"Exporter".into(), &"demo".into()));
    assert!(
        !stdout(&run(&place, &["admin", "--lab", "lab", "get", "client", "-o", "json"])).contains("token")
    );

    let (ended, log) = lab.end(Signal::TERM);
    assert_eq!(ended, Some(0), "{log}");
    let token = std::fs::read_to_string(place.path().join("me.yaml")).unwrap();
    let signature = token.lines().find_map(|line| line.trim().rsplit_once('.')).unwrap().1;
    assert!(signature.len() > 40 && !log.contains(signature), "the log tells a token");
    assert!(!place.path().join("lab/admin@localhost").exists());
}

#[test]
fn a_second_lab_in_the_folder_and_what_makes_no_sense_are_refused() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let second = run(&place, &["serve", "--data", "lab", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&second), 1);
    assert_eq!(stderr(&second), format!("Error: another lab runs in lab: process {}\n", lab.child.id()));
    let created = run(&place, &["admin", "--lab", "lab", "create", "client", "me", "--save"]);
    assert_eq!(code(&created), 0, "{}", stderr(&created));
    let home = place.path().join("home/.config/jumpstarter");
    assert!(home.join("clients/me.yaml").exists());
    assert!(std::fs::read_to_string(home.join("config.yaml")).unwrap().contains("current-client: me"));
    for (words, expected, says) in [
        (&["create", "client", "me"][..], 1, "Error: clients.jumpstarter.dev \"me\" already exists"),
        (&["create", "client", "Not A Name"], 1, "Error: `Not A Name` cannot be a name"),
        (&["create", "exporter", "x", "-l", "board"], 2, "\"board\" is not KEY=VALUE"),
        (&["get", "client", "nobody"], 1, "Error: clients.jumpstarter.dev \"nobody\" not found"),
        (&["get", "client", "-l", "a in"], 1, "Error: invalid selector"),
        (&["delete", "exporter", "none"], 1, "Error: exporters.jumpstarter.dev \"none\" not found"),
        (&["rotate", "client", "me"], 2, "Where does the new token go? Give '--save' or '--out FILE'."),
        (&["create", "thing"], 2, "thing"),
    ] {
        let output = run(&place, &[&["admin", "--lab", "lab"], words].concat());
        assert_eq!(code(&output), expected, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", stderr(&output));
    }
    assert_eq!(lab.end(Signal::INT).0, Some(130));
    let nowhere = run(&place, &["admin", "--lab", "lab", "get", "client"]);
    assert_eq!(code(&nowhere), 1);
    assert!(stderr(&nowhere).starts_with("Error: no lab runs in lab: start it with `jmp serve --data lab`"));
    for (words, says) in [
        (&["--listen", "8082"][..], "'--listen': \"8082\" is not ADDRESS:PORT"),
        (&["--endpoint", "here"], "'--endpoint': \"here\" is not HOST:PORT"),
        (&["--insecure", "--name", "x"], "'--insecure' excludes"),
        (&["--tls-cert", "x"], "'--tls-cert' and '--tls-key' belong together"),
    ] {
        let output = run(&place, &[&["serve", "--data", "lab"], words].concat());
        assert_eq!(code(&output), 2, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn a_lab_that_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let lab = Lab::start(&place);
    assert_eq!(code(&run(&place, &["admin", "--lab", "lab", "create", "client", "me"])), 0);
    assert_eq!(lab.end(Signal::KILL).0, None);
    let lab = Lab::start(&place);
    let names = run(&place, &["admin", "--lab", "lab", "get", "client", "-o", "name"]);
    assert_eq!(stdout(&names), "client.jumpstarter.dev/me\n");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}
