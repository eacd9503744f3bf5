//! Files of exporters: written, listed, changed and removed.

use std::os::unix::fs::PermissionsExt as _;

use crate::{
    lab::Lab,
    support::{Place, code, example, run, run_with, stderr, stdout},
    terminal::Screen,
};
use rustix::process::Signal;

const FOLDER: &str = "home/.config/jumpstarter/exporters";

fn jmp(place: &Place, words: &[&str]) -> (i32, String, String) {
    let output = run(&mut place.jmp(&[&["config", "exporter"], words].concat()));
    (code(&output), stdout(&output), stderr(&output))
}

fn create<'a>(alias: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["create", alias, "--namespace", "lab", "--name", "rig-3"];
    words.extend(["--endpoint", "lab.example.com:443", "--token", "s3cret", "--nointeractive"]);
    words.extend(more);
    words
}

#[test]
fn exporters_are_made_listed_and_removed() {
    let place = Place::new();
    assert_eq!(jmp(&place, &["list"]), (0, "No resources found.\n".into(), String::new()));
    assert_eq!(jmp(&place, &create("rig3", &[])), (0, String::new(), String::new()));
    let folder = place.path().join(FOLDER);
    let file = folder.join("rig3.yaml");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
    let text = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata:\n  name: rig-3\n  namespace: lab\n\
                endpoint: lab.example.com:443\ntls:\n  ca: ''\n  insecure: false\ntoken: s3cret\ngrpcOptions: {}\nexport: {}\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap().replace("\"\"", "''"), text);
    assert_eq!(jmp(&place, &["check", "rig3"]), (0, format!("{}: ok\n", file.display()), String::new()));

    let taken = jmp(&place, &create("rig3", &[]));
    assert_eq!(taken, (1, String::new(), "Error: exporter \"rig3\" exists\n".into()));
    // Whoever names none means `default`.
    let (done, path, _) =
        jmp(&place, &[&create("default", &["-o", "path"])[..1], &create("", &["-o", "path"])[2..]].concat());
    assert_eq!((done, path), (0, format!("{}\n", folder.join("default.yaml").display())));
    let table = format!(
        "ALIAS    PATH{}\ndefault  {}\nrig3     {}   \n",
        " ".repeat(folder.join("default.yaml").as_os_str().len() - 4),
        folder.join("default.yaml").display(),
        file.display()
    );
    assert_eq!(jmp(&place, &["list"]), (0, table, String::new()));
    assert_eq!(jmp(&place, &["ls", "-o", "name"]).1, "default\nrig3\n");

    let (_, path, said) = jmp(&place, &["delete", "-o", "path"]);
    assert_eq!((path, said), (format!("{}\n", folder.join("default.yaml").display()), String::new()));
    assert_eq!(jmp(&place, &["delete", "rig3"]), (0, String::new(), String::new()));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    for command in ["delete", "edit"] {
        let (ended, _, said) = jmp(&place, &[command, "nope"]);
        assert_eq!(ended, 1);
        assert!(said.starts_with("Error: exporter \"nope\" does not exist"), "{said}");
    }
}

