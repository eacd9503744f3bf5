//! `jmp auth`: what the token of a client says, and new ones in its place.

use clap::Command;
use jiff::Timestamp;
use jumpstarter_lease::Access;
use jumpstarter_login::{Claims, Secret, Tokens};
use serde_json::json;

use crate::{
    client,
    commands::Invocation,
    files::environment,
    output::{self, Format},
    report::{FAILURE, Outcome, Stop},
    runtime,
    style::{self, printable},
    tokens,
    words::flag,
};

pub(crate) const STATUS: &str = "Show whom a client's token names, and until when it is good\n\n\
    Nothing is sent: what the token says is shown, and not checked.";
pub(crate) const REFRESH: &str =
    "Get a new token from the identity provider, with the refresh token of the client";
pub(crate) const ROTATE: &str = "Get a new token from the lab, for one that the lab gave";

/// From here on, a token is about to end.
const SOON: i64 = 300;

/// From here on, its end is in sight.
const HOUR: i64 = 3600;

pub(crate) fn status_arguments(command: Command) -> Command {
    client::options(command)
        .arg(flag("verbose", "Show more").short('v'))
        .arg(flag("check", "Exit with 1 unless there is a token that has not expired"))
        .arg(output::option(&["json", "yaml"]))
}

pub(crate) fn arguments(command: Command) -> Command {
    client::options(command)
}

/// What people call the state of a token that ends in so many seconds.
fn state(remaining: i64) -> &'static str {
    match remaining {
        ..0 => "expired",
        0..SOON => "expiring",
        _ => "valid",
    }
}

