//! What was made, and removing it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jumpstarter::{Error, Result, log::Logger, task::spawn_blocking};

/// Paths that were made through this driver.
#[derive(Debug, Default)]
pub(crate) struct Created(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Everything that was written to, as upstream's driver tells it.
    told: BTreeSet<String>,
    /// What was not there before, and therefore goes in the end.
    made: BTreeMap<String, Extent>,
}

/// How much of a path goes in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A file, or a folder with nothing in it that somebody else has put there.
    Itself,
    /// Everything in it as well: somebody has asked for that.
    Whole,
}

/// A path that is about to be written to, and what is new about it.
#[derive(Debug)]
pub(crate) struct Target {
    path: String,
    fresh: bool,
    /// Folders that it will be in and that are not there yet.
    folders: Vec<String>,
}

impl Target {
    /// Looks at a path before it is written to. Only of files of this machine it is known whether they are there.
    pub(crate) async fn look(root: Option<PathBuf>, path: &str) -> Result<Self> {
        let path = normalized(path);
        let Some(root) = root else { return Ok(Self { path, fresh: true, folders: Vec::new() }) };
        let look = move || {
            let missing = |path: &Path| {
                fs::symlink_metadata(root.join(path))
                    .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            };
            let above = Path::new(&path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
            let folders = above.take_while(|folder| missing(folder)).filter_map(Path::to_str);
            let (fresh, folders) = (missing(Path::new(&path)), folders.map(str::to_owned).collect());
            Self { path, fresh, folders }
        };
        spawn_blocking(look).await.map_err(|error| Error::internal(error.to_string()))
    }

    /// What comes here was there before, under another name.
    pub(crate) fn moved(mut self, was_made: bool) -> Self {
        self.fresh &= was_made;
        self
    }
}

impl Created {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This was written to.
    pub(crate) fn add(&self, target: Target) {
        let mut known = self.lock();
        for folder in target.folders {
            known.made.entry(folder).or_insert(Extent::Itself);
        }
        if target.fresh {
            known.made.entry(target.path.clone()).or_insert(Extent::Itself);
        }
        known.told.insert(target.path);
    }

    /// This was made by other means, and shall go in the end with all that is in it.
    pub(crate) fn register(&self, path: &str) {
        let path = normalized(path);
        let mut known = self.lock();
        known.made.insert(path.clone(), Extent::Whole);
        known.told.insert(path);
    }

    /// Whether this was not there before.
    pub(crate) fn was_made(&self, path: &str) -> bool {
        self.lock().made.contains_key(&normalized(path))
    }

    /// This is no more.
    pub(crate) fn forget(&self, path: &str) {
        let path = normalized(path);
        let mut known = self.lock();
        known.told.remove(&path);
        known.made.remove(&path);
    }

    /// This is no more, nor is anything that was in it.
    pub(crate) fn forget_all(&self, path: &str) {
        let path = normalized(path);
        let mut known = self.lock();
        known.told.remove(&path);
        known.made.retain(|made, _| {
            let below = made.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            !(path.is_empty() || below)
        });
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().told.iter().cloned().collect()
    }

    pub(crate) fn take(&self) -> BTreeMap<String, Extent> {
        let known = std::mem::take(&mut *self.lock());
        known.made
    }
}

/// Whether a path is that of the storage itself.
pub(crate) fn is_root(path: &str) -> bool {
    normalized(path).is_empty()
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
pub(crate) fn remove(root: &Path, paths: &BTreeMap<String, Extent>, logger: &Logger) {
    let Ok(root) = root.canonicalize() else { return };
    for (path, extent) in paths.iter().rev() {
        let Some(place) = within(&root, path) else {
            logger.warn(format!("{path:?} is not removed: it is not below {}", root.display()));
            continue;
        };
        match remove_one(&place, *extent) {
            Ok(true) => logger.debug(format!("removed {path:?}")),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                logger.warn(format!("{path:?} stays: there is something in it that was not made here"));
            }
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

fn remove_one(place: &Path, extent: Extent) -> io::Result<bool> {
    let kind = match fs::symlink_metadata(place) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !kind.is_dir() {
        return fs::remove_file(place).map(|()| true);
    }
    let removed = match extent {
        Extent::Itself => fs::remove_dir(place),
        // Links inside are removed, not followed.
        Extent::Whole => fs::remove_dir_all(place),
    };
    removed.map(|()| true)
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
            created.register(path);
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
    #[tokio::test]
    async fn what_was_there_before_stays_and_folders_go_that_were_made_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("old")).unwrap();
        fs::write(root.join("old/file"), "from before").unwrap();
        let created = Created::default();
        let write = async |path: &str| {
            let target = Target::look(Some(root.to_owned()), path).await.unwrap();
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "new").unwrap();
            created.add(target);
        };
        for path in ["old/file", "old/new", "a/b/c", "a/b/d", "shared/deep/mine", "again", "again"] {
            write(path).await;
        }
        fs::write(root.join("shared/theirs"), "").unwrap();
        // What was there before is so under its new name, too.
        fs::rename(root.join("old/file"), root.join("moved")).unwrap();
        let target = Target::look(Some(root.to_owned()), "moved").await.unwrap();
        created.add(target.moved(created.was_made("old/file")));
        created.forget("old/file");
        assert_eq!(
            created.all(),
            ["a/b/c", "a/b/d", "again", "moved", "old/new", "shared/deep/mine"],
            "as upstream tells it"
        );
        remove(root, &created.take(), &Logger::default());
        let left = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left(root), ["moved", "old", "shared"]);
        assert_eq!(left(&root.join("shared")), ["theirs"]);
        assert!(left(&root.join("old")).is_empty());
    }

    #[test]
    fn what_was_removed_with_its_folder_is_not_removed_again() {
        let created = Created::default();
        for path in ["a", "a/b", "ab", "c/d"] {
            created.add(Target { path: path.to_owned(), fresh: true, folders: Vec::new() });
        }
        created.forget_all("a/");
        assert_eq!(created.take().into_keys().collect::<Vec<_>>(), ["ab", "c/d"]);
    }
}
