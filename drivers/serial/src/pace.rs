//! A limit for the speed of sending.

use std::{fmt, io, time::Duration};

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::port::Output;

/// How far the schedule may lie in the past. Timers tick in milliseconds: what is due within this long goes out together,
/// so that the average is right at rates where characters follow each other faster than that.
const SLACK: Duration = Duration::from_millis(2);

/// So much time for each character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace(Duration);

impl Pace {
    /// Of so many characters per second; 0 is no limit, as it is upstream.
    pub(crate) fn new(cps: Option<f64>) -> Result<Option<Self>, String> {
        match cps {
            None | Some(0.0) => Ok(None),
            Some(cps) => {
                let each = (cps > 0.0).then(|| Duration::try_from_secs_f64(cps.recip()).ok()).flatten();
                let wrong = || format!("expected a number of characters per second, found {cps}");
                Ok(Some(Self(each.ok_or_else(wrong)?)))
            }
        }
    }

    /// One after the other: waits between characters, not before the first and not after the last.
    pub(crate) fn clock(self) -> Clock {
        Clock { each: self.0, next: None }
    }
}

/// When the next character may go out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    each: Duration,
    next: Option<Instant>,
}

impl Clock {
    /// Waits until a character may go out.
    pub(crate) async fn tick(&mut self) {
        if let Some(next) = self.next {
            sleep_until(next).await;
        }
        let now = Instant::now();
        let due = self.next.map_or(now, |next| next.max(now.checked_sub(SLACK).unwrap_or(now)));
        self.next = Some(due + self.each);
    }
}

/// An output that takes its time.
pub(crate) struct Paced {
    inner: Box<dyn Output>,
    clock: Clock,
}

impl Paced {
    pub(crate) fn new(inner: Box<dyn Output>, pace: Pace) -> Self {
        Self { inner, clock: pace.clock() }
    }
}

impl Output for Paced {
    fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            for character in data.chunks(1) {
                self.clock.tick().await;
                self.inner.write(character).await?;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Paced({:?})", self.clock.each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn takes(cps: f64, pieces: &[usize]) -> Duration {
        let mut clock = Pace::new(Some(cps)).unwrap().unwrap().clock();
        let begun = Instant::now();
        for _ in 0..pieces.iter().sum() {
            clock.tick().await;
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn characters_wait_for_each_other_also_between_pieces() {
        assert_eq!(takes(10.0, &[1]).await, Duration::ZERO, "nothing waits before the first");
        assert_eq!(takes(10.0, &[5]).await, Duration::from_millis(400), "and nothing after the last");
        assert_eq!(takes(10.0, &[2, 3]).await, Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn the_average_holds_where_timers_are_too_coarse_for_single_characters() {
        let took = takes(4000.0, &[4001]).await;
        assert!((Duration::from_millis(990)..Duration::from_millis(1010)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_no_credit_for_a_burst() {
        let mut clock = Pace::new(Some(10.0)).unwrap().unwrap().clock();
        clock.tick().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let begun = Instant::now();
        for _ in 0..4 {
            clock.tick().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(298), "{:?}", begun.elapsed());
    }

    #[test]
    fn no_limit_and_impossible_limits_are_told_apart() {
        assert_eq!(Pace::new(None), Ok(None));
        assert_eq!(Pace::new(Some(0.0)), Ok(None));
        for cps in [-1.0, f64::NAN, 1e-30] {
            assert!(Pace::new(Some(cps)).is_err(), "{cps}");
        }
    }
}
