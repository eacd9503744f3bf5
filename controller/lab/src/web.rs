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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(ready: bool, path: &str, kind: &str) -> (StatusCode, HeaderMap, String) {
        let router = pages(Router::new(), move || ready, "lab.example.org:8082", "default", "PEM");
        let request = Request::get(path).header(CONTENT_TYPE, kind).body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_lab_that_is_not_at_work_says_so() {
        assert_eq!(answer(true, "/readyz", "").await.0, StatusCode::OK);
        assert_eq!(answer(false, "/readyz", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer(false, "/healthz", "").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn whoever_logs_in_learns_where_the_lab_is_and_whom_to_trust() {
        let (_, _, body) = answer(true, "/v1/auth/config", "").await;
        let expected = json!({
            "grpcEndpoint": "lab.example.org:8082",
            "routerEndpoint": "lab.example.org:8082",
            "namespace": "default",
            // PEM in base64 (RFC 4648).
            "caBundle": "UEVN",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused_in_the_words_of_whoever_asks() {
        let (status, _, body) = answer(true, "/none", "text/html").await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, r#"{"code":5,"message":"Not Found"}"#));
        let (status, headers, _) = answer(true, "/package.Service/Method", "application/grpc").await;
        assert_eq!((status, headers["grpc-status"].as_bytes()), (StatusCode::OK, &b"12"[..]));
    }
}
