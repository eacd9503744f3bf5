//! Being registered with a controller, and staying so.

use std::time::Duration;

use crate::{Effect, Now};

/// The first pause after something was lost.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause. It is short, because an exporter that waits when the controller is back cannot be used, and because
/// one attempt costs little.
const LONGEST: Duration = Duration::from_secs(8);

/// How long to wait after so many failures in a row, none of them being 0: from half a second twice as long each time, to
/// eight seconds, and between a half and all of it, by chance (0 to 1).
pub fn pause(failures: u32, chance: f32) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    whole.mul_f32(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[derive(Clone, Debug, Default)]
enum State {
    /// Not begun.
    #[default]
    Off,
    Registering,
    /// Connected; the controller has not said anything yet.
    Watching,
    Up,
    Waiting(Duration),
}

/// The connection with the controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    state: State,
    failures: u32,
    registered: bool,
}

impl Link {
    pub(crate) fn begin(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.state, State::Off) {
            self.state = State::Registering;
            effects.push(Effect::Register);
        }
    }

    pub(crate) fn registered(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.state, State::Registering) {
            self.registered = true;
            self.state = State::Watching;
            effects.push(Effect::Watch);
        }
    }

    /// The controller has spoken; whether it is the first word of this connection. `None` if there is no connection.
    pub(crate) fn said(&mut self) -> Option<bool> {
        match self.state {
            State::Watching => {
                self.state = State::Up;
                self.failures = 0;
                Some(true)
            }
            State::Up => Some(false),
            State::Off | State::Registering | State::Waiting(_) => None,
        }
    }

    pub(crate) fn lost(&mut self, now: Now) {
        if matches!(self.state, State::Off | State::Waiting(_)) {
            return;
        }
        self.state = State::Waiting(now.at + pause(self.failures, now.chance));
        self.failures += 1;
    }

    /// Tries again when it is time to.
    pub(crate) fn pump(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.deadline().is_some_and(|until| until <= now.at) {
            self.state = State::Registering;
            effects.push(Effect::Register);
        }
    }

    /// Where it is, as the table of the machine has it.
    pub(crate) fn name(&self) -> &'static str {
        match (&self.state, self.registered) {
            (State::Off, _) => "Off",
            (State::Registering, false) => "Registering",
            (State::Waiting(_), false) => "Waiting",
            (State::Watching, _) => "Watching",
            (State::Up, _) => "Linked",
            (State::Waiting(_), true) => "Away",
            (State::Registering, true) => "Returning",
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Whether the controller ever took this exporter.
    pub(crate) fn was_up(&self) -> bool {
        self.registered
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Waiting(until) => Some(until),
            _ => None,
        }
    }
}
