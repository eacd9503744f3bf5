//! Programs by their names, as a shell would find them.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where a program is: that name in the first folder of `PATH` that has such a program; a name with a `/` is a path already.
pub fn find(name: impl AsRef<Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(std::env::split_paths(&path), name)
}

/// The same, in these folders.
pub fn find_in(folders: impl IntoIterator<Item = PathBuf>, name: impl AsRef<Path>) -> Option<PathBuf> {
    let name = name.as_ref();
    if name.as_os_str().as_encoded_bytes().contains(&b'/') {
        return is_executable(name).then(|| name.to_owned());
    }
    folders.into_iter().map(|folder| folder.join(name)).find(|place| is_executable(place))
}

/// Whether this is a file that somebody may execute.
pub fn is_executable(place: &Path) -> bool {
    place.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_file_that_can_be_executed_in_the_first_folder_that_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let folders: Vec<_> =
            ["none", "text", "folder", "one", "two"].map(|name| folder.path().join(name)).into();
        for folder in &folders {
            std::fs::create_dir(folder).unwrap();
        }
        let file = |folder: usize, mode| {
            let place = folders[folder].join("tool");
            std::fs::write(&place, "").unwrap();
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode)).unwrap();
            place
        };
        file(1, 0o644);
        std::fs::create_dir(folders[2].join("tool")).unwrap();
        let (one, two) = (file(3, 0o755), file(4, 0o755));
        assert_eq!(find_in(folders.clone(), "tool"), Some(one));
        // A path is looked for nowhere else.
        assert_eq!(find_in(folders.clone(), &two), Some(two));
        assert_eq!(find_in(folders.clone(), "one/tool"), None);
        assert_eq!(find_in(folders, "other"), None);
        assert!(find("sh").is_some_and(|shell| shell.is_absolute()));
    }
}
