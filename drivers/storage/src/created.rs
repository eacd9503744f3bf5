//! What was made, and removing it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jumpstarter::{Error, Result, log::Logger, task::spawn_blocking};

/// Paths that were made through this driver.
#[derive(Debug)]
pub(crate) struct Created {
    /// Whether anything is removed in the end. Otherwise nobody needs to know what was made.
    removes: bool,
    known: Mutex<Known>,
}

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
    /// As it was given.
    path: String,
    fresh: bool,
    /// Folders that it will be in and that are not there yet.
    folders: Vec<String>,
}

impl Target {
    /// Looks at a path before it is written to, if it is below this folder. Nothing is removed elsewhere.
    pub(crate) async fn look(root: Option<PathBuf>, path: &str) -> Result<Self> {
        let given = path.to_owned();
        let Some(root) = root else { return Ok(Self { path: given, fresh: false, folders: Vec::new() }) };
        let look = move || {
            let path = spelled(&given);
            let missing = |path: &Path| !there(&root.join(path));
            let above = Path::new(&path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
            let folders = above.take_while(|folder| missing(folder)).filter_map(Path::to_str);
            let (fresh, folders) = (missing(Path::new(&path)), folders.map(str::to_owned).collect());
            Self { path: given, fresh, folders }
        };
        spawn_blocking(look).await.map_err(|error| Error::internal(error.to_string()))
    }

    /// What is there now of all this: for what has failed on the way.
    pub(crate) async fn what_is_there(mut self, root: PathBuf) -> Result<Self> {
        let look = move || {
            self.fresh &= there(&root.join(spelled(&self.path)));
            self.folders.retain(|folder| there(&root.join(folder)));
            self
        };
        spawn_blocking(look).await.map_err(|error| Error::internal(error.to_string()))
    }
}

/// Whether there is something; if nobody can say, there is.
fn there(place: &Path) -> bool {
    !fs::symlink_metadata(place).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

impl Known {
    fn folders(&mut self, target: &Target) {
        for folder in &target.folders {
            self.made.entry(folder.clone()).or_insert(Extent::Itself);
        }
    }

    fn make(&mut self, target: &Target) {
        self.folders(target);
        if target.fresh {
            self.made.entry(spelled(&target.path)).or_insert(Extent::Itself);
        }
    }

    /// Takes out everything that was made at a path and below it: how it goes on behind the path, and how much of it goes.
    fn take(&mut self, path: &str) -> Vec<(String, Extent)> {
        let mut taken = Vec::new();
        self.made.retain(|made, extent| {
            let rest = below(path, made);
            taken.extend(rest.map(|rest| (rest.to_owned(), *extent)));
            rest.is_none()
        });
        taken
    }
}

/// How a path goes on behind another one: nothing if it is the same, otherwise something that begins with `/`.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(folder).filter(|rest| folder.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

impl Created {
    /// Of a storage in which what was made is removed in the end, or of any other.
    pub(crate) fn new(removes: bool) -> Self {
        Self { removes, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This was written to.
    pub(crate) fn add(&self, target: &Target) {
        let mut known = self.lock();
        known.make(target);
        known.told.insert(normalized(&target.path));
    }

    /// This came to be although what was to be done has failed.
    pub(crate) fn left(&self, target: &Target) {
        self.lock().make(target);
    }

    /// This has another name now, and so has everything in it. What was there before is so under its new name, too; and
    /// where something was before, there is something in the end.
    pub(crate) fn renamed(&self, source: &str, target: &Target) {
        let mut known = self.lock();
        let (from, to) = (spelled(source), spelled(&target.path));
        let moved = known.take(&from);
        let replaced = known.take(&to);
        let ours = from == to || target.fresh || replaced.iter().any(|(rest, _)| rest.is_empty());
        let moved = moved.into_iter().filter(|(rest, _)| ours || !rest.is_empty());
        known.made.extend(moved.map(|(rest, extent)| (format!("{to}{rest}"), extent)));
        known.folders(target);
        known.told.remove(&normalized(source));
        known.told.insert(normalized(&target.path));
    }

    /// This was made by other means, and shall go in the end with all that is in it.
    pub(crate) fn register(&self, path: &str) {
        let mut known = self.lock();
        if self.removes {
            known.made.insert(spelled(path), Extent::Whole);
        }
        known.told.insert(normalized(path));
    }

    /// This is no more.
    pub(crate) fn forget(&self, path: &str) {
        let mut known = self.lock();
        known.told.remove(&normalized(path));
        known.made.remove(&spelled(path));
    }

    /// This is no more, nor is anything that was in it.
    pub(crate) fn forget_all(&self, path: &str) {
        let mut known = self.lock();
        known.told.remove(&normalized(path));
        known.take(&spelled(path));
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().told.iter().cloned().collect()
    }

    pub(crate) fn take(&self) -> BTreeMap<String, Extent> {
        let known = std::mem::take(&mut *self.lock());
        known.made
    }
}

/// Whether a path is that of the storage itself. Only files of this machine know `.`; elsewhere, it is a name like any other.
pub(crate) fn is_root(path: &str, is_fs: bool) -> bool {
    if is_fs { spelled(path).is_empty() } else { opendal::raw::normalize_path(path) == "/" }
}

/// Removes everything in a folder, and leaves the folder itself. Links are removed, not followed.
pub(crate) fn empty(root: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        remove_one(&entry?.path(), Extent::Whole)?;
    }
    Ok(())
}

/// A path of this machine in one spelling, which names what the library takes it for: without blanks around it, without
/// `.`, without `/` at the ends. The library refuses every `..`.
fn spelled(path: &str) -> String {
    let path = opendal::raw::normalize_path(path);
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

/// A path as upstream's driver tells it: separated by `/`, without `.`, without `..` that lead back, without `/` at the
/// ends. It need not name the same file: nothing is decided by it.
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
    fn what_is_removed_is_what_the_library_takes_a_path_for() {
        for (path, expected) in [
            ("a/b", "a/b"),
            (" /a//b/ ", "a/b"),
            (r"a\b", r"a\b"),
            ("./a/./b", "a/b"),
            ("a/../b", "a/../b"),
            (" ", ""),
            ("/./", ""),
        ] {
            assert_eq!(spelled(path), expected, "{path:?}");
        }
        for path in ["", "/", " ", "//"] {
            assert!(is_root(path, true) && is_root(path, false), "{path:?}");
        }
        assert!(is_root(".", true) && !is_root(".", false));
        for path in [r"\", "/..", "a/..", r"x\.."] {
            assert!(!is_root(path, true) && !is_root(path, false), "{path:?}");
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
        let created = Created::new(true);
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
        let created = Created::new(true);
        let write = async |path: &str| {
            let target = Target::look(Some(root.to_owned()), path).await.unwrap();
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "new").unwrap();
            created.add(&target);
        };
        for path in ["old/file", "old/new", "a/b/c", "a/b/d", "shared/deep/mine", "again", "again"] {
            write(path).await;
        }
        fs::write(root.join("shared/theirs"), "").unwrap();
        // What was there before is so under its new name, too.
        let target = Target::look(Some(root.to_owned()), "moved").await.unwrap();
        fs::rename(root.join("old/file"), root.join("moved")).unwrap();
        created.renamed("old/file", &target);
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
        let created = Created::new(true);
        for path in ["a", "a/b", "ab", "c/d"] {
            created.add(&Target { path: path.to_owned(), fresh: true, folders: Vec::new() });
        }
        created.forget_all("a/");
        assert_eq!(created.take().into_keys().collect::<Vec<_>>(), ["ab", "c/d"]);
    }

    /// What is to be removed after renames, each of something to where something else may be.
    #[test]
    fn a_new_name_does_not_change_who_made_it() {
        let new = |path: &str| Target { path: path.to_owned(), fresh: true, folders: Vec::new() };
        let there = |path: &str| Target { fresh: false, ..new(path) };
        let created = Created::new(true);
        for path in ["tmp", "folder", "folder/a", "folder/b/c", "folders"] {
            created.add(&new(path));
        }
        created.register("tree");
        created.renamed("from-before", &there("tmp"));
        created.renamed("folder/", &new("other/"));
        created.renamed("tree", &Target { folders: vec!["deep".to_owned()], ..new("deep/tree") });
        created.renamed("deep/tree", &there("./deep/tree"));
        // Where something was before, something stays.
        created.renamed("folders", &there("also-from-before"));
        let made: Vec<_> = created.take().into_iter().collect();
        let expected = [
            ("deep", Extent::Itself),
            ("deep/tree", Extent::Whole),
            ("other", Extent::Itself),
            ("other/a", Extent::Itself),
            ("other/b/c", Extent::Itself),
        ];
        assert_eq!(made, expected.map(|(path, extent)| (path.to_owned(), extent)));
    }

    #[test]
    fn nothing_is_kept_in_mind_where_nothing_is_removed() {
        let created = Created::new(false);
        created.register("tree");
        assert!(created.take().is_empty());
    }
}
