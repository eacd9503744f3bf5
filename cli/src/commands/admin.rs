//! `jmp admin`: what the owner of a lab does, through a socket in its folder.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::{Arg, ArgAction, Command, ValueHint};
use jumpstarter_lab::Data;
use jumpstarter_protocol::admin::v1::{
    BackupRequest, CreateRequest, Credential, DeleteRequest, GetRequest, IssueRequest, Key, ListRequest,
    admin_service_client::AdminServiceClient,
};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    commands::{Invocation, serve},
    files,
    output::{self, Format},
    report::{Outcome, Stop},
    runtime,
    style::printable,
    words::{flag, option},
};

type Client = AdminServiceClient<Channel>;

/// The option of the whole group.
pub(crate) fn lab(command: Command) -> Command {
    command.arg(option("lab", "DIR", "The lab's folder").value_hint(ValueHint::DirPath))
}

fn labels() -> Arg {
    option("label", "KEY=VALUE", "A label; can be repeated").short('l').action(ArgAction::Append)
}

fn name() -> Arg {
    Arg::new("name").value_name("NAME").required(true).help("What it is called")
}

fn saving(command: Command) -> Command {
    command
        .arg(flag("save", "Write a file with its token where jmp looks for it").short('s'))
        .arg(option("out", "FILE", "Write that file there instead").value_hint(ValueHint::FilePath))
}

fn creating(command: Command) -> Command {
    saving(command.arg(name()).arg(labels()))
        .arg(option("oidc-username", "USER", "Who may act as it besides: a user of an identity provider"))
        .arg(output::option(&["json", "yaml", "name"]))
}

fn drivers(command: Command) -> Command {
    command
        .arg(
            option("allow", "LIST", "Driver classes that the client may use, by patterns with commas")
                .short('a'),
        )
        .arg(flag("unsafe", "Let the client use all of them"))
}

pub(crate) fn create_client(command: Command) -> Command {
    drivers(creating(command))
}

pub(crate) fn create_exporter(command: Command) -> Command {
    creating(command)
}

pub(crate) fn get(command: Command) -> Command {
    command
        .arg(Arg::new("name").value_name("NAME").help("Only this one"))
        .arg(option("selector", "SELECTOR", "Only those with these labels").short('l'))
        .arg(output::option(&["json", "yaml", "name"]))
}

pub(crate) fn delete(command: Command) -> Command {
    command.arg(name())
}

pub(crate) fn rotate_client(command: Command) -> Command {
    drivers(saving(command.arg(name())))
}

pub(crate) fn rotate_exporter(command: Command) -> Command {
    saving(command.arg(name()))
}

pub(crate) fn backup_arguments(command: Command) -> Command {
    command.arg(
        Arg::new("file")
            .value_name("FILE")
            .required(true)
            .value_hint(ValueHint::FilePath)
            .help("What to write"),
    )
}

/// A kind of object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Client,
    Exporter,
    Lease,
    Policy,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Exporter => "Exporter",
            Self::Lease => "Lease",
            Self::Policy => "ExporterAccessPolicy",
        }
    }

    fn key(self, name: &str) -> Key {
        Key { kind: self.name().to_owned(), name: name.to_owned() }
    }
}

/// Does something with a lab.
fn with<T>(
    invocation: &Invocation<'_>,
    what: impl AsyncFnOnce(&mut Client) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let folder = match invocation.group("lab") {
        Some(folder) => PathBuf::from(folder),
        None => serve::own()?,
    };
    let socket = Data::admin_socket(&folder);
    if !socket.exists() {
        return Err(Stop::failed(format!(
            "no lab runs in {}: start it with `jmp serve --data {}`, or name its folder with --lab",
            folder.display(),
            folder.display()
        )));
    }
    let endpoint = std::path::absolute(&socket).map_err(|error| Stop::failed(files::reason(&error)))?;
    runtime::single()?.block_on(async {
        let channel =
            connect::connect(&Endpoint::Unix(endpoint), &Options::default()).await.map_err(|error| {
                Stop::failed(format!("the lab in {} does not answer: {}", folder.display(), error.message()))
            })?;
        what(&mut Client::new(channel)).await
    })
}

fn refused(status: &tonic::Status) -> Stop {
    Stop::failed(printable(status.message()))
}

fn object(text: &str) -> Result<Value, Stop> {
    serde_json::from_str(text).map_err(|error| Stop::failed(format!("the lab answers no JSON: {error}")))
}

fn name_of<'a>(invocation: &'a Invocation<'_>) -> &'a str {
    invocation.text("name").unwrap_or_default()
}

