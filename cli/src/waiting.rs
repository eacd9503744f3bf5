//! Saying what is waited for: on a terminal in one line that changes, elsewhere in a line now and then.

use std::{
    io::IsTerminal as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use jumpstarter_lease::{Observer, Progress, Waits};

use crate::{files::environment, style::printable};

/// How long somebody in front of a terminal waits for an answer before he is told for whose.
const SLOW: Duration = Duration::from_millis(500);

/// The same where nobody watches: what comes by then is worth no line in a log.
const SLOWER: Duration = Duration::from_secs(5);

/// How often the same is said again where nobody watches.
const AGAIN: Duration = Duration::from_mins(5);

/// How often something else may be said there.
const NEWS: Duration = Duration::from_secs(30);

/// How often the line on a terminal moves.
const TICK: Duration = Duration::from_millis(100);

/// Whether there is a terminal for a line that changes, and somebody in front of it.
fn is_watched() -> bool {
    let quiet = environment("NONINTERACTIVE").is_some_and(|value| value == "1" || value == "true");
    let dumb = environment("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !quiet && !dumb
}

/// Says whose answer takes its time: for everything that asks somebody over the network.
pub(crate) fn waits() -> Waits {
    Waits::new(if is_watched() { SLOW } else { SLOWER }, |whom| {
        let waiting = Waiting::new();
        waiting.say(&format!("Waiting for {} to answer", printable(whom)));
        Box::new(waiting)
    })
}

/// Shows how a lease comes about, until it is dropped.
pub(crate) struct Waiting(Arc<Shown>);

#[derive(Default)]
struct Shown {
    bar: Option<ProgressBar>,
    moves: OnceLock<()>,
    last: Mutex<Option<(Instant, String)>>,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        let bar = is_watched().then(|| {
            let style = ProgressStyle::with_template("{spinner:.blue} {msg:.blue} {elapsed:.dim}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self(Arc::new(Shown { bar, ..Shown::default() }))
    }

    /// Who tells it.
    pub(crate) fn observer(&self) -> Observer {
        let shown = self.0.clone();
        Observer::new(move |progress| shown.tell(progress))
    }

    /// Says something that is waited for.
    pub(crate) fn say(&self, text: &str) {
        self.0.waiting(text);
    }

    /// Nothing is waited for any more.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

/// `0:00:05`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Shown {
    fn tell(&self, progress: Progress) {
        let source = "jumpstarter.client.lease";
        match progress {
            Progress::Asking { name, what, lasts } => {
                let lasts = clock(lasts);
                self.line(|| {
                    tracing::info!(source, "Acquiring lease {name} for {what} for duration {lasts}");
                });
            }
            Progress::Waiting { why, waited } => {
                self.waiting(&format!("Waiting for lease: {}", printable(&why)));
                if let Some(bar) = &self.bar {
                    bar.set_elapsed(waited);
                }
            }
            Progress::Away { why, again } => {
                self.line(|| tracing::warn!(source, "{why}; asking again in {} s", again.as_secs()));
            }
            Progress::Got { name, waited, .. } => {
                self.line(|| {
                    tracing::info!(source, "Lease {name} acquired successfully! ({})", clock(waited));
                });
            }
        }
    }

    /// A line above the one that changes.
    fn line(&self, say: impl FnOnce()) {
        match &self.bar {
            // One that does not move is not there, and would be afterwards.
            Some(bar) if self.moves.get().is_some() => bar.suspend(say),
            _ => say(),
        }
    }

    fn waiting(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            self.moves.get_or_init(|| bar.enable_steady_tick(TICK));
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match &*last {
            None => true,
            Some((when, said)) => when.elapsed() >= if said == text { AGAIN } else { NEWS },
        };
        if due {
            tracing::info!(source = "jumpstarter.client.lease", "{text}");
            *last = Some((Instant::now(), text.to_owned()));
        }
    }
}
