//! Private unix sockets: a directory that nobody else can enter, and listeners in it.
//!
//! Sockets are called `…@localhost`. Clients on gRPC's C core make the request's `:authority` of the path; with this
//! ending the result is a host after all (see [`authority`](crate::authority)).

use std::{
    env, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use jumpstarter_core::{Error, Result};
use jumpstarter_files::leftovers::{self, Folder};
use tokio::net::UnixListener;

/// Name of the socket that clients use.
pub const MAIN: &str = "socket@localhost";

/// Name of the socket that hook scripts use.
pub const HOOK: &str = "hook@localhost";

/// Longest path of a socket, in bytes: what the kernel's address structure holds, less the final zero.
pub const MAX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The longest name that has to fit besides the directory.
const LONGEST_NAME: usize = MAIN.len();

/// How directories are called. Others begin with `jumpstarter-` as well and are not locked; those are never taken for leftovers.
const PREFIX: &str = "jumpstarter-run-";

/// A directory with mode 0700 and a random name, removed with everything in it when dropped; after a program that was killed, by
/// the next one that makes such a directory there.
#[derive(Debug)]
pub struct RuntimeDirectory {
    directory: Folder,
}

impl RuntimeDirectory {
    /// Creates a directory below `$XDG_RUNTIME_DIR`, else the temporary directory, else `/tmp`: the first that exists,
    /// can be written to, and leaves room for a socket's name.
    ///
    /// # Errors
    /// Says for each place why it was not usable.
    pub fn create() -> Result<Self> {
        Self::create_in_first(&places())
    }

    /// Removes the directories of programs that were killed. Making one does so in the place where it is made.
    pub fn tidy() {
        for place in places() {
            leftovers::tidy(&place, PREFIX);
        }
    }

    /// Creates a directory in the first of these places that is usable.
    ///
    /// # Errors
    /// Says for each place why it was not usable.
    pub fn create_in_first(places: &[PathBuf]) -> Result<Self> {
        let mut reasons = Vec::new();
        for place in places {
            match Self::create_in(place) {
                Ok(directory) => return Ok(directory),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        let reasons = reasons.join("; ");
        Err(Error::configuration(format!(
            "there is no place for sockets: {reasons}; set XDG_RUNTIME_DIR to a short, writable, absolute path"
        )))
    }

    /// Creates a directory below `place`.
    ///
    /// # Errors
    /// When it cannot be created, or when a socket's path in it would be too long.
    pub fn create_in(place: &Path) -> Result<Self> {
        if !place.is_absolute() {
            return Err(Error::configuration(format!("{} is not an absolute path", place.display())));
        }
        let directory = Folder::new_in(place, PREFIX).map_err(|error| {
            Error::from(error).context(format_args!("cannot create a directory in {}", place.display()))
        })?;
        check_length(directory.path().as_os_str().len() + 1 + LONGEST_NAME, directory.path())?;
        Ok(Self { directory })
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a socket of this name, listening or not.
    ///
    /// # Errors
    /// When the path is too long for the operating system.
    pub fn socket(&self, name: &str) -> Result<PathBuf> {
        if name.is_empty() || name.contains('/') {
            return Err(Error::internal(format!("{name:?} is not a file name")));
        }
        let path = self.path().join(name);
        check_length(path.as_os_str().as_bytes().len(), &path)?;
        Ok(path)
    }

    /// Listens on a new socket in the directory.
    ///
    /// # Errors
    /// When there is one of this name already (nothing is ever unlinked to make room), or its path is too long.
    pub fn listen(&self, name: &str) -> Result<(UnixListener, PathBuf)> {
        let path = self.socket(name)?;
        let listener = UnixListener::bind(&path).map_err(|error| {
            Error::from(error).context(format_args!("cannot listen on {}", path.display()))
        })?;
        Ok((listener, path))
    }

    /// Removes the directory now, reporting what dropping it would ignore.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        self.directory.remove()
    }
}

/// Where directories may be, the best place first.
fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(place) = env::var_os("XDG_RUNTIME_DIR").filter(|place| !place.is_empty()) {
        places.push(PathBuf::from(place));
    }
    for place in [env::temp_dir(), PathBuf::from("/tmp")] {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn check_length(length: usize, path: &Path) -> Result<()> {
    if length <= MAX_PATH {
        return Ok(());
    }
    let path = path.display();
    Err(Error::configuration(format!(
        "the path of a socket in {path} has {length} bytes, the limit is {MAX_PATH}"
    )))
}
