//! Ctrl-C while the command of `jmp shell` has the terminal.
//!
//! A terminal sends it to the process group in front, and this program is not in that one. So a second process of this program
//! is, which does nothing but tell.

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::Receiver,
    process::{Child, ChildStdout, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{
    report::{FAILURE, Outcome, Stop},
    runtime,
};

/// The only word of such a process.
pub(crate) const LISTENER: &str = "__interrupts";

/// How long it may take to end.
const LAST: Duration = Duration::from_secs(1);

/// What such a process does: a line for each Ctrl-C, until there is nobody any more to tell.
pub(crate) fn listen() -> Outcome {
    runtime::single()?.block_on(async {
        let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return Ok(FAILURE) };
        // What else the group is sent is not for this one: it ends with its input.
        let others = [Signal::HUP, Signal::QUIT, Signal::TERM, Signal::TSTP];
        let _others = others.map(|other| signal(SignalKind::from_raw(other.as_raw())));
        let input = std::io::stdin().as_fd().try_clone_to_owned().and_then(Receiver::from_owned_fd);
        let mut input = input.map_err(|error| Stop::infrastructure(error.to_string()))?;
        let mut byte = [0];
        loop {
            tokio::select! {
                _ = interrupt.recv() => {
                    let mut output = std::io::stdout().lock();
                    if output.write_all(b"\n").and_then(|()| output.flush()).is_err() {
                        return Ok(0);
                    }
                }
                _ = input.read(&mut byte) => return Ok(0),
            }
        }
    })
}

/// Whether a command takes Ctrl-C for a key: a shell in which somebody types.
pub(crate) fn is_typed_into(words: &[OsString]) -> bool {
    let [program, arguments @ ..] = words else { return true };
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_shell = ["sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "nu", "zsh"].contains(&name);
    // What it runs instead comes behind an option for it, or is a file.
    let is_option = |word: &OsString| {
        let word = word.to_string_lossy();
        word.starts_with("--") || (word.starts_with(['-', '+']) && !word.contains('c'))
    };
    is_shell && arguments.iter().all(is_option)
}

/// Hears Ctrl-C in the process group of a command. Gone when it is dropped.
pub(crate) struct Keys {
    child: Child,
    told: ChildStdout,
    group: Pid,
}

impl Keys {
    /// Starts to listen there. Without it, a command that does not want to end is for other keys.
    pub(crate) fn listen(group: Pid) -> Option<Self> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command
            .arg0("jmp")
            .arg(LISTENER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(group.as_raw_nonzero().get())
            .kill_on_drop(true);
        // It fails when the command is over already.
        let mut child = command.spawn().ok()?;
        let told = child.stdout.take()?;
        Some(Self { child, told, group })
    }

    /// Waits until it is pressed.
    pub(crate) async fn pressed(&mut self) {
        if matches!(self.told.read(&mut [0]).await, Ok(1)) {
            return;
        }
        let ended = self.child.wait().await;
        // It was pressed before that process was ready for it.
        if ended.is_ok_and(|status| status.signal() == Some(Signal::INT.as_raw()))
            && let Some(another) = Self::listen(self.group)
        {
            *self = another;
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        // It waits for the end of its input, which waiting for it brings about.
        let _ = timeout(LAST, self.child.wait()).await;
    }
}

/// Waits until it is pressed, where somebody listens.
pub(crate) async fn pressed(keys: &mut Option<Keys>) {
    match keys {
        Some(keys) => keys.pressed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_a_key_for_shells_that_are_typed_into() {
        for (line, expected) in [
            ("", true),
            ("bash", true),
            ("/bin/dash -i", true),
            ("zsh --no-rcs", true),
            ("bash -c true", false),
            ("sh -ec true", false),
            ("sh test.sh", false),
            ("sleep 100", false),
            ("./test.sh", false),
        ] {
            let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            assert_eq!(is_typed_into(&words), expected, "{line}");
        }
    }
}
