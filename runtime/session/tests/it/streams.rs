//! Byte streams of drivers over `RouterService.Stream`.

use jumpstarter_protocol::v1::{FrameType, StreamRequest};
use tonic::Code;

use crate::host::{Cut, Host};

#[tokio::test]
async fn pitfall_t3_the_headers_come_before_any_frame_and_without_metadata() {
    let host = Host::new();
    // The response is awaited inside; nothing was sent by then.
    let stream = host.open_driver("deaf").await.unwrap();
    let keys: Vec<_> = stream
        .metadata
        .iter()
        .filter_map(|entry| match entry {
            tonic::metadata::KeyAndValueRef::Ascii(key, _) => Some(key.as_str().to_owned()),
            tonic::metadata::KeyAndValueRef::Binary(..) => None,
        })
        .collect();
    assert!(!keys.iter().any(|key| key == "resource" || key == "request"), "{keys:?}");
}

#[tokio::test]
async fn what_goes_in_comes_out_and_both_directions_end() {
    let host = Host::new();
    let mut stream = host.open_driver("connect").await.unwrap();
    for piece in ["a", "bc", "def"] {
        stream.send(piece).await;
        assert_eq!(stream.data().await, piece);
    }
    stream.goaway().await;
    assert_eq!(stream.frame().await.unwrap(), Some((FrameType::Goaway, "".into())));
    drop(stream);
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_s1_a_cut_after_any_frame_is_an_error_for_the_driver() {
    for cut in Cut::ALL {
        for frames in 0..3 {
            let host = Host::new();
            let raw = host.raw().await;
            let request =
                format!(r#"{{"kind":"driver","uuid":"{}","method":"greeter"}}"#, host.instance.uuid);
            let mut call = raw.open("/jumpstarter.v1.RouterService/Stream", &[("request", &request)]).await;
            for i in 0..frames {
                call.data(format!("piece {i}").as_bytes());
                host.tester.seen(&format!("got b\"piece {i}\"")).await;
            }
            // The stream is open, and the driver listens.
            let response = (&mut call.response).await.unwrap();
            call.cut(raw, cut);
            host.tester.seen("cut: ConnectionAborted").await;
            drop(response);
            let happened = host.tester.happened();
            assert!(!happened.contains(&"end".to_owned()), "{cut:?} after {frames} frames: {happened:?}");
            host.is_idle().await;
        }
    }
}

#[tokio::test]
async fn pitfall_s1_a_goaway_or_a_clean_end_of_the_request_is_the_end_of_data() {
    for goaway in [true, false] {
        let host = Host::new();
        let mut stream = host.open_driver("connect").await.unwrap();
        stream.send("x").await;
        if goaway {
            stream.goaway().await;
        } else {
            stream.sender = None;
        }
        assert_eq!(stream.rest().await.unwrap(), "x");
        host.tester.seen("end").await;
    }
}

#[tokio::test]
async fn a_client_that_goes_right_after_its_end_of_data_still_gets_everything_delivered() {
    let host = Host::new();
    let raw = host.raw().await;
    let request = format!(r#"{{"kind":"driver","uuid":"{}","method":"greeter"}}"#, host.instance.uuid);
    let mut call = raw.open("/jumpstarter.v1.RouterService/Stream", &[("request", &request)]).await;
    let response = (&mut call.response).await.unwrap();
    call.data(b"do this");
    call.goaway();
    host.tester.seen("got b\"do this\"").await;
    call.cut(raw, Cut::Reset(h2::Reason::CANCEL));
    host.tester.seen("end").await;
    drop(response);
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_s2_the_end_of_the_clients_data_leaves_the_drivers_direction_open() {
    let host = Host::new();
    let mut stream = host.open_driver("connect").await.unwrap();
    stream.send("echo x | j serial pipe").await;
    stream.goaway().await;
    assert_eq!(stream.data().await, "echo x | j serial pipe");
}

#[tokio::test]
async fn pitfall_s2_the_end_of_the_drivers_data_leaves_the_clients_direction_open() {
    let host = Host::new();
    let mut stream = host.open_driver("greeter").await.unwrap();
    assert_eq!(stream.rest().await.unwrap(), "hello");
    stream.send("still").await;
    stream.send("listening?").await;
    host.tester.seen("got b\"listening?\"").await;
    stream.goaway().await;
    host.tester.seen("end").await;
}

#[tokio::test(start_paused = true)]
async fn pitfall_s3_s4_after_both_ends_the_call_is_kept_for_the_client_and_then_ends_with_ok() {
    let host = Host::new();
    let mut stream = host.open_driver("greeter").await.unwrap();
    assert_eq!(stream.rest().await.unwrap(), "hello");
    stream.goaway().await;
    // The driver's side is free at once, while the call goes on.
    host.tester.seen("greeter gone").await;
    assert!(futures::poll!(std::pin::pin!(stream.frame())).is_pending());
    assert_eq!(host.session.activity().streams, 1);
    // The clock is paused and moves on when there is nothing else to do.
    assert_eq!(stream.frame().await.unwrap(), None, "OK, without a status of its own");
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_s5_pings_are_dropped_and_empty_data_is_delivered() {
    let host = Host::new();
    let mut stream = host.open_driver("connect").await.unwrap();
    for kind in [6, 3] {
        stream.send_frame(StreamRequest { payload: "noise".into(), frame_type: kind }).await;
    }
    stream.send("").await;
    stream.send("x").await;
    assert_eq!(stream.data().await, "");
    assert_eq!(stream.data().await, "x");
}

#[tokio::test]
async fn pitfall_s6_messages_are_neither_joined_nor_split() {
    let host = Host::new();
    let mut stream = host.open_driver("datagrams").await.unwrap();
    let large = vec![7_u8; 200_000];
    for message in [&b"a"[..], b"", b"bc", &large] {
        stream.send(bytes::Bytes::copy_from_slice(message)).await;
    }
    assert_eq!(stream.data().await, "a");
    assert_eq!(stream.data().await, "");
    assert_eq!(stream.data().await, "bc");
    assert_eq!(stream.data().await, large);
}

#[tokio::test]
async fn pitfall_s6_bytes_are_cut_to_what_every_peer_takes() {
    let host = Host::new();
    let mut stream = host.open_driver("connect").await.unwrap();
    let large = vec![7_u8; 200_000];
    stream.send(large.clone()).await;
    let mut all = Vec::new();
    while all.len() < large.len() {
        let piece = stream.data().await;
        assert!(piece.len() <= 65_536);
        all.extend_from_slice(&piece);
    }
    assert_eq!(all, large);
}

#[tokio::test]
async fn pitfall_s7_a_device_that_takes_nothing_stops_its_client() {
    let host = Host::new();
    let stream = host.open_driver("deaf").await.unwrap();
    let sender = stream.sender.clone().unwrap();
    let piece = bytes::Bytes::from(vec![0; 1024 * 1024]);
    let mut sent = 0;
    // Far more than all buffers on the way hold together; a device that swallowed it would let the loop end.
    while sent < 256 {
        let frame = StreamRequest { payload: piece.clone(), frame_type: 0 };
        let sending = tokio::time::timeout(std::time::Duration::from_millis(500), sender.send(frame));
        if sending.await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 256, "the client was never stopped");
}

#[tokio::test]
async fn pitfall_s8_a_stream_ends_with_its_session_even_when_nobody_reads_it() {
    let host = Host::new();
    let mut open = host.open_driver("greeter").await.unwrap();
    let mut idle = host.open_driver("connect").await.unwrap();
    assert_eq!(open.data().await, "hello");
    host.session.end().await;
    host.tester.seen("greeter gone").await;
    assert_eq!(idle.frame().await.unwrap_err().code(), Code::Unavailable);
    drop((open, idle));
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_s9_what_a_device_says_first_is_kept_until_the_client_reads() {
    let host = Host::new();
    let mut stream = host.open_driver("greeter").await.unwrap();
    stream.send("nobody reads yet").await;
    host.tester.seen("got b\"nobody reads yet\"").await;
    assert_eq!(stream.data().await, "hello");
}

#[tokio::test]
async fn pitfall_s11_unknown_frame_types_are_ignored() {
    let host = Host::new();
    let mut stream = host.open_driver("connect").await.unwrap();
    for kind in [1, 99, -1, i32::MAX] {
        stream.send_frame(StreamRequest { payload: "noise".into(), frame_type: kind }).await;
    }
    stream.send("x").await;
    assert_eq!(stream.data().await, "x");
}

#[tokio::test]
async fn a_device_that_breaks_fails_the_call_after_what_it_said() {
    let host = Host::new();
    let mut stream = host.open_driver("broken").await.unwrap();
    assert_eq!(stream.data().await, "partial");
    let status = stream.frame().await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.message().contains("cut"), "{status:?}");
}

#[tokio::test]
async fn a_device_that_takes_no_more_data_is_read_to_its_end_and_then_fails_the_call() {
    let host = Host::new();
    let mut stream = host.open_driver("read_only").await.unwrap();
    stream.send("lost").await;
    assert_eq!(stream.data().await, "last words");
    let status = loop {
        // Whether the write has failed by the time the device has said everything is a matter of chance; that the
        // client hears of it is not.
        match stream.frame().await {
            Ok(Some((FrameType::Goaway, _))) => {}
            Err(status) => break status,
            other => panic!("unexpected {other:?}"),
        }
    };
    assert!(status.message().contains("takes no more data"), "{status:?}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_fails_without_frames() {
    let host = Host::new();
    let uuid = host.instance.uuid;
    let driver = |method: &str| format!(r#"{{"kind":"driver","uuid":"{uuid}","method":"{method}"}}"#);
    for (request, code, words) in [
        (driver("refused"), Code::Unknown, "connection refused"),
        (driver("nosuch"), Code::NotFound, "method nosuch not found on driver"),
        (driver("echo"), Code::NotFound, "method echo missing marker marker_streamcall"),
        ("{".to_owned(), Code::Unknown, "`request` cannot be understood"),
        (r#"{"kind":"other"}"#.to_owned(), Code::Unknown, "other"),
        (format!(r#"{{"kind":"driver","uuid":"{uuid}"}}"#), Code::Unknown, "method"),
        (r#"{"kind":"driver","uuid":"zz","method":"connect"}"#.to_owned(), Code::Unknown, "zz"),
        (
            r#"{"kind":"driver","uuid":"00000000-0000-0000-0000-000000000000","method":"connect"}"#
                .to_owned(),
            Code::Unknown,
            "00000000-0000-0000-0000-000000000000",
        ),
        (
            format!(r#"{{"kind":"resource","uuid":"{uuid}","x_jmp_content_encoding":"lz4"}}"#),
            Code::InvalidArgument,
            "lz4",
        ),
    ] {
        let status = host.open(&request).await.err().expect("refused");
        assert_eq!(status.code(), code, "{request}: {status:?}");
        assert!(status.message().contains(words), "{request}: {status:?}");
    }
    let mut call = host.raw().await.open("/jumpstarter.v1.RouterService/Stream", &[]).await;
    call.body.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(call.response.await.unwrap().headers()["grpc-status"], "2");
    // Fields of other versions are ignored.
    let extra = format!(r#"{{"kind":"driver","uuid":"{uuid}","method":"connect","extra":1}}"#);
    host.open(&extra).await.expect("opened");
}
