//! Who uses a lab: exporters and clients that do no more than they must, and call again when the lab was away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use jumpstarter_protocol::{
    admin::v1::Credential,
    client::v1::{
        CreateLeaseRequest, DeleteLeaseRequest, GetLeaseRequest, Lease,
        client_service_client::ClientServiceClient,
    },
    v1::{
        DialRequest, DriverInstanceReport, ExporterStatus, ListenRequest, RegisterRequest,
        ReportStatusRequest, StatusRequest, StreamRequest, StreamResponse,
        controller_service_client::ControllerServiceClient, router_service_client::RouterServiceClient,
    },
};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options, Security};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tonic::{Request, Status, Streaming, metadata::MetadataValue};

use super::{PATIENCE, soon};

/// Between two questions that there is no event for.
const PAUSE: Duration = Duration::from_millis(5);

/// A lab that comes and goes, and where it is while it is there.
#[derive(Clone)]
pub(crate) struct Lab(watch::Receiver<Option<String>>);

impl Lab {
    /// A lab, and what says where it is from now on.
    pub(crate) fn at(endpoint: &str) -> (Self, watch::Sender<Option<String>>) {
        // With them comes what TLS needs.
        crate::settings();
        let (tell, told) = watch::channel(Some(endpoint.to_owned()));
        (Self(told), tell)
    }

