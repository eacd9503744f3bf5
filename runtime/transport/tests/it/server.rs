//! Servers and channels without encryption.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use jumpstarter_core::ErrorKind;
use jumpstarter_protocol::v1::{StreamRequest, router_service_client::RouterServiceClient};
use jumpstarter_transport::{
    connect::{self, Credentials, Endpoint, Options, Security},
    frames,
    server::{CONNECTION_WINDOW, FRAME, Peer, STREAM_WINDOW},
    stream as transport_stream,
};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};
use tonic::{Code, metadata::MetadataMap};

use crate::{
    Echo, echo,
    http2::{Frame, GOAWAY, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame, read_frame},
    in_memory, local,
};

const LONG: Duration = Duration::from_secs(30);

fn clear_text() -> Options {
    Options { security: Security::ClearText, ..Options::default() }
}

#[tokio::test]
async fn a_unix_socket_carries_calls_and_says_who_calls() {
    let service = Echo::default();
    let (_server, channel, _directory) = local(&service).await;
    assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
    let pid = i32::try_from(std::process::id()).ok();
    assert!(
        matches!(service.seen.lock().expect("not poisoned").peers[..], [Peer::Unix { pid: p, .. }] if p == pid)
    );
}

#[tokio::test]
async fn tcp_carries_calls_together_with_the_passphrase() {
    let service = Echo::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let endpoint = Endpoint::parse(&listener.local_addr().expect("bound").to_string()).expect("an endpoint");
    let server = service.server();
    server.listen_tcp(listener, None);
    let credentials = Credentials::passphrase("open sesame").expect("text");
    let channel =
        connect::connect(&endpoint, &Options { credentials, ..clear_text() }).await.expect("a channel");
    assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
    let seen = service.seen.lock().expect("not poisoned");
    assert!(matches!(seen.peers[..], [Peer::Tcp(address)] if address.ip().is_loopback()));
    assert_eq!(seen.passphrases, [Some("open sesame".to_owned())]);
}

#[tokio::test]
async fn a_connection_in_memory_carries_calls_until_it_is_lost() {
    let (server, channel) = in_memory(&Echo::default()).await;
    assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
    drop(server);
    echo(&channel, "hello".into()).await.expect_err("there is no second connection");
}

#[tokio::test]
async fn failed_connections_say_where_and_why() {
    let absent = connect::connect(&Endpoint::Unix("/nonexistent/socket".into()), &Options::default()).await;
    let absent = absent.expect_err("there is none");
    // It is no device that is not there.
    assert_eq!(absent.kind(), ErrorKind::Disconnected);
    assert!(absent.message().starts_with("cannot connect to /nonexistent/socket: "), "{absent}");

    // No name below `.invalid` leads anywhere (RFC 6761, section 6.4).
    let nobody = Endpoint::parse("nobody.invalid:1").expect("an endpoint");
    let unknown = connect::connect(&nobody, &clear_text()).await.expect_err("there is nobody of that name");
    assert_eq!(unknown.kind(), ErrorKind::Disconnected);
    assert!(unknown.message().starts_with("cannot connect to nobody.invalid:1: "), "{unknown}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let refused = connect::connect(&Endpoint::parse(&address).expect("an endpoint"), &clear_text()).await;
    let refused = refused.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::Disconnected);
    assert!(refused.message().contains(&address), "{refused}");
}

/// The settings of a peer, by number, and the window of its connection.
async fn settings(io: &mut tokio::io::DuplexStream) -> (HashMap<u16, u32>, u32) {
    let mut settings = HashMap::new();
    let mut window = 65_535;
    while settings.is_empty() || window == 65_535 {
        let Frame { kind, flags, stream, payload } =
            read_frame(io).await.expect("a connection").expect("a frame");
        match kind {
            SETTINGS if flags == 0 => {
                settings.extend(payload.chunks(6).map(|entry| {
                    let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
                    (u16::from_be_bytes([entry[0], entry[1]]), value)
                }));
            }
            WINDOW_UPDATE if stream == 0 => {
                window += u32::from_be_bytes(payload.try_into().expect("four bytes"));
            }
            _ => {}
        }
    }
    (settings, window)
}

