//! Reflection and health: what tools ask that know nothing of us.
//!
//! Reflection lists upstream's two services, the native services of the session's drivers, and itself. Descriptors are
//! served as the bytes they are, so that options survive which the server has no types for.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt as _, stream::BoxStream};
use jumpstarter_core::descriptor::{
    self, Descriptor,
    proto::{FileDescriptorProto, FileDescriptorSet},
};
use jumpstarter_protocol::DESCRIPTORS;
use prost::Message as _;
use tonic::{Request, Response, Status, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tonic_reflection::server::Builder;

use crate::session::Shared;

/// Services that every session has besides its drivers'.
const EXPORTER: &str = "jumpstarter.v1.ExporterService";
const ROUTER: &str = "jumpstarter.v1.RouterService";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";
const HEALTH: &str = "grpc.health.v1.Health";

/// Whether this service is one of this module's.
pub(crate) fn answers(service: &str) -> bool {
    matches!(service, REFLECTION | REFLECTION_ALPHA | HEALTH)
}

/// The services of this module.
pub(crate) fn routes(shared: &Arc<Shared>) -> Routes {
    let mut routes = Routes::default().add_service(HealthServer::new(SessionHealth(shared.clone())));
    let sets = sets(shared);
    let builder = || {
        let mut builder = Builder::configure();
        for set in &sets {
            builder = builder.register_encoded_file_descriptor_set(set);
        }
        shared.tree.services().chain([EXPORTER, ROUTER, HEALTH]).fold(builder, Builder::with_service_name)
    };
    // A descriptor that cannot be read would have failed when the session was built; without reflection, all else works.
    match builder().with_service_name(REFLECTION).build_v1() {
        Ok(service) => routes = routes.add_service(service),
        Err(error) => tracing::error!(%error, "there is no reflection"),
    }
    match builder().with_service_name(REFLECTION_ALPHA).build_v1alpha() {
        Ok(service) => routes = routes.add_service(service),
        Err(error) => tracing::error!(%error, "there is no reflection, version v1alpha"),
    }
    routes.prepare()
}

/// The descriptors of everything that can be called.
fn sets(shared: &Shared) -> Vec<Vec<u8>> {
    let mut sets = vec![DESCRIPTORS.to_vec(), tonic_health::pb::FILE_DESCRIPTOR_SET.to_vec()];
    let mut seen = BTreeSet::new();
    for node in shared.tree.in_order_of_opening() {
        for provided in &node.instance.provides {
            // A file is one interface. The same name twice is the same interface, at two instances.
            if let Ok(descriptor) = descriptor::file(provided.interface)
                && seen.insert(descriptor.name.clone())
            {
                let aliases = provided.interface.also.iter().map(|alias| further_name(descriptor, alias));
                let aliases = aliases.flat_map(|file| FileDescriptorSet { file: vec![file] }.encode_to_vec());
                // Two descriptor sets behind each other are one.
                sets.push(descriptor.set().iter().copied().chain(aliases).collect());
            }
        }
    }
    sets
}

/// The file of a further name of an interface: the same methods, with the messages of the interface's own file.
fn further_name(descriptor: &Descriptor, alias: &str) -> FileDescriptorProto {
    let (package, service) = alias.rsplit_once('.').unwrap_or(("", alias));
    let own = &descriptor.file;
    let mut services = own.service.clone();
    for described in &mut services {
        described.name = Some(service.to_owned());
    }
    FileDescriptorProto {
        name: Some(format!("{}.proto", alias.replace('.', "/"))),
        package: Some(package.to_owned()),
        dependency: own.dependency.iter().cloned().chain([descriptor.name.clone()]).collect(),
        service: services,
        syntax: own.syntax.clone(),
        ..FileDescriptorProto::default()
    }
}

/// Everything is well until the session ends.
struct SessionHealth(Arc<Shared>);

impl SessionHealth {
    fn status(&self, service: &str) -> Option<ServingStatus> {
        let known = matches!(service, "" | EXPORTER | ROUTER | REFLECTION | REFLECTION_ALPHA | HEALTH)
            || self.0.tree.providers(service).is_some();
        known.then(|| {
            if self.0.ended.is_cancelled() { ServingStatus::NotServing } else { ServingStatus::Serving }
        })
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for SessionHealth {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match self.status(&service) {
            Some(status) => Ok(Response::new(answer(status))),
            None => Err(Status::not_found("no such service")),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let status = self.status(&request.into_inner().service).unwrap_or(ServingStatus::ServiceUnknown);
        let ended = self.0.ended.clone();
        let now = futures::stream::iter([Ok(answer(status))]);
        // The set of services never changes; the only news is the end.
        let later = futures::stream::once(async move {
            ended.cancelled().await;
            Ok(answer(ServingStatus::NotServing))
        });
        Ok(Response::new(now.chain(later).boxed()))
    }
}
