//! `ControllerService`: what exporters ask, and clients that hold a lease.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::stream::{self, BoxStream, StreamExt as _};
use jumpstarter_api::{
    Client, Device, Exporter, ExporterState, ExporterStatus, Lease, LeaseSpec, ObjectMeta, Reference,
    ResourceExt, condition,
    exporter::{ONLINE, REGISTERED},
    labels,
    time::whole,
};
use jumpstarter_core::selector::{Requirement, Selector};
use jumpstarter_identity::{Fetch, Https, subject::GENERATION};
use jumpstarter_leasing::requests::{self, Refusal};
use jumpstarter_protocol::v1::{
    DialRequest, DialResponse, GetLeaseRequest, GetLeaseResponse, GetServiceEndpointsRequest,
    GetServiceEndpointsResponse, ListLeasesRequest, ListLeasesResponse, ListenRequest, ListenResponse,
    RegisterRequest, RegisterResponse, ReleaseLeaseRequest, ReleaseLeaseResponse, ReportStatusRequest,
    ReportStatusResponse, RequestLeaseRequest, RequestLeaseResponse, StatusRequest, StatusResponse,
    UnregisterRequest, UnregisterResponse, controller_service_server::ControllerService,
};
use jumpstarter_store::{Durability, Store};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{Callers, Lab, Listeners, Routers, journal, lab::Connected, listeners::Listening, wire};

/// How long a dial waits for the exporter to get ready, as upstream has it.
const READY: Duration = Duration::from_secs(30);

/// How long a dial waits for the exporter to listen. Clients try again after that.
const LISTENS: Duration = Duration::from_secs(5);

/// The service.
pub struct Exporters<S, F = Https> {
    lab: Lab<S>,
    callers: Callers<S, F>,
    listeners: Listeners,
    routers: Routers,
    told: Told,
}

impl<S, F> std::fmt::Debug for Exporters<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporters").field("lab", &self.lab).finish_non_exhaustive()
    }
}

/// A refusal with the code that it has on the wire.
pub(crate) fn refused(refusal: Refusal) -> Status {
    let code = match refusal.code {
        requests::Code::Unknown => Code::Unknown,
        requests::Code::InvalidArgument => Code::InvalidArgument,
        requests::Code::FailedPrecondition => Code::FailedPrecondition,
    };
    Status::new(code, refusal.message)
}

/// Registrations and reports that cannot be written down are `INTERNAL`.
fn internal(status: &Status) -> Status {
    tracing::error!(why = status.message(), "what an exporter told could not be written down");
    Status::internal(status.message())
}

impl<S: Store, F: Fetch> Exporters<S, F> {
    /// For this lab.
    pub fn new(lab: Lab<S>, callers: Callers<S, F>, listeners: Listeners, routers: Routers) -> Self {
        Self { lab, callers, listeners, routers, told: Told::default() }
    }

    /// Changes what is so about an exporter.
    async fn tell(
        &self,
        name: &str,
        durability: Durability,
        change: impl Fn(&Exporter, &mut ExporterStatus),
    ) -> Result<Exporter, Status> {
        self.lab
            .change::<Exporter>(name, durability, |exporter| {
                let mut new = exporter.clone();
                change(exporter, new.status.get_or_insert_default());
                Ok(Some(new))
            })
            .await
    }

    /// A lease that a call names.
    async fn named_lease(&self, name: &str) -> Result<Lease, Status> {
        if name.is_empty() {
            return Err(Status::unknown("empty lease name"));
        }
        self.lab.get(name).await
    }

    /// The exporter of a lease that this client may connect to.
    async fn dialled(&self, lease: &str, client: &str) -> Result<String, Status> {
        let held = self.named_lease(lease).await?;
        if held.spec.client_ref.name != client {
            return Err(Status::unknown("permission denied"));
        }
        self.lab.asked_about(&held, client);
        let exporter = held.exporter().ok_or_else(|| Status::unknown("lease not active"))?;
        if held.is_ended() {
            // Nobody will listen any more, so there is nothing to wait for.
            return Err(Status::failed_precondition(format!("lease {lease} has ended")));
        }
        Ok(exporter.to_owned())
    }

