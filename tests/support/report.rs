//! Reports compared node by node.
//!
//! A node is found by its place in the tree, not by its number in the list: that is how the UUIDs of the recorded tree
//! are paired with those of the live one, and how a live exporter may lack drivers that the recording had.

use std::collections::{BTreeSet, HashMap};

use crate::bindings::Bindings;
use crate::compare::compare_trees;
use crate::message::Tree;

/// Label that holds a node's name.
pub const NAME: &str = "jumpstarter.dev/name";

/// A node of a report.
#[derive(Debug, Clone)]
pub struct Node {
    /// Names from the root, joined by dots; empty for the root.
    pub path: String,
    /// The instance. Several nodes can show the same one.
    pub uuid: String,
    report: Tree,
}

/// The nodes of a `GetReportResponse` in their order; an error says why no tree can be built from it.
pub fn nodes(response: &Tree) -> Result<Vec<Node>, String> {
    let mut latest: HashMap<&str, String> = HashMap::new();
    let mut nodes = Vec::new();
    for (at, report) in response.get("reports").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let text = |key| report.get(key).and_then(Tree::as_text);
        let uuid = text("uuid").ok_or_else(|| format!("report {at} has no uuid"))?;
        let name = report.get("labels").and_then(|labels| labels.get(NAME)).and_then(Tree::as_text);
        let path = match (text("parent_uuid"), name) {
            (None, None) if at == 0 => String::new(),
            (None, _) => {
                return Err(format!("report {at} is a root: only the first can be one, and without a name"));
            }
            (Some(_), None) => return Err(format!("report {at} has a parent but no name")),
            (Some(parent), Some(name)) => match latest.get(parent).map(String::as_str) {
                None => return Err(format!("report {at} ({name}) comes before its parent")),
                Some("") => name.to_owned(),
                Some(parent) => format!("{parent}.{name}"),
            },
        };
        latest.insert(uuid, path.clone());
        nodes.push(Node { path, uuid: uuid.to_owned(), report: report.clone() });
    }
    Ok(nodes)
}

/// Whether `path` is one of `places` or lies below one.
pub fn is_below(path: &str, places: &[String]) -> bool {
    places.iter().any(|place| {
        path.strip_prefix(place.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Compares the reports and learns which UUIDs belong together. `without` are places that the live tree need not have.
/// The descriptors and native services that newer exporters add to each node (fields 6 and 7) are not looked at, nor is
/// a message of the day.
pub fn compare(recorded: &Tree, live: &Tree, without: &[String], bindings: &mut Bindings) -> Vec<String> {
    let (recorded_nodes, live_nodes) = match (nodes(recorded), nodes(live)) {
        (Ok(recorded), Ok(live)) => (recorded, live),
        (Err(problem), _) => return vec![format!("the recorded report: {problem}")],
        (_, Err(problem)) => return vec![problem],
    };
    let mut differences = Vec::new();
    let wanted: Vec<_> = recorded_nodes.iter().filter(|node| !is_below(&node.path, without)).collect();
    let got: Vec<_> = live_nodes.iter().filter(|node| !is_below(&node.path, without)).collect();
    let order = |nodes: &[&Node]| nodes.iter().map(|node| node.path.clone()).collect::<Vec<_>>();
    if order(&wanted) != order(&got) {
        let (wanted, got) = (order(&wanted), order(&got));
        let (all, live): (BTreeSet<_>, BTreeSet<_>) = (wanted.iter().collect(), got.iter().collect());
        return vec![if all == live {
            format!("the nodes come in another order: {got:?} instead of {wanted:?}")
        } else {
            format!(
                "missing nodes: {:?}; nodes that are not in the recording: {:?}",
                all.difference(&live).collect::<Vec<_>>(),
                live.difference(&all).collect::<Vec<_>>()
            )
        }];
    }
    for (recorded, live) in wanted.iter().zip(&got) {
        if !bindings.bind(&recorded.uuid, &live.uuid) {
            differences.push(format!("node {:?} shows another instance than before", recorded.path));
        }
    }
    for (recorded, live) in wanted.into_iter().zip(got) {
        let strip = |tree: &Tree| without_keys(tree, &["file_descriptor_proto", "native_services"]);
        if let Some(difference) =
            compare_trees(&strip(&recorded.report), &strip(&live.report), bindings, None)
        {
            differences.push(format!("node {:?}: {difference}", recorded.path));
        }
    }
    let strip = |tree: &Tree| without_keys(tree, &["reports", "motd"]);
    differences.extend(compare_trees(&strip(recorded), &strip(live), bindings, None));
    differences
}

fn without_keys(tree: &Tree, keys: &[&str]) -> Tree {
    match tree {
        Tree::Map(entries) => Tree::Map(
            entries
                .iter()
                .filter(|(key, _)| {
                    !keys.contains(&key.as_str())
                        && *key != "(unknown field 6)"
                        && *key != "(unknown field 7)"
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        ),
        other => other.clone(),
    }
}
