//! The few pages beside the gRPC services.

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use tonic::Status;

/// Adds the pages: `/healthz`, `/readyz`, and what `jmp login` asks first. `is_ready` is asked each time.
pub fn pages(
    router: Router,
    is_ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
    endpoint: &str,
    namespace: &str,
    authority: &str,
) -> Router {
    let mut config = json!({ "grpcEndpoint": endpoint, "routerEndpoint": endpoint, "namespace": namespace });
    if !authority.is_empty() {
        config["caBundle"] = BASE64_STANDARD.encode(authority).into();
    }
    router
        .route("/healthz", get(async || "ok"))
        .route(
            "/readyz",
            get(async move || {
                if is_ready() {
                    (StatusCode::OK, "ok")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "the lab is not at work")
                }
            }),
        )
        .route("/v1/auth/config", get(async move || Json(config)))
        .fallback(unknown)
}

/// What is neither a page nor a method, in the words of whoever asks.
async fn unknown(headers: HeaderMap) -> Response {
    let grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return Status::unimplemented("").into_http();
    }
    (StatusCode::NOT_FOUND, Json(json!({ "code": 5, "message": "Not Found" }))).into_response()
}
