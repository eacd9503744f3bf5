//! Who has to act, in exit codes for whoever asks for them.

use crate::{
    lab::Lab,
    support::{J, Place, code, run, stderr},
};

const USAGE: i32 = 2;
const INFRASTRUCTURE: i32 = 69;
const CONFIGURATION: i32 = 78;

/// A client whose lab is not there.
const AWAY: &str = "apiVersion: jumpstarter.dev/v1alpha1
kind: ClientConfig
metadata: {namespace: default, name: away}
endpoint: 127.0.0.1:1
token: a.b.c
tls: {ca: '', insecure: true}
drivers: {allow: [], unsafe: true}
";

#[test]
fn every_failure_has_a_kind_in_the_exit_code_for_whoever_asks() {
    let place = Place::new();
    place.file("away.yaml", AWAY);
    place.file("odd.yaml", "kind: ExporterConfig\n");
    place.file("policy.yaml", "kind: Nothing\n");
    place.file("lost.yaml", &AWAY.replace("127.0.0.1", "nobody.invalid"));
    let away = ["--client-config", "away.yaml"];
    let lost = ["--client-config", "lost.yaml"];
    for (words, says, kind) in [
        (&["delete", "leases", away[0], away[1]][..], "One of NAMES", USAGE),
        (&["get", "exporters", away[0], away[1]], "127.0.0.1:1", INFRASTRUCTURE),
        (
            &["shell", away[0], away[1], "--name", "x", "--retry-timeout", "0", "--", "true"],
            "127.0.0.1:1",
            INFRASTRUCTURE,
        ),
        (&["get", "exporters", lost[0], lost[1]], "nobody.invalid:1", INFRASTRUCTURE),
        (&["shell", lost[0], lost[1], "-l", "a=b", "--", "true"], "nobody.invalid:1", INFRASTRUCTURE),
        (&["shell", "--tls-grpc", "nobody.invalid:1", "--", "true"], "nobody.invalid:1", INFRASTRUCTURE),
        (&["shell", "--exporter-config", "none.yaml", "--", "true"], "cannot read none.yaml", CONFIGURATION),
        (&["run", "--exporter-config", "odd.yaml"], "odd.yaml", CONFIGURATION),
        (
            &["login", "--client-config", "odd.yaml", "lab.invalid"],
            "odd.yaml is no ClientConfig",
            CONFIGURATION,
        ),
        (&["login", "@"], "@", USAGE),
        (&["auth", "rotate", "--client-config", "none.yaml"], "none.yaml", CONFIGURATION),
        (&["auth", "refresh", away[0], away[1]], "No refresh token found", CONFIGURATION),
        (&["admin", "--lab", "nowhere", "get", "client"], "no lab runs in nowhere", INFRASTRUCTURE),
    ] {
        let plain = run(&mut place.jmp(words));
        assert!(stderr(&plain).contains(says), "{words:?}: {}", stderr(&plain));
        assert_eq!(code(&plain), 1, "{words:?}: {}", stderr(&plain));
        let asked = run(place.jmp(words).env("JMP_EXIT_CODES", "kind"));
        assert_eq!(code(&asked), kind, "{words:?}: {}", stderr(&asked));
    }
    let alone = run(place.program(J).args(["power", "on"]).env("JMP_EXIT_CODES", "kind"));
    assert_eq!(code(&alone), USAGE, "{}", stderr(&alone));
    for gone in ["nobody.invalid:1", "/nix"] {
        let mut command = place.program(J);
        command.args(["power", "on"]).env("JUMPSTARTER_HOST", gone).env("JMP_DRIVERS_ALLOW", "UNSAFE");
        let gone = run(command.env("JMP_EXIT_CODES", "kind"));
        assert_eq!(code(&gone), INFRASTRUCTURE, "{}", stderr(&gone));
    }
}

