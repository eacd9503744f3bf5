//! Tokens of others: settings, keys that change, claims.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use jumpstarter_identity::{
    Authenticator, External, Fetch, Https, Identity, JwtAuthenticator, Refused, Token, TokenError,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
};

use crate::{LAB, NOW, Signer, alice, at};

const URL: &str = "https://dex.example:5556/dex";

/// Settings as the operator and people write them.
pub(crate) fn settings(change: impl FnOnce(&mut Value)) -> JwtAuthenticator {
    let mut value = json!({
        "issuer": { "url": URL, "audiences": ["jumpstarter-cli"] },
        "claimMappings": { "username": { "claim": "name", "prefix": "dex:" }, "groups": {}, "uid": {} },
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// An issuer that is not there, and what it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provider(Arc<Mutex<Documents>>);

#[derive(Debug, Default)]
struct Documents {
    by_url: BTreeMap<String, Vec<u8>>,
    asked: Vec<String>,
    /// What an answer waits for.
    gate: Option<Arc<Semaphore>>,
}

impl Provider {
    fn documents(&self) -> MutexGuard<'_, Documents> {
        self.0.lock().unwrap()
    }

    pub(crate) fn has(&self, keys: &[Value]) {
        let description = json!({ "issuer": URL, "jwks_uri": "https://dex.example:5556/keys", "more": 1 });
        self.puts("https://dex.example:5556/dex/.well-known/openid-configuration", &description);
        self.puts("https://dex.example:5556/keys", &json!({ "keys": keys }));
    }

    fn puts(&self, url: &str, document: &Value) {
        self.documents().by_url.insert(url.to_owned(), document.to_string().into_bytes());
    }

    fn asked(&self) -> usize {
        self.documents().asked.len()
    }
}

impl Fetch for Provider {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let (answer, gate) = {
            let mut documents = self.documents();
            documents.asked.push(url.to_owned());
            (documents.by_url.get(url).cloned(), documents.gate.clone())
        };
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        answer.ok_or_else(|| format!("{url}: nobody answers"))
    }
}

pub(crate) fn claims() -> Value {
    json!({ "iss": URL, "aud": "jumpstarter-cli", "name": "Alice", "exp": NOW + 60 })
}

fn external(provider: &Provider) -> External<Provider> {
    External::with(&settings(|_| {}), provider.clone()).unwrap()
}

#[tokio::test]
async fn a_user_of_another_issuer_is_called_what_the_settings_say() {
    let provider = Provider::default();
    let (elliptic, rsa) = (Signer::elliptic(), Signer::rsa());
    let unusable = json!({ "kty": "OKP", "crv": "X448", "x": "AA", "kid": "u" });
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" });
    provider.has(&[unusable, secret, elliptic.jwk("e"), rsa.jwk("r")]);
    let external = external(&provider);
    for (signer, name) in [(&elliptic, Some("e")), (&rsa, Some("r")), (&elliptic, None), (&rsa, None)] {
        let token = signer.sign(name, &claims());
        assert_eq!(external.verify(&token, at(0)).await, Ok(("dex:Alice".to_owned(), at(60))), "{name:?}");
    }
    assert_eq!(provider.asked(), 2, "the description and the keys, once");
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        elliptic.sign(Some("e"), &claims)
    };
    for (token, text) in [
        (
            wrong(&|claims| claims["exp"] = json!(NOW)),
            "oidc: token is expired (Token Expiry: 2027-01-15 08:00:00 +0000 UTC)",
        ),
        (
            wrong(&|claims| claims["aud"] = json!("other")),
            "oidc: expected audience \"jumpstarter-cli\" got [\"other\"]",
        ),
        (
            wrong(&|claims| claims["iss"] = json!("https://dex.example:5556/dex/")),
            "oidc: id token issued by a different provider, expected \"https://dex.example:5556/dex\" got \"https://dex.example:5556/dex/\"",
        ),
        (wrong(&|claims| claims["name"] = json!("")), "oidc: the claim \"name\" for the username is no text"),
        (wrong(&|claims| claims["name"] = json!(7)), "oidc: the claim \"name\" for the username is no text"),
        (
            wrong(&|claims| drop(claims.as_object_mut().unwrap().remove("name"))),
            "oidc: the claim \"name\" for the username is not present",
        ),
        (rsa.sign(Some("e"), &claims()), "failed to verify signature: failed to verify id token signature"),
        (
            Signer::elliptic().sign(Some("e"), &claims()),
            "failed to verify signature: failed to verify id token signature",
        ),
        (
            crate::unsigned(&json!({ "alg": "none", "kid": "e" }), &claims(), ""),
            "oidc: id token signed with unsupported algorithm, expected [\"RS256\" \"RS384\" \"RS512\" \"ES256\" \"ES384\" \"PS256\" \"PS384\" \"PS512\"] got \"none\"",
        ),
        (
            crate::unsigned(&json!({ "alg": "HS256", "kid": "s" }), &claims(), "AAAA"),
            "oidc: id token signed with unsupported algorithm, expected [\"RS256\" \"RS384\" \"RS512\" \"ES256\" \"ES384\" \"PS256\" \"PS384\" \"PS512\"] got \"HS256\"",
        ),
    ] {
        assert_eq!(external.verify(&token, at(0)).await.unwrap_err().to_string(), text);
    }
    assert_eq!(provider.asked(), 2, "none of this is a reason to ask again");
}

