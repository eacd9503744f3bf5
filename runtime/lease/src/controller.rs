//! One channel to a controller, and every call that a client makes there.
//!
//! A call that gets no answer ends after a while, with words; none is repeated here. Whoever can repeat one knows why.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jumpstarter_core::{
    Error, ErrorKind, Result,
    config::{client::LeaseOptions, source::Secret},
};
use jumpstarter_protocol::{
    client::v1::{
        self as wire, CreateLeaseRequest, DeleteLeaseRequest, GetExporterRequest, GetLeaseRequest,
        ListExportersRequest, ListLeasesRequest, RotateTokenRequest, UpdateLeaseRequest,
        client_service_client::ClientServiceClient,
    },
    v1::{DialRequest, DialResponse, controller_service_client::ControllerServiceClient},
};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint, Liveness, Options},
    server::MAX_MESSAGE,
};
use tonic::{
    Response, Status,
    metadata::{Ascii, MetadataValue},
};

use crate::{background, config::Access, lease::Lease, waits::Waits, words};

/// How long a controller has for an answer that it need not wait for itself.
const ANSWER: Duration = Duration::from_secs(30);

/// A client's connection to its controller. Cheap to clone; not bound to the runtime of whoever made it.
#[derive(Clone)]
pub struct Controller(Arc<Inner>);