fn labels_of(invocation: &Invocation<'_>) -> Result<BTreeMap<String, String>, Stop> {
    let mut labels = BTreeMap::new();
    for word in invocation.matches.get_many::<String>("label").unwrap_or_default() {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            invocation.place.wrong(format!("Invalid value for '-l' / '--label': {word:?} is not KEY=VALUE."))
        })?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

pub(crate) fn create_a_client(invocation: &Invocation<'_>) -> Outcome {
    create(invocation, Kind::Client)
}

pub(crate) fn create_an_exporter(invocation: &Invocation<'_>) -> Outcome {
    create(invocation, Kind::Exporter)
}

fn create(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let name = name_of(invocation);
    let target = target(invocation, kind, name)?;
    if let Some(file) = target.as_ref().filter(|file| file.exists()) {
        return Err(Stop::failed(format!(
            "{} is there already: write to another file, or give it a new token with `jmp admin rotate`",
            file.display()
        )));
    }
    // Before anything is made: a token that cannot be written down would be lost.
    let file = target.map(|file| Private::begin(&file)).transpose()?;
    let mut spec = serde_json::Map::new();
    if let Some(user) = invocation.text("oidc-username") {
        spec.insert("username".to_owned(), user.into());
    }
    let manifest = json!({
        "kind": kind.name(),
        "metadata": { "name": name, "labels": labels_of(invocation)? },
        "spec": spec,
    });
    let made = with(invocation, async |client| {
        let made = client
            .create(CreateRequest { json: manifest.to_string() })
            .await
            .map_err(|status| refused(&status))?;
        if let Some(file) = file {
            let request = IssueRequest { key: Some(kind.key(name)), rotate: false };
            let credential = client.issue(request).await.map_err(|status| refused(&status))?.into_inner();
            let text = config(invocation, kind, name, &credential)?;
            save(invocation, kind, name, file, &text)?;
        }
        object(&made.into_inner().json)
    })?;
    print(invocation, kind, &[made], true)?;
    Ok(0)
}

pub(crate) fn get_clients(invocation: &Invocation<'_>) -> Outcome {
    list(invocation, Kind::Client)
}

pub(crate) fn get_exporters(invocation: &Invocation<'_>) -> Outcome {
    list(invocation, Kind::Exporter)
}

pub(crate) fn get_leases(invocation: &Invocation<'_>) -> Outcome {
    list(invocation, Kind::Lease)
}

pub(crate) fn get_policies(invocation: &Invocation<'_>) -> Outcome {
    list(invocation, Kind::Policy)
}

fn list(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let selector = invocation.text("selector").unwrap_or_default().to_owned();
    let one = invocation.text("name");
    let found = with(invocation, async |client| {
        if let Some(name) = one {
            let request = GetRequest { key: Some(kind.key(name)) };
            let found = client.get(request).await.map_err(|status| refused(&status))?;
            return Ok(vec![object(&found.into_inner().json)?]);
        }
        let request = ListRequest { kind: kind.name().to_owned(), selector };
        let found = client.list(request).await.map_err(|status| refused(&status))?.into_inner();
        found.objects.iter().map(|found| object(&found.json)).collect()
    })?;
    print(invocation, kind, &found, one.is_some())?;
    Ok(0)
}

pub(crate) fn delete_client(invocation: &Invocation<'_>) -> Outcome {
    remove(invocation, Kind::Client)
}

pub(crate) fn delete_exporter(invocation: &Invocation<'_>) -> Outcome {
    remove(invocation, Kind::Exporter)
}

pub(crate) fn delete_policy(invocation: &Invocation<'_>) -> Outcome {
    remove(invocation, Kind::Policy)
}

fn remove(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let name = name_of(invocation);
    with(invocation, async |client| {
        client
            .delete(DeleteRequest { key: Some(kind.key(name)) })
            .await
            .map_err(|status| refused(&status))
            .map(drop)
    })?;
    output::line(&format!("Deleted {} '{name}'", kind.name().to_lowercase()))?;
    Ok(0)
}

pub(crate) fn rotate_a_client(invocation: &Invocation<'_>) -> Outcome {
    rotate(invocation, Kind::Client)
}

pub(crate) fn rotate_an_exporter(invocation: &Invocation<'_>) -> Outcome {
    rotate(invocation, Kind::Exporter)
}

fn rotate(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let name = name_of(invocation);
    // A token that is shown to nobody, or cannot be written down, would only lock its owner out.
    let target = target(invocation, kind, name)?.ok_or_else(|| {
        invocation.place.wrong("Where does the new token go? Give '--save' or '--out FILE'.")
    })?;
    let before = match fs::read_to_string(&target) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&target, &error)),
    };
    if let Some(text) = &before
        && with_token(text, "").is_none()
    {
        return Err(Stop::failed(format!(
            "{} has no `token:` to be replaced: name another file",
            target.display()
        )));
    }
    let file = Private::begin(&target)?;
    with(invocation, async |client| {
        let request = IssueRequest { key: Some(kind.key(name)), rotate: true };
        let credential = client.issue(request).await.map_err(|status| refused(&status))?.into_inner();
        let text = match before.and_then(|text| with_token(&text, &credential.token)) {
            Some(text) => text,
            None => config(invocation, kind, name, &credential)?,
        };
        save(invocation, kind, name, file, &text)
    })?;
    Ok(0)
}

