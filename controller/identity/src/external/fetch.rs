//! Who gets the documents of an issuer.

use std::{error::Error as _, fs, path::Path, sync::Arc, time::Duration};

use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Longest document that is read. Key sets have some thousand bytes.
const LONGEST: usize = 1024 * 1024;

/// How long one takes, at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gets a document.
pub trait Fetch: Send + Sync + 'static {
    /// The body of what is at this address.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    fn get(&self, url: &str) -> impl Future<Output = Result<Vec<u8>, String>> + Send;
}

/// Over HTTPS, with the certificates that this machine or the settings trust.
///
/// It is done so rarely that nothing is kept in between; so a file with certificates counts as it is at that time.
#[derive(Clone, Debug, Default)]
pub struct Https {
    authority: Option<String>,
}

impl Https {
    /// With certificates that lead to these: PEM, or the path of a file with it. Nothing or an empty text for those that
    /// this machine trusts.
    ///
    /// # Errors
    /// When there are none in it, in words.
    pub fn new(authority: Option<String>) -> Result<Self, String> {
        let https = Self { authority: authority.filter(|text| !text.trim().is_empty()) };
        // At the start, when somebody looks, rather than at the first token.
        https.roots().map(|_| https)
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(text) = &self.authority else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let (what, pem) = if text.contains("-----BEGIN") {
            ("certificateAuthority".to_owned(), text.clone().into_bytes())
        } else {
            let path = Path::new(text.trim());
            let pem = fs::read(path);
            let what = path.display().to_string();
            (what, pem.map_err(|error| format!("certificateAuthority: {}: {error}", path.display()))?)
        };
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let added = certificate
                .map_err(|error| error.to_string())
                .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
            added.map_err(|error| format!("{what}: a certificate cannot be read: {error}"))?;
        }
        if roots.is_empty() {
            return Err(format!("{what}: there is no certificate in it"));
        }
        Ok(roots)
    }

    fn client(&self) -> Result<Client, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        let client = Client::builder().timeout(PATIENCE).https_only(true).tls_backend_preconfigured(config);
        client.build().map_err(|error| reason(&error))
    }
}

impl Fetch for Https {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let this = self.clone();
        // It reads files, some hundred of them where the machine's certificates are meant.
        let client = tokio::task::spawn_blocking(move || this.client()).await;
        let client = client.map_err(|error| error.to_string())??;
        let failed = |error: reqwest::Error| format!("{url}: {}", reason(&error));
        let mut response = client.get(url).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("{url}: the answer is {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > LONGEST {
                return Err(format!("{url}: the answer is longer than {LONGEST} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// The last cause is the one that says something; the address is said by others.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("there is no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause = error.source();
    let mut text = None;
    while let Some(error) = cause {
        text = Some(error.to_string());
        cause = error.source();
    }
    text.unwrap_or_else(|| "the request failed".to_owned())
}
