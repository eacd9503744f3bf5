//! A lab, an exporter of it, and clients.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use jumpstarter_client::{Connection, Device, ExporterStatus, Patience};
use jumpstarter_core::Result;
use jumpstarter_exporter::{
    check,
    registered::{self, Ended, Options, Stop, Watcher, Wish},
};
use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_protocol::{
    admin::v1::{
        CreateRequest, Credential, GetRequest, IssueRequest, Key, admin_service_client::AdminServiceClient,
    },
    client::v1::{CreateLeaseRequest, DeleteLeaseRequest, Lease, client_service_client::ClientServiceClient},
    v1::{DialRequest, LogStreamResponse, controller_service_client::ControllerServiceClient},
};
use jumpstarter_transport::{
    connect::{self, Channel, Credentials, Endpoint, Security},
    tunnel,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::drivers::registry;

/// How long something may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Awaits something that has to happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it never happens: {what}"))
}

pub(crate) struct Lab {
    pub(crate) serving: Option<Serving>,
    pub(crate) address: SocketAddr,
    endpoint: Option<String>,
    authority: Vec<u8>,
    folder: TempDir,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_behind(None).await
    }

    /// A lab that is found at this endpoint.
    pub(crate) async fn start_behind(endpoint: Option<String>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut lab = Self {
            serving: None,
            address: "127.0.0.1:0".parse().expect("an address"),
            endpoint,
            authority: Vec::new(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        lab.begin().await;
        lab
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("lab")
    }

    /// Begins, or begins again: at the same place, with what it remembers.
    pub(crate) async fn begin(&mut self) {
        let settings = Settings {
            listen: self.address,
            endpoint: self.endpoint.clone(),
            protection: Protection::Own { names: Vec::new() },
            config: LabConfig::default(),
            controller_key: None,
        };
        let serving =
            Serving::start(Data::open(&self.data()).expect("a lab"), &settings).await.expect("it starts");
        self.address = serving.address;
        self.authority = serving.authority.clone().into_bytes();
        self.serving = Some(serving);
    }

    pub(crate) async fn end(&mut self) {
        self.serving.take().expect("it runs").stop(Duration::ZERO).await;
    }

    async fn admin(&self) -> AdminServiceClient<Channel> {
        let socket = Endpoint::Unix(Data::admin_socket(&self.data()));
        AdminServiceClient::new(
            connect::connect(&socket, &connect::Options::default()).await.expect("a connection"),
        )
    }

    pub(crate) async fn create(&self, kind: &str, name: &str) -> Credential {
        let mut admin = self.admin().await;
        let object = json!({ "kind": kind, "metadata": { "name": name, "labels": { "board": "demo" } } });
        admin.create(CreateRequest { json: object.to_string() }).await.expect("made");
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        admin.issue(IssueRequest { key, rotate: false }).await.expect("a token").into_inner()
    }

    pub(crate) async fn object(&self, kind: &str, name: &str) -> Value {
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        let found = self.admin().await.get(GetRequest { key }).await.expect("found").into_inner();
        serde_json::from_str(&found.json).expect("JSON")
    }

    pub(crate) async fn until(&self, kind: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let object = self.object(kind, name).await;
                if holds(&object) {
                    return object;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{kind} {name}"), waiting).await
    }

    /// Waits until the exporter can be leased.
    pub(crate) async fn free(&self) -> Value {
        self.until("Exporter", "rig", |exporter| {
            exporter["status"]["exporterStatus"] == "Available"
                && exporter["status"].get("leaseRef").is_none()
        })
        .await
    }

    /// The exporter file of `rig`, with this at its end.
    pub(crate) async fn file(&self, rest: &str) -> String {
        let credential = self.create("Exporter", "rig").await;
        file(&credential, &self.authority, rest)
    }

    pub(crate) async fn client(&self, name: &str) -> Client {
        let credential = self.create("Client", name).await;
        Client {
            name: name.to_owned(),
            channel: self.channel().await,
            authority: self.authority.clone(),
            credential,
        }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::Tcp { host: "localhost".to_owned(), port: self.address.port() };
        connect::connect(&endpoint, &options(&self.authority)).await.expect("a connection")
    }
}

pub(crate) fn file(credential: &Credential, authority: &[u8], rest: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let Credential { namespace, endpoint, token, .. } = credential;
    let ca = BASE64_STANDARD.encode(authority);
    format!(
        "metadata: {{namespace: {namespace}, name: rig}}\nendpoint: {endpoint}\ntoken: {token}\ntls: {{ca: {ca}}}\n{rest}"
    )
}

fn options(authority: &[u8]) -> connect::Options {
    connect::Options { security: Security::VerifiedBy(authority.to_vec()), ..connect::Options::default() }
}

/// What an exporter says and does.
struct Follower {
    state: watch::Sender<(String, bool)>,
    lines: Mutex<Vec<String>>,
    news: watch::Sender<usize>,
}

impl Watcher for Follower {
    fn line(&self, line: &LogStreamResponse) {
        let mut lines = self.lines.lock().expect("no panic");
        lines.push(line.message.clone());
        self.news.send_replace(lines.len());
    }

    fn state(&self, words: &str, linked: bool) {
        self.state.send_replace((words.to_owned(), linked));
    }
}

/// An exporter that runs.
pub(crate) struct Rig {
    wishes: mpsc::Sender<Wish>,
    running: JoinHandle<Result<Ended>>,
    follower: Arc<Follower>,
}

impl Rig {
    pub(crate) fn start(text: String) -> Self {
        let follower = Arc::new(Follower {
            state: watch::Sender::default(),
            lines: Mutex::default(),
            news: watch::Sender::default(),
        });
        let options = Options {
            plan: Box::new(move || check("rig.yaml", &text, &registry(), |_| None)),
            tools: None,
            exit_on_lease_end: false,
            watcher: follower.clone(),
        };
        let (wishes, inbox) = mpsc::channel(4);
        Self { wishes, running: tokio::spawn(registered::run(options, inbox)), follower }
    }

    /// Waits until it is connected with its controller, or not.
    pub(crate) async fn linked(&self, linked: bool) {
        let mut state = self.follower.state.subscribe();
        soon("the exporter is linked", state.wait_for(|(_, now)| *now == linked)).await.expect("it runs");
    }

    /// Waits for a line of its sessions' logs.
    pub(crate) async fn says(&self, words: &str) {
        let mut news = self.follower.news.subscribe();
        let said = async {
            while !self.lines().iter().any(|line| line.contains(words)) {
                news.changed().await.expect("it runs");
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        assert!(said.is_ok(), "it never says {words:?}: {:?}", self.lines());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.follower.lines.lock().expect("no panic").clone()
    }

    pub(crate) async fn ask(&self, stop: Stop) {
        self.wishes.send(Wish::Stop(stop)).await.expect("it runs");
    }

    pub(crate) async fn ended(self) -> Result<Ended> {
        soon("the exporter ends", self.running).await.expect("no panic")
    }

    pub(crate) async fn stop(self) -> Ended {
        self.ask(Stop::Now).await;
        self.ended().await.expect("a good end")
    }
}

/// Somebody who leases.
pub(crate) struct Client {
    name: String,
    pub(crate) channel: Channel,
    authority: Vec<u8>,
    credential: Credential,
}

impl Client {
    fn ask<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let value = |text: &str| MetadataValue::try_from(text).expect("printable");
        let metadata = request.metadata_mut();
        metadata.insert("authorization", value(&format!("Bearer {}", self.credential.token)));
        metadata.insert("jumpstarter-kind", value("Client"));
        metadata.insert("jumpstarter-namespace", value(&self.credential.namespace));
        metadata.insert("jumpstarter-name", value(&self.name));
        request
    }

    /// Asks for a lease of this name.
    pub(crate) async fn lease(&self, name: &str) {
        let lease = Lease {
            selector: "board=demo".to_owned(),
            duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            ..Lease::default()
        };
        let request = CreateLeaseRequest {
            parent: "namespaces/default".to_owned(),
            lease_id: name.to_owned(),
            lease: Some(lease),
        };
        ClientServiceClient::new(self.channel.clone())
            .create_lease(self.ask(request))
            .await
            .expect("a lease");
    }

    pub(crate) async fn give_back(&self, name: &str) {
        let request = DeleteLeaseRequest { name: format!("namespaces/default/leases/{name}") };
        ClientServiceClient::new(self.channel.clone()).delete_lease(self.ask(request)).await.expect("ended");
    }

    /// Asks the controller for a tunnel, and does nothing with it.
    pub(crate) async fn dial(&self, name: &str) -> Result<(String, String), tonic::Status> {
        let request = DialRequest { lease_name: name.to_owned() };
        let answer =
            ControllerServiceClient::new(self.channel.clone()).dial(self.ask(request)).await?.into_inner();
        Ok((answer.router_endpoint, answer.router_token))
    }

    /// A tunnel to the exporter of a lease.
    pub(crate) async fn tunnel(&self, name: &str) -> tunnel::Tunnel {
        let (place, token) = self.dial(name).await.expect("a tunnel");
        let endpoint = Endpoint::parse(&place).expect("an endpoint");
        let channel = connect::connect(&endpoint, &options(&self.authority)).await.expect("a router");
        let mut metadata = MetadataMap::new();
        metadata
            .insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).expect("printable"));
        tunnel::open(channel, metadata).0
    }

    pub(crate) async fn connect(&self, name: &str) -> Connection {
        let tunnel = self.tunnel(name).await;
        let channel = soon("a session", connect::connect_stream(tunnel, Credentials::none())).await;
        Connection::from_channel(channel.expect("a session"), "the tunnel", Patience::default())
    }

    pub(crate) async fn device(&self, name: &str) -> Device {
        let connection = self.connect(name).await;
        soon("a report", connection.device()).await.expect("a device")
    }
}

/// Waits until a session says this.
pub(crate) async fn until(connection: &Connection, wanted: ExporterStatus) -> String {
    let waiting = async {
        loop {
            let status = connection.status().await.expect("a status");
            if status.status == wanted {
                return status.message;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(&format!("{wanted:?}"), waiting).await
}
