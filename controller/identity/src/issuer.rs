//! The lab's own tokens.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, crypto, encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    key::SigningKey,
    subject::Subject,
    token::{Parts, Token, TokenError},
};

/// `iss` of the tokens, as the existing controller has it. Nobody has to be there to answer.
pub const URL: &str = "https://localhost:8085";

/// `aud` of the tokens.
pub const AUDIENCE: &str = "jumpstarter";

/// How long a token is valid if nobody says otherwise.
pub const LIFETIME: Duration = Duration::from_hours(365 * 24);

/// Name of the key in the key set, as the existing controller has it. The tokens name no key.
const KEY: &str = "default";

/// Leeway for the beginning of a token, in seconds, as the existing controller has it.
const LEEWAY: i64 = 60;

/// What a token says.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    sub: String,
    aud: [&'a str; 1],
    exp: i64,
    iat: i64,
    /// How often an administrator had made the object's tokens invalid. The existing controller's tokens have none.
    #[serde(skip_serializing_if = "is_zero")]
    generation: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A token of the lab that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Whom it is about.
    pub subject: Subject,
    /// Its generation.
    pub generation: u64,
    /// When it ends.
    pub expires: Timestamp,
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// When it ends.
    pub expires: Timestamp,
}

/// Makes and checks the lab's tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    url: String,
    lifetime: Duration,
}

impl Issuer {
    /// With this key.
    pub fn new(key: SigningKey) -> Self {
        Self { key, url: URL.to_owned(), lifetime: LIFETIME }
    }

    /// With another lifetime of new tokens.
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Under another address.
    pub fn with_url(self, url: impl Into<String>) -> Self {
        Self { url: url.into(), ..self }
    }

    /// The address that its tokens name.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token for a subject. Signatures have chance in them, so two of the same second differ.
    ///
    /// # Errors
    /// When it cannot be signed, in words.
    pub fn issue(&self, subject: &Subject, generation: u64, now: Timestamp) -> Result<Issued, String> {
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let expires = Timestamp::from_second(now.as_second().saturating_add(lifetime))
            .map_err(|_| "the token would be valid longer than dates go".to_owned())?;
        let written = Written {
            iss: &self.url,
            sub: subject.to_string(),
            aud: [AUDIENCE],
            exp: expires.as_second(),
            iat: now.as_second(),
            generation,
        };
        let text = encode(&Header::new(Algorithm::ES256), &written, self.key.private());
        let text = text.map_err(|error| format!("the token cannot be signed: {error}"))?;
        Ok(Issued { token: Token::new(text), expires })
    }

    /// Whom a token is about, at this time.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, token: &Token, now: Timestamp) -> Result<Own, TokenError> {
        let parts = Parts::of(token)?;
        let expires = parts.claims.check(&self.url, &[AUDIENCE.to_owned()], LEEWAY, now)?;
        if parts.algorithm != "ES256" {
            let expected = vec!["ES256".to_owned()];
            return Err(TokenError::Algorithm { expected, got: parts.algorithm });
        }
        let signed =
            crypto::verify(parts.signature, parts.message.as_bytes(), self.key.public(), Algorithm::ES256);
        // A signature that is no base64 is none.
        if !signed.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        let subject = parts.claims.text("sub").unwrap_or_default();
        let subject =
            subject.parse().map_err(|why| TokenError::Claim(format!("the subject is none: {why}")))?;
        let generation = match parts.claims.get("generation") {
            None => 0,
            Some(value) => {
                value.as_u64().ok_or_else(|| TokenError::Claim("the generation is no number".to_owned()))?
            }
        };
        Ok(Own { subject, generation, expires })
    }

    /// What OpenID Connect wants to read at `/.well-known/openid-configuration`.
    pub fn discovery(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/jwks", self.url),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The key set at `jwks_uri`.
    pub fn jwks(&self) -> Value {
        let (x, y) = self.key.point();
        let key = json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": KEY, "use": "sig", "alg": "ES256",
        });
        json!({ "keys": [key] })
    }
}
