//! Random events in any order: what always holds, and that every wait comes to its end.

use std::{collections::BTreeMap, time::Duration};

use jumpstarter_life::{
    Effect, End, Event, Lease, Life, Moment, Now, Phase, Release, Settings, Stop, Verdict,
};
use jumpstarter_protocol::v1::ExporterStatus as S;
use proptest::prelude::*;

/// One thing that the world does, if it can.
#[derive(Clone, Copy, Debug)]
enum Move {
    Lease(Option<u8>),
    Client,
    Devices(bool),
    Hook(Verdict),
    Closed,
    Report(Answer),
    Release(Release),
    Seen,
    EndSession,
    Cut(Lost),
    Register(Registering),
    Watch,
    Pass(u16),
    Due,
    Hangup,
    Term,
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Taken,
    Failed,
    /// The controller knows nothing of reports.
    Never,
}

/// How a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    Cut,
    /// The controller does not let this exporter in, or not any more.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Registering {
    Taken,
    Lost(Lost),
}

fn lost() -> impl Strategy<Value = Lost> {
    prop_oneof![4 => Just(Lost::Cut), 1 => Just(Lost::Refused)]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => prop_oneof![Just(None), (0_u8..4).prop_map(Some)].prop_map(Move::Lease),
        1 => Just(Move::Client),
        6 => prop::bool::weighted(0.9).prop_map(Move::Devices),
        6 => prop_oneof![5 => Just(Verdict::Proceed), 2 => Just(Verdict::Failed), 1 => Just(Verdict::FailedAndExit)]
            .prop_map(Move::Hook),
        6 => Just(Move::Closed),
        8 => prop_oneof![16 => Just(Answer::Taken), 5 => Just(Answer::Failed), 1 => Just(Answer::Never)].prop_map(Move::Report),
        4 => prop_oneof![Just(Release::Done), Just(Release::Failed), Just(Release::Unknown)].prop_map(Move::Release),
        2 => Just(Move::Seen),
        2 => Just(Move::EndSession),
        1 => lost().prop_map(Move::Cut),
        6 => prop_oneof![4 => Just(Registering::Taken), 1 => lost().prop_map(Registering::Lost)].prop_map(Move::Register),
        6 => Just(Move::Watch),
        3 => (0_u16..2000).prop_map(Move::Pass),
        6 => Just(Move::Due),
        1 => prop::bool::weighted(0.1).prop_map(|now| if now { Move::Term } else { Move::Hangup }),
        2 => Just(Move::Left),
    ]
}

