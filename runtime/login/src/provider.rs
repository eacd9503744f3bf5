//! An identity provider: OpenID Connect's discovery, and OAuth 2.0's ways to a token.

use std::time::Duration;

use jumpstarter_core::{Error, ErrorKind, Result, config::source::Secret};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, DeviceAuthorizationUrl, ErrorResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, ResourceOwnerPassword,
    ResourceOwnerUsername, Scope, StandardDeviceAuthorizationResponse, StandardErrorResponse,
    TokenResponse as _, TokenUrl,
    basic::{BasicClient, BasicErrorResponseType, BasicTokenResponse},
};
use serde::Deserialize;

use crate::{callback::Callback, web::Web};

/// Below the address of an issuer (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What this program is called at providers, as the existing client is.
pub const CLIENT_ID: &str = "jumpstarter-cli";

/// What a provider gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// What a lab is shown.
    pub access: Secret,
    /// What brings another one, if it was asked for and given.
    pub refresh: Option<Secret>,
}

/// What a provider says about itself (OpenID Connect Discovery 1.0, RFC 8628 section 4).
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "they are the keys of the document")]
struct Document {
    token_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
}

/// An identity provider, ready to be asked.
#[derive(Clone, Debug)]
pub struct Provider {
    web: Web,
    issuer: String,
    client_id: String,
    offline: bool,
    token: TokenUrl,
    document: Document,
}

/// What somebody types elsewhere, to sign in here.
#[derive(Debug)]
pub struct DeviceCode(StandardDeviceAuthorizationResponse);

impl DeviceCode {
    /// Where: the page, and whether the code is in it already.
    pub fn page(&self) -> (&str, bool) {
        match self.0.verification_uri_complete() {
            Some(complete) => (complete.secret(), true),
            None => (self.0.verification_uri().as_str(), false),
        }
    }

    /// The code.
    pub fn code(&self) -> &str {
        self.0.user_code().secret()
    }
}

/// A sign-in that goes on in a browser.
#[derive(Debug)]
pub struct InBrowser {
    /// The page to open.
    pub page: String,
    callback: Callback,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
}

impl Provider {
    /// Asks an issuer what it can do. `offline`: tokens shall come with one that brings others.
    ///
    /// # Errors
    /// When it does not answer, or is no provider of tokens for programs.
    pub async fn discover(web: Web, issuer: &str, client_id: &str, offline: bool) -> Result<Self> {
        let issuer = issuer.trim().trim_end_matches('/').to_owned();
        let url = format!("{issuer}{DISCOVERY}");
        if !(issuer.starts_with("https://") || web.trusts_anybody() && issuer.starts_with("http://")) {
            return Err(Error::usage(format!("issuer {issuer:?}: write https://HOST; http:// needs -k")));
        }
        let document = web.document(&url).await.map_err(|error| error.context(format!("issuer {issuer}")))?;
        let document: Document = serde_json::from_value(document)
            .map_err(|error| Error::disconnected(format!("issuer {issuer}: {url}: {error}")))?;
        let token = document.token_endpoint.clone().ok_or_else(|| {
            Error::usage(format!("issuer {issuer} gives no tokens to programs: it names no `token_endpoint`; name another with --issuer"))
        })?;
        let token = TokenUrl::new(token).map_err(|error| wrong(&issuer, "token_endpoint", &error))?;
        if token.url().scheme() != "https" && !web.trusts_anybody() {
            return Err(Error::usage(format!(
                "issuer {issuer}: its `token_endpoint` is in clear text, which needs -k"
            )));
        }
        Ok(Self { web, issuer, client_id: client_id.to_owned(), offline, token, document })
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> + use<> {
        let more = self.offline.then_some("offline_access");
        ["openid", "profile"].into_iter().chain(more).map(|scope| Scope::new(scope.to_owned()))
    }

    /// Another token for one that is about to end.
    ///
    /// # Errors
    /// When the provider refuses or does not answer.
    pub async fn refresh(&self, token: &Secret) -> Result<Tokens> {
        let client =
            BasicClient::new(ClientId::new(self.client_id.clone())).set_token_uri(self.token.clone());
        let token = RefreshToken::new(token.expose().to_owned());
        let answer = client.exchange_refresh_token(&token).request_async(&self.web).await;
        self.tokens(answer)
    }

    /// A token for somebody who says who he is (the "password" grant, which many providers do not have any more).
    ///
    /// # Errors
    /// When the provider refuses or does not answer.
    pub async fn password(&self, name: &str, password: &Secret) -> Result<Tokens> {
        let client =
            BasicClient::new(ClientId::new(self.client_id.clone())).set_token_uri(self.token.clone());
        let name = ResourceOwnerUsername::new(name.to_owned());
        let password = ResourceOwnerPassword::new(password.expose().to_owned());
        let asked = client.exchange_password(&name, &password).add_scopes(self.scopes());
        let answer = asked.request_async(&self.web).await;
        self.tokens(answer)
    }

    /// A token for one of somebody else (RFC 8693), whom `connector` names where the provider wants to know that (Dex).
    ///
    /// # Errors
    /// When the provider refuses or does not answer.
    pub async fn exchange(&self, token: &Secret, connector: Option<&str>) -> Result<Tokens> {
        let scopes: Vec<_> = self.scopes().map(|scope| scope.to_string()).collect();
        let scopes = scopes.join(" ");
        let mut fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("subject_token", token.expose()),
            ("scope", scopes.as_str()),
            ("client_id", self.client_id.as_str()),
        ];
        fields.extend(connector.map(|connector| ("connector_id", connector)));
        let (good, body) = self.web.form(self.token.as_str(), &fields).await?;
        if good {
            let answer: BasicTokenResponse = serde_json::from_slice(&body).map_err(|_| self.nonsense())?;
            return Ok(tokens(&answer));
        }
        let refused: StandardErrorResponse<BasicErrorResponseType> =
            serde_json::from_slice(&body).map_err(|_| self.nonsense())?;
        Err(self.refused(&refused))
    }