/// The text of a file with another token. Everything else in it is its owner's. Nothing, if there is no token in it.
fn with_token(text: &str, token: &str) -> Option<String> {
    let mut lines = text.lines().peekable();
    let mut new = String::new();
    let mut found = false;
    while let Some(line) = lines.next() {
        if line.starts_with("token:") {
            found = true;
            new.extend(["token: ", token, "\n"]);
            // A value over several lines is indented.
            while lines.next_if(|line| line.starts_with([' ', '\t'])).is_some() {}
        } else {
            new.push_str(line);
            new.push('\n');
        }
    }
    found.then_some(new)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Stop {
    Stop::failed(format!("cannot read {}: {}", file.display(), files::reason(error)))
}

pub(crate) fn create_policy(command: Command) -> Command {
    let file = Arg::new("file").value_name("FILE").required(true).value_hint(ValueHint::FilePath);
    command.arg(file.help("The policy, as YAML")).arg(output::option(&["json", "yaml", "name"]))
}

pub(crate) fn create_a_policy(invocation: &Invocation<'_>) -> Outcome {
    let file = Path::new(invocation.text("file").unwrap_or_default());
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let policy: Value = serde_yaml::from_str(&text)
        .map_err(|error| Stop::failed(format!("{} is no YAML: {error}", file.display())))?;
    let kind = Kind::Policy;
    if policy["kind"] != kind.name() {
        return Err(Stop::failed(format!("{} is no policy: write `kind: {}`", file.display(), kind.name())));
    }
    let made = with(invocation, async |client| {
        let request = CreateRequest { json: policy.to_string() };
        object(&client.create(request).await.map_err(|status| refused(&status))?.into_inner().json)
    })?;
    print(invocation, kind, &[made], true)?;
    Ok(0)
}

pub(crate) fn backup(invocation: &Invocation<'_>) -> Outcome {
    let file = invocation.text("file").unwrap_or_default();
    let path = std::path::absolute(file).map_err(|error| Stop::failed(files::reason(&error)))?;
    with(invocation, async |client| {
        let path = path.display().to_string();
        client.backup(BackupRequest { path }).await.map_err(|status| refused(&status)).map(drop)
    })?;
    output::line(&format!("Backed up to {}", path.display()))?;
    Ok(0)
}

/// Where a file is to be written, if it is.
fn target(invocation: &Invocation<'_>, kind: Kind, name: &str) -> Result<Option<PathBuf>, Stop> {
    if let Some(file) = invocation.text("out") {
        return Ok(Some(file.into()));
    }
    if !invocation.flag("save") {
        return Ok(None);
    }
    let home = files::home(files::environment);
    let home = home.ok_or_else(|| Stop::failed("there is no home folder: use --out FILE"))?;
    let folder = if kind == Kind::Client { "clients" } else { "exporters" };
    Ok(Some(home.join(folder).join(format!("{name}.yaml"))))
}

/// The file of a client or an exporter.
fn config(
    invocation: &Invocation<'_>,
    kind: Kind,
    name: &str,
    credential: &Credential,
) -> Result<String, Stop> {
    let Credential { token, endpoint, namespace, authority, .. } = credential;
    let of = if kind == Kind::Client { "ClientConfig" } else { "ExporterConfig" };
    let mut config = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1",
        "kind": of,
        "metadata": { "namespace": namespace, "name": name },
        "endpoint": endpoint,
        "tls": { "ca": BASE64_STANDARD.encode(authority), "insecure": false },
        "token": token,
        "grpcOptions": {},
    });
    if kind == Kind::Client {
        let allow: Vec<_> = invocation
            .text("allow")
            .into_iter()
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|pattern| !pattern.is_empty())
            .collect();
        config["drivers"] = json!({ "allow": allow, "unsafe": invocation.flag("unsafe") });
    } else {
        config["export"] = json!({});
    }
    serde_yaml::to_string(&config).map_err(|error| Stop::failed(error.to_string()))
}

fn save(invocation: &Invocation<'_>, kind: Kind, name: &str, file: Private, text: &str) -> Result<(), Stop> {
    let path = file.path.clone();
    file.finish(text)?;
    output::notice(&format!("{} configuration saved to {}", kind.name(), path.display()));
    if kind == Kind::Client && invocation.text("out").is_none() {
        choose(name)?;
    }
    Ok(())
}