/// Everything around the machine, and what must hold about it.
#[allow(clippy::struct_excessive_bools, reason = "each is one thing that is so or not")]
struct World {
    life: Life,
    settings: Settings,
    at: Duration,
    chance: f32,
    lease: Option<String>,
    names: u32,
    // What is under way.
    registering: bool,
    watching: bool,
    opening: bool,
    open: Option<String>,
    served: Option<String>,
    hook: Option<Moment>,
    closing: bool,
    reporting: Option<(u64, S, bool)>,
    releasing: Vec<String>,
    leaving: bool,
    over: bool,
    // What was seen.
    admitted: bool,
    ready: bool,
    known: Option<S>,
    /// Whether the controller ever took this exporter.
    registered: bool,
    /// It did not, and said so.
    refused: bool,
    /// It takes no reports, and said so.
    silent: bool,
    runs: BTreeMap<String, (u32, u32)>,
    failed: bool,
    termed: bool,
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut world = Self {
            life: Life::new(settings),
            settings,
            at: Duration::ZERO,
            chance: 0.3,
            lease: None,
            names: 0,
            registering: false,
            watching: false,
            opening: false,
            open: None,
            served: None,
            hook: None,
            closing: false,
            reporting: None,
            releasing: Vec::new(),
            leaving: false,
            over: false,
            admitted: false,
            ready: false,
            known: None,
            registered: false,
            refused: false,
            silent: false,
            runs: BTreeMap::new(),
            failed: false,
            termed: false,
        };
        world.step(Event::Begin);
        world
    }

    fn said(&self) -> Event {
        Event::Said(self.lease.clone().map(|name| Lease { name, client: "me".to_owned() }))
    }

    fn step(&mut self, event: Event) {
        let tick = event == Event::Tick;
        let effects = self.life.step(event, Now { at: self.at, chance: self.chance });
        assert!(!self.over || effects.is_empty(), "after the end: {effects:?}");
        for effect in effects {
            self.see(effect);
        }
        if tick && let Some(deadline) = self.life.deadline() {
            assert!(deadline > self.at, "it is due again at once, in {:?}", self.life.phase());
        }
    }

    fn see(&mut self, effect: Effect) {
        match effect {
            Effect::Register => {
                assert!(!self.registering && !self.watching);
                self.registering = true;
            }
            Effect::Watch => self.watching = true,
            Effect::Open(lease) => {
                assert!(self.open.is_none() && !self.closing, "one lease at a time");
                self.open = Some(lease.name.clone());
                self.served = Some(lease.name.clone());
                self.opening = true;
                self.ready = false;
                self.failed = false;
                self.runs.insert(lease.name, (0, 0));
            }
            Effect::RunHook(moment) => {
                assert!(
                    self.hook.is_none() && !self.opening && !self.closing,
                    "one hook, between open and close"
                );
                let name = self.open.clone().unwrap();
                let runs = self.runs.get_mut(&name).unwrap();
                match moment {
                    Moment::Before => runs.0 += 1,
                    Moment::After => runs.1 += 1,
                }
                assert!(runs.0 <= 1 && runs.1 <= 1, "each hook once: {runs:?}");
                assert!(!self.admitted, "nobody uses the devices while a hook runs");
                self.hook = Some(moment);
            }
            Effect::CancelHook => assert_eq!(self.hook, Some(Moment::Before)),
            Effect::Admit(admit) => {
                assert!(!admit || (self.open.is_some() && self.hook.is_none()));
                self.ready |= admit;
                self.admitted = admit;
            }
            Effect::Show(_) => {
                assert!(self.open.is_some() && !self.opening, "somebody has to be there to see it");
            }
            Effect::Report { number, report } => {
                assert!(self.reporting.is_none(), "one report at a time");
                assert!(!self.silent, "who takes no reports is sent none");
                assert!(self.watching);
                assert!(!report.release || report.status != S::Available);
                if report.status == S::LeaseReady {
                    assert!(self.ready && self.open.is_some(), "ready means that calls were taken");
                }
                self.reporting = Some((number, report.status, report.release));
            }
            Effect::Release(name) => {
                assert_eq!(Some(&name), self.served.as_ref(), "only its own lease is released");
                assert!(!self.releasing.contains(&name));
                self.releasing.push(name);
            }
            Effect::Close => {
                assert!(!self.opening && self.hook.is_none() && !self.closing && !self.admitted);
                let name = self.open.clone().unwrap();
                let (_, after) = self.runs[&name];
                if self.ready && self.settings.after {
                    assert_eq!(after, 1, "who could use the devices leaves them to afterLease");
                }
                if self.failed {
                    assert_eq!(after, 0, "what never got ready needs no afterLease");
                }
                self.closing = true;
            }
            Effect::Leave(report) => {
                assert_eq!(report.status, S::Offline);
                assert!(self.open.is_none(), "nobody goes with open devices");
                assert!(self.registered, "nobody takes leave of whom he does not know");
                self.leaving = true;
            }
            Effect::Exit(end) => {
                assert!(self.open.is_none() && self.hook.is_none());
                assert_eq!(end == End::Refused, self.refused, "refused is who was never let in");
                self.over = true;
            }
            Effect::Client(_) | Effect::StopListening => assert!(self.open.is_some()),
        }
    }

    /// The connection, or the attempt to make one, comes to nothing.
    fn lose(&mut self, lost: Lost) {
        let refused = lost == Lost::Refused;
        if refused && !self.registered {
            self.refused = true;
            self.step(Event::Lost { refused });
            assert!(self.over, "who was never let in ends at once");
            return;
        }
        let (phase, stopping) = (self.life.phase(), self.life.is_stopping());
        self.step(Event::Lost { refused });
        if stopping && phase == Phase::Releasing {
            assert_eq!(
                self.life.phase(),
                Phase::Leaving,
                "who goes does not wait for a controller that is away"
            );
            return;
        }
        assert_eq!(
            (self.life.phase(), self.life.is_stopping()),
            (phase, stopping),
            "a lease goes on, and so does the exporter"
        );
        if !matches!(phase, Phase::Leaving | Phase::Over) {
            assert!(self.life.deadline().is_some(), "it comes back");
        }
    }

    /// The controller answers a report.
    fn answer(&mut self, answer: Answer) {
        let Some((number, status, release)) = self.reporting.take() else { return };
        if answer == Answer::Taken && self.watching {
            self.known = Some(status);
            if release {
                self.lease = None;
            }
            self.step(Event::Reported(number));
            if release && self.life.is_linked() {
                self.step(self.said());
            }
        } else {
            let never = answer == Answer::Never && self.watching;
            self.silent |= never;
            self.step(Event::ReportFailed { number, never });
        }
    }

    fn make(&mut self, made: Move) {
        match made {
            Move::Lease(lease) => {
                self.lease = lease.map(|_| {
                    self.names += 1;
                    format!("lease-{}", self.names)
                });
                if self.life.is_linked() {
                    self.step(self.said());
                }
            }
            Move::Client if self.life.is_linked() => {
                let lease = self.lease.clone().map(|name| Lease { name, client: "other".to_owned() });
                self.step(Event::Said(lease));
            }
            Move::Devices(open) if self.opening => {
                self.opening = false;
                self.failed = !open;
                self.step(if open { Event::Opened } else { Event::OpenFailed("broken".to_owned()) });
            }
            Move::Hook(verdict) => {
                if let Some(moment) = self.hook.take() {
                    self.failed |= moment == Moment::Before
                        && verdict != Verdict::Proceed
                        && self.life.phase() == Phase::Before
                        && !self.termed;
                    self.step(Event::HookEnded { moment, verdict, message: String::new() });
                }
            }
            Move::Closed if self.closing => {
                self.closing = false;
                self.open = None;
                self.step(Event::Closed);
            }
            Move::Report(answer) => self.answer(answer),
            Move::Release(release) => {
                if let Some(name) = self.releasing.pop() {
                    let release = if self.watching { release } else { Release::Failed };
                    if release == Release::Done && self.lease.as_ref() == Some(&name) {
                        self.lease = None;
                    }
                    self.step(Event::Released(name, release));
                    if self.life.is_linked() {
                        self.step(self.said());
                    }
                }
            }
            // A client may also have seen what is over by now.
            Move::Seen if self.open.is_some() => self.step(Event::Seen),
            Move::EndSession if self.open.is_some() => self.step(Event::EndSession),
            Move::Cut(lost) if std::mem::take(&mut self.watching) => self.lose(lost),
            Move::Register(taken) if self.registering => {
                self.registering = false;
                match taken {
                    Registering::Taken => {
                        self.registered = true;
                        self.step(Event::Registered);
                    }
                    Registering::Lost(lost) => self.lose(lost),
                }
            }
            Move::Watch if self.watching && !self.life.is_linked() => self.step(self.said()),
            Move::Pass(time) => {
                self.at += Duration::from_millis(time.into());
                self.step(Event::Tick);
            }
            Move::Due => {
                if let Some(deadline) = self.life.deadline() {
                    self.at = self.at.max(deadline);
                    self.step(Event::Tick);
                }
            }
            Move::Hangup => self.step(Event::Stop(Stop::AfterLease)),
            Move::Term => {
                self.termed = true;
                self.step(Event::Stop(Stop::Now));
            }
            Move::Left if self.leaving => {
                self.leaving = false;
                self.step(Event::Left);
            }
            _ => {}
        }
    }

    /// Lets everything that is under way come to its end, with a controller that is there and leases to nobody.
    fn settle(&mut self) {
        self.lease = None;
        if self.life.is_linked() {
            self.step(self.said());
        }
        for _ in 0..40 {
            for made in [
                Move::Register(Registering::Taken),
                Move::Watch,
                Move::Devices(true),
                Move::Hook(Verdict::Proceed),
                Move::Report(Answer::Taken),
                Move::Release(Release::Done),
                Move::Closed,
                Move::Left,
                Move::Due,
            ] {
                self.make(made);
            }
        }
    }
}

