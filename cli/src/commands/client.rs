//! `jmp config client`: the files of the user's clients, and which one is the default.

use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueHint};
use jumpstarter_core::config::client::Environment;
use jumpstarter_lease::config;
use serde_json::{Map, Value, json};

use crate::{
    commands::{
        Invocation,
        credentials::{self, Basics},
    },
    files::{self, environment},
    output::{self, Format},
    prompt,
    report::{Outcome, Stop},
    tokens::Notes,
    words::{flag, option},
};

pub(crate) const CREATE: &str = "Write the file of a client\n\n\
    Whoever runs the lab gives you the values. What is missing is asked for. The first client becomes the default.";
pub(crate) const DELETE: &str = "Remove the file of a client";
pub(crate) const LIST: &str = "Show the clients that there are";
pub(crate) const USE: &str = "Make a client the default";

/// What stands where a secret would.
const HIDDEN: &str = "***";

fn name(help: &'static str) -> Arg {
    Arg::new("name").value_name("NAME").required(true).help(help)
}

pub(crate) fn create_arguments(command: Command) -> Command {
    command
        .arg(Arg::new("name").value_name("ALIAS").required(true).help("What you call it"))
        .arg(option("out", "FILE", "Write it there instead").value_hint(ValueHint::FilePath))
        .arg(option("namespace", "NAMESPACE", "Namespace of the client"))
        .arg(option("client-name", "NAME", "Name of the client in the lab").long("name"))
        .arg(option("endpoint", "HOST:PORT", "Where the lab is").short('e'))
        .arg(option("token", "TOKEN", "What proves who the client is").short('t'))
        .arg(option("token-file", "FILE", "The file that holds it").value_hint(ValueHint::FilePath))
        .arg(option("allow", "LIST", "Driver classes that may be used, by patterns with commas").short('a'))
        .arg(flag("unsafe", "All drivers may be used"))
        .arg(
            option("ca", "FILE", "PEM file of the authority that the lab's certificate is by")
                .value_hint(ValueHint::FilePath),
        )
        .arg(flag("insecure-tls", "Do not ask the lab to prove its name").short('k'))
        .arg(flag("nointeractive", "Do not ask for what is missing"))
        .arg(output::option(&["path"]))
}

pub(crate) fn delete_arguments(command: Command) -> Command {
    command.arg(name("Which client")).arg(output::option(&["path"]))
}

pub(crate) fn use_arguments(command: Command) -> Command {
    delete_arguments(command)
}

pub(crate) fn list_arguments(command: Command) -> Command {
    command
        .arg(flag("show-secrets", "Show tokens as well, with -o json or yaml"))
        .args(output::options(&["json", "yaml", "name"]))
}

pub(crate) fn folder() -> Result<PathBuf, Stop> {
    config::folder(&environment).ok_or_else(|| Stop::configuration("there is no home folder: use --out FILE"))
}

fn user_file() -> Result<PathBuf, Stop> {
    let home = config::home(&environment).ok_or_else(|| Stop::configuration("there is no home folder"))?;
    Ok(home.join("config.yaml"))
}

pub(crate) fn create(invocation: &Invocation<'_>) -> Outcome {
    let place = invocation.place;
    let alias = invocation.text("name").unwrap_or_default();
    credentials::check_alias(place, "ALIAS", alias)?;
    let path = match invocation.text("out") {
        Some(path) => PathBuf::from(path),
        None => folder()?.join(format!("{alias}.yaml")),
    };
    let known = config::clients(&environment);
    let taken = known.iter().any(|(name, _)| name == alias);
    if invocation.text("out").is_none() && taken {
        return Err(Stop::usage(format!("A client with the name '{alias}' already exists.")));
    }
    let silent = invocation.flag("nointeractive");
    let basics = credentials::basics(invocation, silent, "client-name", "Name of the client")?;
    let Basics { namespace, name, endpoint, token, ca, insecure } = basics;
    let everything = invocation.flag("unsafe");
    let allow = match invocation.text("allow") {
        Some(list) => list.to_owned(),
        None if silent || everything => String::new(),
        None => prompt::missing(place, silent, "allow", prompt::DRIVERS, prompt::ask_or_nothing)?,
    };
    let allow = credentials::patterns(&allow);
    let config = Client { namespace, name, endpoint, ca, insecure, token, refresh: None, allow, everything };
    files::write_private(&path, &config.text()?)?;
    if invocation.text("out").is_none() && known.is_empty() {
        choose(Some(alias))?;
    }
    credentials::print_path(invocation, &path)?;
    Ok(0)
}

/// The content of a client's file.
pub(crate) struct Client {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) endpoint: String,
    /// Certificates (PEM) in base64, or nothing.
    pub(crate) ca: String,
    pub(crate) insecure: bool,
    pub(crate) token: String,
    pub(crate) refresh: Option<String>,
    pub(crate) allow: Vec<String>,
    pub(crate) everything: bool,
}

