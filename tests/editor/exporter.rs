//! Exporter files.

use jumpstarter_core::driver::DriverFactory;
use jumpstarter_tests::node::language_server;

use crate::{
    file, folder, labels,
    lsp::{Editor, Offer},
    offered,
};

const DRIVERS: &[&[&dyn DriverFactory]] = &[
    jumpstarter_driver_board::DRIVERS,
    jumpstarter_driver_composite::DRIVERS,
    jumpstarter_driver_network::DRIVERS,
    jumpstarter_driver_power::DRIVERS,
    jumpstarter_driver_serial::DRIVERS,
    jumpstarter_driver_shell::DRIVERS,
    jumpstarter_driver_storage::DRIVERS,
];

#[test]
fn every_driver_type_is_offered_with_what_it_is() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    for at in
        ["export:\n  it:\n    type: |\n", "export:\n  it:\n    children:\n      inner:\n        type: |\n"]
    {
        let offers = editor.offers(&folder(), &file("exporter", at));
        for driver in DRIVERS.iter().copied().flatten() {
            let spec = driver.spec();
            for name in std::iter::once(&spec.type_name).chain(spec.aliases) {
                let offer = offered(&offers, name);
                assert_eq!(offer.documentation.trim(), spec.doc.trim(), "{at:?}: {name}");
            }
        }
    }
}

#[test]
fn an_empty_device_is_offered_the_three_things_that_it_can_be() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    let offers = editor.offers(&folder(), &file("exporter", "export:\n  it:\n    |\n"));
    for key in ["type", "ref", "children"] {
        assert!(!offered(&offers, key).documentation.is_empty(), "{key}");
    }
}

#[test]
fn the_keys_of_the_chosen_driver_are_offered_and_no_others() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    let common = ["labels", "log_level", "uuid"];
    let board = ["boot_delay", "image", "name"];
    let tcp = ["enable_address", "host", "port"];
    for (name, own, foreign) in [
        ("simulated-board", &board[..], &tcp[..]),
        ("tcp-network", &tcp[..], &board[..]),
        // As files of the existing implementation name it.
        ("jumpstarter_driver_network.driver.TcpNetwork", &tcp[..], &board[..]),
        ("mock-power", &[][..], &board[..]),
    ] {
        for (before, indent) in
            [("export:\n  it:\n", "    "), ("export:\n  it:\n    children:\n      inner:\n", "        ")]
        {
            let text = format!("{before}{indent}type: {name}\n{indent}config:\n{indent}  |\n");
            let offers = editor.offers(&folder(), &file("exporter", &text));
            let labels = labels(&offers);
            for key in own.iter().chain(&common) {
                assert!(labels.contains(key), "{key} is not in {labels:?} of\n{text}");
                assert!(!offered(&offers, key).documentation.is_empty(), "{key}");
            }
            for key in foreign {
                assert!(!labels.contains(key), "{key} is in {labels:?} of\n{text}");
            }
        }
    }
    let text = "export:\n  it:\n    type: simulated-board\n    config:\n      |\n";
    let offers = editor.offers(&folder(), &file("exporter", text));
    // The default is written as people write it.
    assert_eq!(offered(&offers, "boot_delay").inserted, "boot_delay: ${1:50ms}");
}

/// The keys that are offered, without skeletons of a whole mapping.
fn names(offers: &[Offer]) -> Vec<&str> {
    labels(offers).into_iter().filter(|label| !label.starts_with("object(")).collect()
}

#[test]
fn the_children_of_the_chosen_driver_are_offered_by_name_and_then_what_fits_there() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    for name in ["vnc", "jumpstarter_driver_vnc.driver.Vnc"] {
        for (before, indent) in
            [("export:\n  it:\n", "    "), ("export:\n  it:\n    children:\n      inner:\n", "        ")]
        {
            let text = format!("{before}{indent}type: {name}\n{indent}children:\n{indent}  |\n");
            let offers = editor.offers(&folder(), &file("exporter", &text));
            assert_eq!(names(&offers), ["tcp"], "{text}");
            assert!(!offered(&offers, "tcp").documentation.is_empty(), "{text}");
            // Half of a name is enough.
            let half = text.replace('|', "t|");
            assert_eq!(names(&editor.offers(&folder(), &file("exporter", &half))), ["tcp"], "{half}");
            // There, only drivers that provide what is needed.
            let below = text.replace('|', &format!("tcp:\n{indent}    type: |"));
            let offers = editor.offers(&folder(), &file("exporter", &below));
            let labels = labels(&offers);
            for driver in DRIVERS.iter().copied().flatten() {
                let spec = driver.spec();
                let fits = spec.provides.iter().any(|interface| interface.name == "network");
                assert_eq!(
                    labels.contains(&spec.type_name),
                    fits,
                    "{}: {labels:?} of\n{below}",
                    spec.type_name
                );
            }
        }
    }
    // A driver that makes its children itself, or has none, is not offered any.
    for name in ["simulated-board", "mock-power"] {
        let text = format!("export:\n  it:\n    type: {name}\n    children:\n      |\n");
        let offers = editor.offers(&folder(), &file("exporter", &text));
        assert_eq!(names(&offers), [""; 0], "{name}");
    }
    let missing = file("exporter", "export:\n  it:\n    type: vnc\n    children: {tpc: {ref: other}}\n");
    let problems = editor.problems(&folder(), &missing);
    assert!(problems.iter().any(|problem| problem.text == "tpc" && problem.line == 4), "{problems:#?}");
}

