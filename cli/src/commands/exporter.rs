//! `jmp config exporter`: files of exporters, the user's and those of the whole machine. Checking them is in [`super::config`].
//!
//! | Module | Responsibility |
//! |---|---|
//! | `edit` | somebody's own editor, and what is wrong with the file afterwards |

mod edit;

use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueHint};
use serde_json::{Map, Value, json};

pub(crate) use self::edit::edit;
use crate::{
    commands::{
        Invocation,
        credentials::{self, Basics},
    },
    files,
    output::{self, Format},
    report::{Outcome, Stop},
    style,
    tokens::Notes,
    words::{flag, option},
};

pub(crate) const CREATE: &str = "Write the file of an exporter\n\n\
    Whoever runs the lab gives you the values. What is missing is asked for. Which devices it has goes below `export` in the \
    file: `jmp config exporter edit` opens it.";
pub(crate) const DELETE: &str = "Remove the file of an exporter";
pub(crate) const EDIT: &str = "Change the file of an exporter in your editor, and check it afterwards\n\n\
    The editor is that of VISUAL or EDITOR.";
pub(crate) const LIST: &str = "Show the files of exporters that there are\n\n\
    Yours come first, then those of this machine (/etc/jumpstarter/exporters) that none of yours hides.";

/// The exporter of whoever names none.
const DEFAULT: &str = "default";

/// What stands where a secret would, or where one may be.
const HIDDEN: &str = "***";

/// The alias of an exporter that is there. Its identifier is what completion knows exporters by.
fn existing(help: &'static str) -> Arg {
    Arg::new("exporter").value_name("ALIAS").default_value(DEFAULT).help(help)
}

pub(crate) fn create_arguments(command: Command) -> Command {
    let path = |arg: Arg| arg.value_hint(ValueHint::FilePath);
    command
        .arg(Arg::new("alias").value_name("ALIAS").default_value(DEFAULT).help("What you call it"))
        .arg(path(option("out", "FILE", "Write it there instead")))
        .arg(option("namespace", "NAMESPACE", "Namespace of the exporter"))
        .arg(option("name", "NAME", "Name of the exporter in the lab"))
        .arg(option("endpoint", "HOST:PORT", "Where the lab is").short('e'))
        .arg(option("token", "TOKEN", "What proves who the exporter is").short('t'))
        .arg(path(option("token-file", "FILE", "The file that holds it")))
        .arg(path(option("ca", "FILE", "PEM file of the authority that the lab's certificate is by")))
        .arg(flag("insecure-tls", "Do not ask the lab to prove its name").short('k'))
        .arg(flag("nointeractive", "Do not ask for what is missing"))
        .arg(output::option(&["path"]))
}

pub(crate) fn delete_arguments(command: Command) -> Command {
    command.arg(existing("Which exporter; yours only")).arg(output::option(&["path"]))
}

pub(crate) fn edit_arguments(command: Command) -> Command {
    command.arg(existing("Which exporter"))
}

pub(crate) fn list_arguments(command: Command) -> Command {
    command
        .arg(flag(
            "show-secrets",
            "With -o json or yaml, show tokens as well, and what drivers are configured with",
        ))
        .args(output::options(&["json", "yaml", "name"]))
}

/// The alias that was typed, if it can be one.
fn alias<'a>(invocation: &'a Invocation<'_>, argument: &str) -> Result<&'a str, Stop> {
    let alias = invocation.text(argument).unwrap_or_default();
    credentials::check_alias(invocation.place, "ALIAS", alias)?;
    Ok(alias)
}

pub(crate) fn create(invocation: &Invocation<'_>) -> Outcome {
    let alias = alias(invocation, "alias")?;
    let path = match invocation.text("out") {
        Some(path) => PathBuf::from(path),
        None => files::own_exporters()?.join(format!("{alias}.yaml")),
    };
    if invocation.text("out").is_none() && files::own_exporter(alias).is_some() {
        return Err(Stop::usage(format!("exporter \"{alias}\" exists")));
    }
    let silent = invocation.flag("nointeractive");
    let basics = credentials::basics(invocation, silent, "name", "Name of the exporter")?;
    let Basics { namespace, name, endpoint, token, ca, insecure } = basics;
    let exporter = Exporter { namespace, name, endpoint, ca, insecure, token };
    files::write_private(&path, &exporter.text()?)?;
    if invocation.text("out").is_none()
        && let Some(hidden) = files::system_exporter(alias)
    {
        output::notice(&format!("{} it hides {}.", style::warning(), hidden.display()));
    }
    credentials::print_path(invocation, &path)?;
    Ok(0)
}

/// The content of a new exporter's file. It has no devices yet.
pub(crate) struct Exporter {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) endpoint: String,
    /// Certificates (PEM) in base64, or nothing.
    pub(crate) ca: String,
    pub(crate) insecure: bool,
    pub(crate) token: String,
}

