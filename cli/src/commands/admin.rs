//! `jmp admin`: what the owner of a lab does, through a socket in its folder, or from elsewhere with a token.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `arguments` | arguments and options, and what makes no sense in them |
//! | `connection` | to a lab, on this machine or another |
//! | `copies` | backups, and what is put in the place of a store |
//! | `file` | files of clients and exporters, with their tokens |
//! | `questions` | what is asked before anything is done |
//! | `table` | objects, as people and programs read them |
//! | `tree` | the commands themselves, and those that are not there |

mod arguments;
mod connection;
mod copies;
mod file;
mod questions;
mod table;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
};

use jumpstarter_lab::NAMESPACE;
use jumpstarter_protocol::admin::v1::{
    CreateRequest, Credential, DeleteRequest, GetRequest, IssueRequest, Key, ListRequest,
};
use jumpstarter_transport::status::innermost;
use serde_json::{Value, json};

use self::{
    arguments::{check, labels_of, name_of},
    connection::with,
    file::{Private, Said, config, save, with_token},
    questions::{Drivers, is_silent},
    table::print,
};
pub(crate) use self::{
    arguments::{
        create_client, create_exporter, create_policy, delete, delete_policy as delete_policy_arguments, get,
        get_exporter, import_client, import_exporter, rotate_client, rotate_exporter,
    },
    connection::{here, lab},
    copies::{backup, backup_arguments, restore, restore_arguments},
    tree::{ADMIN, refused_word},
};
use crate::{
    commands::{Invocation, credentials},
    files,
    output::{self, Format},
    report::{Outcome, Stop},
    style::{self, printable},
};

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

    /// In sentences.
    fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Exporter => "exporter",
            Self::Lease => "lease",
            Self::Policy => "policy",
        }
    }

    /// A name that says what it is the name of.
    fn full(self, name: &str) -> String {
        format!("{}.jumpstarter.dev/{name}", self.name().to_lowercase())
    }

    fn key(self, name: &str) -> Key {
        Key { kind: self.name().to_owned(), name: name.to_owned() }
    }
}

/// A lab says no: to what was asked for, or because of itself.
pub(crate) fn refused(status: &tonic::Status) -> Stop {
    use tonic::Code;
    // One with a cause was made on this side, because there was no answer.
    if let Some(cause) = std::error::Error::source(status) {
        let cause = printable(&innermost(cause));
        return Stop::infrastructure(format!(
            "the connection to the lab failed: {cause}; a lab that speaks TLS is asked without '--clear-text'"
        ));
    }
    let message = printable(status.message());
    // The words of an API server, as existing clients know them: they come without a code.
    for (end, reason) in [(" already exists", "AlreadyExists"), (" not found", "NotFound")] {
        if status.code() == Code::Unknown && message.ends_with(end) {
            return Stop::usage(format!("Error from server ({reason}): {message}"));
        }
    }
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => Stop::usage(message),
        _ => Stop::infrastructure(message),
    }
}

fn object(text: &str) -> Result<Value, Stop> {
    serde_json::from_str(text)
        .map_err(|error| Stop::infrastructure(format!("the lab answers no JSON: {error}")))
}

/// Says what goes on, unless somebody wants something for a program.
fn progress(invocation: &Invocation<'_>, text: &str) {
    if invocation.text("output").is_none() {
        output::notice(text);
    }
}

async fn issue(client: &mut connection::Client, key: Key, rotate: bool) -> Result<Credential, Stop> {
    let request = IssueRequest { key: Some(key), rotate };
    Ok(client.issue(request).await.map_err(|status| refused(&status))?.into_inner())
}

/// Where a new file goes. It must not be in the place of another, whose token and devices nobody has anywhere else.
fn free(path: PathBuf) -> Result<PathBuf, Stop> {
    if path.is_dir() {
        return Err(Stop::usage(format!("{} is a folder: name a file in it", path.display())));
    }
    if path.exists() {
        return Err(Stop::usage(format!(
            "{} is there already: write to another file, or give it a new token with `jmp admin rotate`",
            path.display()
        )));
    }
    Ok(path)
}

pub(crate) fn create_a_client(invocation: &Invocation<'_>) -> Outcome {
    create(invocation, Kind::Client)
}

pub(crate) fn create_an_exporter(invocation: &Invocation<'_>) -> Outcome {
    create(invocation, Kind::Exporter)
}

