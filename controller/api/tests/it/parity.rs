//! The printed definitions against the field tables of the existing ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::{Map, Value};

const TABLES: &str = include_str!("fixtures/fields.txt");

/// What the tables say of each kind, with the shapes written out, as sorted lines.
fn wanted() -> BTreeMap<String, BTreeSet<String>> {
    let lines = || TABLES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut shapes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut shape = None;
    for line in lines() {
        if let Some(rest) = line.strip_prefix("shape ") {
            let (name, rest) = rest.split_once(' ').expect("a shape and its type");
            shapes.insert(name, vec![rest]);
            shape = Some(name);
        } else if let Some(name) = shape {
            shapes.get_mut(name).expect("the shape").push(line);
        }
    }
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kind = String::new();
    for line in lines().take_while(|line| !line.starts_with("shape ")) {
        if let Some(rest) = line.strip_prefix("kind ") {
            rest.split(' ').next().expect("a kind").clone_into(&mut kind);
        }
        let of_kind = kinds.entry(kind.clone()).or_default();
        let mut words = line.splitn(3, ' ');
        let (path, word, rest) =
            (words.next().expect("a path"), words.next().expect("a type"), words.next().unwrap_or_default());
        let Some(shape) = shapes.get(word).filter(|_| !["kind", "column", "rule"].contains(&path)) else {
            of_kind.insert(line.to_owned());
            continue;
        };
        for (index, line) in shape.iter().enumerate() {
            let (inner, rest_of_shape) =
                if index == 0 { ("", *line) } else { line.split_once(' ').expect("a path and a type") };
            let mut line = format!("{path}{inner} {rest_of_shape}");
            if index == 0 && !rest.is_empty() {
                line = words_in_order(&format!("{line} {rest}"));
            }
            of_kind.insert(line);
        }
    }
    kinds
}

/// `PATH TYPE`, then `required`, then the other words, sorted.
fn words_in_order(line: &str) -> String {
    let mut words = line.split(' ');
    let head: Vec<_> = words.by_ref().take(2).collect();
    let mut rest: Vec<_> = words.collect();
    rest.sort_by_key(|word| (*word != "required", *word));
    [head, rest].concat().join(" ")
}

/// What the printed definitions say, in the same form.
fn printed() -> BTreeMap<String, BTreeSet<String>> {
    let mut kinds = BTreeMap::new();
    for definition in jumpstarter_api::crd::all() {
        let mut lines = BTreeSet::new();
        let spec = &definition.spec;
        assert_eq!(spec.group, "jumpstarter.dev");
        assert_eq!(definition.metadata.name, Some(format!("{}.jumpstarter.dev", spec.names.plural)));
        assert_eq!(spec.names.short_names, None);
        assert_eq!(spec.names.categories, None);
        assert_eq!(spec.conversion, None);
        let [version] = spec.versions.as_slice() else { panic!("one version") };
        assert!(version.served && version.storage && version.deprecated.is_none());
        let subresources = version.subresources.as_ref().expect("subresources");
        assert!(subresources.status.is_some() && subresources.scale.is_none());
        lines.insert(format!(
            "kind {} {} {} {} {} {} status",
            spec.names.kind,
            spec.names.plural,
            spec.names.singular.as_deref().unwrap_or_default(),
            spec.names.list_kind.as_deref().unwrap_or_default(),
            spec.scope,
            version.name
        ));
        for column in version.additional_printer_columns.iter().flatten() {
            lines.insert(format!(
                "column \"{}\" {} {} {}",
                column.name,
                column.type_,
                column.json_path,
                column.priority.unwrap_or(0)
            ));
        }
        let schema =
            version.schema.as_ref().expect("a schema").open_api_v3_schema.as_ref().expect("a schema");
        let schema = serde_json::to_value(schema).expect("JSON");
        let root = schema.as_object().expect("an object");
        assert_eq!(root.get("required"), None, "a spec may be left out");
        for (name, inner) in root["properties"].as_object().expect("properties") {
            walk(name, inner, false, &mut lines);
        }
        kinds.insert(spec.names.kind.clone(), lines);
    }
    kinds
}

fn walk(path: &str, schema: &Value, required: bool, lines: &mut BTreeSet<String>) {
    let schema = schema.as_object().expect("a schema is an object");
    let mut line = format!("{path} {}", schema["type"].as_str().expect("a type"));
    if required {
        line.push_str(" required");
    }
    let structure = [
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "x-kubernetes-validations",
    ];
    let words: Map<_, _> = schema.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in words.iter().filter(|(key, _)| !structure.contains(&key.as_str())) {
        // A bound is a number with a fraction in the type that definitions are made of.
        let value = value.to_string();
        let value = value.strip_suffix(".0").unwrap_or(&value);
        write!(line, " {key}={value}").expect("text takes everything");
    }
    lines.insert(words_in_order(&line));
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        lines.insert(format!("rule {path} {}", rule["message"].as_str().expect("a message")));
    }
    let must: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), inner, must.iter().any(|must| *must == name), lines);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, false, lines);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        walk(&format!("{path}{{}}"), values, false, lines);
    }
}

#[test]
fn the_printed_definitions_have_the_fields_of_the_tables_and_no_others() {
    let (wanted, printed) = (wanted(), printed());
    assert_eq!(wanted.keys().collect::<Vec<_>>(), printed.keys().collect::<Vec<_>>());
    for (kind, wanted) in &wanted {
        let missing: Vec<_> = wanted.difference(&printed[kind]).collect();
        let surplus: Vec<_> = printed[kind].difference(wanted).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{kind}\n  in the tables only: {missing:#?}\n  printed only: {surplus:#?}"
        );
        // The comparison is about something.
        assert!(wanted.len() > 10, "{kind}");
    }
}

/// Kubernetes takes structural schemas only: no references, no choice of types, no null.
#[test]
fn the_schemas_are_structural() {
    for definition in jumpstarter_api::crd::all() {
        let text = serde_json::to_string(&definition).unwrap();
        for word in
            ["\"$ref\"", "\"oneOf\"", "\"anyOf\"", "\"nullable\"", "\"definitions\"", "\"uniqueItems\""]
        {
            assert!(!text.contains(word), "{word} in {:?}", definition.metadata.name);
        }
    }
}
