//! Where our exporter differs from the recorded one on purpose: per recording, the events and the reason.
//!
//! The reasons also make up the table in `docs/compatibility.md`. Statuses are always those of the recording unless
//! something here says otherwise; status texts that Python, pydantic or grpcio wrote are compared by what they name
//! ([`Texts::Meaning`](jumpstarter_tests::compare::Texts)).

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use jumpstarter_tests::message::Tree;
use jumpstarter_tests::recording::{Recording, Side, Stream, What};
use jumpstarter_tests::replay::{Allowed, Deviation, PayloadCheck};
use jumpstarter_transport::codec::{self, Encoding, unpack};

const CANCELLED: u32 = 1;
const INVALID_ARGUMENT: u32 = 3;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

const LOG_LINES: &str =
    "every reader gets every line, with the driver's UUID and without a `[logger] ` prefix (G3, G5)";
const DROPPED: &str = "PING, RST_STREAM and unknown frames are dropped, not delivered as empty data (S5)";
const ENDED: &str = "the call ends with OK some time after both directions have (S4)";
const ENCODING: &str = "an unknown encoding is refused with INVALID_ARGUMENT";
const CANCELLATION: &str = "an internal cancellation answers CANCELLED instead of nothing (V17)";
const CUT: &str = "a long status text is cut, so that it stays below clients' limits (T13)";
const ATTRIBUTES: &str = "attributes of Python objects are \"not found on driver\"";
const DAMAGED: &str = "data that cannot be unpacked is reported in our words";
const RESCUE: &str = "a method that the interface has and the driver lacks is UNIMPLEMENTED";
const ONE_SOCKET: &str = "the exporter has no second socket whose name it could tell beside the hook's";
const REFLECTION: &str = "reflection answers";
const NO_MESSAGE: &str = "a request that is no message may be INTERNAL";
const PACKED: &str = "a compressed dump is complete (R8)";
const SHELL_WORDS: &str = "the shell driver says in its own words what it refuses";
const ADDRESS_WORDS: &str = "a withheld address is refused in our words";
const EARLY: &str = "the headers of a stream come when the method runs, not with its first item";
const OPENDAL: &str = "what the storage library itself says is that of its newer release";
const READY_AGAIN: &str = "after EndSession the exporter becomes ready again";

