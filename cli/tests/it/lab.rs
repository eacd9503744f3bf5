//! `jmp serve`, and `jmp admin` beside it.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Kept, Place, code, stderr, stdout};

/// A lab on a port of its own.
pub(crate) struct Lab {
    child: Kept,
    /// What it has said so far.
    ready: String,
    log: BufReader<std::process::ChildStderr>,
}

impl Lab {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// The same with further options.
    pub(crate) fn start_with(place: &Place, more: &[&str]) -> Self {
        let mut command = place.jmp(&["serve", "--data", "lab", "--listen", "127.0.0.1:0"]);
        command.args(more);
        let mut child = Kept::spawn(command.stderr(Stdio::piped()));
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lab = Self { child, log, ready: String::new() };
        lab.ready = lab.until("the lab is ready");
        lab
    }

    /// The port that it listens on.
    pub(crate) fn port(&mut self) -> u16 {
        let (_, rest) = self.ready.split_once("127.0.0.1:").expect("an address");
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().expect("a port")
    }

    /// What it says, up to a line with these words.
    fn until(&mut self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.log.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
        said
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
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
    let said = lab.until("uses them");
    let commands: Vec<_> = said.lines().map(str::trim).filter(|line| line.starts_with("jmp ")).collect();
    assert_eq!(commands.len(), 3, "{said}");
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
    assert!(log.contains("no new calls") && log.contains("the lab ends"), "{log}");
    let token = std::fs::read_to_string(place.path().join("me.yaml")).unwrap();
    let token = token.split_whitespace().find(|word| word.matches('.').count() == 2).expect("three parts");
    let signature = token.rsplit('.').next().unwrap();
    assert!(signature.len() > 40 && !log.contains(signature), "the log tells a token");
    assert!(!place.path().join("lab/admin@localhost").exists());
}

#[test]
fn a_new_lab_that_speaks_clear_text_says_what_has_to_be_in_front_of_it() {
    let place = Place::new();
    let mut lab = Lab::start_with(&place, &["--insecure"]);
    let said = lab.until("uses them");
    for part in ["does not work yet", "does TLS", "`--endpoint HOST:PORT`", "jmp admin --lab"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
    // Nothing was made: as it says, the lab is started again, and now files lead to what is in front.
    let mut lab = Lab::start_with(&place, &["--insecure", "--endpoint", "front.example.com:443"]);
    let said = lab.until("uses them");
    assert!(said.contains("has to be at front.example.com:443"), "{said}");
    let create = ["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--out", "me.yaml"];
    assert_eq!(code(&run(&place, &create)), 0);
    let text = std::fs::read_to_string(place.path().join("me.yaml")).unwrap();
    assert!(text.contains("endpoint: front.example.com:443"), "{text}");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
    // One that needs nothing in front of it says nothing of that.
    let place = Place::new();
    let mut lab = Lab::start(&place);
    assert!(!lab.until("uses them").contains("clear text"));
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
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
    place.file("taken", "something: else\n");
    let home = place.path().join("home/.config/jumpstarter");
    assert!(home.join("clients/me.yaml").exists());
    assert!(std::fs::read_to_string(home.join("config.yaml")).unwrap().contains("current-client: me"));
    for (words, expected, says) in [
        (
            &["create", "client", "me"][..],
            1,
            "Error: Error from server (AlreadyExists): clients.jumpstarter.dev \"me\" already exists",
        ),
        (&["create", "client", "Not A Name"], 1, "Error: `Not A Name` cannot be a name"),
        (&["create", "exporter", "x", "-l", "board"], 2, "\"board\" is not KEY=VALUE"),
        (
            &["get", "client", "nobody"],
            1,
            "Error: Error from server (NotFound): clients.jumpstarter.dev \"nobody\" not found",
        ),
        (&["get", "client", "-l", "a in"], 1, "Error: invalid selector"),
        (
            &["delete", "exporter", "none"],
            1,
            "Error: Error from server (NotFound): exporters.jumpstarter.dev \"none\" not found",
        ),
        (&["create", "thing"], 2, "thing"),
        (&["create", "client", "new", "--out", "taken"], 1, "taken is there already"),
        (&["create", "client", "new", "--out", "taken/in/it"], 1, "cannot write taken/in/it"),
        (&["get", "client", "new"], 1, "not found"),
        (&["rotate", "client", "me", "--out", "taken"], 1, "taken has no `token:` to be replaced"),
        (&["create", "policy", "none"], 1, "cannot read none"),
        (&["restore", "taken"], 1, "another lab runs in lab"),
        (&["--endpoint", "x:1", "get", "client"], 2, "'--lab' is for a lab on this machine"),
        (&["--ca", "taken", "get", "client"], 2, "'--ca' needs '--endpoint'"),
        (&["create", "policy", "taken"], 1, "taken is no policy: write `kind: ExporterAccessPolicy`"),
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
        (&["--endpoint", "http://x:1"], "'--endpoint': \"http://x:1\" is not HOST:PORT, without a scheme"),
        (
            &["--name", "good.example.com", "--name", "bad_name!"],
            "'--name': \"bad_name!\" is neither a host name",
        ),
        (&["--insecure", "--name", "x"], "'--insecure' excludes"),
        (&["--tls-cert", "x"], "'--tls-cert' and '--tls-key' belong together"),
    ] {
        let output = run(&place, &[&["serve", "--data", "lab"], words].concat());
        assert_eq!(code(&output), 2, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn a_rotated_token_takes_the_place_of_the_old_one_and_of_nothing_else() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let create = ["admin", "--lab", "lab", "create", "exporter", "rig", "-l", "board=x", "--out", "rig.yaml"];
    assert_eq!(code(&run(&place, &create)), 0);
    let path = place.path().join("rig.yaml");
    let devices = "export:\n  board:\n    type: simulated-board # on the shelf\n";
    let before = std::fs::read_to_string(&path).unwrap().replace("export: {}\n", devices);
    assert!(before.contains(devices));
    std::fs::write(&path, &before).unwrap();
    let rotated = run(&place, &["admin", "--lab", "lab", "rotate", "exporter", "rig", "--out", "rig.yaml"]);
    assert_eq!(code(&rotated), 0, "{}", stderr(&rotated));
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.contains(devices), "{after}");
    let token =
        |text: &str| text.split_whitespace().find(|word| word.matches('.').count() == 2).unwrap().to_owned();
    assert_ne!(token(&after), token(&before));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn the_policy_of_the_page_about_leasing_is_one() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/leasing.md")).unwrap();
    let policy =
        page.split("```yaml").nth(1).unwrap().split("```").next().unwrap().split_once('\n').unwrap().1;
    place.file("policy.yaml", policy);
    let created = run(&place, &["admin", "--lab", "lab", "create", "policy", "policy.yaml"]);
    assert_eq!(code(&created), 0, "{}", stderr(&created));
    let one = run(&place, &["admin", "--lab", "lab", "get", "policy", "rpi4", "-o", "json"]);
    let one: serde_json::Value = serde_json::from_str(&stdout(&one)).unwrap();
    assert_eq!(one["spec"]["policies"][1]["maximumDuration"], "2h0m0s");
    let again = run(&place, &["admin", "--lab", "lab", "create", "policy", "policy.yaml"]);
    let taken = "exporteraccesspolicies.jumpstarter.dev \"rpi4\" already exists";
    assert_eq!(stderr(&again), format!("Error: Error from server (AlreadyExists): {taken}\n"));
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_lab_on_another_machine_is_administered_with_its_token() {
    let place = Place::new();
    let mut lab = Lab::start(&place);
    let port = lab.port();
    let endpoint = format!("localhost:{port}");
    let remote = |words: &[&str]| {
        let way = [
            "admin",
            "--endpoint",
            &endpoint,
            "--token-file",
            "lab/admin.token",
            "--ca",
            "lab/tls/authority.pem",
        ];
        run(&place, &[&way[..], words].concat())
    };
    let created = remote(&["create", "client", "me", "--out", "me.yaml"]);
    assert_eq!(code(&created), 0, "{}", stderr(&created));
    let names = run(&place, &["admin", "--lab", "lab", "get", "client", "-o", "name"]);
    assert_eq!(stdout(&names), "client.jumpstarter.dev/me\n");
    place.file("other.token", "not-the-token\n");
    for (words, expected, says) in [
        (
            &["--token-file", "other.token", "--ca", "lab/tls/authority.pem"][..],
            1,
            "this is not the administrator's token",
        ),
        (&["--token-file", "lab/admin.token"], 1, "certificate is not trusted"),
        (&["--ca", "lab/tls/authority.pem"], 2, "Give '--token-file', or set JMP_ADMIN_TOKEN"),
        (&["--token-file", "none", "--ca", "lab/tls/authority.pem"], 1, "cannot read none"),
    ] {
        let words = [&["admin", "--endpoint", &endpoint], words, &["get", "client"]].concat();
        let refused = run(&place, &words);
        assert_eq!(code(&refused), expected, "{words:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(says), "{words:?}: {}", stderr(&refused));
    }
    let mut by_variable =
        place.jmp(&["admin", "--endpoint", &endpoint, "--ca", "lab/tls/authority.pem", "get", "client"]);
    let token = std::fs::read_to_string(place.path().join("lab/admin.token")).unwrap();
    assert!(by_variable.env("JMP_ADMIN_TOKEN", token).output().unwrap().status.success());
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_backup_takes_a_lab_back_to_when_it_was_made() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let admin = |words: &[&str]| {
        let output = run(&place, &[&["admin", "--lab", "lab"], words].concat());
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    admin(&["create", "client", "me"]);
    admin(&["backup", "backup.db"]);
    admin(&["create", "client", "late"]);
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
    assert!(admin(&["restore", "backup.db"]).starts_with("Restored lab from backup.db"));
    assert!(place.path().join("lab/lab.db.replaced-1").exists());
    let lab = Lab::start(&place);
    assert_eq!(admin(&["get", "client", "-o", "name"]), "client.jumpstarter.dev/me\n");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_is_wrong_with_the_file_of_a_lab_is_said_with_its_place() {
    let place = Place::new();
    place.file("lab.yaml", "kind: LabConfig\nhiddenLabel: {}\n");
    let refused = run(&place, &["serve", "--data", "lab", "--listen", "127.0.0.1:0", "--config", "lab.yaml"]);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused).contains("lab.yaml:2:1")
            && stderr(&refused).contains("did you mean `hiddenLabels`?")
    );
    // Nothing was begun.
    assert!(!place.path().join("lab").exists());
    place.file("lab.yaml", "authentication: {internal: {key: controller-key}}\n");
    let mut command =
        place.jmp(&["serve", "--data", "lab", "--listen", "127.0.0.1:0", "--config", "lab.yaml"]);
    let refused = command.env_remove("CONTROLLER_KEY").output().unwrap();
    assert!(stderr(&refused).contains("set CONTROLLER_KEY"), "{}", stderr(&refused));
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