#[tokio::test]
async fn a_new_key_is_found_and_unknown_ones_do_not_make_us_ask_all_the_time() {
    let provider = Provider::default();
    let (old, new) = (Signer::elliptic(), Signer::elliptic());
    provider.has(&[old.jwk("old")]);
    let external = external(&provider);
    external.verify(&old.sign(Some("old"), &claims()), at(0)).await.unwrap();
    provider.has(&[old.jwk("old"), new.jwk("new")]);
    let unknown = TokenError::UnknownKey("new".to_owned());
    // Just asked.
    assert_eq!(external.verify(&new.sign(Some("new"), &claims()), at(9)).await, Err(unknown));
    assert_eq!(provider.asked(), 2);
    external.verify(&new.sign(Some("new"), &claims()), at(10)).await.expect("it is there now");
    assert_eq!(provider.asked(), 4);
    for offset in 11..30 {
        let token = new.sign(Some("nobody's"), &claims());
        assert!(external.verify(&token, at(offset)).await.is_err());
    }
    assert_eq!(provider.asked(), 6, "once in ten seconds");
    // Without an answer, what is known stays.
    provider.documents().by_url.clear();
    assert!(external.verify(&new.sign(Some("other"), &claims()), at(40)).await.is_err());
    external.verify(&old.sign(Some("old"), &claims()), at(40)).await.unwrap();
}

#[tokio::test]
async fn a_key_that_its_issuer_has_withdrawn_is_not_believed_for_ever() {
    let provider = Provider::default();
    let (old, new) = (Signer::elliptic(), Signer::elliptic());
    let claims = json!({ "iss": URL, "aud": "jumpstarter-cli", "name": "Alice", "exp": NOW + 100_000 });
    provider.has(&[old.jwk("old")]);
    let external = external(&provider);
    let token = old.sign(Some("old"), &claims);
    external.verify(&token, at(0)).await.unwrap();
    provider.has(&[new.jwk("new")]);
    external.verify(&token, at(3599)).await.unwrap();
    let refused = external.verify(&token, at(3600)).await;
    assert_eq!(refused, Err(TokenError::UnknownKey("old".to_owned())));
}

