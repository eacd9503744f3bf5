//! All recordings replayed against the unmodified Python exporter.
//!
//! This is the proof of the replay itself: an exporter of the recorded version shows no difference, apart from the two
//! recordings whose outcome depends on chance there as well.

use std::sync::Arc;

use futures::FutureExt;
use jumpstarter_tests::exporter::{Exporter, Program, config, status};
use jumpstarter_tests::helpers::{Helper, free_address};
use jumpstarter_tests::message::Tree;
use jumpstarter_tests::python::{Python, python};
use jumpstarter_tests::recording::{Recording, Side};
use jumpstarter_tests::replay::{Address, Allowed, Deviation, Replay};

fn recording(name: &str) -> Recording {
    Recording::load(name).expect("a recording")
}

/// Recordings that were made one after the other with one exporter, in an order in which they leave the state that the
/// next ones found: `lib_storage` sees the file of `lib_resource_upload_plain`.
pub(crate) const ONE_SESSION: [&str; 35] = [
    "j_help",
    "j_power_on",
    "j_power_cycle",
    "j_power_read",
    "j_usage_errors",
    "j_storage_help",
    "j_serial_pipe",
    "j_shell_driver",
    "raw_status",
    "raw_values",
    "raw_driver_exceptions",
    "raw_streaming_errors",
    "raw_streaming_cancel",
    "raw_lookup_errors",
    "raw_rpc_errors",
    "raw_stream_echo",
    "raw_stream_half_close",
    "raw_stream_errors",
    "raw_resource_handles",
    "lib_echo_stream",
    "lib_serial_pexpect",
    "lib_tcp_portforward",
    "lib_tcp_refused",
    "lib_errors",
    "lib_resource_upload_plain",
    "lib_storage",
    "lib_storage_file",
    "lib_resource_upload_large",
    "lib_resource_upload_gzip",
    "lib_resource_upload_xz",
    "lib_resource_upload_bz2",
    "lib_resource_upload_zstd",
    "lib_resource_encoding_mismatch",
    "lib_resource_packed_file_without_encoding",
    "lib_flash_http_url",
];

#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_a_local_session_replay_without_a_difference() {
    let Some(python) = python() else { return };
    let greeter = Helper::greeter().await.expect("a helper");
    let web = Helper::web(b"fromweb").await.expect("a helper");
    let port = greeter.address.rsplit(':').next().unwrap_or_default();
    let config =
        config("exporter.yaml", &[("port: 18080", &format!("port: {port}"))]).expect("a configuration");
    let exporter = Exporter::local(&Program::Upstream(python), &config).await.expect("an exporter");
    let mut failed = Vec::new();
    for name in ONE_SESSION {
        let replay = Replay::of(recording(name)).replacing("127.0.0.1:18081", &web.address);
        let replay = match name {
            "j_shell_driver" => replay.allowing(chunks()),
            _ => replay,
        };
        if let Err(differences) = replay.run(&exporter.address).await {
            failed.push(differences.to_string());
        }
    }
    assert_eq!(
        web.seen().await,
        ["GET /dir/image%20one.bin?sig=a%2Fb HTTP/1.1"],
        "the URL arrives as it was written"
    );
    exporter.stop().await.expect("an orderly end");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Why the shell driver's messages are compared together.
const CHUNKS: &str =
    "a command's last output and its exit code come in one or in two messages, as its timing will have it";

/// What may differ when methods of a shell driver are run.
pub(crate) fn chunks() -> [Allowed; 2] {
    [(0, hello_world as Check), (1, hello as Check)].map(|(connection, check)| {
        Allowed::sometimes(CHUNKS, Deviation::Messages { stream: 5, check }).on(connection)
    })
}

type Check = fn(&[Tree]) -> Result<(), String>;

fn hello_world(messages: &[Tree]) -> Result<(), String> {
    output_is(messages, "hello world\n")
}

fn hello(messages: &[Tree]) -> Result<(), String> {
    output_is(messages, "hello\n")
}

