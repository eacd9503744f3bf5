//! One lease from its begin to its end.

use std::time::Duration;

use jumpstarter_protocol::v1::ExporterStatus;

use crate::{
    Effect, End, Event, FAREWELL, GLIMPSE, Lease, Life, Moment, Now, Release, Report, SHOWN, Stop, UNSEEN,
    Verdict, link::pause,
};

/// Where an exporter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nobody has it.
    Free,
    /// The devices of a lease are opened.
    Opening,
    /// `beforeLease` runs.
    Before,
    /// The client may use the devices.
    Ready,
    /// The lease never got ready, which is shown for a while.
    Failed,
    /// The lease ended while `beforeLease` ran. Its client, if there is one, waits to see that the hook is done.
    Glimpse,
    /// `afterLease` runs.
    After,
    /// The lease is complete, which is shown for a while.
    Shown,
    /// The devices are closed.
    Closing,
    /// They are; the controller has yet to take the lease back.
    Releasing,
    /// The controller is told that the exporter goes.
    Leaving,
    /// It is gone.
    Over,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 12] = [
        Self::Free,
        Self::Opening,
        Self::Before,
        Self::Ready,
        Self::Failed,
        Self::Glimpse,
        Self::After,
        Self::Shown,
        Self::Closing,
        Self::Releasing,
        Self::Leaving,
        Self::Over,
    ];

    /// Whether nothing but the end comes.
    pub(crate) fn is_last(self) -> bool {
        matches!(self, Self::Leaving | Self::Over)
    }
}

/// What became of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Devices {
    Opening,
    Open,
    Closing,
    Closed,
}

/// Whether the controller was asked to release the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    No,
    /// Asked, and not answered.
    Asked,
    /// To be asked again.
    At(Duration),
    /// Told together with a status.
    Told,
    Released,
}

/// Who says that a lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    No,
    /// The client has asked for its end; the lease is there until it is released.
    Asked,
    /// The controller says so.
    Gone,
}

/// A lease that is served.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) lease: Lease,
    over: Over,
    devices: Devices,
    listening: bool,
    /// A hook has ended and the phase has not taken it in yet.
    hook: Option<(Verdict, String)>,
    /// Why the devices cannot be opened.
    failure: Option<String>,
    /// `afterLease` is to run when the lease ends.
    after: bool,
    /// What a client has to see before the controller is told, and how long it may take.
    unseen: Option<(Report, Duration)>,
    /// When what is shown was shown first, and how long it may be.
    shown: Duration,
    until: Duration,
    asking: Asking,
    failures: u32,
    /// What the controller is told when the exporter is free again.
    farewell: Option<String>,
}

impl Serving {
    fn new(lease: Lease) -> Self {
        Self {
            lease,
            over: Over::No,
            devices: Devices::Opening,
            listening: true,
            hook: None,
            failure: None,
            after: false,
            unseen: None,
            shown: Duration::ZERO,
            until: Duration::ZERO,
            asking: Asking::No,
            failures: 0,
            farewell: None,
        }
    }

    fn is_gone(&self) -> bool {
        self.over == Over::Gone
    }

    /// The client has asked for the end.
    pub(crate) fn ask(&mut self) {
        if self.over == Over::No {
            self.over = Over::Asked;
        }
    }

    fn stop_listening(&mut self, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.listening) {
            effects.push(Effect::StopListening);
        }
    }

    pub(crate) fn deadline(&self, phase: Phase) -> Option<Duration> {
        match (phase, self.asking) {
            (Phase::Failed, _) => {
                Some(self.unseen.as_ref().map_or(self.until, |(_, until)| self.until.min(*until)))
            }
            (Phase::Glimpse | Phase::Shown, _) => Some(self.until),
            (Phase::Closing | Phase::Releasing, Asking::At(at)) => Some(at),
            _ => None,
        }
    }
}