    pub(crate) fn person(&self, kind: &'static str, name: &str, credential: Credential) -> Person {
        Person { lab: self.clone(), kind, name: name.to_owned(), credential: Arc::new(credential) }
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Person {
    lab: Lab,
    kind: &'static str,
    pub(crate) name: String,
    credential: Arc<Credential>,
}

impl Person {
    pub(crate) fn asks<T>(&self, what: T) -> Request<T> {
        let mut request = Request::new(what);
        let value = |text: &str| MetadataValue::try_from(text).expect("printable");
        let metadata = request.metadata_mut();
        metadata.insert("authorization", value(&format!("Bearer {}", self.credential.token)));
        metadata.insert("jumpstarter-kind", value(self.kind));
        metadata.insert("jumpstarter-namespace", value(&self.credential.namespace));
        metadata.insert("jumpstarter-name", value(&self.name));
        request
    }

    fn options(&self) -> Options {
        let authority = self.credential.authority.clone().into();
        Options { security: Security::VerifiedBy(authority), ..Options::default() }
    }

    /// Calls until the lab has answered. Whatever goes wrong while it is going away is no answer.
    pub(crate) async fn call<T, F>(&self, ask: impl Fn(Channel) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut at = self.lab.0.clone();
        loop {
            let place = at.borrow_and_update().clone();
            let place = place.filter(|_| at.has_changed().is_ok());
            let Some(place) = place else {
                let back = tokio::time::timeout(PATIENCE, at.changed()).await;
                if back.expect("the lab comes back in time").is_err() {
                    // The test is over, and with it this task.
                    std::future::pending::<()>().await;
                }
                continue;
            };
            let endpoint = Endpoint::parse(&place).expect("an endpoint");
            let answer = match connect::connect(&endpoint, &self.options()).await {
                Ok(channel) => ask(channel).await,
                Err(error) => Err(Status::unavailable(error.message())),
            };
            match answer {
                Err(_) if at.has_changed().unwrap_or(true) => {}
                answer => return answer,
            }
        }
    }

    async fn report(&self, status: ExporterStatus) {
        let report = ReportStatusRequest { status: status.into(), ..ReportStatusRequest::default() };
        let told = self
            .call(|channel| {
                let request = self.asks(report.clone());
                async move { ControllerServiceClient::new(channel).report_status(request).await }
            })
            .await;
        told.expect("the report is taken");
    }

    /// Is an exporter, for ever.
    pub(crate) async fn serve(self, world: World) {
        let mut serving: Option<(String, JoinHandle<()>)> = None;
        loop {
            let reports =
                vec![DriverInstanceReport { uuid: "one".to_owned(), ..DriverInstanceReport::default() }];
            let register = RegisterRequest { reports, ..RegisterRequest::default() };
            let registered = self
                .call(|channel| {
                    let request = self.asks(register.clone());
                    async move { ControllerServiceClient::new(channel).register(request).await }
                })
                .await;
            registered.expect("registered");
            let state =
                if serving.is_some() { ExporterStatus::LeaseReady } else { ExporterStatus::Available };
            self.report(state).await;
            let states = self
                .call(|channel| {
                    let request = self.asks(StatusRequest {});
                    async move { ControllerServiceClient::new(channel).status(request).await }
                })
                .await;
            let mut states = states.expect("a stream").into_inner();
            // Its end is the lab's.
            while let Ok(Some(state)) = states.message().await {
                let lease = state.lease_name.filter(|_| state.leased);
                if lease.as_ref() == serving.as_ref().map(|(lease, _)| lease) {
                    continue;
                }
                if let Some((_, listening)) = serving.take() {
                    listening.abort();
                }
                let state =
                    if lease.is_some() { ExporterStatus::LeaseReady } else { ExporterStatus::Available };
                serving = lease
                    .map(|lease| (lease.clone(), tokio::spawn(self.clone().listen(lease, world.clone()))));
                self.report(state).await;
            }
        }
    }

    /// Takes the tunnels of a lease.
    async fn listen(self, lease_name: String, world: World) {
        loop {
            let listening = self
                .call(|channel| {
                    let request = self.asks(ListenRequest { lease_name: lease_name.clone() });
                    async move { ControllerServiceClient::new(channel).listen(request).await }
                })
                .await;
            let mut listening = listening.expect("it may listen").into_inner();
            while let Ok(Some(tunnel)) = listening.message().await {
                let (world, options) = (world.clone(), self.options());
                if world.is_used(&tunnel.router_endpoint) {
                    tokio::spawn(async move {
                        let way = Tunnel::open(&tunnel.router_endpoint, &tunnel.router_token, &options).await;
                        let ended = way.expect("the router takes it").echo().await;
                        if let Err(status) = ended {
                            world.broken("an exporter", &status);
                        }
                    });
                }
            }
        }
    }

    /// Asks for an exporter, in such a way that asking twice is no harm.
    pub(crate) async fn wish(&self, lease_id: &str, duration: Duration) -> Result<Lease, Status> {
        let lease = Lease {
            selector: "board=demo".to_owned(),
            duration: Some(prost_types::Duration {
                seconds: i64::try_from(duration.as_secs()).expect("short"),
                nanos: 0,
            }),
            ..Lease::default()
        };
        let request = CreateLeaseRequest {
            parent: "namespaces/default".to_owned(),
            lease_id: lease_id.to_owned(),
            lease: Some(lease),
        };
        let made = self
            .call(|channel| {
                let request = self.asks(request.clone());
                async move { ClientServiceClient::new(channel).create_lease(request).await }
            })
            .await;
        match made {
            // Asked before the lab went, and done.
            Err(status) if status.message().ends_with("already exists") => self.look(lease_id).await,
            made => made.map(tonic::Response::into_inner),
        }
    }

    pub(crate) async fn look(&self, lease: &str) -> Result<Lease, Status> {
        let name = format!("namespaces/default/leases/{lease}");
        let lease = self
            .call(|channel| {
                let request = self.asks(GetLeaseRequest { name: name.clone() });
                async move { ClientServiceClient::new(channel).get_lease(request).await }
            })
            .await;
        lease.map(tonic::Response::into_inner)
    }

    /// Waits until a lease is as it should be.
    pub(crate) async fn until(&self, lease: &str, holds: impl Fn(&Lease) -> bool) -> Lease {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.look(lease).await.expect("it is there");
            if holds(&seen) {
                return seen;
            }
            assert!(tokio::time::Instant::now() < deadline, "it stays so: {seen:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn release(&self, lease: &str) -> Result<(), Status> {
        let name = format!("namespaces/default/leases/{lease}");
        let released = self
            .call(|channel| {
                let request = self.asks(DeleteLeaseRequest { name: name.clone() });
                async move { ClientServiceClient::new(channel).delete_lease(request).await }
            })
            .await;
        match released {
            Err(status) if status.message().ends_with("has already been released") => Ok(()),
            released => released.map(drop),
        }
    }

    /// Reaches the exporter of a lease, by the router that is used.
    pub(crate) async fn dial(&self, lease_name: &str, world: &World) -> Tunnel {
        let dialling = async {
            loop {
                let dialled = self
                    .call(|channel| {
                        let request = self.asks(DialRequest { lease_name: lease_name.to_owned() });
                        async move { ControllerServiceClient::new(channel).dial(request).await }
                    })
                    .await;
                match dialled.map(tonic::Response::into_inner) {
                    Ok(tunnel) if world.is_used(&tunnel.router_endpoint) => {
                        let options = self.options();
                        let way = Tunnel::open(&tunnel.router_endpoint, &tunnel.router_token, &options);
                        return way.await.expect("the router takes it");
                    }
                    // The lab has just started, and has not seen the router yet; or the exporter has not seen the lab.
                    Ok(_) => {}
                    Err(status)
                        if matches!(
                            status.code(),
                            tonic::Code::Unavailable | tonic::Code::ResourceExhausted
                        ) => {}
                    Err(status) => panic!("{}: {lease_name} cannot be dialled: {status}", self.name),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        soon("the exporter is reached", dialling).await
    }
}

/// One end of a session.
pub(crate) struct Tunnel {
    send: mpsc::Sender<StreamRequest>,
    receive: Streaming<StreamResponse>,
}

impl Tunnel {
    pub(crate) async fn open(endpoint: &str, token: &str, options: &Options) -> Result<Self, Status> {
        let mut options = options.clone();
        // The lab's own has the lab's certificate; the others here speak clear text.
        if endpoint.starts_with("127.0.0.1:") {
            options.security = Security::ClearText;
        }
        let endpoint = Endpoint::parse(endpoint).expect("an endpoint");
        let channel = connect::connect(&endpoint, &options).await;
        let channel = channel.map_err(|error| Status::unavailable(error.message()))?;
        let (send, source) = mpsc::channel::<StreamRequest>(4);
        let mut request = Request::new(futures::stream::unfold(source, async |mut source| {
            source.recv().await.map(|frame| (frame, source))
        }));
        let value = MetadataValue::try_from(format!("Bearer {token}")).expect("printable");
        request.metadata_mut().insert("authorization", value);
        let receive = RouterServiceClient::new(channel).stream(request).await?.into_inner();
        Ok(Self { send, receive })
    }

    /// Sends back what comes, to the end.
    async fn echo(mut self) -> Result<(), Status> {
        while let Some(frame) = self.receive.message().await? {
            // Whoever asks to end is let go.
            if frame.payload.is_empty() {
                break;
            }
            let frame = StreamRequest { payload: frame.payload, ..StreamRequest::default() };
            if self.send.send(frame).await.is_err() {
                return Err(Status::unavailable("nobody takes the echo"));
            }
        }
        let Self { send, mut receive } = self;
        drop(send);
        // Whoever goes before the other one has ended, breaks the session.
        while receive.message().await?.is_some() {}
        Ok(())
    }

    /// Says something, and hears it again.
    pub(crate) async fn ask(&mut self, payload: Bytes) -> Result<(), Status> {
        let frame = StreamRequest { payload: payload.clone(), ..StreamRequest::default() };
        self.send.send(frame).await.map_err(|_| Status::unavailable("nobody takes it"))?;
        let answer = soon("the echo", self.receive.message()).await?;
        let answer = answer.ok_or_else(|| Status::unavailable("the session has ended"))?;
        assert_eq!(answer.payload, payload, "what comes back is what was sent");
        Ok(())
    }

    /// Waits until it is lost.
    pub(crate) async fn lost(mut self) -> Status {
        loop {
            match self.receive.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("a clean end"),
                Err(status) => return status,
            }
        }
    }

    /// Ends in order.
    pub(crate) async fn end(mut self) -> Result<(), Status> {
        let _ = self.send.send(StreamRequest::default()).await;
        drop(self.send);
        match soon("the end", self.receive.message()).await {
            Ok(None) => Ok(()),
            Ok(Some(frame)) => panic!("{frame:?} after the last answer"),
            Err(status) => Err(status),
        }
    }
}

/// What everybody together knows. Clones are the same.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    /// The router that everybody uses; none, if any will do.
    router: Mutex<Option<String>>,
    /// Exporter → who has it, and until when.
    held: Mutex<HashMap<String, (String, Timestamp)>>,
    /// What must not have happened.
    broken: Mutex<Vec<String>>,
    /// How often somebody was answered by an exporter.
    answers: watch::Sender<u64>,
    /// How many leases have got an exporter.
    leases: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new(router: Option<String>) -> Self {
        Self(Arc::new(Inner {
            router: Mutex::new(router),
            held: Mutex::default(),
            broken: Mutex::default(),
            answers: watch::Sender::new(0),
            leases: watch::Sender::new(0),
        }))
    }

    fn is_used(&self, router: &str) -> bool {
        self.0.router.lock().expect("no panic").as_ref().is_none_or(|used| used == router)
    }

    /// Another one from now on.
    pub(crate) fn uses(&self, router: &str) {
        *self.0.router.lock().expect("no panic") = Some(router.to_owned());
    }

    pub(crate) fn broken(&self, whose: &str, what: &impl std::fmt::Display) {
        self.0.broken.lock().expect("no panic").push(format!("{whose}: {what}"));
    }

    pub(crate) fn all_broken(&self) -> Vec<String> {
        self.0.broken.lock().expect("no panic").clone()
    }

    pub(crate) fn answered(&self) {
        self.0.answers.send_modify(|count| *count += 1);
    }

    pub(crate) fn answers(&self) -> watch::Receiver<u64> {
        self.0.answers.subscribe()
    }

    pub(crate) fn leases(&self) -> watch::Receiver<u64> {
        self.0.leases.subscribe()
    }

    /// A lease has an exporter, as its client sees it: nobody else may have it then.
    pub(crate) fn takes(&self, lease: &Lease) -> String {
        let exporter =
            lease.exporter.as_deref().and_then(|name| name.rsplit('/').next()).expect("it has one");
        let begin = lease.effective_begin_time.expect("it has begun");
        let begin = Timestamp::new(begin.seconds, begin.nanos).expect("a time");
        let duration = SignedDuration::from_secs(lease.duration.expect("it has one").seconds);
        let mut held = self.0.held.lock().expect("no panic");
        let entry = (lease.name.clone(), begin + duration);
        if let Some((other, until)) = held.insert(exporter.to_owned(), entry)
            && until > Timestamp::now()
        {
            self.broken(exporter, &format!("it was given to {} while {other} had it", lease.name));
        }
        self.0.leases.send_modify(|count| *count += 1);
        exporter.to_owned()
    }

    /// From now on others may have it.
    pub(crate) fn gives_back(&self, exporter: &str, lease: &Lease) {
        let gone = self.0.held.lock().expect("no panic").remove(exporter);
        if gone.is_none_or(|(holder, _)| holder != lease.name) {
            self.broken(exporter, &format!("{} had it, and then somebody else", lease.name));
        }
    }
}
