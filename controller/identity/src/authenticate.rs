//! Who decides about a token.

use jiff::Timestamp;

use crate::{
    call::Refused,
    external::{External, Fetch},
    issuer::{Issuer, Own},
    subject::Subject,
    token::{Token, TokenError, claimed_issuer},
};

/// Prefix of the usernames of those that have the lab's tokens.
pub const PREFIX: &str = "internal:";

/// Somebody whose token was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A client or an exporter, by a token of the lab.
    Internal {
        /// Whom the token is about.
        subject: Subject,
        /// The generation of the token.
        generation: u64,
        /// When it ends.
        expires: Timestamp,
    },
    /// A user of another issuer.
    External {
        /// What he is called, with the prefix of the issuer.
        username: String,
        /// The issuer's address.
        issuer: String,
        /// When the token ends.
        expires: Timestamp,
    },
}

impl Identity {
    /// What he is called: for logs, and for `spec.username` of an object that is made for him.
    pub fn username(&self) -> String {
        match self {
            Self::Internal { subject, .. } => format!("{PREFIX}{subject}"),
            Self::External { username, .. } => username.clone(),
        }
    }

    /// When the token ends.
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Internal { expires, .. } | Self::External { expires, .. } => *expires,
        }
    }
}

/// Knows the lab's tokens and those of others.
#[derive(Debug)]
pub struct Authenticator<F> {
    externals: Vec<External<F>>,
    own: Issuer,
}

impl<F: Fetch> Authenticator<F> {
    /// With other issuers, in the order in which they are asked, and the lab's own, which is asked last.
    ///
    /// # Errors
    /// When two of them have the same address, or one gives names that look like the lab's own. In words.
    pub fn new(externals: Vec<External<F>>, own: Issuer) -> Result<Self, String> {
        for (index, external) in externals.iter().enumerate() {
            let url = external.url();
            if url == own.url() {
                return Err(format!("issuer {url}: this is the address of the lab's own tokens"));
            }
            if externals[..index].iter().any(|other| other.url() == url) {
                return Err(format!("issuer {url}: it is there twice"));
            }
        }
        Ok(Self { externals, own })
    }

    /// The lab's own issuer.
    pub fn own(&self) -> &Issuer {
        &self.own
    }

    /// Who has this token, at this time. The issuer that it names decides, and no other one.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn authenticate(&self, token: &Token, now: Timestamp) -> Result<Identity, Refused> {
        let issuer = claimed_issuer(token).map_err(Refused::Unclaimed)?;
        if let Some(external) = self.externals.iter().find(|external| external.url() == issuer) {
            let (username, expires) = external.verify(token, now).await.map_err(Refused::Token)?;
            return Ok(Identity::External { username, issuer, expires });
        }
        if issuer != self.own.url() {
            let expected = self.own.url().to_owned();
            return Err(Refused::Unclaimed(TokenError::Issuer { expected, got: issuer }));
        }
        let Own { subject, generation, expires } = self.own.verify(token, now).map_err(Refused::Token)?;
        Ok(Identity::Internal { subject, generation, expires })
    }
}
