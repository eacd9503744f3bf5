//! One test per known trap, and what the file has to do with the environment.

use jumpstarter_core::config::exporter::read;
use jumpstarter_core::config::references::resolve;
use jumpstarter_core::config::tree::walk;
use jumpstarter_core::config::{ExporterFile, GrpcOption, NodeKind, OnFailure};

fn file(text: &str) -> ExporterFile {
    ExporterFile::parse("rig.yaml", text, |_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

fn messages(text: &str) -> Vec<String> {
    let problems = ExporterFile::parse("rig.yaml", text, |_| None).expect_err("a bad file");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn pitfall_y1_a_typo_is_an_error_and_never_an_empty_composite() {
    assert_eq!(
        messages("export:\n  power:\n    tpye: mock-power\n    children: {}\n"),
        ["rig.yaml:3:5: unknown key `tpye` in `power`"]
    );
    assert_eq!(
        messages("export: {a: {}}\n"),
        ["rig.yaml:1:10: `a` says neither `type`, `ref` nor `children`"]
    );
    let reading = read("rig.yaml", "export: {a: {tpye: x, children: {b: {type: y}}}}\n", |_| None);
    let partial = reading.file.expect("a tree");
    assert!(matches!(partial.export["a"].kind, NodeKind::Broken { .. }));
    assert!(matches!(partial.export["a"].child("b").expect("its child").kind, NodeKind::Driver(_)));
}

#[test]
fn pitfall_y2_an_empty_config_is_an_empty_map() {
    for config in ["", "    config:\n", "    config: ~\n", "    config: {}\n"] {
        let file = file(&format!("export:\n  power:\n    type: mock-power\n{config}"));
        let NodeKind::Driver(driver) = &file.export["power"].kind else { panic!("no driver") };
        assert_eq!(driver.config.to_json(), serde_json::json!({}), "{config:?}");
    }
}

#[test]
fn pitfall_y3_all_problems_of_a_file_are_shown_together() {
    let text = "\
exports: 1
export:
  a: {type: 5}
  b: {ref: nowhere}
  c: {type: x, type: y}
tls: {insecure: 7}
hooks: {beforeLease: {script: ls, onFailure: never}}
";
    let places: Vec<_> =
        messages(text).iter().map(|line| line.split(": ").next().map(str::to_owned)).collect();
    let expected = ["1:1", "3:13", "4:12", "5:16", "6:17", "7:46"];
    assert_eq!(places, expected.map(|place| Some(format!("rig.yaml:{place}"))));
}

#[test]
fn pitfall_y4_the_order_of_the_file_is_kept() {
    let file = file("export: {z: {type: t}, a: {children: {y: {type: t}, b: {type: t}}}, m: {type: t}}\n");
    let names: Vec<_> = walk(&file.export).map(|node| node.names.as_str()).collect();
    assert_eq!(names, ["z", "a", "a.y", "a.b", "m"]);
}

#[test]
fn pitfall_y5_references_are_resolved_over_the_whole_tree() {
    let file = file(
        "export: {first: {ref: board.power}, board: {children: {power: {type: t}, same: {ref: first}}}}\n",
    );
    let references = resolve(&file, &|_| Some(Vec::new())).expect("references");
    let targets: Vec<_> =
        references.targets.iter().map(|(from, to)| (from.as_str(), to.node.as_str())).collect();
    assert_eq!(targets, [("first", "board.power"), ("board.same", "board.power")]);
}

#[test]
fn a_reference_to_a_child_that_a_driver_makes_is_left_to_those_who_know_drivers() {
    let text = "export: {vm: {type: qemu}, power: {ref: vm.power}}\n";
    let file = file(text);
    let references = resolve(&file, &|_| Some(vec!["power"])).expect("references");
    assert_eq!(
        (references.targets["power"].node.as_str(), &references.targets["power"].made[..]),
        ("vm", &["power".to_owned()][..])
    );
    let problems = resolve(&file, &|_| Some(Vec::new())).expect_err("no such child");
    assert!(problems.to_string().contains("`vm` has no child `power`"), "{problems}");
}

#[test]
fn a_circle_of_references_shows_the_way_round() {
    let lines = messages("export: {a: {ref: b}, b: {ref: c}, c: {ref: a}}\n");
    assert_eq!(lines, ["rig.yaml:1:19: `a` refers back to itself"]);
    let problems =
        ExporterFile::parse("rig.yaml", "export: {a: {ref: b}, b: {ref: c}, c: {ref: a}}\n", |_| None);
    assert!(problems.expect_err("a circle").to_string().contains("`a` → `b` → `c` → `a`"));
}

#[test]
fn a_long_chain_of_references_neither_overflows_nor_hangs() {
    use std::fmt::Write as _;
    let mut text = String::from("export:\n");
    for number in 0..2_400 {
        let _ = writeln!(text, "  p{number}: {{children: {{x: {{ref: p{}}}}}}}", number + 1);
    }
    text.push_str("  p2400: {type: t}\n");
    let lines = messages(&text);
    assert!(lines.iter().any(|line| line.contains("clients would see more than")), "{lines:?}");
}

#[test]
fn the_environment_overrides_the_address_and_fills_in_the_name() {
    let text = "metadata: {name: file}\nendpoint: file:1\ntoken: file\ntls: {insecure: false}\ngrpcOptions: {a: 1}\n";
    let variables = |name: &str| {
        let value = match name {
            "JMP_NAME" => "environment",
            "JMP_NAMESPACE" => "lab",
            "JMP_ENDPOINT" => "environment:2",
            "JMP_TOKEN" => "secret",
            "JMP_TLS" => r#"{"insecure": true}"#,
            "JMP_GRPCOPTIONS" => r#"{"grpc.keepalive_time_ms": 5}"#,
            _ => return None,
        };
        Some(value.to_owned())
    };
    let file = ExporterFile::parse("rig.yaml", text, variables).expect("a good file");
    assert_eq!(file.metadata.name.as_deref(), Some("file"));
    assert_eq!(file.metadata.namespace.as_deref(), Some("lab"));
    assert_eq!(file.endpoint.as_ref().map(|endpoint| endpoint.as_str()), Some("environment:2"));
    assert_eq!(file.token.as_ref().map(|token| token.expose()), Some("secret"));
    assert!(file.tls.insecure);
    assert_eq!(file.grpc_options["grpc.keepalive_time_ms"], GrpcOption::Int(5));
    assert!(file.for_controller().is_empty());
    assert!(!format!("{file:?}").contains("secret"));
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let tls = |name: &str| (name == "JMP_TLS").then(|| r#"{"insecur": 1}"#.to_owned());
    let problems = ExporterFile::parse("rig.yaml", "export: {}\n", tls).expect_err("a bad variable");
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["environment variable JMP_TLS:1:2: unknown key `insecur` in `JMP_TLS`"]
    );
}

#[test]
fn only_an_exporter_of_a_controller_needs_a_name_and_an_address() {
    let problems = file("export: {}\n").for_controller();
    let missing: Vec<_> = problems.iter().map(|problem| problem.message().split('`').nth(1)).collect();
    assert_eq!(missing, ["metadata.name", "metadata.namespace", "endpoint", "token"].map(Some));
}

#[test]
fn what_a_file_leaves_out_has_upstreams_defaults() {
    let file = file("hooks: {beforeLease: {script: ls}}\n");
    let hook = file.hooks.before_lease.expect("a hook");
    assert_eq!((hook.timeout, hook.on_failure, hook.exec), (120, OnFailure::Warn, None));
    assert_eq!(
        (file.failure_detection.max_rapid_failures, file.failure_detection.rapid_failure_window),
        (5, 60)
    );
    assert!(file.export.is_empty() && !file.exit_on_lease_end && !file.tls.insecure);
}
