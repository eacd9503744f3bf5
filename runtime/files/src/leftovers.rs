//! Temporary folders that do not outlive the programs that use them for long.
//!
//! A program that is killed cannot tidy up. Each folder is therefore locked by whoever uses it (`flock`), a lock that ends
//! with the process, whatever ends it; and whoever makes a folder first removes those that nobody has locked.
//!
//! A name must therefore begin in a way that nobody else uses who does not lock.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use tempfile::TempDir;

/// How often a folder is made anew because somebody else has taken it for a leftover. Each time takes a chance of
/// microseconds, so a second one is rare.
const TRIES: usize = 20;

/// A folder in use, which goes with this.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    /// Held until the folder is gone: fields are dropped in their order. None where there are no locks, as on some network
    /// file systems; nobody can remove leftovers there either.
    _lock: Option<File>,
}

/// What comes of an attempt to lock a folder.
enum Locked {
    Ours(File),
    /// Somebody else has it, or has removed it.
    Theirs,
    /// There are no locks.
    Impossible,
}

type TryLock = fn(&File) -> Result<(), TryLockError>;

impl Folder {
    /// A new folder whose name begins like this, in the usual place; what dead programs left there of the same name goes.
    /// Only its owner can open it. Waits for the file system.
    ///
    /// # Errors
    /// When no folder can be made there, or somebody else takes every one.
    pub fn new(prefix: &str) -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir(), prefix)
    }

    /// The same, in this place.
    ///
    /// # Errors
    /// When no folder can be made there, or somebody else takes every one.
    pub fn new_in(place: &Path, prefix: &str) -> io::Result<Self> {
        Self::locked_in(place, prefix, File::try_lock)
    }

    fn locked_in(place: &Path, prefix: &str, try_lock: TryLock) -> io::Result<Self> {
        tidy_with(place, prefix, try_lock);
        for _ in 0..TRIES {
            let private = std::fs::Permissions::from_mode(0o700);
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(prefix).rand_bytes(8).permissions(private).tempdir_in(place)?;
            match locked(folder.path(), try_lock)? {
                Locked::Ours(lock) => return Ok(Self { folder, _lock: Some(lock) }),
                Locked::Impossible => return Ok(Self { folder, _lock: None }),
                // Somebody who tidies up may have taken it for a leftover before it was locked.
                Locked::Theirs => {}
            }
        }
        Err(io::Error::other(format!(
            "somebody else locks or removes every new folder in {}",
            place.display()
        )))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it now, with all that is in it.
    ///
    /// # Errors
    /// When something in it cannot be removed, which dropping would ignore.
    pub fn remove(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// Locks a folder, if nobody else has it and the folder is still there.
fn locked(folder: &Path, try_lock: TryLock) -> io::Result<Locked> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Locked::Theirs),
        _ => Err(error),
    };
    let lock = match File::open(folder) {
        Ok(lock) => lock,
        Err(error) => return gone(error),
    };
    match try_lock(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Locked::Theirs),
        // NFS says EBADF of what is open only for reading, as folders are, others ENOTSUP or ENOLCK.
        Err(TryLockError::Error(_)) => return Ok(Locked::Impossible),
    }
    match std::fs::symlink_metadata(folder) {
        Ok(there) if there.ino() == lock.metadata()?.ino() => Ok(Locked::Ours(lock)),
        Ok(_) => Ok(Locked::Theirs),
        Err(error) => gone(error),
    }
}

/// Removes the folders in this place whose names begin like this and which nobody uses any more. Whatever cannot be removed
/// stays: it may belong to somebody else. Waits for the file system.
pub fn tidy(place: &Path, prefix: &str) {
    tidy_with(place, prefix, File::try_lock);
}

fn tidy_with(place: &Path, prefix: &str, try_lock: TryLock) {
    let entries = std::fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())) {
        // No links, and only folders.
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(Locked::Ours(_lock)) = locked(&entry.path(), try_lock)
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

    #[test]
    fn a_file_system_without_locks_is_of_use_and_nothing_is_removed_there() {
        let place = tempfile::tempdir().unwrap();
        let other = place.path().join("images-other");
        std::fs::create_dir(&other).unwrap();
        // EBADF, as NFS has it.
        let refuse: TryLock = |_| Err(TryLockError::Error(io::Error::from_raw_os_error(9)));
        let folder = Folder::locked_in(place.path(), "images-", refuse).unwrap();
        assert!(folder.path().exists() && other.exists());
        drop(folder);
        assert_eq!(names(place.path()), 1, "it goes with whoever made it");
    }

    #[test]
    fn somebody_who_takes_every_folder_is_an_error_and_no_loop() {
        let place = tempfile::tempdir().unwrap();
        let taken: TryLock = |_| Err(TryLockError::WouldBlock);
        let error = Folder::locked_in(place.path(), "images-", taken).unwrap_err();
        assert!(error.to_string().contains("somebody else locks"), "{error}");
        assert_eq!(names(place.path()), 0);
    }
}
