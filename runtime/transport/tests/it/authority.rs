//! The adapter that lets clients through whose `:authority` is a path.

use std::{convert::Infallible, io};

use bytes::Bytes;
use futures::{FutureExt, stream};
use http::uri::Authority;
use jumpstarter_transport::{authority::AuthorityAdapter, server::Peer};
use loona_hpack::Encoder;
use proptest::prelude::*;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::StreamReader;

use crate::{
    Echo,
    http2::{
        Blocks, CONTINUATION, DATA, END_HEADERS, END_STREAM, Fields, Frame, GOAWAY, HEADERS, PADDED, PING,
        PREFACE, PRIORITY, RST_STREAM, SETTINGS, call, compressed, field, frame, literals, message,
        read_frame, read_frames,
    },
};

const REPORT: &str = "/jumpstarter.v1.ExporterService/GetReport";

/// What clients send for sockets, and what servers make of it (recorded).
const PATHS: &[&str] = &[
    "tmp%2Fjumpstarter-golden%2Fsocket",
    "tmp%2Fjumpstarter-golden%2Fa-b_c.d~e",
    "tmp%2Fjumpstarter-golden%2Fwith%20space",
    "tmp%2Fjumpstarter-golden%2F%C3%A9%E4%B8%96",
    "tmp%2Fjumpstarter-golden%2FUPPER",
    // Other encoders write the bare path.
    "/tmp/x",
    // The ending alone is not enough.
    "tmp%2Fx%2Fs@",
    "",
];

/// What needs no help.
const HOSTS: &[&str] = &[
    "localhost",
    "socket",
    "jumpstarter-golden",
    "127.0.0.1:18095",
    "[::1]:18095",
    "tmp%2Fjumpstarter-golden%2Fsocket@localhost",
    "tmp%2Fjumpstarter-golden%2Fa:b@c",
];

/// Reads a connection whose bytes arrive in these pieces.
async fn through(pieces: Vec<Bytes>) -> (Vec<u8>, io::Result<()>) {
    let pieces = stream::iter(pieces.into_iter().filter(|piece| !piece.is_empty()).map(Ok::<_, io::Error>));
    let mut adapter = AuthorityAdapter::new(StreamReader::new(pieces));
    let mut all = Vec::new();
    let result = adapter.read_to_end(&mut all).await.map(drop);
    (all, result)
}

async fn whole(bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
    through(vec![Bytes::copy_from_slice(bytes)]).await
}

/// A connection by an unmodified client: settings, a call with literals, data, and a second call from the table.
fn connection(authority: &str) -> (Vec<u8>, Vec<Fields>) {
    let first = call(REPORT, authority.as_bytes());
    let mut second = first.clone();
    second[0].1 = b"/jumpstarter.v1.ExporterService/DriverCall".to_vec();

    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 64, 0, 0]));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &literals(&first)));
    bytes.extend(message(1, END_STREAM, b""));
    bytes.extend(frame(PING, 0, 0, b"12345678"));
    // From static entry 62 on, the latest entry first: all but the path is in the table.
    let mut block = vec![0x40, 5];
    block.extend(b":path");
    block.push(u8::try_from(second[0].1.len()).expect("short"));
    block.extend_from_slice(&second[0].1);
    // The new path is entry 62; `:authority` was the second of eight and so is now the eighth.
    block.extend((63..70).rev().map(|index| 0x80 | index));
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 3, &block));
    (bytes, vec![first, second])
}

/// The calls that a server sees, and everything else.
async fn split(bytes: &[u8]) -> (Vec<Fields>, Vec<Frame>) {
    let mut blocks = Blocks::new();
    let (mut calls, mut others) = (Vec::new(), Vec::new());
    for frame in read_frames(bytes).await {
        match frame.kind {
            HEADERS | CONTINUATION => calls.extend(blocks.take(&frame)),
            _ => others.push(frame),
        }
    }
    (calls, others)
}

fn with_localhost(mut calls: Vec<Fields>) -> Vec<Fields> {
    for fields in &mut calls {
        for (name, value) in fields {
            if name == b":authority" {
                *value = b"localhost".to_vec();
            }
        }
    }
    calls
}

