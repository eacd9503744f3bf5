//! Scripts before and after a lease.
//!
//! A hook runs in a terminal of its own, so that programs print line by line, and in a process group of its own, so that
//! everything it started can be ended together. What came of it becomes a status by one pure function, [`outcome`], for
//! every mode of the exporter.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use jumpstarter_core::{
    config::{Hook, OnFailure},
    log::{LogRecord, LogSink, LogSource, Severity},
};
use jumpstarter_session::Session;
use tokio::io::AsyncReadExt as _;

use crate::motd;

pub use jumpstarter_life::{Moment, Verdict};

/// As the log writes it.
fn label(moment: Moment) -> &'static str {
    match moment {
        Moment::Before => "before-lease",
        Moment::After => "after-lease",
    }
}

fn source(moment: Moment) -> LogSource {
    match moment {
        Moment::Before => LogSource::BeforeLeaseHook,
        Moment::After => LogSource::AfterLeaseHook,
    }
}

/// What a hook's end means: verdict and status message.
///
/// | Result | `onFailure` | Verdict | Message |
/// |---|---|---|---|
/// | success | | proceed | the usual one |
/// | failure | `warn` | proceed | `[HOOK_WARNING] beforeLease hook warning: …` |
/// | failure | `endLease` | failed | `beforeLease hook failed (on_failure=endLease): …` |
/// | failure | `exit` | failed, exit | `beforeLease hook failed (on_failure=exit, shutting down): …` |
pub fn outcome(moment: Moment, result: &Result<(), Failure>, on_failure: OnFailure) -> (Verdict, String) {
    let name = moment.name();
    let usual = match moment {
        Moment::Before => "Ready for commands",
        Moment::After => "Available for new lease",
    };
    match (result, on_failure) {
        (Ok(()), _) => (Verdict::Proceed, usual.to_owned()),
        (Err(failure), OnFailure::Warn) => {
            (Verdict::Proceed, format!("[HOOK_WARNING] {name} hook warning: {failure}"))
        }
        (Err(failure), OnFailure::EndLease) => {
            (Verdict::Failed, format!("{name} hook failed (on_failure=endLease): {failure}"))
        }
        (Err(failure), OnFailure::Exit) => (
            Verdict::FailedAndExit,
            format!("{name} hook failed (on_failure=exit, shutting down): {failure}"),
        ),
    }
}

/// Why a hook failed. The texts are upstream's: scripts look for them.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It ended with this code; negative for a signal.
    #[error("Hook failed with exit code {0}")]
    Code(i32),
    /// It took too long.
    #[error("Hook timed out after {0} seconds")]
    Timeout(u32),
    /// The exporter stops, and did not let it end.
    #[error("Hook was ended because the exporter stops")]
    Stopped,
    /// It could not be run.
    #[error("Error executing hook: {0}")]
    NotRun(#[from] std::io::Error),
}

/// Where a hook finds the exporter, and for whom it runs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Socket for `j`.
    pub socket: PathBuf,
    /// Name of the lease.
    pub lease: String,
    /// Name of the client; empty if unknown.
    pub client: String,
    /// Folder with a `j`, to be found when `PATH` has none.
    pub tools: Option<PathBuf>,
    /// File to which `beforeLease` may write what is added to the message of the day; the other hook does not get it.
    pub motd: Option<PathBuf>,
}

/// How long a hook may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long output is awaited after the hook itself has ended.
const DRAIN: Duration = Duration::from_secs(2);
/// Longest line; longer ones are cut into pieces.
const MAX_LINE: usize = 16 * 1024;

/// Runs a hook to its end. Its lines go to the log as they come.
pub async fn run(
    hook: &Hook,
    moment: Moment,
    around: &Surroundings,
    log: &Arc<dyn LogSink>,
) -> Result<(), Failure> {
    run_until(hook, moment, around, log, std::future::pending()).await
}