/// `1h 55m`, `6m 35s`, `35s`.
fn length(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

fn moment(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn coloured(text: String, codes: &str) -> String {
    if style::on_stdout() { format!("\u{1b}[{codes}m{text}\u{1b}[0m") } else { text }
}

pub(crate) fn status(invocation: &Invocation<'_>) -> Outcome {
    let chosen = client::chosen(&client::choice(invocation.matches, invocation.place)?)?;
    let config = &chosen.config;
    let token = config.token.as_ref().map(|token| token.value.expose()).filter(|token| !token.is_empty());
    let claims = token.and_then(Claims::of);
    let expires = claims.as_ref().and_then(|claims| claims.moment("exp"));
    let remaining = expires.map(|at| at - Timestamp::now().as_second());
    let is_good = token.is_some() && remaining.is_none_or(|remaining| remaining >= 0);
    let code = if invocation.flag("check") && !is_good { FAILURE } else { 0 };
    let text = |name: &str| claims.as_ref().and_then(|claims| claims.text(name)).map(printable);
    let at = |name: &str| claims.as_ref().and_then(|claims| claims.moment(name));
    let refresh = config.refresh_token.is_some();
    let format = Format::of(invocation.matches);
    if !matches!(format, Format::Table(_)) {
        let stamp = |seconds: i64| Timestamp::from_second(seconds).ok().map(|at| at.to_string());
        let status = match (token, remaining) {
            (None, _) => "missing",
            (Some(_), None) => "unknown",
            (Some(_), Some(remaining)) => state(remaining),
        };
        let value = json!({
            "status": status,
            "expiry": expires.and_then(stamp),
            "remaining_seconds": remaining,
            "subject": text("sub"),
            "issuer": text("iss"),
            "issued_at": at("iat").and_then(stamp),
            "auth_time": at("auth_time").and_then(stamp),
            "refresh_token_stored": refresh,
            "file": chosen.file.as_ref().map(|file| file.display().to_string()),
        });
        if format == Format::Json {
            output::json(&value)?;
        } else {
            output::sorted_yaml(&value)?;
        }
        return Ok(code);
    }
    let mut lines = Vec::new();
    match (token, &claims, expires.zip(remaining)) {
        (None, ..) => lines.push(coloured("No token found in config".to_owned(), "33")),
        (Some(_), None, _) => {
            lines.push("The token is opaque: only who gave it knows until when it is good".to_owned());
        }
        (Some(_), Some(_), None) => lines.push(coloured("Token has no expiry claim".to_owned(), "33")),
        (Some(_), Some(_), Some((expires, remaining))) => {
            lines.push(format!("Token expiry: {}", moment(expires)));
            let hint = coloured("Run 'jmp login' to refresh your credentials.".to_owned(), "33");
            let length = length(remaining);
            match remaining {
                ..0 => lines.extend([coloured(format!("Status: EXPIRED ({length} ago)"), "31;1"), hint]),
                0..SOON => {
                    lines.extend([
                        coloured(format!("Status: EXPIRING SOON ({length} remaining)"), "31;1"),
                        hint,
                    ]);
                }
                SOON..HOUR => lines.push(coloured(format!("Status: Valid ({length} remaining)"), "33")),
                _ => lines.push(coloured(format!("Status: Valid ({length} remaining)"), "32")),
            }
        }
    }
    lines.extend(text("sub").map(|subject| format!("Subject: {subject}")));
    lines.extend(text("iss").map(|issuer| format!("Issuer: {issuer}")));
    if invocation.flag("verbose") {
        lines.extend(at("iat").map(|seconds| format!("Issued at: {}", moment(seconds))));
        lines.extend(at("auth_time").map(|seconds| format!("Auth time: {}", moment(seconds))));
        lines.push(format!("Refresh token stored: {}", if refresh { "yes" } else { "no" }));
        lines.push(match &chosen.file {
            Some(file) => format!("File: {}", file.display()),
            None => "File: none, the client is in the environment".to_owned(),
        });
        let replaced = ["JMP_TOKEN", "JMP_REFRESH_TOKEN"].into_iter();
        let replaced = replaced.filter(|name| {
            let value = environment(name).map(|value| value.trim().to_owned());
            value.as_deref().is_some_and(|value| {
                let ours = if *name == "JMP_TOKEN" { &config.token } else { &config.refresh_token };
                ours.as_ref().is_some_and(|ours| ours.value.expose() == value)
            })
        });
        lines.extend(replaced.map(|name| format!("From the environment: {name}")));
    }
    output::lines(lines.iter().map(String::as_str))?;
    Ok(code)
}

pub(crate) fn refresh(invocation: &Invocation<'_>) -> Outcome {
    let chosen = client::chosen(&client::choice(invocation.matches, invocation.place)?)?;
    runtime::single()?.block_on(tokens::refresh(&chosen))?;
    output::line("Access token refreshed.")?;
    Ok(0)
}

pub(crate) fn rotate(invocation: &Invocation<'_>) -> Outcome {
    invocation.log.start();
    let chosen = client::chosen(&client::choice(invocation.matches, invocation.place)?)?;
    let file = chosen.file.clone().ok_or_else(|| {
        Stop::configuration(
            "this client is in the environment, not in a file: there is no place for a new token",
        )
    })?;
    let token =
        chosen.config.token.as_ref().ok_or_else(|| Stop::configuration("No token found in config."))?;
    let expires = |token: &str| Claims::of(token).and_then(|claims| claims.moment("exp"));
    let now = Timestamp::now().as_second();
    if expires(token.value.expose()).is_some_and(|at| at < now) {
        return Err(Stop::configuration(
            "Token is expired. Cannot rotate: get a new one from whoever runs the lab, or run 'jmp login'.",
        ));
    }
    let access = Access::new(&chosen, &environment)?;
    let new = runtime::single()?
        .block_on(async { Ok::<_, Stop>(client::connect(access).await?.rotate_token().await?) })?;
    let tokens = Tokens { access: Secret::new(new.expose()), refresh: None };
    tokens::put(&file, &tokens, false)?;
    output::line(&match expires(new.expose()) {
        Some(at) => format!("Token rotated. New expiry: {} ({} remaining)", moment(at), length(at - now)),
        None => "Token rotated.".to_owned(),
    })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_states_are_what_existing_clients_print() {
        for (seconds, text, word) in [
            (6925, "1h 55m", "valid"),
            (-395, "6m 35s", "expired"),
            (35, "35s", "expiring"),
            (299, "4m 59s", "expiring"),
            (300, "5m 0s", "valid"),
            (0, "0s", "expiring"),
        ] {
            assert_eq!((length(seconds).as_str(), state(seconds)), (text, word));
        }
        assert_eq!(moment(1_795_215_227), "2026-11-20 22:53:47 UTC");
    }
}
