//! The supervisor: the process that somebody has started, which starts the one that serves, and starts it again when it crashes.
//!
//! A driver may end its whole process: by a fault in a library of a vendor, or because there is no memory left. So the process
//! that serves is another one, the *worker*, and this one does nothing that could fail with it. The worker is the same program
//! with the same words; what is wrong with those or with the exporter file, it says itself.
//!
//! | The worker | Then |
//! |---|---|
//! | ends with a code of its own | that is the end, with this code |
//! | is ended by a signal, panics, or ends with [`AGAIN`] | there is a new one, after a pause |
//! | does so too often, each time soon after its start | that is the end, with code 1 |
//!
//! This process also collects whatever has become its child, which is everybody's fate when it is the first one of a container.

use std::{
    fmt,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream as Socket, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jumpstarter_core::config::FailureDetection;
use jumpstarter_exporter::registered::pause;
use jumpstarter_transport::socket::RuntimeDirectory;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
    waitid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    signal::unix::{Signal as Notices, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

use crate::{
    about,
    child::Tools,
    commands::Invocation,
    files::{self, reason},
    line::{self, AGAIN, Role},
    notify,
    report::{FAILURE, Outcome, Signalled, Stop},
    runtime,
    signals::Signals,
};

/// Exit code of a program of Rust that has panicked.
const PANICKED: u8 = 101;

/// How long a worker may take to end once somebody insists on it.
const INSISTING: Duration = Duration::from_secs(5);

/// How long the last words of a worker may take, which has said them already.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Whether an exporter like this can be started more than once: not if its file is gone once it was read.
pub(super) fn is_possible(invocation: &Invocation<'_>) -> bool {
    let file = invocation.text("exporter-config").map(std::path::Path::new);
    file.is_none_or(|file| {
        !files::is_open_already(file) && !matches!(file.metadata(), Ok(it) if !it.is_file())
    })
}

/// Runs an exporter in workers until one ends on purpose, or too many do not.
pub(super) fn run(invocation: &Invocation<'_>) -> Outcome {
    invocation.log.start_service("exporter");
    let registers = invocation.text("tls-grpc-listener").is_none();
    runtime::single()?.block_on(async {
        let listen = |error| Stop::infrastructure(format!("cannot listen for signals: {error}"));
        let supervisor = Supervisor {
            signals: Signals::listen()?,
            children: signal(SignalKind::child()).map_err(listen)?,
            alive: notify::watchdog().map(|limit| {
                // Twice as often as is asked for, as the worker does it.
                let mut due = interval(limit / 2);
                due.set_missed_tick_behavior(MissedTickBehavior::Delay);
                due
            }),
            registers,
            limits: FailureDetection::default(),
            ready: false,
            asked: None,
        };
        supervisor.supervise().await
    })
}

/// How a worker ended.
#[derive(Debug)]
enum End {
    Code(u8),
    Signal(i32),
    /// It could not be started.
    Never(io::Error),
}

impl End {
    fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(u8::try_from(code & 0xff).unwrap_or(FAILURE)),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }

    /// The exit code of one that ended because it was to.
    fn on_purpose(&self) -> Option<u8> {
        match self {
            Self::Code(AGAIN | PANICKED) | Self::Signal(_) | Self::Never(_) => None,
            Self::Code(code) => Some(*code),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(AGAIN) => f.write_str("failed"),
            Self::Code(PANICKED) => f.write_str("panicked"),
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Never(error) => write!(f, "could not be started: {}", reason(error)),
        }
    }
}

/// A process that this one has started.
struct Child {
    process: Pid,
    says: Lines<BufReader<OwnedReadHalf>>,
    hears: OwnedWriteHalf,
    /// Whether it has more to say.
    open: bool,
    /// Whether it is at work, and says itself that it is alive.
    ready: bool,
}

impl Child {
    /// Starts one.
    fn start(role: Role) -> io::Result<Self> {
        let (ours, theirs) = Socket::pair()?;
        let mut command = Command::new(program()?);
        command.arg0(role.name()).args(std::env::args_os().skip(1)).stdin(Stdio::from(OwnedFd::from(theirs)));
        // The service manager believes only the process that it has started.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_PID");
        if notify::watchdog().is_none() {
            command.env_remove("WATCHDOG_USEC");
        }
        ours.set_nonblocking(true)?;
        let (says, hears) = UnixStream::from_std(ours)?.into_split();
        let child = command.spawn()?;
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| io::Error::other("it has no process number"))?;
        Ok(Self { process, says: BufReader::new(says).lines(), hears, open: true, ready: false })
    }

    async fn tell(&mut self, signal: Signalled) {
        // It fails when the worker is at its end.
        let _ = self.hears.write_all(format!("{}\n", signal.name()).as_bytes()).await;
    }
}

/// The file of this program, which may have been replaced or removed since it was started.
fn program() -> io::Result<PathBuf> {
    let file = std::env::current_exe()?;
    let this = PathBuf::from("/proc/self/exe");
    // Under its own name if it can be, since that is what lists of processes show.
    Ok(if File::open(&file).is_err() && this.exists() { this } else { file })
}

struct Supervisor {
    signals: Signals,
    children: Notices,
    /// When the service manager wants to hear that the program is alive.
    alive: Option<Interval>,
    /// Whether there is a controller.
    registers: bool,
    limits: FailureDetection,
    /// Whether an exporter was at work at any time.
    ready: bool,
    /// What somebody wants.
    asked: Option<Signalled>,
}