/// The same, until `stop` resolves: then the hook is ended like one that took too long.
pub async fn run_until(
    hook: &Hook,
    moment: Moment,
    around: &Surroundings,
    log: &Arc<dyn LogSink>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    if hook.script.trim().is_empty() {
        return Ok(());
    }
    let result = execute(hook, moment, around, log, stop).await;
    if let Err(failure) = &result {
        let (severity, how) = match hook.on_failure {
            OnFailure::Warn => (Severity::Warning, "on_failure=warn, continuing".to_owned()),
            mode => (Severity::Error, format!("on_failure={}, raising exception", mode_name(mode))),
        };
        say(log, moment, severity, format!("{failure} ({how})"));
    }
    result
}

/// Runs a hook, says so in the log of the session, adds what it wrote to the message of the day, and answers what came of it.
pub(crate) async fn run_in_session(
    hook: &Hook,
    moment: Moment,
    around: &Surroundings,
    session: &Session,
    stop: impl Future<Output = ()> + Send,
) -> (Verdict, String) {
    let logs = session.logs();
    let log: Arc<dyn LogSink> = logs.clone();
    let file = around.motd.as_deref().filter(|_| moment == Moment::Before);
    if let Some(file) = file
        && let Err(error) = motd::prepare(file).await
    {
        logs.system(Severity::Warning, format!("cannot make {} for JMP_MOTD_FILE: {error}", file.display()));
    }
    logs.system(Severity::Info, format!("Executing {} hook for lease {}", label(moment), around.lease));
    let result = run_until(hook, moment, around, &log, stop).await;
    if result.is_ok() {
        logs.system(Severity::Info, format!("{} hook completed successfully", moment.name()));
    }
    let outcome = outcome(moment, &result, hook.on_failure);
    if let Some(file) = file
        && outcome.0 == Verdict::Proceed
    {
        add_to_motd(file, session).await;
    }
    outcome
}

async fn add_to_motd(file: &Path, session: &Session) {
    match motd::read(file).await {
        Ok(written) => {
            if !written.text.is_empty() {
                session.add_motd(&written.text);
            }
            if written.cut {
                let words =
                    "the message of the day is too long: only the first 64 KiB of JMP_MOTD_FILE are shown";
                session.logs().system(Severity::Warning, words);
            }
        }
        Err(error) => {
            let words = format!("what beforeLease wrote to JMP_MOTD_FILE is not shown: {error}");
            session.logs().system(Severity::Warning, words);
        }
    }
}

fn mode_name(mode: OnFailure) -> &'static str {
    match mode {
        OnFailure::Warn => "warn",
        OnFailure::EndLease => "endLease",
        OnFailure::Exit => "exit",
    }
}

fn say(log: &Arc<dyn LogSink>, moment: Moment, severity: Severity, message: String) {
    log.log(LogRecord {
        uuid: None,
        severity,
        source: source(moment),
        message,
        driver_type: String::new(),
        operation: moment.name().to_owned(),
        fields: Vec::new(),
    });
}

