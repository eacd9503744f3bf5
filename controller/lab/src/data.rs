//! The folder of a lab: its store, its keys and its certificates.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jumpstarter_identity::SigningKey;
use jumpstarter_store::{Engine, File, Revision, StoreError};

/// How many random bytes a secret is made of.
const SECRET: usize = 32;

/// The folder of a lab. Only one process at a time has it.
#[derive(Debug)]
pub struct Data {
    path: PathBuf,
    /// Everything that is remembered.
    pub store: Engine,
}

fn failed(path: &Path, error: &impl std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// A folder, made if it is not there, that only its owner can open.
fn make(path: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| failed(path, &error))?;
    let mode = fs::metadata(path).map_err(|error| failed(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(failed(
            path,
            &"others than its owner can open this folder, and with it all keys: make it private with `chmod 700`",
        ));
    }
    Ok(())
}

fn refused(path: &Path, error: StoreError) -> String {
    match error {
        StoreError::InUse { pid: Some(pid), .. } => {
            format!("another lab runs in {}: process {pid}", path.display())
        }
        StoreError::InUse { .. } => format!("another lab runs in {}", path.display()),
        other => other.to_string(),
    }
}

impl Data {
    /// Opens a folder, or makes it, readable by its owner only.
    ///
    /// # Errors
    /// What is wrong with it, in words; among them, which process has it already.
    pub fn open(path: &Path) -> Result<Self, String> {
        make(path)?;
        let disk = File::open(&path.join("lab.db"));
        let store = disk.and_then(Engine::open).map_err(|error| refused(path, error))?;
        Ok(Self { path: path.to_owned(), store })
    }

    /// Puts what is in a backup in the place of what a lab in this folder remembers. Its keys stay. Answers where the store that was
    /// there has gone.
    ///
    /// # Errors
    /// When the backup is none, or a lab runs there, in words. Nothing has changed then.
    pub fn restore(path: &Path, backup: &Path) -> Result<Option<PathBuf>, String> {
        make(path)?;
        jumpstarter_store::restore(backup, &path.join("lab.db")).map_err(|error| refused(path, error))
    }

    /// Whether nothing has ever happened in this lab.
    pub fn is_new(&self) -> bool {
        self.store.revision() == Revision::ZERO
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that tokens are signed with; a new one at the first start.
    ///
    /// # Errors
    /// What is wrong with its file, in words.
    pub fn signing_key(&self) -> Result<SigningKey, String> {
        SigningKey::open(&self.path.join("signing.pem"))
    }

    /// The file with the token of whoever administers the lab from elsewhere; a new one at the first start.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn admin_token(&self) -> Result<PathBuf, String> {
        self.secret("admin.token")
    }

    /// The file with the key that tunnels are opened with; a new one at the first start.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn router_key(&self) -> Result<PathBuf, String> {
        self.secret("router.key")
    }

    /// A file with chance in it, readable by its owner only.
    fn secret(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        if !path.exists() {
            let mut bytes = [0u8; SECRET];
            for chunk in bytes.chunks_mut(16) {
                // Six of its bits are fixed; 244 in all are chance.
                chunk.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            }
            write(&path, BASE64_URL_SAFE_NO_PAD.encode(bytes).as_bytes(), 0o600)
                .map_err(|error| failed(&path, &error))?;
        }
        Ok(path)
    }

    /// The socket that administrators use.
    pub fn admin_socket(path: &Path) -> PathBuf {
        // A name that gRPC clients of all languages can make an authority of.
        path.join("admin@localhost")
    }
}

/// Writes a file whole: a crash leaves the old one, or the new one.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut partial =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(mode)).tempfile_in(folder)?;
    partial.write_all(content)?;
    partial.as_file().sync_all()?;
    partial.persist(path)?;
    fs::File::open(folder)?.sync_all()
}
