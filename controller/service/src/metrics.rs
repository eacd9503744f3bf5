//! What a lab counts, in the form of Prometheus.
//!
//! | Name | Kind | Labels | Meaning |
//! |---|---|---|---|
//! | `jumpstarter_lease_acquisitions_total` | counter | `result` | leases that got an exporter (`success`), or never will (`failure`) |
//! | `jumpstarter_lease_ends_total` | counter | `reason` | leases that are over |
//! | `jumpstarter_lease_wait_seconds` | histogram | | how long leases waited for their exporter |
//! | `jumpstarter_leases` | gauge | `state` | leases that wait (`pending`), and those that have an exporter (`active`) |
//! | `jumpstarter_exporters` | gauge | `state` | exporters that are `offline`, `free`, `busy` or `leased` |
//!
//! The first one is the existing controller's.

use std::time::Duration;

use jumpstarter_leasing::Note;
use jumpstarter_store::Store;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::Lab;

type Labels = [(&'static str, &'static str); 1];

/// Upper ends of the steps in which waits are counted, in seconds: from at once to a day.
const WAITS: [f64; 12] =
    [0.01, 0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 28_800.0, 86_400.0];

/// Counts what happens to leases.
#[derive(Clone, Debug)]
pub struct Metrics {
    acquisitions: Family<Labels, Counter>,
    ends: Family<Labels, Counter>,
    waits: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let acquisitions = Family::<Labels, Counter>::default();
        // There from the beginning, so that a rate can be taken of the first one.
        for result in ["success", "failure"] {
            drop(acquisitions.get_or_create(&[("result", result)]));
        }
        Self { acquisitions, ends: Family::default(), waits: Histogram::new(WAITS) }
    }
}

impl Metrics {
    /// Counts something that has happened.
    pub(crate) fn note(&self, note: &Note) {
        match note {
            Note::Acquired { waited, .. } => {
                self.acquisitions.get_or_create(&[("result", "success")]).inc();
                self.waits.observe(seconds(*waited));
            }
            Note::Ended { reason, refused, .. } => {
                if *refused {
                    self.acquisitions.get_or_create(&[("result", "failure")]).inc();
                }
                self.ends.get_or_create(&[("reason", known(reason))]).inc();
            }
            Note::Online { .. } => {}
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "jumpstarter_lease_acquisitions",
            "Leases that got an exporter, or never will",
            self.acquisitions.clone(),
        );
        registry.register("jumpstarter_lease_ends", "Leases that are over", self.ends.clone());
        registry.register_with_unit(
            "jumpstarter_lease_wait",
            "How long leases waited for their exporter",
            Unit::Seconds,
            self.waits.clone(),
        );
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Reasons are few and known, so that nobody makes a series of each.
fn known(reason: &str) -> &'static str {
    const REASONS: [&str; 12] = [
        "Released",
        "Expired",
        "ExporterLost",
        "ExporterDeleted",
        "ClientLost",
        "ExporterNotFound",
        "SelectorMismatch",
        "ExporterDisabled",
        "AllDisabled",
        "NoAccess",
        "SpotAccess",
        "InvalidSelector",
    ];
    REASONS.into_iter().find(|known| *known == reason).unwrap_or("other")
}

/// Adds what a lab counts, and what there is in it, to a registry.
pub fn register<S: Store>(lab: &Lab<S>, registry: &mut Registry) {
    lab.metrics().register(registry);
    registry.register_collector(Box::new(Census(lab.clone())));
}

/// Counts when it is asked.
struct Census<S>(Lab<S>);

impl<S> std::fmt::Debug for Census<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Census").field(&self.0).finish()
    }
}

impl<S: Store> Collector for Census<S> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let census = self.0.census();
        let groups = [
            (
                "jumpstarter_leases",
                "Leases that wait, and those that have an exporter",
                vec![("pending", census.pending), ("active", census.active)],
            ),
            (
                "jumpstarter_exporters",
                "Exporters by what they do",
                vec![
                    ("offline", census.offline),
                    ("free", census.free),
                    ("busy", census.busy),
                    ("leased", census.leased),
                ],
            ),
        ];
        for (name, help, states) in groups {
            let mut group = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (state, count) in states {
                let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
                gauge.encode(group.encode_family(&[("state", state)])?)?;
            }
        }
        Ok(())
    }
}
