//! Files of clients, and which one is used.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Place, code, run, run_with, stderr, stdout};

fn jmp(place: &Place, words: &[&str]) -> (i32, String, String) {
    let output = run(&mut place.jmp(words));
    (code(&output), stdout(&output), stderr(&output))
}

fn create<'a>(alias: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["config", "client", "create", alias, "--namespace", "lab", "--name", "me"];
    words.extend(["--endpoint", "lab.example.com:443", "--token", "s3cret", "--nointeractive"]);
    words.extend(more);
    words
}

#[test]
fn clients_are_made_listed_chosen_and_removed() {
    let place = Place::new();
    assert_eq!(
        jmp(&place, &["config", "client", "list"]),
        (0, "No resources found.\n".into(), String::new())
    );
    assert_eq!(jmp(&place, &create("lab", &["--allow", "a.*, b.*"])), (0, String::new(), String::new()));
    let folder = place.path().join("home/.config/jumpstarter/clients");
    let (done, path, _) = jmp(&place, &create("lab2", &["--unsafe", "-o", "path"]));
    assert_eq!((done, path), (0, format!("{}\n", folder.join("lab2.yaml").display())));
    let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("lab.yaml"), mode("")), (0o600, 0o700));

    let taken = jmp(&place, &create("lab", &[]));
    assert_eq!(taken, (1, String::new(), "Error: A client with the name 'lab' already exists.\n".into()));
    let (_, table, _) = jmp(&place, &["config", "client", "list"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["CURRENT", "ALIAS", "ENDPOINT", "PATH"]);
    assert_eq!(rows[1][..3], ["*", "lab", "lab.example.com:443"]);
    assert_eq!(rows[2][..2], ["lab2", "lab.example.com:443"]);

    let (_, json, _) = jmp(&place, &["config", "client", "list", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&list["currentConfig"], &list["kind"]), (&"lab".into(), &"ClientConfigList".into()));
    assert_eq!(list["items"][0]["drivers"]["allow"], serde_json::json!(["a.*", "b.*"]));
    assert_eq!(list["items"][0]["token"], "***");
    assert!(!json.contains("s3cret"));
    let (_, json, _) = jmp(&place, &["config", "client", "list", "-o", "json", "--show-secrets"]);
    assert!(json.contains("s3cret"));

    // One that cannot be read does not hide the others.
    place.file("home/.config/jumpstarter/clients/bad.yaml", "endpiont: x\n");
    let (ended, names, complaint) = jmp(&place, &["config", "client", "list", "-o", "name"]);
    assert_eq!((ended, names.as_str()), (0, "lab\nlab2\n"));
    assert!(complaint.contains("bad.yaml:1:1"), "{complaint}");
    std::fs::remove_file(folder.join("bad.yaml")).unwrap();

    assert_eq!(jmp(&place, &["config", "client", "use", "lab2"]).0, 0);
    assert!(jmp(&place, &["config", "client", "list"]).1.contains("\n*        lab2"));
    let (ended, _, said) = jmp(&place, &["config", "client", "use", "lab3"]);
    assert_eq!(ended, 1);
    assert!(said.contains("client \"lab3\" does not exist") && said.contains("did you mean"), "{said}");
    let (_, _, said) = jmp(&place, &["config", "client", "delete", "lab2"]);
    assert_eq!(said, "'lab' is the default client now.\n");
    let (_, _, said) = jmp(&place, &["config", "client", "delete", "lab"]);
    assert_eq!(said, "There is no default client any more.\n");
    let (ended, _, said) = jmp(&place, &["get", "leases"]);
    assert_eq!(ended, 1);
    assert!(said.contains("none of --client, --client-config is specified"), "{said}");
}

#[test]
fn what_is_missing_is_asked_for_unless_nobody_is_to_be_asked() {
    let place = Place::new();
    let mut command = place.jmp(&["config", "client", "create", "lab"]);
    let output = run_with(&mut command, "lab\nme\nlab.example.com:443\ns3cret\n*\n");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    let text =
        std::fs::read_to_string(place.path().join("home/.config/jumpstarter/clients/lab.yaml")).unwrap();
    assert!(
        text.starts_with("apiVersion: jumpstarter.dev/v1alpha1\nkind: ClientConfig\nmetadata:\n"),
        "{text}"
    );
    let mut command = place.jmp(&["config", "client", "create", "other"]);
    let output = run_with(&mut command, "lab\n");
    assert_eq!(code(&output), 2);
    let says = "\n\nError: Missing option '--name'. Nobody is there to be asked for it.\n";
    assert!(stderr(&output).starts_with("Usage: ") && stderr(&output).ends_with(says), "{}", stderr(&output));
    let (ended, _, said) = jmp(&place, &["config", "client", "create", "other", "--nointeractive"]);
    assert_eq!(ended, 2);
    assert!(said.contains("Missing option '--namespace'."), "{said}");
    let mut command = place.jmp(&create("other", &[])[..12]);
    let output = run_with(command.arg("-k"), "n\n");
    assert_eq!(
        (code(&output), stderr(&output).contains("Aborted by user.")),
        (1, true),
        "{}",
        stderr(&output)
    );
    assert!(!place.path().join("home/.config/jumpstarter/clients/other.yaml").exists());
    for (words, says) in [
        (create("a/b", &[]), "must not be empty"),
        (create("x", &["--endpoint", "https://lab"]), "Invalid value for '--endpoint'"),
    ] {
        let (ended, _, said) = jmp(&place, &words);
        assert_eq!(ended, 2, "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_controller_that_is_not_there_is_named() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("localhost:{port}");
    let mut command = place.jmp(&["get", "exporters"]);
    command.envs([
        ("JMP_NAMESPACE", "lab"),
        ("JMP_NAME", "me"),
        ("JMP_TOKEN", "t"),
        ("JMP_ENDPOINT", endpoint.as_str()),
    ]);
    let output = run(&mut command);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stderr(&output),
        format!("Error: the controller: cannot connect to {endpoint}: Connection refused\n")
    );
}
