//! The lab's key and its tokens.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jumpstarter_identity::{Issuer, Kind, SigningKey, Token, TokenError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{LAB, NOW, Signer, alice, at, claims, part, subject, unsigned};

fn hex(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn the_derived_key_is_the_one_that_upstream_derives() {
    for (seed, x, y) in [
        (
            "",
            "399b0e6c143008ed92bb25b818ca92f7fc3348470dc0e2ac532aacf827f193a0",
            "e04a2e30e9465fcb572c8d6158b11a9d17bad0edf039b6151d7a8d49062ed380",
        ),
        (
            "test",
            "925d9ac2d6fe2770cd302797e5705f75afa6d33c154b9fc39df40f4b0ed4bc19",
            "640fec3b2c08b62254401ff25796539a4bc4fdfbac854bb98e290cf4f2a32411",
        ),
        (
            "jumpstarter",
            "89abdbb6a4a2580c11722e1cb2388a54662b69d1fcaabb6b14e7c2558f7f0d07",
            "43fa3a58196e7ab2d7e8069c6d24d1019409db891a62f06fa1cfebe37be4e9b9",
        ),
    ] {
        let key = SigningKey::derived(seed.as_bytes()).unwrap();
        let (has_x, has_y) = key.point();
        assert_eq!((hex(has_x).as_str(), hex(has_y).as_str()), (x, y), "{seed}");
    }
}

#[test]
fn a_token_says_what_upstreams_says() {
    let issued = LAB.issue(&alice(), 0, at(0)).unwrap();
    assert_eq!(part(&issued.token, 0), json!({ "alg": "ES256", "typ": "JWT" }));
    let year = 365 * 24 * 60 * 60;
    let wanted = json!({
        "iss": "https://localhost:8085", "sub": "client:lab:alice:1", "aud": ["jumpstarter"],
        "exp": NOW + year, "iat": NOW,
    });
    assert_eq!(part(&issued.token, 1), wanted);
    assert_eq!(issued.expires, at(year));
    let short = LAB.clone().with_lifetime(Duration::from_secs(90)).issue(&alice(), 3, at(0)).unwrap();
    assert_eq!(part(&short.token, 1)["exp"], NOW + 90);
    let own = LAB.verify(&short.token, at(89)).unwrap();
    assert_eq!((own.subject, own.generation, own.expires), (alice(), 3, at(90)));
}

#[test]
fn two_tokens_of_the_same_second_differ() {
    let tokens: Vec<_> = (0..3).map(|_| LAB.issue(&alice(), 0, at(0)).unwrap().token).collect();
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens[0] != tokens[2]);
    for token in tokens {
        LAB.verify(&token, at(0)).unwrap();
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one entry per mistake")]
fn what_is_wrong_with_a_token_is_said_exactly() {
    let good = LAB.issue(&alice(), 0, at(0)).unwrap().token;
    let lab = Signer::of_the_lab();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        lab.sign(None, &claims)
    };
    assert!(LAB.verify(&with(&|_| {}), at(0)).is_ok(), "these are tokens of the lab");
    let said = |token: &Token| LAB.verify(token, at(0)).unwrap_err().to_string();
    let cut = |parts: usize| {
        let text: Vec<_> = good.expose().split('.').take(parts).collect();
        Token::new(text.join("."))
    };
    let signature = good.expose().rsplit('.').next().unwrap();
    let foreign = Issuer::new(SigningKey::random().unwrap()).issue(&alice(), 0, at(0)).unwrap().token;
    let es256 = json!({ "alg": "ES256", "typ": "JWT" });
    // Signed with what everybody knows of the lab.
    let public = LAB.jwks()["keys"][0].to_string();
    let shared = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &claims(),
        &jsonwebtoken::EncodingKey::from_secret(public.as_bytes()),
    );
    for (token, text) in [
        (
            with(&|claims| claims["exp"] = json!(NOW)),
            "oidc: token is expired (Token Expiry: 2027-01-15 08:00:00 +0000 UTC)",
        ),
        (
            with(&|claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
            "oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)",
        ),
        (
            with(&|claims| claims["nbf"] = json!(NOW + 61)),
            "oidc: current time 2027-01-15 08:00:00 +0000 UTC before the nbf (not before) time: 2027-01-15 08:01:01 +0000 UTC",
        ),
        (
            with(&|claims| claims["iss"] = json!("https://other.example")),
            "oidc: id token issued by a different provider, expected \"https://localhost:8085\" got \"https://other.example\"",
        ),
        (
            with(&|claims| claims["aud"] = json!(["a", "b"])),
            "oidc: expected audience \"jumpstarter\" got [\"a\" \"b\"]",
        ),
        (
            with(&|claims| claims["aud"] = json!("https://jumpstarter.dev/router")),
            "oidc: expected audience \"jumpstarter\" got [\"https://jumpstarter.dev/router\"]",
        ),
        (
            unsigned(&json!({ "alg": "none" }), &claims(), ""),
            "oidc: id token signed with unsupported algorithm, expected [\"ES256\"] got \"none\"",
        ),
        (
            unsigned(&json!({ "alg": "None" }), &claims(), signature),
            "oidc: id token signed with unsupported algorithm, expected [\"ES256\"] got \"None\"",
        ),
        (
            Token::new(shared.unwrap()),
            "oidc: id token signed with unsupported algorithm, expected [\"ES256\"] got \"HS256\"",
        ),
        (foreign, "failed to verify signature: failed to verify id token signature"),
        (
            unsigned(&es256, &claims(), signature),
            "failed to verify signature: failed to verify id token signature",
        ),
        (unsigned(&es256, &claims(), ""), "failed to verify signature: failed to verify id token signature"),
        // All zero is no signature (CVE-2022-21449).
        (
            unsigned(&es256, &claims(), &BASE64_URL_SAFE_NO_PAD.encode([0; 64])),
            "failed to verify signature: failed to verify id token signature",
        ),
        (
            Token::new(&good.expose()[..good.expose().len() - 4]),
            "failed to verify signature: failed to verify id token signature",
        ),
        (cut(2), "oidc: malformed jwt: expected 3 parts got 2"),
        (cut(1), "oidc: malformed jwt: expected 3 parts got 1"),
        (Token::new(""), "oidc: malformed jwt: expected 3 parts got 1"),
        (Token::new("a.b.c.d"), "oidc: malformed jwt: expected 3 parts got 4"),
        (Token::new("a!.b.c"), "oidc: malformed jwt: the header is not base64url"),
        (
            Token::new(format!("{}.W10.c", good.expose().split('.').next().unwrap())),
            "oidc: malformed jwt: the payload is no JSON object",
        ),
        (
            unsigned(&json!({ "alg": "ES256", "crit": ["b64"] }), &claims(), signature),
            "oidc: malformed jwt: its header has extensions that must be understood",
        ),
        (Token::new("x".repeat(40_000)), "oidc: malformed jwt: longer than 32768 bytes"),
        (
            with(&|claims| claims["sub"] = json!("alice")),
            "oidc: the subject is none: it has 1 parts instead of kind, namespace, name and uid",
        ),
        (with(&|claims| claims["generation"] = json!("1")), "oidc: the generation is no number"),
        (
            with(&|claims| claims["exp"] = json!("tomorrow")),
            "oidc: malformed jwt: \"exp\" of the payload is no time",
        ),
        (
            with(&|claims| claims["exp"] = json!(1e300)),
            "oidc: malformed jwt: \"exp\" of the payload is no time",
        ),
    ] {
        assert_eq!(said(&token), text);
    }
    // Expiry is told before anything about keys: clients look for it to sign in again.
    let old = Issuer::new(SigningKey::random().unwrap()).issue(&alice(), 0, at(-400 * 24 * 3600)).unwrap();
    assert!(matches!(LAB.verify(&old.token, at(0)), Err(TokenError::Expired(Some(_)))));
}

#[test]
fn any_change_of_a_token_is_noticed() {
    let good = LAB.issue(&alice(), 0, at(0)).unwrap().token;
    for index in 0..good.expose().len() {
        let mut text = good.expose().as_bytes().to_vec();
        text[index] = if text[index] == b'A' { b'B' } else { b'A' };
        let changed = Token::new(String::from_utf8(text).unwrap());
        assert!(LAB.verify(&changed, at(0)).is_err(), "at {index}");
    }
}

#[test]
fn a_lab_keeps_a_key_of_chance_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let first = SigningKey::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = Issuer::new(first).issue(&alice(), 0, at(0)).unwrap().token;
    let again = Issuer::new(SigningKey::open(&path).unwrap());
    again.verify(&token, at(0)).expect("it is the same key");
    let other = Issuer::new(SigningKey::open(&folder.path().join("other.pem")).unwrap());
    assert_eq!(other.verify(&token, at(0)), Err(TokenError::Signature), "another lab has another one");
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2, "nothing else is left");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = SigningKey::open(&path).unwrap_err();
    assert!(error.starts_with(&format!("{}: others than its owner may read", path.display())), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "nothing").unwrap();
    let error = SigningKey::open(&path).unwrap_err();
    assert_eq!(error, format!("{}: this is no private key in PEM", path.display()));
    assert_eq!(fs::read(&path).unwrap(), b"nothing", "a key that is broken is not replaced");
}