fn show(status: ExporterStatus, message: &str, effects: &mut Vec<Effect>) -> Report {
    let report = Report::new(status, message);
    effects.push(Effect::Show(report.clone()));
    report
}

impl Life {
    /// The controller says who has the exporter.
    pub(crate) fn said(&mut self, lease: Option<Lease>, now: Now, effects: &mut Vec<Effect>) {
        if lease.is_none() {
            // A lease of the same name would be another one from now on.
            self.finished = None;
        }
        self.wanted = lease;
        let Some(serving) = &mut self.serving else { return };
        match &self.wanted {
            Some(wanted) if wanted.name == serving.lease.name => {
                if !wanted.client.is_empty() && wanted.client != serving.lease.client {
                    serving.lease.client.clone_from(&wanted.client);
                    if matches!(serving.devices, Devices::Opening | Devices::Open) {
                        effects.push(Effect::Client(wanted.client.clone()));
                    }
                }
            }
            _ if serving.is_gone() => {}
            _ => {
                serving.over = Over::Gone;
                // Nobody who comes now could stay.
                serving.stop_listening(effects);
                // Whoever looks has had, or gets, a moment to see what is shown.
                serving.until = serving.until.min(now.at.max(serving.shown + GLIMPSE));
            }
        }
    }

    /// Something of our own has happened.
    pub(crate) fn own(&mut self, event: Event) {
        let Some(serving) = &mut self.serving else { return };
        match event {
            Event::Opened if serving.devices == Devices::Opening => serving.devices = Devices::Open,
            Event::OpenFailed(why) if serving.devices == Devices::Opening => {
                serving.devices = Devices::Open;
                serving.failure = Some(why);
            }
            Event::HookEnded { moment, verdict, message } => {
                let running = match self.phase {
                    Phase::Before => Some(Moment::Before),
                    Phase::After => Some(Moment::After),
                    _ => None,
                };
                if running == Some(moment) {
                    serving.hook = Some((verdict, message));
                }
            }
            Event::Closed if serving.devices == Devices::Closing => serving.devices = Devices::Closed,
            _ => {}
        }
    }

    pub(crate) fn release_answered(&mut self, name: &str, release: Release, now: Now) {
        let Some(serving) = &mut self.serving else { return };
        if serving.asking != Asking::Asked || serving.lease.name != name {
            return;
        }
        serving.asking = match release {
            Release::Done => Asking::Released,
            Release::Failed => {
                serving.failures += 1;
                Asking::At(now.at + pause(serving.failures - 1, now.chance))
            }
            Release::Unknown => {
                self.release_with_report = true;
                // Asked again at once, in the other way.
                Asking::At(now.at)
            }
        };
    }

    /// A report was taken that releases the lease.
    pub(crate) fn released(&mut self) {
        if let Some(serving) = &mut self.serving
            && serving.asking == Asking::Told
        {
            serving.asking = Asking::Released;
        }
    }

    /// Does what the state as it is calls for.
    pub(crate) fn advance(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let over = self.stop == Some(Stop::Now)
            || self.serving.as_ref().is_some_and(|serving| serving.over != Over::No);
        match self.phase {
            Phase::Free => self.next(effects),
            Phase::Opening => self.opening(over, now, effects),
            Phase::Before => self.before(over, now, effects),
            Phase::Ready if over => self.complete(now, effects),
            Phase::Glimpse if self.is_due(now) => self.complete(now, effects),
            Phase::After => self.after(now, effects),
            Phase::Failed | Phase::Shown if self.is_due(now) => self.close(now, effects),
            Phase::Failed => self.unseen(now),
            Phase::Closing | Phase::Releasing => self.closing(now, effects),
            Phase::Ready | Phase::Glimpse | Phase::Shown | Phase::Leaving | Phase::Over => {}
        }
    }

    fn is_due(&self, now: Now) -> bool {
        self.stop == Some(Stop::Now) || self.serving.as_ref().is_none_or(|serving| serving.until <= now.at)
    }

