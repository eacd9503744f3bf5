//! The two replays against each other: each recording's client talks to its own exporter.
//!
//! Unchanged, neither notices anything. With one byte changed in what one of them expects, it has to notice; so for each
//! recording it is known that the replay really looks at it.

use std::time::Duration;

use bytes::Bytes;
use jumpstarter_tests::bindings::uuids;
use jumpstarter_tests::message::{Direction, Tree};
use jumpstarter_tests::recording::{Event, Recording, Side, Stream, What};
use jumpstarter_tests::replay::{Address, Differences, Replay};
use jumpstarter_tests::scripted::{Scripted, Unfaithful};
use tokio::task::JoinSet;

use crate::wanted::{as_ours, wanted};

/// Long enough for an answer, short for the many answers that do not come here.
const PATIENCE: Duration = Duration::from_secs(3);

async fn against(
    client: Recording,
    exporter: Recording,
) -> (Result<(), Differences>, Result<(), Unfaithful>) {
    let all: Vec<usize> = (0..client.connections.len()).collect();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let unfaithful = Scripted::of(exporter)
        .run(|socket| async move {
            let replay = Replay::of(client).patience(PATIENCE).together(&all);
            sender.send(replay.run(&Address::Unix(socket)).await).expect("a receiver");
        })
        .await;
    (receiver.await.expect("an outcome"), unfaithful)
}