/// The first client of a user becomes the one that is used.
fn choose(name: &str) -> Result<(), Stop> {
    let Some(home) = files::home(files::environment) else { return Ok(()) };
    let file = home.join("config.yaml");
    if file.exists() {
        return Ok(());
    }
    let config = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1",
        "kind": "UserConfig",
        "config": { "current-client": name },
    });
    let text = serde_yaml::to_string(&config).map_err(|error| Stop::failed(error.to_string()))?;
    Private::begin(&file)?.finish(&text)
}

/// A file for its owner only that is whole or not there. It can be begun before there is anything to write.
struct Private {
    path: PathBuf,
    partial: NamedTempFile,
}

impl Private {
    fn begin(path: &Path) -> Result<Self, Stop> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let partial = made.and_then(|()| tempfile::Builder::new().prefix(".").tempfile_in(folder));
        let partial = partial.map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), partial })
    }

    fn finish(mut self, text: &str) -> Result<(), Stop> {
        let written =
            self.partial.write_all(text.as_bytes()).and_then(|()| self.partial.as_file().sync_all());
        written.map_err(|error| unwritable(&self.path, &error))?;
        let named = self.partial.persist(&self.path);
        named.map(drop).map_err(|error| unwritable(&self.path, &error.error))
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Stop {
    Stop::failed(format!("cannot write {}: {}", file.display(), files::reason(error)))
}

fn print(invocation: &Invocation<'_>, kind: Kind, objects: &[Value], one: bool) -> Result<(), Stop> {
    let text = |object: &Value, path: &str| {
        printable(object.pointer(path).and_then(Value::as_str).unwrap_or_default())
    };
    match Format::of(invocation.matches) {
        Format::Json if one => output::json(&objects.first()),
        Format::Yaml if one => output::yaml(&objects.first()),
        Format::Json => output::json(&json!({ "apiVersion": "v1", "kind": "List", "items": objects })),
        Format::Yaml => output::yaml(&json!({ "apiVersion": "v1", "kind": "List", "items": objects })),
        Format::Name => {
            let plural = |object: &Value| {
                format!("{}.jumpstarter.dev/{}", kind.name().to_lowercase(), text(object, "/metadata/name"))
            };
            let names: Vec<_> = objects.iter().map(plural).collect();
            output::lines(names.iter().map(String::as_str))
        }
        Format::Table => match kind {
            Kind::Client => {
                let rows = objects
                    .iter()
                    .map(|object| [text(object, "/metadata/name"), text(object, "/status/endpoint")]);
                output::table(["NAME", "ENDPOINT"], rows.collect())
            }
            Kind::Exporter => {
                let rows = objects.iter().map(|object| {
                    let devices =
                        object.pointer("/status/devices").and_then(Value::as_array).map_or(0, Vec::len);
                    let status = text(object, "/status/exporterStatus");
                    let status = if status.is_empty() { "Unknown".to_owned() } else { status };
                    [
                        text(object, "/metadata/name"),
                        status,
                        text(object, "/status/endpoint"),
                        devices.to_string(),
                    ]
                });
                output::table(["NAME", "STATUS", "ENDPOINT", "DEVICES"], rows.collect())
            }
            Kind::Lease => {
                let rows = objects.iter().map(|object| {
                    let ended = object.pointer("/status/ended").and_then(Value::as_bool).unwrap_or(false);
                    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
                    let last = conditions.and_then(|conditions| conditions.last());
                    [
                        text(object, "/metadata/name"),
                        text(object, "/spec/clientRef/name"),
                        text(object, "/status/exporterRef/name"),
                        text(object, "/spec/duration"),
                        if ended { "Ended" } else { "InProgress" }.to_owned(),
                        last.map_or_else(|| "Unknown".to_owned(), |last| text(last, "/reason")),
                    ]
                });
                output::table(["NAME", "CLIENT", "EXPORTER", "DURATION", "STATUS", "REASON"], rows.collect())
            }
            Kind::Policy => {
                let rows = objects.iter().map(|object| {
                    let rules =
                        object.pointer("/spec/policies").and_then(Value::as_array).map_or(0, Vec::len);
                    [text(object, "/metadata/name"), rules.to_string()]
                });
                output::table(["NAME", "RULES"], rows.collect())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_leaves_everything_else_in_a_file_as_it_is() {
        let text = "# mine\nendpoint: x:1\ntoken: >-\n  old\n  older\nexport:\n  board: {type: simulated-board} # here\n";
        let expected =
            "# mine\nendpoint: x:1\ntoken: new\nexport:\n  board: {type: simulated-board} # here\n";
        assert_eq!(with_token(text, "new").as_deref(), Some(expected));
        assert_eq!(with_token("a: 1\n  token: no\n", "new"), None);
    }
}
