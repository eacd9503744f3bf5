//! What a reader may expect of every page of a driver.

use std::collections::BTreeSet;

use jumpstarter_core::driver::DriverFactory;
use serde_json::Value;

use crate::documents;

/// A row of a table of keys.
#[derive(Debug)]
struct Row {
    page: String,
    key: String,
    value: String,
    unit: String,
    default: String,
    meaning: String,
}

/// The page of a driver.
fn page(driver: &dyn DriverFactory) -> (String, String) {
    let name = format!("docs/reference/drivers/{}.md", driver.spec().type_name);
    let documents = documents::all().expect("documents");
    let document = documents.into_iter().find(|document| document.path.to_str() == Some(&name));
    (name, document.expect("a page").content)
}

/// The cells of a row; a bar that belongs to a text is escaped.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// The rows of all tables of keys on a page.
fn rows(page: &str, text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut titles: Option<Vec<String>> = None;
    for line in text.lines() {
        if !line.starts_with('|') {
            titles = None;
        } else if let Some(titles) = &titles {
            let cells = cells(line);
            assert_eq!(cells.len(), titles.len(), "{page}: {line}");
            let cell = |title: &str| {
                let at = titles.iter().position(|known| known == title);
                at.map_or_else(String::new, |at| cells[at].clone())
            };
            if titles[0] == "Key" && !line.starts_with("|---") {
                rows.push(Row {
                    page: page.to_owned(),
                    key: cell("Key").trim_matches('`').to_owned(),
                    value: cell("Value"),
                    unit: cell("Unit"),
                    default: cell("Default"),
                    meaning: cell("Meaning"),
                });
            }
        } else {
            titles = Some(cells(line));
        }
    }
    rows
}

/// Every key of a schema, wherever it is, without old names.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if property.get("x-alias-of").is_none() {
                    found.insert(name.clone());
                }
            }
            // Values may look like anything.
            let parts = map
                .iter()
                .filter(|(word, _)| !["examples", "default", "const", "enum"].contains(&word.as_str()));
            parts.for_each(|(_, part)| keys(part, found));
        }
        Value::Array(parts) => parts.iter().for_each(|part| keys(part, found)),
        _ => {}
    }
}

/// Whether a value of this kind means nothing without a unit.
fn needs_a_unit(value: &str) -> bool {
    value.split(" or ").any(|form| form.starts_with("whole number") || form.starts_with("number"))
        || value.starts_with("length of time")
}

/// What is missing in a row.
fn gaps(row: &Row) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut gap = |is: bool, what: &str| {
        if is {
            gaps.push(format!("{}: `{}` has no {what}", row.page, row.key));
        }
    };
    let words = row.meaning.split(" For example `").next().unwrap_or_default();
    let example = row.meaning.contains("For example `");
    gap(row.value.is_empty(), "type");
    gap(words.trim().is_empty() || words.starts_with("For example"), "description");
    gap(row.default.is_empty() && !example, "default and no example");
    gap(row.default == "none" && !example, "example beside its empty default");
    gap(needs_a_unit(&row.value) && row.unit.is_empty(), "unit");
    gaps
}

#[test]
fn every_key_of_a_driver_has_a_type_a_description_a_unit_and_a_default_or_an_example() {
    let mut found = Vec::new();
    let mut seen = 0;
    for driver in jumpstarter_cli::DRIVERS {
        let (name, text) = page(*driver);
        let rows = rows(&name, &text);
        let mut wanted = BTreeSet::new();
        keys(&jumpstarter_core::schemas::configuration(*driver), &mut wanted);
        for key in wanted {
            // Keys that a service of its own explains stand in one row together.
            if !rows.iter().any(|row| row.key == key) && !text.contains(&format!("`{key}`")) {
                found.push(format!("{name}: `{key}` is in no table"));
            }
        }
        seen += rows.len();
        found.extend(rows.iter().flat_map(gaps));
    }
    assert!(seen > 150, "only {seen} keys");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_gap_in_a_table_of_keys_is_seen() {
    let text = "| Key | Value | Unit | Default | Meaning |\n|---|---|---|---|---|\n\
                | `a` | number, 0 or more |  | `1` | So many \\| more. |\n\
                | `b` |  |  |  |  |\n\
                | `c` | text |  |  | For example `x`. |\n\
                | `d` | length of time: `2s` | s | **required** | How long. |\n\
                \n| Command | Meaning |\n|---|---|\n| `j` |  |\n";
    let found: Vec<_> = rows("p", text).iter().flat_map(gaps).collect();
    assert_eq!(
        found,
        [
            "p: `a` has no unit",
            "p: `b` has no type",
            "p: `b` has no description",
            "p: `b` has no default and no example",
            "p: `c` has no description",
        ]
    );
}

/// Whatever is shown can be copied; what was made up for lack of an example could not.
#[test]
fn nothing_is_left_out_of_an_example() {
    for driver in jumpstarter_cli::DRIVERS {
        let (name, text) = page(*driver);
        for block in text.split("```yaml").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            assert!(!block.contains('…') && !block.contains("{}"), "{name}: {block}");
        }
    }
}

#[test]
fn the_commands_of_a_shell_are_those_of_its_example() {
    let shell = jumpstarter_cli::DRIVERS.iter().find(|driver| driver.spec().type_name == "shell");
    let (_, text) = page(*shell.expect("the driver"));
    for words in [
        "## Commands",
        "| `j device METHOD` | Run a method that the configuration names |",
        "Which commands there are, the configuration says: each name below `methods` is one.",
        "| `j device greet world` | `echo Hello, $1` | Say hello |",
        "| `methods` | mapping of names to: text, [mapping](#methodsname) |",
        "### `methods.NAME`",
        "| `command` | text |  | `echo Hello` | The command. |",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    // Each name of the table is one of the example.
    for name in ["greet", "uptime"] {
        assert!(text.contains(&format!("\n        {name}:")), "{name} is not in\n{text}");
    }
}

/// Commands that depend on more than an interface: the label of a bus, the program that shows a screen.
#[test]
fn pages_have_the_commands_that_the_client_adds() {
    for (driver, command, has) in [
        ("dbus-network", "j device run", true),
        ("tcp-network", "j device run", false),
        ("vnc", "j device session", true),
    ] {
        let factory = jumpstarter_cli::DRIVERS.iter().find(|known| known.spec().type_name == driver);
        let (name, text) = page(*factory.expect("the driver"));
        assert_eq!(text.contains(&format!("| `{command}` |")), has, "{name}: {command}");
    }
}
