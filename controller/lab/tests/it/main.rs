//! Whole labs: what they keep, whom they let in, and what their owner can do.

mod elsewhere;
mod faults;
mod file;
mod pages;
mod providers;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Request, StatusCode};
use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_protocol::{
    admin::v1::{
        BackupRequest, CreateRequest, Credential, DeleteRequest, GetRequest, IssueRequest, Key, ListRequest,
        admin_service_client::AdminServiceClient,
    },
    client::v1::{
        CreateLeaseRequest, GetLeaseRequest, Lease, ListExportersRequest, ListLeasesRequest,
        client_service_client::ClientServiceClient,
    },
};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint, Options, Security},
    server::Identity,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, body::Body, metadata::MetadataValue};
use tower::ServiceExt as _;

pub(crate) const GRACE: Duration = Duration::from_secs(1);

pub(crate) fn settings() -> Settings {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        endpoint: None,
        protection: Protection::Own { names: Vec::new() },
        config: LabConfig::default(),
        controller_key: None,
    }
}

pub(crate) async fn start(folder: &Path) -> Serving {
    Serving::start(Data::open(folder).expect("a folder"), &settings()).await.expect("it starts")
}

pub(crate) async fn admin(folder: &Path) -> AdminServiceClient<Channel> {
    let socket = Endpoint::Unix(Data::admin_socket(folder));
    AdminServiceClient::new(connect::connect(&socket, &Options::default()).await.expect("a connection"))
}

pub(crate) async fn channel(serving: &Serving) -> Channel {
    let options =
        Options { security: Security::VerifiedBy(serving.authority.clone().into()), ..Options::default() };
    let endpoint = Endpoint::parse(&serving.endpoint).expect("an endpoint");
    connect::connect(&endpoint, &options).await.expect("a connection")
}

/// A new lab, its owner, and its folder, which is below one that is removed in the end.
pub(crate) async fn new_lab() -> (TempDir, PathBuf, Serving, AdminServiceClient<Channel>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let serving = start(&path).await;
    let owner = admin(&path).await;
    (folder, path, serving, owner)
}

/// A lease of this name, or of one that the lab chooses, for ten minutes.
pub(crate) fn wish(name: &str, selector: &str) -> CreateLeaseRequest {
    let lease = Lease {
        selector: selector.to_owned(),
        duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..Lease::default()
    };
    CreateLeaseRequest {
        parent: "namespaces/default".to_owned(),
        lease_id: name.to_owned(),
        lease: Some(lease),
    }
}

pub(crate) fn key(kind: &str, name: &str) -> Key {
    Key { kind: kind.to_owned(), name: name.to_owned() }
}

pub(crate) async fn create(admin: &mut AdminServiceClient<Channel>, kind: &str, name: &str) -> Credential {
    create_with(admin, kind, name, json!({ "board": "demo" })).await
}

pub(crate) async fn create_with(
    admin: &mut AdminServiceClient<Channel>,
    kind: &str,
    name: &str,
    labels: Value,
) -> Credential {
    let json = json!({ "kind": kind, "metadata": { "name": name, "labels": labels } }).to_string();
    let made = admin.create(CreateRequest { json }).await.expect("made").into_inner();
    let made: Value = serde_json::from_str(&made.json).expect("JSON");
    // Whoever waits for the one expects the other: both in one write.
    assert!(
        made["status"]["credential"]["name"].is_string() && made["status"]["endpoint"].is_string(),
        "{made}"
    );
    admin
        .issue(IssueRequest { key: Some(key(kind, name)), rotate: false })
        .await
        .expect("a token")
        .into_inner()
}

pub(crate) fn asks<T>(credential: &Credential, name: &str, what: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(what);
    let value = |text: &str| MetadataValue::try_from(text).expect("printable");
    let metadata = request.metadata_mut();
    metadata.insert("authorization", value(&format!("Bearer {}", credential.token)));
    metadata.insert("jumpstarter-kind", value("Client"));
    metadata.insert("jumpstarter-namespace", value(&credential.namespace));
    metadata.insert("jumpstarter-name", value(name));
    request
}

