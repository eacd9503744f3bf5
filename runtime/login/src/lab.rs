//! What a lab says about itself to whoever wants to log in.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_core::{Error, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::web::{Trust, Web, certificates};

/// Where the document is, below the address of the lab; the existing controller has it there.
const DOCUMENT: &str = "/v1/auth/config";

/// Whom somebody wants to log in to: `[CLIENT@]HOST[:PORT]`, or with `https://` before the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of the client, if it was said.
    pub client: Option<String>,
    /// The address of the lab, without the path.
    pub address: String,
}

impl Target {
    /// Reads what somebody typed. Names may be addresses of mail: what counts is the last `@`.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::usage("Login target cannot be empty."));
        }
        let (client, host) = match text.rsplit_once('@') {
            Some((client, host)) => (Some(client.trim()), host.trim()),
            None => (None, text),
        };
        if client == Some("") {
            return Err(Error::usage("Client name before '@' cannot be empty."));
        }
        if host.is_empty() {
            return Err(Error::usage("Login endpoint after '@' cannot be empty."));
        }
        let wrong = || Error::usage(format!("{host:?} is no address of a lab: write HOST[:PORT]"));
        let address = match host.split_once("://") {
            // What looks like a path was meant as something else, for example as a file.
            None if host.trim_end_matches('/').contains(['/', '\\', '?', '#']) => return Err(wrong()),
            None => format!("https://{host}"),
            Some(("http" | "https", _)) => host.to_owned(),
            Some(_) => return Err(wrong()),
        };
        let address = address.trim_end_matches('/');
        let url = Url::parse(address).map_err(|_| wrong())?;
        if !url.has_host() || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty()
        {
            return Err(wrong());
        }
        Ok(Self { client: client.map(str::to_owned), address: address.to_owned() })
    }

    /// Whether it is to be spoken with in clear text.
    pub fn is_clear_text(&self) -> bool {
        self.address.starts_with("http://")
    }
}

/// What a lab says about itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lab {
    /// Where clients and exporters find it, `HOST:PORT`.
    pub grpc_endpoint: String,
    /// The namespace for whoever names none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Whom its certificate is by: PEM in base64.
    #[serde(default)]
    pub ca_bundle: Option<String>,
    /// Who gives tokens for it. Nobody: it gives its own.
    #[serde(default)]
    pub oidc: Vec<Issuer>,
}

/// Somebody who gives tokens for a lab.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// Its address.
    pub issuer: String,
    /// What this program is called there.
    #[serde(default)]
    pub client_id: Option<String>,
}

impl Lab {
    /// Asks a lab.
    ///
    /// # Errors
    /// When there is no answer, or it makes no sense.
    pub async fn ask(web: &Web, target: &Target) -> Result<Self> {
        let url = format!("{}{DOCUMENT}", target.address);
        let document = web.document(&url).await?;
        let lab: Self = serde_json::from_value(document)
            .map_err(|error| Error::disconnected(format!("{url}: this is no lab's answer: {error}")))?;
        if lab.grpc_endpoint.trim().is_empty() {
            return Err(Error::disconnected(format!(
                "{url}: this is no lab's answer: `grpcEndpoint` is empty"
            )));
        }
        Ok(lab)
    }

    /// Asks a lab whose authority has this fingerprint (SHA-256 of its certificate, 64 hexadecimal digits). Nobody can come in
    /// between: what is believed is what is heard a second time, from whoever has a certificate by that authority.
    ///
    /// # Errors
    /// When that is no fingerprint, there is no answer, or it comes from somebody else.
    pub async fn ask_known(target: &Target, fingerprint: &str) -> Result<(Self, Web)> {
        let wanted = digits(fingerprint).ok_or_else(|| {
            Error::usage(format!(
                "{fingerprint:?} is no fingerprint: one has 64 hexadecimal digits, as `jmp serve` prints them"
            ))
        })?;
        let stranger = Web::new(&Trust { anybody: true, more: Vec::new() })?;
        let authority = Self::ask(&stranger, target).await?.authority()?.unwrap_or_default();
        if self::fingerprint(&authority)?.as_deref() != Some(wanted.as_str()) {
            return Err(Error::disconnected(format!(
                "{} is not the lab with this fingerprint: somebody else answers, or the lab has a new certificate",
                target.address
            )));
        }
        let web = Web::new(&Trust { anybody: false, more: authority })?;
        Ok((Self::ask(&web, target).await?, web))
    }

