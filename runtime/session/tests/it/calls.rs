//! Driver calls in upstream's wire language.

use jumpstarter_core::ErrorKind;
use jumpstarter_protocol::v1::{DriverCallRequest, ResetRequest, StreamingDriverCallRequest};
use jumpstarter_transport::status;
use prost_types::value::Kind;
use tonic::Code;

use crate::host::{Host, call, number, text};

fn outcome<T>(result: Result<T, tonic::Status>) -> (Code, String) {
    match result {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

#[tokio::test]
async fn a_call_answers_with_its_result_and_void_is_null() {
    let host = Host::new();
    assert_eq!(host.call("echo", vec![text("hi")]).await.unwrap(), text("hi"));
    assert_eq!(host.call("add", vec![number(1.0)]).await.unwrap(), number(11.0));
    assert_eq!(host.call("add", vec![number(1.0), number(2.0)]).await.unwrap(), number(3.0));
    let void = host.call("log", vec![text("x")]).await.unwrap();
    assert!(matches!(void.kind, Some(Kind::NullValue(_))));
}

#[tokio::test]
async fn pitfall_v12_what_is_missing_is_told_with_the_codes_and_words_clients_know() {
    let host = Host::new();
    for (method, words) in [
        ("nosuch", "method nosuch not found on driver"),
        ("", "method  not found on driver"),
        ("__init__", "method __init__ not found on driver"),
        ("count", "method count missing marker marker_drivercall"),
        ("connect", "method connect missing marker marker_drivercall"),
    ] {
        assert_eq!(outcome(host.call(method, vec![]).await), (Code::NotFound, words.to_owned()));
    }
    for (method, words) in [
        ("nosuch", "method nosuch not found on driver"),
        ("echo", "method echo missing marker marker_streamingdrivercall"),
    ] {
        let (items, end) = host.items(method, vec![]).await;
        assert_eq!((items.len(), outcome(end)), (0, (Code::NotFound, words.to_owned())));
    }
    assert_eq!(outcome(host.call("rescue", vec![]).await).0, Code::Unimplemented);
}

#[tokio::test]
async fn pitfall_v12_an_unknown_or_malformed_uuid_is_unknown_and_is_named() {
    let host = Host::new();
    let mut client = host.exporter().await;
    for uuid in ["00000000-0000-0000-0000-000000000000", "", "nonsense"] {
        let (code, words) = outcome(call(&mut client, uuid, "echo", vec![]).await);
        assert_eq!(code, Code::Unknown);
        assert!(words.contains(uuid), "{words}");
        let request =
            StreamingDriverCallRequest { uuid: uuid.to_owned(), method: "count".to_owned(), args: vec![] };
        assert_eq!(client.streaming_driver_call(request).await.unwrap_err().code(), Code::Unknown);
    }
}

#[tokio::test]
async fn pitfall_v20_an_instance_is_found_under_every_spelling_of_its_uuid() {
    let host = Host::new();
    let mut client = host.exporter().await;
    let uuid = host.uuid();
    for spelling in
        [uuid.to_uppercase(), uuid.replace('-', ""), format!("{{{uuid}}}"), format!("urn:uuid:{uuid}")]
    {
        assert_eq!(
            call(&mut client, &spelling, "echo", vec![text("x")]).await.unwrap(),
            text("x"),
            "{spelling}"
        );
    }
}

#[tokio::test]
async fn errors_of_drivers_get_the_codes_of_the_existing_release() {
    let host = Host::new();
    for (kind, code) in [
        ("unsupported", Code::Unimplemented),
        ("invalid", Code::InvalidArgument),
        ("timeout", Code::DeadlineExceeded),
        ("disconnected", Code::Unknown),
        ("absent", Code::Unknown),
        ("device", Code::Unknown),
    ] {
        let result = host.call("fail", vec![text(kind), text("as it is: 100% ä\n\ttab")]).await;
        assert_eq!(outcome(result), (code, "as it is: 100% ä\n\ttab".to_owned()), "{kind}");
    }
    // A wrong number of arguments is UNKNOWN, a wrong value is not.
    assert_eq!(outcome(host.call("add", vec![]).await).0, Code::Unknown);
    assert_eq!(outcome(host.call("add", vec![number(1.0); 3]).await).0, Code::Unknown);
    assert_eq!(outcome(host.call("add", vec![number(1.5)]).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn a_client_that_asks_for_kinds_gets_them() {
    let host = Host::new();
    let mut exporter = host.exporter().await;
    for asks in [true, false] {
        let args = vec![text("absent"), text("not there")];
        let call = DriverCallRequest { uuid: host.uuid(), method: "fail".to_owned(), args };
        let mut request = tonic::Request::new(call);
        if asks {
            request.metadata_mut().insert("x-jumpstarter-errors", "native".parse().unwrap());
        }
        let status = exporter.driver_call(request).await.expect_err("it fails");
        let kind = status::from_status(&status, status::Call::Unary).kind();
        assert_eq!(kind, if asks { ErrorKind::Absent } else { ErrorKind::Device });
        assert_eq!((status.message(), status.details().is_empty()), ("not there", !asks));
    }
}

#[tokio::test]
async fn pitfall_t13_a_novel_for_an_error_message_is_cut() {
    let host = Host::new();
    let (code, words) = outcome(host.call("fail", vec![text("device"), text(&"x".repeat(20_000))]).await);
    assert_eq!(code, Code::Unknown);
    assert!(words.len() <= 4096 && words.starts_with("xxx"), "{}", words.len());
}

#[tokio::test]
async fn pitfall_v17_an_internal_cancellation_is_answered() {
    let host = Host::new();
    assert_eq!(outcome(host.call("fail", vec![text("cancelled"), text("gave up")]).await).0, Code::Cancelled);
}

#[tokio::test]
async fn pitfall_v17_a_call_that_outlives_its_session_is_answered() {
    let host = Host::new();
    let mut client = host.exporter().await;
    let uuid = host.uuid();
    let calling = tokio::spawn(async move { call(&mut client, &uuid, "forever", vec![]).await });
    host.tester.seen("forever begun").await;
    assert!(host.session.end().await.is_empty());
    assert_eq!(outcome(calling.await.unwrap()), (Code::Unavailable, "the session has ended".to_owned()));
    host.tester.seen("forever dropped").await;
}

#[tokio::test]
async fn pitfall_v18_a_panic_fails_its_call_and_nothing_else() {
    let host = Host::new();
    let mut logs = host.session.logs().subscribe();
    assert!(!host.instance.is_suspect());
    let (code, words) = outcome(host.call("panic", vec![]).await);
    assert_eq!(code, Code::Internal);
    assert!(words.contains("the smoke came out of board"), "{words}");
    assert!(words.contains("driver.rs:"), "the place is named: {words}");
    assert!(host.instance.is_suspect());
    let line = logs.next(&tokio_util::sync::CancellationToken::new()).await.unwrap();
    assert_eq!((line.severity.as_str(), line.uuid), ("ERROR", host.uuid()));
    assert_eq!(line.operation.as_deref(), Some("panic"));

    assert_eq!(host.call("echo", vec![text("still here")]).await.unwrap(), text("still here"));
    host.session.start().await.unwrap();
    assert!(!host.instance.is_suspect(), "a reset ends the doubt");
}

#[tokio::test]
async fn pitfall_v18_a_panic_between_two_items_ends_the_stream_with_a_status() {
    let host = Host::new();
    let (items, end) = host.items("count_then_panic", vec![number(2.0)]).await;
    assert_eq!(items, [0.0, 1.0]);
    assert_eq!(outcome(end).0, Code::Internal);
    assert!(host.instance.is_suspect());
}

#[tokio::test]
async fn a_stream_delivers_its_items_before_its_error() {
    let host = Host::new();
    let (items, end) = host.items("count", vec![number(3.0)]).await;
    assert_eq!((items, outcome(end).0), (vec![0.0, 1.0, 2.0], Code::Ok));
    let (items, end) = host.items("count_then_fail", vec![number(2.0)]).await;
    assert_eq!(items, [0.0, 1.0]);
    assert_eq!(outcome(end), (Code::InvalidArgument, "after the items".to_owned()));
}

#[tokio::test]
async fn a_call_that_is_abandoned_is_cancelled_in_the_driver() {
    let host = Host::new();
    let mut client = host.exporter().await;
    let uuid = host.uuid();
    let calling = tokio::spawn(async move { call(&mut client, &uuid, "forever", vec![]).await });
    host.tester.seen("forever begun").await;
    calling.abort();
    host.tester.seen("forever dropped").await;

    let request =
        StreamingDriverCallRequest { uuid: host.uuid(), method: "endless".to_owned(), args: vec![] };
    let mut stream = host.exporter().await.streaming_driver_call(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    drop(stream);
    host.tester.seen("endless dropped").await;
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_t2_the_headers_of_a_streaming_call_do_not_wait_for_its_first_item() {
    let host = Host::new();
    // This stream has no first item.
    let request =
        StreamingDriverCallRequest { uuid: host.uuid(), method: "endless".to_owned(), args: vec![] };
    let mut stream = host.exporter().await.streaming_driver_call(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let waiting = futures::poll!(std::pin::pin!(stream.message()));
    assert!(waiting.is_pending());
}

#[tokio::test]
async fn pitfall_v15_reset_is_unimplemented() {
    let host = Host::new();
    let status = host.exporter().await.reset(ResetRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn pitfall_v16_each_answer_has_a_uuid_of_its_own() {
    let host = Host::new();
    let mut client = host.exporter().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let request =
            DriverCallRequest { uuid: host.uuid(), method: "echo".to_owned(), args: vec![text("x")] };
        assert!(seen.insert(client.driver_call(request).await.unwrap().into_inner().uuid));
    }
}

#[tokio::test]
async fn unknown_paths_are_unimplemented() {
    let host = Host::new();
    for path in ["/jumpstarter.v1.ExporterService/Nosuch", "/no.such.Service/Do", "/", "/nonsense"] {
        let mut call = host.raw().await.open(path, &[]).await;
        call.body.send_data(bytes::Bytes::new(), true).unwrap();
        let response = call.response.await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "12", "{path}");
    }
}

#[tokio::test]
async fn pitfall_v19_driver_code_that_blocks_its_thread_is_named_in_the_log() {
    let host = Host::new();
    let mut logs = host.session.logs().subscribe();
    host.call("block", vec![]).await.unwrap();
    let line = logs.next(&tokio_util::sync::CancellationToken::new()).await.unwrap();
    assert_eq!((line.severity.as_str(), line.uuid), ("WARNING", host.uuid()));
    assert!(line.message.starts_with("board blocked its thread for "), "{}", line.message);
}

#[tokio::test]
async fn pitfall_v1_v4_whole_doubles_are_integers_and_absent_null_and_default_differ() {
    let host = Host::new();
    assert_eq!(host.call("add", vec![number(1.0), number(2.0)]).await.unwrap(), number(3.0));
    assert_eq!(host.call("add", vec![number(1.0)]).await.unwrap(), number(11.0), "absent means the default");
    let null = jumpstarter_protocol::value::null();
    for args in [vec![null.clone()], vec![number(1.0), null], vec![text("1")], vec![number(0.5)]] {
        let status = host.call("add", args).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("argument `"), "the argument is named: {status:?}");
    }
}

#[tokio::test]
async fn after_its_end_a_session_takes_no_calls_and_opens_nothing() {
    let host = Host::new();
    host.session.end().await;
    assert_eq!(host.call("echo", vec![text("x")]).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(host.open_driver("connect").await.err().expect("refused").code(), Code::Unavailable);
    assert_eq!(host.open_resource(None).await.err().expect("refused").code(), Code::Unavailable);
}
