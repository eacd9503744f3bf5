//! The lab's authority, and its certificate for every name and address of this machine.
//!
//! Both are made at the first start and kept: clients are given the authority once. A certificate for other names is made by the
//! same authority, so they go on believing it.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::data;

/// How long the certificate is valid. It is made anew at a start after two thirds of that.
const VALID: Duration = Duration::days(3 * 365);

/// How long the authority is.
const AUTHORITY_VALID: Duration = Duration::days(20 * 365);

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, the authority's, and the key of the former: PEM.
    pub pem: String,
    /// The authority's certificate alone, PEM.
    pub authority: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// Every name and address under which this machine may be reached.
pub fn own_names() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let uname = rustix::system::uname();
    if let Ok(host) = uname.nodename().to_str()
        && is_name(host)
    {
        names.insert(host.to_owned());
    }
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => names.extend(interfaces.iter().map(|interface| interface.ip().to_string())),
        Err(error) => {
            tracing::warn!(%error, "the addresses of this machine are not known: name them with --name");
        }
    }
    names
}

/// What stands in front of each name in the file with the certificate. PEM files may have such lines.
const NAME: &str = "# for ";

/// The certificate of a lab in this folder, for at least these names.
///
/// # Errors
/// What went wrong, in words.
pub fn of(folder: &Path, wanted: &BTreeSet<String>) -> Result<Certificate, String> {
    let folder = folder.join("tls");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = |name: &str| folder.join(name);
    let read = |name: &str| fs::read_to_string(file(name)).ok();
    let write = |name: &str, content: &str, mode: u32| {
        data::write(&file(name), content.as_bytes(), mode)
            .map_err(|error| format!("{}: {error}", file(name).display()))
    };
    let wrong = |error: rcgen::Error| format!("no certificate can be made: {error}");
    let kept = read("authority.pem").zip(read("authority.key"));
    let (authority, authority_key) = if let Some(kept) = kept {
        kept
    } else {
        let (authority, key) = new_authority().map_err(wrong)?;
        write("authority.key", &key, 0o600)?;
        write("authority.pem", &authority, 0o644)?;
        (authority, key)
    };
    // Certificate, key and names are one file: a crash leaves those that belong together.
    if let Some(pem) = read("certificate.pem") {
        let known: BTreeSet<&str> = pem.lines().filter_map(|line| line.strip_prefix(NAME)).collect();
        let made = fs::metadata(file("certificate.pem")).and_then(|file| file.modified()).ok();
        let age = made.and_then(|made| made.elapsed().ok());
        let old = age.is_some_and(|age| age.as_secs() > (VALID.whole_seconds() * 2 / 3).unsigned_abs());
        if wanted.iter().all(|name| known.contains(name.as_str())) && !old {
            return Ok(Certificate { pem, authority });
        }
    }
    let issuer = KeyPair::from_pem(&authority_key)
        .and_then(|key| Ok(Issuer::new(authority_params()?, key)))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let (leaf, key) = new_leaf(wanted, &issuer).map_err(wrong)?;
    let names: String = wanted.iter().flat_map(|name| [NAME, name, "\n"]).collect();
    let pem = format!("{names}{leaf}{authority}{key}");
    write("certificate.pem", &pem, 0o600)?;
    Ok(Certificate { pem, authority })
}

/// What makes up the authority besides its key. Its name is in every certificate that it makes.
fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Jumpstarter lab");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + AUTHORITY_VALID;
    Ok(params)
}

fn new_authority() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok((authority_params()?.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn new_leaf(
    names: &BTreeSet<String>,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "Jumpstarter controller");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // A clock that is a little behind.
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + VALID;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

/// Whether this is the name of a machine, as clients hold it against a certificate.
pub(crate) fn is_host_name(text: &str) -> bool {
    rustls_pki_types::DnsName::try_from(text).is_ok()
}

/// Whether this can stand in a certificate: an address, or the name of a machine, or of all in a domain (`*.example.com`).
pub fn is_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text.strip_prefix("*.").unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

    use super::*;

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Whether a client that connects to this name takes the certificate for the one of the lab.
    fn is_for(certificate: &Certificate, name: &str) -> bool {
        let leaf = CertificateDer::pem_slice_iter(certificate.pem.as_bytes()).next().unwrap().unwrap();
        let parsed = rustls::server::ParsedCertificate::try_from(&leaf).unwrap();
        let name = ServerName::try_from(name).unwrap();
        rustls::client::verify_server_name(&parsed, &name).is_ok()
    }

    #[test]
    fn a_name_is_one_that_clients_can_connect_to() {
        for good in ["localhost", "lab.example.com", "my_lab", "*.example.com", "192.0.2.1", "2001:db8::1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "bad_name!", "no name", "http://lab", "lab:8082", "-lab", "*", "*.", "a.*.b", "[::1]"]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_certificate_survives_restarts_and_its_authority_every_change_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = of(folder.path(), &names(&["localhost", "127.0.0.1"])).unwrap();
        assert!(
            is_for(&first, "localhost") && is_for(&first, "127.0.0.1") && !is_for(&first, "lab.example.org")
        );
        let again = of(folder.path(), &names(&["localhost"])).unwrap();
        assert_eq!(again.pem, first.pem);
        // Names that are not wanted any more go: addresses come and go, and a certificate must not grow for ever.
        let other = of(folder.path(), &names(&["localhost", "lab.example.org"])).unwrap();
        assert!(
            is_for(&other, "lab.example.org") && is_for(&other, "localhost") && !is_for(&other, "127.0.0.1")
        );
        assert_eq!(other.authority, first.authority);
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        of(folder.path(), &names(&["localhost"])).unwrap();
        for key in ["tls/authority.key", "tls/certificate.pem"] {
            let mode = fs::metadata(folder.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }
}