    /// Shows what is now for this long, less if the lease is over.
    fn dwell(&mut self, phase: Phase, long: Duration, now: Now) {
        self.phase = phase;
        if let Some(serving) = &mut self.serving {
            serving.shown = now.at;
            serving.until = now.at + if serving.is_gone() { GLIMPSE } else { long };
        }
    }

    fn next(&mut self, effects: &mut Vec<Effect>) {
        if self.stop.is_some() {
            self.leave(effects);
            return;
        }
        let Some(lease) = self.wanted.clone() else { return };
        if self.finished.as_ref() == Some(&lease.name) {
            return;
        }
        self.finished = None;
        self.phase = Phase::Opening;
        effects.push(Effect::Open(lease.clone()));
        self.serving = Some(Serving::new(lease));
    }

    fn opening(&mut self, over: bool, now: Now, effects: &mut Vec<Effect>) {
        let Some(serving) = &mut self.serving else { return };
        if serving.devices == Devices::Opening {
            return;
        }
        if let Some(why) = serving.failure.take() {
            let why = format!("the devices cannot be opened: {why}");
            self.report.set(Report::new(ExporterStatus::BeforeLeaseHookFailed, &why));
            self.dwell(Phase::Failed, SHOWN, now);
        } else if over {
            // Nobody has used anything: there is nothing to prepare, and nothing to bring in order.
            self.close(now, effects);
        } else {
            serving.after = self.settings.after;
            if self.settings.before {
                self.phase = Phase::Before;
                self.report.set(show(ExporterStatus::BeforeLeaseHook, "Running beforeLease hook", effects));
                effects.push(Effect::RunHook(Moment::Before));
            } else {
                self.ready("Ready for commands", effects);
            }
        }
    }

    fn ready(&mut self, message: &str, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ready;
        effects.push(Effect::Admit(true));
        self.report.set(show(ExporterStatus::LeaseReady, message, effects));
    }

    fn before(&mut self, over: bool, now: Now, effects: &mut Vec<Effect>) {
        let Some(serving) = &mut self.serving else { return };
        let Some((verdict, message)) = serving.hook.take() else { return };
        if self.stop == Some(Stop::Now) {
            // It was ended; what it has begun is brought in order.
            self.complete(now, effects);
            return;
        }
        match verdict {
            Verdict::Proceed if over => {
                show(ExporterStatus::LeaseReady, &message, effects);
                self.dwell(Phase::Glimpse, GLIMPSE, now);
            }
            Verdict::Proceed => self.ready(&message, effects),
            Verdict::Failed | Verdict::FailedAndExit => {
                serving.after = false;
                let report = show(ExporterStatus::BeforeLeaseHookFailed, &message, effects);
                serving.unseen = Some((report, now.at + UNSEEN));
                if verdict == Verdict::FailedAndExit {
                    self.exit(Moment::Before);
                    self.dwell(Phase::Failed, FAREWELL, now);
                } else {
                    self.dwell(Phase::Failed, UNSEEN + SHOWN, now);
                }
            }
        }
    }

    /// A client has seen that `beforeLease` failed, and has a moment to give the lease back.
    pub(crate) fn seen(&mut self, now: Now) {
        if self.phase != Phase::Failed {
            return;
        }
        let Some(serving) = &mut self.serving else { return };
        let Some((report, _)) = serving.unseen.take() else { return };
        self.report.set(report);
        // One that has to stop goes with its client, who gives the lease back.
        if self.end != End::Hook {
            serving.until = serving.until.min(now.at + SHOWN);
        }
    }

    /// Nobody has come to see it in time.
    fn unseen(&mut self, now: Now) {
        if let Some(serving) = &mut self.serving
            && let Some((report, _)) = serving.unseen.take_if(|(_, until)| *until <= now.at)
        {
            self.report.set(report);
        }
    }