    /// Waits until an exporter may be connected to, or will not be.
    async fn ready(&self, name: &str) -> Result<Exporter, Status> {
        let mut changes = self.lab.changes::<Exporter>(name);
        let mut over = self.lab.clock().sleep(READY);
        loop {
            let exporter: Exporter = self.lab.get(name).await?;
            let refuse = |why: &str| Err(Status::failed_precondition(why));
            match exporter.state() {
                None
                | Some(
                    ExporterState::Unspecified
                    | ExporterState::LeaseReady
                    | ExporterState::BeforeLeaseHook
                    | ExporterState::AfterLeaseHook,
                ) => return Ok(exporter),
                Some(ExporterState::Offline) => return refuse("exporter is offline"),
                Some(ExporterState::BeforeLeaseHookFailed) => {
                    return refuse("exporter beforeLease hook failed");
                }
                Some(ExporterState::AfterLeaseHookFailed) => {
                    return refuse("exporter afterLease hook failed");
                }
                Some(ExporterState::Available) => {
                    tokio::select! {
                        biased;
                        _ = changes.changed() => {}
                        () = &mut over => return refuse("exporter is not ready (status: Available)"),
                    }
                }
            }
        }
    }

    async fn release(
        &self,
        name: &str,
        by: &str,
        decide: impl Fn(&Lease) -> Result<Option<Lease>, Refusal>,
    ) -> Result<(), Status> {
        let decide = |lease: &Lease| decide(lease).map_err(refused);
        let released = self.lab.change::<Lease>(name, Durability::Now, decide).await?;
        journal::released(&released, by);
        Ok(())
    }
}

/// Which exporter somebody was when he was believed. Calls that go on for days are only his for as long as he still is.
struct Proven {
    name: String,
    uid: Option<String>,
    generation: Option<String>,
}

impl Proven {
    fn of(exporter: &Exporter) -> Self {
        let generation = exporter.annotations().get(GENERATION).cloned();
        Self { name: exporter.name_any(), uid: exporter.metadata.uid.clone(), generation }
    }

    /// The exporter as it is now.
    async fn now<S: Store>(&self, lab: &Lab<S>) -> Result<Exporter, Status> {
        let exporter: Exporter = lab.get(&self.name).await?;
        let Self { name, uid, generation } = Self::of(&exporter);
        if (&uid, &generation) != (&self.uid, &self.generation) {
            let namespace = lab.namespace();
            return Err(Status::permission_denied(format!(
                "permission denied for exporter {namespace}/{name}: the token of this call has been replaced"
            )));
        }
        Ok(exporter)
    }
}

/// What an exporter is told about its lease.
async fn leased<S: Store>(lab: &Lab<S>, exporter: &Exporter) -> Result<StatusResponse, Status> {
    let lease = Reference::name(exporter.status.as_ref().and_then(|status| status.lease_ref.as_ref()));
    let Some(lease) = lease else { return Ok(StatusResponse::default()) };
    let lease: Lease = lab.get(lease).await?;
    Ok(StatusResponse {
        leased: true,
        lease_name: Some(lease.name_any()),
        client_name: Some(lease.spec.client_ref.name.clone()),
        context: lease.spec.context.into_iter().collect(),
    })
}

/// What exporters were last told, also on streams that are over: the lease that each has, or that it has none. One that this
/// lab has told nothing yet may know of any. Clones share it.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<HashMap<String, Option<String>>>>);

impl Told {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease that an exporter believes it has, as far as that is known.
    fn lease(&self, exporter: &str) -> Option<String> {
        self.all().get(exporter).cloned().flatten()
    }

    /// Whether what an exporter says of its lease can be meant for this one.
    fn may_mean(&self, exporter: &str, lease: &str) -> bool {
        self.all().get(exporter).is_none_or(|told| told.as_deref() == Some(lease))
    }

    fn put(&self, exporter: &str, state: &StatusResponse) {
        self.all().insert(exporter.to_owned(), state.lease_name.clone().filter(|_| state.leased));
    }

    /// It is gone for good.
    fn forget(&self, exporter: &str) {
        self.all().remove(exporter);
    }
}

/// A status stream. As long as it is open, the exporter is there: HTTP/2 finds out when nobody is at its other end.
struct Watching<S: Store> {
    lab: Lab<S>,
    exporter: Proven,
    changes: watch::Receiver<u64>,
    _connected: Connected<S>,
    told: Option<StatusResponse>,
    ever_told: Told,
    over: bool,
}

