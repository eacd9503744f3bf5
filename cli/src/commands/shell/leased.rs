//! `jmp shell` on an exporter that is leased.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `existing` | a lease that is there already, and which one |
//! | `using` | the command, the connection meanwhile, and giving everything back |

mod existing;
mod using;

use std::{cell::Cell, convert::Infallible, ffi::OsString, time::Duration};

use jumpstarter_core::ErrorClass;
use jumpstarter_lease::{
    Acquiring, Choice, Controller, Held, Over, Session, Term, Tunnels, Wanted, controller::is_away,
    leased::seconds, session,
};
use tokio::time::{Instant, sleep};

use self::using::{Labels, release, tell};
use super::{lines::Log, notice};
use crate::{
    client,
    renewal::Renewal,
    report::{Outcome, Signalled, Stop},
    signals::Signals,
    style::{self, printable},
    waiting::Waiting,
    words::Place,
};

/// Where messages of this command come from, as existing clients have it.
const SOURCE: &str = "jumpstarter_cli.shell";

/// How long an exporter may take to answer before somebody is told what is waited for.
const SLOW: Duration = Duration::from_millis(500);

/// What was asked for.
pub(super) struct Asked {
    /// Which client.
    pub(super) choice: Choice,
    /// A lease that exists.
    pub(super) existing: Option<String>,
    /// Which exporter, and for how long.
    pub(super) wanted: Wanted,
    /// How long to wait for a lease.
    pub(super) acquisition: Option<Duration>,
    /// How long to ask for others while exporters do not answer.
    pub(super) retry: Option<Duration>,
    /// How long to wait for the exporter.
    pub(super) dial: Option<Duration>,
    /// How the command was typed.
    pub(super) place: Place,
}

/// How long to wait for what.
struct Limits {
    acquisition: Duration,
    retry: Duration,
    dial: Duration,
}

/// An exporter that is ready, and whatever is needed to keep it.
struct Ready {
    held: Held,
    reached: Reached,
}

/// A connection to an exporter that takes calls, and what comes with it.
struct Reached {
    session: Session,
    tunnels: Tunnels,
    labels: Labels,
    log: Log,
}

pub(super) async fn run(
    asked: Asked,
    words: &[OsString],
    everything: bool,
    signals: &mut Signals,
) -> Outcome {
    let (chosen, access) = client::with_its_file(&asked.choice).await?;
    let limits = Limits {
        acquisition: asked.acquisition.unwrap_or(Duration::from_secs(access.limits.acquisition_timeout)),
        retry: asked.retry.unwrap_or(seconds(access.limits.retry_timeout)),
        dial: asked.dial.unwrap_or(seconds(access.limits.dial_timeout)),
    };
    let connected = tokio::select! {
        connected = existing::connect(access, &asked) => connected?,
        signal = signals.next() => return Err(Stop::Signal(signal)),
    };
    let (controller, existing) = connected;
    // From here on, waiting may take longer than the token is good.
    let renewal = Renewal::start(&controller, chosen);
    let ready = match existing {
        Some(held) => {
            let waiting = Waiting::new();
            let observer = waiting.observer();
            tokio::select! {
                ready = held.ready(limits.acquisition, &observer) => ready?,
                signal = signals.next() => return Err(Stop::Signal(signal)),
            }
            drop(waiting);
            let reached = tokio::select! {
                reached = reach(&held, &limits, everything) => reached,
                signal = signals.next() => return Err(Stop::Signal(signal)),
            };
            match reached {
                Ok(reached) => Ready { held, reached },
                Err(stop) => return Err(over(&held).unwrap_or(stop.into_stop())),
            }
        }
        None => match acquire(&controller, &asked.wanted, &limits, everything, signals).await? {
            Ok(ready) => ready,
            Err(signal) => return Ok(signal.code()),
        },
    };
    let (lease, is_ours) = (ready.held.name().to_owned(), ready.held.is_ours());
    let outcome = using::run(ready, words, signals).await;
    if is_ours && renewal.is_over() {
        notice(&format!(
            "Lease {lease} stays until its end: log in again with `jmp login`, then go on with `JMP_LEASE={lease} jmp shell`, \
             or give it back with `jmp delete leases {lease}`"
        ));
    }
    outcome
}

