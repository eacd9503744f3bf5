//! What `beforeLease` adds to the message of the day: text that it writes to a file.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use tokio::{fs, io::AsyncReadExt as _};

/// The file's name, in the private directory of a session.
pub(crate) const FILE: &str = "motd";

/// How much of the file is taken, in bytes; the same as upstream takes.
const MOST: usize = 64 << 10;

/// The flags for [`fs::OpenOptions::custom_flags`] with which opening a pipe waits for nobody, and a link leads nowhere.
const NO_SURPRISES: i32 = libc::O_NONBLOCK | libc::O_NOFOLLOW;

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The text, without the space around it.
    pub(crate) text: String,
    /// Whether there was more than is taken.
    pub(crate) cut: bool,
}

/// Makes the file, empty, for this user only.
pub(crate) async fn prepare(file: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(file).await.map(drop)
}

/// What is in the file now. Nothing if there is no such file any more.
///
/// # Errors
/// When something else has taken the file's place, or it cannot be read.
pub(crate) async fn read(file: &Path) -> io::Result<Written> {
    let not_regular = || io::Error::other("it is not a regular file any more");
    let opened = match fs::OpenOptions::new().read(true).custom_flags(NO_SURPRISES).open(file).await {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Written::default()),
        // A link, which is not followed.
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(not_regular()),
        Err(error) => return Err(error),
    };
    if !opened.metadata().await?.is_file() {
        return Err(not_regular());
    }
    let mut bytes = Vec::new();
    opened.take(MOST as u64 + 1).read_to_end(&mut bytes).await?;
    let cut = bytes.len() > MOST;
    if cut {
        // Not in the middle of a character of UTF-8, which has four bytes at most.
        let continues = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let end = (MOST - 3..=MOST).rev().find(|at| !continues(at)).unwrap_or(MOST);
        bytes.truncate(end);
    }
    Ok(Written { text: String::from_utf8_lossy(&bytes).trim().to_owned(), cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_regular_file_is_read_and_only_so_much_of_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        std::fs::write(&file, "of somebody before").unwrap();
        prepare(&file).await.unwrap();
        assert_eq!(read(&file).await.unwrap(), Written::default());

        std::fs::remove_file(&file).unwrap();
        assert_eq!(read(&file).await.unwrap(), Written::default());
        prepare(&file).await.unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        std::fs::write(&file, b"\n  in \xff parts \n\n").unwrap();
        assert_eq!(read(&file).await.unwrap(), Written { text: "in \u{fffd} parts".into(), cut: false });

        // A character of two bytes would stand across the limit.
        std::fs::write(&file, format!("x{}", "ä".repeat(MOST))).unwrap();
        let written = read(&file).await.unwrap();
        assert!(written.cut);
        assert_eq!(written.text, format!("x{}", "ä".repeat(MOST / 2 - 1)));

        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "of somebody else").unwrap();
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(read(&file).await.is_err());
        // Nobody will ever write to it.
        std::fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
        assert!(read(&file).await.is_err());
    }
}