    /// Whom its certificate is by, PEM.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn authority(&self) -> Result<Option<Vec<u8>>> {
        let Some(bundle) = self.ca_bundle.as_ref().filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        let text: String = bundle.split_whitespace().collect();
        let pem = BASE64_STANDARD
            .decode(text)
            .map_err(|error| Error::disconnected(format!("the lab's `caBundle` is not base64: {error}")))?;
        Ok(Some(pem))
    }
}

/// The digits of a fingerprint, which may stand in pairs with colons or blanks between them.
fn digits(fingerprint: &str) -> Option<String> {
    let between = |char: char| char == ':' || char.is_whitespace();
    let digits: String = fingerprint.replace(between, "").to_ascii_lowercase();
    // As other tools print it.
    let digits = digits.strip_prefix("sha256").unwrap_or(&digits).to_owned();
    (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(digits)
}

/// The SHA-256 of the first certificate in a text (PEM), in hexadecimal digits.
///
/// # Errors
/// When a certificate cannot be read.
pub fn fingerprint(pem: &[u8]) -> Result<Option<String>> {
    let mut text = String::new();
    let Some(certificate) = certificates(pem)?.into_iter().next() else { return Ok(None) };
    for byte in Sha256::digest(&certificate) {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_digits_however_they_are_grouped() {
        let plain = "0123456789abcdef".repeat(4);
        assert_eq!(digits(&plain).as_deref(), Some(plain.as_str()));
        let pairs: Vec<_> =
            plain.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        assert_eq!(digits(&pairs.join(":").to_uppercase()).as_deref(), Some(plain.as_str()));
        assert_eq!(digits(&format!("SHA256:{plain}")).as_deref(), Some(plain.as_str()));
        for text in ["", "zz", &plain[1..], &format!("{plain}0"), &plain.replacen('0', "g", 1)] {
            assert_eq!(digits(text), None, "{text}");
        }
    }

    #[test]
    fn a_target_is_split_at_its_last_at() {
        for (text, client, address) in [
            ("lab.example.org", None, "https://lab.example.org"),
            ("me@lab:8082", Some("me"), "https://lab:8082"),
            ("me@example.org@lab/", Some("me@example.org"), "https://lab"),
            ("me@http://lab:1", Some("me"), "http://lab:1"),
            (" [::1]:8082 ", None, "https://[::1]:8082"),
            ("https://example.org/lab/", None, "https://example.org/lab"),
        ] {
            let target = Target::parse(text).expect(text);
            assert_eq!((target.client.as_deref(), target.address.as_str()), (client, address));
        }
        for (text, says) in [
            ("", "cannot be empty"),
            ("@lab", "Client name before '@'"),
            ("me@", "Login endpoint after '@'"),
            ("not/a/place", "\"not/a/place\" is no address of a lab: write HOST[:PORT]"),
            ("me@./lab.yaml", "write HOST[:PORT]"),
            ("two words", "write HOST[:PORT]"),
            ("lab:port", "write HOST[:PORT]"),
            ("lab:99999", "write HOST[:PORT]"),
            ("https://lab?x=1", "write HOST[:PORT]"),
            ("ftp://lab", "write HOST[:PORT]"),
            ("https://", "write HOST[:PORT]"),
        ] {
            assert!(Target::parse(text).unwrap_err().message().contains(says), "{text}");
        }
    }
}
