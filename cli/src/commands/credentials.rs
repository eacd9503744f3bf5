//! What commands have in common that write files of clients and of exporters: how somebody is called, and what he proves it with.

use std::path::Path;

use jumpstarter_lease::config;

use crate::{
    commands::Invocation, files, output, prompt, report::Stop, style::printable, tokens, words::Place,
};

/// Refuses an alias that could not be the name of a file. `what` is where it was typed.
pub(super) fn check_alias(place: &Place, what: &str, alias: &str) -> Result<(), Stop> {
    if config::is_alias(alias) {
        return Ok(());
    }
    Err(place.wrong(format!(
        "Invalid value for '{what}': '{}' must not be empty, a dot or two, nor contain a slash.",
        printable(alias)
    )))
}

/// Refuses what is no address of a lab.
fn check_endpoint(place: &Place, endpoint: &str) -> Result<(), Stop> {
    let read = config::place(endpoint);
    read.map(drop).map_err(|error| place.wrong(format!("Invalid value for '--endpoint': {error}")))
}

/// Whether the lab need not prove its name; somebody who is there is asked whether he means it.
pub(super) fn is_insecure(invocation: &Invocation<'_>, silent: bool) -> Result<bool, Stop> {
    let insecure = invocation.flag("insecure-tls");
    if insecure && !silent {
        prompt::confirm(prompt::INSECURE)?;
    }
    Ok(insecure)
}

/// What a file of either kind says first.
pub(super) struct Basics {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) token: String,
    /// Certificates (PEM) in base64, or nothing.
    pub(super) ca: String,
    pub(super) insecure: bool,
}

/// The options that both commands have; who is there is asked for what is missing. `name` is the option with the name of `whose`.
pub(super) fn basics(
    invocation: &Invocation<'_>,
    silent: bool,
    name: &'static str,
    whose: &'static str,
) -> Result<Basics, Stop> {
    let place = invocation.place;
    let insecure = is_insecure(invocation, silent)?;
    check_tokens(invocation)?;
    let given = |id, option, what, ask: prompt::Ask| match invocation.text(id) {
        Some(text) => Ok(text.to_owned()),
        None => prompt::missing(place, silent, option, what, ask),
    };
    let namespace = given("namespace", "namespace", "Namespace", prompt::ask)?;
    let name = given(name, "name", whose, prompt::ask)?;
    let endpoint = given("endpoint", "endpoint", "Where the lab is (HOST:PORT)", prompt::ask)?;
    check_endpoint(place, &endpoint)?;
    let token = token(invocation, || given("token", "token", "Token", prompt::secret))?;
    let ca = authority(invocation)?;
    Ok(Basics { namespace, name, endpoint, token, ca, insecure })
}

/// Refuses two tokens, before anything is asked for.
fn check_tokens(invocation: &Invocation<'_>) -> Result<(), Stop> {
    if invocation.text("token").is_some() && invocation.text("token-file").is_some() {
        return Err(invocation.place.wrong("'--token' and '--token-file' exclude each other."));
    }
    Ok(())
}

/// The token: out of the file of `--token-file`, or as it is `given` otherwise.
fn token(invocation: &Invocation<'_>, given: impl FnOnce() -> Result<String, Stop>) -> Result<String, Stop> {
    match invocation.text("token-file") {
        Some(file) => Ok(files::read(Path::new(file))?.text.trim().to_owned()),
        None => given(),
    }
}

/// The authority of `--ca`, as files have it: PEM in base64, or nothing.
fn authority(invocation: &Invocation<'_>) -> Result<String, Stop> {
    match invocation.text("ca") {
        Some(file) => Ok(tokens::base64(&files::authority(file)?)),
        None => Ok(String::new()),
    }
}

/// The patterns of driver classes in a list with commas.
pub(super) fn patterns(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
}

/// Prints where a file is, for whoever wants just that.
pub(super) fn print_path(invocation: &Invocation<'_>, path: &Path) -> Result<(), Stop> {
    if output::asks_for(invocation.matches, "path") {
        output::line(&path.display().to_string())?;
    }
    Ok(())
}
