//! `jmp login`: from an address to a file with which a lab can be used.

mod file;
mod sign_in;

use clap::{Arg, ArgAction, Command, ValueHint};
use jumpstarter_login::{
    Claims, Lab, Provider, Secret, Target, Tokens, Web, lab::fingerprint, provider::CLIENT_ID,
};

use self::{
    file::{Kind, New, Place, place},
    sign_in::{refreshed, signed_in, try_it},
};
use crate::{
    commands::{Invocation, client},
    files, output, prompt,
    report::{Outcome, Stop},
    runtime,
    style::{self, printable},
    tokens::{self, Notes, trust},
    waiting::waits,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Log in to a lab, and write down how it is reached\n\n\
    TARGET is [CLIENT@]HOST[:PORT]: the lab there says everything else, and its identity provider, if it has one, gives the \
    token: in a browser, unless options say how. A lab without one gives tokens itself: bring yours with --token-file.\n\n\
    Without TARGET, the token of the client or exporter that is named, or of the default client, is renewed.";

/// What to do where nobody can sign in.
const NO_PROVIDER: &str = "this lab has no identity provider, so there is nobody to sign in with: ask whoever runs it for a \
    file (`jmp admin create client NAME --out FILE` writes one), and use that with --client-config FILE or as \
    ~/.config/jumpstarter/clients/ALIAS.yaml; a token alone is taken with --token-file";

/// What to do where it is not known with whom to sign in.
const NOBODY: &str = "Who is to give a token? Name the lab, for example 'jmp login lab.example', or the identity provider with '--issuer'.";

pub(crate) fn arguments(command: Command) -> Command {
    let path = |arg: Arg| arg.value_hint(ValueHint::FilePath);
    command
        .arg(Arg::new("target").value_name("TARGET").help("The lab: [CLIENT@]HOST[:PORT]"))
        .arg(option("endpoint", "HOST:PORT", "Where the lab is, if TARGET does not say it").short('e'))
        .arg(option("namespace", "NAMESPACE", "Namespace of the client or exporter"))
        .arg(option("name", "NAME", "Its name in the lab"))
        .arg(option("issuer", "URL", "The identity provider, if the lab does not name it"))
        .arg(option(
            "client-id",
            "ID",
            "What this program is called there; jumpstarter-cli if nothing is said",
        ))
        .arg(option(
            "token",
            "TOKEN",
            "A token to exchange there, or the client's own in a lab without a provider",
        ))
        .arg(path(option("token-file", "FILE", "The file that holds it")))
        .arg(option("connector-id", "ID", "Whose token that is (Dex)"))
        .arg(option("username", "USER", "Log in with this name and a password"))
        .arg(option(
            "password",
            "PASSWORD",
            "The password: everybody on this machine can read it, others are asked",
        ))
        .arg(flag("password-stdin", "Read the password from standard input"))
        .arg(option(
            "callback-port",
            "PORT",
            "Where the browser comes back to (JMP_OIDC_CALLBACK_PORT); 0 for any",
        ))
        .arg(
            flag("offline-access", "Ask for a token that brings others, as is done anyway")
                .overrides_with("no-offline-access"),
        )
        .arg(flag("no-offline-access", "Do not"))
        .arg(flag("device-flow", "Sign in on another device (JMP_OIDC_DEVICE_FLOW=1)"))
        .arg(flag("no-browser", "Only print the address; do not open a browser"))
        .arg(option("allow", "LIST", "Driver classes that a new client may use, by patterns with commas"))
        .arg(flag("unsafe", "A new client may use all drivers"))
        .arg(path(option("ca", "FILE", "Trust certificates of this authority (PEM) as well")))
        .arg(option(
            "fingerprint",
            "HEX",
            "SHA-256 of the certificate of the lab's authority, as `jmp serve` prints it",
        ))
        .arg(flag("insecure-tls", "Do not ask anybody to prove his name, and allow http://").short('k'))
        .arg(flag("nointeractive", "Do not ask for what is missing"))
        .arg(option("client", "ALIAS", "Client, by the name of its file"))
        .arg(path(option("client-config", "FILE", "Client, by its file")))
        .arg(option("exporter", "ALIAS", "Exporter, by the name of its file"))
        .arg(path(option("exporter-config", "FILE", "Exporter, by its file")))
        .mut_arg("target", |arg| arg.action(ArgAction::Set))
}

/// What is known of a lab before anybody signs in.
struct Known {
    web: Web,
    lab: Option<Lab>,
    notes: Notes,
}

async fn known(
    invocation: &Invocation<'_>,
    target: Option<&Target>,
    before: &Notes,
    insecure: bool,
) -> Result<Known, Stop> {
    let authority = match invocation.text("ca") {
        // What stands around the certificates may be in any encoding.
        Some(file) => Some(String::from_utf8_lossy(&files::authority(file)?).into_owned()),
        None => before.authority.clone(),
    };
    let notes = Notes { authority, ..before.clone() };
    let web = Web::new(&trust(insecure, notes.authority.as_deref()))?;
    let Some(target) = target else { return Ok(Known { web, lab: None, notes }) };
    if target.is_clear_text() && !insecure {
        return Err(invocation.place.wrong("HTTP login endpoints require --insecure-tls / -k."));
    }
    output::notice(&format!("Fetching configuration from {}...", printable(&target.address)));
    let asked = async {
        match invocation.text("fingerprint") {
            Some(fingerprint) => Ok(Lab::ask_known(target, fingerprint).await?.0),
            None => Lab::ask(&web, target).await,
        }
    };
    let lab = waits().over(&format!("the lab at {}", target.address), asked).await?;
    if let Some(authority) = lab.authority()? {
        output::notice("Retrieved CA certificate from login service.");
        if insecure && let Some(fingerprint) = fingerprint(&authority)? {
            output::notice(&format!(
                "Its fingerprint is {fingerprint}; compare it with what `jmp serve` printed."
            ));
        }
    }
    Ok(Known { web, lab: Some(lab), notes })
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    runtime::choose_tls();
    invocation.log.start();
    let silent = invocation.flag("nointeractive");
    let insecure = invocation.flag("insecure-tls");
    if insecure && !silent {
        prompt::confirm(
            "Insecure TLS mode is enabled. Certificate verification will be disabled for HTTPS connections. Continue?",
        )?;
    }
    let target = invocation
        .text("target")
        .map(Target::parse)
        .transpose()
        .map_err(|error| Stop::usage(error.message()))?;
    let named = target.as_ref().and_then(|target| target.client.as_deref());
    let place = place(invocation, named)?;
    if place.kind == Kind::Exporter {
        for name in ["allow", "unsafe"] {
            if invocation.matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine) {
                warn(&format!("--{name} is ignored for exporter configs (only applies to client configs)."));
            }
        }
    }
    runtime::single()?.block_on(log_in(invocation, target.as_ref(), place, insecure))
}

