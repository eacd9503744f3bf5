//! Whether an object is good, and what is wrong with it.
//!
//! Kubernetes holds each object against the schema of its definition and evaluates the rules in it. Here the same schema and
//! the same rules are used, so a lab without Kubernetes refuses the same objects, and says the same.

use std::{
    any::TypeId,
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{error::ValidationErrorKind, paths::LocationSegment};
use kube::{
    CustomResourceExt, Resource,
    core::cel::{CompiledSchema, Validator, apply_defaults, compile_schema},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::crd;

/// Why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its kind and group: `Lease.jumpstarter.dev`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Everything that is wrong with it.
    pub causes: Vec<Cause>,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Where: `spec.tags`.
    pub field: String,
    /// What.
    pub message: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl fmt::Display for Invalid {
    /// As an API server says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\" is invalid: ", self.kind, self.name)?;
        match self.causes.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                let many: Vec<_> = many.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", many.join(", "))
            }
        }
    }
}

impl std::error::Error for Invalid {}

/// An object from its JSON, as an API server takes it: a spec that was left out is empty, null is the same as absent,
/// defaults are filled in, and fields that are not known are dropped.
pub fn read<K>(mut value: Value) -> Result<K, Invalid>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned + 'static,
{
    if let Some(object) = value.as_object_mut() {
        object.entry("spec").or_insert_with(|| Value::Object(Map::new()));
        object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    }
    drop_nulls(&mut value);
    let checker = checker::<K>();
    value = apply_defaults(&checker.schema, &value);
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let structure = checker.structure(&value);
    if !structure.is_empty() {
        return Err(invalid::<K>(&name, structure));
    }
    serde_json::from_value(value).map_err(|error| {
        invalid::<K>(&name, vec![Cause { field: "object".to_owned(), message: error.to_string() }])
    })
}

/// The fields of an object that its kind does not have, each with those that there are in its place. [`read`] drops them, as
/// an API server does; whoever has written one by hand has meant something else.
pub fn unknown<K: CustomResourceExt>(value: &Value) -> Vec<Cause> {
    let mut found = Vec::new();
    look_for_unknown(value, &crd::schema::<K>(), "", &mut found);
    found
}

fn look_for_unknown(value: &Value, schema: &Value, path: &str, found: &mut Vec<Cause>) {
    match value {
        Value::Object(fields) => {
            let others = &schema["additionalProperties"];
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match schema["properties"].as_object() {
                    Some(known) => match known.get(name) {
                        Some(schema) => look_for_unknown(value, schema, &path, found),
                        // Of every object, and not of its own schema.
                        None if !path.contains('.')
                            && ["apiVersion", "kind", "metadata"].contains(&&**name) => {}
                        None => {
                            let known = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                            found.push(Cause { field: path, message: format!("is not known here: {known}") });
                        }
                    },
                    None => look_for_unknown(value, others, &path, found),
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                look_for_unknown(item, &schema["items"], &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Whether a new object is good.
pub fn check_new<K>(object: &K) -> Result<(), Invalid>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + Serialize + 'static,
{
    check(object, None)
}

/// Whether an object may become another.
pub fn check_change<K>(old: &K, new: &K) -> Result<(), Invalid>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + Serialize + 'static,
{
    check(new, Some(old))
}

fn check<K>(object: &K, old: Option<&K>) -> Result<(), Invalid>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + Serialize + 'static,
{
    let checker = checker::<K>();
    // Resources are maps with text keys: they can be printed.
    let value = serde_json::to_value(object).unwrap_or_default();
    let mut causes = checker.structure(&value);
    // As an API server does: rules are for objects that have the right shape.
    if causes.is_empty() {
        let old = old.and_then(|old| serde_json::to_value(old).ok());
        causes = checker.rules(&value, old.as_ref());
    }
    let name = object.meta().name.as_deref().unwrap_or_default();
    if causes.is_empty() { Ok(()) } else { Err(invalid::<K>(name, causes)) }
}

fn invalid<K: Resource<DynamicType = ()>>(name: &str, causes: Vec<Cause>) -> Invalid {
    Invalid { kind: format!("{}.{}", K::kind(&()), K::group(&())), name: name.to_owned(), causes }
}

/// The schema of one kind, made ready once.
struct Checker {
    schema: Value,
    structure: Option<jsonschema::Validator>,
    rules: CompiledSchema,
}

/// The one of this kind.
fn checker<K: CustomResourceExt + 'static>() -> Arc<Checker> {
    static ALL: LazyLock<Mutex<HashMap<TypeId, Arc<Checker>>>> = LazyLock::new(Mutex::default);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(all.entry(TypeId::of::<K>()).or_insert_with(|| {
        let schema = crd::schema::<K>();
        Arc::new(Checker {
            structure: jsonschema::options().should_validate_formats(true).build(&schema).ok(),
            rules: compile_schema(&schema),
            schema,
        })
    }))
}

impl Checker {
    fn structure(&self, value: &Value) -> Vec<Cause> {
        let Some(structure) = &self.structure else {
            return vec![Cause { field: "object".to_owned(), message: "its schema is broken".to_owned() }];
        };
        structure.iter_errors(value).map(|error| cause(&error)).collect()
    }

    fn rules(&self, value: &Value, old: Option<&Value>) -> Vec<Cause> {
        let Err(errors) = Validator::new().validate_compiled(&self.rules, value, old) else {
            return Vec::new();
        };
        let cause = |error: kube::core::cel::ValidationError| Cause {
            field: error.field_path,
            message: format!("Invalid value: {}", error.message),
        };
        errors.into_iter().map(cause).collect()
    }
}

/// What an API server says of a value that does not fit.
fn cause(error: &jsonschema::ValidationError<'_>) -> Cause {
    let mut field = String::new();
    for part in error.instance_path() {
        match part {
            LocationSegment::Property(name) if field.is_empty() => field.push_str(&name),
            LocationSegment::Property(name) => field.extend([".", &name]),
            LocationSegment::Index(index) => field.extend(["[", &index.to_string(), "]"]),
        }
    }
    let found = error.instance();
    let message = match error.kind() {
        ValidationErrorKind::MaxProperties { limit } => {
            let count = found.as_object().map_or(0, Map::len);
            format!("Too many: {count}: must have at most {limit} items")
        }
        ValidationErrorKind::MaxLength { limit } => format!("Too long: may not be more than {limit} bytes"),
        ValidationErrorKind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            field = if field.is_empty() { property.to_owned() } else { format!("{field}.{property}") };
            "Required value".to_owned()
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<_> = options.as_array().into_iter().flatten().map(Value::to_string).collect();
            format!("Unsupported value: {found}: supported values: {}", options.join(", "))
        }
        _ => format!("Invalid value: {error}"),
    };
    if field.is_empty() {
        "object".clone_into(&mut field);
    }
    Cause { field, message }
}
