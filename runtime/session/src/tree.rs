//! The tree of a session, indexed once: instances by uuid, services by name, the order of opening.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jumpstarter_core::{Error, Result, dispatch::Provided, instance::Instance};
use uuid::Uuid;

use crate::resources::Resources;

/// Most entries of a report. References multiply whole subtrees, so a short file can ask for a very long report.
const MAX_ENTRIES: usize = 10_000;

/// One instance with what the session keeps for it.
pub(crate) struct Node {
    /// The driver.
    pub(crate) instance: Arc<Instance>,
    /// Where it stands, by the names of the first place that leads there: `board.power`. Empty for the root.
    pub(crate) path: String,
    /// Its resource handles.
    pub(crate) resources: Arc<Resources>,
}

impl Node {
    /// How messages name it: the path, or a word for the root.
    pub(crate) fn name(&self) -> &str {
        if self.path.is_empty() { "the root" } else { &self.path }
    }
}

/// An instance that answers a native service.
#[derive(Clone)]
pub(crate) struct Provider {
    /// Which instance.
    pub(crate) node: Arc<Node>,
    /// How to call it.
    pub(crate) provided: Provided,
}

/// The index.
pub(crate) struct Tree {
    /// The root instance.
    pub(crate) root: Arc<Instance>,
    nodes: HashMap<Uuid, Arc<Node>>,
    /// Every instance once, in the order in which they were opened: children before their parents.
    order: Vec<Arc<Node>>,
    services: HashMap<String, Vec<Provider>>,
}

impl Tree {
    /// Walks the tree.
    ///
    /// # Errors
    /// When two instances have the same uuid, or references make it too large to be reported.
    pub(crate) fn new(root: &Arc<Instance>, resources: &mut dyn FnMut() -> Arc<Resources>) -> Result<Self> {
        let mut tree =
            Self { root: root.clone(), nodes: HashMap::new(), order: Vec::new(), services: HashMap::new() };
        let mut entries = 0;
        count(root, &mut entries)?;
        let mut seen = HashSet::new();
        tree.visit(root, String::new(), &mut seen, resources)?;
        Ok(tree)
    }

    fn visit(
        &mut self,
        instance: &Arc<Instance>,
        path: String,
        seen: &mut HashSet<*const Instance>,
        resources: &mut dyn FnMut() -> Arc<Resources>,
    ) -> Result<()> {
        // A second way to the same instance is a reference; everything below it is known as well.
        if !seen.insert(Arc::as_ptr(instance)) {
            return Ok(());
        }
        for (name, child) in &instance.children {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.visit(child, below, seen, resources)?;
        }
        let node = Arc::new(Node { instance: instance.clone(), path, resources: resources() });
        for provided in &instance.provides {
            for service in provided.interface.services() {
                let providers = self.services.entry(service).or_default();
                providers.push(Provider { node: node.clone(), provided: provided.clone() });
            }
        }
        if let Some(other) = self.nodes.insert(instance.uuid, node.clone()) {
            let (a, b) = (other.name(), node.name());
            return Err(Error::configuration(format!(
                "{a} and {b} have the same uuid {}; give each its own, or none",
                instance.uuid
            )));
        }
        self.order.push(node);
        Ok(())
    }

    /// The instance with this uuid.
    pub(crate) fn get(&self, uuid: Uuid) -> Option<&Arc<Node>> {
        self.nodes.get(&uuid)
    }

    /// Every instance once, children before their parents.
    pub(crate) fn in_order_of_opening(&self) -> &[Arc<Node>] {
        &self.order
    }

    /// Who answers this service.
    pub(crate) fn providers(&self, service: &str) -> Option<&[Provider]> {
        self.services.get(service).map(Vec::as_slice)
    }

    /// Names of all native services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }
}

fn count(instance: &Instance, entries: &mut usize) -> Result<()> {
    *entries += 1;
    if *entries > MAX_ENTRIES {
        return Err(Error::configuration(format!(
            "the tree has more than {MAX_ENTRIES} entries; remove references that repeat whole subtrees"
        )));
    }
    instance.children.iter().try_for_each(|(_, child)| count(child, entries))
}

/// Reads a uuid in every spelling that Python's parser takes: any case, with or without dashes, in braces, as a URN.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    // The canonical form, which is what clients send.
    if let Ok(uuid) = Uuid::try_parse(text) {
        return Some(uuid);
    }
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let bare = bare.trim_matches(|c| c == '{' || c == '}').replace('-', "");
    if bare.len() == 32 && bare.is_ascii() { Uuid::try_parse(&bare).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_v20_every_spelling_of_a_uuid_is_the_same_uuid() {
        let uuid = Uuid::from_u128(0xec15_1f63_6435_43aa_a7c2_5deb_f54e_e6ad);
        for text in [
            "ec151f63-6435-43aa-a7c2-5debf54ee6ad",
            "EC151F63-6435-43AA-A7C2-5DEBF54EE6AD",
            "ec151f63643543aaa7c25debf54ee6ad",
            "{ec151f63-6435-43aa-a7c2-5debf54ee6ad}",
            "{EC151F63643543AAA7C25DEBF54EE6AD}",
            "urn:uuid:ec151f63-6435-43aa-a7c2-5debf54ee6ad",
            "ec151f63-643543aaa7c2-5debf54ee6ad",
        ] {
            assert_eq!(parse_uuid(text), Some(uuid), "{text}");
        }
        for text in ["", "ec151f63", "{}", "gg151f63-6435-43aa-a7c2-5debf54ee6ad", "é", "urn:uuid:"] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }
}