pub(crate) fn exporters() -> ListExportersRequest {
    ListExportersRequest { parent: "namespaces/default".to_owned(), ..ListExportersRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_lab_in_the_same_folder_is_refused_with_the_process_that_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let serving = start(&path).await;
    let refused = Data::open(&path).expect_err("it is taken");
    assert_eq!(refused, format!("another lab runs in {}: process {}", path.display(), std::process::id()));
    serving.stop(GRACE).await;
    start(&path).await.stop(GRACE).await;
}

#[test]
fn a_folder_that_others_can_open_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("changed");
    let refused = Data::open(folder.path()).expect_err("it is open");
    assert!(refused.ends_with("make it private with `chmod 700`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_there_after_a_restart_and_so_are_tokens_and_the_certificate() {
    let (_folder, path, serving, mut owner) = new_lab().await;
    let me = create(&mut owner, "Client", "me").await;
    create(&mut owner, "Exporter", "rig").await;
    let authority = serving.authority.clone();
    serving.stop(GRACE).await;

    let serving = start(&path).await;
    assert_eq!(serving.authority, authority);
    let mut client = ClientServiceClient::new(channel(&serving).await);
    let seen =
        client.list_exporters(asks(&me, "me", exporters())).await.expect("a list").into_inner().exporters;
    assert_eq!(
        seen.iter().map(|exporter| exporter.name.as_str()).collect::<Vec<_>>(),
        ["namespaces/default/exporters/rig"]
    );
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_replaced_or_whose_owner_was_deleted_is_dead_at_once() {
    let (_folder, _, serving, mut owner) = new_lab().await;
    let old = create(&mut owner, "Client", "me").await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    client.list_exporters(asks(&old, "me", exporters())).await.expect("a list");
    let new = owner
        .issue(IssueRequest { key: Some(key("Client", "me")), rotate: true })
        .await
        .expect("a token")
        .into_inner();
    let refused = client.list_exporters(asks(&old, "me", exporters())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("replaced by an administrator"), "{refused}");
    client.list_exporters(asks(&new, "me", exporters())).await.expect("a list");
    owner.delete(DeleteRequest { key: Some(key("Client", "me")) }).await.expect("deleted");
    let refused = client.list_exporters(asks(&new, "me", exporters())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown);
    assert!(refused.message().contains("clients.jumpstarter.dev \"me\" not found"), "{refused}");
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leases_of_a_client_that_is_deleted_end() {
    let (_folder, _, serving, mut owner) = new_lab().await;
    let (me, other) = (create(&mut owner, "Client", "me").await, create(&mut owner, "Client", "other").await);
    create(&mut owner, "Exporter", "rig").await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    let request = wish("one", "board=demo");
    client.create_lease(asks(&me, "me", request)).await.expect("a lease");
    owner.delete(DeleteRequest { key: Some(key("Client", "me")) }).await.expect("deleted");
    let list = ListLeasesRequest { parent: "namespaces/default".to_owned(), ..ListLeasesRequest::default() };
    let ended = async {
        while !client
            .list_leases(asks(&other, "other", list.clone()))
            .await
            .expect("a list")
            .into_inner()
            .leases
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("in time");
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_reads_of_a_lease_that_waits_what_its_client_does() {
    let (_folder, _, serving, mut owner) = new_lab().await;
    let me = create(&mut owner, "Client", "me").await;
    create(&mut owner, "Exporter", "rig").await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    for name in ["one", "two"] {
        let request = wish(name, "board=demo");
        client.create_lease(asks(&me, "me", request)).await.expect("a lease");
    }
    let request = GetLeaseRequest { name: "namespaces/default/leases/two".to_owned() };
    let seen = client.get_lease(asks(&me, "me", request)).await.expect("a lease").into_inner();
    let message = seen.conditions[0].message.clone().expect("a message");
    assert_eq!(message, "1 exporter matches, but it is offline; place 2 of 2");
    let one = owner.get(GetRequest { key: Some(key("Lease", "two")) }).await.expect("a lease").into_inner();
    let all = ListRequest { kind: "Lease".to_owned(), selector: String::new() };
    let all = owner.list(all).await.expect("leases").into_inner().objects;
    let two = all.last().expect("two").clone();
    for object in [one, two] {
        let lease: Value = serde_json::from_str(&object.json).expect("JSON");
        assert_eq!(lease["metadata"]["name"], "two");
        assert_eq!(lease["status"]["conditions"][0]["message"], message, "{lease}");
        assert_eq!(lease["status"]["conditions"][0]["status"], "True", "{lease}");
    }
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let (_folder, _, serving, mut owner) = new_lab().await;
    create(&mut owner, "Client", "me").await;
    for (json, code, says) in [
        ("{".to_owned(), Code::InvalidArgument, "the object is not JSON"),
        (json!({ "kind": "Secret" }).to_string(), Code::InvalidArgument, "there is no kind `Secret`: Client, Exporter, Lease, ExporterAccessPolicy"),
        (json!({ "kind": "Client" }).to_string(), Code::InvalidArgument, "the object has no `metadata.name`"),
        (
            json!({ "kind": "ExporterAccessPolicy", "metadata": { "name": "p" }, "spec": { "polices": [] } }).to_string(),
            Code::InvalidArgument,
            "spec.polices: is not known here: exporterSelector, policies",
        ),
        (
            json!({
                "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ExporterAccessPolicy",
                "metadata": { "name": "p", "labels": { "any": "x" } },
                "spec": {
                    "exporterSelector": { "matchLabels": { "any": "x" } },
                    "policies": [{ "priority": 1, "maximumDuratoin": "1m", "from": [{ "clientSelektor": {} }] }],
                },
            })
            .to_string(),
            Code::InvalidArgument,
            "spec.policies[0].from[0].clientSelektor: is not known here: clientSelector; spec.policies[0].maximumDuratoin: is not",
        ),
        (json!({ "kind": "Client", "metadata": { "name": "Not A Name" } }).to_string(), Code::InvalidArgument, "`Not A Name` cannot be a name"),
        (json!({ "kind": "Client", "metadata": { "name": "me" } }).to_string(), Code::Unknown, "clients.jumpstarter.dev \"me\" already exists"),
        (
            json!({ "kind": "Lease", "metadata": { "name": "x" }, "spec": { "clientRef": { "name": "me" } } }).to_string(),
            Code::InvalidArgument,
            "one of selector or exporterRef.name is required",
        ),
    ] {
        let refused = owner.create(CreateRequest { json: json.clone() }).await.unwrap_err();
        assert_eq!(refused.code(), code, "{json}: {refused}");
        assert!(refused.message().contains(says), "{json}: {refused}");
    }
    let none = owner.get(GetRequest { key: Some(key("Exporter", "none")) }).await.unwrap_err();
    assert_eq!(none.message(), "exporters.jumpstarter.dev \"none\" not found");
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_lab_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (folder.path().join("lab"), folder.path().join("copy"));
    let serving = start(&path).await;
    let mut owner = admin(&path).await;
    create(&mut owner, "Exporter", "rig").await;
    let file = folder.path().join("backup.db");
    owner.backup(BackupRequest { path: file.display().to_string() }).await.expect("written");
    let running = Data::restore(&path, &file).expect_err("it is at work");
    assert!(running.starts_with("another lab runs in "), "{running}");
    drop(Data::open(&copy).expect("a folder"));
    let before = Data::restore(&copy, &file).expect("restored").expect("there was one");
    assert!(before.ends_with("lab.db.replaced-1"), "{}", before.display());
    assert!(Data::restore(&copy, &folder.path().join("none")).is_err());
    let other = start(&copy).await;
    let request = ListRequest { kind: "Exporter".to_owned(), selector: "board=demo".to_owned() };
    let found = admin(&copy).await.list(request).await.expect("a list").into_inner().objects;
    assert_eq!(found.len(), 1);
    other.stop(GRACE).await;
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_is_what_was_made_after_a_backup_that_is_put_back() {
    let (folder, path, serving, mut owner) = new_lab().await;
    let me = create(&mut owner, "Client", "me").await;
    let file = folder.path().join("backup.db");
    owner.backup(BackupRequest { path: file.display().to_string() }).await.expect("written");
    create(&mut owner, "Exporter", "rig").await;
    serving.stop(GRACE).await;
    Data::restore(&path, &file).expect("restored");
    let serving = start(&path).await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    // The keys are where they were, so tokens are good as before.
    let seen = client.list_exporters(asks(&me, "me", exporters())).await.expect("a list").into_inner();
    assert_eq!(seen.exporters, []);
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_says_whether_it_works_and_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = start(&folder.path().join("lab")).await;
    let channel = channel(&serving).await;
    for (path, status) in [
        ("/healthz", StatusCode::OK),
        ("/readyz", StatusCode::OK),
        ("/v1/auth/config", StatusCode::OK),
        ("/none", StatusCode::NOT_FOUND),
    ] {
        let request = Request::get(format!("https://{}{path}", serving.endpoint))
            .body(Body::empty())
            .expect("a request");
        let answer = channel.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_with_a_certificate_of_somebody_else_shows_that_one() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let plain = settings();
    let protection = Protection::Given(Identity::from_pem(&chain, &key).expect("an identity"));
    let settings = Settings { protection, ..plain };
    let serving = Serving::start(Data::open(&path).expect("a folder"), &settings).await.expect("it starts");
    let me = create(&mut admin(&path).await, "Client", "me").await;
    // Whoever connects knows its authority already, so no file has one.
    assert!(me.authority.is_empty());
    let (_, port) = serving.endpoint.rsplit_once(':').expect("a port");
    let endpoint = Endpoint::parse(&format!("localhost:{port}")).expect("an endpoint");
    let options = Options { security: Security::VerifiedBy(chain), ..Options::default() };
    let trusted = connect::connect(&endpoint, &options).await.expect("a connection");
    ClientServiceClient::new(trusted).list_exporters(asks(&me, "me", exporters())).await.expect("a list");
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_says_which_services_it_has() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let (_folder, _, serving, _) = new_lab().await;
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel(&serving).await);
    let answers = client.server_reflection_info(futures::stream::iter([asked])).await.expect("an answer");
    let answer = answers.into_inner().message().await.expect("no error").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list: {answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for service in [
        "jumpstarter.v1.ControllerService",
        "jumpstarter.v1.RouterService",
        "jumpstarter.client.v1.ClientService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&service), "no {service} in {names:?}");
    }
    serving.stop(GRACE).await;
}
