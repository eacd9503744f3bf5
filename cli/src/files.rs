//! Where configuration files are, and reading them.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::report::Stop;

/// Exporter files of the whole machine.
const SYSTEM: &str = "/etc/jumpstarter/exporters";

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
    let bytes = std::fs::read(path)
        .map_err(|error| Stop::failed(format!("cannot read {name}: {}", reason(&error))))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Named { name, text }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            Err(Stop::failed(format!("{name} is no text file: byte {valid} is not UTF-8")))
        }
    }
}

/// What the operating system says, without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_lowercase(),
        None => text,
    }
}

/// The user's folder for configuration.
pub(crate) fn home(lookup: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = set("JMP_CLIENT_CONFIG_HOME") {
        return Some(home);
    }
    // The XDG convention on every platform: that is where the existing files are.
    let base = etcetera::base_strategy::Xdg::new().ok().map(|xdg| xdg.config_dir());
    set("XDG_CONFIG_HOME").or(base).map(|base| base.join("jumpstarter"))
}

/// The file of an exporter with this alias: the user's, else the machine's.
pub(crate) fn exporter(alias: &str) -> Result<PathBuf, Stop> {
    let folders = exporter_folders();
    find(alias, &folders).map_err(|reason| Stop::failed(format!("exporter {alias:?} {reason}")))
}

fn exporter_folders() -> Vec<PathBuf> {
    home(environment).map(|home| home.join("exporters")).into_iter().chain([PathBuf::from(SYSTEM)]).collect()
}

fn find(alias: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    if alias.is_empty() || alias == "." || alias == ".." || alias.contains(['/', '\\']) {
        return Err(
            "is no alias: it names a file without folder and ending; use --exporter-config for a path"
                .to_owned(),
        );
    }
    let candidates =
        |ending: &'static str| folders.iter().map(move |folder| folder.join(format!("{alias}.{ending}")));
    if let Some(path) = candidates("yaml").chain(candidates("yml")).find(|path| path.is_file()) {
        return Ok(path);
    }
    let places: Vec<_> = candidates("yaml").map(|path| path.display().to_string()).collect();
    let known = aliases(folders);
    let near = jumpstarter_core::config::nearest(alias, known.iter().map(String::as_str));
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

/// The exporter files of a folder, sorted.
pub(crate) fn folder(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let name = folder.display();
    let files =
        list(folder).map_err(|error| Stop::failed(format!("cannot read {name}: {}", reason(&error))))?;
    if files.is_empty() { Err(Stop::failed(format!("there is no .yaml file in {name}"))) } else { Ok(files) }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") && path.is_file()
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
        assert!(find("../x", &folders).unwrap_err().contains("--exporter-config"));
    }
}
