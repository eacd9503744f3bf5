//! Recorded reports compared node by node with those of a live exporter that has the same configuration.

use jumpstarter_tests::bindings::Bindings;
use jumpstarter_tests::exporter::{Exporter, Program, config, report};
use jumpstarter_tests::message::{Direction, Tree};
use jumpstarter_tests::python::python;
use jumpstarter_tests::recording::{folder, hex};
use jumpstarter_tests::report::{compare, nodes};

/// The recorded report of a configuration in `reports/`, by name.
pub(crate) fn recorded(name: &str) -> Tree {
    let text = std::fs::read_to_string(folder().join(format!("reports/{name}.json"))).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let wire = report["wire_hex"].as_str().and_then(hex).expect("bytes");
    Tree::decode("/jumpstarter.v1.ExporterService/GetReport", Direction::Response, &wire)
}

#[test]
fn every_recorded_report_is_a_tree() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder().join("reports")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert_eq!(names.len(), 11, "{names:?}");
    for name in names {
        let found = nodes(&recorded(&name)).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(found.first().map(|root| root.path.as_str()), Some(""), "{name}");
    }
}

#[test]
fn pitfall_d3_a_proxy_is_reported_as_its_target() {
    let nodes = nodes(&recorded("composite")).expect("a tree");
    let uuid = |path: &str| nodes.iter().find(|node| node.path == path).map(|node| node.uuid.clone());
    assert!(uuid("proxy").is_some());
    assert_eq!(uuid("proxy"), uuid("board.power"));
    assert_eq!(uuid("proxy_composite.echo"), uuid("board.inner.echo"));
}

#[test]
fn pitfall_d1_nodes_in_another_order_are_a_difference() {
    let composite = recorded("composite");
    let Tree::Map(mut entries) = composite.clone() else { panic!("a message") };
    let Some(Tree::List(reports)) = entries.get_mut("reports") else { panic!("reports") };
    reports.swap(2, 3);
    let swapped = Tree::Map(entries);
    assert_eq!(compare(&composite, &composite, &[], &mut Bindings::default()), Vec::<String>::new());
    let differences = compare(&composite, &swapped, &[], &mut Bindings::default());
    assert!(differences.iter().any(|difference| difference.contains("another order")), "{differences:?}");
    reports_without_their_parent_are_no_tree(&composite);
}

fn reports_without_their_parent_are_no_tree(report: &Tree) {
    let Tree::Map(mut entries) = report.clone() else { panic!("a message") };
    let Some(Tree::List(reports)) = entries.get_mut("reports") else { panic!("reports") };
    reports.remove(1);
    assert!(nodes(&Tree::Map(entries)).is_err_and(|problem| problem.contains("before its parent")));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_the_python_exporter_are_the_recorded_ones() {
    let Some(python) = python() else { return };
    let program = Program::Upstream(python);
    for name in
        ["empty", "mock_power", "composite", "descriptions", "network", "opendal", "pyserial", "shell"]
    {
        let config = config(&format!("reports/{name}.yaml"), &[]).expect("a configuration");
        let exporter = Exporter::local(&program, &config).await.expect("an exporter");
        let live = report(&exporter.address).await.expect("a report");
        let differences = compare(&recorded(name), &live, &[], &mut Bindings::default());
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        exporter.stop().await.expect("an orderly end");
    }
}
