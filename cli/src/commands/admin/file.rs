//! Files of clients and exporters, with their tokens.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_lease::config as lease;
use jumpstarter_protocol::admin::v1::Credential;
use tempfile::NamedTempFile;

use super::{Kind, progress, questions::Drivers};
use crate::{
    commands::{
        Invocation,
        client::{self, Client},
        credentials,
        exporter::Exporter,
    },
    files, output,
    report::Stop,
    tokens::Notes,
};

/// The text of a file with another token. Everything else in it is its owner's. Nothing, if there is no token in it.
pub(super) fn with_token(text: &str, token: &str) -> Option<String> {
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

/// What kind of file this is, and whose, if it says both.
pub(super) fn owner(text: &str) -> Option<(String, String)> {
    let file: serde_json::Value = serde_yaml::from_str(text).ok()?;
    Some((file["kind"].as_str()?.to_owned(), file["metadata"]["name"].as_str()?.to_owned()))
}

/// Where the user's file of somebody is, or would be.
fn own(kind: Kind, name: &str) -> Result<PathBuf, Stop> {
    let home = files::home(files::environment);
    let home = home.ok_or_else(|| Stop::configuration("there is no home folder: use --out FILE"))?;
    let folder = if kind == Kind::Client { "clients" } else { "exporters" };
    Ok(home.join(folder).join(format!("{name}.yaml")))
}

/// The user's file of somebody, if there is one.
pub(super) fn existing(kind: Kind, name: &str) -> Option<PathBuf> {
    match kind {
        Kind::Client => lease::clients(&files::environment)
            .into_iter()
            .find_map(|(alias, path)| (alias == name).then_some(path)),
        Kind::Exporter => files::own_exporter(name),
        Kind::Lease | Kind::Policy => None,
    }
}

/// Where a file is to be written: where `--out` says, or where jmp looks for it.
pub(super) fn place(invocation: &Invocation<'_>, kind: Kind, name: &str) -> Result<PathBuf, Stop> {
    match invocation.text("out") {
        Some("") => return Err(invocation.place.wrong("Invalid value for '--out': it is empty.")),
        Some("-") => {
            return Err(invocation.place.wrong(
                "Invalid value for '--out': only 'jmp admin import' writes to the standard output; a file of that name is './-'.",
            ));
        }
        Some(file) => return Ok(file.into()),
        None => {}
    }
    credentials::check_alias(invocation.place, "NAME", name)?;
    own(kind, name)
}

/// What a new file says beside who somebody is.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Whether the lab need not prove its name.
    pub(super) insecure: bool,
    /// Which drivers it may use, if it is a client.
    pub(super) drivers: Drivers,
}

/// The file of a client or an exporter.
pub(super) fn config(kind: Kind, name: &str, credential: &Credential, said: Said) -> Result<String, Stop> {
    let Credential { token, endpoint, namespace, authority, .. } = credential;
    let (namespace, name) = (namespace.clone(), name.to_owned());
    let (endpoint, token, ca) = (endpoint.clone(), token.clone(), BASE64_STANDARD.encode(authority));
    let Said { insecure, drivers: Drivers { allow, everything } } = said;
    if kind != Kind::Client {
        return Exporter { namespace, name, endpoint, ca, insecure, token }.text();
    }
    Client { namespace, name, endpoint, ca, insecure, token, refresh: None, allow, everything }.text()
}

/// Writes a new file where jmp looks for it, or elsewhere. The first client of a user becomes the one that is used.
pub(super) fn save(
    invocation: &Invocation<'_>,
    kind: Kind,
    name: &str,
    file: Private,
    text: &str,
) -> Result<(), Stop> {
    let path = file.path.clone();
    let is_first = kind == Kind::Client
        && invocation.text("out").is_none()
        && lease::clients(&files::environment).is_empty();
    file.finish(text)?;
    if is_first {
        client::choose(Some(name))?;
    }
    progress(invocation, &format!("{} configuration successfully saved to {}", kind.name(), path.display()));
    Ok(())
}

/// Removes the user's file of somebody who is no more. A client that was the default leaves no default.
pub(super) fn remove(kind: Kind, name: &str, file: &Path) -> Result<(), Stop> {
    fs::remove_file(file).map_err(|error| {
        Stop::configuration(format!("cannot remove {}: {}", file.display(), files::reason(&error)))
    })?;
    Notes::forget(file);
    if kind == Kind::Client && lease::current(&files::environment)?.as_deref() == Some(name) {
        client::choose(None)?;
        output::notice("There is no default client any more.");
    }
    Ok(())
}

/// A file for its owner only that is whole or not there. It can be begun before there is anything to write.
pub(super) struct Private {
    path: PathBuf,
    partial: NamedTempFile,
}

impl Private {
    pub(super) fn begin(path: &Path) -> Result<Self, Stop> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let partial = made.and_then(|()| tempfile::Builder::new().prefix(".").tempfile_in(folder));
        let partial = partial.map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), partial })
    }

    pub(super) fn finish(mut self, text: &str) -> Result<(), Stop> {
        let written =
            self.partial.write_all(text.as_bytes()).and_then(|()| self.partial.as_file().sync_all());
        written.map_err(|error| unwritable(&self.path, &error))?;
        let named = self.partial.persist(&self.path);
        named.map(drop).map_err(|error| unwritable(&self.path, &error.error))
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Stop {
    Stop::configuration(format!("cannot write {}: {}", file.display(), files::reason(error)))
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
