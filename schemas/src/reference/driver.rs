//! The page of a driver.

use std::fmt::Write as _;

use jumpstarter_core::{
    config::common::COMMON_KEYS,
    describe::{Exclusive, Interface},
    driver::{ChildSpec, DriverFactory, Need},
    schemas,
};
use serde_json::{Map, Value, json};

use super::{
    Source, example,
    example::Shown,
    file::sections,
    interface, interface_file,
    keys::Keys,
    words::{cell, prose, summary, table},
};

/// Order of keys in examples.
const ORDER: &[&str] = &["type", "config", "children"];

pub(super) fn page(source: &Source<'_>, driver: &'static dyn DriverFactory) -> String {
    let spec = driver.spec();
    let mut text = format!("# {}\n\n{}\n\n", spec.type_name, prose(spec.doc));
    facts(&mut text, driver);
    configuration(&mut text, driver);
    children(&mut text, source, driver);
    examples(&mut text, source, driver);
    methods(&mut text, spec.provides);
    let made: Vec<_> = driver.children().iter().filter(|child| child.need == Need::Made).collect();
    commands(&mut text, driver, &made);
    text
}

fn facts(text: &mut String, driver: &dyn DriverFactory) {
    let spec = driver.spec();
    let mut rows = vec![["`type`".to_owned(), format!("`{}`", spec.type_name)]];
    if !spec.aliases.is_empty() {
        let names: Vec<_> = spec.aliases.iter().map(|name| format!("`{name}`")).collect();
        rows.push(["Also".to_owned(), names.join(", ")]);
    }
    let provides: Vec<_> = spec.provides.iter().map(|interface| link(interface)).collect();
    rows.push([
        "Provides".to_owned(),
        if provides.is_empty() { "nothing of its own".to_owned() } else { provides.join(", ") },
    ]);
    rows.push(["Python client".to_owned(), format!("`{}`", spec.client_label())]);
    for (key, value) in spec.labels {
        rows.push([format!("Label `{key}`"), format!("`{value}`")]);
    }
    let schema = format!("../../../schemas/drivers/{}.json", spec.type_name);
    rows.push([
        "Schema of `config`".to_owned(),
        format!("[`schemas/drivers/{}.json`]({schema})", spec.type_name),
    ]);
    text.push_str(&table(["", ""], &rows));
}

fn link(interface: &Interface) -> String {
    format!("[{}](../interfaces/{}.md)", interface.name, interface_file(interface))
}

fn configuration(text: &mut String, driver: &dyn DriverFactory) {
    let mut schema = schemas::configuration(driver);
    let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let all = schema["properties"].take();
    let (common, own): (Map<_, _>, Map<_, _>) = all
        .as_object()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .partition(|(key, _)| COMMON_KEYS.contains(&key.as_str()));
    schema["properties"] = Value::Object(own);
    let words = schema["description"].as_str().unwrap_or_default();
    let keys = Keys::new(&definitions, &[]);
    let _ = write!(text, "\n## Configuration\n\n{}\n", prose(words));
    let own = keys.table(&schema, "", &[]);
    if !own.is_empty() {
        let _ = write!(text, "\n{own}");
    }
    for (paths, inner) in keys.inner(&schema, &[]) {
        sections(text, "###", &paths);
        let first = paths.first().map(String::as_str).unwrap_or_default();
        let words = inner["description"].as_str().unwrap_or_default();
        let _ = write!(text, "{}\n\n{}", prose(words), keys.table(inner, first, &[]));
    }
    choices(text, &schema);
    let common = json!({ "properties": common });
    let _ = write!(text, "\nLike every driver, it also takes:\n\n{}", keys.table(&common, "", COMMON_KEYS));
}

/// What the value of one key makes of the keys below another one: `if` this is `const`, `then` those are known.
fn choices(text: &mut String, schema: &Value) {
    let mut rows = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let condition = part["if"]["properties"].as_object().into_iter().flatten();
        for (key, value) in condition.filter_map(|(key, value)| Some((key, value.get("const")?.as_str()?))) {
            for (below, mapping) in part["then"]["properties"].as_object().into_iter().flatten() {
                let needed = |name: &String| {
                    mapping["required"]
                        .as_array()
                        .is_some_and(|names| names.iter().any(|known| known == name))
                };
                let names = mapping["properties"].as_object().into_iter().flatten().map(|(name, _)| {
                    if needed(name) { format!("**`{name}`**") } else { format!("`{name}`") }
                });
                rows.push([
                    format!("`{key}: {value}`"),
                    format!("`{below}`"),
                    names.collect::<Vec<_>>().join(", "),
                ]);
            }
        }
    }
    if !rows.is_empty() {
        let titles = ["With", "Known in", "Keys; **bold** ones must be there"];
        let _ = write!(text, "\n{}", table(titles, &rows));
    }
}

fn children(text: &mut String, source: &Source<'_>, driver: &dyn DriverFactory) {
    let specs = driver.children();
    if specs.is_empty() {
        return;
    }
    let rows: Vec<_> = specs.iter().map(|child| row(source, child)).collect();
    let _ = write!(text, "\n## Children\n\n{}", table(["Name", "Provides", "In the file", "Meaning"], &rows));
}

