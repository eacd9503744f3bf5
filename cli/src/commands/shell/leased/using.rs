//! A lease in use: its command, the connection meanwhile, and giving everything back.

use std::{ffi::OsString, time::Duration};

use jumpstarter_core::{ErrorClass, ErrorKind, config::client::DriverPolicy};
use jumpstarter_lease::{
    Held, Over, Session, Socket, Term, Tunnels,
    session::{self, Seen},
};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Reached, Ready, SOURCE, notice};
use crate::{
    child,
    commands::shell::{ASIDE, environment, lines::Log, welcome},
    report::{Outcome, Signalled, Stop},
    signals::Signals,
    style::{self, printable},
    table,
};

/// How long a signal leaves for connecting again to an exporter that is to clean up.
const HURRY: Duration = Duration::from_secs(10);

/// How long it may take to hear that an exporter has given a lease back.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// Tells what happens to the connection, and goes on with the log of the next one.
pub(super) fn tell(log: &mut Log, seen: Seen<'_>, hook: impl Fn()) {
    match seen {
        Seen::Hook => hook(),
        Seen::Lost(error) => tracing::warn!(source = SOURCE, "{error}; connecting again"),
        Seen::Away(error) => tracing::warn!(source = SOURCE, "{error}; trying on while the lease lasts"),
        Seen::Back(session) => {
            tracing::info!(source = SOURCE, "connected to the exporter again");
            log.again(session.connection());
        }
    }
}

/// The labels of an exporter, which its controller is being asked for.
pub(super) struct Labels(AbortOnDropHandle<Result<String, String>>);

impl Labels {
    pub(super) fn ask(held: &Held) -> Self {
        let (controller, exporter) = (held.controller().clone(), held.exporter());
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            match timeout(ASIDE, controller.exporter(&exporter)).await {
                Ok(Ok(found)) => {
                    let mut labels: Vec<_> =
                        found.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    labels.sort();
                    Ok(labels.join(","))
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("the controller at {} does not answer", controller.place())),
            }
        })))
    }
}

/// Runs the command, and gives everything back.
pub(super) async fn run(ready: Ready, words: &[OsString], signals: &mut Signals) -> Outcome {
    let Ready { held, reached } = ready;
    let Reached { mut session, tunnels, labels, mut log } = reached;
    let outcome = {
        let command = command(&held, session.clone(), &tunnels, labels, words, signals);
        tokio::select! {
            outcome = command => outcome,
            never = session::keep(&mut session, |seen| tell(&mut log, seen, || {})) => match never {},
        }
    };
    // Before it is given back, which ends it as well.
    let taken = ended(&held).filter(|over| matches!(over, Over::Ended(_)));
    let cleaned = end(&held, &session, &tunnels, log, signals).await;
    let taken = match (&outcome, ended(&held)) {
        (_, Some(over @ Over::Transferred(_))) => Some(over),
        // The command was told, and that it could not go on is nothing that it did.
        (Ok(code), _) if *code == Signalled::Hangup.code() => taken,
        _ => None,
    };
    if let Some(over) = taken {
        return Err(Stop::of(ErrorClass::Infrastructure, over.words(held.name())));
    }
    match (outcome, cleaned) {
        // A command that failed says more than a hook.
        (Ok(0), Err(stop)) => Err(stop),
        (Ok(code), Err(stop)) => {
            stop.print();
            Ok(code)
        }
        (outcome, _) => outcome,
    }
}

fn ended(held: &Held) -> Option<Over> {
    match &*held.term().borrow() {
        Term::Over(over) => Some(over.clone()),
        Term::Held { .. } => None,
    }
}

async fn command(
    held: &Held,
    session: Session,
    tunnels: &Tunnels,
    labels: Labels,
    words: &[OsString],
    signals: &mut Signals,
) -> Outcome {
    let access = held.controller().access();
    let exporter = held.exporter();
    let socket = Socket::open(tunnels.clone()).await?;
    let mut variables = environment(socket.path(), &allowed(&access.drivers));
    variables.push(("JMP_EXPORTER", exporter.clone().into()));
    variables.push(("JMP_LEASE", held.name().into()));
    match labels.0.await {
        Ok(Ok(labels)) => variables.push(("JMP_EXPORTER_LABELS", labels.into())),
        Ok(Err(why)) => {
            tracing::warn!(source = SOURCE, "the labels of exporter {exporter} are not known: {why}");
        }
        Err(ended) => tracing::debug!("asking for labels: {ended}"),
    }
    welcome(words, session.connection(), session.device()).await;
    let hang_up = CancellationToken::new();
    let _watch =
        AbortOnDropHandle::new(tokio::spawn(announce(held.name().to_owned(), held.term(), hang_up.clone())));
    let job = child::Job {
        words,
        context: &exporter,
        environment: variables,
        profiles: access.use_profiles,
        hang_up: Some(hang_up),
    };
    child::run(job, signals).await
}

