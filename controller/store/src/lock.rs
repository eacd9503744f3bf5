//! Who has a file.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Held as long as a file is in use. It ends with its process, however that ends.
///
/// It is on a file of its own beside the other: that one is opened again after an error, and replaced when a backup is
/// restored, and nobody may come between.
#[derive(Debug)]
pub(crate) struct Lock(fs::File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread starts just now has the file open until it is another program.
        let _ = self.0.unlock();
    }
}

impl Lock {
    /// Takes it, or says who has it.
    pub(crate) fn take(of: &Path) -> Result<Self, StoreError> {
        let path = beside(of, ".lock");
        let failed = |error: std::io::Error| StoreError::File(format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who holds it may be about to say so; then it is just somebody.
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StoreError::InUse { file: of.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self(file))
    }
}

/// Another file in the same folder, named after it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