#[tokio::test]
async fn an_issuer_that_is_not_there_holds_up_nobody_else() {
    let provider = Provider::default();
    let signer = Signer::elliptic();
    let lab = Arc::new(Authenticator::new(vec![external(&provider)], LAB.clone()).unwrap());
    let token = signer.sign(Some("e"), &claims());
    let refused = lab.authenticate(&token, at(0)).await.unwrap_err();
    assert_eq!(refused.to_string(), "oidc: authenticator not initialized");
    provider.has(&[signer.jwk("e")]);
    assert!(lab.authenticate(&token, at(9)).await.is_err(), "it is not asked again at once");
    let identity = lab.authenticate(&token, at(10)).await.unwrap();
    assert_eq!(identity.username(), "dex:Alice");

    // It is slow, and its keys are to be asked for again: who is known, or has a token of the lab, does not wait.
    let long = json!({ "iss": URL, "aud": "jumpstarter-cli", "name": "Alice", "exp": NOW + 100_000 });
    let known = signer.sign(Some("e"), &long);
    let gate = Arc::new(Semaphore::new(0));
    provider.documents().gate = Some(Arc::clone(&gate));
    let before = provider.asked();
    let waits = tokio::spawn({
        let (lab, known) = (Arc::clone(&lab), known.clone());
        async move { lab.authenticate(&known, at(4000)).await }
    });
    while provider.asked() == before {
        tokio::task::yield_now().await;
    }
    lab.authenticate(&known, at(4000)).await.unwrap();
    let own = LAB.issue(&alice(), 0, at(4000)).unwrap().token;
    assert!(matches!(lab.authenticate(&own, at(4000)).await, Ok(Identity::Internal { .. })));
    gate.add_permits(100);
    waits.await.unwrap().unwrap();
    assert_eq!(provider.asked(), before + 2);
}

#[tokio::test]
async fn the_issuer_that_a_token_names_decides() {
    let provider = Provider::default();
    let signer = Signer::elliptic();
    provider.has(&[signer.jwk("e")]);
    let lab = Authenticator::new(vec![external(&provider)], LAB.clone()).unwrap();
    let said = async |token: &Token| lab.authenticate(token, at(0)).await.unwrap_err().to_string();
    // The other issuer's key makes no token of the lab, whatever it names.
    let forged = signer.sign(Some("e"), &crate::claims());
    assert_eq!(
        said(&forged).await,
        "oidc: verify token: failed to verify signature: failed to verify id token signature"
    );
    let stranger = signer.sign(Some("e"), &json!({ "iss": "https://stranger.example", "exp": NOW + 60 }));
    let text = said(&stranger).await;
    assert!(
        text.starts_with("failed to authenticate token: oidc: id token issued by a different provider"),
        "{text}"
    );
    assert!(
        said(&Token::new("opaque")).await.starts_with("failed to authenticate token: oidc: malformed jwt")
    );
    let expired =
        Signer::of_the_lab().sign(None, &json!({ "iss": LAB.url(), "aud": "jumpstarter", "exp": NOW - 1 }));
    let text = said(&expired).await;
    assert_eq!(
        text,
        "oidc: verify token: oidc: token is expired (Token Expiry: 2027-01-15 07:59:59 +0000 UTC)"
    );

    let twice = Authenticator::new(vec![external(&provider), external(&provider)], LAB.clone());
    assert_eq!(twice.unwrap_err(), format!("issuer {URL}: it is there twice"));
    let own = External::with(&settings(|value| value["issuer"]["url"] = json!(LAB.url())), provider).unwrap();
    let error = Authenticator::new(vec![own], LAB.clone()).unwrap_err();
    assert_eq!(error, "issuer https://localhost:8085: this is the address of the lab's own tokens");
}

#[tokio::test]
async fn an_issuer_that_describes_another_one_is_not_believed() {
    let provider = Provider::default();
    let signer = Signer::elliptic();
    for (issuer, jwks_uri) in
        [("https://evil.example", "https://dex.example:5556/keys"), (URL, "http://dex.example/keys")]
    {
        provider.has(&[signer.jwk("e")]);
        let description = json!({ "issuer": issuer, "jwks_uri": jwks_uri });
        provider.puts("https://dex.example:5556/dex/.well-known/openid-configuration", &description);
        let external = external(&provider);
        let refused = external.verify(&signer.sign(Some("e"), &claims()), at(0)).await;
        assert_eq!(refused, Err(TokenError::NotInitialized), "{issuer} {jwks_uri}");
    }
    // Its description may be elsewhere.
    let settings = settings(|value| value["issuer"]["discoveryURL"] = json!("https://inside.example/d"));
    provider.puts(
        "https://inside.example/d",
        &json!({ "issuer": URL, "jwks_uri": "https://dex.example:5556/keys" }),
    );
    let external = External::with(&settings, provider).unwrap();
    external.verify(&signer.sign(Some("e"), &claims()), at(0)).await.unwrap();
}

