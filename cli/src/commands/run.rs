//! `jmp run`: an exporter that listens until it is told to stop.

use std::time::Duration;

use clap::{Arg, Command, ValueHint};
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
    relay,
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
        .arg(flag("exit-on-lease-end", "End after one lease").hide(true))
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
    let Named { name, text } = files::read(&path)?;
    let plan = plan::check(&name, &text, &invocation.program.registry(), files::environment)?;
    for warning in &plan.warnings {
        tracing::warn!("{name}: {warning}");
    }
    for unused in plan.unused(plan::Mode::Standalone) {
        tracing::info!("{name}: {unused}");
    }
    let runtime = runtime::threads()?;
    let outcome = runtime.block_on(serve(plan, listening));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn listening(invocation: &Invocation<'_>) -> Result<Listening, Stop> {
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
        return Err(Stop::failed(
            "registering with a controller is not part of this version yet; \
             add --tls-grpc-listener [HOST:]PORT to listen without one",
        ));
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
    Ok(Listening { place: listener.to_owned(), identity, passphrase: passphrase.map(str::to_owned) })
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
    notify("READY=1");
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
                notify("STOPPING=1");
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

/// Tells the service manager, where there is one.
fn notify(state: &str) {
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return };
    #[cfg(target_os = "linux")]
    let address = {
        use std::os::{linux::net::SocketAddrExt as _, unix::ffi::OsStrExt as _};
        match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        }
    };
    #[cfg(not(target_os = "linux"))]
    let address = SocketAddr::from_pathname(&path);
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}
