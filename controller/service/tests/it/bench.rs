//! A lab in memory, and who calls it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _};
use jumpstarter_api::{Client, ClientSpec, Exporter, ExporterSpec, Lease as Stored, ObjectMeta};
use jumpstarter_identity::{Authenticator, Https, Issuer, SigningKey};
use jumpstarter_leasing::Settings;
use jumpstarter_protocol::{
    client::v1::{CreateLeaseRequest, Lease, client_service_server::ClientService as _},
    v1::{
        DriverInstanceReport, ExporterStatus, RegisterRequest, ReportStatusRequest, StatusRequest,
        StatusResponse, controller_service_server::ControllerService as _,
    },
};
use jumpstarter_router::{Key, Tokens};
use jumpstarter_service::{
    Callers, Clients, Clock, Exporters, Lab, Listeners, Route, Routers, caller::Acting, clients::Policy,
    routers::Load,
};
use jumpstarter_store::{Engine, Key as StoreKey, Nowhere, Store as _, engine::Options};
use tokio::task::JoinHandle;
use tonic::{Request, Status, metadata::MetadataValue};

pub(crate) const NAMESPACE: &str = "default";

/// Nothing here takes longer unless it is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Bench {
    pub(crate) lab: Lab<Arc<Engine>>,
    pub(crate) callers: Callers<Arc<Engine>, Https>,
    pub(crate) exporters: Exporters<Arc<Engine>, Https>,
    pub(crate) clients: Clients<Arc<Engine>, Https>,
    /// What its tokens are signed with.
    key: jsonwebtoken::EncodingKey,
    work: Option<JoinHandle<()>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) token: String,
}

impl Caller {
    pub(crate) fn asks<T>(&self, what: T) -> Request<T> {
        let mut request = Request::new(what);
        let value = |text: &str| MetadataValue::try_from(text).expect("printable");
        let metadata = request.metadata_mut();
        metadata.insert("authorization", value(&format!("Bearer {}", self.token)));
        metadata.insert("jumpstarter-kind", value(self.kind));
        metadata.insert("jumpstarter-namespace", value(&self.namespace));
        metadata.insert("jumpstarter-name", value(&self.name));
        request
    }
}

