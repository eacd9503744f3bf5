//! The pages of the files that people write.

use std::fmt::Write as _;

use jumpstarter_core::{
    config::{client, common::COMMON_KEYS, exporter, tree::NODE_KEYS, user},
    schemas,
};
use jumpstarter_lab::config as lab;
use serde_json::{Map, Value, json};

use super::{
    example::{self, Shown},
    keys::Keys,
    words::prose,
};

/// A page about a file.
struct File {
    name: &'static str,
    title: &'static str,
    place: &'static str,
    schema: Value,
    order: &'static [&'static str],
    elsewhere: &'static [(&'static str, &'static str)],
}

/// The name of each page, without its ending, and its text.
pub(super) fn pages() -> Vec<(&'static str, String)> {
    let files = [
        File {
            name: "exporter",
            title: "The exporter file",
            place: "Any file that `jmp shell --exporter-config FILE` or `jmp run --exporter-config FILE` names, or \
                    `exporters/ALIAS.yaml` in the user's folder or in `/etc/jumpstarter`. \
                    [The exporter file](../../exporter-file.md) explains it with examples.",
            schema: schemas::exporter(&[]),
            order: exporter::FILE_KEYS,
            elsewhere: &[("export", "mapping of names to [devices](#a-device)")],
        },
        File {
            name: "client",
            title: "The client file",
            place: "`clients/ALIAS.yaml` in the user's folder. Commands for it come together with the controller; its \
                    form, this page and its schema are there already.",
            schema: schemas::client(),
            order: client::FILE_KEYS,
            elsewhere: &[],
        },
        File {
            name: "lab",
            title: "The lab file",
            place: "Any file that `jmp serve --config FILE` names. [A lab](../../lab.md) and \
                    [who is who in it](../../identity.md) explain what is in it.",
            schema: lab::schema(),
            order: lab::FILE_KEYS,
            elsewhere: &[],
        },
        File {
            name: "user",
            title: "The user file",
            place: "`config.yaml` in the user's folder.",
            schema: schemas::user(),
            order: user::FILE_KEYS,
            elsewhere: &[],
        },
    ];
    files.iter().map(|file| (file.name, page(file))).collect()
}

fn page(file: &File) -> String {
    let File { name, title, place, schema, order, elsewhere } = file;
    let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let keys = Keys::new(&definitions, elsewhere);
    let mut text =
        format!("# {title}\n\n{}\n\n{place}\n", prose(schema["description"].as_str().unwrap_or_default()));
    text.push_str(
        "\nThe user's folder is `$JMP_CLIENT_CONFIG_HOME`, else `$XDG_CONFIG_HOME/jumpstarter`, else \
         `~/.config/jumpstarter`.\n",
    );
    let _ = write!(
        text,
        "\nIts schema is [`schemas/{name}-config.json`](../../../schemas/{name}-config.json); `jmp config schema {name}` \
         prints it. A key that is in no table is an error.\n\n## At the top\n\n{}",
        keys.table(schema, "", order)
    );
    for (paths, inner) in keys.inner(schema, order) {
        let words = inner["description"].as_str().unwrap_or_default();
        sections(&mut text, "##", &paths);
        let first = paths.first().map(String::as_str).unwrap_or_default();
        let _ = write!(text, "{}\n\n{}", prose(words), keys.table(inner, first, &[]));
    }
    if *name == "exporter" {
        devices(&mut text, &definitions);
    }
    let _ = write!(text, "\n## Example\n\nEvery key:\n\n{}", whole(file, &definitions));
    text
}

/// Headings of mappings with the same keys. Each has one, so that links lead there.
pub(super) fn sections(text: &mut String, level: &str, paths: &[String]) {
    for path in paths {
        let _ = write!(text, "\n{level} `{path}`\n");
    }
    text.push('\n');
}

fn devices(text: &mut String, definitions: &Map<String, Value>) {
    let mut driver = schemas::exporter(jumpstarter_cli::DRIVERS)["$defs"].take();
    let elsewhere = [
        ("type", "a driver: [all drivers](../README.md#drivers)"),
        ("config", "mapping; its keys are on the driver's page"),
        ("children", "mapping of names to [devices](#a-device)"),
    ];
    let keys = Keys::new(definitions, &elsewhere);
    let first = jumpstarter_cli::DRIVERS.first().map(|driver| format!("driver-{}", driver.spec().type_name));
    let mut shape = first.map(|name| driver[name].take()).unwrap_or_default();
    // What differs from driver to driver is on the drivers' pages.
    if let Some(properties) = shape["properties"].as_object_mut() {
        for (name, words) in [
            ("type", "The driver."),
            ("config", "Settings of the driver."),
            ("children", "Devices below this one, by name. What a driver wants below it is on its page."),
        ] {
            properties.insert(name.to_owned(), json!({ "description": words }));
        }
    }
    shape["required"] = json!(["type"]);
    let _ = write!(
        text,
        "\n## A device\n\nA device has a driver, or is a group, or is another name for a device.\n\n{}",
        keys.table(&shape, "", NODE_KEYS)
    );
    for (name, title) in [("group", "A group"), ("reference", "Another name")] {
        let mut shape = definitions[name].clone();
        // Keys that may only be empty need not be known.
        if let Some(properties) = shape["properties"].as_object_mut() {
            properties.retain(|_, property| property.get("doNotSuggest").is_none());
        }
        let words = shape["description"].as_str().unwrap_or_default().to_owned();
        let _ = write!(text, "\n### {title}\n\n{}\n\n{}", prose(&words), keys.table(&shape, "", NODE_KEYS));
    }
    let _ = write!(
        text,
        "\nEvery driver takes {} under `config`, beside its own keys.\n",
        COMMON_KEYS.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    );
}

fn whole(file: &File, definitions: &Map<String, Value>) -> String {
    let mut schema = file.schema.clone();
    if file.name == "exporter" {
        // A device may hold devices: an example by the rules would not end.
        schema["properties"]["export"]["examples"] = json!([{
            "board": { "type": "simulated-board" },
            "bench": { "children": { "main": { "type": "mock-power" } } },
            "power": { "ref": "bench.main" },
        }]);
    }
    let value = example::of(&schema, definitions, Shown::Everything);
    format!(
        "```yaml\n# yaml-language-server: $schema=../../../schemas/{}-config.json\n{}```\n",
        file.name,
        example::yaml(&value, file.order, 0)
    )
}
