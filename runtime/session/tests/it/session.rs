//! What a session says about itself, and its life from reset to close.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use jumpstarter_core::{descriptor, log::Severity};
use jumpstarter_protocol::v1::{
    DriverCallRequest, EndSessionRequest, ExporterStatus, GetStatusRequest, LogSource,
    exporter_service_client::ExporterServiceClient,
};
use jumpstarter_session::{Access, LogBuffer, Session};
use jumpstarter_transport::server::{Peer, Server};
use tonic::Code;

use crate::{
    driver::{TESTER, Tester, composite},
    host::{Host, call, number, text},
};

/// `a` has the child `inner`; `again` refers to `a`.
fn with_reference() -> (Session, Arc<Tester>, Arc<Tester>) {
    let logs = LogBuffer::new();
    let life = Arc::default();
    let inner = Tester::new("inner", &life);
    let a = Tester::new("a", &life);
    let instance = a.instance(logs.clone(), vec![("inner".to_owned(), inner.instance(logs.clone(), vec![]))]);
    let root = composite(vec![("a".to_owned(), instance.clone()), ("again".to_owned(), instance)]);
    (Session::builder(root).logs(logs).build().unwrap(), a, inner)
}

#[test]
fn pitfall_d1_parents_precede_their_children_and_the_root_has_no_name() {
    let (session, ..) = with_reference();
    let report = session.report();
    assert_eq!(report.uuid, session.uuid().to_string());
    let names: Vec<_> = report
        .reports
        .iter()
        .map(|entry| entry.labels.get("jumpstarter.dev/name").map(String::as_str))
        .collect();
    assert_eq!(names, [None, Some("a"), Some("inner"), Some("again"), Some("inner")]);
    for (index, entry) in report.reports.iter().enumerate().skip(1) {
        let parent = entry.parent_uuid.as_ref().expect("all but the root have parents");
        assert!(report.reports[..index].iter().any(|earlier| earlier.uuid == *parent));
    }
}

#[test]
fn pitfall_d2_what_is_not_there_is_absent_and_not_empty() {
    let (session, ..) = with_reference();
    let root = &session.report().reports[0];
    assert_eq!((root.parent_uuid.as_ref(), root.description.as_ref()), (None, None));
    let a = &session.report().reports[1];
    assert_eq!(a.description.as_deref(), Some("the tester called a"));
    assert_eq!(a.methods_description["echo"], "says it again");
}

#[test]
fn pitfall_d3_a_reference_is_reported_as_its_target_with_all_its_descendants() {
    let (session, ..) = with_reference();
    let reports = session.report().reports;
    assert_eq!(reports[3].uuid, reports[1].uuid);
    assert_eq!(reports[4].uuid, reports[2].uuid);
    assert_eq!(reports[3].parent_uuid.as_ref(), Some(&reports[0].uuid));
    assert_eq!(reports[4].parent_uuid.as_ref(), Some(&reports[3].uuid));
}

#[test]
fn pitfall_d6_every_entry_names_its_python_client() {
    let (session, ..) = with_reference();
    let clients: Vec<_> =
        session.report().reports.iter().map(|entry| entry.labels["jumpstarter.dev/client"].clone()).collect();
    assert_eq!(clients[0], "jumpstarter_driver_composite.client.CompositeClient");
    assert!(clients[1..].iter().all(|client| client == TESTER.python));
    assert_eq!(session.report().reports[1].labels["example.com/place"], "a");
}

#[test]
fn pitfall_d12_the_report_carries_one_descriptor_for_each_interface() {
    let (session, ..) = with_reference();
    let reports = session.report().reports;
    assert_eq!(reports[0].file_descriptor_proto.len(), 0);
    assert_eq!(reports[1].file_descriptor_proto, [descriptor::file(&TESTER).unwrap().bytes.clone()]);
    let services: Vec<_> = TESTER.services().collect();
    assert_eq!(reports[1].native_services, services);
    assert_eq!(services, ["jumpstarter.x.tester.v1.Tester", TESTER.also[0]]);
}

#[test]
fn two_drivers_with_one_uuid_are_refused() {
    let life = Arc::default();
    let logs = LogBuffer::new();
    let a = Tester::new("a", &life).instance(logs.clone(), vec![]);
    let b = Tester::new("b", &life).instance(logs, vec![]);
    let mut b = Arc::into_inner(b).unwrap();
    b.uuid = a.uuid;
    let root = composite(vec![("a".to_owned(), a), ("b".to_owned(), Arc::new(b))]);
    let error = Session::builder(root).build().unwrap_err();
    assert!(error.message().starts_with("a and b have the same uuid"), "{error}");
}

#[test]
fn a_tree_that_multiplies_without_end_is_refused() {
    let mut node = composite(Vec::new());
    for _ in 0..40 {
        node = composite(vec![("left".to_owned(), node.clone()), ("right".to_owned(), node)]);
    }
    assert!(Session::builder(node).build().unwrap_err().message().contains("10000 entries"));
}