#[test]
fn the_words_of_the_doc_comments_are_shown_at_keys_and_types() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    for (text, words) in [
        (
            "export:\n  it:\n    type: simulated-board\n    config:\n      boot_d|elay: 1s\n",
            "How long the boot ROM takes.",
        ),
        ("export:\n  it:\n    type: simulated|-board\n", "A board that exists in memory"),
        ("ho|oks:\n  beforeLease: {script: x}\n", "Scripts around each lease."),
        // Of a choice, what the chosen word means.
        ("hooks:\n  beforeLease: {script: x, onFail|ure: exit}\n", "The exporter ends."),
    ] {
        let shown = editor.hover(&folder(), &file("exporter", text));
        assert!(shown.contains(words), "{text}\n{shown}");
    }
}

#[test]
fn old_names_are_understood_and_not_offered() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    let offers = editor.offers(&folder(), &file("exporter", "hooks:\n  |\n"));
    assert_eq!(labels(&offers), ["afterLease", "beforeLease"]);
    let old = file("exporter", "hooks:\n  before_lease: {script: x, on_failure: exit}\n");
    assert_eq!(editor.problems(&folder(), &old), []);
}

/// A mistake is one mistake, at its place.
#[test]
fn a_mistake_is_underlined_where_it_is_and_nothing_else_is() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    // What is underlined, the line of it behind the first, a part of what is said.
    for (text, underlined, line, said) in [
        (
            "export:\n  it:\n    type: simulated-bord\n    config: {boot_delay: 1s}\n",
            "simulated-bord",
            2,
            "simulated-board",
        ),
        ("export:\n  it:\n    type: tcp-netwrk\n    config: {host: x}\n", "tcp-netwrk", 2, "tcp-network"),
        (
            "export:\n  it:\n    type: simulated-board\n    config: {bot_delay: 1s}\n",
            "bot_delay",
            3,
            "not allowed",
        ),
        ("export:\n  it:\n    type: tcp-network\n    config: {host: x, port: 70000}\n", "70000", 3, "65535"),
        ("export:\n  it:\n    type: tcp-network\n    config: {host: 7, port: 22}\n", "7", 3, "string"),
        ("export:\n  it:\n    type: tcp-network\n    config: {host: x}\n", "config", 3, "port"),
        ("export:\n  it:\n    type: tcp-network\n", "it", 1, "config"),
        ("export:\n  it:\n    type: mock-power\n    ref: other\n", "ref", 3, "not allowed"),
        ("export:\n  it:\n    type: mock-power\n    config: {log_level: LOUD}\n", "LOUD", 3, "DEBUG"),
        (
            "export:\n  it:\n    type: simulated-board\n    children:\n      power: {type: mock-power}\n",
            "power",
            4,
            "not allowed",
        ),
        ("exports:\n  it: {ref: other}\n", "exports", 0, "not allowed"),
        ("hooks:\n  beforeLease: {script: x, timeout: 0}\n", "0", 1, "1"),
        // Deep in a group, whatever else there is.
        (
            "export:\n  a: {type: simulated-board}\n  b:\n    children:\n      c:\n        type: mock-power\n        config: {voltage: 5}\n",
            "voltage",
            6,
            "not allowed",
        ),
    ] {
        let problems = editor.problems(&folder(), &file("exporter", text));
        let [problem] = problems.as_slice() else { panic!("{text}\n{problems:#?}") };
        assert_eq!((problem.text.as_str(), problem.line), (underlined, line + 1), "{text}\n{problem:?}");
        assert!(problem.message.contains(said), "{text}\n{problem:?}");
    }
}

#[test]
fn nothing_is_underlined_in_the_examples() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).expect("the examples").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            seen += 1;
            let text = std::fs::read_to_string(&path).expect("an example");
            assert!(text.starts_with("# yaml-language-server: $schema="), "{}", path.display());
            assert_eq!(editor.problems(&folder(), &text), [], "{}", path.display());
        }
    }
    assert!(seen > 1, "only {seen} examples");
}
