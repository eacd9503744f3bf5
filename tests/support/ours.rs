//! Our exporter inside of the test: the drivers of this workspace, on a private socket.

use jumpstarter_core::driver::DriverFactory;
use jumpstarter_testing::Bench;

use crate::recording::folder;
use crate::replay::Address;

/// All drivers of the workspace, and those that stand for upstream's.
pub const DRIVERS: &[&[&dyn DriverFactory]] = &[
    jumpstarter_driver_board::DRIVERS,
    jumpstarter_driver_composite::DRIVERS,
    jumpstarter_driver_network::DRIVERS,
    jumpstarter_driver_power::DRIVERS,
    crate::drivers::DRIVERS,
];

/// The recorded exporter's nodes whose drivers we do not have yet.
pub const ABSENT: [&str; 2] = ["storage", "shell"];

/// A served exporter.
pub struct Running {
    /// Where it listens.
    pub address: Address,
    bench: Bench,
}

/// Serves a configuration of `tests/compatibility`, without the nodes that have no driver here ([`ABSENT`]).
///
/// # Panics
///
/// When it cannot be served, with everything that is wrong.
pub async fn start(name: &str) -> Running {
    start_text(&without_absent(&crate::exporter::config(name, &[]).expect("a configuration"))).await
}

/// Serves the text of a configuration.
///
/// # Panics
///
/// As [`start`].
pub async fn start_text(config: &str) -> Running {
    let bench = jumpstarter_testing::serve_text("exporter.yaml", config, DRIVERS)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", folder().display()));
    Running { address: Address::Unix(bench.socket()), bench }
}

/// The same file without the entries named in [`ABSENT`]: an entry reaches to the next line that is indented no deeper.
pub fn without_absent(config: &str) -> String {
    let mut kept = String::new();
    let mut skipping = false;
    for line in config.lines() {
        let depth = line.len() - line.trim_start().len();
        if depth <= 2 {
            let name = line.trim().strip_suffix(':').unwrap_or_default();
            skipping = depth == 2 && ABSENT.contains(&name);
        }
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

impl Running {
    /// The served exporter and its own client.
    pub fn bench(&self) -> &Bench {
        &self.bench
    }

    /// Ends it; nothing may fail to close.
    ///
    /// # Panics
    ///
    /// When a driver could not be closed.
    pub async fn stop(self) {
        let failed = self.bench.stop().await;
        assert!(failed.is_empty(), "{failed:?}");
    }
}
