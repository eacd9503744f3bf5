//! Tokens of others.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`config`] | what people write about an issuer |
//! | `rules` | what the claims of its tokens mean |
//! | [`keys`] | its keys: kept, asked for again when one is missing, not too often |
//! | [`fetch`] | who gets its documents |

pub mod config;
pub mod fetch;
pub mod keys;
mod rules;

use jiff::Timestamp;

pub use config::JwtAuthenticator;
pub use fetch::{Fetch, Https};

use keys::Keys;
use rules::Rules;

use crate::token::{Parts, Token, TokenError};

/// Leeway for the beginning of a token, in seconds, as the existing controller has it.
const LEEWAY: i64 = 60;

/// Another issuer.
#[derive(Debug)]
pub struct External<F> {
    url: String,
    audiences: Vec<String>,
    rules: Rules,
    keys: Keys<F>,
}

impl External<Https> {
    /// As it is described, over HTTPS.
    ///
    /// # Errors
    /// What is wrong with the description, in words.
    pub fn new(settings: &JwtAuthenticator) -> Result<Self, String> {
        let url = &settings.issuer.url;
        let fetch = Https::new(settings.issuer.certificate_authority.clone());
        Self::with(settings, fetch.map_err(|why| format!("issuer {url}: {why}"))?)
    }
}

impl<F: Fetch> External<F> {
    /// As it is described, with its documents from somewhere.
    ///
    /// # Errors
    /// What is wrong with the description, in words.
    pub fn with(settings: &JwtAuthenticator, fetch: F) -> Result<Self, String> {
        let issuer = &settings.issuer;
        let url = issuer.url.clone();
        let named = |why: String| format!("issuer {url}: {why}");
        issuer.check().map_err(named)?;
        let rules = Rules::read(settings).map_err(named)?;
        let keys = Keys::new(url.clone(), issuer.discovery(), fetch);
        Ok(Self { audiences: issuer.audiences.clone(), rules, keys, url })
    }

    /// Its address, as its tokens have it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who has a token, and until when.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, token: &Token, now: Timestamp) -> Result<(String, Timestamp), TokenError> {
        let parts = Parts::of(token)?;
        let expires = parts.claims.check(&self.url, &self.audiences, LEEWAY, now)?;
        self.keys.check(&parts, now).await?;
        Ok((self.rules.username(&parts.claims)?, expires))
    }
}