fn output_is(messages: &[Tree], wanted: &str) -> Result<(), String> {
    let (mut output, mut errors, mut code) = (String::new(), String::new(), None);
    for message in messages {
        let [Tree::Text(out), Tree::Text(err), exit] =
            message.get("result").map(Tree::items).unwrap_or_default()
        else {
            return Err(format!("{message} is no piece of output"));
        };
        output.push_str(out);
        errors.push_str(err);
        if *exit != Tree::Null && code.replace(exit.clone()).is_some() {
            return Err("two exit codes".to_owned());
        }
    }
    let all = (output.as_str(), errors.as_str(), &code);
    if all == (wanted, "oops\n", &Some(Tree::Number(3.0))) { Ok(()) } else { Err(format!("{all:?}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_replay_without_a_difference() {
    let Some(python) = python() else { return };
    let config = config("exporter.yaml", &[]).expect("a configuration");
    let exporter = Exporter::local(&Program::Upstream(python), &config).await.expect("an exporter");
    Replay::of(recording("raw_log_stream")).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_share_the_log_lines() {
    let Some(python) = python() else { return };
    let config = config("exporter.yaml", &[]).expect("a configuration");
    let exporter = Exporter::local(&Program::Upstream(python), &config).await.expect("an exporter");
    let by_chance = "one queue for all readers (pitfalls G3)";
    Replay::of(recording("raw_log_stream_two_readers"))
        .allowing([Allowed::always(by_chance, Deviation::Shared { streams: &[3, 5] })])
        .run(&exporter.address)
        .await
        .unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_succeed_in_every_status() {
    let Some(python) = python() else { return };
    let config = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata:\n  namespace: default\n  \
                  name: status\nexport:\n  power:\n    type: jumpstarter_driver_power.driver.MockPower\n";
    let exporter = Exporter::with_status(&python, config).await.expect("an exporter");
    let recording = recording("raw_not_ready");
    let mut statuses =
        ["AVAILABLE", "BEFORE_LEASE_HOOK_FAILED", "OFFLINE", "BEFORE_LEASE_HOOK", "LEASE_READY"].into_iter();
    let mut before = Vec::new();
    for stream in recording.connections[0].streams.iter().filter(|stream| stream.rpc() == "GetStatus") {
        let first = stream.events.iter().find(|event| event.from == Side::Client).expect("a request");
        before.push((first.seq, exporter.set_status(statuses.next().expect("a status per call"))));
    }
    assert_eq!(statuses.next(), None);
    let replay =
        before.into_iter().fold(Replay::of(recording), |replay, (seq, action)| replay.before(seq, action));
    replay.run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}

/// A standalone exporter, as in the recordings whose names start with `tcp`.
async fn standalone(python: &Python, name: &str, passphrase: Option<&str>) -> (Exporter, Replay) {
    let recording = recording(name);
    let address = free_address().await.expect("an address");
    let config = config(&recording.exporter_config, &[]).expect("a configuration");
    let exporter = Exporter::standalone(&Program::Upstream(python.clone()), &config, &address, passphrase)
        .await
        .expect("an exporter");
    let replay =
        Replay::of(recording).replacing("127.0.0.1:18090", &address).replacing("127.0.0.1:18091", &address);
    (exporter, replay)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_on_a_standalone_exporter_replays_without_a_difference() {
    let Some(python) = python() else { return };
    let (exporter, replay) = standalone(&python, "tcp_shell", None).await;
    replay.together(&[0, 1]).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn passphrases_replay_without_a_difference() {
    let Some(python) = python() else { return };
    let (exporter, replay) = standalone(&python, "tcp_passphrase", Some("open sesame")).await;
    replay.together(&[0, 1]).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_replay_without_a_difference() {
    let Some(python) = python() else { return };
    let (exporter, replay) = standalone(&python, "tcp_hooks", None).await;
    replay.together(&[0, 1]).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_replays_without_a_difference() {
    let Some(python) = python() else { return };
    let (exporter, replay) = standalone(&python, "tcp_end_session", None).await;
    let address: Address = exporter.address.clone();
    // The recorded client gave the exporter half a second to become available.
    let available = Arc::new(move || {
        let address = address.clone();
        async move {
            while status(&address, None).await.as_deref() != Some("EXPORTER_STATUS_AVAILABLE") {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Ok(())
        }
        .boxed()
    });
    replay.before(53, available).run(&exporter.address).await.unwrap_or_else(|d| panic!("{d}"));
    exporter.stop().await.expect("an orderly end");
}
