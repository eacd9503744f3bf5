//! What may stand under `config`.

use serde_json::{Map, Value, json};

use super::tidy::tidy;
use crate::{config::CommonConfig, driver::DriverFactory};

/// Schema of the configuration of one driver, with the keys that every driver takes.
pub fn configuration(driver: &dyn DriverFactory) -> Value {
    let mut schema = driver.config_schema().to_value();
    let common = schemars::schema_for!(CommonConfig).to_value();
    let spec = driver.spec();
    if let Some(schema) = schema.as_object_mut() {
        extend(schema, "properties", &common);
        extend(schema, "$defs", &common);
        schema.insert("title".to_owned(), format!("Configuration of the driver {}", spec.type_name).into());
        let silent = schema.get("description").and_then(Value::as_str).is_none_or(str::is_empty);
        if silent {
            schema.insert("description".to_owned(), spec.doc.into());
        }
    }
    tidy(&mut schema);
    schema
}

fn extend(schema: &mut Map<String, Value>, key: &str, common: &Value) {
    let Some(common) = common[key].as_object() else { return };
    let own = schema.entry(key).or_insert_with(|| json!({}));
    if let Some(own) = own.as_object_mut() {
        own.extend(common.clone());
    }
}

/// Whether a configuration must have a key, so that leaving all of it out is a mistake.
pub fn needs_keys(configuration: &Value) -> bool {
    let some = |value: &Value| value.as_array().is_some_and(|keys| !keys.is_empty());
    // A key with an old name is asked for as one of two.
    let either = |part: &Value| {
        part["anyOf"].as_array().is_some_and(|choices| choices.iter().all(|choice| some(&choice["required"])))
    };
    some(&configuration["required"])
        || configuration["allOf"].as_array().is_some_and(|parts| parts.iter().any(either))
}
