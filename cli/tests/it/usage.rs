//! Help, mistakes, exit codes.

use crate::support::{Place, code, example, run, snapshot, stderr, stdout, told, words};

#[test]
fn help_is_on_standard_output_and_a_group_alone_is_a_mistake() {
    let place = Place::new();
    for (name, line) in [
        ("help", "--help"),
        ("help_shell", "shell -h"),
        ("help_run", "run --help"),
        ("help_config_exporter", "config exporter --help"),
        ("help_driver_list", "driver ls --help"),
        ("group_alone", "driver"),
    ] {
        snapshot(name, &told(&run(&mut place.jmp(&words(line)))));
    }
}

#[test]
fn mistakes_have_one_shape_and_code_2() {
    let place = Place::new();
    let board = example("board.yaml");
    let mut all = String::new();
    for line in [
        "shlel",
        "--log-level loud version",
        "version --outptu json",
        "version -o toml",
        "version -o",
        "version extra",
        "shell",
        "shell -c true",
        "shell --exporter a --exporter-config b",
        "shell --exporter-config BOARD --lease x",
        "shell --tls-grpc nowhere -- true",
        "shell --tls-grpc /run/socket -- true",
        "shell --passphrase x --exporter-config BOARD",
        "shell --exporter-config BOARD bash -c true",
        "run",
        "run --exporter-config BOARD --tls-cert x",
        "run --exporter-config BOARD --tls-grpc-listener 0",
        "run --exporter-config BOARD --tls-grpc-listener 0 --tls-grpc-insecure --tls-key x",
        "completion tcsh",
        "completion",
    ] {
        let output = run(&mut place.jmp(&words(&line.replace("BOARD", &board))));
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{line}: {}", stderr(&output));
        all.extend(["$ jmp ", line, "\n", &stderr(&output), "\n"]);
    }
    snapshot("mistakes", &all);
}

#[test]
fn what_needs_a_controller_says_so() {
    let place = Place::new();
    let board = example("board.yaml");
    let none = "Error: none of --client, --client-config is specified, and default config is not set\n";
    for line in ["shell --lease x", "shell -l a=b", "shell -n rig", "shell --duration 1h", "get leases"] {
        let output = run(&mut place.jmp(&words(line)));
        assert_eq!((code(&output), stderr(&output).as_str()), (1, none), "{line}");
    }
    let output = run(place.jmp(&["shell"]).env("JMP_LEASE", "mine"));
    assert_eq!((code(&output), stderr(&output).as_str()), (1, none));
    let output = run(&mut place.jmp(&["shell", "--client", "lab"]));
    assert!(stderr(&output).starts_with("Error: client \"lab\" does not exist"), "{}", stderr(&output));
    let output = run(&mut place.jmp(&["run", "--exporter-config", &board]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--tls-grpc-listener"), "{}", stderr(&output));
}

#[test]
fn aliases_lead_to_the_same_commands() {
    let place = Place::new();
    let full = stdout(&run(&mut place.jmp(&["version"])));
    for line in ["ver", "v", "driver version", "driver v", "drivers ver", "--version", "-V"] {
        assert_eq!(stdout(&run(&mut place.jmp(&words(line)))), full, "{line}");
    }
    for line in ["sh --help", "s --help"] {
        let text = stdout(&run(&mut place.jmp(&words(line))));
        assert!(text.starts_with("Usage: jmp shell "), "{text}");
    }
}

#[test]
fn results_for_machines_keep_upstreams_keys() {
    let place = Place::new();
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&run(&mut place.jmp(&["version", "-o", "json"])))).unwrap();
    assert!(json["gitVersion"].as_str().unwrap().starts_with('v'));
    assert_eq!(json["pythonVersion"], "");
    let yaml = stdout(&run(&mut place.jmp(&["version", "-o", "yaml"])));
    assert!(yaml.contains("gitVersion: "), "{yaml}");
    snapshot("driver_list", &told(&run(&mut place.jmp(&["driver", "list"]))));
    let names = stdout(&run(&mut place.jmp(&["driver", "list", "-o", "name"])));
    assert!(names.lines().any(|name| name == "mock-power"), "{names}");
}

#[test]
fn exporter_files_are_checked_without_opening_anything() {
    let place = Place::new();
    let good = run(&mut place.jmp(&["config", "exporter", "check", &example("")]));
    assert_eq!(code(&good), 0, "{}", told(&good));
    let bad = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n  power:\n    tpye: mock-power\n  other:\n    type: mock-pwoer\n";
    place.file("bad.yaml", bad);
    snapshot("config_check", &told(&run(&mut place.jmp(&["config", "exporter", "check", "bad.yaml"]))));
    let output = run(&mut place.jmp(&["config", "exporter", "check", "bad.yaml", "-o", "json"]));
    assert_eq!(code(&output), 1);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((json[0]["file"].as_str(), json[0]["ok"].as_bool()), (Some("bad.yaml"), Some(false)));
    let output = run(&mut place.jmp(&["shell", "--exporter-config", "bad.yaml", "--", "true"]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("bad.yaml:5:5"), "{}", stderr(&output));
}

#[test]
fn exporters_are_found_by_alias_and_missing_files_are_named() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    place.file("home/.config/jumpstarter/exporters/rig.east.yaml", &text);
    let output = run(&mut place.jmp(&["shell", "--exporter", "rig.east", "--", "j", "power", "on"]));
    assert_eq!(told(&output), "exit code: 0\n");
    let output = run(&mut place.jmp(&["shell", "--exporter", "rig.eats", "--", "true"]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("exporters/rig.eats.yaml"), "{}", stderr(&output));
    assert!(stderr(&output).contains("did you mean \"rig.east\"?"), "{}", stderr(&output));
    place.file("power.yaml", &text);
    for (name, advice) in [
        ("absent.yaml", ""),
        ("powr.yaml", "; did you mean `power.yaml`?"),
        ("-", "; only `jmp config exporter check` reads the standard input for `-`: name a file here"),
    ] {
        let output = run(&mut place.jmp(&["shell", "--exporter-config", name, "--", "true"]));
        assert_eq!(
            told(&output),
            format!(
                "exit code: 1\n----- stderr -----\nError: cannot read {name}: no such file or directory{advice}\n"
            )
        );
    }
}

#[test]
fn a_check_can_open_the_devices_as_well() {
    let place = Place::new();
    let output = run(&mut place.jmp(&["config", "exporter", "check", "--open", &example("board.yaml")]));
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(stdout(&output).ends_with("board.yaml: ok\n"), "{}", told(&output));
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}