/// What may differ when the recording is replayed against our exporter.
pub(crate) fn wanted(recording: &Recording) -> Vec<Allowed> {
    let mut allowed = match recording.scenario.as_str() {
        "raw_log_stream" | "raw_log_stream_two_readers" => {
            vec![Allowed::always(LOG_LINES, Deviation::LogLines)]
        }
        "tcp_shell" | "tcp_passphrase" => vec![Allowed::sometimes(LOG_LINES, Deviation::LogLines)],
        "j_shell_driver" => crate::upstream::chunks().into(),
        "j_usage_errors" => {
            let text = Deviation::Text { seq: 39, contains: "enable_address" };
            vec![Allowed::sometimes(ADDRESS_WORDS, text).on(3)]
        }
        "raw_streaming_errors" => vec![
            Allowed::always(SHELL_WORDS, Deviation::Text { seq: 56, contains: "nosuch" }),
            Allowed::always(SHELL_WORDS, Deviation::Text { seq: 62, contains: "PATH" }),
        ],
        "raw_streaming_cancel" => vec![Allowed::sometimes(EARLY, Deviation::Otherwise { stream: 5 })],
        "tcp_hooks" => vec![
            Allowed::sometimes(LOG_LINES, Deviation::LogLines),
            Allowed::always(ONE_SOCKET, Deviation::Omitted { seq: 38 }),
        ],
        "raw_stream_echo" => {
            [35, 38, 42].map(|seq| Allowed::always(DROPPED, Deviation::Omitted { seq })).into_iter().collect()
        }
        "raw_stream_errors" => {
            vec![Allowed::always(ENCODING, Deviation::Refused { seq: 73, code: INVALID_ARGUMENT })]
        }
        "raw_driver_exceptions" => vec![
            Allowed::always(CANCELLATION, Deviation::Ended { stream: 33, code: CANCELLED }),
            Allowed::always(CUT, Deviation::Cut { seq: 187 }),
            Allowed::always(CUT, Deviation::Cut { seq: 193 }),
        ],
        "lib_errors" => vec![Allowed::always(
            ATTRIBUTES,
            Deviation::Text { seq: 103, contains: "method not_exported not found on driver" },
        )],
        "lib_resource_encoding_mismatch" => {
            vec![Allowed::always(DAMAGED, Deviation::Text { seq: 39, contains: "incorrect header check" })]
        }
        "raw_lookup_errors" => vec![
            Allowed::always(
                ATTRIBUTES,
                Deviation::Text { seq: 36, contains: "method not_exported not found on driver" },
            ),
            Allowed::always(
                ATTRIBUTES,
                Deviation::Text { seq: 60, contains: "method uuid not found on driver" },
            ),
            Allowed::always(
                ATTRIBUTES,
                Deviation::Text { seq: 66, contains: "method __init__ not found on driver" },
            ),
            Allowed::always(RESCUE, Deviation::Status { seq: 143, code: UNIMPLEMENTED }),
        ],
        "raw_rpc_errors" => vec![
            Allowed::always(REFLECTION, Deviation::Otherwise { stream: 7 }),
            Allowed::sometimes(NO_MESSAGE, Deviation::Status { seq: 42, code: INTERNAL }),
        ],
        "tcp_end_session" => {
            vec![Allowed::always(READY_AGAIN, Deviation::Message { seq: 59, check: is_ready })]
        }
        "raw_resource_handles" => {
            vec![Allowed::always(OPENDAL, Deviation::Text { seq: 103, contains: NOT_FOUND })]
        }
        "lib_storage" => vec![
            Allowed::always(OPENDAL, Deviation::Text { seq: 126, contains: NOT_FOUND }),
            Allowed::always(OPENDAL, Deviation::Text { seq: 229, contains: NOT_FOUND }),
            Allowed::always(OPENDAL, Deviation::Message { seq: 237, check: is_capability_of_memory }),
        ],
        "lib_resource_upload_gzip" => vec![packed(recording, unpacks_gzip)],
        "lib_resource_upload_xz" => vec![packed(recording, unpacks_xz)],
        "lib_resource_upload_bz2" => vec![packed(recording, unpacks_bz2)],
        "lib_resource_upload_zstd" => vec![packed(recording, unpacks_zstd)],
        _ => Vec::new(),
    };
    let both_ended = recording.connections[0].streams.iter().filter(|stream| {
        stream.path.ends_with("RouterService/Stream")
            && [Side::Client, Side::Server].iter().all(|side| ends(stream, *side))
    });
    allowed.extend(
        both_ended.map(|stream| Allowed::sometimes(ENDED, Deviation::Ended { stream: stream.id, code: 0 })),
    );
    allowed
}

/// Whether one end has said that its data is over, or that it sends nothing more.
fn ends(stream: &Stream, side: Side) -> bool {
    stream.events.iter().any(|event| {
        event.from == side
            && match &event.what {
                What::EndStream { .. } => true,
                // A frame of kind GOAWAY has no payload.
                What::Message(message) => message.content()[..] == [0x10, 0x07],
                _ => false,
            }
    })
}

fn is_ready(status: &Tree) -> Result<(), String> {
    match status.get("status").and_then(Tree::as_text) {
        Some("EXPORTER_STATUS_LEASE_READY") => Ok(()),
        _ => Err(status.to_string()),
    }
}

/// How the library reports what is not there, up to the words for it.
const NOT_FOUND: &str = "NotFound (permanent) at stat => ";

/// All of upstream's flags, of which only those may differ that are about headers of HTTP: memory keeps these now.
fn is_capability_of_memory(answer: &Tree) -> Result<(), String> {
    const TRUE: [&str; 8] =
        ["stat", "read", "write", "write_can_empty", "create_dir", "delete", "list", "list_with_recursive"];
    const KEPT: [&str; 3] =
        ["write_with_cache_control", "write_with_content_disposition", "write_with_content_type"];
    let Some(Tree::Map(flags)) = answer.get("result") else { return Err(answer.to_string()) };
    if flags.len() != 33 {
        return Err(format!("{} flags", flags.len()));
    }
    for (flag, value) in flags {
        let flag = flag.as_str();
        let right = match value {
            Tree::Null => flag.ends_with("_size"),
            Tree::Bool(value) => {
                KEPT.contains(&flag) || *value == (TRUE.contains(&flag) || flag == "blocking")
            }
            _ => false,
        };
        if !right {
            return Err(format!("{flag}: {value}"));
        }
    }
    Ok(())
}

/// The last byte stream of the recording is the dump that the exporter packs.
fn packed(recording: &Recording, check: PayloadCheck) -> Allowed {
    let streams = &recording.connections[0].streams;
    let dump = streams.iter().rev().find(|stream| stream.path.ends_with("RouterService/Stream"));
    Allowed::always(PACKED, Deviation::Payload { stream: dump.map_or(0, |stream| stream.id), check })
}

