//! [`Instance`]: one driver behind a connection, as generated clients call it.

use std::sync::{Arc, RwLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use jumpstarter_core::{
    Error, Result, Stream,
    client::Remote,
    describe::{Interface, Kind, Method},
    dispatch::{Answer, Language, Payload, Reply, Sending},
};
use jumpstarter_transport::{
    metadata::{ERRORS, INSTANCE, KINDS},
    status::{self, Call},
};
use tonic::{
    Request,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use crate::{
    Connection, calls, duplex,
    resource::Pumps,
    wire::{self, Dialect, header},
};

/// Metadata key that says what a stream is for.
const REQUEST: &str = "request";

/// One driver behind a connection.
pub(crate) struct Instance {
    pub(crate) connection: Connection,
    /// As the report spells it.
    pub(crate) uuid: String,
    /// The same as every native call carries it; none when it cannot be sent.
    key: Option<AsciiMetadataValue>,
    /// Full names of its native services.
    services: Vec<String>,
    /// What was found out about interfaces; few per instance, looked up before every call.
    known: RwLock<Vec<(&'static Interface, Route)>>,
}

/// How to reach an interface of an instance.
#[derive(Clone)]
enum Route {
    /// Through its own service: the path of each method.
    Native(Arc<[PathAndQuery]>),
    /// Through upstream's calls.
    Legacy,
}

impl Instance {
    pub(crate) fn new(connection: Connection, uuid: String, services: Vec<String>) -> Self {
        let key = uuid.parse().ok();
        Self { connection, uuid, key, services, known: RwLock::default() }
    }

    /// Full names of its native services.
    pub(crate) fn services(&self) -> &[String] {
        &self.services
    }

    /// Whether the exporter is one of this implementation or of a later one of the other.
    pub(crate) fn speaks_native(&self) -> bool {
        !self.services.is_empty()
    }

    /// Has an exporter of this implementation tell the kinds of errors.
    pub(crate) fn ask_for_kinds(&self, metadata: &mut MetadataMap) {
        if self.speaks_native() {
            metadata.insert(ERRORS, AsciiMetadataValue::from_static(KINDS));
        }
    }

    /// The service of this interface that the instance has announced.
    pub(crate) fn service_of(&self, interface: &Interface) -> Option<String> {
        if self.services.is_empty() {
            return None;
        }
        interface.services().find(|service| self.services.contains(service))
    }

    /// Decided from the report and nothing else, so that no call is ever tried twice.
    fn route(&self, interface: &'static Interface) -> Route {
        let find = |known: &[(&'static Interface, Route)]| {
            known.iter().find(|(other, _)| std::ptr::eq(*other, interface)).map(|(_, route)| route.clone())
        };
        // A poisoned lock holds nothing worse than an incomplete cache.
        if let Some(route) = find(&self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner)) {
            return route;
        }
        let route = self.service_of(interface).map_or(Route::Legacy, |service| {
            let path = |method: &Method| PathAndQuery::try_from(format!("/{service}/{}", method.rpc));
            // A name that is no path cannot be called natively.
            let paths: Result<Arc<[_]>, _> = interface.methods.iter().map(path).collect();
            paths.map_or(Route::Legacy, Route::Native)
        });
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if find(&known).is_none() {
            known.push((interface, route.clone()));
        }
        route
    }

    async fn make(
        self: Arc<Self>,
        interface: &'static Interface,
        index: usize,
        mut sending: Sending,
    ) -> Result<Reply> {
        let Some(method) = interface.methods.get(index) else {
            return Err(Error::internal(format!("{} has no method number {index}", interface.name)));
        };
        let attached = std::mem::take(&mut sending.attached);
        let pumps = Pumps::start(&self, attached, |index, handle| sending.put_handle(index, handle)).await?;
        let (payload, _) = sending.finish()?;
        match payload {
            Payload::Values(values) => {
                calls::make(&self, method.export, method.kind, method.framing, values, pumps).await
            }
            Payload::Proto(bytes) => {
                let Route::Native(paths) = self.route(interface) else {
                    return Err(Error::internal(format!("{} is not reachable natively", interface.name)));
                };
                let Some(path) = paths.get(index).cloned() else {
                    return Err(Error::internal(format!(
                        "{} has no path for {}",
                        interface.name, method.rpc
                    )));
                };
                self.native(method, path, bytes, pumps).await
            }
        }
    }

    async fn native(
        &self,
        method: &'static Method,
        path: PathAndQuery,
        bytes: Bytes,
        pumps: Option<Pumps>,
    ) -> Result<Reply> {
        let channel = self.connection.channel()?;
        let mut metadata = MetadataMap::with_capacity(2);
        let key = match &self.key {
            Some(key) => key.clone(),
            None => header("the instance", &self.uuid)?,
        };
        metadata.insert(INSTANCE, key);
        match method.kind {
            Kind::Unary => {
                let request = Request::from_parts(metadata, tonic::Extensions::default(), bytes);
                let call = async {
                    let answer = wire::unary(channel, path, request).await;
                    answer.map_err(|status| status::from_status(&status, Call::Native))
                };
                Ok(Reply::Unary(Answer::Proto(alongside(pumps, call).await?)))
            }
            Kind::ServerStream => {
                let request = Request::from_parts(metadata, tonic::Extensions::default(), bytes);
                let call = wire::server_stream(channel, path, request);
                let answers = wire::start(call, Call::Native, Answer::Proto).await?;
                Ok(Reply::Stream(with_files(answers, pumps)))
            }
            Kind::Bytes => {
                if !bytes.is_empty() {
                    return Err(calls::no_arguments(method.export));
                }
                let patience = self.connection.patience().stream;
                let dialect = Dialect::Native(path);
                Ok(Reply::Bytes(
                    duplex::open(&channel, metadata, dialect, method.framing, patience, pumps).await?,
                ))
            }
        }
    }
}

impl Remote for Shared {
    fn language(&self, interface: &'static Interface) -> Language {
        match self.0.route(interface) {
            Route::Native(_) => Language::Native,
            Route::Legacy => Language::Legacy,
        }
    }

    fn call(
        &self,
        interface: &'static Interface,
        method: usize,
        sending: Sending,
    ) -> BoxFuture<'static, Result<Reply>> {
        Box::pin(self.0.clone().make(interface, method, sending))
    }
}

/// An instance as generated clients hold it.
pub(crate) struct Shared(pub(crate) Arc<Instance>);

/// Metadata of a stream.
pub(crate) fn stream_request(request: &serde_json::Value) -> Result<MetadataMap> {
    let mut metadata = MetadataMap::with_capacity(2);
    metadata.insert(REQUEST, header("the request", &request.to_string())?);
    Ok(metadata)
}

/// Makes a call while its files travel.
pub(crate) async fn alongside<T>(pumps: Option<Pumps>, call: impl Future<Output = Result<T>>) -> Result<T> {
    match pumps {
        Some(pumps) => pumps.alongside(call).await,
        None => call.await,
    }
}

/// Answers that come while files travel: their end is not the end before the files have arrived.
pub(crate) fn with_files<T: Send + 'static>(answers: Stream<T>, pumps: Option<Pumps>) -> Stream<T> {
    let Some(pumps) = pumps else { return answers };
    Stream::new(futures::stream::unfold((answers, Some(pumps)), async |(mut answers, mut pumps)| {
        let running = pumps.as_mut()?;
        match answers.next().await {
            Some(Ok(answer)) => Some((Ok(answer), (answers, pumps))),
            Some(Err(error)) => {
                let error = running.cause_of(error);
                Some((Err(error), (answers, None)))
            }
            None => match running.settle().await {
                Ok(()) => None,
                Err(error) => Some((Err(error), (answers, None))),
            },
        }
    }))
}
