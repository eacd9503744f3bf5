//! What an administrator asks.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jumpstarter_api::{
    Client, ClientStatus, CustomResourceExt, Exporter, ExporterAccessPolicy, ExporterStatus, Lease,
    Reference, Resource, ResourceExt as _, validation,
};
use jumpstarter_core::selector::Selector;
use jumpstarter_identity::{Fetch, Holder, subject::GENERATION};
use jumpstarter_protocol::admin::v1::{
    BackupRequest, CreateRequest, Credential, DeleteRequest, GetRequest, IssueRequest, Key, ListRequest,
    ListResponse, Object, admin_service_server::AdminService,
};
use jumpstarter_service::{
    Callers, Lab,
    caller::Acting,
    journal, lab,
    stored::{self, Stored},
    wire,
};
use jumpstarter_store::{Durability, Engine, Query, Store as _, StoreError};
use serde::Serialize;
use serde_json::Value;
use tonic::{Request, Response, Status, service::Interceptor};

/// How whoever gets a token finds the lab.
#[derive(Clone, Debug)]
pub struct Place {
    /// `HOST:PORT`.
    pub endpoint: String,
    /// Whom its certificate is by, PEM; empty if it needs no introduction.
    pub authority: String,
}

/// Lets in whoever shows the administrator's token.
#[derive(Clone, Debug)]
pub struct Owner(PathBuf);

impl Owner {
    /// The token is what this file holds when somebody calls, without the line break at its end; so it can be changed without a
    /// restart.
    pub fn of(file: PathBuf) -> Self {
        Self(file)
    }

    fn is(&self, given: &[u8]) -> bool {
        let Ok(token) = std::fs::read(&self.0) else { return false };
        let token = token.trim_ascii();
        // Takes as long for every token of this length.
        !token.is_empty()
            && token.len() == given.len()
            && token.iter().zip(given).fold(0, |different, (a, b)| different | (a ^ b)) == 0
    }
}

impl Interceptor for Owner {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let mut given = request.metadata().get_all("authorization").iter();
        let is = match (given.next(), given.next()) {
            (Some(one), None) => {
                one.as_encoded_bytes().strip_prefix(b"Bearer ").is_some_and(|token| self.is(token))
            }
            _ => false,
        };
        if is {
            return Ok(request);
        }
        tracing::warn!("administrator authentication failed");
        Err(Status::unauthenticated(
            "this is not the administrator's token: it is in `admin.token` in the lab's folder",
        ))
    }
}

/// The service. Whoever can call it may do everything.
pub struct Admin<F> {
    lab: Lab<Arc<Engine>>,
    callers: Callers<Arc<Engine>, F>,
    place: Place,
}

impl<F> Clone for Admin<F> {
    fn clone(&self) -> Self {
        Self { lab: self.lab.clone(), callers: self.callers.clone(), place: self.place.clone() }
    }
}

impl<F> std::fmt::Debug for Admin<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("place", &self.place).finish_non_exhaustive()
    }
}

const KINDS: [&str; 4] = [Client::KIND, Exporter::KIND, Lease::KIND, ExporterAccessPolicy::KIND];

fn bad(what: impl Into<String>) -> Status {
    Status::invalid_argument(what)
}

fn known(key: Option<Key>) -> Result<Key, Status> {
    let key = key.ok_or_else(|| bad("which object? `key` is missing"))?;
    kind(&key.kind)?;
    Ok(key)
}

fn kind(kind: &str) -> Result<(), Status> {
    if KINDS.contains(&kind) {
        Ok(())
    } else {
        Err(bad(format!("there is no kind `{kind}`: {}", KINDS.join(", "))))
    }
}

impl<F: Fetch> Admin<F> {
    /// For this lab.
    pub fn new(lab: Lab<Arc<Engine>>, callers: Callers<Arc<Engine>, F>, place: Place) -> Self {
        Self { lab, callers, place }
    }

    fn key(&self, key: &Key) -> jumpstarter_store::Key {
        jumpstarter_store::Key::new(&key.kind, self.lab.namespace(), &key.name)
    }

    /// An object as it is now: a lease that waits says for how long about, and at which place.
    fn shown(&self, object: &jumpstarter_store::Object) -> Object {
        let mut json = stored::json(object);
        if object.key.kind == Lease::KIND
            && let Ok(lease) = stored::typed::<Lease>(object)
            && let Ok(Value::Array(conditions)) = serde_json::to_value(self.lab.conditions(&lease))
            && !conditions.is_empty()
        {
            json["status"]["conditions"] = conditions.into();
        }
        Object { json: json.to_string() }
    }

    async fn create_of<K>(&self, value: Value, prepare: impl FnOnce(&mut K)) -> Result<Object, Status>
    where
        K: Stored + Resource<DynamicType = ()> + CustomResourceExt + Serialize,
    {
        let unknown = validation::unknown::<K>(&value);
        if !unknown.is_empty() {
            let unknown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
            return Err(bad(unknown.join("; ")));
        }
        let mut object: K = validation::read(value).map_err(|error| bad(error.to_string()))?;
        if object.name_any().is_empty() {
            return Err(bad("the object has no `metadata.name`"));
        }
        prepare(&mut object);
        // Before the store does, whose words are those of an API server: without a code.
        let key = jumpstarter_store::Key::new(K::KIND, self.lab.namespace(), object.name_any());
        key.check().map_err(|error| bad(error.to_string()))?;
        validation::check_new(&object).map_err(|error| bad(error.to_string()))?;
        Ok(self.shown(&*self.lab.create(&object).await?))
    }

