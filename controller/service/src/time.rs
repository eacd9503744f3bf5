//! What time it is, and waiting for another: the system's, or one that only moves when it is told to.
//!
//! A lab asks its [`Clock`] and nothing else, so hours of it can be tried in no time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

/// A clock. Clones are the same one.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Mutex<Manual>>),
}

struct Manual {
    now: Timestamp,
    /// Who waits until when; with a number, since several may wait for the same moment.
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    next: u64,
    settle: Option<Settle>,
}

/// Waits until threads outside of the executor have done what they were asked for, and says whether that was anything.
type Settle = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A moment of a clock, by which it is seen whether it goes on evenly.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    steady: Instant,
    wall: Timestamp,
}

/// What the time may differ from a count of seconds that goes on evenly, between two looks.
const JUMP: SignedDuration = SignedDuration::from_secs(1);

/// Whether the time has gone on by something else than what has passed.
fn jumped(passed: Duration, before: Timestamp, now: Timestamp) -> bool {
    let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
    now.duration_since(before).saturating_sub(passed).abs() > JUMP
}

impl Clock {
    /// This moment.
    pub fn mark(&self) -> Mark {
        Mark { steady: Instant::now(), wall: self.now() }
    }

    /// Whether it has been set since then, or its machine was suspended, for more than a second; and takes this moment instead.
    /// One that only moves when it is told to does not jump.
    pub fn has_jumped(&self, mark: &mut Mark) -> bool {
        let before = std::mem::replace(mark, self.mark());
        matches!(self.0, Source::System)
            && jumped(mark.steady.duration_since(before.steady), before.wall, mark.wall)
    }

    /// A clock that stands until [`Clock::advance`].
    pub fn manual(now: Timestamp) -> Self {
        let manual = Manual { now, waiting: BTreeMap::new(), next: 0, settle: None };
        Self(Source::Manual(Arc::new(Mutex::new(manual))))
    }

    /// What a clock that stands waits for as well before time goes on: a store writes in a thread of its own, which the tasks
    /// that are let go first know nothing of. As long as it answers that something was done, more may come of that.
    pub fn settles_with(&self, settle: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) {
        if let Source::Manual(manual) = &self.0 {
            lock(manual).settle = Some(Arc::new(settle));
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(manual) => lock(manual).now,
        }
    }

    /// Waits until then. A little late is right, a little early would be asked again at once.
    pub fn until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        match &self.0 {
            Source::System => {
                let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
                tokio::time::sleep(wait + Duration::from_millis(1)).boxed()
            }
            Source::Manual(manual) => {
                let mut manual = lock(manual);
                if at <= manual.now {
                    return std::future::ready(()).boxed();
                }
                let (wake, woken) = oneshot::channel();
                let number = manual.next;
                manual.next += 1;
                manual.waiting.insert((at, number), wake);
                woken.map(drop).boxed()
            }
        }
    }

    /// Waits for so long.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.until(later(self.now(), duration))
    }

    /// What comes first: the end of something, or of this time.
    pub async fn timeout<F: Future>(&self, patience: Duration, future: F) -> Option<F::Output> {
        let over = self.sleep(patience);
        tokio::pin!(future);
        tokio::select! {
            biased;
            output = &mut future => Some(output),
            () = over => None,
        }
    }

    /// Moves a clock that stands. Whoever waits is woken in order, each at its moment, and gets the chance to do what comes of
    /// it (and to wait again) before time goes on. The system's clock moves by itself.
    pub async fn advance(&self, by: Duration) {
        /// How often others are let go first. What they do takes some turns.
        const TURNS: usize = 50;
        let Source::Manual(manual) = &self.0 else { return };
        let end = later(self.now(), by);
        loop {
            let settle = lock(manual).settle.clone();
            loop {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                let busy = match &settle {
                    Some(settle) => settle().await,
                    None => false,
                };
                if !busy {
                    break;
                }
            }
            let mut manual = lock(manual);
            let due = manual.waiting.first_key_value().is_some_and(|((at, _), _)| *at <= end);
            let first = if due { manual.waiting.pop_first() } else { None };
            match first {
                Some(((at, _), wake)) => {
                    manual.now = manual.now.max(at);
                    // Whoever has gone has no more interest in it.
                    let _ = wake.send(());
                }
                None if manual.now < end => manual.now = end,
                None => return,
            }
        }
    }
}

fn lock(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
    manual.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_or_was_asleep_has_jumped() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        assert!(!jumped(minute, at(0), at(60)));
        assert!(!jumped(hour, at(0), at(3601)), "clocks differ a little");
        assert!(jumped(Duration::from_millis(5), at(0), at(2)), "asleep");
        assert!(jumped(minute, at(100), at(40)), "set back");
        assert!(jumped(hour, at(0), at(60)), "the machine was never asleep, so it was set back as well");
        let mut mark = Clock::default().mark();
        assert!(!Clock::default().has_jumped(&mut mark));
        let standing = Clock::manual(at(0));
        let mut mark = standing.mark();
        mark.wall = at(1000);
        assert!(!standing.has_jumped(&mut mark));
    }
}
