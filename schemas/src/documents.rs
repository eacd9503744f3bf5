//! Paths and contents of all documents.

use std::{collections::BTreeMap, error::Error, path::PathBuf};

use jumpstarter_core::{describe::Interface, descriptor, driver::DriverFactory, schemas};

use crate::reference;

/// One document.
pub(crate) struct Document {
    /// Where it is, from the root of the project.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) content: String,
}

/// Every document, sorted by path.
pub(crate) fn all() -> Result<Vec<Document>, Box<dyn Error>> {
    let drivers = jumpstarter_cli::DRIVERS;
    let mut documents = Vec::new();
    for interface in interfaces(drivers) {
        let set = descriptor::file_set(interface)?;
        let file = &descriptor::file(interface)?.name;
        let content = jumpstarter_codegen::proto_text::print(&set, file)?;
        documents.push(Document { path: PathBuf::from("proto").join(file), content });
    }
    for driver in drivers {
        let path = PathBuf::from("schemas/drivers").join(format!("{}.json", driver.spec().type_name));
        documents.push(Document { path, content: schemas::text(&schemas::configuration(*driver)) });
    }
    let files =
        [("exporter", schemas::exporter(drivers)), ("client", schemas::client()), ("user", schemas::user())];
    for (kind, schema) in files {
        let path = PathBuf::from(format!("schemas/{kind}-config.json"));
        documents.push(Document { path, content: schemas::text(&schema) });
    }
    documents.extend(reference::pages(drivers, &interfaces(drivers)));
    documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(documents)
}

/// The interfaces that clients know and those that drivers provide, by name of the service.
fn interfaces(drivers: &[&'static dyn DriverFactory]) -> Vec<&'static Interface> {
    let known = jumpstarter_interfaces::CLIENTS.iter().map(|client| client.interface);
    let provided = drivers.iter().flat_map(|driver| driver.spec().provides.iter().copied());
    let unique: BTreeMap<_, _> =
        known.chain(provided).map(|interface| (interface.full_service(), interface)).collect();
    unique.into_values().collect()
}
