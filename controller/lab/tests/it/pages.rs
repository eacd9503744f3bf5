//! The pages beside the gRPC services, as browsers and scrapers read them.

use std::time::Duration;

use jumpstarter_lab::Serving;
use jumpstarter_protocol::client::v1::client_service_client::ClientServiceClient;
use jumpstarter_transport::connect::{self, Endpoint, Options, Security};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{GRACE, admin, asks, channel, create, exporters, new_lab, start, wish};

/// What a program that speaks HTTP/1.1 reads.
pub(crate) async fn get(serving: &Serving, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let options =
        Options { security: Security::VerifiedBy(serving.authority.clone().into()), ..Options::default() };
    let endpoint = Endpoint::parse(&serving.endpoint).expect("an endpoint");
    let mut stream = connect::dial(&endpoint, &options).await.expect("a connection");
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n");
    for (key, value) in headers {
        request.extend([key, ": ", value, "\r\n"]);
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("asked");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("in time").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, body.to_owned())
}

/// The value of a line of `/metrics`.
pub(crate) fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_read_by_programs_that_know_http_1_1_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = start(&folder.path().join("lab")).await;
    for (path, code, says) in [
        ("/healthz", 200, "ok"),
        ("/readyz", 200, "ok"),
        ("/", 200, "jmp login"),
        ("/status.js", 200, "/v1/status"),
        ("/v1/auth/config", 200, "grpcEndpoint"),
        ("/none", 404, "Not Found"),
        ("/v1/status", 401, "missing authorization header"),
    ] {
        let (got, body) = get(&serving, path, &[]).await;
        assert!(got == code && body.contains(says), "{path}: {got} {body}");
    }
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_the_labs_tokens_can_be_found_out_by_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab");
    let serving = start(&path).await;
    let me = create(&mut admin(&path).await, "Client", "me").await;
    let (_, about) = get(&serving, "/.well-known/openid-configuration", &[]).await;
    let about: Value = serde_json::from_str(&about).expect("JSON");
    let (_, keys) = get(&serving, "/jwks", &[]).await;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys).expect("a key set");
    // With nothing but these two, a token can be checked.
    let key = jsonwebtoken::DecodingKey::from_jwk(&keys.keys[0]).expect("a key");
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&["jumpstarter"]);
    rules.set_issuer(&[about["issuer"].as_str().expect("an issuer")]);
    let read = jsonwebtoken::decode::<Value>(&me.token, &key, &rules).expect("it is good");
    assert!(read.claims["sub"].as_str().expect("a subject").starts_with("client:default:me:"));
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_a_lab_is_counted() {
    let (_folder, _, serving, mut owner) = new_lab().await;
    let me = create(&mut owner, "Client", "me").await;
    create(&mut owner, "Exporter", "rig").await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    client.list_exporters(asks(&me, "me", exporters())).await.expect("a list");
    client.list_exporters(tonic::Request::new(exporters())).await.expect_err("without a token");
    // One waits, since the exporter is offline; one is refused.
    client.create_lease(asks(&me, "me", wish("", "board=demo"))).await.expect("a lease");
    client.create_lease(asks(&me, "me", wish("", "board=none"))).await.expect("a lease");
    let (code, page) = get(&serving, "/metrics", &[]).await;
    assert_eq!(code, 200);
    let list =
        r#"jumpstarter_grpc_calls_total{method="jumpstarter.client.v1.ClientService/ListExporters",code="#;
    for (series, expected) in [
        (format!("{list}\"Ok\"}}"), 1.0),
        (format!("{list}\"Unauthenticated\"}}"), 1.0),
        (r#"jumpstarter_leases{state="pending"}"#.to_owned(), 1.0),
        (r#"jumpstarter_leases{state="active"}"#.to_owned(), 0.0),
        (r#"jumpstarter_exporters{state="offline"}"#.to_owned(), 1.0),
        (r#"jumpstarter_lease_acquisitions_total{result="failure"}"#.to_owned(), 1.0),
        (r#"jumpstarter_lease_acquisitions_total{result="success"}"#.to_owned(), 0.0),
        (r#"jumpstarter_lease_ends_total{reason="NoAccess"}"#.to_owned(), 1.0),
        (r#"jumpstarter_router_calls{state="joined"}"#.to_owned(), 0.0),
        ("jumpstarter_router_bytes_total".to_owned(), 0.0),
    ] {
        assert_eq!(value(&page, &series), Some(expected), "{series} in\n{page}");
    }
    assert!(page.ends_with("# EOF\n") && !page.contains(&me.token));
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_what_is_going_on_and_nobody_else_does() {
    let (_folder, _, serving, mut owner) = new_lab().await;
    let (me, rig) = (create(&mut owner, "Client", "me").await, create(&mut owner, "Exporter", "rig").await);
    let status = async |token: &str, kind: &str, name: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("jumpstarter-kind", kind),
            ("jumpstarter-namespace", "default"),
            ("jumpstarter-name", name),
        ];
        get(&serving, "/v1/status", &headers).await
    };
    let (code, body) = status(&me.token, "Client", "me").await;
    assert_eq!(code, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["exporters"][0]["name"], "rig");
    assert_eq!(body["exporters"][0]["labels"]["board"], "demo");
    assert_eq!((&body["exporters"][0]["online"], &body["leases"]), (&false.into(), &serde_json::json!([])));
    for (token, kind, name) in
        [(rig.token.as_str(), "Exporter", "rig"), (&me.token, "Client", "other"), ("x", "Client", "me")]
    {
        let (code, body) = status(token, kind, name).await;
        assert!([401, 403].contains(&code) && !body.contains("board"), "{kind} {name}: {code} {body}");
    }
    serving.stop(GRACE).await;
}
