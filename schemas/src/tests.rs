//! Writing and comparing, in a folder of its own.

use std::{fs, path::Path};

use crate::{
    check, differences,
    documents::{self, Document},
    write,
};

fn document(path: &str, content: &str) -> Document {
    Document { path: path.into(), content: content.to_owned() }
}

#[test]
fn documents_are_the_same_whenever_they_are_made() {
    let print = || {
        let documents = documents::all().unwrap();
        documents.into_iter().map(|document| (document.path, document.content)).collect::<Vec<_>>()
    };
    let first = print();
    assert!(first.len() > 30, "only {} documents", first.len());
    assert!(first == print());
    for (path, content) in first {
        // A marker for other programs has no lines at all.
        let ends = content.is_empty() || (content.ends_with('\n') && !content.ends_with("\n\n"));
        assert!(ends, "{}: how it ends", path.display());
        assert!(
            content.lines().all(|line| !line.ends_with(' ')),
            "{}: blanks at the end of a line",
            path.display()
        );
    }
}

#[test]
fn what_was_written_is_fresh_and_what_was_changed_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let documents =
        [document("docs/reference/a.md", "one\ntwo\n"), document("schemas/user-config.json", "{}\n")];
    assert!(write(root.path(), &documents).unwrap());
    assert_eq!(differences(root.path(), &documents).unwrap(), [""; 0]);
    fs::write(root.path().join("docs/reference/a.md"), "one\nzwei\n").unwrap();
    let found = differences(root.path(), &documents).unwrap();
    let [difference] = found.as_slice() else { panic!("{found:?}") };
    assert!(difference.starts_with("docs/reference/a.md is not fresh:\n"), "{difference}");
    assert!(difference.contains("\n-zwei\n+two\n"), "{difference}");
    assert!(write(root.path(), &documents).unwrap());
    assert_eq!(differences(root.path(), &documents).unwrap(), [""; 0]);
}

#[test]
fn pages_and_schemas_that_nothing_stands_behind_are_found_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let stale = [
        "docs/reference/drivers/gone.md",
        "schemas/drivers/gone.json",
        "proto/interfaces/gone/v1/gone.proto",
    ];
    for path in stale {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let mut found = differences(root.path(), &[]).unwrap();
    found.sort();
    assert_eq!(found.len(), stale.len());
    for path in stale {
        assert!(found.contains(&format!("{path} belongs to nothing any more")), "{path} is not in {found:?}");
    }
    write(root.path(), &[]).unwrap();
    assert!(stale.iter().all(|path| !root.path().join(path).exists()));
    assert!(Path::new(root.path()).exists());
}

#[test]
fn every_driver_interface_and_file_has_its_page_and_the_index_leads_there() {
    let documents = documents::all().unwrap();
    let page = |name: &str| {
        let path = Path::new("docs/reference").join(name);
        let found = documents.iter().find(|document| document.path == path);
        found.unwrap_or_else(|| panic!("there is no page {name}")).content.as_str()
    };
    let index = page("README.md");
    let mut names: Vec<String> = jumpstarter_cli::DRIVERS
        .iter()
        .map(|driver| format!("drivers/{}.md", driver.spec().type_name))
        .collect();
    names.extend(
        jumpstarter_cli::CLIENTS.iter().map(|client| format!("interfaces/{}.md", client.interface.name)),
    );
    names.extend(["exporter", "client", "lab", "user"].map(|name| format!("files/{name}.md")));
    for name in names {
        assert!(page(&name).lines().count() > 20, "{name} says little");
        assert!(index.contains(&format!("({name})")), "the index does not lead to {name}");
    }
    // Both spellings of a method, and the positions of its parameters.
    let flasher = page("interfaces/flasher.md");
    for words in [
        "`/jumpstarter.driver.flasher.v1.Flasher/Flash`",
        "`DriverCall \"flash\"`",
        "| 0 | `source` | 1 (`string`) | handle of a file to read | required |",
        "| 1 | `target` | 2 (`string`) | text, or nothing | nothing |",
        "Usage: j DEVICE flash [OPTIONS] [FILE]",
    ] {
        assert!(flasher.contains(words), "{words} is not in\n{flasher}");
    }
    let power = page("interfaces/power.md");
    for words in ["`StreamingDriverCall \"read\"`", "| `voltage` | 1 (`double`) | number | `V` | Volts. |"] {
        assert!(power.contains(words), "{words} is not in\n{power}");
    }
    let tcp = page("drivers/tcp-network.md");
    for words in [
        "| `port` | whole number, 0 to 65535 | TCP port | **required** | Port. For example `22`. |",
        "| `enable_address` | `true` or `false` |  | `true` |",
        "`j device forward-tcp`",
        "host: \"192.0.2.7\"",
    ] {
        assert!(tcp.contains(words), "{words} is not in\n{tcp}");
    }
    let client = page("files/client.md");
    assert!(client.contains("| `dial_timeout` | number, 5 or more | s | `60.0` |"), "{client}");
}

/// What is applied to a cluster is what the types print, whatever YAML does to it on the way.
#[test]
fn the_written_definitions_read_as_the_types_print_them() {
    let documents = documents::all().unwrap();
    for definition in jumpstarter_api::crd::all() {
        let path = format!("schemas/crds/{}.yaml", definition.spec.names.plural);
        let found = documents.iter().find(|document| document.path == Path::new(&path)).expect("a document");
        let read: serde_json::Value = serde_yaml::from_str(&found.content).expect("YAML");
        assert_eq!(read, serde_json::to_value(&definition).expect("JSON"), "{path}");
        assert_eq!(read["apiVersion"], "apiextensions.k8s.io/v1");
    }
}

#[test]
fn missing_changed_and_stale_documents_are_found_and_put_right() {
    let root = tempfile::tempdir().expect("a folder");
    let documents = [
        Document { path: "schemas/clients/python/py.typed".into(), content: String::new() },
        Document { path: "schemas/interfaces/a.v1.json".into(), content: "{}\n".to_owned() },
    ];
    // An empty document that is not there is missing all the same.
    assert!(!check(root.path(), &documents).expect("a check"));
    assert!(write(root.path(), &documents).expect("written"));
    assert!(check(root.path(), &documents).expect("a check"));
    let stale = root.path().join("schemas/clients/python/src/old.py");
    fs::create_dir_all(stale.with_file_name("__pycache__")).expect("a folder");
    fs::write(stale.with_file_name("__pycache__").join("old.pyc"), "").expect("a file");
    assert!(check(root.path(), &documents).expect("a check"));
    fs::write(&stale, "").expect("a file");
    assert!(!check(root.path(), &documents).expect("a check"));
    assert!(write(root.path(), &documents).expect("written"));
    assert!(!stale.exists());
    assert!(check(root.path(), &documents).expect("a check"));
}