fn create(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let name = name_of(invocation)?;
    check(invocation)?;
    let labels = labels_of(invocation)?;
    let insecure = credentials::is_insecure(invocation, is_silent(invocation))?;
    // Before anything is made: a token that cannot be written down would be lost.
    let file = if questions::is_saved(invocation, kind.word())? {
        let path = free(file::place(invocation, kind, name)?)?;
        let drivers = if kind == Kind::Client { Drivers::of(invocation)? } else { Drivers::default() };
        Some((Private::begin(&path)?, Said { insecure, drivers }))
    } else {
        None
    };
    let mut spec = serde_json::Map::new();
    if let Some(user) = invocation.text("oidc-username") {
        spec.insert("username".to_owned(), user.into());
    }
    let metadata = json!({ "name": name, "labels": labels });
    let manifest = json!({ "kind": kind.name(), "metadata": metadata, "spec": spec });
    progress(invocation, &format!("Creating {} '{name}' in namespace '{NAMESPACE}'", kind.word()));
    let made = with(invocation, async |client| {
        let made = client
            .create(CreateRequest { json: manifest.to_string() })
            .await
            .map_err(|status| refused(&status))?;
        if let Some((file, said)) = file {
            progress(invocation, &format!("Fetching {} credentials from cluster", kind.word()));
            let credential = issue(client, kind.key(name), false).await?;
            save(invocation, kind, name, file, &config(kind, name, &credential, said)?)?;
        }
        object(&made.into_inner().json)
    })?;
    print(invocation, kind, &[made], true)?;
    Ok(0)
}

pub(crate) fn import_a_client(invocation: &Invocation<'_>) -> Outcome {
    import(invocation, Kind::Client)
}

pub(crate) fn import_an_exporter(invocation: &Invocation<'_>) -> Outcome {
    import(invocation, Kind::Exporter)
}

fn import(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let name = name_of(invocation)?;
    check(invocation)?;
    let out = invocation.text("out");
    if out.is_none() {
        let taken = match kind {
            Kind::Exporter => files::find_exporter(name).is_ok(),
            _ => file::existing(kind, name).is_some(),
        };
        if taken {
            let article = if kind == Kind::Exporter { "An" } else { "A" };
            return Err(Stop::usage(format!(
                "{article} {} with the name '{name}' already exists.",
                kind.word()
            )));
        }
    }
    let file = match out {
        Some("-") => None,
        _ => Some(free(file::place(invocation, kind, name)?)?),
    };
    let insecure = credentials::is_insecure(invocation, is_silent(invocation))?;
    let drivers = if kind == Kind::Client { Drivers::of(invocation)? } else { Drivers::default() };
    let private = file.as_deref().map(Private::begin).transpose()?;
    progress(invocation, &format!("Fetching {} credentials from cluster", kind.word()));
    with(invocation, async |client| {
        let credential = issue(client, kind.key(name), false).await?;
        let text = config(kind, name, &credential, Said { insecure, drivers })?;
        match private {
            Some(private) => save(invocation, kind, name, private, &text),
            None => output::text(&text),
        }
    })?;
    if let Some(file) = file {
        let file = std::path::absolute(&file).map_err(|error| Stop::configuration(files::reason(&error)))?;
        credentials::print_path(invocation, &file)?;
    }
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
    check(invocation)?;
    let selector = invocation.text("selector").unwrap_or_default().to_owned();
    let one = invocation.text("name");
    if one.is_some() && !selector.is_empty() {
        return Err(invocation.place.wrong("NAME and '--selector' exclude each other."));
    }
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
    let name = name_of(invocation)?;
    check(invocation)?;
    let has_file = matches!(kind, Kind::Client | Kind::Exporter);
    let local = file::existing(kind, name);
    let is_removed = match &local {
        Some(local) => questions::is_removed(invocation, local)?,
        None => false,
    };
    with(invocation, async |client| {
        client
            .delete(DeleteRequest { key: Some(kind.key(name)) })
            .await
            .map_err(|status| refused(&status))
            .map(drop)
    })?;
    let is_table = matches!(Format::of(invocation.matches), Format::Table(_));
    if is_table {
        output::line(&format!("Deleted {} '{name}' in namespace '{NAMESPACE}'", kind.word()))?;
    } else {
        output::line(&kind.full(name))?;
    }
    match local {
        Some(local) if is_removed => {
            file::remove(kind, name, &local)?;
            if is_table {
                output::line(&format!("{} configuration successfully deleted", kind.name()))?;
            }
        }
        None if has_file && invocation.flag("delete") => match files::system_exporter(name) {
            Some(system) if kind == Kind::Exporter => output::notice(&format!(
                "{} {} is this machine's and not yours, and stays: whoever looks after the machine removes it",
                style::warning(),
                system.display()
            )),
            _ => progress(invocation, &format!("You have no file of {} '{name}'", kind.word())),
        },
        _ => {}
    }
    Ok(0)
}

