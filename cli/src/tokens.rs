//! Tokens in the files of clients and exporters: written in place, and renewed when they have expired.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_core::{
    Error,
    config::source::{Secret, Span, Spanned},
};
use jumpstarter_lease::Chosen;
use jumpstarter_login::{Claims, Provider, Tokens, Trust, Web, provider::CLIENT_ID};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{files, output, report::Stop, style};

/// How somebody has logged in, for the next time. It lies beside the file, because existing clients refuse a key in it that
/// they do not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Notes {
    /// What this program is called at the provider, unless it is what it is called everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    /// The provider, where tokens do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// Certificates of authorities (PEM) to trust beside those of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<String>,
}

impl Notes {
    fn path(file: &Path) -> PathBuf {
        file.with_extension("login.json")
    }

    /// Those beside a file. Some that cannot be read are none.
    pub(crate) fn beside(file: &Path) -> Self {
        let text = std::fs::read_to_string(Self::path(file)).ok();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Removes those beside a file that is no more.
    pub(crate) fn forget(file: &Path) {
        // Where there are none, there is nothing to forget.
        let _ = std::fs::remove_file(Self::path(file));
    }

    /// Writes them down, if there is anything to write, or to be forgotten.
    pub(crate) fn save(&self, file: &Path) -> Result<(), Stop> {
        let path = Self::path(file);
        if *self == Self::default() && !path.exists() {
            return Ok(());
        }
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Stop::infrastructure(error.to_string()))?;
        files::write_private(&path, &(text + "\n"))
    }
}

/// Puts tokens into a file that exists. Everything else in it is its owner's.
pub(crate) fn put(file: &Path, tokens: &Tokens, with_refresh: bool) -> Result<(), Stop> {
    // A link stays one.
    let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let text = files::read(&place)?.text;
    let mut changes = vec![("token", tokens.access.expose())];
    if with_refresh && let Some(refresh) = &tokens.refresh {
        changes.push(("refresh_token", refresh.expose()));
    }
    files::write_private(&place, &changed(&text, &changes)?)
}

/// The text of a file with other values of some keys at its top; the first one stands before those that are new.
fn changed(text: &str, changes: &[(&str, &str)]) -> Result<String, Stop> {
    let mut new = text.to_owned();
    for (at, (key, value)) in changes.iter().enumerate() {
        let after = at.checked_sub(1).and_then(|before| changes.get(before)).map(|(key, _)| *key);
        new = match with_value(&new, key, value, after) {
            Some(new) => new,
            None => rewritten(&new, key, value)?,
        };
    }
    Ok(new)
}

/// The same for text whose keys have lines of their own.
fn with_value(text: &str, key: &str, value: &str, after: Option<&str>) -> Option<String> {
    let begins = |line: &str, key: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    let there = text.lines().any(|line| begins(line, key));
    let anchor = if there { key } else { after? };
    let mut lines = text.lines().peekable();
    let mut new = String::new();
    let mut found = false;
    while let Some(line) = lines.next() {
        if found || !begins(line, anchor) {
            new.extend([line, "\n"]);
            continue;
        }
        found = true;
        // A value over several lines is indented.
        let more: Vec<_> =
            std::iter::from_fn(|| lines.next_if(|line| line.starts_with([' ', '\t']))).collect();
        if !there {
            new.extend([line, "\n"]);
            new.extend(more.iter().flat_map(|line| [line, "\n"]));
        }
        new.extend([key, ": ", &scalar(value), "\n"]);
    }
    found.then_some(new)
}

/// The same for any other text: its comments are lost.
fn rewritten(text: &str, key: &str, value: &str) -> Result<String, Stop> {
    let mut file: Value =
        serde_yaml::from_str(text).map_err(|error| Stop::configuration(error.to_string()))?;
    let Some(map) = file.as_object_mut() else { return Err(Stop::configuration("the file is no mapping")) };
    map.insert(key.to_owned(), value.into());
    serde_yaml::to_string(&file).map_err(|error| Stop::infrastructure(error.to_string()))
}