/// The drivers that commands may use; an empty list is said as well.
fn allowed(drivers: &DriverPolicy) -> String {
    if drivers.allows_everything() { "UNSAFE".to_owned() } else { drivers.allow.join(",") }
}

/// Says when the lease is about to end, and when it has; then its command is told as well.
async fn announce(lease: String, mut term: tokio::sync::watch::Receiver<Term>, hang_up: CancellationToken) {
    // One that was never meant to last longer needs no warning at its start.
    let mut told = matches!(*term.borrow(), Term::Held { soon: true, .. });
    loop {
        let known = term.borrow_and_update().clone();
        match known {
            Term::Held { ends: Some(ends), soon } => {
                if soon && !told {
                    let left = ends.saturating_duration_since(Instant::now());
                    let at =
                        jiff::Timestamp::now() + jiff::SignedDuration::try_from(left).unwrap_or_default();
                    tracing::info!(
                        source = "jumpstarter.client.lease",
                        "Lease {lease} ending in {} at {}",
                        table::span(left),
                        table::local(at)
                    );
                }
                told = soon;
            }
            Term::Held { ends: None, .. } => {}
            Term::Over(over) => {
                tracing::info!(source = "jumpstarter.client.lease", "{}", over.words(&lease));
                hang_up.cancel();
                return;
            }
        }
        if term.changed().await.is_err() {
            return;
        }
    }
}

/// Has the exporter clean up, and gives the lease back, if it was made here.
async fn end(
    held: &Held,
    session: &Session,
    tunnels: &Tunnels,
    log: Log,
    signals: &mut Signals,
) -> Result<(), Stop> {
    if !held.is_ours() {
        session.connection().close();
        return Ok(());
    }
    let mut cleaned = Ok(());
    // A second signal has no time for hooks.
    if !held.is_over() && signals.seen() < 2 {
        // Whoever was told to end has not much time either.
        let limit = if signals.seen() == 0 { tunnels.patience() } else { HURRY };
        cleaned = clean_up(held, session, limit, log, signals).await;
    }
    session.connection().close();
    release(held, signals).await;
    cleaned
}

async fn clean_up(
    held: &Held,
    session: &Session,
    limit: Duration,
    mut log: Log,
    signals: &mut Signals,
) -> Result<(), Stop> {
    let hook = || tracing::info!(source = SOURCE, "Running afterLease hook (Ctrl+C to skip)...");
    let result = tokio::select! {
        result = session::clean_up(session, limit, |seen| tell(&mut log, seen, hook)) => result,
        _ = signals.next() => {
            tracing::info!(source = SOURCE, "the afterLease hook is not waited for");
            return Ok(());
        }
        _ = held.ended() => return Ok(()),
    };
    let done = match result {
        Ok(done) => done,
        Err(error) => {
            log.last().await;
            return Err(error.into());
        }
    };
    if let Some(error) = done.unseen {
        if !done.hook {
            tracing::warn!(
                source = SOURCE,
                "{error}; the exporter was not asked to clean up, and does when it is back or the lease is over"
            );
            return Ok(());
        }
        // An exporter gives a lease back only when its hook is through.
        if timeout(GIVEN_BACK, held.ended()).await.is_err() {
            return Err(error
                .context("the afterLease hook was running")
                .with_kind(ErrorKind::NotReady)
                .into());
        }
        tracing::warn!(source = SOURCE, "what came of the afterLease hook is not known: {error}");
        return Ok(());
    }
    if done.hook {
        log.last().await;
        tracing::info!(source = SOURCE, "afterLease hook completed");
    }
    if let Some(warning) = done.warning {
        notice(&format!("{} {}", style::warning(), printable(&warning)));
    }
    Ok(())
}

/// Gives a lease back, unless somebody insists on not waiting.
pub(super) async fn release(held: &Held, signals: &mut Signals) {
    if !held.is_ours() || held.is_over() {
        return;
    }
    tracing::info!(source = "jumpstarter.client.lease", "Releasing Lease {}", held.name());
    tokio::select! {
        released = held.release() => if let Err(error) = released {
            tracing::warn!(source = SOURCE, "{error}; `jmp delete leases {}` tries again", held.name());
        },
        _ = signals.next() => tracing::warn!(source = SOURCE, "lease {} may not have been given back", held.name()),
    }
}