impl Client {
    /// As it is written, in the order of the keys that existing clients write.
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
            #[serde(rename = "refresh_token", skip_serializing_if = "Option::is_none")]
            refresh_token: Option<&'a str>,
            grpc_options: Map<String, Value>,
            drivers: Value,
            shell: Value,
        }
        let file = File {
            api_version: "jumpstarter.dev/v1alpha1",
            kind: "ClientConfig",
            metadata: json!({ "namespace": self.namespace, "name": self.name }),
            endpoint: &self.endpoint,
            tls: json!({ "ca": self.ca, "insecure": self.insecure }),
            token: &self.token,
            refresh_token: self.refresh.as_deref(),
            grpc_options: Map::new(),
            drivers: json!({ "allow": self.allow, "unsafe": self.everything }),
            shell: json!({ "use_profiles": false }),
        };
        serde_yaml::to_string(&file).map_err(|error| Stop::infrastructure(error.to_string()))
    }
}

/// Makes a client the default, or none.
pub(crate) fn choose(alias: Option<&str>) -> Result<(), Stop> {
    let config = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1",
        "kind": "UserConfig",
        "config": { "current-client": alias },
    });
    let text = serde_yaml::to_string(&config).map_err(|error| Stop::infrastructure(error.to_string()))?;
    files::write_private(&user_file()?, &text)
}

pub(crate) fn delete(invocation: &Invocation<'_>) -> Outcome {
    let alias = invocation.text("name").unwrap_or_default();
    let path = config::file(alias, &environment)?;
    std::fs::remove_file(&path).map_err(|error| {
        Stop::configuration(format!("cannot remove {}: {}", path.display(), files::reason(&error)))
    })?;
    Notes::forget(&path);
    if config::current(&environment)?.as_deref() == Some(alias) {
        let next = config::clients(&environment).into_iter().next().map(|(alias, _)| alias);
        choose(next.as_deref())?;
        output::notice(&match next {
            Some(next) => format!("'{next}' is the default client now."),
            None => "There is no default client any more.".to_owned(),
        });
    }
    credentials::print_path(invocation, &path)?;
    Ok(0)
}

pub(crate) fn choose_default(invocation: &Invocation<'_>) -> Outcome {
    let alias = invocation.text("name").unwrap_or_default();
    let path = config::file(alias, &environment)?;
    choose(Some(alias))?;
    credentials::print_path(invocation, &path)?;
    Ok(0)
}

pub(crate) fn list(invocation: &Invocation<'_>) -> Outcome {
    let current = config::current(&environment)?;
    let mut rows = Vec::new();
    let mut items = Vec::new();
    let mut names = Vec::new();
    for (alias, path) in config::clients(&environment) {
        // One that cannot be read says so, and the others are shown all the same.
        let chosen = match config::load(&path, &|_| None, Environment::Fills) {
            Ok(chosen) => chosen,
            Err(unusable) => {
                Stop::from(unusable).print();
                continue;
            }
        };
        let endpoint = chosen.config.endpoint.as_ref().map(|at| at.value.clone()).unwrap_or_default();
        let mark = if current.as_deref() == Some(alias.as_str()) { "*" } else { "" };
        rows.push(vec![mark.to_owned(), alias.clone(), endpoint, path.display().to_string()]);
        items.push(item(&chosen, &alias, &path, invocation.flag("show-secrets")));
        names.push(alias);
    }
    let listed = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1",
        "currentConfig": current,
        "items": items,
        "kind": "ClientConfigList",
    });
    match Format::of(invocation.matches) {
        Format::Json => output::json(&listed)?,
        Format::Yaml => output::sorted_yaml(&listed)?,
        Format::Name => output::lines(names.iter().map(String::as_str))?,
        Format::Table(room) => {
            output::resources(&["CURRENT", "ALIAS", "ENDPOINT", "PATH"], &rows, room)?;
        }
    }
    Ok(0)
}

/// A client for programs; its secrets only for those who ask for them.
fn item(chosen: &jumpstarter_lease::Chosen, alias: &str, path: &Path, secrets: bool) -> Value {
    let config = &chosen.config;
    let secret = |text: &str| if secrets { text.to_owned() } else { HIDDEN.to_owned() };
    json!({
        "alias": alias,
        "apiVersion": "jumpstarter.dev/v1alpha1",
        "drivers": config.drivers,
        "endpoint": config.endpoint.as_ref().map(|at| &at.value),
        "kind": "ClientConfig",
        "leases": config.leases,
        "metadata": config.metadata,
        "path": path.display().to_string(),
        "refresh_token": config.refresh_token.as_ref().map(|token| secret(token.value.expose())),
        "shell": config.shell,
        "tls": config.tls,
        "token": config.token.as_ref().map(|token| secret(token.value.expose())),
    })
}

/// The aliases that there are, for completion.
pub(crate) fn aliases() -> Vec<String> {
    config::clients(&environment).into_iter().map(|(alias, _)| alias).collect()
}
