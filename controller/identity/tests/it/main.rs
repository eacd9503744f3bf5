//! Who somebody is.
//!
//! | Module | What it shows |
//! |---|---|
//! | `own` | the lab's key and its tokens |
//! | `external` | tokens of others: settings, keys that change, claims |
//! | `calls` | the metadata of calls, and who may act as which object |
//! | `secrets` | that no token is in any text |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod external;
mod own;
mod secrets;

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use jumpstarter_identity::{Holder, Issuer, Kind, SigningKey, Subject, Token};
use serde_json::{Value, json};

/// Some time, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(NOW + offset).unwrap()
}

pub(crate) fn subject(kind: Kind, namespace: &str, name: &str, uid: &str) -> Subject {
    Subject { kind, namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() }
}

pub(crate) fn alice() -> Subject {
    subject(Kind::Client, "lab", "alice", "1")
}

/// The lab; its key is the one of the existing controller for `test`, so that tokens of tests can be made without it.
pub(crate) static LAB: LazyLock<Issuer> =
    LazyLock::new(|| Issuer::new(SigningKey::derived(b"test").unwrap()));

pub(crate) static NONE: BTreeMap<String, String> = BTreeMap::new();

pub(crate) fn holder(subject: &Subject) -> Holder<'_> {
    Holder {
        kind: subject.kind,
        namespace: &subject.namespace,
        name: &subject.name,
        uid: &subject.uid,
        annotations: &NONE,
        username: None,
    }
}

/// Somebody who signs what he likes.
pub(crate) struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    /// Without a name.
    jwk: Value,
}

impl Signer {
    pub(crate) fn elliptic() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = rcgen::PublicKeyData::der_bytes(&pair);
        let part = |range| BASE64_URL_SAFE_NO_PAD.encode(point.get::<std::ops::Range<usize>>(range).unwrap());
        Self {
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            algorithm: Algorithm::ES256,
            jwk: json!({ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) }),
        }
    }

    /// Who has the lab's key.
    pub(crate) fn of_the_lab() -> Self {
        use aws_lc_rs::{agreement, encoding::AsDer as _};
        let scalar = jumpstarter_identity::legacy::scalar(b"test");
        let key = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, &scalar).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
        Self { key: EncodingKey::from_ec_der(der.as_ref()), algorithm: Algorithm::ES256, jwk: Value::Null }
    }

    pub(crate) fn rsa() -> Self {
        use aws_lc_rs::{encoding::AsDer as _, rsa, signature::KeyPair as _};
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public = pair.public_key();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let n = number(public.modulus().big_endian_without_leading_zero());
        let e = number(public.exponent().big_endian_without_leading_zero());
        Self {
            // Unlike the other one, this is PKCS #1 inside of PKCS #8.
            key: EncodingKey::from_rsa_der(pkcs1(der.as_ref())),
            algorithm: Algorithm::RS256,
            jwk: json!({ "kty": "RSA", "n": n, "e": e }),
        }
    }

    pub(crate) fn jwk(&self, name: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = json!(name);
        jwk
    }

    pub(crate) fn sign(&self, name: Option<&str>, claims: &Value) -> Token {
        let header = Header { kid: name.map(str::to_owned), ..Header::new(self.algorithm) };
        Token::new(encode(&header, claims, &self.key).unwrap())
    }
}

/// The part of a PKCS #8 structure behind its fixed beginning: SEQUENCE, version, algorithm, OCTET STRING.
fn pkcs1(der: &[u8]) -> &[u8] {
    let begin =
        der.windows(4).skip(4).position(|window| window[..2] == [0x30, 0x82] && window[2] >= 4).unwrap();
    &der[begin + 4..]
}

/// Claims of the lab's tokens.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://localhost:8085", "aud": ["jumpstarter"], "sub": alice().to_string(),
        "exp": NOW + 60, "iat": NOW,
    })
}

/// A token of these three parts.
pub(crate) fn unsigned(header: &Value, claims: &Value, signature: &str) -> Token {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    Token::new(format!("{}.{}.{signature}", part(header), part(claims)))
}

/// The part of a token.
pub(crate) fn part(token: &Token, index: usize) -> Value {
    let text = token.expose().split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}
