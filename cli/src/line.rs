//! The line between an exporter's supervisor and its worker, at the worker's end.
//!
//! It is a socket, and the standard input of the worker, so that it needs no name and nobody else has it. Either side says one
//! line at a time:
//!
//! | From | Says |
//! |---|---|
//! | worker | what a service manager is to be told, such as `READY=1` |
//! | worker | `FAILURES=5 60`: the limits of its exporter file |
//! | worker | `EXPORTER=["rig3","lab"]`: its name and namespace, as JSON |
//! | supervisor | `HUP`, `INT`, `QUIT`, `TERM`: this signal has come |
//! | supervisor | nothing more: it is gone, and so must the worker be |
//!
//! Signals go this way, and not once more as signals, because a service manager sends them to both processes. Counted by where
//! they come from, two are told from one that came twice.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jumpstarter_core::{ErrorClass, config::FailureDetection};
use rustix::process::{Signal, getpid, kill_process, setsid};
use tokio::sync::mpsc;

use crate::{
    notify,
    report::{Outcome, Signalled, Stop},
};

/// Exit code of a worker that may do better next time: `EX_TEMPFAIL` of sysexits.h.
pub(crate) const AGAIN: u8 = 75;

/// How a line with limits begins.
pub(crate) const LIMITS: &str = "FAILURES=";

/// How a line with a name begins.
const EXPORTER: &str = "EXPORTER=";

/// How long a line may wait for a supervisor that was stopped.
const PATIENCE: Duration = Duration::from_millis(1);

/// How many orders may wait.
const ORDERS: usize = 16;

/// What a process is that a supervisor has started. It knows by the name under which it was started: variables would reach what
/// it starts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serves.
    Worker,
    /// Tells the controller that the exporter is gone, in place of a worker that cannot.
    Farewell,
}

impl Role {
    /// The name under which it is started.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worker => "jmp-worker",
            Self::Farewell => "jmp-farewell",
        }
    }

    /// What is started under this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Worker, Self::Farewell].into_iter().find(|role| role.name() == name)
    }
}

struct Line {
    role: Role,
    supervisor: Mutex<UnixStream>,
    orders: Mutex<Option<mpsc::Receiver<Signalled>>>,
}

static LINE: OnceLock<Line> = OnceLock::new();

/// Whether somebody acts upon orders already.
static ATTENDED: AtomicBool = AtomicBool::new(false);

/// What this process is, if a supervisor has started it.
pub(crate) fn role() -> Option<Role> {
    LINE.get().map(|line| line.role)
}

/// Takes up the line. To be called before there are other threads.
pub(crate) fn open(role: Role) -> Result<(), Stop> {
    let connected = || {
        let supervisor = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        supervisor.peer_addr()?;
        supervisor.set_write_timeout(Some(PATIENCE))?;
        // Nobody that this process starts may have the line.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok::<_, std::io::Error>((supervisor.try_clone()?, supervisor))
    };
    let (reads, writes) =
        connected().map_err(|_| Stop::usage(format!("{} is started by `jmp run` only", role.name())))?;
    // What is typed in front of the terminal is for the supervisor, who passes it on. It fails for whoever leads already.
    let _ = setsid();
    let (send, orders) = mpsc::channel(ORDERS);
    std::thread::spawn(move || hear(reads, &send));
    let line = Line { role, supervisor: Mutex::new(writes), orders: Mutex::new(Some(orders)) };
    // There is one line, and this is called once.
    let _ = LINE.set(line);
    Ok(())
}

fn hear(from: UnixStream, send: &mpsc::Sender<Signalled>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let Some(order) = Signalled::named(&line) else { continue };
        if !ATTENDED.load(Ordering::Acquire) {
            // Nothing was begun that would have to be ended.
            std::process::exit(order.code().into());
        }
        // Somebody who sends more than these at once has been heard.
        let _ = send.try_send(order);
    }
    // The supervisor was killed, and whoever did that meant all of it.
    let _ = kill_process(getpid(), Signal::KILL);
}

/// From now on whoever has this is told of orders; `None` where there is no supervisor.
pub(crate) fn orders() -> Option<mpsc::Receiver<Signalled>> {
    let line = LINE.get()?;
    let orders = line.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
    ATTENDED.store(true, Ordering::Release);
    orders
}

/// Tells the supervisor; false where there is none.
pub(crate) fn tell(state: &str) -> bool {
    let Some(line) = LINE.get() else { return false };
    let mut supervisor = line.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = supervisor.write_all(format!("{state}\n").as_bytes()) {
        tracing::debug!("the supervisor does not hear: {error}");
    }
    true
}

/// Tells the supervisor what the exporter file says about failures.
pub(crate) fn limits(file: FailureDetection) {
    if role().is_some() {
        notify::tell(&format!("{LIMITS}{} {}", file.max_rapid_failures, file.rapid_failure_window));
    }
}

/// What the supervisor said about limits, if this is what it was.
pub(crate) fn read_limits(line: &str) -> Option<FailureDetection> {
    let (most, window) = line.strip_prefix(LIMITS)?.split_once(' ')?;
    Some(FailureDetection {
        max_rapid_failures: most.parse().ok()?,
        rapid_failure_window: window.parse().ok()?,
    })
}

/// Tells the supervisor which exporter this is.
pub(crate) fn exporter(name: &str, namespace: &str) {
    if role().is_some() {
        // As JSON it is one line, whatever the name is.
        notify::tell(&format!("{EXPORTER}{}", serde_json::json!([name, namespace])));
    }
}

/// The name and the namespace that a worker said, if this is what it was.
pub(crate) fn read_exporter(line: &str) -> Option<(String, String)> {
    serde_json::from_str(line.strip_prefix(EXPORTER)?).ok()
}

/// The outcome of a worker, for its supervisor: what may pass by itself is worth another attempt.
pub(crate) fn outcome(outcome: Outcome) -> Outcome {
    match outcome {
        Err(stop)
            if role() == Some(Role::Worker)
                && matches!(stop.class(), Some(ErrorClass::Device | ErrorClass::Infrastructure)) =>
        {
            stop.print();
            Ok(AGAIN)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_arrive_as_they_were_sent() {
        let file = FailureDetection { max_rapid_failures: 3, rapid_failure_window: 90 };
        assert_eq!(read_limits(&format!("{LIMITS}3 90")), Some(file));
        assert_eq!(read_limits("READY=1"), None);
        assert_eq!(read_limits(&format!("{LIMITS}3")), None);
    }

    #[test]
    fn a_name_arrives_as_it_was_sent_whatever_it_is() {
        let names = ("two\nlines".to_owned(), String::new());
        let line = format!("{EXPORTER}{}", serde_json::json!([names.0, names.1]));
        assert_eq!(line.lines().count(), 1);
        assert_eq!(read_exporter(&line), Some(names));
        assert_eq!(read_exporter("READY=1"), None);
    }
}
