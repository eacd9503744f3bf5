//! Files of clients.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use jumpstarter_protocol::v1::{FrameType, StreamRequest};
use jumpstarter_transport::{
    codec::{self, Encoding},
    frames,
};
use prost_types::Value;
use tonic::{Code, Status};

use crate::{
    driver::{digest, image},
    host::{Cut, Host, call, text},
};

const ENCODINGS: [Option<Encoding>; 5] =
    [None, Some(Encoding::Gzip), Some(Encoding::Xz), Some(Encoding::Bz2), Some(Encoding::Zstd)];

async fn packed(encoding: Option<Encoding>, data: Bytes) -> Bytes {
    let input = futures::stream::iter([Ok::<_, codec::Error>(data)]);
    let pieces: Vec<Bytes> = codec::pack(encoding, input).try_collect().await.unwrap();
    pieces.concat().into()
}

async fn unpacked(encoding: Option<Encoding>, data: Bytes) -> Result<Bytes, codec::Error> {
    let input = futures::stream::iter([Ok::<_, codec::Error>(data)]);
    let pieces: Vec<Bytes> = codec::unpack(encoding, input).try_collect().await?;
    Ok(pieces.concat().into())
}

fn name(encoding: Option<Encoding>) -> Option<&'static str> {
    encoding.map(Encoding::name)
}

/// Calls a method with the stream's handle, while the test goes on with the stream.
async fn calling(host: &Host, method: &'static str, handle: Value, more: Vec<Value>) -> Calling {
    let (mut client, uuid) = (host.exporter().await, host.uuid());
    let args = [vec![handle], more].concat();
    tokio::spawn(async move { call(&mut client, &uuid, method, args).await })
}

type Calling = tokio::task::JoinHandle<Result<Value, Status>>;

async fn upload(host: &Host, encoding: Option<Encoding>, data: &Bytes) -> Result<Value, Status> {
    let stream = host.open_resource(name(encoding)).await?;
    let flashing = calling(host, "flash", stream.handle(), vec![]).await;
    for piece in frames::chunks(data.clone(), frames::CHUNK) {
        stream.send(piece).await;
    }
    stream.goaway().await;
    flashing.await.unwrap()
}