fn unpacks_gzip(bytes: Vec<u8>) -> BoxFuture<'static, Result<(), String>> {
    unpacks(Encoding::Gzip, bytes)
}

fn unpacks_xz(bytes: Vec<u8>) -> BoxFuture<'static, Result<(), String>> {
    unpacks(Encoding::Xz, bytes)
}

fn unpacks_bz2(bytes: Vec<u8>) -> BoxFuture<'static, Result<(), String>> {
    unpacks(Encoding::Bz2, bytes)
}

fn unpacks_zstd(bytes: Vec<u8>) -> BoxFuture<'static, Result<(), String>> {
    unpacks(Encoding::Zstd, bytes)
}

/// The image of those scenarios has to come out.
fn unpacks(encoding: Encoding, bytes: Vec<u8>) -> BoxFuture<'static, Result<(), String>> {
    async move {
        let input = stream::once(async move { Ok::<_, codec::Error>(Bytes::from(bytes)) }).boxed();
        let mut output = Vec::new();
        let mut pieces = unpack(Some(encoding), input);
        while let Some(piece) = pieces.next().await {
            output.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        if output == b"jumpstarter ".repeat(20) {
            Ok(())
        } else {
            Err(format!("{} other bytes", output.len()))
        }
    }
    .boxed()
}

/// The recording as our exporter would have made it, as far as the wanted differences say exactly what comes.
pub(crate) fn as_ours(recording: &Recording) -> Recording {
    let mut ours = recording.clone();
    for allowed in wanted(recording).into_iter().filter(|allowed| !allowed.optional) {
        for stream in &mut ours.connections[allowed.connection].streams {
            change(stream, &allowed.what);
        }
    }
    ours
}

fn trailers(code: u32, text: &str) -> What {
    let headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-message", text)];
    let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    headers.push(("grpc-status".to_owned(), code.to_string()));
    What::Trailers { headers, trailers_only: true }
}

fn status(headers: &[(String, String)]) -> u32 {
    headers
        .iter()
        .find(|(name, _)| name == "grpc-status")
        .and_then(|(_, code)| code.parse().ok())
        .unwrap_or(0)
}

fn change(stream: &mut Stream, deviation: &Deviation) {
    let text = |what: &What| match what {
        What::Trailers { headers, .. } => headers
            .iter()
            .find(|(name, _)| name == "grpc-message")
            .map_or_else(String::new, |(_, text)| text.clone()),
        _ => String::new(),
    };
    match *deviation {
        Deviation::Omitted { seq } => stream.events.retain(|event| event.seq != seq),
        Deviation::Status { seq, code } | Deviation::Refused { seq, code } => {
            for event in stream.events.iter_mut().filter(|event| event.seq == seq) {
                event.what = trailers(code, "no");
            }
        }
        Deviation::Text { seq, contains } => {
            for event in stream.events.iter_mut().filter(|event| event.seq == seq) {
                let code = match &event.what {
                    What::Trailers { headers, .. } => status(headers),
                    _ => 0,
                };
                event.what = trailers(code, contains);
            }
        }
        Deviation::Cut { seq } => {
            for event in stream.events.iter_mut().filter(|event| event.seq == seq) {
                event.what = trailers(2, &text(&event.what)[..4096]);
            }
        }
        Deviation::Ended { stream: id, code } if id == stream.id => {
            // Before the client gives up, its last event.
            if let Some(reset) = stream.events.pop() {
                let mut answer = reset.clone();
                answer.from = Side::Server;
                answer.what = trailers(code, "cancelled");
                stream.events.extend([answer, reset]);
            }
        }
        Deviation::LogLines => {
            for event in &mut stream.events {
                if let What::Message(message) = &mut event.what
                    && stream.path.ends_with("LogStream")
                    && event.from == Side::Server
                {
                    message.content = Some(with_uuid(&message.content()));
                }
            }
        }
        _ => {}
    }
}

/// A log line with a UUID, which is its field 1.
fn with_uuid(line: &Bytes) -> Bytes {
    let uuid = b"\x0a\x2401234567-89ab-cdef-0123-456789abcdef";
    [&uuid[..], &line[..]].concat().into()
}

#[test]
fn every_wanted_difference_points_at_something_recorded() {
    for name in Recording::names().expect("the folder of recordings") {
        let recording = Recording::load(&name).expect("a recording");
        for allowed in wanted(&recording) {
            let streams = &recording.connections[allowed.connection].streams;
            let exists = streams.iter().any(|stream| allowed.what.concerns(stream));
            assert!(exists, "{name}: {allowed:?}");
        }
    }
}
