//! Recordings replayed against our exporter: only what [`wanted`](crate::wanted) names may differ.

use std::sync::Arc;

use futures::FutureExt;
use jumpstarter_tests::bindings::Bindings;
use jumpstarter_tests::compare::Texts;
use jumpstarter_tests::exporter::{config, report, until_ready};
use jumpstarter_tests::helpers::{Helper, free_address};
use jumpstarter_tests::ours::{self, Standing};
use jumpstarter_tests::programs;
use jumpstarter_tests::recording::{Recording, Side};
use jumpstarter_tests::replay::Replay;
use jumpstarter_tests::report::compare;

use crate::reports::recorded;
use crate::wanted::wanted;

/// Recordings of a local session whose drivers exist here, apart from calls to others.
pub(crate) const LOCAL: [&str; 37] = [
    "j_help",
    "j_power_on",
    "j_power_cycle",
    "j_power_read",
    "j_usage_errors",
    "j_serial_pipe",
    "j_shell_driver",
    "j_storage_help",
    "lib_echo_stream",
    "lib_errors",
    "lib_flash_http_url",
    "lib_resource_encoding_mismatch",
    "lib_resource_packed_file_without_encoding",
    "lib_resource_upload_bz2",
    "lib_resource_upload_gzip",
    "lib_resource_upload_large",
    "lib_resource_upload_plain",
    "lib_resource_upload_xz",
    "lib_resource_upload_zstd",
    "lib_serial_pexpect",
    "lib_storage",
    "lib_storage_file",
    "lib_tcp_portforward",
    "lib_tcp_refused",
    "raw_driver_exceptions",
    "raw_log_stream",
    "raw_log_stream_two_readers",
    "raw_lookup_errors",
    "raw_resource_handles",
    "raw_rpc_errors",
    "raw_status",
    "raw_stream_echo",
    "raw_stream_errors",
    "raw_stream_half_close",
    "raw_streaming_cancel",
    "raw_streaming_errors",
    "raw_values",
];

fn prepared(name: &str) -> Replay {
    let recording = Recording::load(name).expect("a recording");
    let wanted = wanted(&recording);
    Replay::of(recording).allowing(wanted).texts(Texts::Meaning)
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_replay_against_our_exporter() {
    let greeter = Helper::greeter().await.expect("a helper");
    let web = Helper::web(b"fromweb").await.expect("a helper");
    let port = greeter.address.rsplit(':').next().unwrap_or_default();
    let text =
        config("exporter.yaml", &[("port: 18080", &format!("port: {port}"))]).expect("a configuration");
    let mut failed = Vec::new();
    for name in LOCAL {
        let exporter = ours::start_text(&text).await;
        // This recording sees the file that another one has left.
        if name == "lib_storage" {
            let before = prepared("lib_resource_upload_plain").run(&exporter.address).await;
            before.unwrap_or_else(|differences| panic!("{differences}"));
        }
        if let Err(differences) =
            prepared(name).replacing("127.0.0.1:18081", &web.address).run(&exporter.address).await
        {
            failed.push(differences.to_string());
        }
        exporter.stop().await;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(
        web.seen().await,
        ["GET /dir/image%20one.bin?sig=a%2Fb HTTP/1.1"],
        "the URL arrives as it was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn our_reports_are_the_recorded_ones() {
    for name in
        ["empty", "mock_power", "composite", "descriptions", "network", "opendal", "pyserial", "shell"]
    {
        let exporter = ours::start(&format!("reports/{name}.yaml")).await;
        let live = report(&exporter.address).await.expect("a report");
        let differences = compare(&recorded(name), &live, &[], &mut Bindings::default());
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        exporter.stop().await;
    }
}

/// A configuration without some of its devices: an entry reaches to the next line that is indented no deeper.
fn without(config: &str, devices: &[&str]) -> String {
    let mut skipping = false;
    let kept = config.split_inclusive('\n').filter(|line| {
        let depth = line.len() - line.trim_start().len();
        if depth <= 2 {
            let name = line.trim().strip_suffix(':').unwrap_or_default();
            skipping = depth == 2 && devices.contains(&name);
        }
        !skipping
    });
    kept.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_reports_are_the_recorded_ones_but_for_devices_that_have_no_driver_here() {
    const ABSENT: [&str; 4] = ["uboot", "ssh", "tmt", "can"];
    let text = config("reports/wrappers.yaml", &[]).expect("a configuration");
    let exporter = ours::start_text(&without(&text, &ABSENT)).await;
    let live = report(&exporter.address).await.expect("a report");
    let absent = ABSENT.map(str::to_owned);
    let differences = compare(&recorded("wrappers"), &live, &absent, &mut Bindings::default());
    assert!(differences.is_empty(), "{differences:#?}");
    // It is those that are there which were compared.
    let without_screen = ours::start_text(&without(&text, &[&ABSENT[..], &["vnc"]].concat())).await;
    let live = report(&without_screen.address).await.expect("a report");
    assert!(!compare(&recorded("wrappers"), &live, &absent, &mut Bindings::default()).is_empty());
    exporter.stop().await;
    without_screen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_succeed_in_every_status_of_ours() {
    let text = config("reports/mock_power.yaml", &[]).expect("a configuration");
    let exporter = ours::bare(&text).await;
    let recording = Recording::load("raw_not_ready").expect("a recording");
    let mut statuses =
        ["AVAILABLE", "BEFORE_LEASE_HOOK_FAILED", "OFFLINE", "BEFORE_LEASE_HOOK", "LEASE_READY"].into_iter();
    let mut replay = prepared("raw_not_ready");
    for stream in recording.connections[0].streams.iter().filter(|stream| stream.rpc() == "GetStatus") {
        let first = stream.events.iter().find(|event| event.from == Side::Client).expect("a request");
        replay = replay.before(first.seq, exporter.set_status(statuses.next().expect("a status per call")));
    }
    assert_eq!(statuses.next(), None);
    replay.run(&exporter.address).await.unwrap_or_else(|differences| panic!("{differences}"));
    exporter.stop().await;
}

/// A standalone exporter of ours, as in the recordings whose names start with `tcp`.
async fn standalone(name: &str, passphrase: Option<&str>) -> (Standing, Replay) {
    let recording = Recording::load(name).expect("a recording");
    let address = free_address().await.expect("an address");
    let text = config(&recording.exporter_config, &[]).expect("a configuration");
    // Only hooks need a `j`.
    let tools = text.contains("hooks:").then(programs::jmp).and_then(|jmp| Some(jmp.parent()?.to_owned()));
    let exporter = ours::standalone(&text, &address, passphrase, tools).await;
    until_ready(&exporter.address, passphrase).await;
    let replay = prepared(name).replacing("127.0.0.1:18090", &address).replacing("127.0.0.1:18091", &address);
    (exporter, replay)
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_on_a_standalone_exporter_replay_against_ours() {
    for (name, passphrase) in
        [("tcp_shell", None), ("tcp_passphrase", Some("open sesame")), ("tcp_hooks", None)]
    {
        let (exporter, replay) = standalone(name, passphrase).await;
        replay.together(&[0, 1]).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
        exporter.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_replays_against_ours() {
    let (exporter, replay) = standalone("tcp_end_session", None).await;
    let address = exporter.address.clone();
    // The recorded client waited as well, for a status that ours leaves again.
    let ready_again = Arc::new(move || {
        let address = address.clone();
        async move {
            until_ready(&address, None).await;
            Ok(())
        }
        .boxed()
    });
    replay.before(53, ready_again).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await;
}