/// A text as YAML has it on one line.
fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // What is no number, no word of YAML and no date cannot be taken for one.
    if text.len() > 40
        && text.bytes().all(plain)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
    {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// Whom to trust for the identity provider of a client.
pub(crate) fn trust(insecure: bool, authority: Option<&str>) -> Trust {
    Trust { anybody: insecure, more: authority.unwrap_or_default().as_bytes().to_vec() }
}

/// New tokens for a client, with the refresh token that it has; they are in its file already.
pub(crate) async fn refresh(chosen: &Chosen) -> Result<Tokens, Stop> {
    let missing =
        |what: &str| Stop::configuration(format!("No {what} found. Run 'jmp login --offline-access'."));
    let config = &chosen.config;
    let refresh = config.refresh_token.as_ref().ok_or_else(|| missing("refresh token"))?;
    let token = config.token.as_ref().ok_or_else(|| missing("access token"))?;
    let file = chosen
        .file
        .as_ref()
        .ok_or_else(|| Stop::configuration("this client is in the environment, not in a file"))?;
    let notes = Notes::beside(file);
    let said = Claims::of(token.value.expose()).and_then(|claims| claims.text("iss").map(str::to_owned));
    let issuer = said.or(notes.issuer).ok_or_else(|| {
        Stop::configuration("Failed to determine issuer from access token. Run 'jmp login --issuer URL'.")
    })?;
    let web = Web::new(&trust(config.tls.insecure, notes.authority.as_deref()))?;
    let client_id = notes.client_id.as_deref().unwrap_or(CLIENT_ID);
    let provider = Provider::discover(web, &issuer, client_id, true).await?;
    let tokens = provider.refresh(&refresh.value).await?;
    put(file, &tokens, true)?;
    Ok(tokens)
}

/// Whether the token is in the environment, where nobody can put another one.
pub(crate) fn from_environment() -> bool {
    files::environment("JMP_TOKEN").is_some_and(|token| !token.is_empty())
}

/// Renews the token of a client that has expired, if there is a way that asks nobody.
pub(crate) async fn renew(chosen: &mut Chosen) -> Result<(), Stop> {
    let config = &chosen.config;
    let (Some(token), Some(_), Some(_)) = (&config.token, &config.refresh_token, &chosen.file) else {
        return Ok(());
    };
    let expires = Claims::of(token.value.expose()).and_then(|claims| claims.moment("exp"));
    if from_environment() || expires.is_none_or(|at| at > jiff::Timestamp::now().as_second()) {
        return Ok(());
    }
    say("Token is expired, triggering re-authentication");
    let tokens = refresh(chosen).await.map_err(|stop| match stop {
        Stop::Failed { message, code, class } => {
            let advice = "; log in again with `jmp login`";
            Stop::Failed { message: format!("Re-authentication failed: {message}{advice}"), code, class }
        }
        other => other,
    })?;
    chosen.config.token = Some(Spanned { value: tokens.access, span: Span::START });
    say("Re-authenticated, retrying...");
    Ok(())
}

fn say(text: &str) {
    output::notice(&if style::on_stderr() { style::yellow(text) } else { text.to_owned() });
}

/// A certificate as files have it.
pub(crate) fn base64(pem: &[u8]) -> String {
    BASE64_STANDARD.encode(pem)
}

/// The same the other way round.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, Stop> {
    BASE64_STANDARD.decode(text).map_err(|error| Stop::configuration(format!("this is not base64: {error}")))
}

/// A secret out of a file, or the first line of standard input.
pub(crate) fn secret(file: Option<&str>) -> Result<Secret, Stop> {
    let text = match file {
        Some(file) if file != files::STDIN => files::read(Path::new(file))?.text,
        _ => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(|error| Stop::from(Error::from(error)))?;
            line
        }
    };
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Stop::usage("the secret is empty")),
        secret => Ok(Secret::new(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(letter: &str) -> String {
        format!("eyJ{}.{}.s", letter.repeat(30), letter.repeat(30))
    }

    #[test]
    fn new_tokens_leave_everything_else_in_a_file_as_it_is() {
        let (new, more) = (jwt("n"), jwt("r"));
        let both = [("token", new.as_str()), ("refresh_token", more.as_str())];
        let text = "# mine\ntoken: >-\n  old\n  older\ntls: {ca: ''} # here\n";
        let first = changed(text, &both).unwrap();
        assert_eq!(first, format!("# mine\ntoken: {new}\nrefresh_token: {more}\ntls: {{ca: ''}} # here\n"));
        // Again, with keys that are there; the order is its owner's.
        let text = "refresh_token: a\nmetadata:\n  token: x\ntoken: b\n";
        let again = changed(text, &both).unwrap();
        assert_eq!(again, format!("refresh_token: {more}\nmetadata:\n  token: x\ntoken: {new}\n"));
    }

    #[test]
    fn a_file_of_another_shape_keeps_its_values() {
        let new = changed(r#"{"endpoint": "x:1", "token": "old"}"#, &[("token", "12")]).unwrap();
        let value: Value = serde_yaml::from_str(&new).unwrap();
        assert_eq!(value, serde_json::json!({ "endpoint": "x:1", "token": "12" }));
    }

    #[test]
    fn a_token_that_looks_like_something_else_stays_text() {
        for token in ["1234567890", "true", "2026-01-01", "a: b", "#x", "\"q\"", ""] {
            let text = changed("token: old\n", &[("token", token)]).unwrap();
            let value: Value = serde_yaml::from_str(&text).unwrap();
            assert_eq!(value["token"], token, "{text}");
        }
    }
}
