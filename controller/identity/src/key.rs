//! The key that a lab signs with.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    encoding::{AsDer as _, Pkcs8V1Der},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::legacy;

/// A key on P-256. It does not show itself.
#[derive(Clone)]
pub struct SigningKey {
    private: Arc<EncodingKey>,
    /// The private key, PKCS #8.
    der: Arc<[u8]>,
    public: Arc<DecodingKey>,
    x: String,
    y: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("x", &self.x).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new one, from the system's source of chance.
    ///
    /// # Errors
    /// When there is none, in words.
    pub fn random() -> Result<Self, String> {
        let failed = |_| "no key could be made".to_owned();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        Self::of(pair.to_pkcs8v1().map_err(failed)?.as_ref())
    }

    /// The one that the existing controller derives from this `CONTROLLER_KEY` (the bytes of its text, without any
    /// decoding). It can be found by trying; see [`legacy`].
    ///
    /// # Errors
    /// Never, for any seed that was tried.
    pub fn derived(seed: &[u8]) -> Result<Self, String> {
        let failed = "no key can be derived from this seed";
        let key = PrivateKey::from_private_key(&ECDH_P256, &legacy::scalar(seed)).map_err(|_| failed)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| failed)?;
        Self::of(der.as_ref())
    }

    /// One in PEM, PKCS #8 or SEC 1.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "this is no private key in PEM")?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der());
        let pair = pair.map_err(|_| "this is no key on the curve P-256")?;
        Self::of(pair.to_pkcs8v1().map_err(|_| "this key cannot be written")?.as_ref())
    }

    fn of(der: &[u8]) -> Result<Self, String> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        let pair = pair.map_err(|_| "this is no key on the curve P-256")?;
        // An uncompressed point (SEC 1, 2.3.3): 4, x, y.
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err("the public key is no point of P-256".to_owned());
        };
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        let public = DecodingKey::from_ec_components(&x, &y).map_err(|error| error.to_string())?;
        let private = Arc::new(EncodingKey::from_ec_der(der));
        Ok(Self { private, der: der.into(), public: Arc::new(public), x, y })
    }

    /// The key of a lab: the one in this file, or a new one that is put there, for its owner only.
    ///
    /// # Errors
    /// When it cannot be read or written, when it is none, or when others could have read it. In words, with the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        if let Some(key) = Self::read(path)? {
            return Ok(key);
        }
        let new = Self::random().map_err(|error| failed(&error))?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".partial-{}", uuid::Uuid::new_v4().simple()));
        let partial = Path::new(&partial);
        let written = new.write(partial).and_then(|()| match fs::hard_link(partial, path) {
            // Somebody else was quicker: his is the lab's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A disk without links.
            Err(_) => fs::rename(partial, path),
            Ok(()) => Ok(()),
        });
        let _ = fs::remove_file(partial);
        written.map_err(|error| failed(&error))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))?;
        Self::read(path)?.ok_or_else(|| failed(&"it has vanished"))
    }

    fn read(path: &Path) -> Result<Option<Self>, String> {
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| failed(&error))?,
        };
        let mode = file.metadata().map_err(|error| failed(&error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let text = "others than its owner may read the lab's key: make it private with `chmod 600`, \
                        or delete it if somebody has, which makes all tokens invalid";
            return Err(failed(&text));
        }
        let pem = io::read_to_string(io::Read::take(file, 64 * 1024)).map_err(|error| failed(&error))?;
        Self::from_pem(pem.as_bytes()).map(Some).map_err(|error| failed(&error))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let body = BASE64_STANDARD.encode(&self.der);
        writeln!(file, "-----BEGIN PRIVATE KEY-----")?;
        for line in body.as_bytes().chunks(64) {
            file.write_all(line)?;
            file.write_all(b"\n")?;
        }
        writeln!(file, "-----END PRIVATE KEY-----")?;
        file.sync_all()
    }

    pub(crate) fn private(&self) -> &EncodingKey {
        &self.private
    }

    pub(crate) fn public(&self) -> &DecodingKey {
        &self.public
    }

    /// The point that everybody may know: x and y, base64url.
    pub fn point(&self) -> (&str, &str) {
        (&self.x, &self.y)
    }
}
