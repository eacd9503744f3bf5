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
pub(crate) const LOCAL: [&str; 30] = [
    "j_help",
    "j_power_on",
    "j_power_cycle",
    "j_power_read",
    "j_serial_pipe",
    "lib_echo_stream",
    "lib_errors",
    "lib_flash_http_url",
    "lib_resource_encoding_mismatch",
    "lib_resource_packed_file_without_encoding",
    "lib_resource_upload_bz2",
    "lib_resource_upload_gzip",
    "lib_resource_upload_xz",
    "lib_resource_upload_zstd",
    "lib_serial_pexpect",
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
    let replay = Replay::of(recording).allowing(wanted).texts(Texts::Meaning);
    ours::ABSENT.iter().fold(replay, |replay, path| replay.without(path))
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
        let exporter = ours::start_text(&ours::without_absent(&text)).await;
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
    let absent = ours::ABSENT.map(str::to_owned);
    for name in ["empty", "mock_power", "composite", "descriptions", "opendal", "pyserial"] {
        let exporter = ours::start(&format!("reports/{name}.yaml")).await;
        let live = report(&exporter.address).await.expect("a report");
        let differences = compare(&recorded(name), &live, &absent, &mut Bindings::default());
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        exporter.stop().await;
    }
}