/// What a user with these claims is called.
async fn called(change: impl FnOnce(&mut Value), more: Value) -> Result<String, String> {
    let provider = Provider::default();
    let signer = Signer::elliptic();
    provider.has(&[signer.jwk("e")]);
    let external = External::with(&settings(change), provider)?;
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let verified = external.verify(&signer.sign(Some("e"), &claims), at(0)).await;
    verified.map(|(name, _)| name).map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_address_that_nobody_has_checked_is_no_name() {
    let email = |value: &mut Value| value["claimMappings"]["username"]["claim"] = json!("email");
    let address = json!({ "email": "a@b.example" });
    assert_eq!(called(email, address.clone()).await.as_deref(), Ok("dex:a@b.example"));
    for (verified, good) in [(json!(true), true), (json!(false), false), (json!("true"), false)] {
        let mut address = address.clone();
        address["email_verified"] = verified;
        let name = called(email, address).await;
        assert_eq!(name.is_ok(), good, "{name:?}");
    }
}

#[tokio::test]
async fn expressions_over_claims_say_who_somebody_is_and_who_may_not_come_in() {
    let expression = |text: &'static str| {
        move |value: &mut Value| value["claimMappings"]["username"] = json!({ "expression": text })
    };
    let more =
        || json!({ "org": { "team": "board" }, "groups": ["a", "b"], "n": 3, "nothing": null, "part": 0.5 });
    assert_eq!(called(expression("'x:' + claims.org.team"), more()).await.as_deref(), Ok("x:board"));
    assert_eq!(
        called(expression("'b' in claims.groups ? claims.name : ''"), more()).await.as_deref(),
        Ok("Alice")
    );
    for (text, why) in [
        ("claims.n", "oidc: `claims.n` gives no username"),
        ("''", "oidc: `''` gives no username"),
        ("claims.absent", "oidc: `claims.absent`: No such key: absent"),
        (
            "'internal:client:lab:alice:1'",
            "oidc: the username \"internal:client:lab:alice:1\" is one of the lab's own",
        ),
    ] {
        assert_eq!(called(expression(text), more()).await.unwrap_err(), why);
    }
    let rule = |rule: Value| move |value: &mut Value| value["claimValidationRules"] = json!([rule]);
    let hd = json!({ "claim": "hd", "requiredValue": "lab.example" });
    assert!(called(rule(hd.clone()), json!({ "hd": "lab.example" })).await.is_ok());
    let refused = called(rule(hd), json!({ "hd": "other.example" })).await;
    assert_eq!(refused.unwrap_err(), "oidc: the claim \"hd\" is not \"lab.example\"");
    // From the documentation of Kubernetes.
    let day = json!({ "expression": "claims.exp - claims.nbf <= 86400", "message": "longer than a day" });
    assert!(called(rule(day), json!({ "nbf": NOW })).await.is_ok());
    let short = json!({ "expression": "claims.exp - 100 < 1", "message": "too long" });
    assert_eq!(called(rule(short), json!({})).await.unwrap_err(), "oidc: too long");
    let user = |value: &mut Value| {
        value["userValidationRules"] = json!([{ "expression": "!user.username.startsWith('dex:root')" }]);
    };
    assert!(called(user, json!({})).await.is_ok());
    let refused = called(user, json!({ "name": "root" })).await;
    assert_eq!(refused.unwrap_err(), "oidc: `!user.username.startsWith('dex:root')` is false");
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let refused =
        |change: &dyn Fn(&mut Value)| External::with(&settings(change), Provider::default()).unwrap_err();
    for (pointer, value, part) in [
        ("/issuer/url", json!("http://dex.example"), "`issuer.url` must be an https address"),
        ("/issuer/url", json!("https://u:p@dex.example"), "`issuer.url` must be an https address"),
        ("/issuer/url", json!("dex"), "`issuer.url`: this is no URL"),
        ("/issuer/audiences", json!([]), "`issuer.audiences` needs at least one entry"),
        ("/issuer/audiences", json!(["a", "b"]), "`issuer.audienceMatchPolicy` must be MatchAny"),
        (
            "/claimMappings/username",
            json!({}),
            "`claimMappings.username` needs `claim` and `prefix`, or `expression`",
        ),
        ("/claimMappings/username", json!({ "claim": "name" }), "`claimMappings.username.prefix` is missing"),
        (
            "/claimMappings/username",
            json!({ "claim": "name", "prefix": "internal:" }),
            "`internal:` is for the lab's own tokens",
        ),
        (
            "/claimMappings/username",
            json!({ "claim": "name", "prefix": "", "expression": "claims.name" }),
            "`claimMappings.username` needs",
        ),
        ("/claimMappings/username", json!({ "expression": "claims. +" }), "is no expression"),
        ("/claimMappings/username", json!({ "expression": "claims.email" }), "claims.email_verified"),
    ] {
        let change = |settings: &mut Value| *settings.pointer_mut(pointer).unwrap() = value.clone();
        let text = refused(&change);
        assert!(text.starts_with("issuer ") && text.contains(part), "{text}");
    }
    let text =
        refused(&|value| value["claimValidationRules"] = json!([{ "claim": "a", "expression": "true" }]));
    assert!(text.contains("`claimValidationRules` need"), "{text}");
    // As the operator writes it, in YAML; a key that is unknown is an error.
    let yaml = "issuer:\n  url: https://dex.dex.svc.cluster.local:5556\n  audiences: [jumpstarter-cli]\n  audienceMatchPolicy: MatchAny\n  \
                certificateAuthority: ''\nclaimMappings:\n  username: {claim: name, prefix: 'dex:'}\n  groups: {}\n  uid: {}\n";
    let read: JwtAuthenticator = serde_yaml::from_str(yaml).unwrap();
    External::new(&read).unwrap();
    let error = serde_yaml::from_str::<JwtAuthenticator>(&yaml.replace("audiences", "audience")).unwrap_err();
    assert!(error.to_string().contains("audience"), "{error}");
    let missing = settings(|value| value["issuer"]["certificateAuthority"] = json!("/nowhere/ca.crt"));
    let error = External::new(&missing).unwrap_err();
    assert!(error.contains("certificateAuthority: /nowhere/ca.crt: No such file"), "{error}");
}

