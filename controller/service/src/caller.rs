//! Who calls, and whether he may.

use std::sync::Arc;

use jumpstarter_api::{Client, ClientSpec, Exporter, ObjectMeta, Resource};
use jumpstarter_identity::{
    Authenticator, Claimed, Code, Fetch, Holder, Https, Identity, Issued, Kind, Refused, Wanted, authorize,
    bearer, may_provision,
};
use jumpstarter_store::Store;
use jumpstarter_transport::server::Peer;
use tonic::{Request, Status, metadata::MetadataMap};

use crate::{lab::Lab, stored::Stored};

/// Knows callers by their tokens. Clones share what they know.
pub struct Callers<S, F = Https> {
    lab: Lab<S>,
    authenticator: Arc<Authenticator<F>>,
    /// Whether a user of another issuer gets a client when he comes first.
    provisioning: bool,
}

impl<S, F> Clone for Callers<S, F> {
    fn clone(&self) -> Self {
        Self {
            lab: self.lab.clone(),
            authenticator: self.authenticator.clone(),
            provisioning: self.provisioning,
        }
    }
}

impl<S, F> std::fmt::Debug for Callers<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").field("lab", &self.lab).finish_non_exhaustive()
    }
}

fn refused(refused: &Refused) -> Status {
    let message = refused.to_string();
    match refused.code() {
        Code::Unauthenticated => Status::unauthenticated(message),
        Code::InvalidArgument => Status::invalid_argument(message),
        Code::PermissionDenied => Status::permission_denied(message),
        Code::Unknown => Status::unknown(message),
    }
}

/// Address of a caller for logs, without the port.
fn peer<T>(request: &Request<T>) -> String {
    match request.extensions().get::<Peer>() {
        Some(Peer::Tcp(address)) => address.ip().to_string(),
        _ => "unknown".to_owned(),
    }
}

fn values(metadata: &MetadataMap, key: &'static str) -> Vec<Vec<u8>> {
    metadata.get_all(key).iter().map(|value| value.as_encoded_bytes().to_vec()).collect()
}

impl<S: Store, F: Fetch> Callers<S, F> {
    /// Those of a lab.
    pub fn new(lab: Lab<S>, authenticator: Authenticator<F>, provisioning: bool) -> Self {
        Self { lab, authenticator: Arc::new(authenticator), provisioning }
    }

    /// Whether the caller has an exporter's token. Some calls are for both.
    pub fn is_exporter<T>(request: &Request<T>) -> bool {
        let kind = request.metadata().get(jumpstarter_identity::call::KIND);
        kind.is_some_and(|kind| kind.as_encoded_bytes() == Kind::Exporter.as_str().as_bytes())
    }

    /// The client that calls.
    ///
    /// # Errors
    /// Why he is not believed, with the codes that clients know.
    pub async fn client<T>(&self, request: &Request<T>) -> Result<Client, Status> {
        self.caller(request, Kind::Client).await.inspect_err(|why| {
            tracing::warn!(peer = peer(request), code = ?why.code(), why = why.message(), "client authentication failed");
        })
    }

    /// The same, for a call that names a namespace.
    ///
    /// # Errors
    /// The same, and `PERMISSION_DENIED` when it is another namespace.
    pub async fn client_of<T>(&self, request: &Request<T>, namespace: &str) -> Result<Client, Status> {
        let client = self.client(request).await?;
        if client.metadata.namespace.as_deref() != Some(namespace) {
            return Err(Status::permission_denied("namespace mismatch"));
        }
        Ok(client)
    }

    /// The exporter that calls.
    ///
    /// # Errors
    /// Why it is not believed, with the codes that exporters know.
    pub async fn exporter<T>(&self, request: &Request<T>) -> Result<Exporter, Status> {
        self.caller(request, Kind::Exporter).await.inspect_err(|why| {
            tracing::warn!(peer = peer(request), code = ?why.code(), why = why.message(), "exporter authentication failed");
        })
    }

    async fn caller<T, K: Acting>(&self, request: &Request<T>, kind: Kind) -> Result<K, Status> {
        let metadata = request.metadata();
        let token = bearer(&values(metadata, "authorization")).map_err(|why| refused(&why))?;
        let claimed = Claimed::read(|key| values(metadata, key)).map_err(|why| refused(&why))?;
        let now = self.lab.now();
        let identity = self.authenticator.authenticate(&token, now).await.map_err(|why| refused(&why))?;
        let wanted = claimed.wanted(&identity, kind).map_err(|why| refused(&why))?;
        let object = self.object::<K>(&identity, &wanted).await?;
        let annotations = object.meta().annotations.clone().unwrap_or_default();
        let holder = Holder {
            kind,
            namespace: &wanted.namespace,
            name: &wanted.name,
            uid: object.meta().uid.as_deref().unwrap_or_default(),
            annotations: &annotations,
            username: object.username(),
        };
        authorize(&identity, &holder).map_err(|why| refused(&why))?;
        Ok(object)
    }

    async fn object<K: Acting>(&self, identity: &Identity, wanted: &Wanted) -> Result<K, Status> {
        let found = if wanted.namespace == self.lab.namespace() {
            self.lab.find::<K>(&wanted.name).await?
        } else {
            None
        };
        if let Some(object) = found {
            return Ok(object);
        }
        if self.provisioning && wanted.namespace == self.lab.namespace() && may_provision(identity, wanted) {
            let client = Client {
                metadata: ObjectMeta { name: Some(wanted.name.clone()), ..ObjectMeta::default() },
                spec: ClientSpec { username: Some(identity.username()) },
                status: None,
            };
            self.lab.create(&client).await?;
            tracing::info!(client = wanted.name, "a client was made for whoever called");
            return self.lab.get(&wanted.name).await;
        }
        Err(Status::unknown(format!("{wanted}: {}.jumpstarter.dev \"{}\" not found", K::PLURAL, wanted.name)))
    }

    /// A token for an object of this lab.
    ///
    /// # Errors
    /// When none can be made, as `INTERNAL`.
    pub fn issue<K: Acting>(&self, object: &K) -> Result<Issued, Status> {
        let annotations = object.meta().annotations.clone().unwrap_or_default();
        let holder = Holder {
            kind: K::ACTS_AS,
            namespace: self.lab.namespace(),
            name: object.meta().name.as_deref().unwrap_or_default(),
            uid: object.meta().uid.as_deref().unwrap_or_default(),
            annotations: &annotations,
            username: object.username(),
        };
        let generation = holder.generation().map_err(Status::internal)?;
        self.authenticator.own().issue(&holder.subject(), generation, self.lab.now()).map_err(|why| {
            tracing::error!(why, "no token");
            Status::internal("unable to sign token")
        })
    }
}

/// A resource that somebody acts as.
pub trait Acting: Stored + Resource<DynamicType = ()> {
    /// As what.
    const ACTS_AS: Kind;

    /// The user of another issuer who may.
    fn username(&self) -> Option<&str>;
}

impl Acting for Client {
    const ACTS_AS: Kind = Kind::Client;

    fn username(&self) -> Option<&str> {
        self.spec.username.as_deref()
    }
}

impl Acting for Exporter {
    const ACTS_AS: Kind = Kind::Exporter;

    fn username(&self) -> Option<&str> {
        self.spec.username.as_deref()
    }
}
