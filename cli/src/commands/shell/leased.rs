//! `jmp shell` on an exporter that is leased.

use std::{
    cell::Cell, convert::Infallible, ffi::OsString, fmt::Write as _, io::IsTerminal as _, time::Duration,
};

use jumpstarter_client::ExporterStatus;
use jumpstarter_core::config::client::DriverPolicy;
use jumpstarter_lease::{
    Access, Acquiring, Choice, Controller, Held, Over, Session, Socket, Term, Tunnels, Wanted,
    controller::{Leases, is_away},
    lease::{Lease, Standing},
    leased::{fits, seconds},
    session,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{environment, greet, notice, show};
use crate::{
    child, client,
    report::{Outcome, Signalled, Stop},
    signals::Signals,
    style::{self, printable},
    table,
    waiting::Waiting,
    words::Place,
};

/// Where messages of this command come from, as existing clients have it.
const SOURCE: &str = "jumpstarter_cli.shell";

/// How long lines of a hook that has ended may still be on their way.
const LAST_LINES: Duration = Duration::from_millis(300);

/// How long an exporter may take to answer before somebody is told what is waited for.
const SLOW: Duration = Duration::from_millis(500);

/// How long asking for the message of the day may take.
const MOTD: Duration = Duration::from_secs(5);

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
    session: Session,
    tunnels: Tunnels,
    log: AbortOnDropHandle<()>,
}

pub(super) async fn run(
    asked: Asked,
    words: &[OsString],
    everything: bool,
    signals: &mut Signals,
) -> Outcome {
    let access = client::access(&asked.choice)?;
    let limits = Limits {
        acquisition: asked.acquisition.unwrap_or(Duration::from_secs(access.limits.acquisition_timeout)),
        retry: asked.retry.unwrap_or(seconds(access.limits.retry_timeout)),
        dial: asked.dial.unwrap_or(seconds(access.limits.dial_timeout)),
    };
    let connected = tokio::select! {
        connected = connect(access, &asked) => connected?,
        signal = signals.next() => return Err(Stop::Signal(signal)),
    };
    let (controller, existing) = connected;
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
                Ok((session, tunnels, log)) => Ready { held, session, tunnels, log },
                Err(stop) => return Err(over(&held).unwrap_or(stop.into_stop())),
            }
        }
        None => match acquire(&controller, &asked.wanted, &limits, everything, signals).await? {
            Ok(ready) => ready,
            Err(signal) => return Ok(signal.code()),
        },
    };
    use_it(ready, words, signals).await
}

/// Connects to the controller, and finds the lease that is to be used, if there is one already.
async fn connect(access: Access, asked: &Asked) -> Result<(Controller, Option<Held>), Stop> {
    let controller = Controller::connect(access).await?;
    let nothing = asked.wanted.selector.is_empty() && asked.wanted.exporter.is_none();
    let name = match &asked.existing {
        Some(name) => name.clone(),
        None if nothing => own(&controller, &asked.place).await?,
        None => return Ok((controller, None)),
    };
    let held = Held::existing(&controller, &name).await?;
    if fits(&held.lease(), &asked.wanted) {
        tracing::info!(source = SOURCE, "Using existing lease {name}");
        return Ok((controller, Some(held)));
    }
    let other = held.lease().asks_for();
    notice(&format!(
        "{} lease {name} is for {}, not for {}: another lease is asked for, and given back in the end",
        style::warning(),
        printable(&other),
        asked.wanted.what()
    ));
    Ok((controller, None))
}

/// The lease that the user has anyway.
async fn own(controller: &Controller, place: &Place) -> Result<String, Stop> {
    let all = controller.leases(&Leases::default()).await?;
    let me = &controller.access().name;
    let mine: Vec<_> =
        all.into_iter().filter(|lease| lease.client == *me && lease.over().is_none()).collect();
    match mine.as_slice() {
        [] => Err(place.wrong(
            "no active leases found. Use --selector/-l or --name/-n to create one, or create a lease with 'jmp create \
             lease'.",
        )),
        [lease] => Ok(lease.name.clone()),
        several => {
            let mut list = String::from("Multiple active leases found:\n\n");
            for (at, lease) in several.iter().enumerate() {
                let _ = writeln!(list, "  {}) {}\n     {}", at + 1, lease.name, described(lease));
            }
            if !std::io::stdin().is_terminal() {
                return Err(place.wrong(format!("{list}\nName one with --lease.")));
            }
            notice(&list);
            pick(several)
        }
    }
}

fn described(lease: &Lease) -> String {
    let mut parts = Vec::new();
    if !lease.exporter.is_empty() {
        parts.push(format!("exporter={}", lease.exporter));
    }
    if lease.selector != "<none>" && !lease.selector.is_empty() {
        parts.push(format!("selector={}", lease.selector));
    }
    if let Some(ends) = lease.ends().filter(|_| lease.standing() == Standing::Ready) {
        parts.push(format!("expires {}", table::local(ends)));
    }
    printable(&parts.join(", "))
}

