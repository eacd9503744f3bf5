//! A process group and its signals.

use std::time::Duration;

use jumpstarter_core::{Error, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::time::{Instant, sleep};

use crate::guard::Watched;

/// How long a group may take to end after it was asked to.
pub const GRACE: Duration = Duration::from_secs(5);

/// How often a group that was asked to end is looked at: its members are rarely children of this process, so there is no
/// event for their end.
const LOOK: Duration = Duration::from_millis(20);

/// The process group of a command. Dropping it ends whatever is left of it.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Pid,
    _watched: Watched,
}

impl Group {
    /// The group that this process leads.
    pub(crate) fn led_by(process: Option<u32>, watched: Watched) -> Result<Self> {
        let leader = process.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let leader = leader.ok_or_else(|| Error::internal("a command has no process number"))?;
        Ok(Self { leader, _watched: watched })
    }

    /// Whether anybody is left. The number may only be asked for while that is known to have been so a moment ago.
    ///
    /// Whoever leads it must have been waited for. Its orphans may be this process's by now, when it takes those of others
    /// (`jmp shell` does, and so does the first process of a container): they have ended only once they are waited for.
    pub(crate) fn is_alive(&self) -> bool {
        while let Ok(Some(_)) = waitpgid(self.leader, WaitOptions::NOHANG) {}
        test_kill_process_group(self.leader).is_ok()
    }

    fn send(&self, signal: Signal) {
        // It fails when nobody is left, which is what was wanted.
        let _ = kill_process_group(self.leader, signal);
    }

    /// Asks all of it to end.
    pub(crate) fn ask(&self) {
        self.send(Signal::TERM);
        // What was stopped acts upon a signal only when it goes on.
        self.send(Signal::CONT);
    }

    /// Waits until nobody is left, and makes it so at this time.
    pub(crate) async fn gone_by(&self, deadline: Instant) {
        while self.is_alive() {
            if Instant::now() >= deadline {
                self.send(Signal::KILL);
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Makes all of it end.
    pub(crate) fn kill(&self) {
        self.send(Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