pub(crate) fn rotate_a_client(invocation: &Invocation<'_>) -> Outcome {
    rotate(invocation, Kind::Client)
}

pub(crate) fn rotate_an_exporter(invocation: &Invocation<'_>) -> Outcome {
    rotate(invocation, Kind::Exporter)
}

fn rotate(invocation: &Invocation<'_>, kind: Kind) -> Outcome {
    let name = name_of(invocation)?;
    check(invocation)?;
    let target = if invocation.flag("save") || invocation.text("out").is_some() {
        Some(file::place(invocation, kind, name)?)
    } else {
        None
    };
    // A token that cannot be written down would only lock its owner out.
    let file = target.as_deref().map(|file| prepared(file, kind, name)).transpose()?;
    let is_saved = file.is_some();
    progress(invocation, &format!("Rotating token for {} '{name}' in namespace '{NAMESPACE}'", kind.word()));
    with(invocation, async |client| {
        let credential = issue(client, kind.key(name), true).await?;
        let Some((file, before)) = file else { return Ok(()) };
        let text = if let Some(text) = before.and_then(|text| with_token(&text, &credential.token)) {
            text
        } else {
            let said = Said { insecure: false, drivers: given(invocation, kind) };
            config(kind, name, &credential, said)?
        };
        file.finish(&text)
    })?;
    if matches!(Format::of(invocation.matches), Format::Table(_)) {
        output::line(&format!("Token rotated for {} '{name}'", kind.word()))?;
        if is_saved {
            output::line(&format!("{} configuration updated with new token", kind.name()))?;
        }
    }
    if !is_saved {
        output::notice(&format!(
            "{} the old tokens are worth nothing any more, and the new one is written nowhere: `jmp admin import {} {name} --out \
             FILE` writes a file with it",
            style::warning(),
            kind.word()
        ));
    }
    Ok(0)
}

/// The drivers that options give a client.
fn given(invocation: &Invocation<'_>, kind: Kind) -> Drivers {
    if kind == Kind::Client { Drivers::given(invocation) } else { Drivers::default() }
}

/// A file that is to get a new token, and what is in it, if it is there.
fn prepared(file: &Path, kind: Kind, name: &str) -> Result<(Private, Option<String>), Stop> {
    let before = match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(file, &error)),
    };
    // Nobody else's token is to be lost.
    if let Some((of, whose)) = before.as_deref().and_then(file::owner)
        && (of != format!("{}Config", kind.name()) || whose != name)
    {
        let shown = file.display();
        return Err(Stop::usage(format!(
            "{shown} is the file of another: `kind: {of}` of '{}': name the file of {} '{name}', or a new one",
            printable(&whose),
            kind.word()
        )));
    }
    if let Some(text) = &before
        && with_token(text, "").is_none()
    {
        return Err(Stop::configuration(format!(
            "{} has no `token:` to be replaced: name another file",
            file.display()
        )));
    }
    Ok((Private::begin(file)?, before))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Stop {
    Stop::configuration(format!("cannot read {}: {}", file.display(), files::reason(error)))
}

pub(crate) fn create_a_policy(invocation: &Invocation<'_>) -> Outcome {
    check(invocation)?;
    let file = Path::new(invocation.text("file").unwrap_or_default());
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let policy: Value = serde_yaml::from_str(&text)
        .map_err(|error| Stop::configuration(format!("{} is no YAML: {error}", file.display())))?;
    let kind = Kind::Policy;
    if policy["kind"] != kind.name() {
        return Err(Stop::configuration(format!(
            "{} is no policy: write `kind: {}`",
            file.display(),
            kind.name()
        )));
    }
    let made = with(invocation, async |client| {
        let request = CreateRequest { json: policy.to_string() };
        object(&client.create(request).await.map_err(|status| refused(&status))?.into_inner().json)
    })?;
    print(invocation, kind, &[made], true)?;
    Ok(0)
}
