//! The demultiplexer's process: one for all consoles of this program, started again whenever it ends.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jumpstarter::{Error, ErrorKind, Result, log::Logger, task::spawn, time::timeout};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{ChildStderr, ChildStdout},
    sync::{oneshot, watch},
};

/// What it says when another one has the device.
const LOCKED: &str = "unable to obtain file lock";

/// How long it may take to end.
const END: Duration = Duration::from_secs(5);

/// The longest line that is read.
const LINE: u64 = 4096;

/// How to run it. All consoles of a program have to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) program: PathBuf,
    pub(super) device: String,
    pub(super) chip: String,
    pub(super) interval: Duration,
}

/// What is known about it.
#[derive(Clone, Debug, Default)]
struct Status {
    /// Where each console is.
    consoles: BTreeMap<String, PathBuf>,
    /// What is the matter.
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug)]
enum Trouble {
    /// It may pass: what is waited for.
    Waiting(String),
    /// Waiting does not help.
    Failed(ErrorKind, String),
}

/// The one that runs, and who uses it.
struct Shared {
    setup: Setup,
    targets: Vec<String>,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
}

struct Global {
    shared: Option<Shared>,
    /// The end of the one before, whose lock on the device would stop the next one.
    ended: Option<watch::Receiver<bool>>,
}

static GLOBAL: Mutex<Global> = Mutex::new(Global { shared: None, ended: None });

fn global() -> MutexGuard<'static, Global> {
    // It is whole after every statement.
    GLOBAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One console's claim.
pub(super) struct Place {
    target: String,
    device: String,
    status: watch::Receiver<Status>,
    held: Arc<Held>,
}

/// Given back when it is dropped, at the latest.
struct Held {
    target: String,
    left: std::sync::atomic::AtomicBool,
}

impl Place {
    /// Claims a console. The first one starts the demultiplexer.
    pub(super) fn take(setup: Setup, target: String, logger: &Logger) -> Result<Self> {
        let mut global = global();
        if let Some(shared) = &global.shared {
            agree(&shared.setup, &setup)?;
            if shared.targets.contains(&target) {
                return Err(Error::configuration(format!(
                    "`target`: another device of this exporter is `{target}` already"
                )));
            }
        }
        let device = setup.device.clone();
        if global.shared.is_none() {
            let (status, seen) = watch::channel(Status::default());
            let (stop, stopping) = watch::channel(false);
            let (end, ended) = watch::channel(false);
            let before = global.ended.replace(ended);
            let demuxer = Demuxer { setup: setup.clone(), status, stopping, logger: logger.clone() };
            spawn(async move {
                if let Some(mut before) = before {
                    said(&mut before).await;
                }
                demuxer.run().await;
                end.send_replace(true);
            });
            global.shared = Some(Shared { setup, targets: Vec::new(), status: seen, stop });
        }
        let Some(shared) = &mut global.shared else {
            return Err(Error::internal("the demultiplexer was started and is not there"));
        };
        shared.targets.push(target.clone());
        let status = shared.status.clone();
        let held = Arc::new(Held { target: target.clone(), left: std::sync::atomic::AtomicBool::new(false) });
        Ok(Self { target, device, status, held })
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The pseudo-terminal of this console, when the demultiplexer offers it in time.
    pub(super) async fn console(&self, limit: Duration) -> Result<PathBuf> {
        let mut status = self.status.clone();
        let found = timeout(limit, async {
            loop {
                {
                    let now = status.borrow_and_update();
                    if let Some(path) = now.consoles.get(&self.target) {
                        return Ok(path.clone());
                    }
                    if let Some(Trouble::Failed(kind, text)) = &now.trouble {
                        return Err(Error::new(*kind, text.clone()));
                    }
                }
                if status.changed().await.is_err() {
                    return Err(Error::disconnected("the demultiplexer was stopped"));
                }
            }
        });
        if let Ok(found) = found.await {
            return found;
        }
        let now = status.borrow();
        let others: Vec<_> = now.consoles.keys().map(|name| format!("`{name}`")).collect();
        let why = match (&now.trouble, others.as_slice()) {
            (Some(Trouble::Waiting(text) | Trouble::Failed(_, text)), _) => text.clone(),
            (None, []) => format!("it offers nothing yet for {}", self.device),
            (None, _) => format!("it offers {}", others.join(", ")),
        };
        Err(Error::timeout(format!(
            "the demultiplexer did not offer `{}` within {limit:?}: {why}",
            self.target
        )))
    }

    /// Gives the console back. Whoever is the last waits until the process has ended.
    pub(super) async fn leave(&self) {
        if let Some(mut ended) = self.held.leave() {
            said(&mut ended).await;
        }
    }
}

impl Held {
    fn leave(&self) -> Option<watch::Receiver<bool>> {
        if self.left.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return None;
        }
        let mut global = global();
        let shared = global.shared.as_mut()?;
        shared.targets.retain(|target| *target != self.target);
        if !shared.targets.is_empty() {
            return None;
        }
        shared.stop.send_replace(true);
        global.shared = None;
        global.ended.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits until it was said. Whoever does not say it any more is gone, which comes to the same.
async fn said(word: &mut watch::Receiver<bool>) {
    let _ = word.wait_for(|said| *said).await;
}

fn agree(there: &Setup, new: &Setup) -> Result<()> {
    let differs = |key: &str, there: &dyn std::fmt::Display, new: &dyn std::fmt::Display| {
        Err(Error::configuration(format!(
            "`{key}`: all consoles of an exporter share one demultiplexer: expected `{there}` as in the others, found `{new}`"
        )))
    };
    if there.program != new.program {
        return differs("demuxer_path", &there.program.display(), &new.program.display());
    }
    if there.device != new.device {
        return differs("device", &there.device, &new.device);
    }
    if there.chip != new.chip {
        return differs("chip", &there.chip, &new.chip);
    }
    Ok(())
}

struct Demuxer {
    setup: Setup,
    status: watch::Sender<Status>,
    stopping: watch::Receiver<bool>,
    logger: Logger,
}

/// A process, and the thread that waits for it.
struct Running {
    id: Pid,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
    ended: oneshot::Receiver<io::Result<std::process::ExitStatus>>,
}

impl Demuxer {
    async fn run(mut self) {
        loop {
            let trouble = match self.find() {
                Some(device) => self.serve(&device).await,
                None => Trouble::Waiting(format!("there is no {}", self.setup.device)),
            };
            self.status.send_replace(Status { consoles: BTreeMap::new(), trouble: Some(trouble) });
            if timeout(self.setup.interval, said(&mut self.stopping)).await.is_ok() {
                return;
            }
        }
    }