fn meta(name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::by(Clock::default())
    }

    /// With these routers, by their labels.
    pub(crate) fn with_routers(routers: &[(&str, &[(&str, &str)])]) -> Self {
        let mut bench = Self::new();
        let routes = routers.iter().map(|(endpoint, labels)| Route {
            endpoint: (*endpoint).to_owned(),
            labels: meta("", labels).labels.unwrap_or_default(),
            load: Load::default(),
        });
        let routers = Routers::new(Tokens::new(Key::Fixed(b"key".to_vec())), routes.collect());
        bench.exporters =
            Exporters::new(bench.lab.clone(), bench.callers.clone(), Listeners::default(), routers);
        bench
    }

    /// By a clock that stands until it is moved.
    pub(crate) fn standing() -> (Self, Clock) {
        let clock = Clock::manual("2026-11-20T12:00:00Z".parse().expect("a time"));
        (Self::by(clock.clone()), clock)
    }

    fn by(clock: Clock) -> Self {
        let mut bench = Self::resting(clock);
        let at_work = bench.lab.clone();
        let work = tokio::spawn(async move { at_work.run().await.expect("it goes on") });
        bench.work = Some(work);
        bench
    }

    /// In which nothing happens by itself.
    pub(crate) fn idle() -> Self {
        Self::resting(Clock::default())
    }

    fn resting(clock: Clock) -> Self {
        let of_store = clock.clone();
        let options = Options { clock: Arc::new(move || of_store.now()), ..Options::default() };
        let store = Arc::new(Engine::open_with(Nowhere, options).expect("a store"));
        let writes = Arc::downgrade(&store);
        let last = Arc::new(Mutex::new(None));
        clock.settles_with(move || {
            let (writes, last) = (writes.upgrade(), last.clone());
            async move {
                let Some(store) = writes else { return false };
                // One wish after the other: when this one has been refused, all before it have been answered.
                let nothing = StoreKey::new("Nothing", NAMESPACE, "nothing");
                store.delete(&nothing, None).await.expect_err("there is no such thing");
                let now = Some(store.revision());
                std::mem::replace(&mut *last.lock().expect("nobody panics"), now.clone()) != now
            }
            .boxed()
        });
        let lab = Lab::at(store, NAMESPACE, Settings::default(), clock);
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let issuer = Issuer::new(SigningKey::from_pem(pair.serialize_pem().as_bytes()).expect("a key"));
        let key = jsonwebtoken::EncodingKey::from_ec_der(&pair.serialize_der());
        let authenticator = Authenticator::<Https>::new(Vec::new(), issuer).expect("one issuer");
        let callers = Callers::new(lab.clone(), authenticator, false);
        let route = Route {
            endpoint: "router:1".to_owned(),
            labels: std::collections::BTreeMap::new(),
            load: Load::default(),
        };
        let routers = Routers::new(Tokens::new(Key::Fixed(b"key".to_vec())), vec![route]);
        let exporters = Exporters::new(lab.clone(), callers.clone(), Listeners::default(), routers);
        let clients = Clients::new(lab.clone(), callers.clone(), Policy::default());
        Self { lab, callers, exporters, clients, key, work: None }
    }

    async fn token<K: Acting>(&self, kind: &'static str, name: &str) -> Caller {
        let object: K = self.lab.get(name).await.expect("there");
        let token = self.callers.issue(&object).expect("a token").token.expose().to_owned();
        Caller { kind, name: name.to_owned(), namespace: NAMESPACE.to_owned(), token }
    }

    /// The same token with other claims, signed by this lab.
    pub(crate) fn altered(&self, token: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let header = jsonwebtoken::decode_header(token).expect("a token");
        let read = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token).expect("a token");
        let mut claims = read.claims;
        change(&mut claims);
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }

    pub(crate) async fn client(&self, name: &str) -> Caller {
        let client = Client { metadata: meta(name, &[]), spec: ClientSpec::default(), status: None };
        self.lab.create(&client).await.expect("made");
        self.token::<Client>("Client", name).await
    }

    pub(crate) async fn exporter(&self, name: &str, labels: &[(&str, &str)]) -> Caller {
        let exporter = Exporter { metadata: meta(name, labels), spec: ExporterSpec::default(), status: None };
        self.lab.create(&exporter).await.expect("made");
        self.token::<Exporter>("Exporter", name).await
    }

    /// An exporter that can be leased.
    pub(crate) async fn rig(&self, name: &str, labels: &[(&str, &str)]) -> (Caller, Told) {
        let rig = self.exporter(name, labels).await;
        let reports =
            vec![DriverInstanceReport { uuid: "one".to_owned(), ..DriverInstanceReport::default() }];
        let request = RegisterRequest { reports, ..RegisterRequest::default() };
        self.exporters.register(rig.asks(request)).await.expect("registered");
        self.report(&rig, ExporterStatus::Available).await;
        let told = self.told(&rig).await;
        // Until the lab has taken notice of it.
        let mut changes = self.lab.changes::<Exporter>(name);
        let known = async {
            while !self.lab.get::<Exporter>(name).await.expect("there").is_registered() {
                changes.changed().await.expect("the lab goes on");
            }
        };
        tokio::time::timeout(SOON, known).await.expect("it is known in time");
        (rig, told)
    }

    pub(crate) async fn report(&self, rig: &Caller, status: ExporterStatus) {
        let request = ReportStatusRequest { status: status.into(), ..ReportStatusRequest::default() };
        self.exporters.report_status(rig.asks(request)).await.expect("written down");
    }

    /// Waits until a lease is over.
    pub(crate) async fn ended(&self, lease: &str) {
        let mut changes = self.lab.changes::<Stored>(lease);
        let over = async {
            while !self.lab.get::<Stored>(lease).await.expect("there").is_ended() {
                changes.changed().await.expect("the lab goes on");
            }
        };
        tokio::time::timeout(SOON, over).await.expect("it ends in time");
    }

    pub(crate) async fn told(&self, rig: &Caller) -> Told {
        let stream = self.exporters.status(rig.asks(StatusRequest {})).await.expect("a stream");
        Told(stream.into_inner())
    }

    pub(crate) async fn lease(&self, client: &Caller, selector: &str) -> Result<Lease, Status> {
        let lease = Lease {
            selector: selector.to_owned(),
            duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            ..Lease::default()
        };
        let request = CreateLeaseRequest {
            parent: format!("namespaces/{NAMESPACE}"),
            lease_id: String::new(),
            lease: Some(lease),
        };
        self.clients.create_lease(client.asks(request)).await.map(tonic::Response::into_inner)
    }
}

/// What an exporter is told.
pub(crate) struct Told(futures::stream::BoxStream<'static, Result<StatusResponse, Status>>);

impl Told {
    pub(crate) async fn next(&mut self) -> StatusResponse {
        let next = tokio::time::timeout(SOON, self.0.next()).await.expect("it is told in time");
        next.expect("the stream goes on").expect("no error")
    }

    /// The same, whenever it comes.
    pub(crate) async fn whenever(&mut self) -> StatusResponse {
        self.0.next().await.expect("the stream goes on").expect("no error")
    }

    pub(crate) async fn fails(&mut self) -> Status {
        let next = tokio::time::timeout(SOON, self.0.next()).await.expect("it is told in time");
        next.expect("the stream goes on").expect_err("an error")
    }
}

/// The last part of a full name.
pub(crate) fn short(full: &str) -> &str {
    full.rsplit('/').next().unwrap_or_default()
}
