//! What a token is made of, before anything is believed.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::quote::{quoted, quoted_list};

/// Longest token that is looked at, in bytes. Those of a lab have 400; those of issuers that list groups have some thousand.
const LONGEST: usize = 32 * 1024;

/// A token. It does not show itself: whoever has it is whom it is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever is to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a token is not believed. The words are those of the existing service where it has some: clients look for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no token at all, or was cut.
    #[error("oidc: malformed jwt: {0}")]
    Malformed(String),
    /// Somebody else made it.
    #[error("oidc: id token issued by a different provider, expected {} got {}", quoted(.expected), quoted(.got))]
    Issuer {
        /// Who makes those that are believed here.
        expected: String,
        /// Who made it.
        got: String,
    },
    /// It was made for somebody else.
    #[error("oidc: expected audience {} got {}", one_or_all(.expected), quoted_list(.got))]
    Audience {
        /// Any of these would do.
        expected: Vec<String>,
        /// For whom it was made.
        got: Vec<String>,
    },
    /// It was valid once; without a time, it does not say until when.
    #[error("oidc: token is expired (Token Expiry: {})", go_time(*.0))]
    Expired(Option<Timestamp>),
    /// It is not valid yet.
    #[error("oidc: current time {} before the nbf (not before) time: {}", go_time(Some(*.now)), go_time(Some(*.start)))]
    NotYet {
        /// Now.
        now: Timestamp,
        /// From when it is valid.
        start: Timestamp,
    },
    /// It is signed in a way that is not believed, or not at all.
    #[error("oidc: id token signed with unsupported algorithm, expected {} got {}", quoted_list(.expected), quoted(.got))]
    Algorithm {
        /// The ways that are.
        expected: Vec<String>,
        /// Its own.
        got: String,
    },
    /// The key is known, and the signature is not by it: the token was changed, or made with another key of that name.
    #[error("failed to verify signature: failed to verify id token signature")]
    Signature,
    /// It names a key that its issuer does not have.
    #[error("failed to verify signature: the issuer has no key {}", quoted(.0))]
    UnknownKey(String),
    /// Its issuer has not been reached yet.
    #[error("oidc: authenticator not initialized")]
    NotInitialized,
    /// It is right, but does not say, or not as it must, what is needed.
    #[error("oidc: {0}")]
    Claim(String),
}

fn one_or_all(audiences: &[String]) -> String {
    match audiences {
        [one] => quoted(one),
        several => format!("in {}", quoted_list(several)),
    }
}

/// As Go prints a time; a missing one is its zero time.
fn go_time(time: Option<Timestamp>) -> String {
    match time {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        None => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
    }
}

/// A token that has been taken apart. Nothing of it is believed.
pub(crate) struct Parts<'a> {
    /// What was signed.
    pub(crate) message: &'a str,
    pub(crate) signature: &'a str,
    pub(crate) algorithm: String,
    pub(crate) key: Option<String>,
    pub(crate) claims: Claims,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(token: &'a Token) -> Result<Self, TokenError> {
        let malformed = |why: &str| TokenError::Malformed(why.to_owned());
        let text = token.expose();
        if text.len() > LONGEST {
            return Err(TokenError::Malformed(format!("longer than {LONGEST} bytes")));
        }
        let count = text.split('.').count();
        let (Some((message, signature)), 3) = (text.rsplit_once('.'), count) else {
            return Err(TokenError::Malformed(format!("expected 3 parts got {count}")));
        };
        let (header, payload) = message.split_once('.').ok_or_else(|| malformed("expected 3 parts"))?;
        let object = |what: &str, text: &str| -> Result<Map<String, Value>, TokenError> {
            // What is wrong with them in detail would show pieces of the token.
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
            let bytes = bytes.map_err(|_| malformed(&format!("the {what} is not base64url")))?;
            serde_json::from_slice(&bytes).map_err(|_| malformed(&format!("the {what} is no JSON object")))
        };
        let header = object("header", header)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed(&format!("{} of the header is no text", quoted(name)))),
        };
        if header.contains_key("crit") {
            // RFC 7515, 4.1.11: what must be understood and is not makes it invalid.
            return Err(malformed("its header has extensions that must be understood"));
        }
        let algorithm = text("alg")?.ok_or_else(|| malformed("the header names no algorithm"))?;
        let claims = Claims(object("payload", payload)?);
        Ok(Self { message, signature, algorithm, key: text("kid")?, claims })
    }
}

/// What a token says.
#[derive(Clone, Debug)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Seconds since 1970; some issuers write fractions.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, TokenError> {
        let wrong = || TokenError::Malformed(format!("{} of the payload is no time", quoted(name)));
        let Some(value) = self.0.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "towards the past, and out of range is refused below"
        )]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
        let seconds = seconds.ok_or_else(wrong)?;
        Timestamp::from_second(seconds).map(Some).map_err(|_| wrong())
    }

    fn audiences(&self) -> Vec<String> {
        match self.0.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(several)) => {
                several.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Issuer, audience, times, in this order: a client looks in the text for the first thing that is wrong, and an expired
    /// token is to be told apart from any other even when keys have changed since.
    pub(crate) fn check(
        &self,
        issuer: &str,
        audiences: &[String],
        leeway: i64,
        now: Timestamp,
    ) -> Result<Timestamp, TokenError> {
        let got = self.text("iss").unwrap_or_default();
        if got != issuer {
            return Err(TokenError::Issuer { expected: issuer.to_owned(), got: got.to_owned() });
        }
        let got = self.audiences();
        if !got.iter().any(|audience| audiences.contains(audience)) {
            return Err(TokenError::Audience { expected: audiences.to_vec(), got });
        }
        // The second that it names is over.
        let expires = self.time("exp")?;
        let end = expires.filter(|end| *end > now).ok_or(TokenError::Expired(expires))?;
        if let Some(start) = self.time("nbf")?
            && start.as_second().saturating_sub(leeway) > now.as_second()
        {
            return Err(TokenError::NotYet { now, start });
        }
        Ok(end)
    }
}

/// Who says that he made a token. Nothing about it is believed.
pub(crate) fn claimed_issuer(token: &Token) -> Result<String, TokenError> {
    let parts = Parts::of(token)?;
    parts
        .claims
        .text("iss")
        .map(str::to_owned)
        .ok_or_else(|| TokenError::Malformed("it names no issuer".to_owned()))
}
