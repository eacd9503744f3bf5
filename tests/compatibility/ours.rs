//! Recordings replayed against our exporter: only what [`wanted`](crate::wanted) names may differ.

use jumpstarter_tests::bindings::Bindings;
use jumpstarter_tests::compare::Texts;
use jumpstarter_tests::exporter::{config, report};
use jumpstarter_tests::helpers::Helper;
use jumpstarter_tests::ours;
use jumpstarter_tests::recording::Recording;
use jumpstarter_tests::replay::Replay;
use jumpstarter_tests::report::compare;

use crate::reports::recorded;
use crate::wanted::wanted;

/// Recordings of a local session whose drivers exist here, apart from calls to others.
pub(crate) const LOCAL: [&str; 13] = [
    "j_help",
    "j_power_on",
    "j_power_cycle",
    "j_power_read",
    "lib_echo_stream",
    "lib_tcp_portforward",
    "lib_tcp_refused",
    "raw_lookup_errors",
    "raw_rpc_errors",
    "raw_status",
    "raw_stream_echo",
    "raw_stream_errors",
    "raw_stream_half_close",
];

fn prepared(name: &str) -> Replay {
    let recording = Recording::load(name).expect("a recording");
    let wanted = wanted(&recording);
    let replay = Replay::of(recording).allowing(wanted).texts(Texts::Meaning);
    ours::ABSENT.iter().fold(replay, |replay, path| replay.without(path))
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_replay_against_our_exporter() {
    let greeter = Helper::greeter().await.expect("a helper");
    let port = greeter.address.rsplit(':').next().unwrap_or_default();
    let text =
        config("exporter.yaml", &[("port: 18080", &format!("port: {port}"))]).expect("a configuration");
    let mut failed = Vec::new();
    for name in LOCAL {
        let exporter = ours::start_text(&ours::without_absent(&text)).await;
        if let Err(differences) = prepared(name).run(&exporter.address).await {
            failed.push(differences.to_string());
        }
        exporter.stop().await;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_reports_are_the_recorded_ones() {
    for name in ["empty", "mock_power"] {
        let exporter = ours::start(&format!("reports/{name}.yaml")).await;
        let live = report(&exporter.address).await.expect("a report");
        let differences = compare(&recorded(name), &live, &[], &mut Bindings::default());
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        exporter.stop().await;
    }
}
