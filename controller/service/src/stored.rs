//! Objects of the store as resources, and back.

use jumpstarter_api::{Client, Exporter, ExporterAccessPolicy, Lease};
use jumpstarter_leasing::{Kind, Object as Known};
use jumpstarter_store::{Key, Object};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A kind of resource.
pub trait Stored: DeserializeOwned + Send + 'static {
    /// What the store calls it.
    const KIND: &'static str;
    /// What messages call many of them.
    const PLURAL: &'static str;
}

impl Stored for Client {
    const KIND: &'static str = "Client";
    const PLURAL: &'static str = "clients";
}

impl Stored for Exporter {
    const KIND: &'static str = "Exporter";
    const PLURAL: &'static str = "exporters";
}

impl Stored for Lease {
    const KIND: &'static str = "Lease";
    const PLURAL: &'static str = "leases";
}

impl Stored for ExporterAccessPolicy {
    const KIND: &'static str = "ExporterAccessPolicy";
    const PLURAL: &'static str = "exporteraccesspolicies";
}

/// What the store calls a kind.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => Client::KIND,
        Kind::Exporter => Exporter::KIND,
        Kind::Lease => Lease::KIND,
        Kind::Policy => ExporterAccessPolicy::KIND,
    }
}

/// What messages call many objects of a kind, as the store names it.
pub fn plural(kind: &str) -> &str {
    let known = [
        (Client::KIND, Client::PLURAL),
        (Exporter::KIND, Exporter::PLURAL),
        (Lease::KIND, Lease::PLURAL),
        (ExporterAccessPolicy::KIND, ExporterAccessPolicy::PLURAL),
    ];
    known.iter().find(|(of, _)| *of == kind).map_or(kind, |(_, plural)| plural)
}

/// The key of an object in the store.
pub fn key<K: Stored>(namespace: &str, name: &str) -> Key {
    Key::new(K::KIND, namespace, name)
}

/// An object as Kubernetes would show it.
pub fn json(object: &Object) -> Value {
    let mut metadata = Map::new();
    let mut put = |name: &str, value: Value| metadata.insert(name.to_owned(), value);
    put("name", object.key.name.clone().into());
    put("namespace", object.key.namespace.clone().into());
    put("uid", object.uid.to_string().into());
    put("resourceVersion", object.revision.to_string().into());
    put("generation", object.generation.into());
    put("creationTimestamp", jumpstarter_api::time::whole(object.created).0.to_string().into());
    if !object.labels.is_empty() {
        put("labels", json!(object.labels));
    }
    if !object.annotations.is_empty() {
        put("annotations", json!(object.annotations));
    }
    let mut whole = Map::new();
    whole.insert("apiVersion".to_owned(), "jumpstarter.dev/v1alpha1".into());
    whole.insert("kind".to_owned(), object.key.kind.clone().into());
    whole.insert("metadata".to_owned(), metadata.into());
    let spec = if object.spec.is_null() { json!({}) } else { object.spec.clone() };
    whole.insert("spec".to_owned(), spec);
    if !object.status.is_null() {
        whole.insert("status".to_owned(), object.status.clone());
    }
    whole.into()
}

/// An object as a resource.
///
/// # Errors
/// When it is none, in words. Whoever writes into the store checks what he writes, so this is another program's doing.
pub fn typed<K: Stored>(object: &Object) -> Result<K, String> {
    let mut value = json(object);
    // Who came first is also asked of those who came within one second.
    value["metadata"]["creationTimestamp"] = object.created.to_string().into();
    serde_json::from_value(value).map_err(|error| format!("{} is no such object: {error}", object.key))
}

/// An object as leasing knows it; nothing, if it is of another kind or none at all.
pub fn known(object: &Object) -> Option<Known> {
    let read = match object.key.kind.as_str() {
        Client::KIND => typed::<Client>(object).map(Known::from),
        Exporter::KIND => typed::<Exporter>(object).map(Known::from),
        Lease::KIND => typed::<Lease>(object).map(Known::from),
        ExporterAccessPolicy::KIND => typed::<ExporterAccessPolicy>(object).map(Known::from),
        _ => return None,
    };
    read.inspect_err(|problem| tracing::error!(problem, "an object is left out")).ok()
}

/// Which kind of object leasing would call it.
pub fn leasing_kind(name: &str) -> Option<Kind> {
    [Kind::Client, Kind::Exporter, Kind::Lease, Kind::Policy].into_iter().find(|of| kind(*of) == name)
}
