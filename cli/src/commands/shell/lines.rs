//! The log of an exporter on the screen, over one connection after the other.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jumpstarter_client::{Connection, LogLine, Logs};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::show;

/// How many lines are known again, as many as a session tells once more.
const KNOWN: usize = 256;

/// How long the next line of a hook that has ended may still be on its way, and how long all of them.
const NEXT_LINE: Duration = Duration::from_millis(300);
const LAST_LINES: Duration = Duration::from_secs(30);

/// What shows the log of an exporter, on the connection that there is.
pub(super) struct Log {
    lines: Arc<Lines>,
    showing: AbortOnDropHandle<()>,
}

impl Log {
    /// Shows what hooks say, or `everything`. `joined`: others may have used the session before.
    pub(super) fn of(connection: &Connection, everything: bool, joined: bool) -> Self {
        let lines = Arc::new(Lines::new(everything, joined));
        let showing = lines.clone().follow(connection.logs());
        Self { lines, showing }
    }

    /// Goes on with the next connection to the same session.
    pub(super) fn again(&mut self, connection: &Connection) {
        self.showing = self.lines.clone().follow(connection.logs());
    }

    /// Shows what is still to come when something has ended: there is no end to the log of an exporter by which to know that all
    /// was said.
    pub(super) async fn last(self) {
        tokio::select! {
            () = self.lines.quiet(NEXT_LINE) => {}
            _ = self.showing => {}
            () = sleep(LAST_LINES) => {}
        }
    }
}

/// Which lines were shown: a session tells each new connection the last ones once more.
struct Lines {
    /// Also what is not from a hook.
    everything: bool,
    /// The session was there before, and others have used it: what they were told is theirs.
    joined: bool,
    told: Mutex<Told>,
    /// One has come.
    another: Notify,
}

/// The last lines, by what tells one from the other: the moment at which it was said among it. Exporters that do not say when do not
/// repeat themselves either.
#[derive(Default)]
struct Told(VecDeque<u64>);

impl Told {
    /// Whether a line has not been told yet. From now on, it has.
    fn is_new(&mut self, line: &LogLine) -> bool {
        if line.time.is_none() {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        (line.origin(), &line.message, line.time).hash(&mut hasher);
        let digest = hasher.finish();
        if self.0.contains(&digest) {
            return false;
        }
        if self.0.len() == KNOWN {
            self.0.pop_front();
        }
        self.0.push_back(digest);
        true
    }
}

impl Lines {
    fn new(everything: bool, joined: bool) -> Self {
        Self { everything, joined, told: Mutex::default(), another: Notify::new() }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing has come for so long.
    async fn quiet(&self, pause: Duration) {
        while timeout(pause, self.another.notified()).await.is_ok() {}
    }

    /// Shows what comes, but for what was told before.
    fn follow(self: Arc<Self>, mut logs: Logs) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            // On a connection after the first one, it may be this command that was told.
            let others = self.joined && self.told().0.is_empty();
            while let Some(line) = logs.next().await {
                self.another.notify_one();
                let is_new = self.told().is_new(&line);
                if is_new && (line.is_hook() || self.everything) && !(others && line.told_before) {
                    show(&line);
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use jumpstarter_core::log::{LogSource, Severity};

    use super::*;

    fn line(number: usize, time: bool) -> LogLine {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(number as u64);
        LogLine {
            source: LogSource::Driver,
            severity: Severity::Info,
            message: "the same".to_owned(),
            uuid: None,
            driver_type: String::new(),
            operation: String::new(),
            time: time.then_some(at),
            told_before: false,
            fields: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn what_a_session_repeats_on_another_connection_is_not_told_again() {
        let mut told = Told::default();
        // More than a session keeps, so what it repeats does not begin where this began.
        assert!((0..KNOWN + 50).all(|number| told.is_new(&line(number, true))));
        // Five were missed between the two connections.
        let repeated = 55..KNOWN + 55;
        let new: Vec<_> = repeated.filter(|number| told.is_new(&line(*number, true))).collect();
        assert_eq!(new, (KNOWN + 50..KNOWN + 55).collect::<Vec<_>>());
    }

    #[test]
    fn exporters_that_do_not_say_when_may_say_the_same_as_often_as_they_like() {
        let mut told = Told::default();
        assert!((0..3).all(|number| told.is_new(&line(number, false))));
    }
}
