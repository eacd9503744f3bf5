//! Where configuration files are, and reading them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jumpstarter_core::config::{self, Problem, Source, document::MAX_BYTES, encoding::Text};

use crate::report::Stop;

/// Exporter files of the whole machine.
const SYSTEM: &str = "/etc/jumpstarter/exporters";

/// Stands for standard input where a file is asked for.
pub(crate) const STDIN: &str = "-";

/// A file that was read.
pub(crate) struct Named {
    /// How messages name it.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// One variable of the environment, if it is text.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a configuration file.
pub(crate) fn read(path: &Path) -> Result<Named, Stop> {
    let name = path.display().to_string();
    // Only a check reads standard input; a shell needs it for itself.
    let is_stdin = path == Path::new(STDIN);
    let place = if is_stdin { Path::new("./-") } else { path };
    let bytes = content(place, &name).map_err(|refused| {
        let (reason, advice) = match refused {
            Refused::TooLong(problem) => return Stop::Problems((*problem).into()),
            Refused::Unreadable(reason) if is_stdin => (reason, Some(ONLY_CHECKED.to_owned())),
            Refused::Unreadable(reason) => (reason, neighbour(path)),
            Refused::NoFile(reason) => (reason, Some(OUTPUT_AS_FILE.to_owned())),
        };
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        Stop::failed(format!("cannot read {name}: {reason}{advice}"))
    })?;
    match config::encoding::text(&name, bytes) {
        Text { text: Some(text), problems } if problems.is_empty() => Ok(Named { name, text }),
        Text { problems, .. } => Err(Stop::Problems(problems)),
    }
}

/// Reads a file that is to be checked: whatever is wrong with it is a problem of this file.
pub(crate) fn read_for_check(path: &Path) -> (String, Text) {
    let name = path.display().to_string();
    let refused = |problem: Problem| Text { text: None, problems: problem.into() };
    let unreadable = |reason: &str, advice: Option<String>| {
        let problem = Problem::error(format!("cannot read this file: {reason}")).maybe_help(advice);
        refused(problem.in_source(&Arc::new(Source::new(name.as_str(), ""))))
    };
    let text = match content(path, &name) {
        Ok(bytes) => config::encoding::text(&name, bytes),
        Err(Refused::TooLong(problem)) => refused(*problem),
        Err(Refused::Unreadable(reason)) => unreadable(&reason, neighbour(path)),
        Err(Refused::NoFile(reason)) => unreadable(&reason, Some(OUTPUT_AS_INPUT.to_owned())),
    };
    (name, text)
}

/// What to do instead of naming a pipe, where standard input is read.
const OUTPUT_AS_INPUT: &str =
    "to check what a program writes, name `-` and let it write to the standard input";

/// The same, where it is not.
const OUTPUT_AS_FILE: &str =
    "for what a program writes, write `<(PROGRAM)`, as bash and zsh have it, or let it write a file";

/// For somebody who expects standard input to be read.
const ONLY_CHECKED: &str =
    "only `jmp config exporter check` reads the standard input for `-`: name a file here";

enum Refused {
    Unreadable(String),
    /// There is something that has no end, or no beginning.
    NoFile(String),
    TooLong(Box<Problem>),
}

/// What is in a file, or in standard input if its name is `-`, unless that is more than any file may be long.
fn content(path: &Path, name: &str) -> Result<Vec<u8>, Refused> {
    let unreadable = |error: std::io::Error| Refused::Unreadable(reason(&error));
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut length = None;
    if path == Path::new(STDIN) {
        std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        // What is no file may keep its reader waiting for ever. What a shell opened (`<(…)`) has a writer.
        if let Some(what) = no_file(metadata.file_type()).filter(|_| !is_open_already(path)) {
            return Err(Refused::NoFile(format!("it is {what}, not a file")));
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        length = Some(metadata).filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if bytes.len() > MAX_BYTES {
        return Err(Refused::TooLong(Box::new(config::encoding::too_long(name, length))));
    }
    Ok(bytes)
}

/// What something is that has no content of its own.
fn no_file(kind: std::fs::FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else {
        None
    }
}

/// Whether a path names something that this process was given when it was started.
fn is_open_already(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") || path == Path::new("/dev/stdin")
}

/// Where a file was probably meant to be.
fn neighbour(path: &Path) -> Option<String> {
    let (folder, name) = (path.parent()?, path.file_name()?.to_string_lossy().into_owned());
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if path.exists() {
        return None;
    }
    if path.symlink_metadata().is_ok() {
        return Some("it is a link that leads nowhere".to_owned());
    }
    let Ok(files) = list(place) else { return Some(format!("there is no folder {}", place.display())) };
    let names: Vec<_> =
        files.iter().filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned())).collect();
    let near = config::nearest(&name, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", folder.join(near).display()))
}

/// What the operating system says, without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_lowercase(),
        None => text,
    }
}

