//! A word to Python clients about the package that they may lack.
//!
//! A client of upstream's that cannot find the class of a device leaves it out of its command line, and says nothing but
//! the path of the class. What it does show is the description of the group above. Other clients need no Python package,
//! so only those that call themselves Python are told.

use std::collections::HashMap;

use jumpstarter_core::driver::{COMPOSITE_CLIENT, GENERATED_DISTRIBUTION, is_generated_client};
use jumpstarter_protocol::v1::DriverInstanceReport;
use tonic::metadata::MetadataMap;

use crate::report::{CLIENT, NAME};

/// What upstream's composite says of itself where nobody has described it.
const GROUP: &str = "Generic composite device";

/// How to get the package, which is in no index. Whether a client has it is not to be seen from here: its classes are
/// looked for after the report. So it says when it holds.
const HOW: &str = "where FOLDER has its wheel. The wheel comes with Jumpstarter in Rust, the program of this exporter; \
                   ask whoever runs it, or make it from the sources: pip wheel --no-deps schemas/clients/python";

/// Whether a call comes from a Python client.
pub(crate) fn is_python(metadata: &MetadataMap) -> bool {
    let agent = metadata.get("user-agent").and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.starts_with("grpc-python"))
}

/// Names, in the descriptions of groups, the package with the classes of the devices below them.
pub(crate) fn add(entries: &mut [DriverInstanceReport]) {
    let mut wanted: HashMap<String, Vec<String>> = HashMap::new();
    for entry in entries.iter() {
        let generated = entry.labels.get(CLIENT).is_some_and(|class| is_generated_client(class));
        if let (true, Some(parent), Some(name)) = (generated, &entry.parent_uuid, entry.labels.get(NAME)) {
            let names = wanted.entry(parent.clone()).or_default();
            // A reference repeats its target with everything below.
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    for entry in entries {
        let composite = entry.labels.get(CLIENT).is_some_and(|class| class == COMPOSITE_CLIENT);
        if let (true, Some(names)) = (composite, wanted.get(&entry.uuid)) {
            let description = entry.description.as_deref().unwrap_or(GROUP);
            let names = names.join(" or ");
            entry.description = Some(format!(
                "{description}\n\nIf {names} is not among the commands below, a Python package is missing: \
                 pip install --find-links FOLDER {GENERATED_DISTRIBUTION}, {HOW}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uuid: &str, parent: Option<&str>, name: &str, client: &str) -> DriverInstanceReport {
        DriverInstanceReport {
            uuid: uuid.to_owned(),
            parent_uuid: parent.map(str::to_owned),
            labels: HashMap::from([
                (CLIENT.to_owned(), client.to_owned()),
                (NAME.to_owned(), name.to_owned()),
            ]),
            ..DriverInstanceReport::default()
        }
    }

    #[test]
    fn a_group_names_the_package_for_its_devices_and_others_say_what_they_said() {
        let machine = "jumpstarter_driver_x.client.MachineClient";
        let power = "jumpstarter_driver_power.client.PowerClient";
        let mut entries = vec![
            entry("root", None, "", COMPOSITE_CLIENT),
            entry("board", Some("root"), "board", COMPOSITE_CLIENT),
            entry("power", Some("board"), "power", power),
            entry("machine", Some("board"), "machine", machine),
            // The board under a second name.
            entry("board", Some("root"), "same", COMPOSITE_CLIENT),
            entry("machine", Some("board"), "machine", machine),
        ];
        entries[1].description = Some("My board".to_owned());
        add(&mut entries);
        let said: Vec<_> = entries.iter().map(|entry| entry.description.as_deref()).collect();
        let hint = |before: &str| {
            format!(
                "{before}\n\nIf machine is not among the commands below, a Python package is missing: pip install \
                 --find-links FOLDER jumpstarter-driver-x, where FOLDER has its wheel. The wheel comes with Jumpstarter in \
                 Rust, the program of this exporter; ask whoever runs it, or make it from the sources: pip wheel --no-deps \
                 schemas/clients/python"
            )
        };
        let (own, general) = (hint("My board"), hint("Generic composite device"));
        assert_eq!(said, [None, Some(&*own), None, None, Some(&*general), None]);
    }

    #[test]
    fn a_similar_name_is_not_our_package() {
        let mut entries = vec![
            entry("root", None, "", COMPOSITE_CLIENT),
            entry("a", Some("root"), "a", "jumpstarter_driver_xcp.client.XcpClient"),
        ];
        add(&mut entries);
        assert_eq!(entries[0].description, None);
    }
}