    /// Begins a sign-in on another device (RFC 8628).
    ///
    /// # Errors
    /// When the provider cannot do that, or does not answer.
    pub async fn device_code(&self) -> Result<DeviceCode> {
        let url = self.document.device_authorization_endpoint.clone().ok_or_else(|| {
            Error::usage(format!(
                "issuer {} has no sign-in on another device: leave out --device-flow",
                self.issuer
            ))
        })?;
        let url = DeviceAuthorizationUrl::new(url)
            .map_err(|error| wrong(&self.issuer, "device_authorization_endpoint", &error))?;
        let client =
            BasicClient::new(ClientId::new(self.client_id.clone())).set_device_authorization_url(url);
        let asked = client.exchange_device_code().add_scopes(self.scopes());
        let answer: Result<StandardDeviceAuthorizationResponse, _> = asked.request_async(&self.web).await;
        answer.map(DeviceCode).map_err(|error| self.error(error))
    }

    /// Waits until somebody has signed in elsewhere.
    ///
    /// # Errors
    /// When that was refused, or took too long.
    pub async fn device_tokens(&self, code: &DeviceCode) -> Result<Tokens> {
        let client =
            BasicClient::new(ClientId::new(self.client_id.clone())).set_token_uri(self.token.clone());
        let waiting = client.exchange_device_access_token(&code.0);
        let answer = waiting.request_async(&self.web, tokio::time::sleep, None).await;
        answer.map(|answer| tokens(&answer)).map_err(|error| self.error(error))
    }

    /// Begins a sign-in in a browser of this machine (RFC 6749 section 4.1, with PKCE as RFC 8252 wants it).
    ///
    /// # Errors
    /// When the provider has no page for it, or the port is taken.
    pub async fn in_browser(&self, port: u16) -> Result<InBrowser> {
        let url = self.document.authorization_endpoint.clone().ok_or_else(|| {
            Error::usage(format!(
                "issuer {} has no page to sign in at: it names no `authorization_endpoint`",
                self.issuer
            ))
        })?;
        let url = AuthUrl::new(url).map_err(|error| wrong(&self.issuer, "authorization_endpoint", &error))?;
        let callback = Callback::listen(port).await?;
        let redirect =
            RedirectUrl::new(callback.address()).map_err(|error| Error::internal(error.to_string()))?;
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(url)
            .set_redirect_uri(redirect);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (page, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(self.scopes())
            .set_pkce_challenge(challenge)
            .url();
        Ok(InBrowser { page: page.to_string(), callback, state, verifier })
    }

    /// Waits until somebody has signed in in the browser, so long.
    ///
    /// # Errors
    /// When that was refused, or took too long.
    pub async fn browser_tokens(&self, begun: InBrowser, limit: Duration) -> Result<Tokens> {
        let InBrowser { callback, state, verifier, .. } = begun;
        let redirect =
            RedirectUrl::new(callback.address()).map_err(|error| Error::internal(error.to_string()))?;
        let code = tokio::time::timeout(limit, callback.code(state.secret()))
            .await
            .map_err(|_| Error::timeout(format!("nobody has signed in within {} s", limit.as_secs())))??;
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_token_uri(self.token.clone())
            .set_redirect_uri(redirect);
        let asked = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier);
        let answer = asked.request_async(&self.web).await;
        self.tokens(answer)
    }

    fn tokens<T: ErrorResponse + std::fmt::Display>(
        &self,
        answer: Result<BasicTokenResponse, RequestTokenError<Error, T>>,
    ) -> Result<Tokens> {
        answer.map(|answer| tokens(&answer)).map_err(|error| self.error(error))
    }

    fn error<T: ErrorResponse + std::fmt::Display>(&self, error: RequestTokenError<Error, T>) -> Error {
        match error {
            RequestTokenError::ServerResponse(refused) => self.refused(&refused),
            RequestTokenError::Request(error) => error,
            // The body may hold tokens.
            RequestTokenError::Parse(..) => self.nonsense(),
            RequestTokenError::Other(text) => Error::disconnected(format!("issuer {}: {text}", self.issuer)),
        }
    }

    fn refused(&self, refused: &impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Unauthenticated, format!("issuer {} refuses: {refused}", self.issuer))
    }

    fn nonsense(&self) -> Error {
        Error::disconnected(format!("issuer {}: its answer is none that OAuth 2.0 knows", self.issuer))
    }
}

fn wrong(issuer: &str, what: &str, error: &impl std::fmt::Display) -> Error {
    Error::disconnected(format!("issuer {issuer}: its `{what}` is no address: {error}"))
}

fn tokens(answer: &BasicTokenResponse) -> Tokens {
    Tokens {
        access: Secret::new(answer.access_token().secret().as_str()),
        refresh: answer.refresh_token().map(|token| Secret::new(token.secret().as_str())),
    }
}
