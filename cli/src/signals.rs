//! Signals that ask the program to end.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

use crate::{
    line,
    report::{Signalled, Stop},
};

/// How long a signal to this very process may take.
const OWN: Duration = Duration::from_secs(1);

/// Waits for signals. From its creation on, they no longer end the process by themselves.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    /// Signals that the supervisor of this process has got.
    passed_on: Option<mpsc::Receiver<Signalled>>,
    counts: Counts,
    seen: usize,
}

/// How many signals came on which way.
///
/// A service manager sends one to all processes of a service, and a worker gets it from its supervisor as well: that is one. Who
/// sends it twice gets two.
#[derive(Debug, Default)]
struct Counts {
    directly: [u32; 4],
    passed_on: [u32; 4],
}

impl Counts {
    /// Counts a signal; whether it is not the one that has come on the other way already.
    fn is_new(&mut self, signal: Signalled, passed_on: bool) -> bool {
        let kind = match signal {
            Signalled::Hangup => 0,
            Signalled::Interrupt => 1,
            Signalled::Quit => 2,
            Signalled::Terminate => 3,
        };
        let (this, other) = if passed_on {
            (&mut self.passed_on[kind], self.directly[kind])
        } else {
            (&mut self.directly[kind], self.passed_on[kind])
        };
        *this += 1;
        *this > other
    }
}

impl Signals {
    /// Starts to listen. Needs a runtime.
    pub(crate) fn listen() -> Result<Self, Stop> {
        let listen = |kind| {
            signal(kind).map_err(|error| Stop::infrastructure(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
            passed_on: line::orders(),
            counts: Counts::default(),
            seen: 0,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signalled {
        loop {
            let passed_on = async {
                match &mut self.passed_on {
                    Some(orders) => orders.recv().await,
                    None => None,
                }
            };
            let (signal, passed_on) = tokio::select! {
                _ = self.hangup.recv() => (Signalled::Hangup, false),
                _ = self.interrupt.recv() => (Signalled::Interrupt, false),
                _ = self.quit.recv() => (Signalled::Quit, false),
                _ = self.terminate.recv() => (Signalled::Terminate, false),
                Some(signal) = passed_on => (signal, true),
            };
            if self.counts.is_new(signal, passed_on) {
                self.seen += 1;
                return signal;
            }
        }
    }

    /// Does something by which this program interrupts itself among others. That is not a signal that asks it to end.
    pub(crate) async fn without_own_interrupt(&mut self, action: impl FnOnce()) {
        action();
        // It is heard in any case; where the system loses it, nobody waits for long.
        let _ = timeout(OWN, self.interrupt.recv()).await;
    }

    /// Somebody has asked twice, in a way of which this process is not told by signals.
    pub(crate) fn insisted(&mut self) {
        self.seen += 2;
    }

    /// How many there were.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_on_both_ways_is_one_and_two_are_two() {
        let mut counts = Counts::default();
        let (directly, passed_on) = (false, true);
        assert!(counts.is_new(Signalled::Terminate, directly));
        assert!(!counts.is_new(Signalled::Terminate, passed_on));
        assert!(counts.is_new(Signalled::Interrupt, passed_on), "another one is new");
        assert!(counts.is_new(Signalled::Terminate, passed_on), "somebody insists");
        assert!(!counts.is_new(Signalled::Terminate, directly));
    }
}
