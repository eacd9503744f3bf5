//! What the owner of a lab is shown, asked and refused.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    lab::Lab,
    registered::{Exporter, exporter_file},
    support::{Place, code, run, run_with, stderr, stdout, told, until},
};

/// The folder of a user's own files.
const HOME: &str = "home/.config/jumpstarter";

fn admin(place: &Place, words: &[&str]) -> Output {
    run(&mut place.jmp(&[&["admin", "--lab", "lab"], words].concat()))
}

/// Standard output of a command that works.
fn good(place: &Place, words: &[&str]) -> String {
    let output = admin(place, words);
    assert_eq!(code(&output), 0, "{words:?}: {}", told(&output));
    stdout(&output)
}

/// Cells of a table, by the places of its titles: some of them are empty.
fn cells(table: &str) -> Vec<Vec<String>> {
    let titles = table.lines().next().unwrap();
    let begins = |at: &usize| {
        let before = at.checked_sub(1).map_or(" ", |before| &titles[before..*at]);
        before == " " && &titles[*at..=*at] != " "
    };
    let begins: Vec<_> = (0..titles.len()).filter(begins).collect();
    let cell = |line: &str, column: usize| {
        let end = begins.get(column + 1).copied().unwrap_or(line.len());
        line[begins[column]..end].trim().to_owned()
    };
    table.lines().map(|line| (0..begins.len()).map(|column| cell(line, column)).collect()).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Whether this is an age of something that a test has made.
fn is_young(age: &str) -> bool {
    age.ends_with(['s', 'm']) && age.starts_with(|digit: char| digit.is_ascii_digit())
}

#[test]
fn tables_have_the_columns_that_existing_scripts_read() {
    let place = Place::new();
    let mut lab = Lab::start(&place);
    let endpoint = format!("localhost:{}", lab.port());
    for kind in ["client", "exporter", "lease", "policy"] {
        assert_eq!(good(&place, &["get", kind]), "No resources found in default namespace.\n");
    }
    let file = exporter_file(&place);
    good(&place, &["create", "exporter", "spare", "--label", "board=none"]);
    good(&place, &["create", "client", "me", "--unsafe", "--save"]);
    assert_eq!(cells(&good(&place, &["get", "client"])), [["NAME", "ENDPOINT"], ["me", &endpoint]]);

    let mut rig =
        Exporter::start(&mut place.jmp(&["--log-format", "text", "run", "--exporter-config", &file]));
    rig.until("AVAILABLE");
    let row = || cells(&good(&place, &["get", "exporter"]));
    until("the lab knows that the exporter is there", || row()[1][1] == "Available");
    let table = row();
    assert_eq!(table[0], ["NAME", "STATUS", "ENDPOINT", "DEVICES", "AGE"]);
    // The device and the root that all devices are below.
    assert_eq!(table[1][..4], ["rig", "Available", &endpoint, "2"]);
    assert_eq!(table[2][..4], ["spare", "Unknown", &endpoint, "0"]);
    assert!(is_young(&table[1][4]) && is_young(&table[2][4]), "{table:?}");

    let table = cells(&good(&place, &["get", "exporter", "-d"]));
    assert_eq!(table[0], ["NAME", "STATUS", "ENDPOINT", "AGE", "LABELS", "UUID"]);
    let known = json(&good(&place, &["get", "exporter", "rig", "-o", "json"]));
    let known = known["status"]["devices"].as_array().unwrap();
    for (row, device) in table[1..].iter().zip(known) {
        assert_eq!(row[..3], ["rig", "Available", &endpoint]);
        assert!(is_young(&row[3]), "{row:?}");
        assert_eq!(device["uuid"], row[5].as_str());
    }
    let label = "jumpstarter.dev/name:power";
    assert!(table[1..3].iter().any(|row| row[4].split(',').any(|pair| pair == label)), "{table:?}");
    // One without devices is there all the same.
    assert_eq!((table.len(), table[3][0].as_str(), table[3][5].as_str()), (4, "spare", ""));
    let one = cells(&good(&place, &["get", "exporter", "spare", "--devices"]));
    assert_eq!((one.len(), one[1][0].as_str()), (2, "spare"));

    let lease = run(&mut place.jmp(&[
        "create",
        "lease",
        "--selector",
        "board=demo",
        "--duration",
        "2h",
        "-o",
        "name",
    ]));
    assert_eq!(code(&lease), 0, "{}", told(&lease));
    let name = stdout(&lease).trim().to_owned();
    let titles =
        ["NAME", "CLIENT", "SELECTOR", "EXPORTER", "DURATION", "STATUS", "REASON", "BEGIN", "END", "AGE"];
    let shown = || {
        let table = cells(&good(&place, &["get", "lease"]));
        assert_eq!(table[0], titles);
        table[1].clone()
    };
    let row = shown();
    assert_eq!(row[..7], [&name, "me", "board:demo", "rig", "2h0m0s", "InProgress", "Ready"]);
    let said = json(&good(&place, &["get", "lease", &name, "-o", "json"]));
    assert_eq!((said["status"]["beginTime"].as_str(), row[8].as_str()), (Some(row[7].as_str()), ""));
    assert!(is_young(&row[9]), "{row:?}");
    let ended = run(&mut place.jmp(&["delete", "leases", &name]));
    assert_eq!(code(&ended), 0, "{}", told(&ended));
    until("the lease is over", || shown()[5] == "Ended");
    let row = shown();
    assert_eq!(row[5..7], ["Ended", "Released"]);
    assert!(row[7].ends_with('Z') && row[8].ends_with('Z'), "{row:?}");

    for (kind, list) in [("client", "ClientList"), ("exporter", "ExporterList"), ("lease", "LeaseList")] {
        let all = json(&good(&place, &["get", kind, "-o", "json"]));
        assert_eq!((&all["apiVersion"], &all["kind"]), (&"jumpstarter.dev/v1alpha1".into(), &list.into()));
        assert!(!all["items"].as_array().unwrap().is_empty());
    }
    // Sorted, as all YAML that programs read.
    assert!(
        good(&place, &["get", "client", "-o", "yaml"])
            .starts_with("apiVersion: jumpstarter.dev/v1alpha1\nitems:")
    );
    rig.end(Signal::TERM);
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_is_made_and_removed_is_said_in_the_words_that_existing_scripts_know() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let folder = place.path().join(HOME);
    let file = |name: &str| folder.join(name);
    let made = admin(&place, &["create", "client", "-n", "default", "dave", "--save", "--allow", "a.*"]);
    assert_eq!(code(&made), 0, "{}", told(&made));
    let saved = file("clients/dave.yaml");
    assert_eq!(
        stderr(&made),
        format!(
            "Creating client 'dave' in namespace 'default'\nFetching client credentials from cluster\n\
             Client configuration successfully saved to {}\n",
            saved.display()
        )
    );
    assert_eq!(cells(&stdout(&made))[1][0], "dave");
    assert!(std::fs::read_to_string(file("config.yaml")).unwrap().contains("current-client: dave"));
    // For programs, nothing but what they want.
    let made = admin(&place, &["create", "exporter", "rig", "-l", "board=x", "-s", "-o", "name"]);
    assert_eq!((stdout(&made), stderr(&made)), ("exporter.jumpstarter.dev/rig\n".into(), String::new()));
    assert!(file("exporters/rig.yaml").exists());
    let none = admin(&place, &["create", "exporter", "bare"]);
    assert_eq!(code(&none), 2);
    assert!(stderr(&none).contains("Missing option '--label' / '-l'."), "{}", stderr(&none));

    let gone = admin(&place, &["delete", "client", "dave", "-n", "default", "--delete"]);
    assert_eq!(
        (stdout(&gone), stderr(&gone)),
        (
            "Deleted client 'dave' in namespace 'default'\nClient configuration successfully deleted\n"
                .into(),
            "There is no default client any more.\n".into()
        )
    );
    assert!(!saved.exists());
    assert!(!std::fs::read_to_string(file("config.yaml")).unwrap().contains("dave"));
    // Who is not asked loses no file, and a file of somebody who is still there is not removed either.
    let gone = admin(&place, &["delete", "exporter", "none", "-d"]);
    assert_eq!(code(&gone), 1);
    assert_eq!(
        good(&place, &["delete", "exporter", "rig", "--nointeractive", "-o", "name"]),
        "exporter.jumpstarter.dev/rig\n"
    );
    assert!(file("exporters/rig.yaml").exists());
    good(&place, &["create", "exporter", "rig", "-l", "board=x"]);
    assert_eq!(
        good(&place, &["delete", "exporter", "rig", "-d"]),
        "Deleted exporter 'rig' in namespace 'default'\nExporter configuration successfully deleted\n"
    );
    assert!(!file("exporters/rig.yaml").exists());
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn questions_come_before_anything_is_done_and_nobody_has_to_answer() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let asked = |words: &[&str], answers: &str| {
        run_with(&mut place.jmp(&[&["admin", "--lab", "lab"], words].concat()), answers)
    };
    let file = |name: &str| place.path().join(HOME).join(name);
    let text = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    // Without an answer there is no file; with some, it says what was answered.
    assert_eq!(code(&asked(&["create", "client", "a"], "")), 0);
    assert!(!file("clients/a.yaml").exists());
    assert_eq!(code(&asked(&["create", "client", "b"], "y\nn\none.*, two.*\n")), 0);
    assert!(text("clients/b.yaml").contains("- one.*\n"), "{}", text("clients/b.yaml"));
    assert_eq!(code(&asked(&["create", "client", "c", "--save"], "y\n")), 0);
    assert!(text("clients/c.yaml").contains("unsafe: true"));
    assert_eq!(code(&asked(&["create", "client", "d", "--nointeractive"], "y\n")), 0);
    assert!(!file("clients/d.yaml").exists());
    assert_eq!(code(&asked(&["create", "exporter", "rig", "-l", "a=b"], "y\n")), 0);
    assert!(file("exporters/rig.yaml").exists());

    // Whoever does not want to be insecure has made nothing.
    let no = asked(&["create", "client", "e", "--save", "--unsafe", "-k"], "n\n");
    assert_eq!(code(&no), 1, "{}", told(&no));
    assert_eq!(code(&admin(&place, &["get", "client", "e"])), 1);
    let yes = asked(&["create", "client", "e", "--save", "--unsafe", "--insecure-tls"], "y\n");
    assert_eq!(code(&yes), 0, "{}", told(&yes));
    assert!(text("clients/e.yaml").contains("insecure: true"));
    good(&place, &["create", "exporter", "raw", "-l", "a=b", "-k", "--nointeractive", "--save"]);
    assert!(text("exporters/raw.yaml").contains("insecure: true"));

    let kept = asked(&["delete", "client", "b"], "n\n");
    assert!(stderr(&kept).is_empty() && file("clients/b.yaml").exists(), "{}", told(&kept));
    let gone = asked(&["delete", "client", "c"], "y\n");
    assert!(stdout(&gone).ends_with("Client configuration successfully deleted\n"), "{}", told(&gone));
    assert!(!file("clients/c.yaml").exists());
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_token_that_was_written_nowhere_is_fetched_with_import() {
    let place = Place::new();
    let lab = Lab::start(&place);
    good(&place, &["create", "client", "me", "--unsafe", "--save"]);
    let file = place.path().join(HOME).join("clients/me.yaml");
    let is_let_in =
        || code(&run(&mut place.jmp(&["get", "leases", "--client-config", file.to_str().unwrap()])));
    assert_eq!(is_let_in(), 0);

    let taken = admin(&place, &["import", "client", "me"]);
    assert_eq!(stderr(&taken), "Error: A client with the name 'me' already exists.\n");
    let rotated = admin(&place, &["rotate", "client", "me"]);
    assert_eq!((code(&rotated), stdout(&rotated)), (0, "Token rotated for client 'me'\n".into()));
    for part in
        ["Rotating token for client 'me' in namespace 'default'", "`jmp admin import client me --out FILE`"]
    {
        assert!(stderr(&rotated).contains(part), "{}", stderr(&rotated));
    }
    assert_ne!(is_let_in(), 0);
    std::fs::remove_file(&file).unwrap();
    let fetched = admin(&place, &["import", "client", "me", "--nointeractive", "-o", "path"]);
    assert_eq!((stdout(&fetched), stderr(&fetched)), (format!("{}\n", file.display()), String::new()));
    assert_eq!(is_let_in(), 0);

    let rotated = good(&place, &["rotate", "client", "me", "--save", "-o", "name"]);
    assert_eq!(rotated, "");
    assert_eq!(is_let_in(), 0);
    let rotated = good(&place, &["rotate", "client", "me", "--save"]);
    assert_eq!(rotated, "Token rotated for client 'me'\nClient configuration updated with new token\n");
    assert_eq!(is_let_in(), 0);

    // On standard output, it is the file and nothing else.
    let shown = admin(&place, &["import", "client", "me", "--out", "-", "-a", "x.*"]);
    place.file("shown.yaml", &stdout(&shown));
    assert_eq!(code(&run(&mut place.jmp(&["get", "leases", "--client-config", "shown.yaml"]))), 0);
    assert_eq!(stderr(&shown), "Fetching client credentials from cluster\n");
    good(&place, &["create", "exporter", "default", "-l", "a=b"]);
    let fetched = admin(&place, &["import", "exporter"]);
    assert!(
        stderr(&fetched).contains("Exporter configuration successfully saved to ")
            && stderr(&fetched).contains("exporters/default.yaml"),
        "{}",
        told(&fetched)
    );
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_only_kubernetes_has_is_refused_with_what_to_write_instead() {
    let place = Place::new();
    let lab = Lab::start(&place);
    for (words, says) in [
        (&["get", "client", "--context", "prod"][..], "'--context' is for Kubernetes. Here a lab is chosen"),
        (&["create", "client", "me", "--kubeconfig", "x"], "`jmp admin --lab DIR`"),
        (&["get", "lease", "-n", "lab"], "a lab has one namespace, 'default'"),
        (&["get", "cluster"], "No such command 'cluster': this is a lab without Kubernetes. `jmp serve`"),
        (&["create", "cluster", "--kind"], "No such command 'cluster': this is a lab without Kubernetes."),
        (&["install"], "No such command 'install': this is a lab without Kubernetes."),
        (&["create", "client"], "Missing required argument 'NAME'."),
        (&["import", "client", "me", "-o", "me.yaml"], "where the file is to be is said with '--out'"),
    ] {
        let refused = admin(&place, words);
        assert_eq!(code(&refused), 2, "{words:?}: {}", told(&refused));
        assert!(stderr(&refused).contains(says), "{words:?}: {}", stderr(&refused));
    }
    assert_eq!(good(&place, &["get", "client", "-n", "default", "-o", "name"]), "");

    // Short names, and the name of the program that scripts may have.
    good(&place, &["c", "c", "me", "--nointeractive"]);
    assert_eq!(good(&place, &["g", "clients", "-o", "name"]), "client.jumpstarter.dev/me\n");
    assert_eq!(good(&place, &["get", "l", "-o", "name"]), "");
    assert_eq!(good(&place, &["del", "c", "me"]), "Deleted client 'me' in namespace 'default'\n");
    assert!(good(&place, &["--log-level", "DEBUG", "version"]).contains(env!("CARGO_PKG_VERSION")));
    let other = place.path().join("jmp-admin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_jmp"), &other).unwrap();
    let named = run(place.program(other.to_str().unwrap()).args(["--lab", "lab", "get", "client"]));
    assert_eq!(stdout(&named), "No resources found in default namespace.\n", "{}", told(&named));
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn what_would_be_lost_or_is_meant_otherwise_is_refused() {
    let place = Place::new();
    let mut lab = Lab::start(&place);
    let endpoint = format!("localhost:{}", lab.port());
    for name in ["alice", "bob"] {
        good(&place, &["create", "client", name, "--unsafe", "--out", &format!("{name}.yaml")]);
    }
    good(&place, &["create", "exporter", "rig", "-l", "board=demo", "--out", "rig.yaml"]);
    place.file("policy.yaml", "kind: ExporterAccessPolicy\nmetadata: {name: p}\nspec: {polices: []}\n");
    let before = |file: &str| std::fs::read_to_string(place.path().join(file)).unwrap();
    let files = ["bob.yaml", "rig.yaml"].map(before);
    for (words, says) in [
        (
            &["rotate", "client", "alice", "--out", "bob.yaml"][..],
            "bob.yaml is the file of another: `kind: ClientConfig` of 'bob'",
        ),
        (
            &["rotate", "client", "alice", "--out", "rig.yaml"],
            "`kind: ExporterConfig` of 'rig': name the file of client 'alice'",
        ),
        (&["create", "client", "carol", "--unsafe", "--out", "home"], "home is a folder: name a file in it"),
        (&["create", "client", "carol", "--unsafe", "--out", ""], "Invalid value for '--out': it is empty."),
        (
            &["create", "client", "carol", "--unsafe", "--out", "-"],
            "only 'jmp admin import' writes to the standard output",
        ),
        (&["get", "exporter", "rig", "-l", "a=c"], "NAME and '--selector' exclude each other."),
        (&["create", "policy", "policy.yaml"], "spec.polices: is not known here: exporterSelector, policies"),
    ] {
        let output =
            run(place.jmp(&[&["admin", "--lab", "lab"], words].concat()).env("JMP_EXIT_CODES", "kind"));
        assert_eq!(code(&output), 2, "{words:?}: {}", told(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", told(&output));
    }
    assert_eq!(["bob.yaml", "rig.yaml"].map(before), files, "nobody's token is lost");
    assert!(!place.path().join("-").exists());
    assert_eq!(good(&place, &["get", "client", "-o", "name"]).lines().count(), 2, "nobody was made");
    let words = [
        "admin",
        "--endpoint",
        &endpoint,
        "--token-file",
        "lab/admin.token",
        "--clear-text",
        "get",
        "client",
    ];
    let clear = run(place.jmp(&words).env("JMP_EXIT_CODES", "kind"));
    assert_eq!(code(&clear), 69, "{}", told(&clear));
    assert!(
        stderr(&clear).contains("a lab that speaks TLS is asked without '--clear-text'"),
        "{}",
        told(&clear)
    );
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}
