//! What was made, and removing it again.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jumpstarter::log::Logger;

/// Paths that were made through this driver.
#[derive(Debug, Default)]
pub(crate) struct Created(Mutex<BTreeSet<String>>);

impl Created {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, path: &str) {
        self.lock().insert(normalized(path));
    }

    pub(crate) fn forget(&self, path: &str) {
        self.lock().remove(&normalized(path));
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.lock())
    }
}

/// A path in one spelling: separated by `/`, without `.`, without `..` that lead back, without `/` at the ends.
fn normalized(path: &str) -> String {
    let path = path.replace('\\', "/");
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // Nothing is above the root.
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Removes what was made below a folder: children before parents, never the folder itself, and nothing outside of it,
/// wherever symbolic links lead.
pub(crate) fn remove(root: &Path, paths: &BTreeSet<String>, logger: &Logger) {
    let Ok(root) = root.canonicalize() else { return };
    for path in paths.iter().rev() {
        let Some(place) = within(&root, path) else {
            logger.warn(format!("{path:?} is not removed: it is not below {}", root.display()));
            continue;
        };
        match remove_one(&place) {
            Ok(true) => logger.debug(format!("removed {path:?}")),
            Ok(false) => {}
            Err(error) => logger.error(format!("{path:?} could not be removed: {error}")),
        }
    }
}

/// Where a path lies, if that is really below the root. A link itself may be there, whatever it points to.
fn within(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let place = root.join(relative);
    if !plain || place == root {
        return None;
    }
    match place.parent()?.canonicalize() {
        Ok(parent) => parent.starts_with(root).then(|| parent.join(place.file_name().unwrap_or_default())),
        // What is in a folder that is not there is not there either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(place),
        Err(_) => None,
    }
}

fn remove_one(place: &Path) -> io::Result<bool> {
    let kind = match fs::symlink_metadata(place) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !kind.is_dir() {
        return fs::remove_file(place).map(|()| true);
    }
    // Links inside are removed, not followed.
    fs::remove_dir(place).or_else(|_| fs::remove_dir_all(place)).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for (path, expected) in [
            ("a/b", "a/b"),
            ("/a//b/", "a/b"),
            (r"a\b\..\c", "a/c"),
            ("./a/./b/../c", "a/c"),
            ("", ""),
            ("/", ""),
            (".", ""),
            ("../a", "../a"),
            ("/../a", "a"),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(normalized(path), expected, "{path:?}");
        }
    }

    #[test]
    fn nothing_outside_of_the_root_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let root = folder.path().join("root");
        for place in [&outside, &root] {
            fs::create_dir_all(place.join("inner")).unwrap();
            fs::write(place.join("file"), "content").unwrap();
        }
        symlink(&outside, root.join("link")).unwrap();
        symlink(outside.join("file"), root.join("to-file")).unwrap();
        fs::write(root.join("made"), "").unwrap();
        fs::create_dir_all(root.join("tree/deep")).unwrap();
        symlink(&outside, root.join("tree/deep/link")).unwrap();
        let created = Created::default();
        for path in
            ["../outside/file", "link/file", "link/inner", "to-file", "", "/", "made", "tree", "gone/never"]
        {
            created.add(path);
        }
        remove(&root, &created.take(), &Logger::default());
        assert!(outside.join("file").exists() && outside.join("inner").exists());
        let mut left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["file", "inner", "link"], "what was made is gone, what was there before is not");
        assert!(created.all().is_empty());
    }
}