fn pick(several: &[Lease]) -> Result<String, Stop> {
    loop {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr().lock(),
            format!("Select a lease [1-{}]: ", several.len()).as_bytes(),
        );
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).unwrap_or(0) == 0 {
            return Err(Stop::failed("Aborted!"));
        }
        let chosen = line.trim().parse::<usize>().ok().and_then(|number| several.get(number.checked_sub(1)?));
        if let Some(lease) = chosen {
            return Ok(lease.name.clone());
        }
        notice(&format!("Error: '{}' is none of them.", printable(line.trim())));
    }
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
            Ok((session, tunnels, log)) => return Ok(Ok(Ready { held, session, tunnels, log })),
            Err(failed) => failed,
        };
        let reason = over(&held);
        release(&held, signals).await;
        let since = *away.get_or_insert_with(Instant::now);
        match (reason, failed) {
            (Some(stop), _) | (None, Unreached::Failed(stop)) => return Err(stop),
            (None, Unreached::Away(error)) if since.elapsed() >= limits.retry => {
                return Err(Stop::failed(error));
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
            Self::Away(message) => Stop::failed(message),
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
        Term::Over(over) => Some(Stop::failed(over.words(held.name()))),
        Term::Held { .. } => None,
    }
}

/// Connects, shows the log, and waits until the exporter takes calls.
async fn reach(
    held: &Held,
    limits: &Limits,
    everything: bool,
) -> Result<(Session, Tunnels, AbortOnDropHandle<()>), Unreached> {
    let tunnels = Tunnels::new(held, limits.dial);
    let waiting = Waiting::new();
    let exporter = held.exporter();
    let told = Cell::new(false);
    let hook = || {
        if !told.replace(true) {
            tracing::info!(source = SOURCE, "Waiting for beforeLease hook to complete...");
        }
    };
    let opened = async {
        // Some exporters do not answer at all while their hook runs; the controller knows.
        let slow = async {
            sleep(SLOW).await;
            match held.controller().exporter(&exporter).await {
                Ok(found) if found.status() == ExporterStatus::BeforeLeaseHook => hook(),
                _ => waiting.say(&format!("Waiting for exporter {exporter} to answer")),
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
        over = held.ended() => return Err(Unreached::Failed(Stop::failed(over.words(held.name())))),
    };
    drop(waiting);
    let mut logs = session.connection().logs();
    let log = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(line) = logs.next().await {
            if line.is_hook() || everything {
                show(&line);
            }
        }
    }));
    let warning = tokio::select! {
        warning = session::ready(session.connection(), hook) => warning?,
        over = held.ended() => return Err(Unreached::Failed(Stop::failed(over.words(held.name())))),
    };
    if let Some(warning) = warning {
        notice(&format!("{} {}", style::warning(), printable(&warning)));
    }
    Ok((session, tunnels, log))
}

/// Runs the command, and gives everything back.
async fn use_it(ready: Ready, words: &[OsString], signals: &mut Signals) -> Outcome {
    let Ready { held, session, tunnels, log } = ready;
    let outcome = command(&held, &session, &tunnels, words, signals).await;
    let cleaned = end(&held, &session, log, signals).await;
    if let Some(Over::Transferred(to)) = ended(&held) {
        return Err(Stop::failed(Over::Transferred(to).words(held.name())));
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
    session: &Session,
    tunnels: &Tunnels,
    words: &[OsString],
    signals: &mut Signals,
) -> Outcome {
    let access = held.controller().access();
    let exporter = held.exporter();
    let socket = Socket::open(tunnels.clone()).await?;
    let mut variables = environment(socket.path(), &allowed(&access.drivers));
    variables.push(("JMP_EXPORTER", exporter.clone().into()));
    variables.push(("JMP_LEASE", held.name().into()));
    match held.controller().exporter(&exporter).await {
        Ok(found) => {
            let mut labels: Vec<_> =
                found.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            labels.sort();
            variables.push(("JMP_EXPORTER_LABELS", labels.join(",").into()));
        }
        Err(error) => {
            tracing::warn!(source = SOURCE, "the labels of exporter {exporter} are not known: {error}");
        }
    }
    // Its hook may have written a message of the day; only people read it.
    let motd = if words.is_empty() {
        timeout(MOTD, session.connection().report()).await.ok().and_then(Result::ok)
    } else {
        None
    };
    greet(words, motd.as_ref().map_or(session.device().motd(), |report| report.motd.as_str()));
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
    log: AbortOnDropHandle<()>,
    signals: &mut Signals,
) -> Result<(), Stop> {
    if !held.is_ours() {
        session.connection().close();
        return Ok(());
    }
    let mut cleaned = Ok(());
    // A second signal has no time for hooks.
    if !held.is_over() && signals.seen() < 2 {
        let hook = || tracing::info!(source = SOURCE, "Running afterLease hook (Ctrl+C to skip)...");
        tokio::select! {
            result = session::clean_up(session.connection(), hook) => match result {
                Ok(done) => {
                    if done.hook {
                        // There is no end to the log of an exporter by which to know that all was said.
                        let _ = timeout(LAST_LINES, log).await;
                        tracing::info!(source = SOURCE, "afterLease hook completed");
                    }
                    if let Some(warning) = done.warning {
                        notice(&format!("{} {}", style::warning(), printable(&warning)));
                    }
                }
                Err(error) => {
                    let _ = timeout(LAST_LINES, log).await;
                    cleaned = Err(error.into());
                }
            },
            _ = signals.next() => tracing::info!(source = SOURCE, "the afterLease hook is not waited for"),
            _ = held.ended() => {}
        }
    }
    session.connection().close();
    release(held, signals).await;
    cleaned
}

/// Gives a lease back, unless somebody insists on not waiting.
async fn release(held: &Held, signals: &mut Signals) {
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
