//! [`SessionService`]: everything a session answers on one port, found by path.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures::future::{self, BoxFuture};
use http::{Request, Response};
use jumpstarter_protocol::v1::exporter_service_server::ExporterServiceServer;
use jumpstarter_transport::{server::MAX_MESSAGE, status::shorten};
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt as _};

use crate::{
    access::Access,
    exporter_service::Exporter,
    native, reflection,
    router_service::{self, Router},
    session::Shared,
};

/// Methods of the exporter's own services. A wrong passphrase is refused for what exists; what does not is unknown.
const EXPORTER: &[&str] =
    &["GetReport", "DriverCall", "StreamingDriverCall", "LogStream", "Reset", "GetStatus", "EndSession"];
const ROUTER: &[&str] = &["Stream"];

struct Inner {
    shared: Arc<Shared>,
    access: Arc<Access>,
    exporter: ExporterServiceServer<Exporter>,
    router: Router,
    /// Reflection and health; made when somebody asks, because few do.
    general: OnceLock<tonic::service::Routes>,
}

/// Serves a session: upstream's services, the native service of each interface, reflection and health. Cheap to clone;
/// made by [`Session::service`](crate::Session::service).
#[derive(Clone)]
pub struct SessionService(Arc<Inner>);

impl SessionService {
    pub(crate) fn new(shared: Arc<Shared>, access: Access) -> Self {
        let access = Arc::new(access);
        let exporter = ExporterServiceServer::new(Exporter::new(shared.clone(), access.clone()))
            .max_decoding_message_size(MAX_MESSAGE);
        let router = Router::new(shared.clone());
        let general = OnceLock::new();
        Self(Arc::new(Inner { shared, access, exporter, router, general }))
    }

    pub(crate) fn into_routes(self) -> tonic::service::Routes {
        let everything = self.map_request(|request: Request<_>| request.map(Body::new));
        let mut routes = tonic::service::Routes::default();
        let empty = std::mem::take(routes.axum_router_mut());
        *routes.axum_router_mut() = empty.fallback_service(everything);
        routes
    }
}

impl fmt::Debug for SessionService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("session", &self.0.shared.uuid)
            .field("access", &self.0.access)
            .finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for SessionService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = &self.0;
        let path = request.uri().path();
        let (service, rpc) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        let target = match service {
            "jumpstarter.v1.ExporterService" if EXPORTER.contains(&rpc) => Target::Exporter,
            "jumpstarter.v1.RouterService" if ROUTER.contains(&rpc) => Target::Router,
            _ if reflection::answers(service) => Target::General,
            _ => match native::find(&inner.shared, service, rpc, request.headers()) {
                Some(found) => Target::Native(found),
                None => Target::Unknown,
            },
        };
        if !matches!(target, Target::Unknown)
            && let Err(status) = inner.access.check_caller(request.headers(), request.extensions())
        {
            return refuse(status);
        }
        match target {
            Target::Exporter => inner.exporter.clone().call(request),
            Target::Router => router_service::call(inner.router.clone(), request),
            Target::General => {
                let routes = inner.general.get_or_init(|| reflection::routes(&inner.shared));
                Box::pin(routes.clone().call(request))
            }
            Target::Native(Ok(found)) => {
                native::call(inner.shared.clone(), inner.access.clone(), found, request)
            }
            Target::Native(Err(status)) => refuse(status),
            Target::Unknown => {
                let text = format!("there is no method {path} here");
                refuse(Status::unimplemented(shorten(&text)))
            }
        }
    }
}

enum Target {
    Exporter,
    Router,
    General,
    Native(Result<native::Found, Status>),
    Unknown,
}

fn refuse(status: Status) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    Box::pin(future::ready(Ok(status.into_http())))
}
