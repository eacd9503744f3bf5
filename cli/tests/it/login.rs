//! Logging in with a token that a lab gave, and what such a token says. Identity providers are in the tests of the whole system.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    lab::Lab,
    support::{Place, code, run, run_with, stderr, stdout},
};

/// The token in a file.
fn token(text: &str) -> String {
    text.split_whitespace().find(|word| word.matches('.').count() == 2).expect("a token").to_owned()
}

#[test]
fn a_lab_without_a_provider_takes_the_token_that_it_gave_and_gives_another() {
    let (bench, desk) = (Place::new(), Place::new());
    let mut lab = Lab::start(&bench);
    let target = format!("me@localhost:{}", lab.port());
    let made =
        run(&mut bench
            .jmp(&["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--out", "me.yaml"]));
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let given = token(&std::fs::read_to_string(bench.path().join("me.yaml")).unwrap());
    let ca = bench.path().join("lab/tls/authority.pem");
    let ca = ca.to_str().unwrap();

    // Whoever is not known to be the lab hears nothing.
    let words = ["login", &target, "--unsafe", "--nointeractive", "--token-file", "-"];
    let stranger = run_with(&mut desk.jmp(&words), &given);
    assert_eq!(code(&stranger), 1);
    let said = "certificate is not trusted: nobody who is trusted here issued it; trust its authority with --ca FILE, a lab by";
    assert!(stderr(&stranger).contains(said), "{}", stderr(&stranger));
    desk.file("bad.pem", "rubbish");
    for (option, value, says) in [
        ("--ca", "bad.pem", "Error: bad.pem has no certificate; expected PEM with"),
        ("--fingerprint", "zz", "Error: \"zz\" is no fingerprint: one has 64 hexadecimal digits"),
    ] {
        let wrong = run_with(&mut desk.jmp(&[&words[..], &[option, value]].concat()), &given);
        assert!(stderr(&wrong).contains(says), "{}", stderr(&wrong));
    }
    let other = "0".repeat(64);
    let other = run_with(&mut desk.jmp(&[&words[..], &["--fingerprint", &other]].concat()), &given);
    assert!(stderr(&other).contains("is not the lab with this fingerprint"), "{}", stderr(&other));
    // A token that the lab does not take is not written down.
    let file = desk.path().join("home/.config/jumpstarter/clients/me.yaml");
    let wrong = run_with(&mut desk.jmp(&[&words[..], &["--ca", ca]].concat()), "not-a-token\n");
    assert_eq!(code(&wrong), 1, "{}", stderr(&wrong));
    assert!(!file.exists() && !stderr(&wrong).contains("not-a-token"), "{}", stderr(&wrong));
    let nothing = run(&mut desk.jmp(&["login", &target, "--unsafe", "--nointeractive", "--ca", ca]));
    assert!(stderr(&nothing).contains("this lab has no identity provider"), "{}", stderr(&nothing));
    // That is said before anything is asked, with all that one can do instead.
    let asks = run(&mut desk.jmp(&["login", &target, "--ca", ca]));
    assert_eq!(code(&asks), 1);
    let (_, said) = stderr(&asks).split_once("Error: ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(!stderr(&asks).contains("Driver classes"), "{}", stderr(&asks));
    for way in ["`jmp admin create client NAME --out FILE`", "--client-config FILE", "--token-file"] {
        assert!(said.contains(way), "{said}");
    }

    let right = run_with(&mut desk.jmp(&[&words[..], &["--ca", ca]].concat()), &given);
    assert_eq!((code(&right), stdout(&right).as_str()), (0, ""), "{}", stderr(&right));
    assert!(!stderr(&right).contains(&given));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(token(&text), given);
    let listed = run(&mut desk.jmp(&["get", "exporters"]));
    assert_eq!(stdout(&listed), "No resources found.\n", "{}", stderr(&listed));

    // Its owner's words stay.
    std::fs::write(&file, format!("# of mine\n{text}")).unwrap();
    let rotated = run(&mut desk.jmp(&["auth", "rotate"]));
    assert!(stdout(&rotated).starts_with("Token rotated. New expiry: "), "{}", stderr(&rotated));
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.starts_with("# of mine\n") && token(&after) != given, "{after}");
    assert_eq!(stdout(&run(&mut desk.jmp(&["get", "exporters"]))), "No resources found.\n");
    let status = run(&mut desk.jmp(&["auth", "status", "--check", "-o", "json"]));
    let status: Value = serde_json::from_str(&stdout(&status)).unwrap();
    assert_eq!((&status["status"], &status["refresh_token_stored"]), (&"valid".into(), &false.into()));
    assert!(status["subject"].as_str().unwrap().starts_with("client:default:me:"), "{status}");
    let refused = run(&mut desk.jmp(&["auth", "refresh"]));
    assert_eq!(
        (code(&refused), stderr(&refused).as_str()),
        (1, "Error: No refresh token found. Run 'jmp login --offline-access'.\n")
    );
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_a_token_says_is_shown_and_what_is_none_does_no_harm() {
    let place = Place::new();
    let client = |token: &str| {
        place.file(
            "c.yaml",
            &format!("metadata: {{name: me, namespace: lab}}\nendpoint: x:1\ntoken: {token}\n"),
        );
    };
    let status = |more: &[&str]| {
        let output = run(&mut place.jmp(&[&["auth", "status", "--client-config", "c.yaml"], more].concat()));
        (code(&output), stdout(&output), stderr(&output))
    };
    // {"sub":"client:lab:alice:1","iss":"https://localhost:8085","exp":946684800}: the beginning of the year 2000.
    client(
        "e30.eyJzdWIiOiJjbGllbnQ6bGFiOmFsaWNlOjEiLCJpc3MiOiJodHRwczovL2xvY2FsaG9zdDo4MDg1IiwiZXhwIjo5NDY2ODQ4MDB9.x",
    );
    let (ended, said, _) = status(&[]);
    assert_eq!(ended, 0, "what upstream's users expect");
    assert!(said.starts_with("Token expiry: 2000-01-01 00:00:00 UTC\nStatus: EXPIRED ("), "{said}");
    let rest = "\nRun 'jmp login' to refresh your credentials.\nSubject: client:lab:alice:1\nIssuer: https://localhost:8085\n";
    assert!(said.ends_with(rest), "{said}");
    assert_eq!(status(&["--check"]).0, 1);
    client("opaque");
    let told = "The token is opaque: only who gave it knows until when it is good\n";
    assert_eq!(status(&["--check"]), (0, told.to_owned(), String::new()));
    place.file("c.yaml", "metadata: {name: me, namespace: lab}\nendpoint: x:1\n");
    assert_eq!(status(&[]), (0, "No token found in config\n".to_owned(), String::new()));
    assert_eq!(status(&["--check"]).0, 1);
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    let place = Place::new();
    for (words, expected, says) in [
        (&["login", "@lab"][..], 1, "Client name before '@' cannot be empty."),
        (&["login", "me@"], 1, "Login endpoint after '@' cannot be empty."),
        (&["login", "a/b@lab"], 2, "must not be empty, a dot or two, nor contain a slash"),
        (&["login", "http://lab"], 2, "HTTP login endpoints require --insecure-tls / -k."),
        (
            &["login", "--client", "a", "--exporter", "b"],
            2,
            "only one of --client, --client-config, --exporter",
        ),
        (
            &["login"],
            2,
            "Usage: jmp login [OPTIONS] [TARGET]\nTry 'jmp login --help' for help.\n\nError: Who is to give a token? Name the \
             lab, for example 'jmp login lab.example', or the identity provider with '--issuer'.\n",
        ),
        // Questions whose answers would be in vain are not asked either.
        (&["login", "--nointeractive"], 2, "Who is to give a token?"),
        (
            &["login", "-e", "l:1", "--namespace", "n", "--name", "x", "--unsafe"],
            2,
            "Who is to give a token?",
        ),
        (
            &["login", "--issuer", "http://x"],
            2,
            "Missing option '--namespace'. Nobody is there to be asked for it.\n",
        ),
        (
            &["login", "--issuer", "http://x", "--namespace", "n"],
            2,
            "Missing option '--name'. Nobody is there",
        ),
        (
            &["login", "--issuer", "http://x", "-e", "l:1", "--namespace", "n", "--name", "x"],
            2,
            "--allow LIST or --unsafe is required",
        ),
        (&["login", "not/a/place"], 1, "Error: \"not/a/place\" is no address of a lab: write HOST[:PORT]\n"),
        (&["login", "me@lab.yaml/x"], 1, "\"lab.yaml/x\" is no address of a lab"),
        (
            &[
                "login",
                "--issuer",
                "http://x",
                "--nointeractive",
                "--namespace",
                "n",
                "--name",
                "x",
                "-e",
                "l:1",
            ],
            2,
            "--allow LIST or --unsafe is required in non-interactive mode.",
        ),
    ] {
        let output = run(&mut place.jmp(words));
        assert_eq!(code(&output), expected, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", stderr(&output));
    }
    assert!(!place.path().join("home/.config").exists());
}
