//! Temporary folders that do not outlive the programs that use them for long.
//!
//! A program that is killed cannot tidy up. Each folder is therefore locked by whoever uses it (`flock`), a lock that ends
//! with the process, whatever ends it; and whoever makes a folder first removes those that nobody has locked.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use tempfile::TempDir;

/// A folder in use, which goes with this.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    /// Held until the folder is gone: fields are dropped in their order.
    _lock: File,
}

impl Folder {
    /// A new folder whose name begins like this, in the usual place; what dead programs left there of the same name goes.
    pub(crate) fn new(prefix: &str) -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir(), prefix)
    }

    fn new_in(place: &Path, prefix: &str) -> io::Result<Self> {
        tidy(place, prefix);
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
            // Somebody who tidies up may have taken it for a leftover before it was locked.
            if let Some(lock) = locked(folder.path())? {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The lock of a folder, if nobody else has it and the folder is still there.
fn locked(folder: &Path) -> io::Result<Option<File>> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    let lock = match File::open(folder) {
        Ok(lock) => lock,
        Err(error) => return gone(error),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match std::fs::symlink_metadata(folder) {
        Ok(there) => Ok((there.ino() == lock.metadata()?.ino()).then_some(lock)),
        Err(error) => gone(error),
    }
}

/// Removes what nobody uses any more. Whatever cannot be removed stays: it may belong to somebody else.
fn tidy(place: &Path, prefix: &str) {
    let entries = std::fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())) {
        // No links, and only folders.
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(Some(_lock)) = locked(&entry.path())
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> usize {
        std::fs::read_dir(place).unwrap().count()
    }

    #[test]
    fn what_a_dead_program_left_goes_and_what_is_in_use_stays() {
        let place = tempfile::tempdir().unwrap();
        let left = place.path().join("images-dead");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("image"), "large").unwrap();
        std::fs::create_dir(place.path().join("other")).unwrap();
        std::os::unix::fs::symlink(place.path().join("other"), place.path().join("images-link")).unwrap();
        let first = Folder::new_in(place.path(), "images-").unwrap();
        assert!(!left.exists());
        let second = Folder::new_in(place.path(), "images-").unwrap();
        assert!(first.path().exists() && second.path().exists());
        drop((first, second));
        assert_eq!(names(place.path()), 2, "what is not ours stays");
    }
}
