//! What makes a lab of one bench easy to share: its exporter and its first client need no files that are carried around.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Arg;
use jumpstarter_lab::Serving;
use jumpstarter_login::lab::fingerprint;
use jumpstarter_protocol::admin::v1::{CreateRequest, Credential, IssueRequest, Key};
use serde_json::json;

use crate::{
    commands::{admin, serve},
    report::Stop,
    runtime,
};

/// `--lab` of `jmp run`.
pub(crate) fn lab_option() -> Arg {
    Arg::new("lab")
        .long("lab")
        .value_name("DIR")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("")
        .help("Register with the lab that runs on this machine, as the name in the file or the file's; --lab=DIR for its folder")
}

/// A client or an exporter of the lab in a folder, made if it is not there, and what proves who it is.
async fn credential(
    folder: &Path,
    kind: &str,
    name: &str,
    labels: &[(String, String)],
) -> Result<Credential, Stop> {
    let mut client = admin::here(folder).await?;
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let object = json!({ "kind": kind, "metadata": { "name": name, "labels": labels } });
    match client.create(CreateRequest { json: object.to_string() }).await {
        Ok(_) => {}
        Err(status) if status.message().ends_with(" already exists") => {}
        Err(status) => return Err(admin::refused(&status)),
    }
    let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
    let issued = client.issue(IssueRequest { key, rotate: false }).await;
    issued.map(tonic::Response::into_inner).map_err(|status| admin::refused(&status))
}

/// The command with which somebody elsewhere becomes this client. It holds a secret, which no list of processes shows.
pub(crate) async fn invitation(folder: &Path, name: &str, serving: &Serving) -> Result<String, Stop> {
    let Credential { token, endpoint, .. } = credential(folder, "Client", name, &[]).await?;
    let known = fingerprint(serving.authority.as_bytes())?;
    let known = known.map(|known| format!(" --fingerprint {known}")).unwrap_or_default();
    Ok(format!("jmp login {name}@{endpoint}{known} --allow '*' --token-file - <<< {token}"))
}

/// What the environment would say to an exporter of the lab on this machine.
pub(crate) fn registered(
    folder: &str,
    name: &str,
    labels: &[(String, String)],
) -> Result<Vec<(&'static str, String)>, Stop> {
    let folder = if folder.is_empty() { serve::own()? } else { PathBuf::from(folder) };
    let made = runtime::single()?.block_on(credential(&folder, "Exporter", name, labels))?;
    let tls = json!({ "ca": BASE64_STANDARD.encode(&made.authority), "insecure": false });
    Ok(vec![
        ("JMP_NAMESPACE", made.namespace),
        ("JMP_NAME", name.to_owned()),
        ("JMP_ENDPOINT", made.endpoint),
        ("JMP_TOKEN", made.token),
        ("JMP_TLS", tls.to_string()),
    ])
}
