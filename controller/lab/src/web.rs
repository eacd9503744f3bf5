//! The few pages beside the gRPC services.
//!
//! | Path | Answers |
//! |---|---|
//! | `/` | a page for people: how to connect, and for whoever has a client's token, what is going on |
//! | `/v1/status` | what that page shows, as JSON; needs the token |
//! | `/healthz`, `/readyz` | whether the process lives, and whether the lab does its work |
//! | `/metrics` | what is counted, for Prometheus |
//! | `/v1/auth/config` | what `jmp login` asks first |
//! | `/.well-known/openid-configuration`, `/jwks` | who signs the lab's own tokens, for others that want to check them |

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tonic::Status;

/// The page for people, and what it is made of. Nothing is built: these are the files.
const FILES: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("../pages/index.html")),
    ("/status.css", "text/css; charset=utf-8", include_str!("../pages/status.css")),
    ("/status.js", "text/javascript; charset=utf-8", include_str!("../pages/status.js")),
];

/// What the page may load and whom it may ask: this lab.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// The client id that `jmp login` has at every identity provider, as the existing controller says.
const CLIENT_ID: &str = "jumpstarter-cli";

/// Whom `jmp login` sends people to.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its address.
    pub issuer: String,
    /// For whom its tokens must be made.
    pub audiences: Vec<String>,
}

/// What the pages say.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// Where clients and exporters find the lab, `HOST:PORT`.
    pub endpoint: String,
    /// Its namespace.
    pub namespace: String,
    /// Whom its certificate is by, PEM; empty if it needs no introduction.
    pub authority: String,
    /// Other issuers.
    pub providers: Vec<Provider>,
    /// What OpenID Connect wants to read about the lab's own issuer.
    pub discovery: Value,
    /// Its key.
    pub jwks: Value,
}

impl Pages {
    /// What `jmp login` asks first.
    fn login(&self) -> Value {
        let Self { endpoint, namespace, authority, providers, .. } = self;
        let mut config =
            json!({ "grpcEndpoint": endpoint, "routerEndpoint": endpoint, "namespace": namespace });
        if !authority.is_empty() {
            config["caBundle"] = BASE64_STANDARD.encode(authority).into();
        }
        if !providers.is_empty() {
            let providers = providers.iter().map(|Provider { issuer, audiences }| {
                json!({ "issuer": issuer, "clientId": CLIENT_ID, "audiences": audiences })
            });
            config["oidc"] = providers.collect();
        }
        config
    }

    /// Adds the pages. `is_ready` and `metrics` are asked each time.
    pub fn add(
        self,
        router: Router,
        is_ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
        metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    ) -> Router {
        let login = self.login();
        let ready = async move || {
            if is_ready() {
                (StatusCode::OK, "ok")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "the lab is not at work")
            }
        };
        let counted = async move || {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], metrics())
        };
        let (discovery, jwks) = (Arc::new(self.discovery), Arc::new(self.jwks));
        let mut router = router
            .route("/healthz", get(async || "ok"))
            .route("/readyz", get(ready))
            .route("/metrics", get(counted))
            .route("/v1/auth/config", get(async move || Json(login)))
            .route("/.well-known/openid-configuration", get(async move || Json((*discovery).clone())))
            .route("/jwks", get(async move || Json((*jwks).clone())));
        for (path, kind, text) in FILES {
            let headers = [
                (CONTENT_TYPE, kind),
                (CONTENT_SECURITY_POLICY, POLICY),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                // Small, and of the program that answers.
                (CACHE_CONTROL, "no-cache"),
            ];
            router = router.route(path, get(async move || (headers, text)));
        }
        router.fallback(unknown)
    }
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
        let pages = Pages {
            endpoint: "lab.example.org:8082".to_owned(),
            namespace: "default".to_owned(),
            authority: "PEM".to_owned(),
            providers: vec![Provider {
                issuer: "https://dex.example.org".to_owned(),
                audiences: vec!["jumpstarter-cli".to_owned()],
            }],
            ..Pages::default()
        };
        let router = pages.add(Router::new(), move || ready, || "# EOF\n".to_owned());
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
            "oidc": [{
                "issuer": "https://dex.example.org",
                "clientId": "jumpstarter-cli",
                "audiences": ["jumpstarter-cli"],
            }],
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

    #[tokio::test]
    async fn people_are_told_how_to_connect_and_the_page_loads_nothing_from_elsewhere() {
        let (status, headers, body) = answer(true, "/", "").await;
        assert_eq!(status, StatusCode::OK);
        // Upstream's tests look for these two words.
        assert!(body.contains("Jumpstarter") && body.contains("jmp login"));
        assert!(headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        // What the policy would keep from working.
        assert!(!body.contains("http://") && !body.contains("<script>") && !body.contains(" style="));
        for name in ["/status.css", "/status.js"] {
            assert!(body.contains(name));
            assert_eq!(answer(true, name, "").await.0, StatusCode::OK);
        }
        // Its links lead somewhere.
        let links: Vec<_> =
            body.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(links, ["#connect", "/v1/auth/config"]);
        assert!(body.contains("id=\"connect\""));
        assert_eq!(answer(true, "/v1/auth/config", "").await.0, StatusCode::OK);
    }
}