async fn execute(
    hook: &Hook,
    moment: Moment,
    around: &Surroundings,
    log: &Arc<dyn LogSink>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    let (mut terminal, side) = pty_process::open().map_err(std::io::Error::other)?;
    let mut command = pty_process::Command::new(interpreter(hook).await);
    command = match script_file(&hook.script).await {
        Some(file) => command.arg(file),
        None => command.arg("-c").arg(&hook.script),
    };
    // pty-process starts the child as the leader of a session of its own, so its pid is its process group.
    command = command
        .env_remove("PS1")
        .env_remove("JMP_MOTD_FILE")
        .envs(environment(around, moment))
        .kill_on_drop(true);
    let mut child = command.spawn(side).map_err(std::io::Error::other)?;
    let group = Group(child.id());

    let mut lines = Lines { log, moment, rest: Vec::new() };
    let mut buffer = vec![0; 8192];
    let deadline = tokio::time::sleep(Duration::from_secs(u64::from(hook.timeout)));
    tokio::pin!(deadline, stop);
    let mut open = true;
    let ended: Result<ExitStatus, Failure> = loop {
        tokio::select! {
            status = child.wait() => break Ok(status?),
            // The terminal reports an error once its last user is gone; that is its way to say "end".
            read = terminal.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(count) => lines.take(&buffer[..count]),
            },
            () = &mut deadline => break Err(Failure::Timeout(hook.timeout)),
            () = &mut stop => break Err(Failure::Stopped),
        }
    };
    if ended.is_err() {
        group.signal(rustix::process::Signal::TERM);
        // Keep reading: a program that prints while it ends must not be stopped by a full terminal.
        let waiting = async {
            loop {
                tokio::select! {
                    _ = child.wait() => break,
                    read = terminal.read(&mut buffer), if open => match read {
                        Ok(0) | Err(_) => open = false,
                        Ok(count) => lines.take(&buffer[..count]),
                    },
                }
            }
        };
        if tokio::time::timeout(GRACE, waiting).await.is_err() {
            group.signal(rustix::process::Signal::KILL);
            let _ = child.wait().await;
        }
    }
    // Whatever the hook left running in its group ends with it. Then nobody has the terminal open any more, and reading
    // it comes to an end by itself once the last line was read.
    group.signal(rustix::process::Signal::KILL);
    if open {
        let drain = async {
            while let Ok(count) = terminal.read(&mut buffer).await {
                if count == 0 {
                    break;
                }
                lines.take(&buffer[..count]);
            }
        };
        // The limit is for a process that left the group and kept the terminal.
        let _ = tokio::time::timeout(DRAIN, drain).await;
    }
    lines.finish();
    match ended? {
        status if status.success() => Ok(()),
        status => Err(Failure::Code(code(status))),
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}

/// The process group of a hook; ends with its owner.
struct Group(Option<u32>);

impl Group {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Nobody left to signal is what we want.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::KILL);
    }
}

async fn interpreter(hook: &Hook) -> String {
    if let Some(exec) = &hook.exec {
        return exec.clone();
    }
    match script_file(&hook.script).await {
        Some(file) if file.extension().is_some_and(|extension| extension == "py") => "python3".to_owned(),
        _ => "/bin/sh".to_owned(),
    }
}

/// The script as a file, if it is one line that names one.
async fn script_file(script: &str) -> Option<&Path> {
    let line = script.trim();
    if line.contains('\n') {
        return None;
    }
    let path = Path::new(line);
    tokio::fs::metadata(path).await.is_ok_and(|meta| meta.is_file()).then_some(path)
}

fn environment(around: &Surroundings, moment: Moment) -> Vec<(&'static str, std::ffi::OsString)> {
    let mut variables = vec![
        ("JUMPSTARTER_HOST", around.socket.clone().into_os_string()),
        ("JMP_DRIVERS_ALLOW", "UNSAFE".into()),
        ("_JMP_SUPPRESS_DRIVER_WARNINGS", "1".into()),
        ("LEASE_NAME", around.lease.clone().into()),
        ("CLIENT_NAME", around.client.clone().into()),
        ("TERM", "dumb".into()),
        ("DEBIAN_FRONTEND", "noninteractive".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
    ];
    if moment == Moment::Before
        && let Some(file) = &around.motd
    {
        variables.push(("JMP_MOTD_FILE", file.clone().into_os_string()));
    }
    if let Some(tools) = &around.tools {
        // An empty part means the folder in which the hook runs, whatever somebody has put there.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
        if let Ok(path) = std::env::join_paths(folders.chain([PathBuf::from(tools)])) {
            variables.push(("PATH", path));
        }
    }
    variables
}

struct Lines<'a> {
    log: &'a Arc<dyn LogSink>,
    moment: Moment,
    rest: Vec<u8>,
}

impl Lines<'_> {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' || self.rest.len() >= MAX_LINE {
                self.flush();
            }
            if *byte != b'\n' {
                self.rest.push(*byte);
            }
        }
    }

    fn flush(&mut self) {
        let line = String::from_utf8_lossy(&self.rest).trim_end().to_owned();
        self.rest.clear();
        if !line.is_empty() {
            say(self.log, self.moment, Severity::Info, line);
        }
    }

    fn finish(mut self) {
        self.flush();
    }
}