impl Exporter {
    /// As it is written, in the order of the keys that existing exporters write.
    pub(crate) fn text(&self) -> Result<String, Stop> {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct File<'a> {
            api_version: &'a str,
            kind: &'a str,
            metadata: Value,
            endpoint: &'a str,
            tls: Value,
            token: &'a str,
            grpc_options: Map<String, Value>,
            export: Map<String, Value>,
        }
        let file = File {
            api_version: "jumpstarter.dev/v1alpha1",
            kind: "ExporterConfig",
            metadata: json!({ "namespace": self.namespace, "name": self.name }),
            endpoint: &self.endpoint,
            tls: json!({ "ca": self.ca, "insecure": self.insecure }),
            token: &self.token,
            grpc_options: Map::new(),
            export: Map::new(),
        };
        serde_yaml::to_string(&file).map_err(|error| Stop::infrastructure(error.to_string()))
    }
}

pub(crate) fn delete(invocation: &Invocation<'_>) -> Outcome {
    let alias = alias(invocation, "exporter")?;
    let folders = files::exporter_folders();
    let path = remove(alias, &folders)?;
    credentials::print_path(invocation, &path)?;
    if let Ok(next) = files::find(alias, &folders) {
        output::notice(&format!(
            "{} {} is removed, and \"{alias}\" is {} from now on.",
            style::warning(),
            path.display(),
            next.display()
        ));
    }
    Ok(0)
}

/// Removes an exporter's file from the first of these folders, which is the user's, and answers where it was.
fn remove(alias: &str, folders: &[PathBuf]) -> Result<PathBuf, Stop> {
    let path = files::find(alias, folders).map_err(|reason| files::no_exporter(alias, &reason))?;
    if files::find(alias, folders.get(..1).unwrap_or_default()).is_err() {
        return Err(Stop::usage(format!(
            "exporter \"{alias}\" is one of this machine and not yours: whoever looks after it removes {}",
            path.display()
        )));
    }
    std::fs::remove_file(&path).map_err(|error| {
        Stop::configuration(format!("cannot remove {}: {}", path.display(), files::reason(&error)))
    })?;
    Notes::forget(&path);
    Ok(path)
}

pub(crate) fn list(invocation: &Invocation<'_>) -> Outcome {
    let found = files::exporter_files();
    match Format::of(invocation.matches) {
        Format::Name => output::lines(found.iter().map(|(alias, _)| alias.as_str()))?,
        Format::Table(room) => {
            let row = |(alias, path): &(String, PathBuf)| vec![alias.clone(), path.display().to_string()];
            output::resources(&["ALIAS", "PATH"], &found.iter().map(row).collect::<Vec<_>>(), room)?;
        }
        format @ (Format::Json | Format::Yaml) => {
            let secrets = invocation.flag("show-secrets");
            let mut items = Vec::new();
            for (alias, path) in &found {
                // One that cannot be read says so, and the others are shown all the same.
                match item(alias, path, secrets) {
                    Ok(item) => items.push(item),
                    Err(stop) => stop.print(),
                }
            }
            let listed = json!({
                "apiVersion": "jumpstarter.dev/v1alpha1",
                "items": items,
                "kind": "ExporterConfigList",
            });
            if format == Format::Json {
                output::json(&listed)?;
            } else {
                output::sorted_yaml(&listed)?;
            }
        }
    }
    Ok(0)
}

/// An exporter for programs, as its file has it; its secrets only for those who ask for them.
fn item(alias: &str, path: &Path, secrets: bool) -> Result<Value, Stop> {
    let text = files::read(path)?.text;
    let file: Value = serde_yaml::from_str(&text)
        .map_err(|error| Stop::configuration(format!("{}: {error}", path.display())))?;
    let Value::Object(mut file) = file else {
        return Err(Stop::configuration(format!("{} is no ExporterConfig", path.display())));
    };
    if !secrets {
        hide(&mut file, "token");
        if let Some(Value::Object(devices)) = file.get_mut("export") {
            devices.values_mut().for_each(without_secrets);
        }
    }
    file.insert("alias".to_owned(), alias.into());
    file.insert("path".to_owned(), path.display().to_string().into());
    Ok(Value::Object(file))
}

fn hide(map: &mut Map<String, Value>, key: &str) {
    if let Some(value) = map.get_mut(key)
        && !value.is_null()
    {
        *value = HIDDEN.into();
    }
}

/// A device without its configuration: passwords stand in it, under names that only its driver knows.
fn without_secrets(device: &mut Value) {
    let Value::Object(device) = device else { return };
    hide(device, "config");
    if let Some(Value::Object(children)) = device.get_mut("children") {
        children.values_mut().for_each(without_secrets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_users_own_file_is_removed_and_one_of_the_machine_is_used_then() {
        let (user, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [user.path().to_owned(), system.path().to_owned()];
        let (mine, theirs) = (user.path().join("rig.yaml"), system.path().join("rig.yaml"));
        std::fs::write(&mine, "").unwrap();
        std::fs::write(user.path().join("rig.login.json"), "{}").unwrap();
        std::fs::write(&theirs, "").unwrap();
        assert_eq!(remove("rig", &folders).unwrap(), mine);
        assert_eq!(std::fs::read_dir(user.path()).unwrap().count(), 0);
        assert_eq!(files::find("rig", &folders), Ok(theirs.clone()));
        let message = |stop: Stop| match stop {
            Stop::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        };
        let refused = message(remove("rig", &folders).unwrap_err());
        assert!(refused.contains("one of this machine and not yours"), "{refused}");
        assert!(theirs.exists());
        let refused = message(remove("none", &folders).unwrap_err());
        assert!(refused.starts_with("exporter \"none\" does not exist: there is no "), "{refused}");
    }
}