/// Serves one document over TLS, and says which authority its certificate leads to.
async fn serve(body: &'static [u8]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/doc", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not believe the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, certificate.pem())
}

#[tokio::test]
async fn the_authority_of_the_settings_is_believed_and_no_other() {
    let (url, pem) = serve(b"{}").await;
    let inline = Https::new(Some(pem.clone())).unwrap();
    assert_eq!(inline.get(&url).await.as_deref(), Ok(&b"{}"[..]));
    let error = Https::default().get(&url).await.unwrap_err();
    assert!(error.starts_with(&url) && error.contains("certificate"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crt");
    let (_, other) = serve(b"").await;
    std::fs::write(&path, other).unwrap();
    let file = Https::new(Some(path.display().to_string())).unwrap();
    assert!(file.get(&url).await.is_err());
    // A file that has changed counts as it is.
    std::fs::write(&path, pem).unwrap();
    assert_eq!(file.get(&url).await.as_deref(), Ok(&b"{}"[..]));
    assert!(file.get(&url.replace("https", "http")).await.is_err(), "never in clear text");
    assert!(Https::new(Some("-----BEGIN".to_owned())).unwrap_err().contains("no certificate"));
}

#[tokio::test]
async fn a_document_that_does_not_end_is_not_read_to_its_end() {
    static LONG: [u8; 1024 * 1024 + 1] = [b' '; 1024 * 1024 + 1];
    let (url, pem) = serve(&LONG).await;
    let error = Https::new(Some(pem)).unwrap().get(&url).await.unwrap_err();
    assert_eq!(error, format!("{url}: the answer is longer than 1048576 bytes"));
}

#[test]
fn a_refusal_of_an_issuer_has_the_code_that_clients_look_at() {
    let refused = Refused::Token(TokenError::NotInitialized);
    assert_eq!(refused.code(), jumpstarter_identity::Code::Unknown);
}
