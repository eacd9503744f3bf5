//! `ClientService`: exporters and leases, as clients see them.

use std::{collections::BTreeMap, sync::Arc};

use jumpstarter_api::{Client, Exporter, Lease, ResourceExt as _, labels};
use jumpstarter_core::selector::{Requirement, Selector};
use jumpstarter_identity::{Fetch, Https};
use jumpstarter_leasing::requests::{self, Changes};
use jumpstarter_protocol::client::v1::{
    self as client, CreateLeaseRequest, DeleteLeaseRequest, GetExporterRequest, GetLeaseRequest,
    ListExportersRequest, ListExportersResponse, ListLeasesRequest, ListLeasesResponse, RotateTokenRequest,
    RotateTokenResponse, UpdateLeaseRequest, client_service_server::ClientService,
};
use jumpstarter_store::{Durability, Store};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    Callers, Lab,
    exporters::{active, refused},
    journal, names, wire,
};

/// What a lab decides about leases and labels.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How many tags a lease may have.
    pub most_tags: usize,
    /// Keys of exporters' labels that are not shown.
    pub hidden: Vec<String>,
    /// Keys of labels that will go away, and what to use instead.
    pub deprecated: BTreeMap<String, String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { most_tags: labels::MOST_TAGS, hidden: Vec::new(), deprecated: BTreeMap::new() }
    }
}

/// The service.
pub struct Clients<S, F = Https> {
    lab: Lab<S>,
    callers: Callers<S, F>,
    policy: Arc<Policy>,
}

impl<S, F> std::fmt::Debug for Clients<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("lab", &self.lab).finish_non_exhaustive()
    }
}

fn selector(text: &str) -> Result<Selector, Status> {
    text.parse().map_err(|error: jumpstarter_core::Error| Status::unknown(error.message()))
}

/// A selector of tags as one of labels.
fn of_tags(text: &str) -> Result<Selector, Status> {
    let wrong = |error: jumpstarter_core::Error| {
        Status::invalid_argument(format!("invalid tag_filter: {}", error.message()))
    };
    let tags: Selector = text.parse().map_err(wrong)?;
    let key = |key: &String| format!("{}{key}", labels::TAG_PREFIX);
    let equal = tags.equal().iter().map(|(tag, value)| (key(tag), value.clone())).collect();
    let others = tags.others().iter().map(|(tag, requirement)| (key(tag), requirement.clone())).collect();
    Selector::from_parts(equal, others).map_err(wrong)
}

/// Both must hold.
fn both(one: &Selector, other: &Selector) -> Result<Selector, Status> {
    let mut equal = one.equal().clone();
    let mut others: Vec<(String, Requirement)> = one.others().to_vec();
    for (key, value) in other.equal() {
        if equal.get(key).is_some_and(|known| known != value) {
            // Nothing has two values: as a requirement it stays, and selects nothing.
            others.push((key.clone(), Requirement::In([value.clone()].into())));
        } else {
            equal.insert(key.clone(), value.clone());
        }
    }
    others.extend(other.others().iter().cloned());
    Selector::from_parts(equal, others).map_err(|error| Status::unknown(error.message()))
}

fn page(size: i32) -> usize {
    usize::try_from(size).unwrap_or(0)
}

impl<S: Store, F: Fetch> Clients<S, F> {
    /// For this lab.
    pub fn new(lab: Lab<S>, callers: Callers<S, F>, policy: Policy) -> Self {
        Self { lab, callers, policy: Arc::new(policy) }
    }

    fn lease(&self, lease: &Lease) -> client::Lease {
        let conditions = self.lab.conditions(lease);
        let mut shown = wire::lease(self.lab.namespace(), lease, &conditions, self.lab.now());
        let selector = &lease.spec.selector;
        let keys =
            selector.match_labels.keys().chain(selector.match_expressions.iter().map(|part| &part.key));
        for key in keys {
            if let Some(instead) = self.policy.deprecated.get(key) {
                shown.deprecated_labels.insert(key.clone(), instead.clone());
            }
        }
        shown
    }

    fn exporter(&self, exporter: &Exporter, all: bool) -> client::Exporter {
        let Policy { hidden, deprecated, .. } = &*self.policy;
        let mut shown = wire::exporter(self.lab.namespace(), exporter);
        let old = shown.labels.keys().filter_map(|key| Some((key.clone(), deprecated.get(key)?.clone())));
        shown.deprecated_labels = old.collect();
        if !all {
            shown.labels.retain(|key, _| !hidden.contains(key) && !deprecated.contains_key(key));
        }
        shown
    }
}

#[tonic::async_trait]
impl<S: Store, F: Fetch> ClientService for Clients<S, F> {
    async fn get_exporter(
        &self,
        request: Request<GetExporterRequest>,
    ) -> Result<Response<client::Exporter>, Status> {
        let (namespace, name) = names::of(&request.get_ref().name, "exporters")?;
        self.callers.client_of(&request, namespace).await?;
        let exporter: Exporter = self.lab.get(name).await?;
        Ok(Response::new(self.exporter(&exporter, request.get_ref().show_hidden_labels)))
    }

    async fn list_exporters(
        &self,
        request: Request<ListExportersRequest>,
    ) -> Result<Response<ListExportersResponse>, Status> {
        self.callers.client_of(&request, names::parent(&request.get_ref().parent)?).await?;
        let ListExportersRequest { page_size, page_token, filter, show_hidden_labels, .. } =
            request.into_inner();
        let (exporters, next_page_token) =
            self.lab.list::<Exporter>(selector(&filter)?, page(page_size), &page_token).await?;
        let exporters =
            exporters.iter().map(|exporter| self.exporter(exporter, show_hidden_labels)).collect();
        Ok(Response::new(ListExportersResponse { exporters, next_page_token }))
    }