fn row(source: &Source<'_>, child: &ChildSpec) -> [String; 4] {
    let names: Vec<_> =
        std::iter::once(&child.name).chain(child.also).map(|name| format!("`{name}`")).collect();
    let name = if child.need == Need::Rest { "any other".to_owned() } else { names.join(", ") };
    let provides = child.interface.map_or_else(|| "anything".to_owned(), link);
    let fitting = child.interface.map(|interface| {
        let names: Vec<_> = source
            .providing(interface)
            .iter()
            .map(|driver| format!("[{0}]({0}.md)", driver.spec().type_name))
            .collect();
        names.join(", ")
    });
    let fitting =
        fitting.filter(|names| !names.is_empty()).map(|names| format!(": {names}")).unwrap_or_default();
    let need = match child.need {
        Need::Required => format!("**required**{fitting}"),
        Need::Optional => format!("optional{fitting}"),
        Need::Made => "no: the driver makes it".to_owned(),
        Need::Rest => "any number".to_owned(),
    };
    [name, provides, need, cell(child.doc)]
}

/// A device with this driver and, below it, the children that it must have.
fn device(source: &Source<'_>, driver: &dyn DriverFactory, shown: Shown) -> Value {
    let schema = schemas::configuration(driver);
    let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let mut device = Map::new();
    device.insert("type".to_owned(), driver.spec().type_name.into());
    let config = example::of(&schema, &definitions, shown);
    if config.as_object().is_some_and(|config| !config.is_empty()) {
        device.insert("config".to_owned(), config);
    }
    let mut children = Map::new();
    for child in driver.children() {
        let wanted =
            child.need == Need::Required || (shown == Shown::Everything && child.need == Need::Optional);
        let fitting = child.interface.and_then(|interface| {
            let all = source.providing(interface);
            // Of several, the one that the child is named after.
            let named = all.iter().find(|driver| driver.spec().type_name.starts_with(child.name));
            named.or(all.first()).copied()
        });
        if let Some(fitting) = fitting.filter(|_| wanted) {
            children.insert(child.name.to_owned(), self::device(source, fitting, Shown::Required));
        }
    }
    if !children.is_empty() {
        device.insert("children".to_owned(), Value::Object(children));
    }
    Value::Object(device)
}

fn examples(text: &mut String, source: &Source<'_>, driver: &'static dyn DriverFactory) {
    let file = |device: Value| {
        let file = json!({ "export": { "device": device } });
        format!(
            "```yaml\n# yaml-language-server: $schema=../../../schemas/exporter-config.json\n{}```\n",
            example::yaml(&file, ORDER, 0)
        )
    };
    let least = device(source, driver, Shown::Required);
    let most = device(source, driver, Shown::Everything);
    let _ = write!(text, "\n## Example\n\nWhat must be there:\n\n{}", file(least.clone()));
    if most != least {
        let _ = write!(text, "\nEvery key, with its default where it has one:\n\n{}", file(most));
    }
}

fn methods(text: &mut String, provides: &[&'static Interface]) {
    if provides.is_empty() {
        return;
    }
    let mut rows = Vec::new();
    for interface in provides {
        for method in interface.methods {
            let (native, legacy) = interface::spellings(interface, method);
            let name = format!(
                "[{}](../interfaces/{}.md#{})",
                method.export.replace('_', "\\_"),
                interface_file(interface),
                method.export
            );
            let mut meaning = summary(method.doc);
            match method.exclusive {
                Exclusive::No => {}
                Exclusive::Wait => meaning.push_str(" One call at a time; others wait."),
                Exclusive::Fail => meaning.push_str(" One call at a time; others are refused."),
            }
            rows.push([name, format!("`{native}`"), format!("`{legacy}`"), meaning]);
        }
    }
    let _ = write!(
        text,
        "\n## Methods\n\n{}",
        table(["Method", "Native gRPC", "Calls of version 0.9.0", "Meaning"], &rows)
    );
}

fn commands(text: &mut String, driver: &dyn DriverFactory, made: &[&ChildSpec]) {
    let mut rows = Vec::new();
    let mut add = |device: &str, interfaces: &[&'static Interface], client: &str| {
        let entries = interface::entries(interfaces);
        for command in jumpstarter_cli::reference::device(&entries, client, device) {
            rows.push([format!("`{}`", command.path), summary(&command.about)]);
        }
    };
    let spec = driver.spec();
    add("device", spec.provides, spec.client_label());
    for child in made {
        if let Some(interface) = child.interface {
            add(&format!("device {}", child.name), &[interface], interface.python);
        }
    }
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\n## Commands\n\nFor a device that is called `device` in the exporter file. The pages of the interfaces show all options.\n\n{}",
        table(["Command", "Meaning"], &rows)
    );
    if spec.provides.iter().any(|interface| jumpstarter_cli::reference::is_configured(interface)) {
        configured(text, driver);
    }
}

/// The commands that the configuration of the example names.
fn configured(text: &mut String, driver: &dyn DriverFactory) {
    text.push_str(
        "\nWhich commands there are, the configuration says: each name below `methods` is one. What follows the name are \
         the arguments of the command that stands there. Those of the example above:\n\n",
    );
    let schema = schemas::configuration(driver);
    let methods = schema["properties"]["methods"]["examples"][0].as_object().cloned().unwrap_or_default();
    let rows: Vec<_> = methods
        .iter()
        .map(|(name, method)| {
            let command = method.as_str().or_else(|| method["command"].as_str()).unwrap_or_default();
            let arguments = if command.contains("$1") { " world" } else { "" };
            let words = method["description"]
                .as_str()
                .map_or_else(|| format!("Run the method {name}"), str::to_owned);
            [format!("`j device {name}{arguments}`"), format!("`{}`", cell(command)), words]
        })
        .collect();
    text.push_str(&table(["Command", "Runs on the exporter", "Meaning"], &rows));
}
