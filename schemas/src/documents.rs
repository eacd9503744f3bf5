//! Paths and contents of all documents.

use std::{collections::BTreeMap, error::Error, path::PathBuf};

use jumpstarter_core::{describe::Interface, descriptor, driver::DriverFactory, schemas};
use jumpstarter_schemas::{description::Description, python};
use serde_json::{Value, json};

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
    let files = [
        ("exporter", schemas::exporter(drivers)),
        ("client", schemas::client()),
        ("user", schemas::user()),
        ("lab", jumpstarter_lab::config::schema()),
    ];
    for (kind, schema) in files {
        let path = PathBuf::from(format!("schemas/{kind}-config.json"));
        documents.push(Document { path, content: schemas::text(&schema) });
    }
    for definition in jumpstarter_api::crd::all() {
        let path = PathBuf::from("schemas/crds").join(format!("{}.yaml", definition.spec.names.plural));
        let yaml = serde_yaml::to_string(&definition)?;
        documents.push(Document { path, content: format!("# {}\n{}\n", schemas::COMMENT, yaml.trim_end()) });
    }
    documents.extend(reference::pages(drivers, &interfaces(drivers)));
    let mut described = Vec::new();
    for interface in interfaces(drivers) {
        let content =
            print(&serde_json::to_value(Description::of(interface, has_children(drivers, interface)))?);
        // Generators get what is written, and nothing else.
        let mut read: Value = serde_json::from_str(&content)?;
        if let Some(read) = read.as_object_mut() {
            read.remove("$comment");
        }
        described.push(serde_json::from_value::<Description>(read)?);
        let path = PathBuf::from("schemas/interfaces")
            .join(format!("{}.v{}.json", interface.name, interface.version));
        documents.push(Document { path, content });
    }
    described.retain(python::is_generated);
    for (path, content) in python::package(&described, env!("CARGO_PKG_VERSION"))? {
        documents.push(Document { path: PathBuf::from("schemas/clients/python").join(path), content });
    }
    documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(documents)
}

/// The interfaces that clients know and those that drivers provide, by name of the service.
pub(crate) fn interfaces(drivers: &[&'static dyn DriverFactory]) -> Vec<&'static Interface> {
    let known = jumpstarter_interfaces::CLIENTS.iter().map(|client| client.interface);
    let provided = drivers.iter().flat_map(|driver| driver.spec().provides.iter().copied());
    let unique: BTreeMap<_, _> =
        known.chain(provided).map(|interface| (interface.full_service(), interface)).collect();
    unique.into_values().collect()
}

/// Whether a driver that provides the interface has children, or may have some.
fn has_children(drivers: &[&'static dyn DriverFactory], interface: &Interface) -> bool {
    let provides = |driver: &&&dyn DriverFactory| {
        driver.spec().provides.iter().any(|provided| provided.full_service() == interface.full_service())
    };
    drivers.iter().filter(provides).any(|driver| !driver.children().is_empty())
}

fn print(schema: &Value) -> String {
    let mut document = json!({ "$comment": schemas::COMMENT });
    if let (Some(document), Some(schema)) = (document.as_object_mut(), schema.as_object()) {
        document.extend(schema.clone());
    }
    // Two levels of a string map cannot fail to print; an empty document would be refused by the check.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
