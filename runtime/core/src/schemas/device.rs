//! The devices of an exporter file: one shape for each driver, groups, references.
//!
//! # Why it is built like this
//!
//! `oneOf` over the shapes would be enough for validators. An editor needs more, because while somebody is typing, no shape
//! fits yet, and after a mistake none fits any more: the language server for YAML then guesses one, and what it says is
//! about that one. So every union
//!
//! * decides by the keys that are there: with `type` it is a driver, with `ref` a reference, with `children` a group;
//! * says itself which values `type` may have, with a description each, so that all are offered;
//! * has a last shape for a `type` that nobody knows, so that a mistyped one is one mistake, at its place, and not also
//!   whatever keeps the rest from being some other driver.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    driver::{configuration, needs_keys},
    tidy::relocate,
};
use crate::{
    config::tree::MAX_NAME,
    describe::{Interface, Kind},
    driver::{ChildSpec, DriverFactory, Need},
};

/// Where any device is defined.
const ANY: &str = "device";

/// Definitions for these drivers, added to those that are there.
pub(super) fn define(drivers: &[&'static dyn DriverFactory], definitions: &mut Map<String, Value>) {
    let mut wanted: BTreeMap<String, &'static Interface> = BTreeMap::new();
    for driver in drivers {
        for child in driver.children().iter().filter(|child| from_file(child)) {
            if let Some(interface) = child.interface {
                wanted.insert(interface.full_service(), interface);
            }
        }
        let config = hoisted(*driver, definitions);
        definitions.insert(shape_name(*driver), shape(*driver, config));
    }
    definitions.insert("group".to_owned(), group());
    definitions.insert("reference".to_owned(), reference());
    definitions.insert(ANY.to_owned(), union("A device.", drivers, true));
    for interface in wanted.values() {
        let provides = |driver: &&&'static dyn DriverFactory| {
            driver.spec().provides.iter().any(|own| own.full_service() == interface.full_service())
        };
        let fitting: Vec<_> = drivers.iter().filter(provides).copied().collect();
        let words = format!("A device that provides {}, or a reference to one.", interface.name);
        definitions.insert(providing(interface), union(&words, &fitting, false));
    }
}

/// A mapping of names to devices.
pub(super) fn devices(description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "propertyNames": names(),
        "additionalProperties": any(),
    })
}

fn any() -> Value {
    json!({ "$ref": format!("#/$defs/{ANY}") })
}

fn names() -> Value {
    json!({ "pattern": "\\S", "maxLength": MAX_NAME })
}

fn shape_name(driver: &dyn DriverFactory) -> String {
    format!("driver-{}", driver.spec().type_name)
}

fn providing(interface: &Interface) -> String {
    format!("provides-{}-v{}", interface.name, interface.version)
}

/// Whether the file may mention this child by its name.
fn from_file(child: &ChildSpec) -> bool {
    matches!(child.need, Need::Required | Need::Optional)
}

fn types(driver: &dyn DriverFactory) -> Vec<&'static str> {
    let spec = driver.spec();
    std::iter::once(spec.type_name).chain(spec.aliases.iter().copied()).collect()
}

/// The driver's configuration, its definitions moved to those of the file.
fn hoisted(driver: &dyn DriverFactory, definitions: &mut Map<String, Value>) -> Value {
    let mut config = configuration(driver);
    let Some(object) = config.as_object_mut() else { return config };
    object.remove("$schema");
    let Some(Value::Object(own)) = object.remove("$defs") else { return config };
    // A definition that means something else under the same name brings all of them new names.
    let clash =
        own.iter().any(|(name, definition)| definitions.get(name).is_some_and(|other| other != definition));
    let prefix = if clash { format!("{}-", driver.spec().type_name) } else { String::new() };
    let name_of = |name: &str| format!("{prefix}{name}");
    relocate(&mut config, &name_of);
    for (name, mut definition) in own {
        relocate(&mut definition, &name_of);
        definitions.insert(name_of(&name), definition);
    }
    config
}

/// Devices of these drivers, references, and groups where they may be.
fn union(description: &str, drivers: &[&'static dyn DriverFactory], groups: bool) -> Value {
    let to = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let known: Vec<_> = drivers.iter().flat_map(|driver| types(*driver)).collect();
    let choices: Vec<_> = drivers
        .iter()
        .map(|driver| json!({ "enum": types(*driver), "description": driver.spec().doc }))
        .collect();
    let mut driver = json!({ "description": "The driver." });
    if !choices.is_empty() {
        driver["anyOf"] = choices.into();
    }
    let mut shapes: Vec<_> = drivers.iter().map(|driver| to(&shape_name(*driver))).collect();
    shapes.push(json!({
        "$comment": "A type that is unknown: objected to above, once, and its keys are not looked at.",
        "required": ["type"],
        "properties": { "type": { "not": { "enum": known } } },
    }));
    let nothing_yet = json!({
        "required": ["type"],
        "properties": { "type": true, "description": true },
        "additionalProperties": false,
    });
    let otherwise = if groups {
        json!({ "if": { "required": ["children"] }, "then": to("group"), "else": nothing_yet })
    } else {
        nothing_yet
    };
    let mut properties = json!({
        "type": driver,
        "ref": { "type": "string", "description": "Names of another device, from the root with dots between them." },
    });
    if groups {
        properties["children"] =
            json!({ "type": "object", "description": "Devices below this one, by name." });
    }
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "if": { "required": ["type"] },
        "then": { "oneOf": shapes },
        "else": { "if": { "required": ["ref"] }, "then": to("reference"), "else": otherwise },
    })
}

