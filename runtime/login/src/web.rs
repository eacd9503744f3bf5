//! HTTPS to labs and identity providers.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jumpstarter_core::{Error, ErrorKind, Result};
use jumpstarter_transport::distrust::Distrust;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::{Client, Response, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;

/// Longest answer that is read. The documents of providers have some thousand bytes.
const LONGEST: usize = 1024 * 1024;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom connections trust.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Whoever answers, and clear text: for tests.
    pub anybody: bool,
    /// Certificates (PEM) beside those that this machine trusts (`SSL_CERT_FILE`, if that is set).
    pub more: Vec<u8>,
}

/// Sends requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Web {
    /// For documents: follows redirections.
    pages: Client,
    /// For secrets: they go where they are sent and nowhere else.
    secrets: Client,
    anybody: bool,
}

impl Web {
    /// With this trust.
    ///
    /// # Errors
    /// When a certificate cannot be read, or the program has installed no TLS provider.
    pub fn new(trust: &Trust) -> Result<Self> {
        let build = |policy: Policy| {
            let builder = Client::builder().timeout(PATIENCE).redirect(policy).https_only(!trust.anybody);
            let builder = if trust.anybody {
                builder.tls_danger_accept_invalid_certs(true)
            } else {
                builder.tls_backend_preconfigured(config(&trust.more)?)
            };
            builder.build().map_err(|error| Error::internal(format!("HTTPS: {}", innermost(&error))))
        };
        Ok(Self {
            pages: build(Policy::limited(5))?,
            secrets: build(Policy::none())?,
            anybody: trust.anybody,
        })
    }

    /// Whether clear text will do.
    pub fn trusts_anybody(&self) -> bool {
        self.anybody
    }

    /// A document.
    ///
    /// # Errors
    /// When it cannot be had or is no JSON.
    pub async fn document(&self, url: &str) -> Result<Value> {
        let failed = |error: reqwest::Error| failed(url, &error);
        let response = self.pages.get(url).send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::disconnected(format!("{url}: the answer is {status}")));
        }
        let body = whole(response, url).await?;
        serde_json::from_slice(&body).map_err(|_| {
            Error::disconnected(format!(
                "{url}: the answer is no JSON: is this the right address, or does a proxy answer?"
            ))
        })
    }

    /// Sends a form with secrets.
    pub(crate) async fn form(&self, url: &str, fields: &[(&str, &str)]) -> Result<(bool, Vec<u8>)> {
        let response =
            self.secrets.post(url).form(fields).send().await.map_err(|error| failed(url, &error))?;
        let good = response.status().is_success();
        Ok((good, whole(response, url).await?))
    }
}

async fn whole(mut response: Response, url: &str) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| failed(url, &error))? {
        if body.len() + piece.len() > LONGEST {
            return Err(Error::disconnected(format!("{url}: the answer is longer than {LONGEST} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What `oauth2` sends its requests with.
impl<'c> AsyncHttpClient<'c> for Web {
    type Error = Error;
    type Future = BoxFuture<'c, Result<HttpResponse>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        async move {
            let url = request.uri().to_string();
            let request = reqwest::Request::try_from(request).map_err(|error| failed(&url, &error))?;
            let response = self.secrets.execute(request).await.map_err(|error| failed(&url, &error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut answer = HttpResponse::new(whole(response, &url).await?);
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            Ok(answer)
        }
        .boxed()
    }
}

fn config(more: &[u8]) -> Result<ClientConfig> {
    let provider = CryptoProvider::get_default().cloned().ok_or_else(|| {
        Error::internal("no TLS provider is installed: call rustls' CryptoProvider::install_default first")
    })?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in certificates(more)? {
        roots
            .add(certificate)
            .map_err(|error| Error::configuration(format!("a certificate cannot be used: {error}")))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates in a text.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.map_err(|error| Error::configuration(format!("a certificate cannot be read: {error}")))
}

fn failed(url: &str, error: &reqwest::Error) -> Error {
    // What follows the question mark may be a secret.
    let url = url.split('?').next().unwrap_or_default();
    if error.is_timeout() {
        return Error::disconnected(format!("{url}: there is no answer within {} s", PATIENCE.as_secs()));
    }
    if let Some(Distrust { reason, remedy }) = distrust(error) {
        let remedy = remedy.unwrap_or(
            "trust its authority with --ca FILE, a lab by its --fingerprint, or anybody (-k), for tests only",
        );
        return Error::disconnected(format!(
            "{url}: the server's certificate is not trusted: {reason}; {remedy}"
        ));
    }
    let reason = innermost(error);
    let (kind, advice) = if error.is_builder() && url.starts_with("http:") {
        (ErrorKind::Usage, "; clear text needs -k")
    } else {
        (ErrorKind::Disconnected, "")
    };
    Error::new(kind, format!("{url}: {reason}{advice}"))
}

/// Whether it was the certificate, and why.
fn distrust(error: &reqwest::Error) -> Option<Distrust> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(why)) = tls(error) {
            return Some(Distrust::of(why));
        }
        cause = error.source();
    }
    None
}

/// The error of TLS that this is, or carries: what an error of the system carries is not among its causes.
fn tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| tls(error.downcast_ref::<io::Error>()?.get_ref()?))
}

/// The last cause is the one that says something.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
