//! The definitions that Kubernetes is given, and the schema in each of them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{Client, Exporter, ExporterAccessPolicy, Lease};

/// All definitions, sorted by name.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<Client>(),
        definition::<ExporterAccessPolicy>(),
        definition::<Exporter>(),
        definition::<Lease>(),
    ]
}

/// The definition of one resource.
///
/// What the derivation prints is brought to the form that is in use: a spec may be left out (it is then empty), and an
/// absent field is left out and never null.
pub fn definition<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut definition = K::crd();
    let kind = &definition.spec.names.kind;
    definition.spec.names.list_kind = Some(format!("{kind}List"));
    for version in &mut definition.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            schema.required = None;
            let mut value = serde_json::to_value(&*schema).unwrap_or_default();
            never_null(&mut value);
            if let Ok(tidy) = serde_json::from_value(value) {
                *schema = tidy;
            }
        }
    }
    definition
}

/// The schema of one resource, of its spec and status.
pub(crate) fn schema<K: CustomResourceExt>() -> Value {
    let definition = definition::<K>();
    let version = definition.spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default()
}

fn never_null(schema: &mut Value) {
    match schema {
        Value::Object(schema) => {
            if schema.get("nullable") == Some(&Value::Bool(true)) {
                schema.remove("nullable");
                if let Some(Value::Array(options)) = schema.get_mut("enum") {
                    options.retain(|option| !option.is_null());
                }
            }
            schema.values_mut().for_each(never_null);
        }
        Value::Array(items) => items.iter_mut().for_each(never_null),
        _ => {}
    }
}
