//! The record as files that people can read, and that a diff shows well:
//!
//! | File | Content |
//! |---|---|
//! | `interfaces/<package>.yaml` | one interface: methods, messages, enums |
//! | `proto/interfaces/…` | the `.proto` files as they were |
//! | `drivers/<type>.json` | one driver: names, interfaces, children, the JSON Schema of its configuration |
//! | `<name>.json` | JSON Schemas of what all files have in common |

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Record};

const INTERFACES: &str = "interfaces";
const DRIVERS: &str = "drivers";
const PROTO: &str = "proto";

/// The files of a record, by path.
pub fn print(record: &Record) -> Result<BTreeMap<PathBuf, String>, Error> {
    let mut files = BTreeMap::new();
    for (id, interface) in &record.interfaces {
        files.insert(Path::new(INTERFACES).join(format!("{id}.yaml")), yaml(interface)?);
    }
    for (name, driver) in &record.drivers {
        files.insert(Path::new(DRIVERS).join(format!("{name}.json")), json(driver)?);
    }
    for (name, schema) in &record.schemas {
        files.insert(PathBuf::from(format!("{name}.json")), json(schema)?);
    }
    for (path, text) in &record.protos {
        files.insert(Path::new(PROTO).join(path), text.clone());
    }
    Ok(files)
}

/// One part of a record as sorted YAML.
pub fn yaml(part: &impl Serialize) -> Result<String, Error> {
    serde_yaml::to_string(part).map_err(|error| Error::new(format!("the record cannot be printed: {error}")))
}

fn json(part: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(part);
    text.map(|text| text + "\n").map_err(|error| Error::new(format!("the record cannot be printed: {error}")))
}

/// Writes a record, and removes what an earlier one had and this one has not. Answers the paths that changed.
pub fn write(folder: &Path, record: &Record) -> Result<Vec<PathBuf>, Error> {
    let files = print(record)?;
    let mut changed = Vec::new();
    for (path, content) in &files {
        let full = folder.join(path);
        if fs::read_to_string(&full).is_ok_and(|written| written == *content) {
            continue;
        }
        replace(&full, content)?;
        changed.push(path.clone());
    }
    for path in list(folder)? {
        if !files.contains_key(&path) {
            let full = folder.join(&path);
            fs::remove_file(&full).map_err(|error| about(&full, &error))?;
            changed.push(path);
        }
    }
    Ok(changed)
}

/// Replaces a file's content; a half-written record would be worse than none.
pub fn replace(path: &Path, content: &str) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        fs::create_dir_all(folder)?;
        let file = tempfile::NamedTempFile::new_in(folder)?;
        fs::write(file.path(), content)?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| about(path, &error))
}

/// Reads a record. A folder without one is an error.
pub fn read(folder: &Path) -> Result<Record, Error> {
    let mut record = Record::default();
    for path in list(folder)? {
        let full = folder.join(&path);
        let text = fs::read_to_string(&full).map_err(|error| about(&full, &error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.starts_with(INTERFACES) {
            let interface = serde_yaml::from_str(&text).map_err(|error| about(&full, &error))?;
            record.interfaces.insert(name, interface);
        } else if path.starts_with(DRIVERS) {
            record.drivers.insert(name, from_json(&full, &text)?);
        } else if let Ok(import) = path.strip_prefix(PROTO) {
            record.protos.insert(import.to_string_lossy().replace('\\', "/"), text);
        } else {
            record.schemas.insert(name, from_json(&full, &text)?);
        }
    }
    if record == Record::default() {
        let folder = folder.display();
        return Err(Error::new(format!(
            "there is no record of a release in {folder}: write one with `cargo schemas --release`"
        )));
    }
    Ok(record)
}

fn from_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| about(path, &error))
}

fn about(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}

/// Every file that belongs to a record.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    fn visit(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        let entries = match fs::read_dir(root.join(below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                visit(root, &path, found)?;
            } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "json" || kind == "proto")
            {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    visit(folder, Path::new(""), &mut found).map_err(|error| about(folder, &error))?;
    found.sort();
    Ok(found)
}
