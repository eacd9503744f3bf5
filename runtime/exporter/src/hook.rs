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
use tokio::io::AsyncReadExt as _;

/// Which of the two hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the lease.
    Before,
    /// After the lease.
    After,
}

impl Moment {
    /// The key in the exporter file, which is also the name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "beforeLease",
            Self::After => "afterLease",
        }
    }

    /// As the log writes it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Before => "before-lease",
            Self::After => "after-lease",
        }
    }

    fn source(self) -> LogSource {
        match self {
            Self::Before => LogSource::BeforeLeaseHook,
            Self::After => LogSource::AfterLeaseHook,
        }
    }
}

/// Status of an exporter as a hook's end decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on: LEASE_READY before, AVAILABLE after.
    Proceed,
    /// The hook's status is "failed"; the lease ends.
    Failed,
    /// The hook's status is "failed"; the exporter stops with exit code 1.
    FailedAndExit,
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
    if hook.script.trim().is_empty() {
        return Ok(());
    }
    let result = execute(hook, moment, around, log).await;
    if let Err(failure) = &result {
        let (severity, how) = match hook.on_failure {
            OnFailure::Warn => (Severity::Warning, "on_failure=warn, continuing".to_owned()),
            mode => (Severity::Error, format!("on_failure={}, raising exception", mode_name(mode))),
        };
        say(log, moment, severity, format!("{failure} ({how})"));
    }
    result
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
        source: moment.source(),
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
) -> Result<(), Failure> {
    let (mut terminal, side) = pty_process::open().map_err(std::io::Error::other)?;
    let mut command = pty_process::Command::new(interpreter(hook).await);
    command = match script_file(&hook.script).await {
        Some(file) => command.arg(file),
        None => command.arg("-c").arg(&hook.script),
    };
    // pty-process starts the child as the leader of a session of its own, so its pid is its process group.
    command =
        command.env_remove("PS1").env_remove("JMP_MOTD_FILE").envs(environment(around)).kill_on_drop(true);
    let mut child = command.spawn(side).map_err(std::io::Error::other)?;
    let group = Group(child.id());

    let mut lines = Lines { log, moment, rest: Vec::new() };
    let mut buffer = vec![0; 8192];
    let deadline = tokio::time::sleep(Duration::from_secs(u64::from(hook.timeout)));
    tokio::pin!(deadline);
    let mut open = true;
    let ended: Option<ExitStatus> = loop {
        tokio::select! {
            status = child.wait() => break Some(status?),
            // The terminal reports an error once its last user is gone; that is its way to say "end".
            read = terminal.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(count) => lines.take(&buffer[..count]),
            },
            () = &mut deadline => break None,
        }
    };
    if ended.is_none() {
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
    match ended {
        None => Err(Failure::Timeout(hook.timeout)),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failure::Code(code(status))),
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

fn environment(around: &Surroundings) -> Vec<(&'static str, std::ffi::OsString)> {
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