#[tokio::test]
async fn the_status_is_as_it_was_reported_and_counts() {
    let host = Host::new();
    let mut client = host.exporter().await;
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.status(), status.status_version), (ExporterStatus::Available, 0));
    assert_eq!((status.message.as_deref(), status.previous_status), (Some(""), None));
    host.session.status().report(ExporterStatus::LeaseReady, "");
    host.session.status().report(ExporterStatus::LeaseReady, "[HOOK_WARNING] hm");
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.status(), status.status_version), (ExporterStatus::LeaseReady, 2));
    assert_eq!(status.message.as_deref(), Some("[HOOK_WARNING] hm"));
    assert_eq!(status.previous_status, Some(ExporterStatus::LeaseReady.into()));
}

#[tokio::test]
async fn ending_a_session_without_a_lease_is_refused_and_with_one_is_answered_at_once() {
    let host = Host::new();
    let answer = host.exporter().await.end_session(EndSessionRequest {}).await.unwrap().into_inner();
    assert_eq!((answer.success, answer.message.as_deref()), (false, Some("No active lease context")));

    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let end = move || {
        count.fetch_add(1, Ordering::Relaxed);
        true
    };
    let session = Session::builder(composite(vec![])).on_end_session(end).build().unwrap();
    let routes = session.routes(Access::open());
    let mut client = ExporterServiceClient::new(tower::ServiceBuilder::new().service(routes));
    for _ in 0..2 {
        let answer = client.end_session(EndSessionRequest {}).await.unwrap().into_inner();
        let words = "Session end triggered, afterLease hook running asynchronously";
        assert_eq!((answer.success, answer.message.as_deref()), (true, Some(words)));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn pitfall_g3_g5_every_reader_gets_every_line_with_the_drivers_uuid() {
    let host = Host::new();
    host.session.logs().system(Severity::Info, "before anybody listened");
    let mut readers = Vec::new();
    for _ in 0..2 {
        readers.push(host.exporter().await.log_stream(()).await.unwrap().into_inner());
    }
    host.call("log", vec![text("hello")]).await.unwrap();
    for reader in &mut readers {
        let first = reader.message().await.unwrap().unwrap();
        assert_eq!(first.message, "before anybody listened");
        assert_eq!((first.source(), first.uuid.as_str()), (LogSource::System, ""));
        // A lower-case name would end the log of an upstream client.
        for severity in ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] {
            let line = reader.message().await.unwrap().unwrap();
            assert_eq!((line.severity.as_str(), line.message.as_str()), (severity, "hello"));
            assert_eq!((line.source(), line.uuid.clone()), (LogSource::Driver, host.uuid()));
            assert_eq!(
                (line.driver_type.as_deref(), line.operation.as_deref()),
                (Some("tester"), Some("log"))
            );
            assert_eq!(line.structured_fields["key"], "fact");
            assert!(line.timestamp.is_some_and(|time| time.seconds > 1_700_000_000));
        }
    }
}

#[tokio::test]
async fn pitfall_g1_a_session_does_not_see_the_log_of_another() {
    let (first, second) = (Host::new(), Host::new());
    first.call("log", vec![text("secret")]).await.unwrap();
    second.session.logs().system(Severity::Info, "mine");
    let mut reader = second.exporter().await.log_stream(()).await.unwrap().into_inner();
    assert_eq!(reader.message().await.unwrap().unwrap().message, "mine");
}

#[tokio::test]
async fn pitfall_g6_a_log_stays_open_until_its_session_ends() {
    let host = Host::new();
    let mut reader = host.exporter().await.log_stream(()).await.unwrap().into_inner();
    assert!(futures::poll!(std::pin::pin!(reader.message())).is_pending());
    host.session.logs().system(Severity::Info, "last words");
    host.session.end().await;
    assert_eq!(reader.message().await.unwrap().unwrap().message, "last words");
    assert!(reader.message().await.unwrap().is_none());
}

#[tokio::test]
async fn drivers_are_reset_children_first_and_a_failure_stops_nobody() {
    let (session, a, inner) = with_reference();
    session.start().await.unwrap();
    assert_eq!(*a.life.lock().unwrap(), ["reset inner", "reset a"], "each once, however often it is listed");
    inner.sick.store(true, Ordering::Relaxed);
    let error = session.start().await.unwrap_err();
    assert_eq!(error.message(), "resetting a.inner failed: inner is sick");
    assert_eq!(a.life.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn pitfall_l19_every_driver_is_closed_in_reverse_order_whatever_happens_to_the_others() {
    let (session, a, inner) = with_reference();
    a.sick.store(true, Ordering::Relaxed);
    let failed = session.end().await;
    assert_eq!(*inner.life.lock().unwrap(), ["close a", "close inner"]);
    let failed: Vec<_> = failed.iter().map(|(name, error)| (name.as_str(), error.message())).collect();
    assert_eq!(failed, [("a", "a is sick")]);
    assert!(session.end().await.is_empty(), "a second end does nothing");
    assert_eq!(inner.life.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn pitfall_l19_a_driver_that_panics_while_it_closes_is_reported_like_any_other() {
    let life = Arc::default();
    let logs = LogBuffer::new();
    let (hopeless, fine) = (Tester::new("hopeless", &life), Tester::new("fine", &life));
    let children = vec![
        ("fine".to_owned(), fine.instance(logs.clone(), vec![])),
        ("hopeless".to_owned(), hopeless.instance(logs.clone(), vec![])),
    ];
    hopeless.sick.store(true, Ordering::Relaxed);
    let session = Session::builder(composite(children)).logs(logs).build().unwrap();
    let failed = session.end().await;
    assert_eq!(*life.lock().unwrap(), ["close hopeless", "close fine"]);
    assert_eq!(failed.len(), 1);
    assert!(failed[0].1.message().contains("cannot even close"), "{}", failed[0].1);
}

#[tokio::test]
async fn a_passphrase_guards_all_kinds_of_calls_but_not_the_unix_socket() {
    let host = Host::with_access(Access::open().with_passphrase("open sesame"));
    let mut client = host.exporter().await;
    let words = "invalid or missing passphrase";
    let refused = |status: tonic::Status| {
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, words));
    };
    refused(client.get_report(()).await.unwrap_err());
    refused(client.log_stream(()).await.unwrap_err());
    refused(host.open_driver("connect").await.err().expect("refused"));
    refused(host.call("echo", vec![text("x")]).await.unwrap_err());
    assert_eq!(host.items("count", vec![number(1.0)]).await.1.unwrap_err().code(), Code::Unauthenticated);

    for (passphrase, code) in
        [("open sesame", Code::Ok), ("open sesam", Code::Unauthenticated), ("", Code::Unauthenticated)]
    {
        let mut request = tonic::Request::new(());
        request.metadata_mut().insert("x-jumpstarter-passphrase", passphrase.parse().unwrap());
        let answer = client.get_report(request).await;
        assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), code, "{passphrase:?}");
    }

    let mut unknown = host.raw().await.open("/jumpstarter.v1.ExporterService/Nosuch", &[]).await;
    unknown.body.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(
        unknown.response.await.unwrap().headers()["grpc-status"],
        "12",
        "what does not exist is unknown"
    );
    let native = "/jumpstarter.x.tester.v1.Tester/Echo";
    let mut native = host.raw().await.open(native, &[]).await;
    native.body.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(native.response.await.unwrap().headers()["grpc-status"], "16");

    let local = host.channel_as(peer_on_this_machine().await).await;
    ExporterServiceClient::new(local).get_report(()).await.unwrap();
}

/// What the server says about a client on a unix socket.
async fn peer_on_this_machine() -> Peer {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let spy = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let sender = sender.clone();
        async move {
            let peer = request.extensions().get::<Peer>().copied().expect("a peer");
            sender.send(peer).await.expect("the test listens");
            Ok::<_, std::convert::Infallible>(http::Response::new(tonic::body::Body::empty()))
        }
    });
    let server = Server::new(spy);
    let directory = jumpstarter_transport::socket::RuntimeDirectory::create().unwrap();
    let (listener, path) = directory.listen(jumpstarter_transport::socket::MAIN).unwrap();
    server.listen_unix(listener);
    let stream = tokio::net::UnixStream::connect(path).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let _response =
        send.send_request(http::Request::get("http://localhost/").body(()).unwrap(), true).unwrap();
    let peer = receiver.recv().await.unwrap();
    assert!(matches!(peer, Peer::Unix { .. }));
    peer
}