    /// A hook wants the exporter to stop.
    fn exit(&mut self, moment: Moment) {
        self.stop.get_or_insert(Stop::AfterLease);
        self.end = End::Hook;
        self.farewell = format!("Exporter shutting down due to {} hook failure", moment.name());
    }

    /// The client is done with the devices.
    fn complete(&mut self, now: Now, effects: &mut Vec<Effect>) {
        effects.push(Effect::Admit(false));
        let Some(serving) = &mut self.serving else { return };
        if std::mem::take(&mut serving.after) {
            self.phase = Phase::After;
            self.report.set(show(ExporterStatus::AfterLeaseHook, "Running afterLease hooks", effects));
            effects.push(Effect::RunHook(Moment::After));
            return;
        }
        show(ExporterStatus::Available, "Available for new lease", effects);
        if serving.is_gone() {
            self.close(now, effects);
        } else {
            // Available it is for its client only; the controller must not take it for ready while the lease goes.
            self.report.set(Report::new(ExporterStatus::AfterLeaseHook, "The lease ends"));
            self.dwell(Phase::Shown, SHOWN, now);
        }
    }

    fn after(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(serving) = &mut self.serving else { return };
        let Some((verdict, message)) = serving.hook.take() else { return };
        if verdict == Verdict::Proceed {
            show(ExporterStatus::Available, &message, effects);
            serving.farewell = Some(message);
        } else {
            self.report.set(show(ExporterStatus::AfterLeaseHookFailed, &message, effects));
            if verdict == Verdict::FailedAndExit {
                self.exit(Moment::After);
            }
        }
        self.dwell(Phase::Shown, SHOWN, now);
    }

    fn close(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.phase = Phase::Closing;
        let stopping = self.stop == Some(Stop::Now);
        let Some(serving) = &mut self.serving else { return };
        serving.devices = Devices::Closing;
        // An exporter that is stopped comes back, perhaps at once, and then the lease goes on.
        if !serving.is_gone() && !stopping {
            serving.asking = Asking::At(now.at);
        }
        serving.stop_listening(effects);
        effects.push(Effect::Close);
    }

    fn closing(&mut self, now: Now, effects: &mut Vec<Effect>) {
        // Who goes does not wait for a controller that is away.
        let stopping = self.stop == Some(Stop::Now) || (self.stop.is_some() && !self.link.is_up());
        let Some(serving) = &mut self.serving else { return };
        if serving.is_gone() || stopping {
            serving.asking = Asking::No;
        }
        if let Asking::At(at) = serving.asking
            && at <= now.at
        {
            if self.release_with_report {
                serving.asking = Asking::Told;
                // Never together with AVAILABLE: said twice, it would end the next lease.
                self.report.set(Report {
                    status: ExporterStatus::AfterLeaseHook,
                    message: "Lease released (compat: ReportStatus with release_lease)".to_owned(),
                    release: true,
                });
            } else {
                serving.asking = Asking::Asked;
                effects.push(Effect::Release(serving.lease.name.clone()));
            }
        }
        if serving.devices != Devices::Closed {
            return;
        }
        if !matches!(serving.asking, Asking::No | Asking::Released) {
            self.phase = Phase::Releasing;
            return;
        }
        self.free();
    }

    fn free(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        self.phase = Phase::Free;
        let words = match (&serving.farewell, serving.is_gone()) {
            (Some(words), _) => words,
            (None, true) => "Available for new lease",
            (None, false) => "Exporter available after lease release",
        };
        if self.settings.exit_on_lease_end && self.stop.is_none() {
            self.stop = Some(Stop::AfterLease);
            self.end = End::LeaseOver;
        }
        // One who goes is not available, not even for a moment.
        if self.stop.is_none() {
            self.report.set(Report::new(ExporterStatus::Available, words));
        }
        if !serving.is_gone() {
            self.finished = Some(serving.lease.name);
        }
    }
}
