//! What the two sides of TLS have in common.

use std::sync::Arc;

use jumpstarter_core::{Error, Result};
use rustls::crypto::CryptoProvider;

/// The provider that the program has installed. Only programs choose one: two libraries that each bring their own would
/// make rustls panic.
pub(crate) fn provider() -> Result<Arc<CryptoProvider>> {
    installed(CryptoProvider::get_default())
}

fn installed(provider: Option<&Arc<CryptoProvider>>) -> Result<Arc<CryptoProvider>> {
    provider.cloned().ok_or_else(|| {
        Error::internal(
            "no TLS provider is installed; a program must call rustls' CryptoProvider::install_default before it uses TLS",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_t7_a_missing_provider_is_an_error_and_no_panic() {
        let error = installed(None).expect_err("none");
        assert!(error.message().contains("install_default"), "{error}");
    }
}
