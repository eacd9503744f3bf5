//! Supplies as clients see them, beside servers of the test.

mod command;
mod mocks;
mod web;

use jumpstarter::{DriverFactory, Result};
use jumpstarter_interfaces::{PowerClient, PowerReading};
use jumpstarter_testing::{Bench, serve_text};

const DRIVERS: &[&[&dyn DriverFactory]] = &[jumpstarter_driver_power::DRIVERS];

/// An exporter with one supply, `power`; the keys of its configuration begin at the margin.
async fn bench(driver: &str, keys: &str) -> Result<Bench> {
    let keys: String = keys.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    let file = format!("export:\n  power:\n    type: {driver}\n    config:\n{keys}");
    serve_text("power.yaml", &file, DRIVERS).await
}

fn power(bench: &Bench) -> Result<PowerClient> {
    bench.client("power")
}

/// What it measures. An error comes instead of the stream, or in it.
async fn measured(supply: &PowerClient) -> Result<Vec<PowerReading>> {
    supply.read().await?.collect().await
}

/// What is said about a configuration that is wrong.
async fn refused(driver: &str, keys: &str) -> String {
    match bench(driver, keys).await {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}
