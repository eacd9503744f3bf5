//! An identity provider that knows every way to a token, over HTTPS.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::RawQuery,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use jumpstarter_lab::LabConfig;
use jumpstarter_transport::server::{Identity, Server, Tuning};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tonic::service::Routes;

/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse";

/// Somebody whose tokens have always expired already, unless they come from a refresh.
pub(crate) const LATE: &str = "late";

/// Somebody whose tokens are good for some seconds only, unless they come from a refresh.
pub(crate) const BRIEF: &str = "brief";

pub(crate) struct Provider {
    pub(crate) url: String,
    /// Whom its certificate is by.
    pub(crate) authority: String,
    about: Arc<About>,
    _server: Server<Routes>,
}

struct About {
    url: String,
    key: EncodingKey,
    /// Codes that were given, with the challenge that came with the question.
    codes: Mutex<HashMap<String, String>>,
    given: AtomicU32,
    /// How often somebody asked for a token whose owner had not signed in yet.
    early: AtomicU32,
}

impl About {
    fn token(&self, name: &str, from: i64) -> String {
        let now = jiff::Timestamp::now().as_second() + from;
        let claims = json!({
            "iss": self.url, "sub": name, "aud": "jumpstarter-cli", "name": name, "iat": now, "exp": now + 600,
            "jti": self.given.fetch_add(1, Ordering::SeqCst),
        });
        let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &self.key).expect("a token")
    }

    fn tokens(&self, name: &str, offline: bool, from: i64) -> Response {
        let mut answer =
            json!({ "access_token": self.token(name, from), "token_type": "bearer", "expires_in": 600 });
        if offline {
            answer["refresh_token"] = format!("refresh-{name}").into();
        }
        Json(answer).into_response()
    }

    fn give(&self, body: &str) -> Response {
        let fields = fields(body);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let offline = field("scope").split(' ').any(|scope| scope == "offline_access");
        let from = |name: &str| match name {
            LATE => -3600,
            BRIEF => -594,
            _ => 0,
        };
        if field("client_id") != "jumpstarter-cli" {
            return refused("invalid_client", "nobody knows this program");
        }
        match field("grant_type") {
            "password" if field("password") == PASSWORD => {
                let name = field("username");
                self.tokens(name, offline, from(name))
            }
            "password" => refused("invalid_grant", "wrong password"),
            "refresh_token" => match field("refresh_token").strip_prefix("refresh-") {
                Some(name) => self.tokens(name, true, 0),
                None => refused("invalid_grant", "this is not from here"),
            },
            "authorization_code" => {
                let verifier = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
                match self.codes.lock().expect("codes").remove(field("code")) {
                    // Those who came without a challenge have none to meet.
                    Some(challenge) if challenge.is_empty() || challenge == verifier => {
                        self.tokens("carol", true, 0)
                    }
                    _ => refused("invalid_grant", "there is no such code"),
                }
            }
            "urn:ietf:params:oauth:grant-type:token-exchange" if field("connector_id") == "github" => {
                self.tokens(field("subject_token"), offline, 0)
            }
            "urn:ietf:params:oauth:grant-type:device_code" if field("device_code") == "device-1" => {
                match self.early.fetch_add(1, Ordering::SeqCst) {
                    0 => refused("authorization_pending", "not yet"),
                    _ => self.tokens("dora", true, 0),
                }
            }
            other => refused("unsupported_grant_type", other),
        }
    }

    fn authorize(&self, query: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, self.sent_back(query).parse().expect("a header"));
        (StatusCode::FOUND, headers).into_response()
    }

    /// Where somebody is sent back to who has signed in.
    fn sent_back(&self, query: &str) -> String {
        let fields = fields(query);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let code = format!("code-{}", self.given.fetch_add(1, Ordering::SeqCst));
        self.codes.lock().expect("codes").insert(code.clone(), field("code_challenge").to_owned());
        let mut back: url::Url = field("redirect_uri").parse().expect("an address");
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", field("state"));
        back.into()
    }
}

fn fields(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn refused(error: &str, why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error, "error_description": why }))).into_response()
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let point = rcgen::PublicKeyData::der_bytes(&pair);
        let part = |from: usize| BASE64_URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        let jwks =
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": part(1), "y": part(33), "kid": "1" }] });
        let discovery = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/keys"),
            "token_endpoint": format!("{url}/token"),
            "authorization_endpoint": format!("{url}/authorize"),
            "device_authorization_endpoint": format!("{url}/device"),
        });
        let device = json!({
            "device_code": "device-1",
            "user_code": "ABCD-EFGH",
            "verification_uri": format!("{url}/activate"),
            "expires_in": 60,
            "interval": 0,
        });
        let about = Arc::new(About {
            url: url.clone(),
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            codes: Mutex::default(),
            given: AtomicU32::default(),
            early: AtomicU32::default(),
        });
        let (giving, asking) = (about.clone(), about.clone());
        let pages = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(discovery)))
            .route("/keys", get(async move || Json(jwks)))
            .route("/device", post(async move || Json(device)))
            .route("/token", post(async move |body: String| giving.give(&body)))
            .route(
                "/authorize",
                get(async move |RawQuery(query): RawQuery| asking.authorize(&query.unwrap_or_default())),
            );
        let server = Server::tuned(Routes::from(pages), &Tuning { pages: true, ..Tuning::default() });
        let key = made.signing_key.serialize_pem();
        let identity = Identity::from_pem(made.cert.pem().as_bytes(), key.as_bytes()).expect("an identity");
        server.listen_tcp(listener, Some(identity));
        Self { url, authority: made.cert.pem(), about, _server: server }
    }

    /// Somebody signs in who was sent here with this question; where he is sent back to.
    pub(crate) fn sign_in(&self, query: &str) -> String {
        self.about.sent_back(query)
    }

    /// Whether a token was made here.
    /// A token that is good for ten minutes.
    pub(crate) fn token(&self, name: &str) -> String {
        self.about.token(name, 0)
    }

    pub(crate) fn is_from_here(&self, token: &str) -> bool {
        let mut parts = token.split('.');
        let payload = parts.nth(1).and_then(|payload| BASE64_URL_SAFE_NO_PAD.decode(payload).ok());
        let payload: Option<Value> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        payload.is_some_and(|payload| payload["iss"] == self.about.url)
    }

    /// How a lab is run that believes it, and takes in whoever it knows.
    pub(crate) fn lab(&self) -> LabConfig {
        let text = json!({
            "kind": "LabConfig",
            "provisioning": { "enabled": true },
            "authentication": { "jwt": [{
                "issuer": {
                    "url": self.url, "audiences": ["jumpstarter-cli"], "certificateAuthority": self.authority,
                },
                "claimMappings": { "username": { "claim": "name", "prefix": "dex:" } },
            }] },
        });
        // JSON is YAML.
        LabConfig::read("lab.yaml", &text.to_string()).expect("a file")
    }
}
