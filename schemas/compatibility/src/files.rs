//! The record as files that people can read, and that a diff shows well:
//!
//! | File | Content |
//! |---|---|
//! | `interfaces/<package>.yaml` | one interface: methods, messages, enums |
//! | `proto/interfaces/…` | the `.proto` files as they were |
//! | `drivers/<type>.json` | one driver: names, interfaces, children, the JSON Schema of its configuration |
//! | `<name>.json` | JSON Schemas of what all files have in common |
//! | `manifest.json` | the SHA-256 of each of these files, so that none is lost unnoticed |

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Error, Record};

const INTERFACES: &str = "interfaces";
const DRIVERS: &str = "drivers";
const PROTO: &str = "proto";
const MANIFEST: &str = "manifest.json";

/// What the record consists of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// SHA-256 in hexadecimal by path, with `/` between folders.
    files: BTreeMap<String, String>,
}

impl Manifest {
    fn of(files: &BTreeMap<PathBuf, String>) -> Self {
        Self { files: files.iter().map(|(path, text)| (portable(path), digest(text))).collect() }
    }

    /// What of the record is not as it was written.
    fn differences(&self, found: &Self) -> Vec<String> {
        let mut all = Vec::new();
        for (path, digest) in &self.files {
            match found.files.get(path) {
                None => all.push(format!("{path} is missing")),
                Some(now) if now != digest => all.push(format!("{path} was changed")),
                Some(_) => {}
            }
        }
        let extra = found.files.keys().filter(|path| !self.files.contains_key(*path));
        all.extend(extra.map(|path| format!("{path} is not part of it")));
        all
    }
}

fn portable(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// Line ends are left out of account: version control may change them.
fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.replace("\r\n", "\n"));
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

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
    let manifest = json(&Manifest::of(&files))?;
    files.insert(PathBuf::from(MANIFEST), manifest);
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
    // The manifest comes last: what was not written to its end is refused.
    let (manifest, parts): (Vec<_>, Vec<_>) =
        files.iter().partition(|(path, _)| **path == Path::new(MANIFEST));
    for (path, content) in parts.into_iter().chain(manifest) {
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

/// Whether there is a record, or a part of one.
pub fn exists(folder: &Path) -> Result<bool, Error> {
    Ok(!list(folder)?.is_empty())
}

/// Reads a record. A folder without one is an error, and so is a record that is not as it was written.
pub fn read(folder: &Path) -> Result<Record, Error> {
    let mut record = Record::default();
    let mut manifest: Option<Manifest> = None;
    let mut files = BTreeMap::new();
    for path in list(folder)? {
        let full = folder.join(&path);
        let text = fs::read_to_string(&full).map_err(|error| about(&full, &error))?;
        if path == Path::new(MANIFEST) {
            manifest = Some(from_json(&full, &text)?);
            continue;
        }
        files.insert(path.clone(), text.clone());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.starts_with(INTERFACES) {
            let interface = serde_yaml::from_str(&text).map_err(|error| about(&full, &error))?;
            record.interfaces.insert(name, interface);
        } else if path.starts_with(DRIVERS) {
            record.drivers.insert(name, from_json(&full, &text)?);
        } else if let Ok(import) = path.strip_prefix(PROTO) {
            record.protos.insert(portable(import), text);
        } else {
            record.schemas.insert(name, from_json(&full, &text)?);
        }
    }
    let shown = folder.display();
    if files.is_empty() && manifest.is_none() {
        return Err(Error::new(format!(
            "there is no record of a release in {shown}: write one with `cargo schemas --release`"
        )));
    }
    let differences = match manifest {
        Some(manifest) => manifest.differences(&Manifest::of(&files)),
        None => vec![format!("{MANIFEST} is missing")],
    };
    if !differences.is_empty() {
        return Err(Error::new(format!(
            "the record of the last release in {shown} is not as it was written: {}; restore it from the commit of that release",
            differences.join(", ")
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
