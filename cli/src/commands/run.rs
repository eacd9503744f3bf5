//! `jmp run`: an exporter that is registered with a controller, or listens by itself, until it is told to stop.

mod registered;
mod supervisor;

use std::time::Duration;

use clap::{Arg, Command, ValueHint};
use jumpstarter_core::config::Problem;
use jumpstarter_exporter::{
    plan,
    registered::farewell,
    standalone::{self, End, Standalone},
};
use jumpstarter_transport::server::Identity;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    about,
    child::Tools,
    commands::Invocation,
    files::{self, Named},
    line::{self, Role},
    logging, notify, relay,
    report::{FAILURE, Outcome, Signalled, Stop},
    runtime,
    signals::Signals,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Run an exporter";

pub(crate) fn arguments(command: Command) -> Command {
    #[cfg(feature = "lab")]
    let command = command.arg(super::share::lab_option()).arg(
        option("label", "KEY=VALUE", "A label of the exporter that is made in that lab; can be repeated")
            .short('l')
            .action(clap::ArgAction::Append),
    );
    let path = |arg: Arg| arg.value_hint(ValueHint::FilePath);
    command
        .arg(option("exporter", "ALIAS", "Exporter, by the name of its file"))
        .arg(path(option("exporter-config", "FILE", "Exporter, by its file")))
        .arg(option(
            "tls-grpc-listener",
            "[HOST:]PORT",
            "Listen there, without a controller; without HOST on all addresses",
        ))
        .arg(flag("tls-grpc-insecure", "Listen without TLS"))
        .arg(path(option("tls-cert", "FILE", "Certificate chain (PEM)")))
        .arg(path(option("tls-key", "FILE", "Private key (PEM)")))
        .arg(option("passphrase", "TEXT", "What clients must know"))
        .arg(flag("exit-on-lease-end", "End after one lease"))
        .args(logging::options())
}

/// How to listen, as it was asked for.
struct Listening {
    place: String,
    identity: Option<Identity>,
    passphrase: Option<String>,
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    match line::role() {
        None if supervisor::is_possible(invocation) => supervisor::run(invocation),
        _ => line::outcome(work(invocation)),
    }
}

/// What the process does that is, or was, the exporter.
fn work(invocation: &Invocation<'_>) -> Outcome {
    let place = invocation.place;
    let path = match (invocation.text("exporter"), invocation.text("exporter-config")) {
        (Some(_), Some(_)) => {
            return Err(
                place.wrong("Invalid value: only one of --exporter, --exporter-config should be specified")
            );
        }
        (Some(alias), None) => files::exporter(alias)?,
        (None, Some(path)) => std::path::PathBuf::from(path),
        (None, None) => return Err(place.wrong("Specify one of --exporter or --exporter-config.")),
    };
    // The certificate is read before there is a runtime.
    runtime::choose_tls();
    let listening = listening(invocation)?;
    invocation.log.start_service("exporter");
    let mode = if listening.is_some() { plan::Mode::Standalone } else { plan::Mode::Registered };
    let Named { name, text } = files::read(&path)?;
    let said = in_own_lab(invocation, &path, &text, listening.is_some())?;
    let lookup = move |name: &str| {
        let said = said.iter().find(|(known, _)| *known == name);
        said.map(|(_, value)| value.clone()).or_else(|| files::environment(name))
    };
    let plan = plan::check(&name, &text, &invocation.program.registry(), &lookup)?;
    tell_who(&plan, invocation.text("exporter"));
    if line::role() == Some(Role::Farewell) {
        let message = "the exporter ended unexpectedly and is not started again";
        runtime::single()?.block_on(farewell(&plan.file, message))?;
        return Ok(0);
    }
    for warning in &plan.warnings {
        tracing::warn!("{name}: {warning}");
    }
    for unused in plan.unused(mode) {
        tracing::info!("{name}: {unused}");
    }
    line::limits(plan.file.failure_detection);
    let runtime = runtime::threads()?;
    let outcome = if let Some(listening) = listening {
        runtime.block_on(serve(plan, listening))
    } else {
        let mut lacking = plan.file.for_controller();
        if lacking.has_errors() {
            lacking.push(Problem::warning(
                "to listen on a port without a controller, add `--tls-grpc-listener [HOST:]PORT`",
            ));
            return Err(lacking.into());
        }
        let registry = invocation.program.registry();
        let again = move || plan::check(&name, &text, &registry, &lookup);
        let exit_on_lease_end = invocation.flag("exit-on-lease-end");
        runtime.block_on(registered::serve(Box::new(again), exit_on_lease_end))
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Says in every record from now on, here and at the supervisor, which exporter it is.
fn tell_who(plan: &plan::Plan, alias: Option<&str>) {
    let metadata = &plan.file.metadata;
    let name = metadata.name.as_deref().or(alias).unwrap_or_default();
    // In a pod, that is where its namespace may be.
    let pods = || ["NAMESPACE", "POD_NAMESPACE"].into_iter().find_map(files::environment);
    let namespace = metadata.namespace.clone().or_else(pods).unwrap_or_default();
    line::exporter(name, &namespace);
    about::exporter(name.to_owned(), namespace);
}

/// What the lab of this machine says in place of the environment, if it is to be asked.
#[cfg(feature = "lab")]
fn in_own_lab(
    invocation: &Invocation<'_>,
    path: &std::path::Path,
    text: &str,
    listens: bool,
) -> Result<Vec<(&'static str, String)>, Stop> {
    let labels = invocation.matches.get_many::<String>("label").unwrap_or_default();
    let labels = labels.map(|pair| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(invocation.place.wrong(format!("'--label': {pair:?} is not KEY=VALUE."))),
    });
    let labels: Vec<_> = labels.collect::<Result<_, _>>()?;
    let Some(folder) = invocation.text("lab") else {
        return match labels.first() {
            Some(_) => Err(invocation
                .place
                .wrong("'--label' needs '--lab': elsewhere, the lab's owner sets labels.")),
            None => Ok(Vec::new()),
        };
    };
    if listens {
        return Err(invocation.place.wrong("'--lab' and '--tls-grpc-listener' exclude each other."));
    }
    let file: serde_json::Value = serde_yaml::from_str(text).unwrap_or_default();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = file["metadata"]["name"].as_str().map_or(stem, str::to_owned);
    super::share::registered(folder, &name, &labels)
}

#[cfg(not(feature = "lab"))]
fn in_own_lab(
    _: &Invocation<'_>,
    _: &std::path::Path,
    _: &str,
    _: bool,
) -> Result<Vec<(&'static str, String)>, Stop> {
    Ok(Vec::new())
}

fn listening(invocation: &Invocation<'_>) -> Result<Option<Listening>, Stop> {
    let place = invocation.place;
    let insecure = invocation.flag("tls-grpc-insecure");
    let (certificate, key) = (invocation.text("tls-cert"), invocation.text("tls-key"));
    let passphrase = invocation.text("passphrase").filter(|text| !text.is_empty());
    let Some(listener) = invocation.text("tls-grpc-listener") else {
        let given = [
            ("tls-grpc-insecure", insecure),
            ("tls-cert", certificate.is_some()),
            ("tls-key", key.is_some()),
            ("passphrase", passphrase.is_some()),
        ];
        if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(place.wrong(format!("'--{option}' needs '--tls-grpc-listener'.")));
        }
        return Ok(None);
    };
    if invocation.flag("exit-on-lease-end") {
        return Err(
            place.wrong("'--exit-on-lease-end' needs a controller: a listener of its own has no leases.")
        );
    }
    let identity = match (insecure, certificate, key) {
        (true, None, None) => None,
        (true, ..) => {
            return Err(place.wrong("'--tls-grpc-insecure' excludes '--tls-cert' and '--tls-key'."));
        }
        (false, Some(certificate), Some(key)) => {
            Some(Identity::from_pem(&files::bytes(certificate)?, &files::bytes(key)?)?)
        }
        (false, ..) => {
            return Err(
                place.wrong("A listener needs '--tls-cert' and '--tls-key', or '--tls-grpc-insecure'.")
            );
        }
    };
    if identity.is_none() && passphrase.is_some() {
        // Said before logging starts: whoever typed it is in front of it.
        let text = "WARNING: without TLS, everybody on the way can read the passphrase\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes());
    }
    let passphrase = passphrase.map(str::to_owned);
    Ok(Some(Listening { place: listener.to_owned(), identity, passphrase }))
}