#[test]
fn what_a_lab_refuses_is_its_callers_mistake() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let made = ["one.yaml", "two.yaml"].map(|out| {
        let words = ["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--out", out];
        run(place.jmp(&words).env("JMP_EXIT_CODES", "kind"))
    });
    place.file("bad.pem", "rubbish");
    let admin = ["admin", "--lab", "lab"];
    assert_eq!(code(&run(&mut place.jmp(&[&admin[..], &["backup", "copy.db"]].concat()))), 0);
    let given = [
        "serve",
        "--data",
        "other",
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        "bad.pem",
        "--tls-key",
        "bad.pem",
    ];
    place.file("routers.yaml", "routers: {north: {endpoint: 'north:8083', tls: {ca: bad.pem}}}\n");
    let config = ["serve", "--data", "other", "--listen", "127.0.0.1:0", "--config", "routers.yaml"];
    for (words, says, kind) in [
        (&[&admin[..], &["create", "client", "a b"]].concat()[..], "`a b` cannot be a name", USAGE),
        (&[&admin[..], &["backup", "copy.db"]].concat(), "copy.db exists already", USAGE),
        (&[&admin[..], &["restore", "copy.db"]].concat(), "another lab runs in lab", CONFIGURATION),
        (&["serve", "--data", "lab", "--listen", "127.0.0.1:0"], "another lab runs in lab", CONFIGURATION),
        (&given, "--tls-cert bad.pem, --tls-key bad.pem: there is no certificate in its file", CONFIGURATION),
        (&config, "router north: bad.pem has no certificate", CONFIGURATION),
        (&["admin", "get", "client", "--lab", "lab"], "write 'jmp admin --lab DIR get client'", USAGE),
        (&["admin", "get", "--lab", "lab", "client"], "write 'jmp admin --lab DIR get'", USAGE),
    ] {
        let refused = run(place.jmp(words).env("JMP_EXIT_CODES", "kind"));
        assert!(stderr(&refused).contains(says), "{words:?}: {}", stderr(&refused));
        assert_eq!(code(&refused), kind, "{words:?}: {}", stderr(&refused));
    }
    let asked = |words: &[&str]| {
        let words = [&words[..2], &["--client-config", "one.yaml"], &words[2..]].concat();
        let output = run(place.jmp(&words).env("JMP_EXIT_CODES", "kind"));
        (code(&output), stderr(&output))
    };
    let (ended, said) = asked(&["delete", "leases", "nope"]);
    assert_eq!(ended, USAGE, "{said}");
    // Nothing has such a label, and nobody is there to have it.
    let made_exporter =
        run(&mut place.jmp(&["admin", "--lab", "lab", "create", "exporter", "rig", "--label", "a=b"]));
    assert_eq!(code(&made_exporter), 0, "{}", stderr(&made_exporter));
    let (ended, said) = asked(&["shell", "--selector=a=b", "--acquisition-timeout", "5", "--", "true"]);
    assert_eq!(ended, INFRASTRUCTURE, "{said}");
    let text = std::fs::read_to_string(place.path().join("one.yaml")).unwrap();
    let mut bad: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    bad["token"] = "x".into();
    place.file("bad.yaml", &bad.to_string());
    let bad = run(place.jmp(&["get", "leases", "--client-config", "bad.yaml"]).env("JMP_EXIT_CODES", "kind"));
    assert_eq!(code(&bad), INFRASTRUCTURE, "{}", stderr(&bad));
    assert!(stderr(&bad).contains("does not take this token") && stderr(&bad).contains("jmp login"));
    // One that hangs is not one whose device is broken.
    lab.signal(rustix::process::Signal::STOP);
    let (ended, said) = asked(&["get", "leases"]);
    lab.signal(rustix::process::Signal::CONT);
    assert_eq!(ended, INFRASTRUCTURE, "{said}");
    let (_, log) = lab.end(rustix::process::Signal::TERM);
    let denied = log.lines().find(|line| line.contains("client authentication failed")).expect("a line");
    assert!(denied.contains("\"peer\":\"127.0.0.1\""), "{denied}");
    assert_eq!(made.each_ref().map(code), [0, USAGE], "{}", stderr(&made[1]));
    assert!(stderr(&made[1]).contains("already exists"), "{}", stderr(&made[1]));
}
