//! The schemas in an editor: the language server for YAML, unmodified, completes and underlines with them.
//!
//! | Module | Contents |
//! |---|---|
//! | `lsp` | what an editor says to a language server |
//! | `exporter`, `others` | exporter files; client and user files |

#![forbid(unsafe_code)]

mod exporter;
mod lsp;
mod others;

use std::path::{Path, PathBuf};

use crate::lsp::Offer;

/// The folder in which files are edited: that of the examples, whose first line is used.
fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are below the root").join("examples")
}

/// A file with the line that names its schema.
fn file(kind: &str, text: &str) -> String {
    format!("# yaml-language-server: $schema=../schemas/{kind}-config.json\n{text}")
}

fn labels(offers: &[Offer]) -> Vec<&str> {
    let mut labels: Vec<_> = offers.iter().map(|offer| offer.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

fn offered<'a>(offers: &'a [Offer], label: &str) -> &'a Offer {
    offers
        .iter()
        .find(|offer| offer.label == label)
        .unwrap_or_else(|| panic!("{label} is not in {:?}", labels(offers)))
}