async fn serve(mut plan: plan::Plan, listening: Listening) -> Outcome {
    // It is as if one lease lasted as long as the exporter does.
    about::lease(Some((standalone::LEASE, "")));
    about::drivers(plan.identify());
    let mut signals = Signals::listen()?;
    let tools = Tools::find()?;
    let listener = standalone::listen(&listening.place).await?;
    let options = standalone::Options {
        identity: listening.identity,
        passphrase: listening.passphrase,
        tools: tools.folder(),
    };
    let standalone = tokio::select! {
        standalone = Standalone::start(plan, listener, options) => standalone?,
        signal = signals.next() => return Err(Stop::Signal(signal)),
    };
    tracing::info!("Session server started on {}", standalone.address());
    let ended = CancellationToken::new();
    let mut reader = standalone.session().logs().subscribe();
    let log = tokio::spawn({
        let ended = ended.clone();
        async move {
            while let Some(line) = reader.next(&ended).await {
                relay::line(&line, true);
            }
        }
    });
    notify::tell("READY=1");
    // A session that is served has nothing that decides for all of it; as long as its tasks get their turn, it is alive.
    let _alive = notify::watchdog().map(|limit| {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut due = tokio::time::interval(limit / 2);
            loop {
                due.tick().await;
                notify::tell("WATCHDOG=1");
            }
        }))
    });
    let stop = CancellationToken::new();
    let running = standalone.run({
        let stop = stop.clone();
        async move { stop.cancelled().await }
    });
    tokio::pin!(running);
    let mut asked: Option<Signalled> = None;
    let end = loop {
        tokio::select! {
            end = &mut running => break end,
            signal = signals.next() => {
                if let Some(first) = asked {
                    // Somebody insists: neither hooks nor drivers are waited for.
                    tracing::warn!("stopping at once");
                    return Ok(first.code());
                }
                tracing::info!("{signal}");
                notify::tell("STOPPING=1");
                asked = Some(signal);
                stop.cancel();
            }
        }
    };
    ended.cancel();
    let _ = log.await;
    match (end?, asked) {
        (End::Hook, _) => Ok(FAILURE),
        (End::Asked, Some(signal)) => Ok(signal.code()),
        (End::Asked, None) => Ok(0),
    }
}