fn recordings() -> impl Iterator<Item = Recording> {
    let names = Recording::names().expect("the folder of recordings");
    names.into_iter().map(|name| Recording::load(&name).expect("a recording"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recording_agrees_with_itself() {
    let mut runs = JoinSet::new();
    for recording in recordings() {
        runs.spawn(async move { against(recording.clone(), recording).await });
    }
    let mut failed = String::new();
    while let Some(outcome) = runs.join_next().await {
        let (client, exporter) = outcome.expect("no panic");
        failed.extend(client.err().map(|differences| differences.to_string()));
        failed.extend(exporter.err().map(|unfaithful| unfaithful.to_string()));
    }
    assert!(failed.is_empty(), "{failed}");
}

/// A tree without the random UUID of an answer, which nobody looks at.
fn checked(path: &str, direction: Direction, bytes: &Bytes) -> Tree {
    match Tree::decode(path, direction, bytes) {
        Tree::Map(mut entries) if direction == Direction::Response && path.ends_with("DriverCall") => {
            entries.remove("uuid");
            Tree::Map(entries)
        }
        other => other,
    }
}

/// Changes the last byte of a message that changes its meaning and is no part of a UUID. `false` when there is none.
fn change_message(stream: &Stream, event: &mut Event) -> bool {
    let direction = if event.from == Side::Client { Direction::Request } else { Direction::Response };
    let What::Message(message) = &mut event.what else { return false };
    let content = message.content();
    let before = checked(&stream.path, direction, &content);
    // Latin 1, so that places in the text are those of the bytes.
    let text: String =
        content.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let random = uuids(&text);
    for at in (0..content.len()).rev() {
        if random.iter().any(|(start, end)| (*start..*end).contains(&at)) {
            continue;
        }
        let mut changed = content.to_vec();
        changed[at] ^= 1;
        let changed = Bytes::from(changed);
        if checked(&stream.path, direction, &changed) != before {
            message.content = Some(changed);
            return true;
        }
    }
    false
}

/// Changes the status text, or the code when there is no text.
fn change_trailers(event: &mut Event) -> bool {
    let What::Trailers { headers, .. } = &mut event.what else { return false };
    for (name, value) in headers {
        match name.as_str() {
            "grpc-message" if value.ends_with(|c: char| c.is_ascii_alphabetic()) => {
                value.pop();
                value.push('#');
                return true;
            }
            "grpc-status" if value == "0" => {
                "1".clone_into(value);
                return true;
            }
            _ => {}
        }
    }
    false
}

/// A recording with one event changed, and the number of that event.
type Changed = (Recording, u32);

/// The last event on connection 0 that `change` can change, among those that are not in flight when the client has
/// reset the stream.
fn changed(
    recording: &Recording,
    side: Side,
    change: impl Fn(&Stream, &mut Event) -> bool,
) -> Option<Changed> {
    let mut places: Vec<(u32, usize, usize)> = Vec::new();
    for (at, stream) in recording.connections[0].streams.iter().enumerate() {
        for (number, event) in stream.events.iter().enumerate() {
            if matches!(event.what, What::RstStream { .. }) && event.from == Side::Client {
                break;
            }
            if event.from == side {
                places.push((event.seq, at, number));
            }
        }
    }
    places.sort_unstable();
    for (seq, at, number) in places.into_iter().rev() {
        let mut candidate = recording.clone();
        let stream = candidate.connections[0].streams[at].clone();
        if change(&stream, &mut candidate.connections[0].streams[at].events[number]) {
            return Some((candidate, seq));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_of_an_answer_is_a_difference() {
    let mut runs = JoinSet::new();
    for recording in recordings() {
        let changes = [
            changed(&recording, Side::Server, change_message),
            changed(&recording, Side::Server, |_, event| change_trailers(event)),
        ];
        assert!(changes.iter().any(Option::is_some), "{}: nothing to change", recording.scenario);
        for (changed, seq) in changes.into_iter().flatten() {
            let original = recording.clone();
            runs.spawn(async move {
                let name = original.scenario.clone();
                (name, seq, against(changed, original).await.0)
            });
        }
    }
    let mut unnoticed = Vec::new();
    while let Some(outcome) = runs.join_next().await {
        let (name, seq, client) = outcome.expect("no panic");
        let noticed =
            client.is_err_and(|differences| differences.all.iter().any(|difference| difference.seq == seq));
        if !noticed {
            unnoticed.push(format!("{name}, seq {seq}"));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_of_a_request_is_noticed_by_the_scripted_exporter() {
    let mut runs = JoinSet::new();
    for recording in recordings() {
        // The requests of GetReport and its like are empty, and some recordings have no others.
        let Some((changed, seq)) = changed(&recording, Side::Client, change_message) else {
            assert!(
                recording.connections[0].streams.iter().all(|s| s.request().is_none_or(|m| m.bytes == 0))
            );
            continue;
        };
        runs.spawn(async move {
            let name = recording.scenario.clone();
            (name, seq, against(recording, changed).await.1)
        });
    }
    let mut unnoticed = Vec::new();
    while let Some(outcome) = runs.join_next().await {
        let (name, seq, exporter) = outcome.expect("no panic");
        if exporter.is_ok() {
            unnoticed.push(format!("{name}, seq {seq}"));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

/// Recordings whose wanted differences say exactly what comes instead.
const PREDICTABLE: [&str; 7] = [
    "lib_errors",
    "lib_resource_encoding_mismatch",
    "raw_driver_exceptions",
    "raw_log_stream",
    "raw_lookup_errors",
    "raw_stream_echo",
    "raw_stream_errors",
];

#[tokio::test(flavor = "multi_thread")]
async fn wanted_differences_are_allowed_and_demanded() {
    for name in PREDICTABLE {
        let recording = Recording::load(name).expect("a recording");
        let (ours, allowed) = (as_ours(&recording), wanted(&recording));
        // The scripted exporter says nothing new about the client here.
        let run = |exporter: Recording, replay: Replay| async move {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let outcome = Scripted::of(exporter)
                .run(|socket| async move {
                    sender
                        .send(replay.patience(PATIENCE).run(&Address::Unix(socket)).await)
                        .expect("a receiver");
                })
                .await;
            drop(outcome);
            receiver.await.expect("an outcome")
        };
        let allowing = || Replay::of(recording.clone()).allowing(allowed.clone());
        run(ours.clone(), allowing()).await.unwrap_or_else(|d| panic!("{name} as ours: {d}"));
        assert!(run(ours, Replay::of(recording.clone())).await.is_err(), "{name}: nothing was allowed");
        assert!(run(recording.clone(), allowing()).await.is_err(), "{name}: what was allowed did not happen");
    }
}
