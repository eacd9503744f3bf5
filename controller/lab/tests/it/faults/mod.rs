//! Labs whose parts are killed, stopped, or cannot write any more.
//!
//! Every part that something happens to is a process of its own: this program, started again ([`process`]). Whoever uses the lab
//! ([`people`]) is in this one, and sees everything that is promised to him.

mod killed;
mod people;
mod process;
mod stopped;

use std::time::Duration;

/// How long something may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in time: {what}"))
}

/// Chance that can be had again: whoever throws prints the seed, and `JUMPSTARTER_SEED` sets it.
pub(crate) struct Dice(u64);

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JUMPSTARTER_SEED={}", self.0)
    }
}

impl Dice {
    pub(crate) fn new() -> Self {
        let given = std::env::var("JUMPSTARTER_SEED").ok();
        let seed = given
            .map_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0, |text| text.parse().expect("a number"));
        Self(seed)
    }

    /// Others of the same seed.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