    async fn credential<K>(&self, name: &str, rotate: bool) -> Result<Credential, Status>
    where
        K: Acting + CustomResourceExt + Serialize + Clone,
    {
        let object: K = if rotate {
            self.lab
                .change::<K>(name, Durability::Now, |object| {
                    let mut new = object.clone();
                    let annotations = object.annotations().clone();
                    let holder = Holder {
                        kind: K::ACTS_AS,
                        namespace: "",
                        name: "",
                        uid: "",
                        annotations: &annotations,
                        username: None,
                    };
                    new.annotations_mut().insert(GENERATION.to_owned(), holder.rotated().to_string());
                    Ok(Some(new))
                })
                .await?
        } else {
            self.lab.get(name).await?
        };
        let issued = self.callers.issue(&object)?;
        Ok(Credential {
            token: issued.token.expose().to_owned(),
            expiry: Some(wire::time(issued.expires)),
            endpoint: self.place.endpoint.clone(),
            namespace: self.lab.namespace().to_owned(),
            authority: self.place.authority.clone(),
        })
    }

    /// What has to follow the end of an object. A lease that an exporter has ends by itself, with the reason; those that are over
    /// go with it. What a client has is released.
    async fn after_deletion(&self, key: &Key) -> Result<(), Status> {
        if key.kind != Exporter::KIND && key.kind != Client::KIND {
            return Ok(());
        }
        let (leases, _) = self.lab.list::<Lease>(Selector::everything(), 0, "").await?;
        for lease in leases {
            let name = lease.name_any();
            if key.kind == Exporter::KIND && lease.exporter() == Some(&key.name) && lease.is_ended() {
                let key = stored::key::<Lease>(self.lab.namespace(), &name);
                match self.lab.store().delete(&key, None).await {
                    Ok(_) | Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(lab::status(&error)),
                }
            } else if key.kind == Client::KIND && lease.spec.client_ref.name == key.name && !lease.is_ended()
            {
                let released = self
                    .lab
                    .change::<Lease>(&name, Durability::Now, |lease| {
                        let mut new = lease.clone();
                        new.spec.release = true;
                        Ok(Some(new))
                    })
                    .await;
                // One that is gone meanwhile needs no release.
                if released.is_err() && self.lab.find::<Lease>(&name).await?.is_some() {
                    released?;
                }
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl<F: Fetch> AdminService for Admin<F> {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<Object>, Status> {
        let value: Value = serde_json::from_str(&request.get_ref().json)
            .map_err(|error| bad(format!("the object is not JSON: {error}")))?;
        let of = value["kind"].as_str().unwrap_or_default().to_owned();
        kind(&of)?;
        let endpoint = Some(self.place.endpoint.clone());
        let created = match of.as_str() {
            Client::KIND => {
                // Both in one write: who waits for the one expects the other.
                self.create_of::<Client>(value, |client| {
                    let credential = Some(Reference::to(format!("{}-client", client.name_any())));
                    client.status = Some(ClientStatus { credential, endpoint, ..ClientStatus::default() });
                })
                .await?
            }
            Exporter::KIND => {
                self.create_of::<Exporter>(value, |exporter| {
                    let credential = Some(Reference::to(format!("{}-exporter", exporter.name_any())));
                    exporter.status =
                        Some(ExporterStatus { credential, endpoint, ..ExporterStatus::default() });
                })
                .await?
            }
            Lease::KIND => {
                let mut requested = None;
                let made = self
                    .create_of::<Lease>(value, |lease| {
                        lease.status = None;
                        requested = Some(lease.clone());
                    })
                    .await?;
                requested.iter().for_each(journal::requested);
                made
            }
            _ => self.create_of::<ExporterAccessPolicy>(value, |_| {}).await?,
        };
        Ok(Response::new(created))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Object>, Status> {
        let key = known(request.into_inner().key)?;
        let key = self.key(&key);
        let object = self.lab.store().get(&key).await.map_err(|error| lab::status(&error))?;
        let object = object.ok_or_else(|| lab::status(&StoreError::NotFound(key)))?;
        Ok(Response::new(self.shown(&object)))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let ListRequest { kind: of, selector } = request.into_inner();
        kind(&of)?;
        let selector = selector.parse().map_err(|error: jumpstarter_core::Error| bad(error.message()))?;
        let namespace = Some(self.lab.namespace().to_owned());
        let query = Query { kind: of, namespace, selector, ..Query::default() };
        let page = self.lab.store().list(&query).await.map_err(|error| lab::status(&error))?;
        Ok(Response::new(ListResponse {
            objects: page.items.iter().map(|object| self.shown(object)).collect(),
        }))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<()>, Status> {
        let key = known(request.into_inner().key)?;
        self.lab.store().delete(&self.key(&key), None).await.map_err(|error| lab::status(&error))?;
        self.after_deletion(&key).await?;
        tracing::info!(kind = key.kind, name = key.name, "an administrator has deleted an object");
        Ok(Response::new(()))
    }

    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<Credential>, Status> {
        let IssueRequest { key, rotate } = request.into_inner();
        let key = known(key)?;
        let credential = match key.kind.as_str() {
            Client::KIND => self.credential::<Client>(&key.name, rotate).await?,
            Exporter::KIND => self.credential::<Exporter>(&key.name, rotate).await?,
            other => return Err(bad(format!("a {other} has no token"))),
        };
        tracing::info!(kind = key.kind, name = key.name, rotate, "an administrator has asked for a token");
        Ok(Response::new(credential))
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<()>, Status> {
        let path = request.into_inner().path;
        if !Path::new(&path).is_absolute() {
            return Err(bad("the path of a backup begins with `/`: the lab may run in another folder"));
        }
        self.lab.store().backup(Path::new(&path)).await.map_err(|error| match error {
            // The path is to blame, not the lab.
            StoreError::File(why) => Status::failed_precondition(why),
            other => lab::status(&other),
        })?;
        Ok(Response::new(()))
    }
}
