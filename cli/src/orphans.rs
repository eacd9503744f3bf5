//! Children of nobody: processes whose parents have ended before them become children of the first process of a container, and
//! of whoever asked for them. What has ended stays in the table of processes until its parent asks how; who never asks fills it.
//!
//! This process has children of its own as well, whose ends somebody waits for, within moments of them. So what has ended is
//! left alone for a while, and is nobody's if it is still there then.

use std::{collections::HashSet, time::Duration};

use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// How long whoever waits for a child may take to ask for it.
const GRACE: Duration = Duration::from_secs(2);

/// Whether this process is the first one of a system or of a container.
pub(crate) fn is_first() -> bool {
    getpid().is_init()
}

/// Collects children of nobody, for as long as it is run. Nothing happens while no child ends.
pub(crate) async fn collect() {
    let Ok(mut children) = signal(SignalKind::child()) else { return };
    loop {
        let ended = ended();
        if ended.is_empty() {
            if children.recv().await.is_none() {
                return;
            }
            continue;
        }
        // Those that end meanwhile are looked at in the next round.
        sleep(GRACE).await;
        for child in self::ended().intersection(&ended) {
            // It fails when somebody has asked for it at last.
            let _ = waitpid(Some(*child), WaitOptions::NOHANG);
        }
    }
}

/// Children of this process that have ended and that nobody has asked for.
fn ended() -> HashSet<Pid> {
    let this = getpid().as_raw_nonzero().to_string();
    let all = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    numbers
        .filter(|process| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
            stat.is_ok_and(|stat| is_ended_child(&stat, &this))
        })
        .collect()
}

/// Whether a line of proc_pid_stat(5) is about a child of this process that has ended.
fn is_ended_child(stat: &str, parent: &str) -> bool {
    // The name of the program, which may contain anything, ends with the last parenthesis.
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split_whitespace();
    fields.next() == Some("Z") && fields.next() == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_ended_and_is_ours_counts() {
        assert!(is_ended_child("7 (sh) Z 1 7 7 0 -1", "1"));
        assert!(is_ended_child("7 (a) S 3 (b) Z 1 7 7 0 -1", "1"));
        assert!(!is_ended_child("7 (sh) S 1 7 7 0 -1", "1"));
        assert!(!is_ended_child("7 (sh) Z 12 7 7 0 -1", "1"));
        assert!(!is_ended_child("", "1"));
    }
}
