//! `jmp config client`: the files of the user's clients, and which one is the default.

use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueHint};
use jumpstarter_core::config::client::Environment;
use jumpstarter_lease::config;
use serde_json::{Map, Value, json};

use crate::{
    commands::Invocation,
    files::{self, environment},
    output::{self, Format},
    prompt,
    report::{Outcome, Stop},
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
        .arg(output::option(&["json", "yaml", "name"]))
}

fn folder() -> Result<PathBuf, Stop> {
    config::folder(&environment).ok_or_else(|| Stop::failed("there is no home folder: use --out FILE"))
}

fn user_file() -> Result<PathBuf, Stop> {
    let home = config::home(&environment).ok_or_else(|| Stop::failed("there is no home folder"))?;
    Ok(home.join("config.yaml"))
}

fn print_path(invocation: &Invocation<'_>, path: &Path) -> Result<(), Stop> {
    if output::asks_for(invocation.matches, "path") {
        output::line(&path.display().to_string())?;
    }
    Ok(())
}

pub(crate) fn create(invocation: &Invocation<'_>) -> Outcome {
    let place = invocation.place;
    let alias = invocation.text("name").unwrap_or_default();
    if !config::is_alias(alias) {
        return Err(place.wrong(format!(
            "Invalid value for 'ALIAS': '{alias}' must not be empty, a dot or two, nor contain a slash."
        )));
    }
    let path = match invocation.text("out") {
        Some(path) => PathBuf::from(path),
        None => folder()?.join(format!("{alias}.yaml")),
    };
    let known = config::clients(&environment);
    let taken = known.iter().any(|(name, _)| name == alias);
    if invocation.text("out").is_none() && taken {
        return Err(Stop::failed(format!("A client with the name '{alias}' already exists.")));
    }
    let silent = invocation.flag("nointeractive");
    if invocation.flag("insecure-tls") && !silent {
        prompt::confirm(
            "The lab will not have to prove its name: whoever is in between can read and change everything. Continue?",
        )?;
    }
    let given =
        |option: &str, what: &str, ask: fn(&str) -> Result<String, Stop>| match invocation.text(option) {
            Some(text) => Ok(text.to_owned()),
            None if silent => {
                let option = if option == "client-name" { "name" } else { option };
                Err(place.wrong(format!("Missing option '--{option}'.")))
            }
            None => ask(what),
        };
    let namespace = given("namespace", "Namespace", prompt::ask)?;
    let name = given("client-name", "Name of the client", prompt::ask)?;
    let endpoint = given("endpoint", "Where the lab is (HOST:PORT)", prompt::ask)?;
    config::place(&endpoint)
        .map_err(|error| place.wrong(format!("Invalid value for '--endpoint': {error}")))?;
    let token = match invocation.text("token-file") {
        Some(file) => files::read(Path::new(file))?.text.trim().to_owned(),
        None => given("token", "Token", prompt::secret)?,
    };
    let everything = invocation.flag("unsafe");
    let allow = match invocation.text("allow") {
        Some(list) => list.to_owned(),
        None if silent || everything => String::new(),
        None => prompt::ask_or_nothing("Driver classes that may be used, with commas (* for all)")?,
    };
    let allow: Vec<_> =
        allow.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect();
    let ca = match invocation.text("ca") {
        Some(file) => base64(files::read(Path::new(file))?.text.as_bytes()),
        None => String::new(),
    };
    let config = Client {
        namespace,
        name,
        endpoint,
        ca,
        insecure: invocation.flag("insecure-tls"),
        token,
        allow,
        everything,
    };
    files::write_private(&path, &config.text()?)?;
    if invocation.text("out").is_none() && known.is_empty() {
        choose(Some(alias))?;
    }
    print_path(invocation, &path)?;
    Ok(0)
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

/// The content of a client's file.
struct Client {
    namespace: String,
    name: String,
    endpoint: String,
    ca: String,
    insecure: bool,
    token: String,
    allow: Vec<String>,
    everything: bool,
}

impl Client {
    /// As it is written, in the order of the keys that existing clients write.
    fn text(&self) -> Result<String, Stop> {
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
            grpc_options: Map::new(),
            drivers: json!({ "allow": self.allow, "unsafe": self.everything }),
            shell: json!({ "use_profiles": false }),
        };
        serde_yaml::to_string(&file).map_err(|error| Stop::failed(error.to_string()))
    }
}

/// Makes a client the default, or none.
fn choose(alias: Option<&str>) -> Result<(), Stop> {
    let config = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1",
        "kind": "UserConfig",
        "config": { "current-client": alias },
    });
    let text = serde_yaml::to_string(&config).map_err(|error| Stop::failed(error.to_string()))?;
    files::write_private(&user_file()?, &text)
}

pub(crate) fn delete(invocation: &Invocation<'_>) -> Outcome {
    let alias = invocation.text("name").unwrap_or_default();
    let path = config::file(alias, &environment)?;
    std::fs::remove_file(&path).map_err(|error| {
        Stop::failed(format!("cannot remove {}: {}", path.display(), files::reason(&error)))
    })?;
    if config::current(&environment)?.as_deref() == Some(alias) {
        let next = config::clients(&environment).into_iter().next().map(|(alias, _)| alias);
        choose(next.as_deref())?;
        output::notice(&match next {
            Some(next) => format!("'{next}' is the default client now."),
            None => "There is no default client any more.".to_owned(),
        });
    }
    print_path(invocation, &path)?;
    Ok(0)
}

pub(crate) fn choose_default(invocation: &Invocation<'_>) -> Outcome {
    let alias = invocation.text("name").unwrap_or_default();
    let path = config::file(alias, &environment)?;
    choose(Some(alias))?;
    print_path(invocation, &path)?;
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
        Format::Table => {
            output::resources(&["CURRENT", "ALIAS", "ENDPOINT", "PATH"], rows)?;
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
