//! The life of an exporter that registers with a controller, as one state machine: [`Life::step`] takes an event and answers
//! what is to be done. It knows no sockets, no drivers and no clock: the time is an argument, and so is chance.
//!
//! ```text
//!                ┌──────────────────────────────── Releasing ◄──┐
//!                ▼                                              │
//!   Free ──► Opening ──► Before ──► Ready ──► After ──► Shown ──► Closing ──► Free
//!                │          │ └─► Glimpse ─────▲          ▲       ▲
//!                └──────────┴──► Failed ──────────────────┴───────┘
//! ```
//!
//! Two things are waited for, and only two: that a lease is *ready*, and that it is *complete*. Every state leads to the end
//! of both waits, whatever happens: a hook has a time limit, a client that goes is reported by the controller, and what is
//! shown is shown for a limited time. What is waited for without a limit is a controller that is away.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `event` | what happens, and what is to be done about it |
//! | `lease` | one lease from its begin to its end |
//! | `link` | being registered, and staying so |
//! | `report` | that the controller knows the last status, whatever was lost |
//! | [`table`](mod@table) | the machine as a table for people |

#![forbid(unsafe_code)]

mod event;
mod lease;
mod link;
mod report;
pub mod table;

use std::time::Duration;

use jumpstarter_protocol::v1::ExporterStatus;

pub use event::{Effect, End, Event, Lease, Moment, Release, Report, Stop, Verdict};
pub use lease::Phase;
pub use link::pause;

use lease::Serving;
use link::Link;
use report::Reporting;

/// How long what came of a lease is shown before the lease is given back: clients look every 0.1 to 0.3 s, with a network in
/// between. Upstream waits as long.
pub const SHOWN: Duration = Duration::from_secs(1);

/// How long something is shown to a client whose lease has ended already.
pub const GLIMPSE: Duration = Duration::from_millis(500);

/// How long a client may take to come and see that `beforeLease` failed. As long as nobody has seen it, the controller is not
/// told: it lets nobody in to an exporter whose hook has failed, and a client that is kept out never learns why. Upstream's
/// client asks every five seconds whether a lease is its own, and connects a moment later.
pub const UNSEEN: Duration = Duration::from_secs(7);

/// How long an exporter that has to stop because `beforeLease` failed waits for its client to see it and to give the lease
/// back.
pub const FAREWELL: Duration = Duration::from_secs(30);

/// What the exporter file says about leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether there is a `beforeLease` hook.
    pub before: bool,
    /// Whether there is an `afterLease` hook.
    pub after: bool,
    /// Whether the exporter ends after its first lease.
    pub exit_on_lease_end: bool,
}

/// When something happens, and a number for what is left to chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Time since any fixed moment; never goes back.
    pub at: Duration,
    /// Random, from 0 to 1: many exporters that lost one controller must not all come back at once.
    pub chance: f32,
}

/// An exporter's life so far.
#[derive(Clone, Debug)]
pub struct Life {
    settings: Settings,
    phase: Phase,
    /// The lease that is served; it outlives what the controller says about it.
    serving: Option<Serving>,
    /// The lease that the controller said last.
    wanted: Option<Lease>,
    /// A lease that is over here while the controller may still speak of it.
    finished: Option<String>,
    link: Link,
    report: Reporting,
    /// The controller cannot be asked to release a lease, only told so together with a status.
    release_with_report: bool,
    stop: Option<Stop>,
    end: End,
    farewell: String,
}

impl Life {
    /// An exporter that has not begun.
    pub fn new(settings: Settings) -> Self {
        let mut report = Reporting::default();
        report.set(Report::new(ExporterStatus::Available, "Exporter registered and available"));
        Self {
            settings,
            phase: Phase::Free,
            serving: None,
            wanted: None,
            finished: None,
            link: Link::default(),
            report,
            release_with_report: false,
            stop: None,
            end: End::Stopped,
            farewell: "Exporter shutting down".to_owned(),
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The lease that is served.
    pub fn lease(&self) -> Option<&Lease> {
        self.serving.as_ref().map(|serving| &serving.lease)
    }

    /// What the controller should know.
    pub fn last_report(&self) -> &Report {
        self.report.last()
    }

    /// Whether the controller has confirmed what it should know.
    pub fn is_reported(&self) -> bool {
        self.report.is_told()
    }

    /// Whether it is connected with the controller.
    pub fn is_linked(&self) -> bool {
        self.link.is_up()
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    pub fn deadline(&self) -> Option<Duration> {
        let report = self.report.deadline().filter(|_| self.link.is_up());
        let serving = self.serving.as_ref().and_then(|serving| serving.deadline(self.phase));
        [self.link.deadline(), report, serving].into_iter().flatten().min().filter(|_| !self.phase.is_last())
    }

    /// Takes an event; answers what is to be done, in this order.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase == Phase::Over {
            return effects;
        }
        self.take(event, now, &mut effects);
        // What one state leads to may lead on at once.
        loop {
            let phase = self.phase;
            self.advance(now, &mut effects);
            if self.phase == phase {
                break;
            }
        }
        if !self.phase.is_last() {
            self.link.pump(now, &mut effects);
            if self.link.is_up() {
                self.report.pump(now, &mut effects);
            }
        }
        effects
    }

    fn take(&mut self, event: Event, now: Now, effects: &mut Vec<Effect>) {
        match event {
            Event::Begin => self.link.begin(effects),
            Event::Registered => self.link.registered(effects),
            Event::Said(lease) => match self.link.said() {
                // It was said on a connection that is lost since.
                None => {}
                Some(first) => {
                    if first {
                        self.report.again();
                    }
                    self.said(lease, now, effects);
                }
            },
            Event::Lost { refused } => {
                if refused && !self.link.was_up() {
                    self.stop = Some(Stop::Now);
                    self.end = End::Refused;
                } else {
                    self.link.lost(now);
                }
            }
            Event::Reported(number) => {
                if self.report.told(number) {
                    self.released();
                }
            }
            Event::ReportFailed { number, never } => self.report.failed(number, never, now),
            Event::Opened | Event::OpenFailed(_) | Event::HookEnded { .. } | Event::Closed => self.own(event),
            Event::Seen => self.seen(now),
            Event::EndSession => {
                if let Some(serving) = &mut self.serving {
                    serving.ask();
                }
            }
            Event::Released(name, release) => self.release_answered(&name, release, now),
            Event::Stop(stop) => self.stop(stop, effects),
            Event::Left => {
                if self.phase == Phase::Leaving {
                    self.phase = Phase::Over;
                    effects.push(Effect::Exit(self.end));
                }
            }
            Event::Tick => {}
        }
    }

    fn stop(&mut self, stop: Stop, effects: &mut Vec<Effect>) {
        // A later "now" overrides "after the lease", and not the other way round.
        if self.stop != Some(Stop::Now) {
            self.stop = Some(stop);
        }
        if stop == Stop::Now && self.phase == Phase::Before {
            effects.push(Effect::CancelHook);
        }
    }

    /// Goes away: in words to the controller if it knows this exporter, else without.
    fn leave(&mut self, effects: &mut Vec<Effect>) {
        if self.link.was_up() {
            self.phase = Phase::Leaving;
            effects.push(Effect::Leave(Report::new(ExporterStatus::Offline, &self.farewell)));
        } else {
            self.phase = Phase::Over;
            effects.push(Effect::Exit(self.end));
        }
    }
}
