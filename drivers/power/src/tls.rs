//! TLS towards devices: the certificates that the system trusts, and the program's provider.

use std::sync::Arc;

use jumpstarter::{Error, Result};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};

/// What connections to devices use.
pub(crate) fn config() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read is not trusted; that is all that is wrong with it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::internal(format!("TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