struct Inner {
    channel: Channel,
    access: Access,
    place: String,
    metadata: [(&'static str, MetadataValue<Ascii>); 3],
    /// What its calls are authorised by. Another one may come while they go on.
    authorization: RwLock<MetadataValue<Ascii>>,
    /// What is done while the first answer is waited for.
    waits: Waits,
    /// Whether that one has come. Whoever waits later has a better idea of what for.
    has_answered: AtomicBool,
}

fn sent(what: &str, text: &str) -> Result<MetadataValue<Ascii>> {
    MetadataValue::try_from(text)
        .map_err(|_| Error::configuration(format!("{what} has characters that cannot be sent")))
}

fn authorization(token: &Secret) -> Result<MetadataValue<Ascii>> {
    let mut value = sent("the token", &format!("Bearer {}", token.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Controller({})", self.0.place)
    }
}

/// Which leases are wanted.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    /// Labels that the leases ask for by value.
    pub selector: String,
    /// A selector over tags.
    pub tags: String,
    /// Also those that have ended.
    pub all: bool,
    /// How many in one answer.
    pub page: i32,
}

/// Which exporters are wanted.
#[derive(Clone, Debug, Default)]
pub struct Exporters {
    /// Labels that they have.
    pub selector: String,
    /// Also show labels that the lab hides.
    pub hidden_labels: bool,
    /// How many in one answer.
    pub page: i32,
}

impl Controller {
    /// Connects.
    ///
    /// # Errors
    /// When there is no connection to be had, or the client's name or token cannot be sent.
    pub async fn connect(access: Access) -> Result<Self> {
        Self::connect_showing(access, Waits::silent()).await
    }

    /// The same; `waits` is for the connection, and for the calls up to the first answer.
    ///
    /// # Errors
    /// As [`Controller::connect`].
    pub async fn connect_showing(access: Access, waits: Waits) -> Result<Self> {
        let place = access.endpoint.to_string();
        let authorization = RwLock::new(authorization(&access.token)?);
        let metadata = [
            ("jumpstarter-kind", MetadataValue::from_static("Client")),
            ("jumpstarter-namespace", sent("the namespace", &access.namespace)?),
            ("jumpstarter-name", sent("the client's name", &access.name)?),
        ];
        let liveness = access.grpc.liveness(Liveness::QUIET);
        let options = Options { security: access.security.clone(), liveness, ..Options::default() };
        let endpoint = access.endpoint.clone();
        let connecting =
            Box::pin(background::run(async move { connect::connect(&endpoint, &options).await }));
        let channel =
            waits.over(&whom(&place), connecting).await.map_err(|error| error.context("the controller"))?;
        let has_answered = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner { channel, access, place, metadata, authorization, waits, has_answered })))
    }

    /// Uses another token from the next call on: this one's time is nearly over. Leases and tunnels are not touched.
    ///
    /// # Errors
    /// When the token cannot be sent.
    pub fn use_token(&self, token: &Secret) -> Result<()> {
        let value = authorization(token)?;
        *self.0.authorization.write().unwrap_or_else(PoisonError::into_inner) = value;
        Ok(())
    }

    /// Who this is.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// Where the controller is.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// How long to wait for what.
    pub fn limits(&self) -> LeaseOptions {
        self.0.access.limits
    }

    /// How connections to routers are made: protected as that to the controller.
    pub(crate) fn to_router(&self, timeout: Duration) -> Options {
        let Access { security, grpc, .. } = &self.0.access;
        let liveness = grpc.liveness(Liveness::WATCHED);
        Options { security: security.clone(), timeout, liveness, ..Options::default() }
    }

    /// The words for a status of one of its calls.
    pub(crate) fn error(&self, status: &Status) -> Error {
        words::error(status, &self.0.place)
    }

    fn clients(&self) -> ClientServiceClient<Channel> {
        ClientServiceClient::new(self.0.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        for (key, value) in &self.0.metadata {
            request.metadata_mut().insert(*key, value.clone());
        }
        let authorization = self.0.authorization.read().unwrap_or_else(PoisonError::into_inner).clone();
        request.metadata_mut().insert("authorization", authorization);
        request
    }

    fn parent(&self) -> String {
        format!("namespaces/{}", self.0.access.namespace)
    }

    fn full(&self, kind: &str, name: &str) -> String {
        format!("namespaces/{}/{kind}/{name}", self.0.access.namespace)
    }

    /// Waits for an answer, so long.
    fn answer<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> impl Future<Output = Result<T, Status>> {
        let Inner { waits, has_answered, place, .. } = &*self.0;
        // Calls are large, and would be once in each of the futures around them.
        let call = Box::pin(tokio::time::timeout(limit, call));
        async move {
            let answer = if has_answered.load(Ordering::Relaxed) {
                call.await
            } else {
                waits.over(&whom(place), call).await
            };
            let answer = answer.unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(format!("nothing came within {} s", limit.as_secs())))
            })?;
            has_answered.store(true, Ordering::Relaxed);
            Ok(answer.into_inner())
        }
    }

    /// Asks for a lease with this name. Whether it was had, the lease says.
    pub(crate) async fn ask(&self, name: &str, lease: wire::Lease) -> Result<Lease, Status> {
        let request =
            CreateLeaseRequest { parent: self.parent(), lease_id: name.to_owned(), lease: Some(lease) };
        let mut clients = self.clients();
        self.answer(ANSWER, clients.create_lease(self.request(request))).await.map(Lease::from)
    }

    pub(crate) async fn look(&self, name: &str, limit: Duration) -> Result<Lease, Status> {
        let request = self.request(GetLeaseRequest { name: self.full("leases", name) });
        let mut clients = self.clients();
        self.answer(limit, clients.get_lease(request)).await.map(Lease::from)
    }

    pub(crate) async fn end(&self, name: &str, limit: Duration) -> Result<(), Status> {
        let request = self.request(DeleteLeaseRequest { name: self.full("leases", name) });
        let mut clients = self.clients();
        self.answer(limit, clients.delete_lease(request)).await
    }

    pub(crate) async fn dial(&self, lease: &str, limit: Duration) -> Result<DialResponse, Status> {
        let request = self.request(DialRequest { lease_name: lease.to_owned() });
        let mut controller = ControllerServiceClient::new(self.0.channel.clone());
        self.answer(limit, controller.dial(request)).await
    }

    /// Asks for a lease and does not wait for it. An empty name lets the controller choose one.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn create_lease(&self, name: &str, lease: wire::Lease) -> Result<Lease> {
        self.ask(name, lease).await.map_err(|status| self.error(&status))
    }

    /// Looks at a lease.
    ///
    /// # Errors
    /// When there is none of this name, or no answer.
    pub async fn lease(&self, name: &str) -> Result<Lease> {
        self.look(name, ANSWER).await.map_err(|status| self.error(&status))
    }

    /// Changes a lease: what is set in `changes`. `to` hands it to another client.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn update_lease(&self, name: &str, changes: Changes) -> Result<Lease> {
        let Changes { begin, duration, to, left } = changes;
        let mut paths = Vec::new();
        let mut named = |set: bool, path: &str| {
            if set {
                paths.push(path.to_owned());
            }
        };
        named(duration.is_some(), "duration");
        named(begin.is_some(), "begin_time");
        named(to.is_some(), "client");
        named(left, "held");
        let lease = wire::Lease {
            name: self.full("leases", name),
            duration: duration.map(crate::lease::to_duration),
            begin_time: begin.map(crate::lease::to_time),
            client: to.map(|client| self.full("clients", &client)),
            held: left.then_some(false),
            ..wire::Lease::default()
        };
        let update_mask = Some(prost_types::FieldMask { paths });
        let request = self.request(UpdateLeaseRequest { lease: Some(lease), update_mask });
        let mut clients = self.clients();
        let changed = self.answer(ANSWER, clients.update_lease(request)).await;
        changed.map(Lease::from).map_err(|status| words::of_lease(&status, &self.0.place, name, "changed"))
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// When there is none of this name, it is somebody else's, or it is over.
    pub async fn delete_lease(&self, name: &str) -> Result<()> {
        let ended = self.end(name, ANSWER).await;
        ended.map_err(|status| words::of_lease(&status, &self.0.place, name, "ended"))
    }

    /// All leases of the namespace that are wanted, whoever has them.
    ///
    /// # Errors
    /// When a selector makes no sense, or there is no answer.
    pub async fn leases(&self, wanted: &Leases) -> Result<Vec<Lease>> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(ListLeasesRequest {
                parent: self.parent(),
                page_size: wanted.page,
                page_token,
                filter: wanted.selector.clone(),
                only_active: wanted.all.then_some(false),
                tag_filter: wanted.tags.clone(),
            });
            let mut clients = self.clients();
            let page = self
                .answer(ANSWER, clients.list_leases(request))
                .await
                .map_err(|status| self.error(&status))?;
            found.extend(page.leases.into_iter().map(Lease::from));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// All exporters of the namespace that are wanted, those that are away or disabled included.
    ///
    /// # Errors
    /// When the selector makes no sense, or there is no answer.
    pub async fn exporters(&self, wanted: &Exporters) -> Result<Vec<wire::Exporter>> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(ListExportersRequest {
                parent: self.parent(),
                page_size: wanted.page,
                page_token,
                filter: wanted.selector.clone(),
                show_hidden_labels: wanted.hidden_labels,
            });
            let mut clients = self.clients();
            let page = self
                .answer(ANSWER, clients.list_exporters(request))
                .await
                .map_err(|status| self.error(&status))?;
            found.extend(page.exporters);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// A new token in place of the one that this client has. The old one is good for as long as it would have been.
    ///
    /// # Errors
    /// When the lab gives this client no tokens, or there is no answer.
    pub async fn rotate_token(&self) -> Result<Secret> {
        let request = self.request(RotateTokenRequest { parent: self.parent() });
        let mut clients = self.clients();
        let given = self.answer(ANSWER, clients.rotate_token(request)).await;
        let token = given.map_err(|status| self.error(&status))?.token;
        if token.is_empty() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the controller at {} gave an empty token", self.0.place),
            ));
        }
        Ok(Secret::new(token))
    }

    /// Looks at one exporter.
    ///
    /// # Errors
    /// When there is none of this name, or no answer.
    pub async fn exporter(&self, name: &str) -> Result<wire::Exporter> {
        let request = self
            .request(GetExporterRequest { name: self.full("exporters", name), show_hidden_labels: false });
        let mut clients = self.clients();
        self.answer(ANSWER, clients.get_exporter(request)).await.map_err(|status| self.error(&status))
    }
}

/// What is to become of a lease. What is not set stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// When it is to begin.
    pub begin: Option<jiff::Timestamp>,
    /// How long it is to last, from its begin.
    pub duration: Option<Duration>,
    /// Whose it is to be.
    pub to: Option<String>,
    /// Nobody holds it any more, and it lasts to its end all the same. Controllers that know no holders take no notice.
    pub left: bool,
}

/// Who answers, as messages say it.
fn whom(place: &str) -> String {
    format!("the controller at {place}")
}

/// The last part of a full name.
pub fn short(full: &str) -> &str {
    full.rsplit('/').next().unwrap_or_default()
}

/// Whether an error means that something between here and the exporter is away, and may come back.
pub fn is_away(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Timeout)
}

/// Reads where a router is, as a controller says it.
pub(crate) fn router(text: &str) -> Result<Endpoint> {
    crate::config::place(text).map_err(|error| {
        error.context("the controller named a router that cannot be").with_kind(ErrorKind::Internal)
    })
}
