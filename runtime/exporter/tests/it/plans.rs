//! What is wrong with a file is said before anything is opened.

use jumpstarter_exporter::{Mode, check};

use crate::drivers::registry;

fn problems(export: &str) -> String {
    match check("rig.yaml", &format!("export:\n{export}"), &registry(), |_| None) {
        Ok(_) => panic!("this file is fine"),
        Err(problems) => problems.render(),
    }
}

#[test]
fn every_problem_of_a_file_is_reported_at_once() {
    insta::assert_snapshot!(problems(
        "  a:\n    type: prob\n  b:\n    type: probe\n    config: {nam: x}\n  c:\n    type: pair\n  d:\n    ref: nowhere\n"
    ));
}

#[test]
fn a_child_of_the_wrong_kind_names_who_would_do() {
    insta::assert_snapshot!(problems(
        "  a:\n    type: pair\n    children:\n      first:\n        type: mute\n"
    ));
}

#[test]
fn a_reference_to_the_wrong_kind_is_found_too() {
    let text = problems("  m:\n    type: mute\n  a:\n    type: pair\n    children:\n      first: {ref: m}\n");
    assert!(text.contains("child `first` of driver `pair` must provide named"), "{text}");
}

#[test]
fn a_surplus_child_names_the_nearest() {
    let text = problems(
        "  a:\n    type: pair\n    children:\n      first: {type: probe, config: {name: x}}\n      secnd: {type: mute}\n",
    );
    assert!(text.contains("takes no child `secnd`") && text.contains("did you mean `second`?"), "{text}");
}

#[test]
fn a_driver_without_children_says_where_they_belong() {
    let text =
        problems("  a:\n    type: probe\n    config: {name: x}\n    children:\n      b: {type: mute}\n");
    assert!(text.contains("put the device next to it, not below it"), "{text}");
}

#[test]
fn upstreams_proxy_class_is_answered_with_our_spelling() {
    let text = problems("  a:\n    type: jumpstarter_driver_composite.driver.Proxy\n    config: {ref: b}\n");
    assert!(text.contains("write `ref: NAME` without `type`"), "{text}");
}

#[test]
fn isolation_is_refused_and_not_ignored() {
    let text = problems("  a:\n    type: probe\n    isolation: process\n    config: {name: x}\n");
    assert!(text.contains("not available in this version"), "{text}");
}

#[test]
fn pitfall_y1_a_misspelt_type_never_turns_into_an_empty_group() {
    let text = problems("  a:\n    tpye: probe\n    children: {}\n");
    assert!(text.contains("`tpye`") && text.contains("`type`"), "{text}");
}

#[test]
fn pitfall_y2_an_empty_config_is_an_empty_map() {
    let plan = check("rig.yaml", "export:\n  a:\n    type: mute\n    config:\n", &registry(), |_| None);
    assert!(plan.is_ok(), "{:?}", plan.err());
}

#[test]
fn an_alias_reaches_the_same_driver() {
    let file = "export:\n  a:\n    type: example.driver.Probe\n    config: {name: x}\n";
    assert!(check("rig.yaml", file, &registry(), |_| None).is_ok());
}

#[test]
fn pitfall_y7_options_of_grpc_that_have_no_effect_are_named() {
    let file = "grpcOptions: {grpc.keepalive_time_ms: 5000, grpc.lb_policy_name: pick_first}\n";
    let Ok(plan) = check("rig.yaml", file, &registry(), |_| None) else { panic!("this file is fine") };
    assert_eq!(plan.unused(Mode::Registered), ["`grpcOptions`: grpc.lb_policy_name has no effect"]);
}

#[test]
fn what_a_mode_makes_nothing_of_is_said() {
    let file = "endpoint: lab:443\ntoken: secret\nhooks: {beforeLease: {script: echo}}\nexitOnLeaseEnd: true\nfailureDetection: {}\n";
    let Ok(plan) = check("rig.yaml", file, &registry(), |_| None) else { panic!("this file is fine") };
    assert_eq!(
        plan.unused(Mode::Local),
        [
            "the hooks of this file do not run in a local shell; `jmp run` runs them",
            "not used in a local shell: `endpoint`, `token`, `failureDetection`, `exitOnLeaseEnd`",
        ]
    );
    assert_eq!(
        plan.unused(Mode::Standalone),
        ["not used by a standalone exporter: `endpoint`, `token`, `exitOnLeaseEnd`"]
    );
    assert!(plan.unused(Mode::Registered).is_empty());
    let Ok(plan) = check("rig.yaml", "export: {}\n", &registry(), |_| None) else {
        panic!("this file is fine")
    };
    assert!(plan.unused(Mode::Local).is_empty());
}