fn warn(text: &str) {
    output::notice(&format!("{} {text}", style::warning()));
}

async fn log_in(
    invocation: &Invocation<'_>,
    target: Option<&Target>,
    place: Place,
    insecure: bool,
) -> Outcome {
    let before = Notes::beside(&place.file);
    let mut known = known(invocation, target, &before, insecure || place.is_insecure()).await?;
    let lab = known.lab.as_ref();
    let brings = |name| invocation.text(name).is_some();
    if lab.is_some_and(|lab| lab.oidc.is_empty())
        && !["issuer", "token", "token-file"].into_iter().any(brings)
    {
        return Err(Stop::usage(NO_PROVIDER));
    }
    // What a new file says is asked for before somebody signs in.
    let new = match &place.content {
        Some(content) => {
            for (option, there) in [
                ("endpoint", &content["endpoint"]),
                ("namespace", &content["metadata"]["namespace"]),
                ("name", &content["metadata"]["name"]),
            ] {
                if invocation.text(option).is_some_and(|given| there.as_str() != Some(given)) {
                    warn(&format!(
                        "--{option} is ignored: {} is there already, and says {}",
                        place.file.display(),
                        there.as_str().unwrap_or("nothing")
                    ));
                }
            }
            None
        }
        // Nobody would give it a token, whatever else is known of it.
        None if lab.is_none() && invocation.text("issuer").is_none() && before.issuer.is_none() => {
            return Err(invocation.place.wrong(NOBODY));
        }
        None => Some(New::ask(invocation, target, lab, &place, insecure)?),
    };
    let given = match (invocation.text("token"), invocation.text("token-file")) {
        (Some(_), Some(_)) => {
            return Err(invocation.place.wrong("'--token' and '--token-file' exclude each other."));
        }
        (Some(token), None) => Some(Secret::new(token)),
        (None, Some(file)) => Some(tokens::secret(Some(file))?),
        (None, None) => None,
    };
    let client_id = invocation
        .text("client-id")
        .map(str::to_owned)
        .or_else(|| lab.and_then(|lab| lab.oidc.first()?.client_id.clone()))
        .or_else(|| before.client_id.clone())
        .unwrap_or_else(|| CLIENT_ID.to_owned());
    let offered = lab.and_then(|lab| lab.oidc.first()).map(|provider| provider.issuer.clone());
    let issuer = match invocation.text("issuer") {
        Some(issuer) => Some(issuer.to_owned()),
        None if lab.is_some() => offered,
        None => place
            .text("token")
            .and_then(Claims::of)
            .and_then(|claims| claims.text("iss").map(str::to_owned))
            .or_else(|| before.issuer.clone()),
    };
    let tokens = match (issuer, given) {
        (Some(issuer), given) => {
            known.notes.client_id = Some(client_id.clone()).filter(|id| id != CLIENT_ID);
            known.notes.issuer = Some(issuer.clone()).filter(|_| invocation.text("issuer").is_some());
            let offline = !invocation.flag("no-offline-access") || place.text("refresh_token").is_some();
            let found = Provider::discover(known.web.clone(), &issuer, &client_id, offline);
            let provider = waits().over(&format!("the identity provider {issuer}"), found).await?;
            match refreshed(invocation, &provider, &place, given.is_some()).await? {
                Some(tokens) => {
                    tokens::put(&place.file, &tokens, place.kind == Kind::Client)?;
                    known.notes.save(&place.file)?;
                    output::notice("Refreshed access token using stored refresh token.");
                    return Ok(0);
                }
                None => signed_in(invocation, &provider, given).await?,
            }
        }
        // A lab that gives its own tokens has nobody to exchange them with.
        (None, Some(token)) if lab.is_some() => {
            let tokens = Tokens { access: token, refresh: None };
            if place.kind == Kind::Client {
                try_it(&place, new.as_ref(), &tokens.access).await?;
            }
            tokens
        }
        (None, None) if lab.is_some() => return Err(Stop::usage(NO_PROVIDER)),
        (None, _) => return Err(invocation.place.wrong(NOBODY)),
    };
    match new {
        Some(new) => files::write_private(&place.file, &new.text(place.kind, &tokens)?)?,
        None => tokens::put(&place.file, &tokens, place.kind == Kind::Client)?,
    }
    known.notes.save(&place.file)?;
    if let (Kind::Client, Some(alias)) = (place.kind, &place.alias) {
        client::choose(Some(alias))?;
        output::notice(&format!("Set '{alias}' as the default client."));
    }
    Ok(0)
}
