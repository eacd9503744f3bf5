//! A lab, who is in it, and a way to it that can be cut.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_lease::{Access, Acquiring, Choice, Controller, Held, Observer, Wanted, choose};
use jumpstarter_protocol::admin::v1::{
    CreateRequest, Credential, GetRequest, IssueRequest, Key, admin_service_client::AdminServiceClient,
};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::rig::Rig;

/// What every rig of these labs is.
pub(crate) fn wanted() -> Wanted {
    Wanted { selector: "board=demo".to_owned(), ..Wanted::default() }
}

/// Nothing here takes longer unless it is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens in time")
}

pub(crate) struct Lab {
    serving: Serving,
    admin: AdminServiceClient<Channel>,
    folder: TempDir,
    /// The way that everybody takes.
    pub(crate) way: Way,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("lab");
        let (listener, way) = Way::open().await;
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            endpoint: Some(format!("localhost:{}", way.port)),
            protection: Protection::Own { names: Vec::new() },
            config: LabConfig::default(),
            controller_key: None,
        };
        let serving = Serving::start(Data::open(&data).unwrap(), &settings).await.unwrap();
        way.lead(listener, serving.address);
        let socket = Endpoint::Unix(Data::admin_socket(&data));
        let admin = AdminServiceClient::new(connect::connect(&socket, &Options::default()).await.unwrap());
        Self { serving, admin, folder, way }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn stop(self) {
        self.serving.stop(Duration::from_secs(1)).await;
    }

    async fn create(&mut self, kind: &str, name: &str) -> Credential {
        let object = json!({ "kind": kind, "metadata": { "name": name, "labels": { "board": "demo" } } });
        self.admin.create(CreateRequest { json: object.to_string() }).await.unwrap();
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        self.admin.issue(IssueRequest { key, rotate: false }).await.unwrap().into_inner()
    }

    /// A client, and its file.
    pub(crate) async fn client(&mut self, name: &str) -> PathBuf {
        let credential = self.create("Client", name).await;
        self.file("ClientConfig", name, &credential)
    }

    /// An exporter that can be leased, and leads to this socket.
    pub(crate) async fn rig(&mut self, name: &str, target: &Path) -> Rig {
        let credential = self.create("Exporter", name).await;
        let rig = Rig::start(credential, name, target).await;
        let known = async {
            while self.object("Exporter", name).await["status"]["exporterStatus"] != "Available" {
                tokio::task::yield_now().await;
            }
        };
        soon(known).await;
        rig
    }

    fn file(&self, kind: &str, name: &str, credential: &Credential) -> PathBuf {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let config = json!({
            "apiVersion": "jumpstarter.dev/v1alpha1",
            "kind": kind,
            "metadata": { "namespace": credential.namespace, "name": name },
            "endpoint": credential.endpoint,
            "tls": { "ca": BASE64_STANDARD.encode(&credential.authority), "insecure": false },
            "token": credential.token,
            "drivers": { "allow": [], "unsafe": true },
        });
        let file = self.path().join(format!("{name}.yaml"));
        // JSON is YAML.
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    pub(crate) async fn controller(&self, file: &Path) -> Controller {
        let chosen = choose(&Choice::File(file.to_owned()), &|_| None).unwrap();
        Controller::connect(Access::new(&chosen, &|_| None).unwrap()).await.unwrap()
    }

    /// A lease of whoever has this file.
    pub(crate) async fn held(&self, file: &Path) -> Held {
        let controller = self.controller(file).await;
        let limit = Duration::from_secs(30);
        let mut acquiring = Acquiring::start(controller, wanted(), limit, Observer::default()).unwrap();
        soon(acquiring.wait()).await.unwrap()
    }

    /// What the lab has under this name.
    pub(crate) async fn object(&mut self, kind: &str, name: &str) -> Value {
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        let found = self.admin.get(GetRequest { key }).await.unwrap().into_inner();
        serde_json::from_str(&found.json).unwrap()
    }

    /// Whether the lab takes a lease for over.
    pub(crate) async fn has_ended(&mut self, lease: &str) -> bool {
        self.object("Lease", lease).await["spec"]["release"] == true
    }
}

/// What becomes of whoever is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Everything is passed on.
    Open,
    /// Nothing is passed on, and nobody is told.
    Frozen,
    /// All connections end, and no new one comes about.
    Cut,
}

/// A port that leads to the lab.
pub(crate) struct Way {
    port: u16,
    passage: Arc<watch::Sender<Passage>>,
}

impl Way {
    async fn open() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, Self { port, passage: Arc::new(watch::Sender::new(Passage::Open)) })
    }

    pub(crate) fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    fn lead(&self, listener: TcpListener, to: std::net::SocketAddr) {
        let passage = self.passage.clone();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let passage = passage.subscribe();
                if *passage.borrow() != Passage::Cut {
                    connections.spawn(pass(near, to, passage));
                }
                while connections.try_join_next().is_some() {}
            }
        });
    }
}

async fn pass(mut near: TcpStream, to: std::net::SocketAddr, mut passage: watch::Receiver<Passage>) {
    let mut far = TcpStream::connect(to).await.unwrap();
    // One for all of it: what it has read and not written yet is not lost when nothing is passed on for a while.
    let mut copy = std::pin::pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        let now = *passage.borrow_and_update();
        match now {
            Passage::Open => tokio::select! {
                _ = &mut copy => return,
                _ = passage.changed() => {}
            },
            Passage::Frozen => drop(passage.changed().await),
            Passage::Cut => return,
        }
    }
}