#[tokio::test]
async fn pitfall_t1_paths_become_localhost_wherever_the_bytes_are_split() {
    for path in PATHS {
        assert!(Authority::try_from(*path).is_err(), "{path:?} needs no help");
        let (bytes, calls) = connection(path);
        let expected = with_localhost(calls);
        let (_, untouched) = split(&bytes).await;
        let mut splits: Vec<Vec<Bytes>> = (0..bytes.len())
            .map(|at| vec![Bytes::copy_from_slice(&bytes[..at]), Bytes::copy_from_slice(&bytes[at..])])
            .collect();
        splits.push(bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect());
        for pieces in splits {
            let at = pieces[0].len();
            let (out, result) = through(pieces).await;
            result.expect("a well-formed connection");
            let (calls, others) = split(&out).await;
            assert_eq!(calls, expected, "{path:?} split at {at}");
            assert_eq!(others, untouched, "{path:?} split at {at}");
        }
    }
}

#[tokio::test]
async fn pitfall_t1_hosts_pass_untouched_wherever_the_bytes_are_split() {
    for host in HOSTS {
        assert!(Authority::try_from(*host).is_ok(), "{host:?} needs help");
        let (mut bytes, _) = connection(host);
        // Once aside, the adapter does not look any more: this is no frame.
        bytes.extend(b"\xff\xff\xff\x01\xff");
        for at in 0..bytes.len() {
            let (out, result) =
                through(vec![Bytes::copy_from_slice(&bytes[..at]), Bytes::copy_from_slice(&bytes[at..])])
                    .await;
            result.expect("nothing is judged");
            assert_eq!(out, bytes, "{host:?} split at {at}");
        }
    }
}

#[tokio::test]
async fn pitfall_t1_header_blocks_larger_than_a_frame_are_taken_apart_and_put_together() {
    let mut fields = call(REPORT, b"tmp%2Fx");
    fields.push((b"x-large".to_vec(), vec![b'v'; 40_000]));
    let block = literals(&fields);
    let mut bytes = PREFACE.to_vec();
    // Padding and priority in the first frame, an empty frame in between, pieces of all sizes.
    let mut payload = vec![7, 0x80, 0, 0, 3, 200];
    payload.extend_from_slice(&block[..11]);
    payload.extend([0; 7]);
    bytes.extend(frame(HEADERS, PADDED | PRIORITY | END_STREAM, 1, &payload));
    bytes.extend(frame(CONTINUATION, 0, 1, &block[11..30]));
    bytes.extend(frame(CONTINUATION, 0, 1, b""));
    bytes.extend(frame(CONTINUATION, 0, 1, &block[30..16_000]));
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &block[16_000..]));
    bytes.extend(frame(PING, 0, 0, b"12345678"));

    let (out, result) = whole(&bytes).await;
    result.expect("a well-formed connection");
    let frames = read_frames(&out).await;
    assert!(frames.iter().all(|frame| frame.payload.len() <= 16 * 1024), "any server takes frames of 16 KiB");
    assert_eq!(frames[0].flags, PRIORITY | END_STREAM);
    assert_eq!(frames[0].payload[..5], [0x80, 0, 0, 3, 200]);
    assert_eq!(frames.last().map(|frame| frame.kind), Some(PING));
    assert_eq!(split(&out).await.0, with_localhost(vec![fields.clone()]));

    // The same with an acceptable authority is none of our business.
    fields[1].1 = b"localhost".to_vec();
    let block = literals(&fields);
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(HEADERS, 0, 1, &block[..16_384]));
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &block[16_384..]));
    let (out, result) = whole(&bytes).await;
    result.expect("nothing is judged");
    assert_eq!(out, bytes);
}

