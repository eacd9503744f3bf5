//! What people write about another issuer: a `JWTAuthenticator` of Kubernetes (`apiserver.config.k8s.io/v1beta1`, 1.33).

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Another issuer, and what its claims mean.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtAuthenticator {
    /// Who makes the tokens.
    pub issuer: IssuerSettings,
    /// What else must be so.
    #[serde(default)]
    pub claim_validation_rules: Vec<ClaimRule>,
    /// Who somebody is.
    pub claim_mappings: ClaimMappings,
    /// What must be so of a user.
    #[serde(default)]
    pub user_validation_rules: Vec<UserRule>,
}

/// Who makes the tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its address, exactly as the tokens have it.
    pub url: String,
    /// Where its description is, if not at its address with `/.well-known/openid-configuration`.
    #[serde(default, rename = "discoveryURL")]
    pub discovery_url: Option<String>,
    /// Certificates that its own must lead to: PEM, or the path of a file with it, which is read again when it has changed.
    /// Absent or empty: those that this machine trusts.
    #[serde(default)]
    pub certificate_authority: Option<String>,
    /// For whom the tokens must be made: any of these.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// `MatchAny`, which must be said if there are several.
    #[serde(default)]
    pub audience_match_policy: Option<String>,
}

/// Who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimMappings {
    /// What he is called.
    #[serde(default)]
    pub username: Mapping,
    /// Not used.
    #[serde(default)]
    pub groups: Mapping,
    /// Not used.
    #[serde(default)]
    pub uid: Mapping,
    /// Not used.
    #[serde(default)]
    pub extra: Vec<Extra>,
}

/// From a claim, or from an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// Which claim.
    #[serde(default)]
    pub claim: Option<String>,
    /// What is put in front of its value; may be empty, but must be said.
    #[serde(default)]
    pub prefix: Option<String>,
    /// In CEL, over `claims`.
    #[serde(default)]
    pub expression: Option<String>,
}

/// Not used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Extra {
    /// Its name.
    pub key: String,
    /// In CEL.
    pub value_expression: String,
}

/// A claim must have a value, or an expression must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimRule {
    /// Which claim.
    #[serde(default)]
    pub claim: Option<String>,
    /// Its value; empty for any that is empty.
    #[serde(default)]
    pub required_value: Option<String>,
    /// In CEL, over `claims`.
    #[serde(default)]
    pub expression: Option<String>,
    /// What is said when it is false.
    #[serde(default)]
    pub message: Option<String>,
}

/// An expression must be true.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRule {
    /// In CEL, over `user`, which has `username`.
    pub expression: String,
    /// What is said when it is false.
    #[serde(default)]
    pub message: Option<String>,
}

impl IssuerSettings {
    /// What is wrong with it, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        https("issuer.url", &self.url)?;
        if let Some(url) = &self.discovery_url {
            https("issuer.discoveryURL", url)?;
            if *url == self.url {
                return Err("`issuer.discoveryURL` must differ from `issuer.url`, or be left out".to_owned());
            }
        }
        let policy = self.audience_match_policy.as_deref().unwrap_or_default();
        match (self.audiences.len(), policy) {
            (0, _) => {
                Err("`issuer.audiences` needs at least one entry: whom the tokens are made for".to_owned())
            }
            (_, "" | "MatchAny") if self.audiences.iter().any(String::is_empty) => {
                Err("`issuer.audiences`: an entry is empty".to_owned())
            }
            (1, "" | "MatchAny") | (_, "MatchAny") => Ok(()),
            (_, "") => {
                Err("`issuer.audienceMatchPolicy` must be MatchAny when there are several audiences"
                    .to_owned())
            }
            (_, other) => Err(format!("`issuer.audienceMatchPolicy`: `{other}` is unknown, write MatchAny")),
        }
    }

    /// Where its description is.
    pub(super) fn discovery(&self) -> String {
        self.discovery_url
            .clone()
            .unwrap_or_else(|| format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/')))
    }
}

/// Whoever answers here says which keys are believed.
pub(super) fn https(what: &str, text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("`{what}`: this is no URL ({error})"))?;
    let plain = url.username().is_empty() && url.password().is_none();
    if url.scheme() != "https" || !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{what}` must be an https address without user, query and fragment"));
    }
    Ok(())
}
