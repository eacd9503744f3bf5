//! Ways to a token: a stored one, a password, a browser, another device, or one that was given.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use jumpstarter_core::config::client::{DriverPolicy, LeaseOptions};
use jumpstarter_lease::{Access, Choice, choose, config, controller::Exporters};
use jumpstarter_login::{Provider, Secret, Tokens};
use jumpstarter_transport::{connect::Security, grpc_options::GrpcOptions};

use super::{
    file::{Kind, New, Place},
    warn,
};
use crate::{
    client, commands::Invocation, files::environment, output, prompt, report::Stop, style::printable, tokens,
};

/// How long somebody has to sign in in the browser.
const PATIENCE: Duration = Duration::from_mins(5);

const NO_PASSWORD: &str = "'--username' needs '--password-stdin' or '--password'.";

/// Another token for the refresh token that is there, unless somebody wants to sign in in another way.
pub(super) async fn refreshed(
    invocation: &Invocation<'_>,
    provider: &Provider,
    place: &Place,
    exchanges: bool,
) -> Result<Option<Tokens>, Stop> {
    let explicit =
        exchanges || invocation.text("username").is_some() || invocation.text("password").is_some();
    let Some(token) = place.text("refresh_token").filter(|_| !explicit && place.kind == Kind::Client) else {
        return Ok(None);
    };
    match provider.refresh(&Secret::new(token)).await {
        Ok(tokens) => Ok(Some(tokens)),
        Err(error) if invocation.flag("nointeractive") => {
            Err(error.context("Failed to refresh access token").into())
        }
        Err(error) => {
            warn(&format!("the stored refresh token is no good any more: {}", printable(error.message())));
            Ok(None)
        }
    }
}

/// Somebody signs in.
pub(super) async fn signed_in(
    invocation: &Invocation<'_>,
    provider: &Provider,
    given: Option<Secret>,
) -> Result<Tokens, Stop> {
    let place = invocation.place;
    if let Some(token) = given {
        return Ok(provider.exchange(&token, invocation.text("connector-id")).await?);
    }
    let password = match (invocation.text("password"), invocation.flag("password-stdin")) {
        (Some(_), true) => return Err(place.wrong("'--password' and '--password-stdin' exclude each other.")),
        (Some(password), false) => Some(Secret::new(password)),
        (None, true) => Some(tokens::secret(None)?),
        (None, false) => None,
    };
    match (invocation.text("username"), password) {
        (Some(name), Some(password)) => return Ok(provider.password(name, &password).await?),
        (Some(_), None) if invocation.flag("nointeractive") => {
            return Err(place.wrong(NO_PASSWORD));
        }
        (Some(name), None) => {
            let asked = prompt::secret("Password")?;
            let password = Secret::new(asked.ok_or_else(|| place.wrong(NO_PASSWORD))?);
            return Ok(provider.password(name, &password).await?);
        }
        (None, Some(_)) => return Err(place.wrong("A password needs '--username'.")),
        (None, None) => {}
    }
    if invocation.flag("device-flow") || environment("JMP_OIDC_DEVICE_FLOW").is_some_and(|set| set == "1") {
        let code = provider.device_code().await?;
        let (page, complete) = code.page();
        output::notice(&format!("Please open the URL in browser:  {}", printable(page)));
        if !complete {
            output::notice(&format!("Then enter the code: {}", printable(code.code())));
        }
        output::notice("Waiting for authentication...");
        return Ok(provider.device_tokens(&code).await?);
    }
    let begun = provider.in_browser(callback_port(invocation)?).await?;
    output::notice(&format!("Please open the URL in browser:  {}", begun.page));
    if !invocation.flag("no-browser") {
        open(&begun.page);
    }
    Ok(provider.browser_tokens(begun, PATIENCE).await?)
}

fn callback_port(invocation: &Invocation<'_>) -> Result<u16, Stop> {
    if let Some(text) = invocation.text("callback-port") {
        return text.parse().map_err(|_| {
            invocation
                .place
                .wrong(format!("Invalid value for '--callback-port': {text:?} is no port, 0 to 65535."))
        });
    }
    match environment("JMP_OIDC_CALLBACK_PORT").filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map_err(|_| {
            Stop::configuration(format!("Invalid JMP_OIDC_CALLBACK_PORT {text:?}: must be a valid port"))
        }),
        None => Ok(0),
    }
}

/// Opens a page, where there is a screen to show it. If that fails, the address is on the terminal.
fn open(page: &str) {
    let set = |name| environment(name).is_some_and(|value| !value.is_empty());
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if set("DISPLAY") || set("WAYLAND_DISPLAY") {
        "xdg-open"
    } else {
        return;
    };
    let started = Command::new(program)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        // It hands the page over and ends.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(error) => tracing::debug!("{program}: {error}"),
    }
}

/// Shows a lab the token that it has given, before it is written down.
pub(super) async fn try_it(place: &Place, new: Option<&New>, token: &Secret) -> Result<(), Stop> {
    let access = if let Some(new) = new {
        Access {
            alias: place.alias.clone().unwrap_or_default(),
            endpoint: config::place(&new.endpoint)?,
            security: if new.insecure {
                Security::Unverified
            } else if new.ca.is_empty() {
                Security::Verified
            } else {
                Security::VerifiedBy(tokens::from_base64(&new.ca)?)
            },
            namespace: new.namespace.clone(),
            name: new.name.clone(),
            token: token.clone(),
            grpc: GrpcOptions::default(),
            limits: LeaseOptions::default(),
            drivers: DriverPolicy::default(),
            use_profiles: false,
        }
    } else {
        let chosen = choose(&Choice::File(place.file.clone()), &|_| None)?;
        Access { token: token.clone(), ..Access::new(&chosen, &|_| None)? }
    };
    // Whoever may ask for nothing may ask.
    let nothing = Exporters {
        selector: "jumpstarter.dev/login,!jumpstarter.dev/login".to_owned(),
        page: 1,
        ..Exporters::default()
    };
    client::connect(access).await?.exporters(&nothing).await?;
    Ok(())
}