#[tokio::test]
async fn pitfall_r4_uploads_arrive_unpacked_in_every_encoding() {
    let host = Host::new();
    let data = image(300_000);
    for encoding in ENCODINGS {
        let sent = packed(encoding, data.clone()).await;
        assert_eq!(upload(&host, encoding, &sent).await.unwrap(), text(&digest(&data)), "{encoding:?}");
    }
    // Without an encoding, packed bytes are just bytes.
    let gzip = packed(Some(Encoding::Gzip), data).await;
    assert_eq!(upload(&host, None, &gzip).await.unwrap(), text(&digest(&gzip)));
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_r8_downloads_are_complete_in_every_encoding_and_end_after_their_last_byte() {
    let host = Host::new();
    let words = "the quick brown fox ".repeat(5_000);
    for encoding in ENCODINGS {
        let mut stream = host.open_resource(name(encoding)).await.unwrap();
        // What upstream's client does when it only wants to receive.
        stream.goaway().await;
        let dumping = calling(&host, "dump", stream.handle(), vec![text(&words)]).await;
        let received = stream.rest().await.unwrap();
        dumping.await.unwrap().unwrap();
        assert_eq!(unpacked(encoding, received).await.unwrap(), words, "{encoding:?}");
    }
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_r7_an_empty_dump_is_an_empty_file_of_its_format() {
    let host = Host::new();
    for encoding in ENCODINGS {
        let mut stream = host.open_resource(name(encoding)).await.unwrap();
        let dumping = calling(&host, "dump", stream.handle(), vec![text("")]).await;
        let received = stream.rest().await.unwrap();
        dumping.await.unwrap().unwrap();
        assert_eq!(received.is_empty(), encoding.is_none());
        assert_eq!(unpacked(encoding, received).await.unwrap(), "");
    }
}

#[tokio::test]
async fn pitfall_r5_the_metadata_holds_exactly_the_handle_and_the_encoding() {
    let host = Host::new();
    for (encoding, accepted) in
        [(None, ""), (Some("gzip"), "gzip"), (Some("xz"), "xz"), (Some("bz2"), "bz2"), (Some("zstd"), "zstd")]
    {
        let stream = host.open_resource(encoding).await.unwrap();
        let handle: serde_json::Value =
            serde_json::from_str(stream.metadata.get("resource").unwrap().to_str().unwrap()).unwrap();
        assert_eq!(handle["kind"], "client_stream");
        assert_eq!(handle["x_jmp_content_encoding"], encoding.map_or(serde_json::Value::Null, Into::into));
        assert_eq!(handle.as_object().unwrap().len(), 3);
        let accept: Vec<_> = stream.metadata.get_all("x_jmp_accept_encoding").iter().collect();
        assert_eq!(accept, [accepted], "always there, if empty");
        assert_eq!(stream.metadata.get_all("resource").iter().count(), 1);
    }
    // A request without the key is one without an encoding.
    let request = format!(r#"{{"kind":"resource","uuid":"{}"}}"#, host.instance.uuid);
    assert_eq!(host.open(&request).await.ok().unwrap().metadata.get("x_jmp_accept_encoding").unwrap(), "");
}

#[tokio::test]
async fn pitfall_r1_a_call_and_the_stream_that_feeds_it_run_at_the_same_time() {
    let host = Host::new();
    let stream = host.open_resource(None).await.unwrap();
    let flashing = calling(&host, "flash", stream.handle(), vec![]).await;
    stream.send("first").await;
    host.tester.seen("flashed 5 bytes").await;
    // A second call of the same instance, in the middle of the first.
    assert_eq!(host.call("echo", vec![text("x")]).await.unwrap(), text("x"));
    stream.send(" second").await;
    stream.goaway().await;
    assert_eq!(flashing.await.unwrap().unwrap(), text(&digest(b"first second")));
}

#[tokio::test]
async fn pitfall_r2_a_handle_works_once() {
    let host = Host::new();
    let stream = host.open_resource(None).await.unwrap();
    stream.goaway().await;
    let handle = stream.handle();
    host.call("flash", vec![handle.clone()]).await.unwrap();
    let again = host.call("flash", vec![handle]).await.unwrap_err();
    assert_eq!(again.code(), Code::Unknown);
    let sent: serde_json::Value =
        serde_json::from_str(stream.metadata.get("resource").unwrap().to_str().unwrap()).unwrap();
    assert!(again.message().contains(sent["uuid"].as_str().unwrap()), "{again:?}");
}

#[tokio::test]
async fn pitfall_r2_of_two_callers_one_gets_the_handle() {
    let host = Host::new();
    let stream = host.open_resource(None).await.unwrap();
    let first = calling(&host, "flash", stream.handle(), vec![]).await;
    let second = calling(&host, "flash", stream.handle(), vec![]).await;
    stream.goaway().await;
    let results = [first.await.unwrap(), second.await.unwrap()];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
}

#[tokio::test]
async fn pitfall_r2_a_handle_disappears_with_its_stream() {
    let host = Host::new();
    let stream = host.open_resource(None).await.unwrap();
    let handle = stream.handle();
    assert_eq!(host.session.activity().waiting_resources, 1);
    drop(stream);
    host.is_idle().await;
    assert_eq!(host.call("flash", vec![handle]).await.unwrap_err().code(), Code::Unknown);
}

#[tokio::test]
async fn pitfall_r3_a_handle_may_be_a_map_or_json_text() {
    let host = Host::new();
    let stream = host.open_resource(None).await.unwrap();
    stream.goaway().await;
    let json = stream.metadata.get("resource").unwrap().to_str().unwrap();
    host.call("flash", vec![text(json)]).await.unwrap();
    for wrong in [r#"{"kind":"nope"}"#, "text", "7"] {
        assert_eq!(host.call("flash", vec![text(wrong)]).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(host.call("flash", vec![]).await.unwrap_err().code(), Code::Unknown, "a missing argument");
}

#[tokio::test]
async fn pitfall_p1_nothing_that_a_peer_sends_names_a_file_of_ours() {
    let host = Host::new();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let path = secret.path().display();
    std::fs::write(secret.path(), "secret").unwrap();
    let handles = [
        format!(r#"{{"kind":"file","path":"{path}"}}"#),
        format!(r#"{{"kind":"client_stream","uuid":"{path}"}}"#),
        format!(r#"{{"kind":"presigned_request","headers":{{}},"url":"file://{path}","method":"GET"}}"#),
        format!(r#"{{"kind":"presigned_request","headers":{{}},"url":"{path}","method":"GET"}}"#),
    ];
    for handle in handles {
        let refused = host.call("flash", vec![text(&handle)]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{handle}: {refused:?}");
    }
    assert_eq!(std::fs::read_to_string(secret.path()).unwrap(), "secret");
}

#[tokio::test]
async fn pitfall_s1_a_cut_upload_is_an_error_at_the_driver() {
    let data = image(20_000);
    for cut in Cut::ALL {
        for frames in 0..3 {
            let host = Host::new();
            let raw = host.raw().await;
            let request = host.resource_request(None);
            let mut call = raw.open("/jumpstarter.v1.RouterService/Stream", &[("request", &request)]).await;
            let response = (&mut call.response).await.unwrap();
            let handle = serde_json::from_slice(response.headers()["resource"].as_bytes()).unwrap();
            let handle = jumpstarter_protocol::value::from_json(handle).unwrap();
            let flashing = calling(&host, "flash", handle, vec![]).await;
            for i in 1..=frames {
                call.data(&data[..1000]);
                host.tester.seen(&format!("flashed {} bytes", i * 1000)).await;
            }
            if frames == 0 {
                // The driver has to have it before it can lose it.
                host.has_taken_files().await;
            }
            call.cut(raw, cut);
            let status = flashing.await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::Unknown, "{cut:?} after {frames} frames: {status:?}");
            host.tester.seen("flash failed: Truncated").await;
            drop(response);
            host.is_idle().await;
        }
    }
}

#[tokio::test]
async fn pitfall_r6_a_truncated_packed_image_is_an_error_even_when_its_stream_ends_well() {
    let host = Host::new();
    let data = image(50_000);
    for encoding in ENCODINGS.into_iter().flatten() {
        let sent = packed(Some(encoding), data.clone()).await;
        for length in [1, sent.len() / 2, sent.len() - 1] {
            let status = upload(&host, Some(encoding), &sent.slice(..length)).await.unwrap_err();
            assert_eq!(status.code(), Code::Unknown, "{encoding} cut at {length}: {status:?}");
        }
    }
    assert!(!host.tester.happened().iter().any(|event| event.starts_with("flash complete")));
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_r10_several_members_are_one_image_and_rubbish_behind_them_is_an_error() {
    let host = Host::new();
    let data = image(5_000);
    for encoding in ENCODINGS.into_iter().flatten() {
        let one = packed(Some(encoding), data.clone()).await;
        let two: Bytes = [one.clone(), one.clone()].concat().into();
        let whole: Bytes = [data.clone(), data.clone()].concat().into();
        assert_eq!(upload(&host, Some(encoding), &two).await.unwrap(), text(&digest(&whole)), "{encoding}");
        let rubbish: Bytes = [&one[..], b"rubbish"].concat().into();
        assert_eq!(
            upload(&host, Some(encoding), &rubbish).await.unwrap_err().code(),
            Code::Unknown,
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn pitfall_r9_data_that_is_not_packed_as_announced_fails_the_call_and_ends_the_stream() {
    let host = Host::new();
    let mut stream = host.open_resource(Some("gzip")).await.unwrap();
    let flashing = calling(&host, "flash", stream.handle(), vec![]).await;
    stream.send("jumpstarter, not gzip").await;
    assert_eq!(flashing.await.unwrap().unwrap_err().code(), Code::Unknown);
    // Told at once, although the client has not ended its data.
    assert_eq!(stream.rest().await.unwrap(), "");
}

#[tokio::test]
async fn pitfall_r9_a_driver_that_refuses_an_upload_does_not_leave_its_client_stuck() {
    let host = Host::new();
    let mut stream = host.open_resource(None).await.unwrap();
    let refusing = calling(&host, "refuse", stream.handle(), vec![]).await;
    stream.send("x").await;
    let status = refusing.await.unwrap().unwrap_err();
    assert_eq!(status.message(), "this image is not for me");
    assert_eq!(stream.rest().await.unwrap(), "");
    for _ in 0..64 {
        stream.send(vec![0_u8; 1024 * 1024]).await;
    }
    stream.goaway().await;
    drop(stream);
    host.is_idle().await;
}

#[tokio::test]
async fn a_dump_that_the_driver_gives_up_is_an_error_for_the_client() {
    for (method, words) in [("dump_abort", "the medium is gone"), ("dump_unfinished", "without finishing")] {
        for encoding in [None, Some(Encoding::Gzip)] {
            let host = Host::new();
            let mut stream = host.open_resource(name(encoding)).await.unwrap();
            let dumping = calling(&host, method, stream.handle(), vec![text("")]).await;
            let status = stream.rest().await.unwrap_err();
            assert!(status.message().contains(words), "{status:?}");
            assert_eq!(dumping.await.unwrap().is_err(), method == "dump_abort");
            drop(stream);
            host.is_idle().await;
        }
    }
}

#[tokio::test]
async fn pitfall_r13_a_client_that_goes_during_a_dump_fails_the_driver() {
    let host = Host::new();
    let mut stream = host.open_resource(None).await.unwrap();
    let words = "much ".repeat(2_000_000);
    let dumping = calling(&host, "dump", stream.handle(), vec![text(&words)]).await;
    assert!(!stream.data().await.is_empty());
    drop(stream);
    assert_eq!(dumping.await.unwrap().unwrap_err().code(), Code::Unknown);
    assert!(!host.tester.happened().contains(&"dumped".to_owned()));
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_r13_an_abandoned_flash_lets_go_of_its_stream() {
    let host = Host::new();
    let mut stream = host.open_resource(None).await.unwrap();
    let flashing = calling(&host, "flash", stream.handle(), vec![]).await;
    stream.send("x").await;
    host.tester.seen("flashed 1 bytes").await;
    flashing.abort();
    assert_eq!(stream.rest().await.unwrap(), "");
    assert!(!host.tester.happened().iter().any(|event| event.starts_with("flash complete")));
}

fn farewell(json: &str) -> StreamRequest {
    StreamRequest { payload: Bytes::copy_from_slice(json.as_bytes()), frame_type: FrameType::Goaway.into() }
}

#[tokio::test]
async fn a_client_of_ours_announces_length_and_digest_and_both_are_checked() {
    let host = Host::new();
    let data = Bytes::from_static(b"twelve bytes");
    let good = digest(&data);
    let bad = digest(b"something else");
    for (announced, words, ok) in [
        (Some(12), format!(r#"{{"length":12,"sha256":"{good}"}}"#), true),
        (None, format!(r#"{{"sha256":"{good}"}}"#), true),
        (None, "{}".to_owned(), true),
        (None, format!(r#"{{"sha256":"{bad}"}}"#), false),
        (None, r#"{"sha256":"zz"}"#.to_owned(), false),
        (None, r#"{"length":13}"#.to_owned(), false),
        (Some(13), "{}".to_owned(), false),
        (Some(11), "{}".to_owned(), false),
        (None, "nonsense".to_owned(), false),
    ] {
        let length = announced.map_or_else(String::new, |length: u64| format!(r#","length":{length}"#));
        let request = format!(r#"{{"kind":"resource","uuid":"{}"{length}}}"#, host.instance.uuid);
        let stream = host.open(&request).await.ok().unwrap();
        let flashing = calling(&host, "flash", stream.handle(), vec![]).await;
        stream.send(data.clone()).await;
        stream.send_frame(farewell(&words)).await;
        let result = flashing.await.unwrap();
        assert_eq!(result.is_ok(), ok, "{announced:?} {words}: {result:?}");
    }
    // The promises are about the bytes on the wire, not about what they unpack to.
    let sent = packed(Some(Encoding::Zstd), data.clone()).await;
    let stream = host.open_resource(Some("zstd")).await.unwrap();
    let flashing = calling(&host, "flash", stream.handle(), vec![]).await;
    stream.send(sent.clone()).await;
    let words = format!(r#"{{"length":{},"sha256":"{}"}}"#, sent.len(), digest(&sent));
    stream.send_frame(farewell(&words)).await;
    assert_eq!(flashing.await.unwrap().unwrap(), text(&good));
}

#[tokio::test]
async fn a_client_of_ours_learns_length_and_digest_of_a_dump_and_others_learn_nothing() {
    let host = Host::new();
    let words = "twelve bytes";
    for (encoding, asked) in [(None, true), (None, false), (Some("gzip"), true)] {
        let encoding_json = encoding.map_or("null".to_owned(), |name: &str| format!("{name:?}"));
        let notes = if asked { r#","notes":true"# } else { "" };
        let uuid = host.instance.uuid;
        let request = format!(
            r#"{{"kind":"resource","uuid":"{uuid}","x_jmp_content_encoding":{encoding_json}{notes}}}"#
        );
        let mut stream = host.open(&request).await.ok().unwrap();
        stream.goaway().await;
        let dumping = calling(&host, "dump", stream.handle(), vec![text(words)]).await;
        let mut sent = Vec::new();
        let farewell = loop {
            match stream.frame().await.unwrap() {
                Some((FrameType::Data, piece)) => sent.extend_from_slice(&piece),
                Some((FrameType::Goaway, farewell)) => break farewell,
                other => panic!("{other:?}"),
            }
        };
        dumping.await.unwrap().unwrap();
        if asked {
            // What is on the wire counts, not what was packed.
            let said: serde_json::Value = serde_json::from_slice(&farewell).unwrap();
            assert_eq!(said, serde_json::json!({"length": sent.len(), "sha256": digest(&sent)}));
        } else {
            assert_eq!(farewell, "");
        }
    }
}

/// Answers one HTTP request with this, and tells what was asked.
async fn web_server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/image?signature=a%2Fb", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = BytesMut::new();
        loop {
            stream.read_buf(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request);
            // The end of a GET's head, or the last chunk of a PUT.
            if text.starts_with("GET") && text.ends_with("\r\n\r\n") || text.ends_with("\r\n0\r\n\r\n") {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    (url, asked)
}

fn presigned(method: &str, url: &str) -> Value {
    let json = serde_json::json!({"kind": "presigned_request", "headers": {}, "url": url, "method": method});
    jumpstarter_protocol::value::from_json(json).unwrap()
}

#[tokio::test]
async fn presigned_requests_are_made_by_the_exporter_in_both_directions() {
    let host = Host::new();
    let (url, asked) = web_server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nimage").await;
    assert_eq!(host.call("flash", vec![presigned("GET", &url)]).await.unwrap(), text(&digest(b"image")));
    assert!(asked.await.unwrap().starts_with("GET /image?signature=a%2Fb HTTP/1.1\r\n"));

    let (url, asked) = web_server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    host.call("dump", vec![presigned("PUT", &url), text("two words")]).await.unwrap();
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("PUT /image?signature=a%2Fb HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("two ") && asked.contains("words"), "{asked}");
    host.is_idle().await;
}

#[tokio::test]
async fn presigned_requests_that_fail_or_point_the_wrong_way_fail_the_call() {
    let host = Host::new();
    let (url, _asked) = web_server("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let status = host.call("flash", vec![presigned("GET", &url)]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.message().starts_with("Presigned HTTP GET request failed: status=403"), "{status:?}");
    assert!(!status.message().contains("signature"), "secrets stay out of messages");

    let (url, _asked) = web_server("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort").await;
    assert_eq!(host.call("flash", vec![presigned("GET", &url)]).await.unwrap_err().code(), Code::Unknown);

    for (method, args) in [
        ("flash", vec![presigned("PUT", "http://127.0.0.1:1/x")]),
        ("dump", vec![presigned("GET", "http://127.0.0.1:1/x"), text("x")]),
        ("flash", vec![presigned("POST", "http://127.0.0.1:1/x")]),
        ("flash", vec![presigned("GET", "file:///etc/passwd")]),
    ] {
        assert_eq!(host.call(method, args).await.unwrap_err().code(), Code::InvalidArgument, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_s4_a_transfer_that_is_over_is_kept_for_its_client_and_then_ends_with_ok() {
    let host = Host::new();
    let mut stream = host.open_resource(None).await.unwrap();
    stream.send("x").await;
    stream.goaway().await;
    host.call("flash", vec![stream.handle()]).await.unwrap();
    assert_eq!(stream.rest().await.unwrap(), "");
    assert!(futures::poll!(std::pin::pin!(stream.frame())).is_pending());
    assert_eq!(stream.frame().await.unwrap(), None);
    host.is_idle().await;
}

#[tokio::test]
async fn transfers_end_with_their_session() {
    let host = Host::new();
    let mut waiting = host.open_resource(None).await.unwrap();
    let mut reading = host.open_resource(None).await.unwrap();
    let flashing = calling(&host, "flash", reading.handle(), vec![]).await;
    reading.send("x").await;
    host.tester.seen("flashed 1 bytes").await;
    host.session.end().await;
    assert_eq!(flashing.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(waiting.frame().await.unwrap_err().code(), Code::Unavailable);
    // Whether the driver lets go or the session ends first, there is no further data.
    loop {
        match reading.frame().await {
            Ok(Some((FrameType::Goaway, _))) => {}
            Err(status) => break assert_eq!(status.code(), Code::Unavailable),
            other => panic!("unexpected {other:?}"),
        }
    }
    drop((waiting, reading));
    host.is_idle().await;
}
