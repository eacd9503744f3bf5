//! Storage: directories, memory, buckets and web servers behind `opendal`, and the mocks of flashers and storage muxes.
//!
//! | Module | What it shows |
//! |---|---|
//! | `methods` | every method, both ways |
//! | `services` | an S3 server and a web server as the place where files are |
//! | `local` | directories of the exporter's machine: holes, tidying up, mistakes in the file |
//! | `faults` | what people read when something goes wrong in the middle |
//! | `interrupted` | the same for transfers of `j` |
//! | `cycles` | that nothing is left behind |
//! | `counterparts` | the servers and the small disk |

mod counterparts;
mod cycles;
mod faults;
mod interrupted;
mod local;
mod methods;
mod services;

use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_tests::ours::{self, Running};
use jumpstarter_tests::replay::Address;

/// An exporter file with these nodes below `export:`.
fn file(nodes: &str) -> String {
    format!(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata:\n  namespace: default\n  name: storage\n\
         export:\n{nodes}"
    )
}

/// Upstream's driver over this scheme, as a node of this name.
fn node(name: &str, scheme: &str, options: &[(&str, &str)]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "  {name}:\n    type: jumpstarter_driver_opendal.driver.Opendal\n    config:\n      scheme: {scheme}\n      kwargs:\n"
    );
    for (key, value) in options {
        writeln!(text, "        {key}: \"{value}\"").expect("a string");
    }
    text
}

/// The devices of an exporter.
async fn devices(address: &Address) -> Device {
    let endpoint = Endpoint::parse(&address.to_string()).expect("an address");
    Device::connect(&endpoint, &Options::default()).await.expect("an exporter")
}

/// Our exporter with these nodes, inside of this test. Its network services need what a program would install.
async fn exporter(nodes: &str) -> (Running, Device) {
    counterparts::install_tls();
    let exporter = ours::start_text(&file(nodes)).await;
    let device = devices(&exporter.address).await;
    (exporter, device)
}