impl<S: Store> Watching<S> {
    async fn next(mut self) -> Option<(Result<StatusResponse, Status>, Self)> {
        if self.over {
            return None;
        }
        loop {
            let before = match &self.told {
                Some(told) => told.lease_name.clone(),
                // Whoever comes back may still be with a lease that ended meanwhile.
                None => self.ever_told.lease(&self.exporter.name),
            };
            match state(&self.lab, &self.exporter, before.as_deref()).await {
                Ok(state) if self.told.as_ref() == Some(&state) => {}
                Ok(state) => {
                    self.ever_told.put(&self.exporter.name, &state);
                    self.told = Some(state.clone());
                    return Some((Ok(state), self));
                }
                Err(status) => {
                    self.ever_told.forget(&self.exporter.name);
                    self.over = true;
                    return Some((Err(status), self));
                }
            }
            self.changes.changed().await.ok()?;
        }
    }
}

/// What an exporter is to be told next, who believes that it has a lease, or none.
async fn state<S: Store>(
    lab: &Lab<S>,
    exporter: &Proven,
    before: Option<&str>,
) -> Result<StatusResponse, Status> {
    let exporter = exporter.now(lab).await?;
    let state = leased(lab, &exporter).await?;
    // It may have been free for a moment that this did not see. An exporter that is not told so stays with the lease that is
    // over.
    let another = before.is_some() && state.leased && state.lease_name.as_deref() != before;
    Ok(if another { StatusResponse::default() } else { state })
}

/// A stream of tunnels.
struct Tunnels<S> {
    lab: Lab<S>,
    exporter: Proven,
    changes: watch::Receiver<u64>,
    listening: Option<Listening>,
}

impl<S: Store> Tunnels<S> {
    async fn next(mut self) -> Option<(Result<ListenResponse, Status>, Self)> {
        loop {
            let listening = self.listening.as_mut()?;
            tokio::select! {
                tunnel = listening.next() => return tunnel.map(|tunnel| (Ok(tunnel), self)),
                changed = self.changes.changed() => {
                    changed.ok()?;
                    if let Err(status) = self.exporter.now(&self.lab).await {
                        self.listening = None;
                        return Some((Err(status), self));
                    }
                }
            }
        }
    }
}