#[tokio::test]
async fn pitfall_v14_a_gate_stops_driver_calls_and_nothing_else() {
    let open = Host::new();
    // No gate in local and standalone mode, in whatever status.
    open.session.status().report(ExporterStatus::Offline, "");
    open.call("echo", vec![text("x")]).await.unwrap();

    let host = Host::with_access(Access::open().with_gate(|status| status == ExporterStatus::LeaseReady));
    let refused = host.call("echo", vec![text("x")]).await.unwrap_err();
    let words = "Exporter not ready for driver calls (status: AVAILABLE)";
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, words));
    assert_eq!(host.items("count", vec![number(1.0)]).await.1.unwrap_err().code(), Code::FailedPrecondition);
    let mut client = host.exporter().await;
    client.get_report(()).await.unwrap();
    client.get_status(GetStatusRequest {}).await.unwrap();
    client.log_stream(()).await.unwrap();
    client.end_session(EndSessionRequest {}).await.unwrap();
    host.open_driver("connect").await.expect("streams are never refused");
    host.session.status().report(ExporterStatus::LeaseReady, "");
    assert_eq!(call(&mut client, &host.uuid(), "echo", vec![text("x")]).await.unwrap(), text("x"));
}

#[tokio::test]
async fn pitfall_t12_a_request_beyond_the_usual_limit_is_taken() {
    let host = Host::new();
    let long = "x".repeat(5 * 1024 * 1024);
    let request = DriverCallRequest { uuid: host.uuid(), method: "echo".to_owned(), args: vec![text(&long)] };
    let mut client = host.exporter().await.max_decoding_message_size(16 * 1024 * 1024);
    assert_eq!(client.driver_call(request).await.unwrap().into_inner().result, Some(text(&long)));
}
