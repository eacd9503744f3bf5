//! `GetReport`: the tree as clients rebuild it.
//!
//! Depth first, parents before their children, children in the order of the configuration. A reference is reported as
//! what it refers to, under its own name and parent and with all its descendants, so a uuid can occur several times;
//! clients attach an entry to the last one seen with the parent's uuid.

use std::collections::HashMap;

use jumpstarter_core::{Result, descriptor, instance::Instance};
use jumpstarter_protocol::v1::DriverInstanceReport;

/// Label with the class of the Python client.
pub(crate) const CLIENT: &str = "jumpstarter.dev/client";

/// Label with the name under which the parent lists the child.
pub(crate) const NAME: &str = "jumpstarter.dev/name";

/// The entries for a tree.
///
/// # Errors
/// When an interface cannot be described in protobuf, which is a mistake in the interface.
pub(crate) fn entries(root: &Instance) -> Result<Vec<DriverInstanceReport>> {
    let mut entries = Vec::new();
    add(root, None, &mut entries)?;
    Ok(entries)
}

fn add(
    instance: &Instance,
    place: Option<(&str, &str)>,
    entries: &mut Vec<DriverInstanceReport>,
) -> Result<()> {
    let uuid = instance.uuid.to_string();
    let mut labels: HashMap<_, _> = instance.labels.clone().into_iter().collect();
    labels.insert(CLIENT.to_owned(), instance.client.clone());
    match place {
        Some((_, name)) => labels.insert(NAME.to_owned(), name.to_owned()),
        // Whatever the configuration says: a client takes an entry with a name for somebody's child.
        None => labels.remove(NAME),
    };
    let descriptors =
        instance.provides.iter().map(|provided| Ok(descriptor::file(provided.interface)?.bytes.clone()));
    entries.push(DriverInstanceReport {
        uuid: uuid.clone(),
        parent_uuid: place.map(|(parent, _)| parent.to_owned()),
        labels,
        description: instance.description.clone().filter(|text| !text.is_empty()),
        methods_description: instance.methods_description.clone().into_iter().collect(),
        file_descriptor_proto: descriptors.collect::<Result<_>>()?,
        native_services: instance
            .provides
            .iter()
            .flat_map(|provided| provided.interface.services())
            .collect(),
    });
    instance.children.iter().try_for_each(|(name, child)| add(child, Some((&uuid, name)), entries))
}