fn description() -> Value {
    json!({ "type": ["string", "null"], "description": "Help text of its command, instead of the driver's own words." })
}

/// Null stands for "not given" in files that a program wrote.
fn not_given() -> Value {
    json!({ "type": "null", "doNotSuggest": true })
}

fn group() -> Value {
    json!({
        "title": "group",
        "type": "object",
        "description": "A group of devices under one name.",
        "required": ["children"],
        "properties": {
            "children": devices("Devices below this one, by name."),
            "description": description(),
            "config": not_given(),
            "methods_description": not_given(),
            "isolation": not_given(),
        },
        "additionalProperties": false,
    })
}

fn reference() -> Value {
    json!({
        "title": "reference",
        "type": "object",
        "description": "Another name for another device.",
        "required": ["ref"],
        "properties": {
            "ref": {
                "type": "string",
                "pattern": "\\S",
                "description": "Names from the root with dots between them.",
                "examples": ["board.power"],
            },
            "description": not_given(),
            "config": not_given(),
            "methods_description": not_given(),
            "isolation": not_given(),
        },
        "additionalProperties": false,
    })
}

/// A device with this driver.
fn shape(driver: &dyn DriverFactory, mut config: Value) -> Value {
    let spec = driver.spec();
    let configured = needs_keys(&config);
    if !configured && let Some(config) = config.as_object_mut() {
        config.insert("type".to_owned(), json!(["object", "null"]));
    }
    let specs = driver.children();
    let mut required = vec!["type"];
    required.extend(configured.then_some("config"));
    required.extend(specs.iter().any(|child| child.need == Need::Required).then_some("children"));
    json!({
        "title": spec.type_name,
        "type": "object",
        "description": spec.doc,
        "required": required,
        "properties": {
            "type": { "enum": types(driver), "default": spec.type_name, "description": spec.doc },
            "config": config,
            "children": children(specs),
            "description": description(),
            "methods_description": methods(spec.provides),
            "isolation": {
                "enum": ["none", null],
                "description": "Where the driver runs. This version runs every driver in the exporter's process.",
                "doNotSuggest": true,
            },
        },
        "additionalProperties": false,
    })
}

/// Help texts by command.
fn methods(provides: &[&'static Interface]) -> Value {
    let methods = provides.iter().flat_map(|interface| interface.methods);
    let properties: Map<String, Value> = methods
        .filter(|method| method.kind != Kind::Bytes)
        .map(|method| {
            (method.export.replace('_', "-"), json!({ "type": "string", "description": method.doc }))
        })
        .collect();
    json!({
        "type": ["object", "null"],
        "description": "Help texts of commands, by the command's name.",
        "properties": properties,
        "additionalProperties": { "type": "string" },
    })
}

fn children(specs: &[ChildSpec]) -> Value {
    let rest = specs.iter().any(|child| child.need == Need::Rest);
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut either = Vec::new();
    for child in specs {
        if child.need == Need::Made && rest {
            // The driver makes it itself.
            properties.insert(child.name.to_owned(), json!(false));
        }
        if !from_file(child) {
            continue;
        }
        let to = child.interface.map_or_else(any, |interface| {
            json!({ "$ref": format!("#/$defs/{}", providing(interface)), "description": child.doc })
        });
        properties.insert(child.name.to_owned(), to.clone());
        for also in child.also {
            let mut to = to.clone();
            to["doNotSuggest"] = true.into();
            properties.insert((*also).to_owned(), to);
        }
        if child.need == Need::Required {
            if child.also.is_empty() {
                required.push(child.name);
            } else {
                let names = std::iter::once(&child.name).chain(child.also);
                either.push(
                    json!({ "anyOf": names.map(|name| json!({ "required": [name] })).collect::<Vec<_>>() }),
                );
            }
        }
    }
    let mut schema = devices("Devices below this one, by name.");
    if let Some(schema) = schema.as_object_mut() {
        if !rest {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        if !rest && properties.is_empty() {
            // An empty mapping is harmless, so it is no mistake; nobody needs to be led to it.
            schema.insert("description".to_owned(), "This driver takes no children.".into());
            schema.insert("doNotSuggest".to_owned(), true.into());
        }
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), Value::Object(properties));
        }
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        if !either.is_empty() {
            schema.insert("allOf".to_owned(), json!(either));
        }
    }
    schema
}
