//! The schema of the exporter file, in which every driver has its own configuration and children.

use jumpstarter_core::{
    config::{CommonConfig, FailureDetection, Hooks, Metadata, Tls},
    driver::{DriverFactory, Need},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Schema of the configuration of one driver, with the keys that every driver takes.
pub(crate) fn configuration(driver: &dyn DriverFactory) -> Value {
    let mut schema = driver.config_schema().to_value();
    let common = schemars::schema_for!(CommonConfig).to_value();
    if let Some(schema) = schema.as_object_mut() {
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let (Some(properties), Some(common)) =
            (properties.as_object_mut(), common["properties"].as_object())
        {
            properties.extend(common.clone());
        }
        if let Some(definitions) = common["$defs"].as_object() {
            let all = schema.entry("$defs").or_insert_with(|| json!({}));
            if let Some(all) = all.as_object_mut() {
                all.extend(definitions.clone());
            }
        }
        let spec = driver.spec();
        schema.insert("title".to_owned(), json!(format!("Configuration of the driver {}", spec.type_name)));
        let words = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        schema.insert("description".to_owned(), json!(if words.is_empty() { spec.doc } else { words }));
    }
    schema
}

fn part<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Schema of the whole file.
pub(crate) fn file(drivers: &[&'static dyn DriverFactory]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let metadata = part::<Metadata>(&mut generator);
    let tls = part::<Tls>(&mut generator);
    let hooks = part::<Hooks>(&mut generator);
    let failures = part::<FailureDetection>(&mut generator);
    let mut definitions: Map<String, Value> = generator.take_definitions(true);
    let mut forms = Vec::new();
    for driver in drivers {
        let name = format!("driver-{}", driver.spec().type_name);
        forms.push(json!({ "$ref": format!("#/$defs/{name}") }));
        definitions.insert(name, node(*driver, &mut definitions_of(*driver)));
    }
    forms.push(json!({ "$ref": "#/$defs/group" }));
    forms.push(json!({ "$ref": "#/$defs/reference" }));
    definitions.insert("node".to_owned(), json!({ "description": "A device.", "oneOf": forms }));
    definitions.insert(
        "group".to_owned(),
        json!({
            "type": "object",
            "description": "A group of devices under one name.",
            "required": ["children"],
            "properties": { "children": children_of_any_kind(), "description": description() },
            "additionalProperties": false,
        }),
    );
    definitions.insert(
        "reference".to_owned(),
        json!({
            "type": "object",
            "description": "Another name for another device.",
            "required": ["ref"],
            "properties": {
                "ref": { "type": "string", "description": "Names from the root with dots between them, for example `board.power`." },
            },
            "additionalProperties": false,
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Exporter file",
        "description": "What an exporter offers: devices, and what happens before and after a lease.",
        "type": "object",
        "properties": {
            "apiVersion": { "const": "jumpstarter.dev/v1alpha1", "description": "Version of this form of file." },
            "kind": { "const": "ExporterConfig", "description": "Says what kind of file this is." },
            "metadata": metadata,
            "endpoint": { "type": ["string", "null"], "description": "Controller to register with, HOST:PORT." },
            "token": { "type": ["string", "null"], "description": "Credential for the controller." },
            "tls": tls,
            "grpcOptions": {
                "type": ["object", "null"],
                "description": "Options of the connection to the controller.",
                "additionalProperties": { "type": ["string", "integer"] },
            },
            "description": description(),
            "motd": { "type": ["string", "null"], "description": "Shown when an interactive shell starts." },
            "export": {
                "type": ["object", "null"],
                "description": "The devices by name.",
                "additionalProperties": { "$ref": "#/$defs/node" },
            },
            "hooks": hooks,
            "failureDetection": failures,
            "exitOnLeaseEnd": { "type": "boolean", "default": false, "description": "End after one lease." },
        },
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn description() -> Value {
    json!({ "type": ["string", "null"], "description": "Help text of its command." })
}

fn children_of_any_kind() -> Value {
    json!({
        "type": ["object", "null"],
        "description": "Devices below this one, by name.",
        "additionalProperties": { "$ref": "#/$defs/node" },
    })
}

/// Definitions of a driver's configuration stay inside of it, where its references find them.
fn definitions_of(driver: &dyn DriverFactory) -> Map<String, Value> {
    configuration(driver)["$defs"].as_object().cloned().unwrap_or_default()
}

/// A node with this driver.
fn node(driver: &dyn DriverFactory, definitions: &mut Map<String, Value>) -> Value {
    let spec = driver.spec();
    let mut config = configuration(driver);
    let prefix = format!("#/$defs/driver-{}/$defs/", spec.type_name);
    relocate(&mut config, &prefix);
    for definition in definitions.values_mut() {
        relocate(definition, &prefix);
    }
    if let Some(config) = config.as_object_mut() {
        config.remove("$schema");
        config.remove("$defs");
        let empty = json!(["object", "null"]);
        config.insert("type".to_owned(), empty);
    }
    let names: Vec<_> = std::iter::once(spec.type_name).chain(spec.aliases.iter().copied()).collect();
    let mut properties = json!({
        "type": { "enum": names, "description": spec.doc },
        "config": config,
        "description": description(),
        "methods_description": {
            "type": ["object", "null"],
            "description": "Help texts of commands, by the command's name.",
            "additionalProperties": { "type": "string" },
        },
        "isolation": { "enum": ["none", "process"], "description": "Where the driver runs." },
        "children": children(driver),
    });
    let configured = configuration(driver)["required"].as_array().is_some_and(|keys| !keys.is_empty());
    let parents = driver.children().iter().any(|child| child.need == Need::Required);
    if let Some(properties) = properties.as_object_mut()
        && driver.children().iter().all(|child| child.need == Need::Made)
    {
        properties.remove("children");
    }
    let mut required = vec!["type"];
    required.extend(configured.then_some("config"));
    required.extend(parents.then_some("children"));
    json!({
        "type": "object",
        "description": spec.doc,
        "required": required,
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn children(driver: &dyn DriverFactory) -> Value {
    let specs = driver.children();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for spec in specs.iter().filter(|spec| !matches!(spec.need, Need::Made | Need::Rest)) {
        for name in std::iter::once(&spec.name).chain(spec.also) {
            properties.insert((*name).to_owned(), json!({ "$ref": "#/$defs/node", "description": spec.doc }));
        }
        if spec.need == Need::Required && spec.also.is_empty() {
            required.push(spec.name);
        }
    }
    let mut schema = children_of_any_kind();
    if let Some(schema) = schema.as_object_mut() {
        if !specs.iter().any(|spec| spec.need == Need::Rest) {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        schema.insert("properties".to_owned(), Value::Object(properties));
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Points references to definitions at where the definitions are now.
fn relocate(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => {
                        if let Some(name) =
                            text.strip_prefix("#/$defs/").filter(|_| !text.starts_with(prefix))
                        {
                            *text = format!("{prefix}{name}");
                        }
                    }
                    value => relocate(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, prefix)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validator() -> jsonschema::Validator {
        jsonschema::draft202012::new(&file(jumpstarter_cli::DRIVERS)).expect("a schema")
    }

    #[test]
    fn the_schema_itself_is_valid() {
        assert!(jsonschema::draft202012::meta::is_valid(&file(jumpstarter_cli::DRIVERS)));
        for driver in jumpstarter_cli::DRIVERS {
            assert!(
                jsonschema::draft202012::meta::is_valid(&configuration(*driver)),
                "{}",
                driver.spec().type_name
            );
        }
    }

    #[test]
    fn good_files_pass_and_bad_ones_do_not() {
        let validator = validator();
        let with = |node: Value| json!({ "kind": "ExporterConfig", "export": { "it": node } });
        for good in [
            json!({ "type": "mock-power" }),
            json!({ "type": "jumpstarter_driver_power.driver.MockPower", "config": null }),
            json!({ "type": "simulated-board", "config": { "boot_delay": "1s", "log_level": "DEBUG" } }),
            json!({ "type": "tcp-network", "config": { "host": "x", "port": 22 } }),
            json!({ "children": { "a": { "ref": "b" } } }),
        ] {
            assert!(validator.is_valid(&with(good.clone())), "{good}");
        }
        for bad in [
            json!({ "type": "mock-powr" }),
            json!({ "type": "tcp-network" }),
            json!({ "type": "tcp-network", "config": { "host": "x", "port": 70000 } }),
            json!({ "type": "simulated-board", "children": {} }),
            json!({ "type": "mock-power", "ref": "x" }),
            json!({}),
        ] {
            assert!(!validator.is_valid(&with(bad.clone())), "{bad}");
        }
    }
}
