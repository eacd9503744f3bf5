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

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, then the authority's.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// The authority's certificate.
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
        && !host.is_empty()
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

/// The certificate of a lab in this folder, for these names and those that it had before.
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
    let known: BTreeSet<String> = read("names")
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let age = fs::metadata(file("certificate.pem")).and_then(|file| file.modified()).ok();
    let old = age
        .and_then(|made| made.elapsed().ok())
        .is_some_and(|age| age.as_secs() > (VALID.whole_seconds() * 2 / 3).unsigned_abs());
    if let (Some(chain), Some(key)) = (read("certificate.pem"), read("certificate.key"))
        && wanted.is_subset(&known)
        && !old
    {
        return Ok(Certificate { chain, key, authority });
    }
    // An address that is gone today may be back tomorrow.
    let names: BTreeSet<String> = known.union(wanted).cloned().collect();
    let issuer = KeyPair::from_pem(&authority_key)
        .and_then(|key| Ok(Issuer::new(authority_params()?, key)))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let (leaf, key) = new_leaf(&names, &issuer).map_err(wrong)?;
    let chain = format!("{leaf}{authority}");
    write("certificate.key", &key, 0o600)?;
    write("certificate.pem", &chain, 0o644)?;
    write("names", &format!("{}\n", names.iter().cloned().collect::<Vec<_>>().join("\n")), 0o644)?;
    Ok(Certificate { chain, key, authority })
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

/// Whether this can stand in a certificate.
pub fn is_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || CertificateParams::new(vec![text.to_owned()]).is_ok_and(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_survives_restarts_and_its_authority_every_change_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = of(folder.path(), &names(&["localhost", "127.0.0.1"])).unwrap();
        let again = of(folder.path(), &names(&["localhost"])).unwrap();
        assert_eq!((&again.chain, &again.key), (&first.chain, &first.key));
        let more = of(folder.path(), &names(&["lab.example.org"])).unwrap();
        assert_ne!(more.chain, first.chain);
        assert_eq!(more.authority, first.authority);
        let kept = fs::read_to_string(folder.path().join("tls/names")).unwrap();
        assert_eq!(kept, "127.0.0.1\nlab.example.org\nlocalhost\n");
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        of(folder.path(), &names(&["localhost"])).unwrap();
        for key in ["tls/authority.key", "tls/certificate.key"] {
            let mode = fs::metadata(folder.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }
}
