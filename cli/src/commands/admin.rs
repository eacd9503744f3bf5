//! `jmp admin`: what the owner of a lab does, through a socket in its folder, or from elsewhere with a token.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `connection` | to a lab, on this machine or another |
//! | `copies` | backups, and what is put in the place of a store |
//! | `file` | files of clients and exporters, with their tokens |
//! | `table` | objects, as people and programs read them |

mod connection;
mod copies;
mod file;
mod table;

use std::{collections::BTreeMap, fs, path::Path};

use clap::{Arg, ArgAction, Command, ValueHint};
use jumpstarter_protocol::admin::v1::{
    CreateRequest, DeleteRequest, GetRequest, IssueRequest, Key, ListRequest,
};
use serde_json::{Value, json};

pub(crate) use self::{
    connection::lab,
    copies::{backup, backup_arguments, restore, restore_arguments},
};
use self::{
    connection::with,
    file::{Private, config, save, target, with_token},
    table::print,
};
use crate::{
    commands::Invocation,
    files, output,
    report::{Outcome, Stop},
    style::printable,
    words::{flag, option},
};

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
