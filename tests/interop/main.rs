//! The unmodified Python implementation on the other side of the wire.
//!
//! | Module | Client | Exporter |
//! |---|---|---|
//! | `checks` | what the Python client has to be able to do | |
//! | `devices` | what ours has to be able to do | |
//! | `ours` | both | ours, inside of the test |
//! | `leased` | Python | our `jmp run`, with our lab between them |
//! | `exporter_files` | no calls: files that one program writes are used by the other | |
//! | `fixture` | a test in Rust, and one in Python | ours, leased from our lab |
//! | `lease` | our `jmp`, our library | Python, with our lab between them |
//! | `login` | both: files that one writes are used by the other | Python |
//! | `generated` | Python, with the generated package and without it | ours |
//! | `programs` | Python | our `jmp` |
//! | `upstream` | both | Python: proves the checks of its client |
//! | `descriptors` | one that knows only descriptors | ours |
//! | `protocol` | no calls: fields, numbers and methods, compared | |
//! | `router` | both ends of a tunnel are Python's, our router is between them | |
//!
//! Everything that people do with a lab is in `tests/scenarios`, in all four mixes of clients and exporters.

mod checks;
mod descriptors;
mod devices;
mod exporter_files;
mod fixture;
mod generated;
mod lease;
mod leased;
mod login;
mod ours;
mod programs;
mod protocol;
mod provider;
mod router;
mod upstream;

use jumpstarter_tests::{client::Client, python::python, recording::Recording};

/// The first test of all: the programs that people have, on an exporter of ours.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_j_power_on() {
    let Some(python) = python() else { return };
    let exporter = jumpstarter_tests::ours::start("exporter.yaml").await;
    let client = Client::new(&python, &exporter.address.to_string());
    let recording = Recording::load("j_power_on").expect("a recording");
    client.repeat(&recording).await.unwrap_or_else(|problem| panic!("{problem}"));
    exporter.stop().await;
}
