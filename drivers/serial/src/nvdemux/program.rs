//! Whether the demultiplexer is there.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use jumpstarter::{Error, Result};
use jumpstarter_process::programs;

/// Finds a program that is missing at the start, and not with the first connection.
///
/// # Errors
/// When there is none at that path, or of that name; it says so.
pub(super) fn check(program: &Path) -> Result<()> {
    let wrong =
        |why: &str| Err(Error::configuration(format!("`demuxer_path`: {}: {why}", program.display())));
    if program.parent() == Some(Path::new("")) {
        return match programs::find(program) {
            Some(_) => Ok(()),
            None => wrong("there is no such program in PATH; write its whole path"),
        };
    }
    match fs::metadata(program) {
        Ok(metadata) if !metadata.is_file() => wrong("this is no program"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => wrong("this file cannot be executed"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => wrong("there is no such program"),
        Err(error) => wrong(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_or_is_none_is_named() {
        let told = |program: &Path| check(program).unwrap_err().message().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let (shown, missing) = (file.display(), folder.path().join("missing"));
        assert_eq!(told(&file), format!("`demuxer_path`: {shown}: this file cannot be executed"));
        assert_eq!(
            told(&missing),
            format!("`demuxer_path`: {}: there is no such program", missing.display())
        );
        assert!(told(folder.path()).ends_with("this is no program"));
        assert_eq!(
            told(Path::new("no-such-demuxer")),
            "`demuxer_path`: no-such-demuxer: there is no such program in PATH; write its whole path"
        );
        check(Path::new("sh")).unwrap();
        check(Path::new("/bin/sh")).unwrap();
    }
}