/// Gets a lease, and its exporter ready. Exporters that do not answer are given back, and another one is asked for.
async fn acquire(
    controller: &Controller,
    wanted: &Wanted,
    limits: &Limits,
    everything: bool,
    signals: &mut Signals,
) -> Result<Result<Ready, Signalled>, Stop> {
    let mut away: Option<Instant> = None;
    loop {
        let waiting = Waiting::new();
        let mut acquiring =
            Acquiring::start(controller.clone(), wanted.clone(), limits.acquisition, waiting.observer())?;
        let held = tokio::select! {
            held = acquiring.wait() => held?,
            signal = signals.next() => {
                drop(waiting);
                Stop::Signal(signal).print();
                // Whoever insists need not wait for the controller.
                tokio::select! {
                    () = acquiring.cancel() => {}
                    _ = signals.next() => {}
                }
                return Ok(Err(signal));
            }
        };
        drop(waiting);
        let reached = tokio::select! {
            reached = reach(&held, limits, everything) => reached,
            signal = signals.next() => {
                Stop::Signal(signal).print();
                release(&held, signals).await;
                return Ok(Err(signal));
            }
        };
        let failed = match reached {
            Ok(reached) => return Ok(Ok(Ready { held, reached })),
            Err(failed) => failed,
        };
        let reason = over(&held);
        release(&held, signals).await;
        let since = *away.get_or_insert_with(Instant::now);
        match (reason, failed) {
            (Some(stop), _) | (None, Unreached::Failed(stop)) => return Err(stop),
            (None, Unreached::Away(error)) if since.elapsed() >= limits.retry => {
                return Err(Stop::of(ErrorClass::Infrastructure, error));
            }
            (None, Unreached::Away(error)) => {
                tracing::warn!(source = SOURCE, "{error}; asking for another lease");
            }
        }
    }
}

/// Why an exporter is not ready.
enum Unreached {
    /// It does not answer; another one may.
    Away(String),
    /// Another one would not help.
    Failed(Stop),
}

impl Unreached {
    fn into_stop(self) -> Stop {
        match self {
            Self::Away(message) => Stop::of(ErrorClass::Infrastructure, message),
            Self::Failed(stop) => stop,
        }
    }
}

impl From<jumpstarter_core::Error> for Unreached {
    fn from(error: jumpstarter_core::Error) -> Self {
        if is_away(&error) { Self::Away(error.message().to_owned()) } else { Self::Failed(error.into()) }
    }
}

/// What to say when the reason for a failure is that the lease is over.
fn over(held: &Held) -> Option<Stop> {
    match &*held.term().borrow() {
        Term::Over(over) => Some(unusable(over, held)),
        Term::Held { .. } => None,
    }
}

/// What it means that a lease is over before it was used.
fn unusable(over: &Over, held: &Held) -> Stop {
    let words = over.words(held.name());
    match over {
        // Nothing has failed: it was given so much time, and the exporter was getting ready meanwhile.
        Over::Expired => Stop::Expired(format!("{words} before the exporter was ready; nothing was run")),
        Over::Ended(_) | Over::Transferred(_) => Stop::of(ErrorClass::Infrastructure, words),
    }
}

/// Connects, shows the log, and waits until the exporter takes calls.
async fn reach(held: &Held, limits: &Limits, everything: bool) -> Result<Reached, Unreached> {
    let tunnels = Tunnels::new(held, limits.dial);
    // The controller is there now, whatever becomes of it while the exporter gets ready.
    let labels = Labels::ask(held);
    let waiting = Waiting::new();
    let exporter = held.exporter();
    let told = Cell::new(false);
    let hook = || {
        if !told.replace(true) {
            tracing::info!(source = SOURCE, "Waiting for beforeLease hook to complete...");
        }
    };
    let opened = async {
        let slow = async {
            sleep(SLOW).await;
            if session::is_in_hook(held.controller(), &exporter).await {
                hook();
            } else {
                waiting.say(&format!("Waiting for exporter {exporter} to answer"));
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            session = Session::open(&tunnels, &exporter) => session,
            never = slow => match never {},
        }
    };
    let session = tokio::select! {
        session = opened => session?,
        over = held.ended() => return Err(Unreached::Failed(unusable(&over, held))),
    };
    drop(waiting);
    let mut log = Log::of(session.connection(), everything, !held.is_ours());
    let ready = tokio::select! {
        ready = session.ready(|seen| tell(&mut log, seen, hook)) => ready.map_err(Unreached::from),
        over = held.ended() => Err(Unreached::Failed(unusable(&over, held))),
    };
    let (session, warning) = match ready {
        Ok(ready) => ready,
        Err(unreached) => {
            // Why a hook failed is in what it said.
            log.last().await;
            return Err(unreached);
        }
    };
    if let Some(warning) = warning {
        notice(&format!("{} {}", style::warning(), printable(&warning)));
    }
    Ok(Reached { session, tunnels, labels, log })
}
