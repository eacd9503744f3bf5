//! People who have an account elsewhere: an identity provider of this test, over HTTPS.

use axum::{Json, Router, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use jumpstarter_lab::{Data, LabConfig, Serving};
use jumpstarter_protocol::{
    admin::v1::Credential,
    client::v1::{RotateTokenRequest, client_service_client::ClientServiceClient},
};
use jumpstarter_transport::server::{Identity, Server, Tuning};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Code, service::Routes};

use super::{GRACE, admin, asks, channel, create, exporters, settings};

struct Provider {
    url: String,
    /// Whom its certificate is by.
    authority: String,
    key: EncodingKey,
    _server: Server<Routes>,
}

impl Provider {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let point = rcgen::PublicKeyData::der_bytes(&pair);
        let part = |from: usize| BASE64_URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        let jwks =
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": part(1), "y": part(33), "kid": "1" }] });
        let about = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let pages = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(about)))
            .route("/keys", get(async move || Json(jwks)));
        let server = Server::tuned(Routes::from(pages), &Tuning { pages: true, ..Tuning::default() });
        let key = made.signing_key.serialize_pem();
        let identity = Identity::from_pem(made.cert.pem().as_bytes(), key.as_bytes()).expect("an identity");
        server.listen_tcp(listener, Some(identity));
        Self {
            url,
            authority: made.cert.pem(),
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            _server: server,
        }
    }

    fn token(&self, name: &str) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": self.url, "aud": "jumpstarter-cli", "name": name, "iat": now, "exp": now + 600,
        });
        let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &self.key).expect("a token")
    }

    async fn lab(&self, folder: &std::path::Path, provisioning: bool) -> Serving {
        let file = folder.join("dex.crt");
        std::fs::write(&file, &self.authority).expect("written");
        let text = json!({
            "kind": "LabConfig",
            "provisioning": { "enabled": provisioning },
            "authentication": { "jwt": [{
                "issuer": {
                    "url": self.url, "audiences": ["jumpstarter-cli"], "certificateAuthority": file,
                },
                "claimMappings": { "username": { "claim": "name", "prefix": "dex:" } },
            }] },
        });
        // JSON is YAML.
        let config = LabConfig::read("lab.yaml", &text.to_string()).expect("a file");
        let settings = jumpstarter_lab::Settings { config, ..settings() };
        let data = Data::open(&folder.join("lab")).expect("a folder");
        Serving::start(data, &settings).await.expect("it starts")
    }
}

/// What a person with this token sends.
fn somebody(token: String) -> Credential {
    Credential { token, namespace: "default".to_owned(), ..Credential::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_an_account_elsewhere_becomes_a_client_when_he_first_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Provider::start().await;
    let serving = provider.lab(folder.path(), true).await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    let alice = somebody(provider.token("Alice@example.com"));
    client.list_exporters(asks(&alice, "", exporters())).await.expect("a list");
    let mut owner = admin(&folder.path().join("lab")).await;
    let request =
        jumpstarter_protocol::admin::v1::ListRequest { kind: "Client".to_owned(), ..Default::default() };
    let made = owner.list(request).await.expect("a list").into_inner().objects;
    let made: Value = serde_json::from_str(&made[0].json).expect("JSON");
    assert_eq!(made["metadata"]["name"], "alice-example-com");
    assert_eq!(made["spec"]["username"], "dex:Alice@example.com");
    // The lab's own token of that client is as good.
    let rotate = RotateTokenRequest { parent: "namespaces/default".to_owned() };
    let own = client.rotate_token(asks(&alice, "", rotate)).await.expect("a token").into_inner();
    let own = somebody(own.token);
    client.list_exporters(asks(&own, "alice-example-com", exporters())).await.expect("a list");
    // Another name than the provider's is refused, and so is whom the provider does not know.
    let other = client.list_exporters(asks(&alice, "bob", exporters())).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    let mut forged = alice.token.clone();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    let refused = client.list_exporters(asks(&somebody(forged), "", exporters())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown);
    serving.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_provisioning_only_who_was_invited_comes_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Provider::start().await;
    let serving = provider.lab(folder.path(), false).await;
    let mut owner = admin(&folder.path().join("lab")).await;
    let json = json!({
        "kind": "Client", "metadata": { "name": "alice" }, "spec": { "username": "dex:alice" },
    });
    let request = jumpstarter_protocol::admin::v1::CreateRequest { json: json.to_string() };
    owner.create(request).await.expect("made");
    create(&mut owner, "Client", "bob").await;
    let mut client = ClientServiceClient::new(channel(&serving).await);
    let alice = somebody(provider.token("alice"));
    client.list_exporters(asks(&alice, "alice", exporters())).await.expect("a list");
    for (name, code) in [("bob", Code::PermissionDenied), ("carol", Code::Unknown)] {
        let one = somebody(provider.token(name));
        let refused = client.list_exporters(asks(&one, "", exporters())).await.unwrap_err();
        assert_eq!(refused.code(), code, "{name}: {refused}");
    }
    serving.stop(GRACE).await;
}
