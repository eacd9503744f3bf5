//! Administration from another machine, and routers on others.

use std::{path::Path, time::Duration};

use jumpstarter_lab::{Data, LabConfig, Serving};
use jumpstarter_protocol::{
    admin::v1::{ListRequest, admin_service_client::AdminServiceClient},
    client::v1::{GetLeaseRequest, client_service_client::ClientServiceClient},
    v1::{
        DialRequest, DialResponse, DriverInstanceReport, ExporterStatus, ListenRequest, RegisterRequest,
        ReportStatusRequest, StreamRequest, StreamResponse,
        controller_service_client::ControllerServiceClient, router_service_client::RouterServiceClient,
    },
};
use jumpstarter_router::{Key, Limits, Router, Tokens};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint, Options, Security},
    server::Server,
};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{Code, Request, Status, Streaming, metadata::MetadataValue, service::Routes};
use tonic_health::server::HealthReporter;

use super::{GRACE, admin, asks, channel, create, create_with, settings, start, wish};

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn list() -> ListRequest {
    ListRequest { kind: "Client".to_owned(), selector: String::new() }
}

async fn ask(channel: Channel, token: Option<&str>) -> Result<usize, Status> {
    let mut request = Request::new(list());
    if let Some(token) = token {
        let value = MetadataValue::try_from(format!("Bearer {token}")).expect("printable");
        request.metadata_mut().insert("authorization", value);
    }
    let answer = AdminServiceClient::new(channel).list(request).await?;
    Ok(answer.into_inner().objects.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_elsewhere_the_administrators_token_opens_what_the_socket_does_and_no_other_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let serving = start(&path).await;
    let me = create(&mut admin(&path).await, "Client", "me").await;
    let file = path.join("admin.token");
    let token = std::fs::read_to_string(&file).expect("a token");
    let channel = channel(&serving).await;
    assert_eq!(ask(channel.clone(), Some(&token)).await.expect("a list"), 1);
    let (short, other) = (&token[..token.len() - 1], "A".repeat(token.len()));
    for bad in [None, Some(""), Some("x"), Some(short), Some(other.as_str()), Some(me.token.as_str())] {
        let refused = ask(channel.clone(), bad).await.expect_err("refused");
        assert_eq!(refused.code(), Code::Unauthenticated, "{bad:?}");
        assert!(bad.is_none_or(|bad| bad.len() < 10 || !refused.message().contains(bad)));
    }
    // Another one at once, and nobody while there is none.
    std::fs::write(&file, "another-one\n").expect("written");
    assert_eq!(ask(channel.clone(), Some("another-one")).await.expect("a list"), 1);
    ask(channel.clone(), Some(&token)).await.expect_err("the old one");
    std::fs::write(&file, "\n").expect("written");
    ask(channel.clone(), Some("")).await.expect_err("none");
    serving.stop(GRACE).await;
}

/// A router with a lab's key, on a port of its own.
async fn router(path: &Path) -> (String, Router, Server<Routes>, HealthReporter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = listener.local_addr().expect("an address").to_string();
    let tokens = Tokens::new(Key::File(Data::open(path).expect("a lab").router_key().expect("a key")));
    let router = Router::new(tokens, Limits::default());
    let (server, health) = jumpstarter_router::serve::server(router.clone()).expect("a server");
    server.listen_tcp(listener, None);
    (endpoint, router, server, health)
}

/// A lease of an exporter that has labels of a board and of a site, and both ends of its calls.
async fn leased(path: &Path, serving: &Serving) -> impl AsyncFn() -> Result<DialResponse, Status> + use<> {
    let mut owner = admin(path).await;
    let labels = json!({ "board": "demo", "site": "north" });
    let rig = create_with(&mut owner, "Exporter", "rig", labels).await;
    let me = create(&mut owner, "Client", "me").await;
    let channel = channel(serving).await;
    let as_rig = move |request: Request<()>| {
        let mut request = request;
        request.metadata_mut().insert("jumpstarter-kind", MetadataValue::from_static("Exporter"));
        request.metadata().clone()
    };
    let metadata = as_rig(asks(&rig, "rig", ()));
    let mut exporter = ControllerServiceClient::new(channel.clone());
    let with = |metadata: &tonic::metadata::MetadataMap| metadata.clone();
    let labels = [("board".to_owned(), "demo".to_owned())].into();
    let reports = vec![DriverInstanceReport { uuid: "one".to_owned(), ..DriverInstanceReport::default() }];
    let register = RegisterRequest { labels, reports };
    exporter
        .register(Request::from_parts(with(&metadata), tonic::Extensions::default(), register))
        .await
        .expect("registered");
    let status = ExporterStatus::Available.into();
    let available = ReportStatusRequest { status, ..ReportStatusRequest::default() };
    exporter
        .report_status(Request::from_parts(with(&metadata), tonic::Extensions::default(), available))
        .await
        .expect("reported");
    let request = wish("one", "board=demo");
    let mut client = ClientServiceClient::new(channel.clone());
    let mut made = client.create_lease(asks(&me, "me", request)).await.expect("a lease").into_inner();
    let has = async {
        while made.exporter.is_none() {
            let request = GetLeaseRequest { name: made.name.clone() };
            made = client.get_lease(asks(&me, "me", request)).await.expect("a lease").into_inner();
        }
    };
    tokio::time::timeout(PATIENCE, has).await.expect("it gets the exporter");
    let listen = ListenRequest { lease_name: "one".to_owned() };
    let listening = exporter
        .listen(Request::from_parts(with(&metadata), tonic::Extensions::default(), listen))
        .await
        .expect("it listens");
    let listening = std::sync::Arc::new(tokio::sync::Mutex::new(listening.into_inner()));
    // Ready for tunnels.
    let status = ExporterStatus::LeaseReady.into();
    let ready = ReportStatusRequest { status, ..ReportStatusRequest::default() };
    exporter
        .report_status(Request::from_parts(metadata, tonic::Extensions::default(), ready))
        .await
        .expect("reported");
    async move || {
        let dial = DialRequest { lease_name: "one".to_owned() };
        let dialled =
            ControllerServiceClient::new(channel.clone()).dial(asks(&me, "me", dial)).await?.into_inner();
        let told = listening.lock().await.message().await?.expect("it is told");
        assert_eq!(dialled.router_endpoint, told.router_endpoint);
        Ok(dialled)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_elsewhere_is_handed_out_while_it_serves_and_not_while_it_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let (near, _, server, health) = router(&path).await;
    // Nobody is there.
    let gone = "127.0.0.1:1";
    let text = format!(
        "kind: LabConfig\nrouters:\n  near:\n    endpoint: {near}\n    labels: {{board: demo}}\n    tls: {{clearText: \
         true}}\n  gone:\n    endpoint: {gone}\n    labels: {{board: demo}}\n"
    );
    let config = LabConfig::read("lab.yaml", &text).expect("a file");
    let settings = jumpstarter_lab::Settings { config, ..settings() };
    let serving = Serving::start(Data::open(&path).expect("a folder"), &settings).await.expect("it starts");
    let dial = leased(&path, &serving).await;
    let becomes = async |wanted: &str| {
        while dial().await.expect("a tunnel").router_endpoint != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes(&near)).await.expect("the near one");
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    tokio::time::timeout(PATIENCE, becomes(&serving.endpoint)).await.expect("the lab's own");
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    tokio::time::timeout(PATIENCE, becomes(&near)).await.expect("the near one again");
    server.shutdown(Duration::ZERO).await;
    tokio::time::timeout(PATIENCE, becomes(&serving.endpoint)).await.expect("the lab's own again");
    serving.stop(GRACE).await;
}

/// One end of a tunnel, for as long as this is kept.
async fn end(tunnel: &DialResponse) -> Streaming<StreamResponse> {
    let options = Options { security: Security::ClearText, ..Options::default() };
    let endpoint = Endpoint::parse(&tunnel.router_endpoint).expect("an endpoint");
    let channel = connect::connect(&endpoint, &options).await.expect("a connection");
    let mut request = Request::new(futures::stream::pending::<StreamRequest>());
    let token = MetadataValue::try_from(format!("Bearer {}", tunnel.router_token)).expect("printable");
    request.metadata_mut().insert("authorization", token);
    RouterServiceClient::new(channel).stream(request).await.expect("a call").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn open_tunnels_spread_over_routers_that_are_equally_near_and_none_takes_one_that_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let (one, of_one, first, _) = router(&path).await;
    let (two, of_two, second, _) = router(&path).await;
    let (far, of_far, third, _) = router(&path).await;
    let north = "labels: {site: north}\n    tls: {clearText: true}";
    // By its name it would come last, and it has nothing to do.
    let text = format!(
        "kind: LabConfig\nrouters:\n  one:\n    endpoint: {one}\n    {north}\n  two:\n    endpoint: {two}\n    {north}\n  \
         zero:\n    endpoint: {far}\n    labels: {{site: south}}\n    tls: {{clearText: true}}\n"
    );
    let config = LabConfig::read("lab.yaml", &text).expect("a file");
    let settings = jumpstarter_lab::Settings { config, ..settings() };
    let serving = Serving::start(Data::open(&path).expect("a folder"), &settings).await.expect("it starts");
    let dial = leased(&path, &serving).await;
    // Both have been found.
    let mut found = std::collections::BTreeSet::new();
    let both = async {
        while !(found.contains(&one) && found.contains(&two)) {
            found.insert(dial().await.expect("a tunnel").router_endpoint);
        }
        // What one of them was handed out before the other was found, the other gets first.
        let mut taken = std::collections::BTreeMap::from([(one.clone(), 0), (two.clone(), 0)]);
        let mut open = Vec::new();
        while taken.values().any(|tunnels| *tunnels < 10) {
            let tunnel = dial().await.expect("a tunnel");
            *taken.get_mut(&tunnel.router_endpoint).expect("one of both") += 1;
            open.push([end(&tunnel).await, end(&tunnel).await]);
        }
        (taken, open)
    };
    let (taken, open) = tokio::time::timeout(PATIENCE, both).await.expect("both in time");
    // Two calls each; nothing is waiting for its other end.
    assert_eq!((of_one.load().calls, of_one.load().waiting), (2 * taken[&one], 0));
    assert_eq!((of_two.load().calls, of_two.load().waiting), (2 * taken[&two], 0));
    assert_eq!(of_far.load().calls, 0);
    // From here on they take turns.
    let mut turns = Vec::new();
    for _ in 0..10 {
        turns.push(dial().await.expect("a tunnel").router_endpoint);
    }
    let ones = turns.iter().filter(|endpoint| **endpoint == one).count();
    assert_eq!(ones, 5, "{turns:?}");
    drop(open);
    for server in [first, second, third] {
        server.shutdown(Duration::ZERO).await;
    }
    serving.stop(GRACE).await;
}