#[tonic::async_trait]
impl<S: Store, F: Fetch> ControllerService for Exporters<S, F> {
    type ListenStream = BoxStream<'static, Result<ListenResponse, Status>>;
    type StatusStream = BoxStream<'static, Result<StatusResponse, Status>>;

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let exporter = self.callers.exporter(&request).await?;
        let RegisterRequest { labels: told, reports } = request.into_inner();
        let told: BTreeMap<_, _> = told.into_iter().collect();
        let devices: Vec<_> = reports
            .into_iter()
            .map(|report| Device {
                uuid: report.uuid,
                parent_uuid: report.parent_uuid,
                labels: report.labels.into_iter().collect(),
            })
            .collect();
        let name = exporter.name_any();
        let registered = self
            .lab
            .change::<Exporter>(&name, Durability::Now, |exporter| {
                let mut new = exporter.clone();
                new.metadata.labels = Some(labels::of_exporter(exporter.labels(), &told));
                new.status.get_or_insert_default().devices.clone_from(&devices);
                Ok(Some(new))
            })
            .await
            .map_err(|status| internal(&status))?;
        self.lab.seen(&name);
        tracing::info!(exporter = name, devices = devices.len(), "an exporter has registered");
        Ok(Response::new(RegisterResponse { uuid: registered.metadata.uid.unwrap_or_default() }))
    }

    async fn unregister(
        &self,
        request: Request<UnregisterRequest>,
    ) -> Result<Response<UnregisterResponse>, Status> {
        let exporter = self.callers.exporter(&request).await?;
        let reason = Some(request.into_inner().reason).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| "Exporter unregistered".to_owned());
        let now = self.lab.now();
        self.tell(&exporter.name_any(), Durability::Now, |exporter, status| {
            let generation = exporter.metadata.generation;
            status.devices.clear();
            status.exporter_status = Some(ExporterState::Offline);
            status.status_message = Some(reason.clone());
            condition::set(&mut status.conditions, ONLINE, false, "Offline", &reason, generation, now);
            condition::set(&mut status.conditions, REGISTERED, false, "Unregister", &reason, generation, now);
        })
        .await
        .map_err(|status| internal(&status))?;
        tracing::info!(exporter = exporter.name_any(), reason, "an exporter has gone");
        Ok(Response::new(UnregisterResponse {}))
    }

    async fn report_status(
        &self,
        request: Request<ReportStatusRequest>,
    ) -> Result<Response<ReportStatusResponse>, Status> {
        let exporter = self.callers.exporter(&request).await?;
        let name = exporter.name_any();
        let ReportStatusRequest { status: number, message, release_lease } = request.into_inner();
        let state = ExporterState::from_wire(number);
        let message = message.filter(|message| !message.is_empty());
        let now = self.lab.now();
        let told = self
            .tell(&name, Durability::Now, |exporter, status| {
                status.exporter_status = Some(state);
                status.status_message.clone_from(&message);
                status.last_seen = Some(whole(now));
                let online = !matches!(state, ExporterState::Offline | ExporterState::Unspecified);
                let reason = if online { "StatusReported" } else { "Offline" };
                let words = message.as_deref().unwrap_or_default();
                let generation = exporter.metadata.generation;
                condition::set(&mut status.conditions, ONLINE, online, reason, words, generation, now);
            })
            .await
            .map_err(|status| internal(&status))?;
        self.lab.seen(&name);
        tracing::debug!(exporter = name, state = state.name(), "an exporter says what it does");
        let lease = Reference::name(told.status.as_ref().and_then(|status| status.lease_ref.as_ref()));
        if let (Some(true), Some(lease)) = (release_lease, lease) {
            // The call does not say which lease it is about. One that comes late is about the one before.
            if !self.told.may_mean(&name, lease) {
                tracing::warn!(
                    exporter = name,
                    lease,
                    "an exporter gives back a lease that it has not heard of"
                );
            // What it has told counts all the same.
            } else if let Err(status) =
                self.release(lease, "exporter", |lease| requests::give_back(lease, &name)).await
            {
                tracing::warn!(
                    exporter = name,
                    lease,
                    why = status.message(),
                    "a lease could not be given back"
                );
            }
        }
        Ok(Response::new(ReportStatusResponse {}))
    }

    async fn listen(&self, request: Request<ListenRequest>) -> Result<Response<Self::ListenStream>, Status> {
        let exporter = self.callers.exporter(&request).await?;
        let name = request.into_inner().lease_name;
        let lease = self.named_lease(&name).await?;
        if lease.exporter() != Some(&*exporter.name_any()) {
            return Err(Status::unknown("permission denied"));
        }
        let tunnels = Tunnels {
            lab: self.lab.clone(),
            changes: self.lab.changes::<Exporter>(&exporter.name_any()),
            exporter: Proven::of(&exporter),
            listening: Some(self.listeners.listen(&name)),
        };
        Ok(Response::new(stream::unfold(tunnels, Tunnels::next).boxed()))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let exporter = self.callers.exporter(&request).await?;
        let name = exporter.name_any();
        let changes = self.lab.changes::<Exporter>(&name);
        self.lab.seen(&name);
        let now = self.lab.now();
        let back = exporter.state() == Some(ExporterState::Offline);
        let durability = if back { Durability::Now } else { Durability::Soon };
        let told = self.tell(&name, durability, |_, status| {
            status.last_seen = Some(whole(now));
            // Exporters from before there were states cannot take it back themselves.
            if status.exporter_status == Some(ExporterState::Offline) {
                status.exporter_status = None;
                status.status_message = None;
            }
        });
        if let Err(status) = told.await {
            tracing::warn!(
                exporter = name,
                why = status.message(),
                "a sign of life could not be written down"
            );
        }
        let watching = Watching {
            lab: self.lab.clone(),
            exporter: Proven::of(&exporter),
            changes,
            _connected: self.lab.connected(&name),
            told: None,
            ever_told: self.told.clone(),
            over: false,
        };
        Ok(Response::new(stream::unfold(watching, Watching::next).boxed()))
    }

    async fn dial(&self, request: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        let client: Client = self.callers.client(&request).await?;
        let name = request.into_inner().lease_name;
        let client = client.name_any();
        let exporter = self.dialled(&name, &client).await?;
        let exporter = self.ready(&exporter).await?;
        let tunnel = self.routers.tunnel(exporter.labels(), &name, self.lab.handed())?;
        // Much may have happened while it waited. After the tunnel was counted, so that it does not count for ever: a lease
        // that ends from now on takes it along.
        self.dialled(&name, &client).await?;
        self.listeners.deliver(&name, tunnel.ends.clone(), LISTENS).await?;
        let ListenResponse { router_endpoint, router_token } = tunnel.delivered();
        tracing::debug!(
            lease = name,
            client,
            exporter = exporter.name_any(),
            router = router_endpoint,
            "a tunnel is handed out"
        );
        Ok(Response::new(DialResponse { router_endpoint, router_token }))
    }

    async fn get_lease(
        &self,
        request: Request<GetLeaseRequest>,
    ) -> Result<Response<GetLeaseResponse>, Status> {
        let client = self.callers.client(&request).await?;
        let lease: Lease = self.lab.get(&request.into_inner().name).await?;
        if lease.spec.client_ref.name != client.name_any() {
            return Err(Status::unknown("GetLease permission denied"));
        }
        self.lab.asked_about(&lease, &client.name_any());
        let status = lease.status.as_ref();
        let exporter_uuid = match lease.exporter() {
            None => None,
            Some(name) => {
                let exporter = self.lab.find::<Exporter>(name).await?;
                let found = exporter.ok_or_else(|| Status::unknown("GetLease fetch exporter uuid failed"))?;
                found.metadata.uid
            }
        };
        let time = |of: Option<&jumpstarter_api::Time>| of.map(|time| wire::time(time.0));
        Ok(Response::new(GetLeaseResponse {
            duration: lease.spec.duration.map(|duration| wire::duration(duration.signed())),
            selector: Some(wire::selector(&lease.spec.selector)),
            begin_time: time(status.and_then(|status| status.begin_time.as_ref())),
            end_time: time(status.and_then(|status| status.end_time.as_ref())),
            exporter_uuid,
            conditions: self.lab.conditions(&lease).iter().map(wire::condition).collect(),
        }))
    }

    async fn request_lease(
        &self,
        request: Request<RequestLeaseRequest>,
    ) -> Result<Response<RequestLeaseResponse>, Status> {
        let client = self.callers.client(&request).await?;
        let RequestLeaseRequest { duration, selector } = request.into_inner();
        let name = Uuid::now_v7().to_string();
        let lease = Lease {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            spec: LeaseSpec {
                client_ref: Reference::to(client.name_any()),
                selector: wire::from_selector(selector.unwrap_or_default()),
                duration: duration.as_ref().map(|of| wire::length(of).into()),
                ..LeaseSpec::default()
            },
            status: None,
        };
        self.lab.create(&lease).await?;
        journal::requested(&lease);
        self.lab.decided(&name).await?;
        Ok(Response::new(RequestLeaseResponse { name }))
    }

    async fn release_lease(
        &self,
        request: Request<ReleaseLeaseRequest>,
    ) -> Result<Response<ReleaseLeaseResponse>, Status> {
        if Callers::<S, F>::is_exporter(&request) {
            let exporter = self.callers.exporter(&request).await?.name_any();
            let name = request.into_inner().name;
            // The word for a lease that is gone is another one here than elsewhere.
            if self.lab.find::<Lease>(&name).await?.is_none() {
                return Err(Status::not_found(format!("lease \"{name}\" not found")));
            }
            self.release(&name, "exporter", |lease| requests::give_back(lease, &exporter)).await?;
        } else {
            let client = self.callers.client(&request).await?.name_any();
            let name = request.into_inner().name;
            self.release(&name, "client", |lease| requests::release(lease, &client)).await?;
        }
        Ok(Response::new(ReleaseLeaseResponse {}))
    }

    async fn list_leases(
        &self,
        request: Request<ListLeasesRequest>,
    ) -> Result<Response<ListLeasesResponse>, Status> {
        let client = self.callers.client(&request).await?.name_any();
        let (leases, _) = self.lab.list::<Lease>(active(), 0, "").await?;
        let own = leases.iter().filter(|lease| lease.spec.client_ref.name == client);
        Ok(Response::new(ListLeasesResponse { names: own.map(ResourceExt::name_any).collect() }))
    }

    async fn get_service_endpoints(
        &self,
        request: Request<GetServiceEndpointsRequest>,
    ) -> Result<Response<GetServiceEndpointsResponse>, Status> {
        self.callers.exporter(&request).await?;
        // There is no telemetry here.
        Ok(Response::new(GetServiceEndpointsResponse::default()))
    }
}

/// Leases that are not over.
pub(crate) fn active() -> Selector {
    let ended = vec![(labels::LEASE_ENDED.to_owned(), Requirement::Absent)];
    // The key is a key.
    Selector::from_parts(BTreeMap::new(), ended).unwrap_or_default()
}
