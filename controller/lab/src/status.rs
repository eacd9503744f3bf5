//! What the status page shows: exporters, and the leases that are not over.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use jumpstarter_identity::Https;
use jumpstarter_protocol::client::v1::{
    ListExportersRequest, ListLeasesRequest, client_service_server::ClientService,
};
use jumpstarter_service::Clients;
use jumpstarter_store::Engine;
use serde_json::{Value, json};
use tonic::{Code, Extensions, Request, Status, metadata::MetadataMap};

use crate::NAMESPACE;

/// How many of each are shown.
const MOST: i32 = 1000;

/// Answers `/v1/status` for whoever shows a client's token, with the headers that gRPC calls have as metadata.
pub(crate) async fn status(
    State(clients): State<Arc<Clients<Arc<Engine>, Https>>>,
    headers: HeaderMap,
) -> Response {
    match look(&clients, &headers).await {
        Ok(status) => Json(status).into_response(),
        Err(status) => {
            let code = match status.code() {
                // What clients of gRPC know as UNKNOWN is a token that is not believed.
                Code::Unauthenticated | Code::Unknown | Code::InvalidArgument => StatusCode::UNAUTHORIZED,
                Code::PermissionDenied => StatusCode::FORBIDDEN,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (code, Json(json!({ "message": status.message() }))).into_response()
        }
    }
}

async fn look(clients: &Clients<Arc<Engine>, Https>, headers: &HeaderMap) -> Result<Value, Status> {
    let parent = format!("namespaces/{NAMESPACE}");
    let exporters = ListExportersRequest { parent: parent.clone(), page_size: MOST, ..Default::default() };
    let exporters = clients.list_exporters(asked(headers, exporters)).await?.into_inner();
    let leases = ListLeasesRequest { parent, page_size: MOST, ..Default::default() };
    let leases = clients.list_leases(asked(headers, leases)).await?.into_inner();
    let exporters: Vec<_> = exporters
        .exporters
        .iter()
        .map(|exporter| {
            json!({
                "name": short(&exporter.name),
                "labels": exporter.labels,
                "online": exporter.online,
                "status": exporter.status().as_str_name().trim_start_matches("EXPORTER_STATUS_"),
                "message": exporter.status_message,
            })
        })
        .collect();
    let leases: Vec<_> = leases
        .leases
        .iter()
        .map(|lease| {
            let last = lease.conditions.last();
            json!({
                "name": short(&lease.name),
                "client": lease.client.as_deref().map(short),
                "exporter": lease.exporter.as_deref().map(short),
                "selector": lease.selector,
                "wanted": lease.exporter_name,
                "begin": lease.effective_begin_time.map(|time| time.seconds),
                "seconds": lease.duration.map(|duration| duration.seconds),
                "state": last.and_then(|last| last.r#type.clone()),
                "reason": last.and_then(|last| last.reason.clone()),
                "message": last.and_then(|last| last.message.clone()),
            })
        })
        .collect();
    Ok(json!({ "exporters": exporters, "leases": leases }))
}

fn asked<T>(headers: &HeaderMap, what: T) -> Request<T> {
    Request::from_parts(MetadataMap::from_headers(headers.clone()), Extensions::default(), what)
}

/// The last part of `namespaces/…/leases/…`.
fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
