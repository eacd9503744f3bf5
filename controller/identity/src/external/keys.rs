//! The keys of another issuer.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, crypto, jwk::Jwk};
use serde::Deserialize;
use serde_json::Value;

use super::{Fetch, config};
use crate::{
    quote::quoted,
    token::{Parts, TokenError},
};

/// How long after an attempt to get the keys the next one is made, at the earliest. Whoever shows tokens with names of keys
/// that nobody has cannot make us ask more often.
pub const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// After this time the keys are asked for again, so that one that its issuer has withdrawn is not believed for ever.
pub const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// How many keys of an issuer are looked at.
const MOST: usize = 64;

/// How somebody may have signed. Not what the two have to share a secret for, and not `none`.
const ALGORITHMS: [(&str, Algorithm); 8] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
];

/// One key.
#[derive(Debug)]
struct Known {
    name: Option<String>,
    algorithm: Option<String>,
    key: DecodingKey,
}

/// The keys, and when they were got.
#[derive(Debug, Default)]
struct Set {
    keys: Arc<[Known]>,
    at: Option<Timestamp>,
}

/// The keys of an issuer, got when they are needed.
#[derive(Debug)]
pub(super) struct Keys<F> {
    url: String,
    discovery: String,
    fetch: F,
    set: RwLock<Set>,
    /// When they were last asked for. Held while they are, so that it is done once for all who wait.
    asked: tokio::sync::Mutex<Option<Timestamp>>,
}

/// What is in the description of an issuer that matters here.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl<F: Fetch> Keys<F> {
    pub(super) fn new(url: String, discovery: String, fetch: F) -> Self {
        Self { url, discovery, fetch, set: RwLock::default(), asked: tokio::sync::Mutex::default() }
    }

    /// Whether a token was signed by the issuer.
    pub(super) async fn check(&self, parts: &Parts<'_>, now: Timestamp) -> Result<(), TokenError> {
        let Some((_, algorithm)) = ALGORITHMS.iter().find(|(name, _)| *name == parts.algorithm) else {
            let expected = ALGORITHMS.iter().map(|(name, _)| (*name).to_owned()).collect();
            return Err(TokenError::Algorithm { expected, got: parts.algorithm.clone() });
        };
        let (keys, at) = self.known();
        let found = try_all(&keys, parts, *algorithm);
        let fresh = at.is_some_and(|at| now.duration_since(at) < FRESH);
        if found == Ok(true) && fresh {
            return Ok(());
        }
        // A name that is known, with another signature, is a forgery, and no reason to ask.
        if found == Ok(false) && fresh {
            return Err(TokenError::Signature);
        }
        // Who would be believed anyway does not wait for one who asks already.
        self.refresh(at, now, found == Ok(true)).await;
        let (keys, at) = self.known();
        if at.is_none() {
            return Err(TokenError::NotInitialized);
        }
        match try_all(&keys, parts, *algorithm) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TokenError::Signature),
            Err(Unknown) => Err(TokenError::UnknownKey(parts.key.clone().unwrap_or_default())),
        }
    }

    fn known(&self) -> (Arc<[Known]>, Option<Timestamp>) {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&set.keys), set.at)
    }

    /// Asks for the keys, unless that was done just now, or somebody else has done it meanwhile.
    async fn refresh(&self, seen: Option<Timestamp>, now: Timestamp, hurry: bool) {
        let mut asked = match self.asked.try_lock() {
            Ok(asked) => asked,
            Err(_) if hurry => return,
            Err(_) => self.asked.lock().await,
        };
        let newer = self.known().1 != seen;
        if newer || asked.is_some_and(|asked| now.duration_since(asked) < PAUSE && asked <= now) {
            return;
        }
        *asked = Some(now);
        match self.get().await {
            Ok(keys) => {
                let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
                *set = Set { keys: keys.into(), at: Some(now) };
            }
            Err(why) => tracing::warn!(issuer = self.url, why, "the keys of an issuer cannot be had"),
        }
    }

    async fn get(&self) -> Result<Vec<Known>, String> {
        let description = self.fetch.get(&self.discovery).await?;
        let description: Description = serde_json::from_slice(&description)
            .map_err(|error| format!("{}: this is no description of an issuer: {error}", self.discovery))?;
        if description.issuer != self.url {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {} got {}",
                quoted(&self.url),
                quoted(&description.issuer)
            ));
        }
        config::https("jwks_uri", &description.jwks_uri)?;
        let set = self.fetch.get(&description.jwks_uri).await?;
        let wrong = |why: &str| format!("{}: this is no key set: {why}", quoted(&description.jwks_uri));
        let set: Value = serde_json::from_slice(&set).map_err(|error| wrong(&error.to_string()))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or_else(|| wrong("it has no `keys`"))?;
        // Keys of kinds that are not known here are for others.
        Ok(keys.iter().take(MOST).filter_map(known).collect())
    }
}

fn known(key: &Value) -> Option<Known> {
    if key.get("use").and_then(Value::as_str).is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let text = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    Some(Known { name: text("kid"), algorithm: text("alg"), key: DecodingKey::from_jwk(&jwk).ok()? })
}

/// No key of that name.
#[derive(Debug, PartialEq, Eq)]
struct Unknown;

/// Whether one of the keys that may be meant has signed it.
fn try_all(keys: &[Known], parts: &Parts<'_>, algorithm: Algorithm) -> Result<bool, Unknown> {
    // A key, or a token, without a name may be any.
    let named = |known: &&Known| match (&known.name, &parts.key) {
        (Some(known), Some(wanted)) => known == wanted,
        _ => true,
    };
    let candidates: Vec<_> = keys.iter().filter(named).collect();
    let signed = candidates
        .iter()
        .filter(|known| known.algorithm.as_ref().is_none_or(|algorithm| *algorithm == parts.algorithm))
        .any(|known| {
            crypto::verify(parts.signature, parts.message.as_bytes(), &known.key, algorithm).unwrap_or(false)
        });
    let by_name = candidates.iter().any(|known| known.name.is_some() && parts.key.is_some());
    if signed {
        Ok(true)
    } else if by_name {
        Ok(false)
    } else {
        Err(Unknown)
    }
}