impl Supervisor {
    async fn supervise(mut self) -> Outcome {
        let mut rapid = 0;
        let mut first = true;
        loop {
            let begun = Instant::now();
            let end = match Child::start(Role::Worker) {
                Ok(worker) => self.attend(worker).await,
                Err(error) if first => {
                    return Err(Stop::infrastructure(format!(
                        "cannot start the exporter: {}",
                        reason(&error)
                    )));
                }
                Err(error) => End::Never(error),
            };
            first = false;
            if let Some(code) = end.on_purpose() {
                return Ok(code);
            }
            // What it had in use is removed with the next one; whether there is one is not known yet.
            RuntimeDirectory::tidy();
            Tools::tidy();
            if let Some(signal) = self.asked {
                tracing::warn!("the exporter {end} while it was to end");
                self.farewell().await;
                return Ok(signal.code());
            }
            let window = Duration::from_secs(self.limits.rapid_failure_window.into());
            rapid = if begun.elapsed() < window { rapid + 1 } else { 0 };
            if rapid >= self.limits.max_rapid_failures.max(1) {
                self.farewell().await;
                return Err(self.gives_up(&end, rapid));
            }
            let wait = pause(rapid.saturating_sub(1));
            let words = format!("the exporter {end}; starting it again in {:.1} s", wait.as_secs_f32());
            tracing::warn!("{words}");
            notify::tell(&format!("STATUS={words}"));
            if let Some(signal) = self.wait(wait).await {
                tracing::info!("{signal}");
                notify::tell("STOPPING=1");
                self.farewell().await;
                return Ok(signal.code());
            }
        }
    }

    fn gives_up(&self, end: &End, rapid: u32) -> Stop {
        let window = self.limits.rapid_failure_window;
        let often = match rapid {
            1 => "the exporter ended".to_owned(),
            _ => format!("{rapid} times in a row the exporter ended"),
        };
        let message = format!(
            "{often} within {window} s of its start, the last time it {end}; giving up, see `failureDetection` in the exporter file"
        );
        Stop::Failed { message, code: FAILURE, class: None }
    }

    /// Waits for the end of a worker, and stands between it and everybody else meanwhile.
    async fn attend(&mut self, mut worker: Child) -> End {
        let mut limit: Option<tokio::time::Instant> = None;
        loop {
            tokio::select! {
                line = worker.says.next_line(), if worker.open => match line {
                    Ok(Some(line)) => self.heard(&mut worker, &line),
                    Ok(None) | Err(_) => worker.open = false,
                },
                signal = self.signals.next() => {
                    notify::tell("STOPPING=1");
                    let insists = self.asked.is_some_and(|asked| asked != Signalled::Hangup)
                        && signal != Signalled::Hangup;
                    self.asked = Some(signal);
                    worker.tell(signal).await;
                    if insists {
                        limit = Some(tokio::time::Instant::now() + INSISTING);
                    }
                }
                _ = self.children.recv() => if let Some(end) = collect(Some(worker.process)) {
                    while let Ok(Ok(Some(line))) = timeout(LAST_WORDS, worker.says.next_line()).await {
                        self.heard(&mut worker, &line);
                    }
                    return end;
                },
                () = alive(&mut self.alive), if !worker.ready => {}
                () = sleep_until(limit.unwrap_or_else(tokio::time::Instant::now)), if limit.is_some() => {
                    // Its end is what is waited for; it fails if that has come.
                    let _ = kill_process(worker.process, Signal::KILL);
                    limit = None;
                }
            }
        }
    }

    fn heard(&mut self, worker: &mut Child, line: &str) {
        if let Some(limits) = line::read_limits(line) {
            self.limits = limits;
        } else if let Some((name, namespace)) = line::read_exporter(line) {
            about::exporter(name, namespace);
        } else if line == "READY=1" {
            worker.ready = true;
            if !std::mem::replace(&mut self.ready, true) {
                notify::tell(line);
            }
        } else {
            notify::tell(line);
        }
    }

    /// Waits for so long, or for a signal.
    async fn wait(&mut self, time: Duration) -> Option<Signalled> {
        let over = sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return None,
                signal = self.signals.next() => return Some(signal),
                _ = self.children.recv() => {
                    collect(None);
                }
                () = alive(&mut self.alive) => {}
            }
        }
    }

    /// Tells the controller what the worker could not: that this exporter is gone. Another signal ends the attempt.
    async fn farewell(&mut self) {
        if !self.registers || !self.ready {
            return;
        }
        match Child::start(Role::Farewell) {
            Ok(child) => {
                self.attend(child).await;
            }
            Err(error) => tracing::warn!("cannot unregister: {}", reason(&error)),
        }
    }
}

/// Tells the service manager that all is well, each time it wants to hear that.
async fn alive(due: &mut Option<Interval>) {
    match due {
        Some(due) => {
            due.tick().await;
            notify::tell("WATCHDOG=1");
        }
        None => std::future::pending().await,
    }
}

/// Asks for every child that has ended. Answers how this one did, if it has; what is left in its session goes with it.
fn collect(worker: Option<Pid>) -> Option<End> {
    if let Some(worker) = worker
        && let Ok(Some(_)) =
            waitid(WaitId::Pid(worker), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
    {
        // Its number is nobody else's until it is asked for.
        let _ = kill_process_group(worker, Signal::KILL);
    }
    let mut end = None;
    while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
        if Some(process) == worker {
            end = Some(End::of(status));
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::signal_code;

    #[test]
    fn only_what_was_not_on_purpose_is_worth_another_attempt() {
        for code in [0, 1, 2, 78, signal_code(15)] {
            assert_eq!(End::Code(code).on_purpose(), Some(code));
        }
        for end in [End::Code(AGAIN), End::Code(PANICKED), End::Signal(9)] {
            assert_eq!(end.on_purpose(), None, "{end}");
        }
    }
}