#[test]
fn who_goes_and_waits_for_an_answer_goes_when_the_controller_is_away() {
    let mut world = World::new(Settings::default());
    for made in [
        Move::Lease(Some(0)),
        Move::Register(Registering::Taken),
        Move::Watch,
        Move::Devices(false),
        Move::Due,
        Move::Hangup,
        Move::Closed,
        Move::Cut(Lost::Cut),
    ] {
        world.make(made);
    }
    assert_eq!(world.life.phase(), Phase::Leaving);
    world.settle();
    assert!(world.over);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_both_waits_end_and_the_controller_knows_the_last_status(
        before: bool, after: bool, exit_on_lease_end: bool,
        moves in proptest::collection::vec(moves(), 0..120),
    ) {
        let mut world = World::new(Settings { before, after, exit_on_lease_end });
        for made in moves {
            world.make(made);
        }
        world.settle();
        if world.over {
            prop_assert_eq!(world.life.phase(), Phase::Over);
        } else {
            prop_assert_eq!(world.life.phase(), Phase::Free);
            prop_assert!(!world.life.is_stopping(), "who was asked to stop has stopped");
            if !world.silent {
                prop_assert_eq!(world.known, Some(S::Available));
                prop_assert!(world.life.is_reported());
            }
            prop_assert_eq!(world.life.deadline(), None, "nothing wakes an exporter that nobody has");
        }
    }
}
