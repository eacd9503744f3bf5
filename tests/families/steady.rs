//! What a process holds: it may not grow with what was done and is over. Tests that look at it have a process for
//! themselves, because others beside them hold things as well.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// Set in the process of one test.
const ALONE: &str = "JUMPSTARTER_TEST_ALONE";

/// Runs the test of this name in a process of its own, unless this is that process: then it answers `true`.
///
/// # Panics
///
/// When the test fails there, with everything that it wrote.
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").stdin(Stdio::null());
    let output = command.output().expect("this program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "there is no test {test}:\n{said}");
    false
}

/// What this process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    descriptors: usize,
    tasks: usize,
    /// In KiB.
    resident: u64,
}

/// How much more may be held afterwards: allocators and caches are not exact. A leak is found in
/// 10,000 rounds if it is more than some 800 bytes in each.
const MEMORY: u64 = 8 * 1024;

impl Held {
    /// What it is now.
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("a process");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let resident = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        let descriptors = fs::read_dir("/proc/self/fd").expect("a process").count();
        Self { descriptors, tasks: Handle::current().metrics().num_alive_tasks(), resident }
    }

    /// The same for a driver that logs each call: a session keeps so much of its log for readers that come later.
    pub(crate) fn with_log(mut self) -> Self {
        self.resident += (jumpstarter_session::LOG_CAPACITY / 1024) as u64;
        self
    }

    fn exceeds(self, before: Self) -> bool {
        self.descriptors > before.descriptors
            || self.tasks > before.tasks
            || self.resident > before.resident + MEMORY
    }

    /// No more is held than before, once what is being given back has been.
    pub(crate) async fn is_what_it_was(before: Self) {
        for _ in 0..3_000 {
            if !Self::now().exceeds(before) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("before: {before:?}, now: {:?}", Self::now());
    }
}