#[tokio::test]
async fn pitfall_t1_compression_state_is_followed_through_every_block() {
    let mut encoder = Encoder::new();
    let mut bytes = PREFACE.to_vec();
    let mut expected = Vec::new();
    for number in 0..40_u32 {
        let mut fields = call(REPORT, b"tmp%2Fx");
        // A host in between stays as it is, and entries are driven out of the table.
        if number % 5 == 4 {
            fields[1].1 = b"host:1".to_vec();
        }
        fields.push((b"x-number".to_vec(), format!("{number}{}", "n".repeat(150)).into()));
        let mut block = Vec::new();
        if number == 20 {
            // The client shrinks its table: to nothing, then to 300 bytes.
            block.extend([0x20, 0x3f, 0x8d, 0x02]);
            encoder.set_max_table_size(0);
            encoder.set_max_table_size(300);
        }
        block.extend(compressed(&mut encoder, &fields));
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block));
        expected.push(if number % 5 == 4 { fields } else { with_localhost(vec![fields]).remove(0) });
    }
    let (out, result) = whole(&bytes).await;
    result.expect("a well-formed connection");
    assert_eq!(split(&out).await.0, expected);
}

#[tokio::test]
async fn what_cannot_be_understood_before_the_first_call_is_left_to_the_server() {
    let headers = |flags, payload: &[u8]| [PREFACE, &frame(HEADERS, flags, 1, payload)].concat();
    let interrupted =
        [headers(0, &literals(&call(REPORT, b"tmp%2Fx"))), frame(PING, 0, 0, b"12345678")].concat();
    let endless: Vec<u8> = [
        headers(0, &literals(&call(REPORT, b"tmp%2Fx"))),
        frame(CONTINUATION, 0, 1, &[0x82; 16_000]).repeat(9),
    ]
    .concat();
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: a%2Fb\r\n\r\n".to_vec(),
        b"PRI * HTTP/1.0".to_vec(),
        PREFACE[..10].to_vec(),
        Vec::new(),
        headers(END_HEADERS | PADDED, b""),
        headers(END_HEADERS | PADDED, b"\x05abc"),
        headers(END_HEADERS | PRIORITY, b"abc"),
        headers(END_HEADERS, b"\xff\xff\xff\xff\xff"),
        // A table larger than the server's settings allow.
        headers(END_HEADERS, b"\x3f\xe1\x7f\x82"),
        [PREFACE, &frame(CONTINUATION, END_HEADERS, 1, b"\x82")].concat(),
        headers(END_HEADERS, b"\x82")[..28].to_vec(),
        interrupted,
        endless,
    ] {
        let (out, result) = whole(&bytes).await;
        result.expect("nothing is judged");
        assert_eq!(out, bytes);
    }
}

#[tokio::test]
async fn what_cannot_be_understood_later_fails_the_connection() {
    let (start, _) = connection("tmp%2Fx");
    let block = literals(&call(REPORT, b"tmp%2Fx"));
    for (what, tail) in [
        ("malformed", frame(HEADERS, END_HEADERS | PADDED, 5, b"\x05abc")),
        ("decompressed", frame(HEADERS, END_HEADERS, 5, b"\xff\xff\xff\xff\xff")),
        ("interrupted", [frame(HEADERS, 0, 5, &block), frame(DATA, 0, 5, b"")].concat()),
        ("interrupted", [frame(HEADERS, 0, 5, &block), frame(CONTINUATION, END_HEADERS, 7, b"")].concat()),
        ("larger", [frame(HEADERS, 0, 5, &block), frame(CONTINUATION, 0, 5, b"").repeat(15_000)].concat()),
    ] {
        let (_, result) = whole(&[start.clone(), tail].concat()).await;
        let error = result.expect_err(what);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(what), "{error} should say {what}");
    }
}

#[tokio::test]
async fn a_small_block_that_expands_without_end_is_refused() {
    let mut fields = call(REPORT, b"tmp%2Fx");
    fields.push((b"x-long".to_vec(), vec![b'v'; 3000]));
    let mut block = literals(&fields);
    block.extend([0xbe; 10_000]);
    let bytes = [PREFACE, &frame(HEADERS, END_HEADERS, 1, &block)].concat();
    let error = whole(&bytes).await.1.expect_err("30 MB of headers");
    assert!(error.to_string().contains("expands"), "{error}");
}

