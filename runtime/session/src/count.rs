//! How much is going on, and what happens once much of it is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

/// How many at a time are a burst, after which there is memory worth giving back.
const BURST: usize = 64;

/// How long after a burst to wait: what has ended is still being tidied up, and another burst may follow at once.
const SETTLE: Duration = Duration::from_millis(200);

/// Counts what goes on at a time.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    /// The most since there was none.
    most: AtomicUsize,
    burst_over: Notify,
}

impl Gauge {
    pub(crate) fn now(&self) -> usize {
        self.now.load(Relaxed)
    }
}

/// Counts something for as long as it lives.
pub(crate) struct Counted(Arc<Gauge>);

impl Counted {
    pub(crate) fn new(gauge: &Arc<Gauge>) -> Self {
        let now = gauge.now.fetch_add(1, Relaxed) + 1;
        gauge.most.fetch_max(now, Relaxed);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.now.fetch_sub(1, Relaxed) == 1 && self.0.most.swap(0, Relaxed) >= BURST {
            self.0.burst_over.notify_one();
        }
    }
}

/// Calls `then` a moment after each burst, until the session ends. Costs nothing meanwhile.
pub(crate) async fn after_bursts(gauge: Arc<Gauge>, ended: CancellationToken, then: fn()) {
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = gauge.burst_over.notified() => sleep(SETTLE).await,
        }
        if gauge.now() == 0 {
            // It may take a while, and a thread that drives connections has none to spare.
            if tokio::task::spawn_blocking(then).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static CALLED: AtomicUsize = AtomicUsize::new(0);

    fn called() {
        CALLED.fetch_add(1, Relaxed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_followed_by_one_call_and_a_few_by_none() {
        let (gauge, ended) = (Arc::<Gauge>::default(), CancellationToken::new());
        let watching = tokio::spawn(after_bursts(gauge.clone(), ended.clone(), called));
        let open = |count: usize| (0..count).map(|_| Counted::new(&gauge)).collect::<Vec<_>>();

        drop(open(BURST - 1));
        sleep(SETTLE * 2).await;
        assert_eq!(CALLED.load(Relaxed), 0);

        let many = open(BURST);
        assert_eq!(gauge.now(), BURST);
        drop(many);
        // The call is made by another thread, on real time; nothing else can make the count go up.
        while CALLED.load(Relaxed) == 0 {
            sleep(SETTLE).await;
        }
        drop(open(1));
        sleep(SETTLE * 2).await;
        assert_eq!((CALLED.load(Relaxed), gauge.now()), (1, 0));

        ended.cancel();
        watching.await.expect("an orderly end");
    }
}
