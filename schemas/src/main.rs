//! Writes every document that is derived from the Rust types, or checks that the written ones are fresh.
//!
//! ```text
//! cargo schemas            write
//! cargo schemas --check    compare; the differences are printed, and the exit code is 1 if there are any. Then compare
//!                          with the last release: what would break somebody is an error, too
//! cargo schemas --release  write, and record today's interfaces and drivers as those of a release
//! ```
//!
//! | Document | From |
//! |---|---|
//! | `proto/interfaces/<name>/v<n>/<name>.proto` | the interfaces |
//! | `schemas/drivers/<type>.json` | the configuration types of the drivers |
//! | `schemas/exporter-config.json` | all of them, and the exporter file's own types |
//! | `schemas/client-config.json`, `schemas/lab-config.json`, `schemas/user-config.json` | the types of these files |
//! | `schemas/crds/<resources>.yaml` | the resource types of the controller |
//! | `schemas/interfaces/<name>.v<n>.json` | the interfaces: what generators of clients read |
//! | `schemas/clients/python/` | those documents, for interfaces that upstream has no client for |
//! | `docs/reference/**.md` | all of the above and the command line, for people |
//!
//! | Module | Responsibility |
//! |---|---|
//! | `documents` | paths and contents |
//! | `reference` | reference pages |
//! | `breakage` | today against the last release |

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod breakage;
mod documents;
mod reference;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use crate::documents::Document;

/// Write every document that is derived from the Rust types.
#[derive(Parser)]
#[command(name = "cargo schemas")]
struct Arguments {
    /// Compare only, and fail if a document is not fresh.
    #[arg(long)]
    check: bool,
    /// Record today's interfaces, drivers and files as those of a release, which later changes are compared with.
    #[arg(long, conflicts_with = "check")]
    release: bool,
    /// Root of the project, if it is not where this program was compiled.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."), hide_default_value = true)]
    root: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = arguments.root;
    let documents = match documents::all() {
        Ok(documents) => documents,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = if arguments.check { check(&root, &documents) } else { write(&root, &documents) };
    let result = result.map_err(Box::from).and_then(|fresh| {
        let sound = if arguments.check {
            breakage::check(&root)?
        } else if arguments.release {
            breakage::release(&root)?
        } else {
            true
        };
        Ok(fresh && sound)
    });
    report(result)
}

fn report(result: Result<bool, Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path, documents: &[Document]) -> io::Result<bool> {
    for document in documents {
        let path = root.join(&document.path);
        if fs::read_to_string(&path).is_ok_and(|written| written == document.content) {
            continue;
        }
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder)?;
        // Written beside and renamed: a half-written document is worse than none.
        let file = tempfile::NamedTempFile::new_in(folder)?;
        fs::write(file.path(), &document.content)?;
        file.persist(&path).map_err(|error| error.error)?;
        println!("wrote {}", document.path.display());
    }
    for path in stale(root, documents)? {
        fs::remove_file(root.join(&path))?;
        println!("removed {}", path.display());
    }
    Ok(true)
}

fn check(root: &Path, documents: &[Document]) -> io::Result<bool> {
    let differences = differences(root, documents)?;
    for difference in &differences {
        eprintln!("{difference}");
    }
    if !differences.is_empty() {
        eprintln!("help: run `cargo schemas` and commit what it writes");
    }
    Ok(differences.is_empty())
}

/// What is not as the types say.
fn differences(root: &Path, documents: &[Document]) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for document in documents {
        let written = fs::read_to_string(root.join(&document.path)).ok();
        if written.as_ref() != Some(&document.content) {
            let written = written.unwrap_or_default();
            let changes = similar::TextDiff::from_lines(written.as_str(), &document.content);
            let name = document.path.display().to_string();
            let changes = changes.unified_diff().header(&name, "what the types say").to_string();
            found.push(format!("{name} is not fresh:\n{changes}"));
        }
    }
    for path in stale(root, documents)? {
        found.push(format!("{} belongs to nothing any more", path.display()));
    }
    Ok(found)
}

/// Written documents that nothing stands behind any more.
fn stale(root: &Path, documents: &[Document]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let folders = [
        "proto/interfaces",
        "schemas/crds",
        "schemas/drivers",
        "schemas/interfaces",
        "schemas/clients",
        reference::FOLDER,
    ];
    for folder in folders {
        collect(root, Path::new(folder), &mut found)?;
    }
    found.retain(|path| !documents.iter().any(|document| document.path == *path));
    found.sort();
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_name() == "__pycache__" {
            // Python leaves these where it runs; they are nobody's document.
        } else if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