/// Writes a file whole, for its owner only: beside it first, then in its place. Folders are made as they are needed.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<(), Stop> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let failed =
        |error: &std::io::Error| Stop::failed(format!("cannot write {}: {}", file.display(), reason(error)));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(&error))?;
    let write = || {
        let mut partial = tempfile::Builder::new()
            .prefix(".partial-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        std::io::Write::write_all(&mut partial, text.as_bytes())?;
        partial.as_file().sync_all()?;
        partial.persist(file).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| failed(&error))
}

/// The user's folder for configuration.
pub(crate) fn home(lookup: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    jumpstarter_lease::config::home(&lookup)
}

/// The file of an exporter with this alias: the user's, else the machine's.
pub(crate) fn exporter(alias: &str) -> Result<PathBuf, Stop> {
    let advice = if is_alias(alias) { "" } else { "; use --exporter-config for a path" };
    find_exporter(alias).map_err(|reason| Stop::failed(format!("exporter {alias:?} {reason}{advice}")))
}

/// The same, with the reason alone if there is none.
pub(crate) fn find_exporter(alias: &str) -> Result<PathBuf, String> {
    find(alias, &exporter_folders())
}

fn exporter_folders() -> Vec<PathBuf> {
    home(environment).map(|home| home.join("exporters")).into_iter().chain([PathBuf::from(SYSTEM)]).collect()
}

fn is_alias(word: &str) -> bool {
    !(word.is_empty() || word == "." || word == ".." || word.contains(['/', '\\']))
}

fn find(alias: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    if !is_alias(alias) {
        return Err("is no alias: it names a file without folder and ending".to_owned());
    }
    let candidates =
        |ending: &'static str| folders.iter().map(move |folder| folder.join(format!("{alias}.{ending}")));
    if let Some(path) = candidates("yaml").chain(candidates("yml")).find(|path| path.is_file()) {
        return Ok(path);
    }
    let places: Vec<_> = candidates("yaml").map(|path| path.display().to_string()).collect();
    let known = aliases(folders);
    let near = config::nearest(alias, known.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are: {}", known.join(", ")),
    };
    Err(format!("does not exist: there is no {}{hint}", places.join(" and no ")))
}

/// Aliases of the exporters that are configured.
pub(crate) fn exporters() -> Vec<String> {
    aliases(&exporter_folders())
}

fn aliases(folders: &[PathBuf]) -> Vec<String> {
    let files = folders.iter().flat_map(|folder| list(folder).unwrap_or_default());
    let mut names: Vec<_> =
        files.filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned())).collect();
    names.sort();
    names.dedup();
    names
}

/// The exporter files of a folder, sorted; or why there are none.
pub(crate) fn folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    match list(folder) {
        Ok(files) if files.is_empty() => Err("there is no .yaml or .yml file in this folder".to_owned()),
        Ok(files) => Ok(files),
        Err(error) => Err(format!("cannot read this folder: {}", reason(&error))),
    }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            let ending = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
            // A link that leads nowhere is told of, where it is read. Pipes and sockets only have the name of a file.
            ending && (path.is_file() || !path.exists())
        })
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_the_folder_itself() {
        let home_of = |name: &'static str, value: &'static str| {
            home(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(home_of("JMP_CLIENT_CONFIG_HOME", "/a/b"), Some("/a/b".into()));
        assert_eq!(home_of("XDG_CONFIG_HOME", "/x"), Some("/x/jumpstarter".into()));
    }

    #[test]
    fn the_users_file_hides_the_machines_and_dots_belong_to_the_alias() {
        let (user, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [user.path().to_owned(), system.path().to_owned()];
        std::fs::write(system.path().join("rig.east.yaml"), "").unwrap();
        assert_eq!(find("rig.east", &folders).unwrap(), system.path().join("rig.east.yaml"));
        std::fs::write(user.path().join("rig.east.yaml"), "").unwrap();
        assert_eq!(find("rig.east", &folders).unwrap(), user.path().join("rig.east.yaml"));
        let message = find("rig.eats", &folders).unwrap_err();
        assert!(message.ends_with("did you mean \"rig.east\"?"), "{message}");
        assert!(find("../x", &folders).unwrap_err().contains("is no alias"));
    }
}
