//! Where configuration files are, and reading them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jumpstarter_core::{
    ErrorClass,
    config::{self, Problem, Source, document::MAX_BYTES, encoding::Text},
};
use jumpstarter_transport::connect;

use crate::report::Stop;

/// Exporter files of the whole machine.
const SYSTEM: &str = "/etc/jumpstarter/exporters";

/// The file in a folder that is called as an exporter.
const NESTED: &str = "exporter.yaml";

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

/// Reads a file that need not be text.
pub(crate) fn bytes(path: &str) -> Result<Vec<u8>, Stop> {
    std::fs::read(path)
        .map_err(|error| Stop::configuration(format!("cannot read {path}: {}", reason(&error))))
}

/// Reads a file with certificates to trust.
pub(crate) fn authority(path: &str) -> Result<Vec<u8>, Stop> {
    Ok(connect::authority(path, bytes(path)?)?)
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
        Stop::of(ErrorClass::Configuration, format!("cannot read {name}: {reason}{advice}"))
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
pub(crate) fn is_open_already(path: &Path) -> bool {
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
    let failed = |error: &std::io::Error| {
        Stop::configuration(format!("cannot write {}: {}", file.display(), reason(error)))
    };
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
    find_exporter(alias).map_err(|reason| no_exporter(alias, &reason))
}

/// What to say when there is none.
pub(crate) fn no_exporter(alias: &str, reason: &str) -> Stop {
    let advice = if is_alias(alias) { "" } else { "; use --exporter-config for a path" };
    Stop::configuration(format!("exporter {alias:?} {reason}{advice}"))
}

/// The same, with the reason alone if there is none.
pub(crate) fn find_exporter(alias: &str) -> Result<PathBuf, String> {
    find(alias, &exporter_folders())
}

/// The user's folder with exporter files.
pub(crate) fn own_exporters() -> Result<PathBuf, Stop> {
    let home = home(environment).ok_or_else(|| Stop::configuration("there is no home folder"))?;
    Ok(home.join("exporters"))
}

/// The user's file of an exporter with this alias.
pub(crate) fn own_exporter(alias: &str) -> Option<PathBuf> {
    in_folder(&own_exporters().ok()?, alias)
}

/// The machine's file of an exporter with this alias.
pub(crate) fn system_exporter(alias: &str) -> Option<PathBuf> {
    in_folder(Path::new(SYSTEM), alias)
}

/// Where files of exporters are: the user's folder, then the machine's.
pub(crate) fn exporter_folders() -> Vec<PathBuf> {
    own_exporters().ok().into_iter().chain([PathBuf::from(SYSTEM)]).collect()
}

fn is_alias(word: &str) -> bool {
    jumpstarter_lease::config::is_alias(word)
}

/// The file of an alias in one folder. The last one is how files were laid out before they were flat.
fn in_folder(folder: &Path, alias: &str) -> Option<PathBuf> {
    let flat = |ending: &str| folder.join(format!("{alias}.{ending}"));
    let places = [flat("yaml"), flat("yml"), folder.join(alias).join(NESTED)];
    places.into_iter().find(|path| path.is_file())
}

/// The file of an exporter in the first of these folders that has one; why there is none, and what is near.
pub(crate) fn find(alias: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    if !is_alias(alias) {
        return Err("is no alias: it names a file without folder and ending".to_owned());
    }
    if let Some(path) = folders.iter().find_map(|folder| in_folder(folder, alias)) {
        return Ok(path);
    }
    let places = folders.iter().map(|folder| folder.join(format!("{alias}.yaml")).display().to_string());
    let places: Vec<_> = places.collect();
    let known: Vec<_> = listed(folders).into_iter().map(|(alias, _)| alias).collect();
    let near = config::nearest(alias, known.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are: {}", known.join(", ")),
    };
    Err(format!("does not exist: there is no {}{hint}", places.join(" and no ")))
}

/// Aliases of the exporters that are configured, sorted.
pub(crate) fn exporters() -> Vec<String> {
    let mut names: Vec<_> = exporter_files().into_iter().map(|(alias, _)| alias).collect();
    names.sort();
    names
}

/// The files of exporters with their aliases: the user's, then those of the machine that they do not hide.
pub(crate) fn exporter_files() -> Vec<(String, PathBuf)> {
    listed(&exporter_folders())
}

fn listed(folders: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for folder in folders {
        let mut names: Vec<_> =
            list(folder).unwrap_or_default().iter().filter_map(|path| stem(path)).collect();
        let inside = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        names.extend(
            inside
                .filter(|path| path.join(NESTED).is_file())
                .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())),
        );
        names.sort();
        names.dedup();
        names.retain(|name| !name.starts_with('.') && !found.iter().any(|(known, _)| known == name));
        found.extend(names.into_iter().filter_map(|name| {
            let path = in_folder(folder, &name)?;
            Some((name, path))
        }));
    }
    found
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
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
        assert_eq!(listed(&folders), [("rig.east".to_owned(), user.path().join("rig.east.yaml"))]);
        let message = find("rig.eats", &folders).unwrap_err();
        assert!(message.ends_with("did you mean \"rig.east\"?"), "{message}");
        assert!(find("../x", &folders).unwrap_err().contains("is no alias"));
    }

    #[test]
    fn exporters_are_listed_from_the_file_that_would_be_used() {
        let (user, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [user.path().to_owned(), system.path().to_owned()];
        std::fs::create_dir(system.path().join("old")).unwrap();
        for place in [
            user.path().join("z.yaml"),
            user.path().join("both.yml"),
            user.path().join(".hidden.yaml"),
            user.path().join("none.txt"),
            system.path().join("both.yaml"),
            system.path().join("a.yaml"),
            system.path().join("old/exporter.yaml"),
        ] {
            std::fs::write(place, "").unwrap();
        }
        let found = listed(&folders);
        let expected = [
            ("both", user.path().join("both.yml")),
            ("z", user.path().join("z.yaml")),
            ("a", system.path().join("a.yaml")),
            ("old", system.path().join("old/exporter.yaml")),
        ];
        assert_eq!(found, expected.map(|(alias, path)| (alias.to_owned(), path)));
        for (alias, path) in found {
            assert_eq!(find(&alias, &folders).unwrap(), path);
        }
    }
}