    /// The device file, if it is there.
    fn find(&self) -> Option<PathBuf> {
        let pattern = &self.setup.device;
        if !pattern.contains(['*', '?', '[']) {
            return Some(PathBuf::from(pattern)).filter(|path| path.exists());
        }
        let mut found = glob::glob(pattern).ok()?.flatten();
        let first = found.next()?;
        if found.next().is_some() {
            self.logger.warn(format!("several devices match {pattern}: {} is used", first.display()));
        }
        Some(first)
    }

    /// Runs the process to its end.
    async fn serve(&mut self, device: &Path) -> Trouble {
        let program = self.setup.program.display().to_string();
        let mut running = match start(&self.setup, device).await {
            Ok(running) => running,
            Err(error) => {
                let text = format!("the demultiplexer cannot be started: {program}: {error}");
                self.logger.error(text.clone());
                let kind = Error::from(error).kind();
                return Trouble::Failed(kind, text);
            }
        };
        self.logger.debug(format!("started {program} for {}", device.display()));
        self.status.send_replace(Status::default());
        let mut complaint = None;
        let (mut line, mut error) = (Vec::new(), Vec::new());
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                biased;
                () = said(&mut stopping) => {
                    stop(running).await;
                    return Trouble::Waiting("it was stopped".to_owned());
                }
                read = next_line(&mut running.output, &mut line) => match read {
                    Ok(true) => self.offered(&String::from_utf8_lossy(&std::mem::take(&mut line))),
                    _ => break,
                },
                read = next_line(&mut running.errors, &mut error), if !matches!(complaint, Some(None)) => match read {
                    Ok(true) => {
                        let text = String::from_utf8_lossy(&std::mem::take(&mut error)).trim().to_owned();
                        if !text.is_empty() {
                            self.logger.warn(format!("the demultiplexer says: {text}"));
                            complaint = Some(Some(text.clone()));
                            if text.contains(LOCKED) {
                                let trouble = locked(device);
                                self.logger.error(trouble.clone());
                                self.status.send_modify(|status| {
                                    status.trouble = Some(Trouble::Failed(ErrorKind::Busy, trouble));
                                });
                            }
                        }
                    }
                    // It has closed this stream and may go on without.
                    _ => complaint = complaint.or(Some(None)),
                },
            }
        }
        // It may have closed its output and go on.
        let ended = tokio::select! {
            ended = &mut running.ended => ended,
            () = said(&mut stopping) => {
                stop(running).await;
                return Trouble::Waiting("it was stopped".to_owned());
            }
        };
        // What it said last was perhaps not read yet.
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_millis(100), running.errors.take(LINE).read_to_end(&mut rest)).await;
        let rest = String::from_utf8_lossy(&rest).trim().to_owned();
        let last = if rest.is_empty() { complaint.flatten() } else { Some(rest) };
        let how = match ended {
            Ok(Ok(status)) => status.to_string(),
            _ => "nobody knows how".to_owned(),
        };
        if last.as_ref().is_some_and(|text| text.contains(LOCKED)) {
            return Trouble::Failed(ErrorKind::Busy, locked(device));
        }
        let said = last.map(|text| format!(", its last words: {text}")).unwrap_or_default();
        let text = format!("{program} has ended ({how}{said})");
        self.logger.warn(text.clone());
        Trouble::Waiting(text)
    }

    /// Takes a line of its output: a pseudo-terminal, a tabulator, the console's name.
    fn offered(&self, line: &str) {
        if let Some((path, target)) = parse(line) {
            self.logger.debug(format!("{target} is at {}", path.display()));
            self.status.send_modify(|status| {
                status.consoles.insert(target, path);
            });
        }
    }
}