#[test]
fn programs_get_the_whole_file_and_its_secrets_only_if_they_ask() {
    let place = Place::new();
    let text = "kind: ExporterConfig\nmetadata: {namespace: lab, name: rig}\nendpoint: lab:1\ntoken: s3cret\nexport:\n  \
                power: {type: mock-power, description: Main supply, config: {password: hidden}}\n  \
                box: {children: {inner: {type: mock-power, config: {password: hidden}}}}\n";
    place.file(&format!("{FOLDER}/rig.yaml"), text);
    place.file(&format!("{FOLDER}/worse.yaml"), "a: [\n");
    let list = |more: &[&str]| {
        let (ended, json, said) = jmp(&place, &[&["list", "-o", "json"], more].concat());
        assert_eq!(ended, 0);
        // One that cannot be read says so, and does not hide the others.
        assert!(said.contains("worse.yaml"), "{said}");
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    let listed = list(&[]);
    assert_eq!(
        (&listed["kind"], listed["items"].as_array().unwrap().len()),
        (&"ExporterConfigList".into(), 1)
    );
    let item = &listed["items"][0];
    assert_eq!((&item["alias"], &item["metadata"]["name"]), (&"rig".into(), &"rig".into()));
    assert_eq!((&item["token"], &item["export"]["power"]["config"]), (&"***".into(), &"***".into()));
    assert_eq!(item["export"]["power"]["description"], "Main supply");
    assert!(!listed.to_string().contains("hidden"), "{listed}");
    let listed = list(&["--show-secrets"]);
    let item = &listed["items"][0];
    assert_eq!(item["token"], "s3cret");
    assert_eq!(item["export"]["box"]["children"]["inner"]["config"]["password"], "hidden");
    let (_, yaml, _) = jmp(&place, &["list", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: ") && yaml.contains("alias: rig"), "{yaml}");
}

#[test]
fn what_is_missing_is_read_or_is_a_missing_option() {
    let place = Place::new();
    let mut command = place.jmp(&["config", "exporter", "create", "rig"]);
    let output = run_with(&mut command, "lab\nrig-3\nlab.example.com:443\ns3cret\n");
    assert_eq!((code(&output), stdout(&output).as_str()), (0, ""), "{}", stderr(&output));
    let text = std::fs::read_to_string(place.path().join(FOLDER).join("rig.yaml")).unwrap();
    assert!(text.contains("token: s3cret\n"), "{text}");
    let usage = "Usage: jmp config exporter create [OPTIONS] [ALIAS]\nTry 'jmp config exporter create --help' for help.\n\n";
    for (input, option) in
        [("", "namespace"), ("lab\n", "name"), ("lab\nrig-3\n", "endpoint"), ("a\nb\nc:1\n", "token")]
    {
        let output = run_with(&mut place.jmp(&["config", "exporter", "create", "other"]), input);
        let says =
            format!("{usage}Error: Missing option '--{option}'. Nobody is there to be asked for it.\n");
        assert_eq!((code(&output), stderr(&output)), (2, says));
    }
    for (words, says) in [
        (vec!["create", "other", "--nointeractive"], "Missing option '--namespace'.\n"),
        (create("a/b", &[]), "'a/b' must not be empty, a dot or two, nor contain a slash."),
        (create("..", &[]), "'..' must not be empty"),
        (create("", &[]), "'' must not be empty"),
        (vec!["edit", "a/b"], "'a/b' must not be empty"),
        (create("x", &["--endpoint", "https://lab"]), "Invalid value for '--endpoint'"),
        (create("x", &["--token-file", "x"]), "'--token' and '--token-file' exclude each other."),
    ] {
        let (ended, _, said) = jmp(&place, &words);
        assert_eq!(ended, 2, "{said}");
        assert!(said.contains(says), "{said}");
    }
    let words: Vec<_> = create("other", &[]).into_iter().filter(|word| *word != "--nointeractive").collect();
    let mut command = place.jmp(&[&["config", "exporter"], &words[..]].concat());
    let output = run_with(command.arg("-k"), "n\n");
    assert_eq!(
        (code(&output), stderr(&output).contains("Aborted by user.")),
        (1, true),
        "{}",
        stderr(&output)
    );
    let (done, ..) = jmp(&place, &create("open", &["-k"]));
    assert_eq!(done, 0, "whoever is not to be asked has agreed");
    assert_eq!(jmp(&place, &["list", "-o", "name"]).1, "open\nrig\n");
}

#[test]
fn a_token_that_is_typed_is_not_shown() {
    let place = Place::new();
    let words =
        ["config", "exporter", "create", "rig", "--namespace", "lab", "--name", "rig", "--endpoint", "lab:1"];
    let mut screen = Screen::start(&place, &words, &[]);
    screen.wait_for("Token: ");
    screen.send("s3cret\r");
    let (ended, seen) = screen.end_seen();
    assert_eq!(ended, 0, "{seen}");
    assert!(!seen.contains("s3cret"), "{seen}");
    let text = std::fs::read_to_string(place.path().join(FOLDER).join("rig.yaml")).unwrap();
    assert!(text.contains("token: s3cret\n"), "{text}");
}

#[test]
fn a_file_is_checked_after_it_was_edited() {
    let place = Place::new();
    assert_eq!(jmp(&place, &create("rig", &[])).0, 0);
    let file = place.path().join(FOLDER).join("rig.yaml");
    let edit = |variables: &[(&str, &str)]| {
        let mut command = place.jmp(&["config", "exporter", "edit", "rig"]);
        let output = run(command.envs(variables.iter().copied()));
        (code(&output), stdout(&output), stderr(&output))
    };
    let nobody = edit(&[]);
    assert_eq!(nobody.0, 1);
    assert!(
        nobody.2.contains("there is no terminal for an editor: name one in VISUAL or EDITOR"),
        "{}",
        nobody.2
    );

    // VISUAL counts before EDITOR, and either can have options.
    let good = "sed -i -e 's/^export: {}/export: {power: {type: mock-power}}/'";
    assert_eq!(edit(&[("VISUAL", good), ("EDITOR", "false")]), (0, String::new(), String::new()));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("export: {power: {type: mock-power}}\n"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let bad = edit(&[("EDITOR", "sed -i -e s/mock-power/mock-pwoer/")]);
    assert_eq!((bad.0, bad.1.as_str()), (1, ""));
    assert!(bad.2.contains("rig.yaml:") && bad.2.contains("did you mean `mock-power`?"), "{}", bad.2);
    let failed = edit(&[("EDITOR", "exit 3;")]);
    assert_eq!(failed.0, 1);
    assert!(failed.2.contains("the editor `exit 3;` ended with exit code 3"), "{}", failed.2);
}

#[test]
fn on_a_terminal_a_file_that_is_wrong_can_be_opened_again() {
    let place = Place::new();
    assert_eq!(jmp(&place, &create("rig", &[])).0, 0);
    // Wrong the first time, right the second time.
    let editor = place.file(
        "editor.sh",
        "if grep -q wrong \"$1\"; then sed -i -e s/wrong/mock-power/ \"$1\"; \
         else sed -i -e 's/^export: {}/export: {power: {type: wrong}}/' \"$1\"; fi\n",
    );
    let editor = format!("sh {}", editor.display());
    let words = ["config", "exporter", "edit", "rig"];
    let mut screen = Screen::start(&place, &words, &[("EDITOR", &editor)]);
    screen.wait_for("Open it again? [y/N]: ");
    screen.send("y\r");
    assert_eq!(screen.end(), 0);
    assert_eq!(jmp(&place, &["check", "rig"]).0, 0);

    let mut screen = Screen::start(&place, &words, &[("EDITOR", "sed -i -e s/mock-power/wrong/")]);
    screen.wait_for("Open it again? [y/N]: ");
    screen.send("n\r");
    let (ended, seen) = screen.end_seen();
    assert_eq!(ended, 1);
    assert!(seen.contains("is kept as it is, and nothing can use it until it is right"), "{seen}");
    let mut screen = Screen::start(&place, &words, &[("EDITOR", "true")]);
    screen.wait_for("Open it again? [y/N]: ");
    screen.send("\x03");
    assert_eq!(screen.end(), 130);
}

#[test]
fn an_exporter_runs_from_the_file_that_was_made_of_what_the_lab_gave() {
    let place = Place::new();
    let mut lab = Lab::start(&place);
    let endpoint = format!("localhost:{}", lab.port());
    let made = run(&mut place.jmp(&[
        "admin",
        "--lab",
        "lab",
        "create",
        "exporter",
        "rig",
        "-l",
        "a=b",
        "--out",
        "given.yaml",
    ]));
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let given = std::fs::read_to_string(place.path().join("given.yaml")).unwrap();
    let token = given.split_whitespace().find(|word| word.matches('.').count() == 2).unwrap();
    place.file("token", token);
    let (done, _, said) = jmp(
        &place,
        &[
            "create",
            "rig",
            "--namespace",
            "default",
            "--name",
            "rig",
            "-e",
            &endpoint,
            "--token-file",
            "token",
            "--ca",
            "lab/tls/authority.pem",
            "--nointeractive",
        ],
    );
    assert_eq!(done, 0, "{said}");
    let mut command = place.jmp(&["run", "--exporter", "rig", "--log-format", "text"]);
    let mut exporter = crate::support::Running::start(&mut command);
    let mut said = String::new();
    while !said.contains("AVAILABLE") {
        said = exporter.complaint();
        // Its own option, behind the command: for people, and not JSON.
        assert!(!said.starts_with('{') && !said.is_empty(), "{said}");
    }
    exporter.signal(Signal::TERM);
    assert_eq!(code(&exporter.end()), 143);
    assert_eq!(lab.end(Signal::TERM).0, Some(0));
}

#[test]
fn examples_are_listed_where_they_are_put() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("board.yaml")).unwrap();
    place.file(&format!("{FOLDER}/bench.east.yaml"), &text);
    let (ended, json, said) = jmp(&place, &["list", "-o", "json"]);
    assert_eq!((ended, said.as_str()), (0, ""));
    let listed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed["items"][0]["alias"], "bench.east");
}
