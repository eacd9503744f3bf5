//! `jmp run`: an exporter that is registered with a controller, or listens by itself, until it is told to stop.

mod registered;

use std::time::Duration;

use clap::{Arg, Command, ValueHint};
use jumpstarter_core::config::Problem;
use jumpstarter_exporter::{
    plan,
    standalone::{self, End, Standalone},
};
use jumpstarter_transport::server::Identity;
use tokio_util::sync::CancellationToken;

use crate::{
    child::Tools,
    commands::Invocation,
    files::{self, Named},
    notify, relay,
    report::{FAILURE, Outcome, Signalled, Stop},
    runtime,
    signals::Signals,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Run an exporter";

pub(crate) fn arguments(command: Command) -> Command {
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
}

/// How to listen, as it was asked for.
struct Listening {
    place: String,
    identity: Option<Identity>,
    passphrase: Option<String>,
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    let place = invocation.place;
    let path = match (invocation.text("exporter"), invocation.text("exporter-config")) {
        (Some(_), Some(_)) => {
            return Err(
                place.wrong("Invalid value: only one of --exporter, --exporter-config should be specified")
            );
        }
        (Some(alias), None) => files::exporter(alias)?,
        (None, Some(path)) => path.into(),
        (None, None) => return Err(place.wrong("Specify one of --exporter or --exporter-config.")),
    };
    // The certificate is read before there is a runtime.
    runtime::choose_tls();
    let listening = listening(invocation)?;
    invocation.log.start_service("exporter");
    let mode = if listening.is_some() { plan::Mode::Standalone } else { plan::Mode::Registered };
    let Named { name, text } = files::read(&path)?;
    let plan = plan::check(&name, &text, &invocation.program.registry(), files::environment)?;
    for warning in &plan.warnings {
        tracing::warn!("{name}: {warning}");
    }
    for unused in plan.unused(mode) {
        tracing::info!("{name}: {unused}");
    }
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
        let again = move || plan::check(&name, &text, &registry, files::environment);
        let exit_on_lease_end = invocation.flag("exit-on-lease-end");
        runtime.block_on(registered::serve(Box::new(again), exit_on_lease_end))
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
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
            let read = |path: &str| {
                std::fs::read(path)
                    .map_err(|error| Stop::failed(format!("cannot read {path}: {}", files::reason(&error))))
            };
            Some(Identity::from_pem(&read(certificate)?, &read(key)?)?)
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

async fn serve(plan: plan::Plan, listening: Listening) -> Outcome {
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