#[tokio::test]
async fn half_a_frame_at_the_end_is_handed_on_so_that_the_server_sees_the_cut() {
    let (start, _) = connection("tmp%2Fx");
    let complete = whole(&start).await.0;
    let tail = &frame(HEADERS, END_HEADERS, 5, b"\x82\x84")[..10];
    let (out, result) = whole(&[&start, tail].concat()).await;
    result.expect("an end, not an error");
    assert_eq!(out, [&complete, tail].concat());
}

proptest! {
    #[test]
    fn no_input_makes_the_adapter_panic(
        tail in proptest::collection::vec(any::<u8>(), 0..400),
        decided in any::<bool>(),
        piece in 1_usize..50,
    ) {
        let start = if decided { connection("tmp%2Fx").0 } else { PREFACE.to_vec() };
        let bytes = [start, tail].concat();
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        // An error is as good as an end: what matters is that there is an outcome at all.
        let outcome = through(pieces).now_or_never();
        prop_assert!(outcome.is_some());
    }

    #[test]
    fn no_header_block_makes_the_adapter_panic(
        block in proptest::collection::vec(any::<u8>(), 0..400),
        flags in any::<u8>(),
        decided in any::<bool>(),
    ) {
        let start = if decided { connection("tmp%2Fx").0 } else { PREFACE.to_vec() };
        let bytes = [start, frame(HEADERS, flags, 5, &block), frame(CONTINUATION, END_HEADERS, 5, &block)].concat();
        prop_assert!(whole(&bytes).now_or_never().is_some());
    }
}

#[tokio::test]
async fn pitfall_t1_a_server_answers_a_client_that_sends_its_socket_path() {
    for authority in ["tmp%2Fjumpstarter-golden%2Fsocket", "/tmp/x", "localhost"] {
        let server = Echo::default().server();
        let (mut client, theirs) = tokio::io::duplex(64 * 1024);
        server.connection(theirs, Peer::Tunnel);

        let fields = call("/jumpstarter.v1.RouterService/Stream", authority.as_bytes());
        let mut encoder = Encoder::new();
        let mut bytes = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
        for stream in [1, 3] {
            let text = jumpstarter_protocol::v1::StreamRequest { payload: "hello".into(), frame_type: 0 };
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &compressed(&mut encoder, &fields)));
            bytes.extend(message(stream, END_STREAM, &text.encode_to_vec()));
        }
        client.write_all(&bytes).await.expect("sent");

        let mut blocks = Blocks::new();
        let (mut statuses, mut echoed) = (Vec::new(), Vec::new());
        while statuses.len() < 2 {
            let frame = read_frame(&mut client).await.expect("a connection").expect("an answer");
            match frame.kind {
                HEADERS => {
                    let fields = blocks.take(&frame).expect("one frame");
                    statuses.extend(field(&fields, "grpc-status").map(str::to_owned));
                }
                DATA => echoed.extend(frame.payload),
                RST_STREAM | GOAWAY => panic!("{authority:?} was refused: {frame:?}"),
                _ => {}
            }
        }
        assert_eq!(statuses, ["0", "0"]);
        assert_eq!(echoed.windows(5).filter(|window| window == b"hello").count(), 2);
    }
}

/// The adapter is for servers; a service behind it never sees the path.
#[tokio::test]
async fn services_see_localhost_instead_of_a_path() {
    let (seen, mut authorities) = tokio::sync::mpsc::channel(1);
    let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let seen = seen.clone();
        async move {
            seen.send(request.uri().to_string()).await.expect("the test waits");
            Ok::<_, Infallible>(tonic::Status::unimplemented("").into_http())
        }
    });
    let server = jumpstarter_transport::server::Server::new(service);
    let (mut client, theirs) = tokio::io::duplex(64 * 1024);
    server.connection(theirs, Peer::Tunnel);
    client.write_all(&connection("tmp%2Fx%2Fsocket").0).await.expect("sent");
    assert_eq!(authorities.recv().await.as_deref(), Some(&*format!("http://localhost{REPORT}")));
}
