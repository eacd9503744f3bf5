//! Files of clients and exporters, with their tokens.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_protocol::admin::v1::Credential;
use serde_json::json;
use tempfile::NamedTempFile;

use super::Kind;
use crate::{commands::Invocation, files, output, report::Stop};

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

/// Where a file is to be written, if it is.
pub(super) fn target(invocation: &Invocation<'_>, kind: Kind, name: &str) -> Result<Option<PathBuf>, Stop> {
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
pub(super) fn config(
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

pub(super) fn save(
    invocation: &Invocation<'_>,
    kind: Kind,
    name: &str,
    file: Private,
    text: &str,
) -> Result<(), Stop> {
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
    Stop::failed(format!("cannot write {}: {}", file.display(), files::reason(error)))
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
