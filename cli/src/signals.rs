//! Signals that ask the program to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::report::{Signalled, Stop};

/// Waits for signals. From its creation on, they no longer end the process by themselves.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    seen: usize,
}

impl Signals {
    /// Starts to listen. Needs a runtime.
    pub(crate) fn listen() -> Result<Self, Stop> {
        let listen =
            |kind| signal(kind).map_err(|error| Stop::failed(format!("cannot listen for signals: {error}")));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
            seen: 0,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signalled {
        let signal = tokio::select! {
            _ = self.hangup.recv() => Signalled::Hangup,
            _ = self.interrupt.recv() => Signalled::Interrupt,
            _ = self.quit.recv() => Signalled::Quit,
            _ = self.terminate.recv() => Signalled::Terminate,
        };
        self.seen += 1;
        signal
    }

    /// How many there were.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }
}
