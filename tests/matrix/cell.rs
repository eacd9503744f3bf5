//! One cell from its begin to its end.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    expected::{
        BACK, Cell, EXPORTER_SAYS, Expected, Fault, Party, Phase, SOON, Then, When, Work, expected, lenient,
    },
    faults,
    lab::{Bench, PATIENCE},
    leftovers,
    phases::{User, arriving, client, leased},
    process::{Program, Said},
    proxy,
};

/// How long a fault lasts that nobody has to notice: longer than a router that is gone may stay unnoticed.
const HOLD: Duration = Duration::from_secs(5);

/// How long something may take that is not kept waiting, with every connection slow.
const WORK: Duration = Duration::from_secs(30);

/// Does what the cell says, and answers what does not hold.
pub(crate) async fn run(cell: Cell) -> Result<(), String> {
    let begun = Instant::now();
    let mut bench = Bench::start().await?;
    let place = bench.path().to_owned();
    let mut user = None;
    let came = async {
        let user = user.insert(User::reach(&mut bench, cell.phase).await?);
        holds(&mut bench, user, cell).await?;
        all_free(&bench).await
    };
    let mut came = timeout(PATIENCE * 4, came).await.unwrap_or_else(|_| Err("it takes too long".to_owned()));
    if came.is_ok() {
        came = nothing_is_left(&mut bench).await;
    }
    let said = user.as_ref().map(|user| user.shell.said.text()).unwrap_or_default();
    came = came.map_err(|problem| {
        let took = begun.elapsed().as_secs();
        format!("{cell}: {problem} (after {took} s)\n--- user\n{said}\n{}", bench.logs())
    });
    drop((bench, user));
    // Whatever is left of a cell that failed must not disturb the next one.
    for (process, _) in leftovers::processes(&place) {
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
    came
}

async fn holds(bench: &mut Bench, user: &mut User, cell: Cell) -> Result<(), String> {
    let want = expected(cell);
    let (from, exporter_from) = (user.shell.said.count(), bench.exporter.said.count());
    let begun = Instant::now();
    faults::begin(bench, user, cell).await?;
    if want.exporter_says {
        let says = bench.exporter.said.until(exporter_from, EXPORTER_SAYS, begun + lenient(SOON)).await;
        says.map_err(|problem| format!("the exporter does not notice: {problem}"))?;
    }
    match want.told {
        Some(told) => {
            user.shell.said.until(from, told.words, begun + lenient(told.within)).await?;
        }
        None if cell.fault == Fault::Killed || want.when == When::During => {}
        None => sleep(HOLD).await,
    }
    if want.work == Work::Dropped {
        user.dropped(bench, begun + lenient(SOON)).await?;
    }
    if want.when != When::Afterwards {
        user.go(bench).await?;
    }
    let mut goes_on = user_goes_on(cell);
    if want.when == When::During {
        user.work(from, want.work, Instant::now() + WORK).await?;
        // Nobody waits for this one.
        if goes_on && matches!(cell.party, Party::Router) {
            user.succeeds("j power on", Instant::now() + WORK).await?;
        }
        if cell.fault == Fault::Slow {
            if goes_on {
                user.succeeds("j power on", Instant::now() + WORK).await?;
            }
            leaves(bench, user, cell, want, from).await?;
            goes_on = false;
        }
    }
    faults::end(bench, user, cell).await?;
    let ended = Instant::now();
    if want.when == When::Afterwards {
        user.go(bench).await?;
    }
    if want.when != When::During {
        user.work(from, want.work, ended + WORK).await?;
    }
    if goes_on {
        user.succeeds("j power on", ended + BACK).await.map_err(|problem| {
            let after = ended.elapsed().as_secs_f32();
            format!("the exporter is not usable {after:.1} s after the fault: {problem}")
        })?;
    }
    if cell.fault != Fault::Slow {
        leaves(bench, user, cell, want, from).await?;
    }
    next(bench, cell, want).await
}

/// Whether a line is one that worries people: a warning or an error, with or without the time in front.
fn complains(line: &str) -> bool {
    let rest = match line.strip_prefix('[') {
        Some(stamped) => stamped.split_once(']').map_or(line, |(_, rest)| rest),
        None => line,
    };
    let word = rest.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["error", "warning", "warn", "critical"].iter().any(|bad| word.eq_ignore_ascii_case(bad))
}

/// Whether there is a shell to type into afterwards.
fn user_goes_on(cell: Cell) -> bool {
    cell.phase != Phase::After && (cell.party, cell.fault) != (Party::Client, Fault::Killed)
}

/// The user's own end: how it ends, and that it had one lease and one hook each, or as many as it should have.
async fn leaves(
    bench: &Bench,
    user: &mut User,
    cell: Cell,
    want: Expected,
    from: usize,
) -> Result<(), String> {
    if cell.phase == Phase::Flashing && arriving(&bench.on_rig("tmp")) > 0 && want.then == Then::Free {
        return Err("half an image is left".to_owned());
    }
    let status = user.gone(Instant::now() + WORK).await?;
    let wanted = match (cell.party, cell.fault) {
        (Party::Client, Fault::Killed) => (None, Some(Signal::KILL.as_raw())),
        _ => (Some(0), None),
    };
    if (status.code(), status.signal()) != wanted {
        return Err(format!("the user's shell ended with {status}, wanted is {wanted:?}"));
    }
    // Whatever was lost on the way, the exporter was asked to clean up and seen to have.
    if wanted.0 == Some(0) && !user.shell.said.text().contains("after is done") {
        return Err("the end of the afterLease hook was not shown".to_owned());
    }
    if wanted.0 == Some(0)
        && want.told.is_none()
        && let Some(line) = user.shell.said.since(from).into_iter().find(|line| complains(line))
    {
        return Err(format!("the user need not be told anything, and is told {line:?}"));
    }
    let leases = user.shell.said.text().matches("Acquiring lease").count();
    if leases != 1 {
        return Err(format!("{leases} leases were asked for, not one"));
    }
    let (gate, what) = match cell.phase {
        Phase::Before => (&bench.before, "beforeLease"),
        Phase::After => (&bench.after, "afterLease"),
        Phase::Waiting | Phase::Idle | Phase::Using | Phase::Flashing => return Ok(()),
    };
    let (runs, wanted) = (gate.runs(), if want.work == Work::Again { 2 } else { 1 });
    if runs == wanted { Ok(()) } else { Err(format!("{what} ran {runs} times, not {wanted}")) }
}

/// Somebody else wants the exporter.
async fn next(bench: &Bench, cell: Cell, want: Expected) -> Result<(), String> {
    let mut since = Instant::now();
    let command = leased(bench, "bob", &["j", "power", "on"]);
    let mut bob = Program::start(command, Said::default()).map_err(|error| error.to_string())?;
    if want.then == Then::Held {
        // It is said why not.
        let why = bob.said.until(0, &["Waiting for lease", "leased", "ends in"], since + WORK).await;
        why.map_err(|problem| format!("{problem}\n--- next\n{}", bob.said.text()))?;
        let [option, file] = client(bench.path(), "alice");
        bench.told(&["delete", "leases", "--all", &option, &file]).await?;
        since = Instant::now();
    }
    let ended = bob.ended(since + BACK).await;
    let said = bob.said.text();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{cell}: the next lease failed: {status}\n--- next\n{said}")),
        Err(problem) => Err(format!("the exporter is not free again: {problem}\n--- next\n{said}")),
    }
}

/// Nobody has anything any more but the services.
async fn all_free(bench: &Bench) -> Result<(), String> {
    // That a lease was given back is noted a moment before it is over.
    let deadline = Instant::now() + WORK;
    loop {
        let going_on = leftovers::going_on(&bench.leases().await?);
        if going_on.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("leases are left: {going_on:?}"));
        }
    }
    if !proxy::gone(&[&bench.to_controller, &bench.to_router], Party::Client, WORK).await {
        return Err("connections of the client are left".to_owned());
    }
    Ok(())
}

/// The services end in order, and then nothing is left of anybody.
async fn nothing_is_left(bench: &mut Bench) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    for (program, name, code) in [
        (&mut bench.exporter, "exporter", 143),
        (&mut bench.router, "router", 0),
        (&mut bench.controller, "controller", 0),
    ] {
        program.signal(Signal::TERM);
        let status = program.ended(deadline).await.map_err(|problem| format!("the {name}: {problem}"))?;
        if status.code() != Some(code) {
            return Err(format!("the {name} ended with {status}, not with {code}"));
        }
    }
    leftovers::no_process(bench.path(), &[]).await?;
    leftovers::no_file(&bench.scratch()).await
}
