//! Tokens of streams.
//!
//! A token is a JWT, signed with a key that controller and routers share. Its subject is the name of the stream, random for
//! each dial; it says nothing about who holds it. It is checked once, when a call begins.

use std::{fmt, fs, path::PathBuf, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `iss` of every token.
pub const ISSUER: &str = "https://jumpstarter.dev/stream";

/// `aud` of every token.
pub const AUDIENCE: &str = "https://jumpstarter.dev/router";

/// How long a token is valid, as upstream's controller has it.
pub const LIFETIME: Duration = Duration::from_mins(30);

/// What tokens are signed with: the bytes as they are, without any decoding.
#[derive(Clone)]
pub enum Key {
    /// These bytes.
    Fixed(Vec<u8>),
    /// What this file holds when a token is checked, without the line break at its end; so a key can be changed without a
    /// restart.
    File(PathBuf),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key itself has no business in logs.
        match self {
            Self::Fixed(_) => f.write_str("Fixed(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Key {
    /// The bytes.
    ///
    /// # Errors
    /// When the file cannot be read, or there is no key in it.
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let bytes = match self {
            Self::Fixed(bytes) => bytes.clone(),
            Self::File(path) => {
                let mut bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    bytes.pop();
                }
                bytes
            }
        };
        // An empty key would let everybody in who has read this line.
        if bytes.is_empty() { Err("the key of the router is empty".to_owned()) } else { Ok(bytes) }
    }

    /// Whether there is a key.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        self.bytes().map(drop)
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// The name of the stream.
    pub sub: String,
    /// For whom it was made: one text, or a list.
    pub aud: Audience,
    /// Seconds since 1970 at which it is no longer valid.
    pub exp: i64,
    /// Seconds since 1970 before which it is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Seconds since 1970 at which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// A name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

/// For whom a token was made. JWT allows one text where others write a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One of them.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Makes and checks tokens with one key.
#[derive(Clone, Debug)]
pub struct Tokens {
    key: Key,
}

impl Tokens {
    /// With this key.
    pub fn new(key: Key) -> Self {
        Self { key }
    }

    /// A token for a stream of this name, made at `now` (seconds since 1970).
    ///
    /// # Errors
    /// When there is no key, in words.
    pub fn issue(&self, stream: &str, now: i64) -> Result<String, String> {
        let lifetime = i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: stream.to_owned(),
            aud: Audience::Many(vec![AUDIENCE.to_owned()]),
            exp: now.saturating_add(lifetime),
            nbf: Some(now),
            iat: Some(now),
            jti: Some(Uuid::new_v4().to_string()),
        };
        self.sign(Algorithm::HS256, &claims)
    }

    /// Any claims, signed. For whoever wants to know what is refused.
    ///
    /// # Errors
    /// When there is no key, in words.
    pub fn sign(&self, algorithm: Algorithm, claims: &Claims) -> Result<String, String> {
        let key = EncodingKey::from_secret(&self.key.bytes()?);
        encode(&Header::new(algorithm), claims, &key).map_err(|error| error.to_string())
    }

    /// The name of the stream that a token opens at `now` (seconds since 1970).
    ///
    /// There is no leeway: a token that ends at `now` has ended. Upstream's controller and routers agree on their clocks,
    /// or their tokens do not work there either.
    ///
    /// # Errors
    /// Why it opens none, for the log: a caller is told only that it does not.
    pub fn stream(&self, token: &str, now: i64) -> Result<String, String> {
        let key = DecodingKey::from_secret(&self.key.bytes()?);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library has its own clock and calls the last second a valid one; times are compared below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = decode::<Claims>(token, &key, &validation).map_err(|error| error.to_string())?.claims;
        if claims.exp <= now {
            return Err(format!("expired {} s ago", now.saturating_sub(claims.exp)));
        }
        if claims.nbf.is_some_and(|start| start > now) || claims.iat.is_some_and(|made| made > now) {
            return Err("not valid yet".to_owned());
        }
        if claims.sub.is_empty() {
            return Err("it names no stream".to_owned());
        }
        Ok(claims.sub)
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn tokens() -> Tokens {
        Tokens::new(Key::Fixed(b"a key".to_vec()))
    }

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            sub: "a stream".to_owned(),
            aud: Audience::One(AUDIENCE.to_owned()),
            exp: NOW + 1,
            nbf: None,
            iat: None,
            jti: None,
        }
    }

    #[test]
    fn a_token_opens_the_stream_it_was_made_for() {
        let token = tokens().issue("a stream", NOW).unwrap();
        assert_eq!(tokens().stream(&token, NOW).as_deref(), Ok("a stream"));
        assert_eq!(tokens().stream(&token, NOW + 1799).as_deref(), Ok("a stream"));
    }

    #[test]
    fn pitfall_o5_a_token_has_ended_in_the_second_that_it_names() {
        let token = tokens().issue("a stream", NOW).unwrap();
        assert_eq!(tokens().stream(&token, NOW + 1800), Err("expired 0 s ago".to_owned()));
        assert_eq!(tokens().stream(&token, NOW - 1), Err("not valid yet".to_owned()));
    }

    #[test]
    fn a_token_needs_neither_a_start_nor_a_list_of_audiences() {
        let token = tokens().sign(Algorithm::HS512, &claims()).unwrap();
        assert_eq!(tokens().stream(&token, NOW).as_deref(), Ok("a stream"));
    }

    #[test]
    fn what_was_made_for_something_else_opens_nothing() {
        let foreign = Tokens::new(Key::Fixed(b"another key".to_vec())).issue("a stream", NOW).unwrap();
        let other = [
            Claims { iss: "https://jumpstarter.dev/other".to_owned(), ..claims() },
            Claims { aud: Audience::Many(vec!["https://jumpstarter.dev/controller".to_owned()]), ..claims() },
            Claims { aud: Audience::Many(Vec::new()), ..claims() },
            Claims { iat: Some(NOW + 1), ..claims() },
            Claims { sub: String::new(), ..claims() },
        ];
        let mut refused: Vec<_> =
            other.iter().map(|claims| tokens().sign(Algorithm::HS256, claims).unwrap()).collect();
        let good = tokens().issue("a stream", NOW).unwrap();
        // {"alg":"none","typ":"JWT"}, with a body that would do.
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", good.split('.').nth(1).unwrap());
        refused.extend([foreign, unsigned, good[..good.len() - 2].to_owned(), String::new(), "x".to_owned()]);
        for token in refused {
            assert!(tokens().stream(&token, NOW).is_err(), "{token}");
        }
    }

    #[test]
    fn pitfall_o7_a_new_key_in_the_file_counts_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tokens = Tokens::new(Key::File(file.path().to_owned()));
        assert!(tokens.issue("a stream", NOW).unwrap_err().contains("empty"));
        fs::write(file.path(), "first\n").unwrap();
        let token = tokens.issue("a stream", NOW).unwrap();
        let plain = Tokens::new(Key::Fixed(b"first".to_vec()));
        assert_eq!(plain.stream(&token, NOW).as_deref(), Ok("a stream"), "the line break is not of the key");
        fs::write(file.path(), "second").unwrap();
        assert!(tokens.stream(&token, NOW).is_err());
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", tokens()), "Tokens { key: Fixed(..) }");
    }
}