#[tokio::test]
async fn pitfall_t4_both_ends_open_large_windows_from_the_start() {
    const INITIAL_WINDOW: u16 = 4;
    const MAX_FRAME: u16 = 5;

    let server = Echo::default().server();
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    server.connection(theirs, Peer::Tunnel);
    ours.write_all(&[PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()).await.expect("sent");
    let of_server = settings(&mut ours).await;

    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let _channel = connect::connect_stream(ours, Credentials::none()).await.expect("a channel");
    let mut preface = [0; 24];
    theirs.read_exact(&mut preface).await.expect("a preface");
    let of_client = settings(&mut theirs).await;

    for (settings, window) in [of_server, of_client] {
        assert!(settings[&INITIAL_WINDOW] >= 8 << 20 && settings[&INITIAL_WINDOW] == STREAM_WINDOW);
        assert!(window >= 16 << 20 && window == CONNECTION_WINDOW);
        assert!(settings[&MAX_FRAME] == 1 << 20 && settings[&MAX_FRAME] == FRAME);
    }
}

#[tokio::test]
async fn pitfall_t10_pings_are_answered_and_never_counted() {
    let server = Echo::default().server();
    let (mut client, theirs) = tokio::io::duplex(64 * 1024);
    server.connection(theirs, Peer::Tunnel);
    client.write_all(&[PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()).await.expect("sent");
    for number in 0..2000_u64 {
        client.write_all(&frame(PING, 0, 0, &number.to_be_bytes())).await.expect("sent");
        loop {
            let frame = read_frame(&mut client).await.expect("a connection").expect("an answer");
            assert_ne!(frame.kind, GOAWAY, "disconnected after {number} pings");
            if frame.kind == PING {
                assert_eq!((frame.flags, frame.payload), (1, number.to_be_bytes().to_vec()));
                break;
            }
        }
    }
}

#[tokio::test]
async fn pitfall_t11_a_stream_that_never_ends_does_not_keep_the_server() {
    let (service, mut ends) = Echo::watched();
    let (server, channel, _directory) = local(&service).await;
    let mut client = RouterServiceClient::new(channel.clone());
    let endless = stream::iter([frames::data::<StreamRequest>("x".into())]).chain(stream::pending());
    let mut answers = client.stream(endless).await.expect("a stream").into_inner();
    answers.next().await.expect("an echo").expect("an echo");

    assert!(!server.shutdown(Duration::from_millis(1)).await, "the stream was still open");
    let lost = answers.next().await.expect("an end").expect_err("not a clean one");
    assert_ne!(lost.code(), Code::Ok);
    assert!(ends.recv().await.expect("the handler ended").is_err(), "the handler saw a loss");
}

#[tokio::test]
async fn a_server_lets_running_requests_finish_and_takes_no_new_ones() {
    let service = Echo::default();
    let (server, channel, directory) = local(&service).await;
    let mut client = RouterServiceClient::new(channel.clone());
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let request = stream::iter([frames::data::<StreamRequest>("x".into())]).chain(stream::once(async move {
        wait.await.expect("released");
        frames::goaway()
    }));
    let mut answers = client.stream(request).await.expect("a stream").into_inner();
    answers.next().await.expect("an echo").expect("an echo");

    let shutdown = tokio::spawn(server.shutdown(LONG));
    let path = directory.socket(jumpstarter_transport::socket::MAIN).expect("a path");
    // The listener closes although a request is running.
    let closing = async {
        while connect::connect(&Endpoint::Unix(path.clone()), &Options::default()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, closing).await.expect("it closes");
    go.send(()).expect("the request is running");
    while let Some(answer) = answers.next().await {
        answer.expect("a clean end");
    }
    assert!(shutdown.await.expect("no panic"), "everything ended in time");
}

#[tokio::test]
async fn cancelled_calls_leave_nothing_behind() {
    let (service, mut ends) = Echo::watched();
    let (server, channel, _directory) = local(&service).await;
    let calls = (0..1000).map(|number| {
        let channel = channel.clone();
        async move {
            let (writer, call) = transport_stream::open(channel, MetadataMap::new());
            writer.send("x".into()).await.expect("sent");
            let mut reader = call.await.expect("a stream").into_inner();
            if number % 2 == 0 {
                reader.chunk().await.expect("an echo");
            }
        }
    });
    future::join_all(calls).await;
    for _ in 0..1000 {
        assert_eq!(ends.recv().await.expect("an end"), Err(Code::Unavailable));
    }
    assert_eq!(echo(&channel, "still here".into()).await.expect("an echo"), b"still here");
    drop(channel);
    assert!(server.shutdown(LONG).await, "no task is left");
}

#[tokio::test]
async fn pitfall_t12_messages_beyond_four_mebibytes_pass() {
    let (_server, channel) = in_memory(&Echo::default()).await;
    let large = Bytes::from(vec![7; 5 << 20]);
    assert_eq!(echo(&channel, large.clone()).await.expect("an echo"), large);
}