#[test]
fn of_two_who_make_the_key_at_once_both_have_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let points: Vec<String> = std::thread::scope(|scope| {
        let open = || SigningKey::open(&path).unwrap().point().0.to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(points.iter().all(|point| *point == points[0]), "{points:?}");
}

#[test]
fn a_key_can_be_given_in_pem() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
    let point = rcgen::PublicKeyData::der_bytes(&pair);
    assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(key.point().0).unwrap(), point[1..33]);
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let error = SigningKey::from_pem(other.serialize_pem().as_bytes()).unwrap_err();
    assert_eq!(error, "this is no key on the curve P-256");
}

#[test]
fn what_openid_connect_wants_to_read_is_there() {
    let discovery = LAB.discovery();
    assert_eq!(discovery["issuer"], "https://localhost:8085");
    assert_eq!(discovery["jwks_uri"], "https://localhost:8085/jwks");
    let jwks = LAB.jwks();
    let key = &jwks["keys"][0];
    for (name, value) in
        [("kid", "default"), ("use", "sig"), ("alg", "ES256"), ("kty", "EC"), ("crv", "P-256")]
    {
        assert_eq!(key[name], value);
    }
    assert_eq!(key.as_object().unwrap().len(), 7, "the private part is not there");
    // Whoever has only this believes the lab's tokens.
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.clone()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["jumpstarter"]);
    validation.validate_exp = false;
    let token = LAB.issue(&subject(Kind::Exporter, "lab", "rack", "2"), 0, at(0)).unwrap().token;
    let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let read = jsonwebtoken::decode::<Value>(token.expose(), &key, &validation).unwrap();
    assert_eq!(read.claims["sub"], "exporter:lab:rack:2");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_no_token_is_taken_for_one(parts in prop::collection::vec(".{0,40}", 0..5), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let encoded = BASE64_URL_SAFE_NO_PAD.encode(&bytes);
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        for text in [parts.join("."), format!("{header}.{encoded}.{encoded}"), format!("{encoded}.{encoded}.")] {
            prop_assert!(LAB.verify(&Token::new(text), at(0)).is_err());
        }
    }
}