    async fn get_lease(&self, request: Request<GetLeaseRequest>) -> Result<Response<client::Lease>, Status> {
        let (namespace, name) = names::of(&request.get_ref().name, "leases")?;
        let caller = self.callers.client_of(&request, namespace).await?.name_any();
        let lease: Lease = self.lab.get(name).await?;
        self.lab.asked_about(&lease, &caller);
        Ok(Response::new(self.lease(&lease)))
    }

    async fn list_leases(
        &self,
        request: Request<ListLeasesRequest>,
    ) -> Result<Response<ListLeasesResponse>, Status> {
        self.callers.client_of(&request, names::parent(&request.get_ref().parent)?).await?;
        let ListLeasesRequest { page_size, page_token, filter, only_active, tag_filter, .. } =
            request.into_inner();
        let mut wanted = both(&selector(&filter)?, &of_tags(&tag_filter)?)?;
        if only_active.unwrap_or(true) {
            wanted = both(&wanted, &active())?;
        }
        let (leases, next_page_token) = self.lab.list::<Lease>(wanted, page(page_size), &page_token).await?;
        let leases = leases.iter().map(|lease| self.lease(lease)).collect();
        Ok(Response::new(ListLeasesResponse { leases, next_page_token }))
    }

    async fn create_lease(
        &self,
        request: Request<CreateLeaseRequest>,
    ) -> Result<Response<client::Lease>, Status> {
        let CreateLeaseRequest { parent, lease_id, lease } = request.get_ref().clone();
        let lease = lease.ok_or_else(|| Status::invalid_argument("lease is required"))?;
        if lease.selector.is_empty() && lease.exporter_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Status::invalid_argument("one of selector or exporter_name is required"));
        }
        let tags = lease.tags.clone().into_iter().collect();
        labels::check_tags(&tags, self.policy.most_tags)
            .map_err(|error| Status::invalid_argument(error.message()))?;
        let client: Client = self.callers.client_of(&request, names::parent(&parent)?).await?;
        let name = if lease_id.is_empty() { Uuid::now_v7().to_string() } else { lease_id };
        let lease = requests::create(&name, &client.name_any(), wire::wanted(lease)?, self.policy.most_tags)
            .map_err(refused)?;
        self.lab.create(&lease).await?;
        journal::requested(&lease);
        // An exporter that is free is the client's when this answers: it need not ask again.
        let lease = self.lab.decided(&name).await?;
        Ok(Response::new(self.lease(&lease)))
    }

    async fn update_lease(
        &self,
        request: Request<UpdateLeaseRequest>,
    ) -> Result<Response<client::Lease>, Status> {
        let asked = request.get_ref().lease.clone().unwrap_or_default();
        let (namespace, name) = names::of(&asked.name, "leases")?;
        let caller = self.callers.client_of(&request, namespace).await?.name_any();
        // Whose it is comes before what is wanted of it.
        requests::update(&self.lab.get(name).await?, &caller, Changes::default()).map_err(refused)?;
        let times = wire::times(&asked)?;
        let to = asked.client.as_deref().filter(|client| !client.is_empty());
        let to = to.map(|to| names::of(to, "clients")).transpose()?;
        if to.is_some_and(|(there, _)| there != namespace) {
            return Err(Status::unknown("cannot transfer lease to client in different namespace"));
        }
        let to = match to {
            None => None,
            Some((_, client)) => Some((client, self.lab.find::<Client>(client).await?.is_some())),
        };
        let left = asked.held == Some(false);
        let changes =
            Changes { begin: times.begin, duration: times.duration, end: times.end, client: to, left };
        let lease = self
            .lab
            .change::<Lease>(name, Durability::Now, |lease| {
                requests::update(lease, &caller, changes).map(Some).map_err(refused)
            })
            .await?;
        self.lab.asked_about(&lease, &caller);
        if to.is_some() && lease.spec.client_ref.name != caller {
            journal::transferred(&lease, &caller);
        }
        Ok(Response::new(self.lease(&lease)))
    }

    async fn delete_lease(&self, request: Request<DeleteLeaseRequest>) -> Result<Response<()>, Status> {
        let full = request.get_ref().name.clone();
        let (namespace, name) = names::of(&full, "leases")?;
        let caller = self.callers.client_of(&request, namespace).await?.name_any();
        let released = self
            .lab
            .change::<Lease>(name, Durability::Now, |lease| {
                requests::delete(lease, &caller, &full).map(Some).map_err(refused)
            })
            .await?;
        journal::released(&released, "client");
        // Whoever looks at it when this has answered finds it ended.
        self.lab.ended(name).await?;
        Ok(Response::new(()))
    }

    async fn rotate_token(
        &self,
        request: Request<RotateTokenRequest>,
    ) -> Result<Response<RotateTokenResponse>, Status> {
        let namespace = names::parent(&request.get_ref().parent)?;
        let client = self.callers.client_of(&request, namespace).await?;
        let issued = self.callers.issue(&client)?;
        tracing::info!(client = client.name_any(), "a client has a new token");
        Ok(Response::new(RotateTokenResponse {
            token: issued.token.expose().to_owned(),
            expiry: Some(wire::time(issued.expires)),
        }))
    }
}
