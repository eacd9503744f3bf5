//! The table of recordings in `docs/compatibility.md`, kept true.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jumpstarter_tests::recording::Recording;

use crate::client::CLIENT;
use crate::ours::LOCAL;
use crate::programs::PROGRAMS;
use crate::upstream::ONE_SESSION;
use crate::wanted::wanted;

/// Set to `1`, this writes the table instead of comparing it.
const UPDATE: &str = "JUMPSTARTER_UPDATE_DOCS";

const BEGIN: &str = "<!-- recordings: begin -->\n";
const END: &str = "<!-- recordings: end -->\n";

/// The test that replays a recording against the Python exporter.
fn against_python(name: &str) -> &'static str {
    match name {
        "raw_log_stream" => "log_lines_replay_without_a_difference",
        "raw_log_stream_two_readers" => "two_readers_share_the_log_lines",
        "raw_not_ready" => "calls_succeed_in_every_status",
        "tcp_shell" => "a_shell_on_a_standalone_exporter_replays_without_a_difference",
        "tcp_passphrase" => "passphrases_replay_without_a_difference",
        "tcp_hooks" => "hooks_replay_without_a_difference",
        "tcp_end_session" => "the_end_of_a_session_replays_without_a_difference",
        name if ONE_SESSION.contains(&name) => "recordings_of_a_local_session_replay_without_a_difference",
        name => panic!("{name} is replayed by no test"),
    }
}

/// The test that replays a recording against our exporter, if all its drivers exist here.
fn against_ours(name: &str) -> Option<&'static str> {
    Some(match name {
        "raw_not_ready" => "calls_succeed_in_every_status_of_ours",
        "tcp_shell" | "tcp_passphrase" | "tcp_hooks" => "shells_on_a_standalone_exporter_replay_against_ours",
        "tcp_end_session" => "the_end_of_a_session_replays_against_ours",
        name if LOCAL.contains(&name) => "recordings_replay_against_our_exporter",
        _ => return None,
    })
}

fn table() -> String {
    let mut table = String::from(
        "| Recording | Scenario | Against the Python exporter (`upstream.rs`) | Against ours (`ours.rs`) | Our client (`client.rs`, `programs.rs`) | What ours does otherwise |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for name in Recording::names().expect("the folder of recordings") {
        let recording = Recording::load(&name).expect("a recording");
        let reasons: BTreeSet<_> = wanted(&recording).iter().map(|allowed| allowed.rule).collect();
        let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
        let scenario = recording.description.replace('|', "\\|");
        let ours = against_ours(&name).map_or_else(String::new, |test| format!("`{test}`"));
        let python = against_python(&name);
        let client = CLIENT.iter().chain(&PROGRAMS).find(|(known, _)| *known == name);
        let client = client.map_or_else(String::new, |(_, test)| format!("`{test}`"));
        writeln!(table, "| `{name}` | {scenario} | `{python}` | {ours} | {client} | {reasons} |")
            .expect("a string");
    }
    table
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md")
}

#[test]
fn the_table_in_the_docs_is_fresh() {
    let text = std::fs::read_to_string(page()).expect("docs/compatibility.md");
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let fresh = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        std::fs::write(page(), &fresh).expect("a writable page");
    } else {
        assert!(
            text == fresh,
            "the table in docs/compatibility.md is old: run the test once with {UPDATE}=1"
        );
    }
}