fn locked(device: &Path) -> String {
    format!(
        "another demultiplexer has {}: end it, the exporter tries again (upstream's ends itself here)",
        device.display()
    )
}

fn parse(line: &str) -> Option<(PathBuf, String)> {
    let mut fields = line.split('\t').map(str::trim);
    let path = fields.next().filter(|path| path.starts_with("/dev/"))?;
    let target = fields.next().filter(|target| !target.is_empty())?;
    Some((path.into(), target.to_owned()))
}

/// Reads a line; false at the end. A line that is too long arrives in several parts. What was read of a line stays in
/// `line` when the future is dropped.
async fn next_line(from: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> io::Result<bool> {
    Ok(from.take(LINE).read_until(b'\n', line).await? > 0)
}

/// Starts the process. A thread of its own does it and waits for the end: the kernel's signal at a parent's death is one
/// at the death of the thread that started the child, and other threads come and go.
async fn start(setup: &Setup, device: &Path) -> io::Result<Running> {
    let mut command = std::process::Command::new(&setup.program);
    command.args(["-m", &setup.chip, "-d"]).arg(device);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    die_with_parent(&mut command);
    let (started, running) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    std::thread::Builder::new().name("nvdemux".to_owned()).spawn(move || {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let _ = started.send(Ok((Pid::from_child(&child), output, errors)));
        let _ = end.send(child.wait());
    })?;
    let missing = || io::Error::other("a pipe of the process is missing");
    let (id, output, errors) = running.await.map_err(io::Error::other)??;
    let output = ChildStdout::from_std(output.ok_or_else(missing)?)?;
    let errors = ChildStderr::from_std(errors.ok_or_else(missing)?)?;
    Ok(Running { id, output: BufReader::new(output), errors: BufReader::new(errors), ended })
}

/// Lets the child get SIGTERM when this process dies, however it dies.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no other way to run something in the child before its program")]
fn die_with_parent(command: &mut std::process::Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        // The parent may have died before the kernel knew.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec only functions may be called that are safe in signal handlers. These are two system
    // calls without memory, locks or anything else that another thread could have held at the fork.
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut std::process::Command) {}

/// Ends a process and what it has started.
async fn stop(running: Running) {
    // It may have ended by itself.
    let _ = kill_process_group(running.id, Signal::TERM);
    let mut ended = running.ended;
    if timeout(END, &mut ended).await.is_err() {
        let _ = kill_process_group(running.id, Signal::KILL);
        let _ = ended.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_offer_a_console_are_told_from_others() {
        let path = |text: &str| parse(text).map(|(path, target)| (path.display().to_string(), target));
        assert_eq!(path("/dev/pts/4\tCCPLEX: 0\n"), Some(("/dev/pts/4".into(), "CCPLEX: 0".into())));
        assert_eq!(path("/dev/pts/5 \tBPMP: 1\tmore"), Some(("/dev/pts/5".into(), "BPMP: 1".into())));
        for other in ["", "starting", "pts/4\tCCPLEX: 0", "/dev/pts/4", "/dev/pts/4\t "] {
            assert_eq!(path(other), None, "{other:?}");
        }
    }

    #[test]
    fn consoles_that_disagree_are_told_in_what() {
        let setup = |program: &str, device: &str, chip: &str| Setup {
            program: program.into(),
            device: device.into(),
            chip: chip.into(),
            interval: Duration::from_secs(1),
        };
        let there = setup("/bin/demux", "/dev/a", "T264");
        assert!(agree(&there, &there).is_ok());
        for (other, key) in [
            (setup("/bin/other", "/dev/a", "T264"), "demuxer_path"),
            (setup("/bin/demux", "/dev/b", "T264"), "device"),
            (setup("/bin/demux", "/dev/a", "T234"), "chip"),
        ] {
            let error = agree(&there, &other).unwrap_err();
            assert!(error.message().starts_with(&format!("`{key}`: ")), "{error}");
        }
    }
}
