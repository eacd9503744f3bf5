//! Scenes from an exporter's life, one after another.

use std::time::Duration;

use jumpstarter_life::{
    Effect, End, Event, FAREWELL, GLIMPSE, Lease, Life, Moment, Now, Phase, Release, SHOWN, Settings, Stop,
    UNSEEN, Verdict,
};
use jumpstarter_protocol::v1::ExporterStatus as S;

const HOOKS: Settings = Settings { before: true, after: true, exit_on_lease_end: false };
const NONE: Settings = Settings { before: false, after: false, exit_on_lease_end: false };

/// An exporter at work, with a controller that takes everything at once.
struct Scene {
    life: Life,
    at: Duration,
    /// What the controller was told, in order.
    told: Vec<S>,
}

fn leased(name: &str) -> Event {
    Event::Said(Some(Lease { name: name.to_owned(), client: "me".to_owned() }))
}

fn ended(moment: Moment, verdict: Verdict) -> Event {
    Event::HookEnded { moment, verdict, message: format!("{verdict:?}") }
}

impl Scene {
    fn new(settings: Settings) -> Self {
        let mut scene = Self { life: Life::new(settings), at: Duration::from_secs(1), told: Vec::new() };
        assert_eq!(scene.take(Event::Begin), [Effect::Register]);
        assert_eq!(scene.take(Event::Registered), [Effect::Watch]);
        scene.take(Event::Said(None));
        scene
    }

    /// The effects of an event, but for reports, which the controller takes.
    fn take(&mut self, event: Event) -> Vec<Effect> {
        let now = Now { at: self.at, chance: 0.5 };
        let mut rest = Vec::new();
        let mut todo = self.life.step(event, now);
        while !todo.is_empty() {
            let mut next = Vec::new();
            for effect in todo {
                match effect {
                    Effect::Report { number, report } => {
                        self.told.push(report.status);
                        next.extend(self.life.step(Event::Reported(number), now));
                    }
                    other => rest.push(other),
                }
            }
            todo = next;
        }
        rest
    }

    fn wait(&mut self, time: Duration) -> Vec<Effect> {
        self.at += time;
        self.take(Event::Tick)
    }

    fn to(settings: Settings, phase: Phase) -> Self {
        let mut scene = Self::new(settings);
        scene.take(leased("a"));
        scene.take(Event::Opened);
        if settings.before && phase != Phase::Before {
            scene.take(ended(Moment::Before, Verdict::Proceed));
        }
        assert_eq!(scene.life.phase(), phase);
        scene
    }
}

fn shows(effects: &[Effect]) -> Vec<S> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Show(report) => Some(report.status),
            _ => None,
        })
        .collect()
}

#[test]
fn a_lease_with_both_hooks_goes_from_free_to_free() {
    let mut scene = Scene::new(HOOKS);
    let lease = Lease { name: "a".to_owned(), client: "me".to_owned() };
    assert_eq!(scene.take(leased("a")), [Effect::Open(lease)]);
    let effects = scene.take(Event::Opened);
    assert_eq!(shows(&effects), [S::BeforeLeaseHook]);
    assert_eq!(effects.last(), Some(&Effect::RunHook(Moment::Before)));
    let effects = scene.take(ended(Moment::Before, Verdict::Proceed));
    assert_eq!(effects[0], Effect::Admit(true));
    assert_eq!(shows(&effects), [S::LeaseReady]);
    let effects = scene.take(Event::EndSession);
    assert_eq!(effects[0], Effect::Admit(false));
    assert_eq!(effects.last(), Some(&Effect::RunHook(Moment::After)));
    assert_eq!(shows(&scene.take(ended(Moment::After, Verdict::Proceed))), [S::Available]);
    // The client has seen it and gives the lease back.
    assert_eq!(scene.take(Event::Said(None)), [Effect::StopListening]);
    assert_eq!(scene.wait(GLIMPSE), [Effect::Close]);
    assert_eq!(scene.take(Event::Closed), []);
    assert_eq!(scene.life.phase(), Phase::Free);
    let told = [S::Available, S::BeforeLeaseHook, S::LeaseReady, S::AfterLeaseHook, S::Available];
    assert_eq!(scene.told, told);
}

#[test]
fn pitfall_l2_a_lease_that_ends_during_before_lease_shows_ready_to_its_client_and_not_to_the_controller() {
    let mut scene = Scene::to(HOOKS, Phase::Before);
    assert_eq!(scene.take(Event::Said(None)), [Effect::StopListening]);
    let effects = scene.take(ended(Moment::Before, Verdict::Proceed));
    assert_eq!(shows(&effects), [S::LeaseReady]);
    assert_eq!(scene.life.phase(), Phase::Glimpse);
    assert!(!effects.contains(&Effect::Admit(true)), "nobody may use what is not his any more");
    let effects = scene.wait(GLIMPSE);
    assert_eq!(effects.last(), Some(&Effect::RunHook(Moment::After)));
    assert!(!scene.told.contains(&S::LeaseReady), "{:?}", scene.told);
}

#[test]
fn pitfall_l3_after_lease_runs_once_whoever_asks_for_the_end() {
    let runs = |effects: &[Effect]| effects.iter().filter(|e| **e == Effect::RunHook(Moment::After)).count();
    for triggers in [
        vec![Event::EndSession, Event::Said(None), Event::Stop(Stop::Now)],
        vec![Event::Said(None), Event::EndSession, Event::EndSession],
        vec![Event::Stop(Stop::Now), Event::Said(None), Event::EndSession],
        vec![leased("b"), Event::EndSession],
    ] {
        let mut scene = Scene::to(HOOKS, Phase::Ready);
        let mut count = 0;
        for trigger in triggers {
            count += runs(&scene.take(trigger));
        }
        count += runs(&scene.take(ended(Moment::After, Verdict::Proceed)));
        count += runs(&scene.wait(SHOWN));
        count += runs(&scene.take(Event::Closed));
        assert_eq!(count, 1);
    }
}

#[test]
fn pitfall_l6_after_our_own_release_nothing_more_is_waited_for() {
    let mut scene = Scene::to(NONE, Phase::Ready);
    assert_eq!(shows(&scene.take(Event::EndSession)), [S::Available]);
    assert_eq!(scene.wait(SHOWN), [Effect::StopListening, Effect::Close, Effect::Release("a".to_owned())]);
    scene.take(Event::Released("a".to_owned(), Release::Done));
    scene.take(Event::Closed);
    assert_eq!(scene.life.phase(), Phase::Free);
    assert_eq!(scene.told.last(), Some(&S::Available));
    // The controller is late, and repeats itself.
    assert_eq!(scene.take(leased("a")), []);
    assert_eq!(scene.life.phase(), Phase::Free);
    scene.take(Event::Said(None));
    // Now it is another one.
    assert!(matches!(scene.take(leased("a"))[..], [Effect::Open(_)]));
}

#[test]
fn pitfall_l7_an_old_controller_is_told_of_the_release_with_a_status_that_gets_no_new_lease() {
    let mut scene = Scene::to(HOOKS, Phase::Ready);
    scene.take(Event::EndSession);
    scene.take(ended(Moment::After, Verdict::Proceed));
    scene.wait(SHOWN);
    scene.told.clear();
    // The report releases it, and is taken at once.
    scene.take(Event::Released("a".to_owned(), Release::Unknown));
    assert_eq!(scene.told, [S::AfterLeaseHook]);
    scene.take(Event::Closed);
    assert_eq!(scene.told, [S::AfterLeaseHook, S::Available]);
    // It is not asked in vain again.
    scene.take(Event::Said(None));
    scene.take(leased("b"));
    scene.take(Event::Opened);
    scene.take(ended(Moment::Before, Verdict::Failed));
    scene.take(Event::Seen);
    let effects = scene.wait(SHOWN);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Release(_))), "{effects:?}");
}

#[test]
fn pitfall_l8_the_next_lease_starts_when_the_last_one_is_done() {
    let mut scene = Scene::to(HOOKS, Phase::Ready);
    let effects = scene.take(leased("b"));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Open(_))), "{effects:?}");
    scene.take(ended(Moment::After, Verdict::Proceed));
    scene.wait(GLIMPSE);
    let effects = scene.take(Event::Closed);
    assert!(matches!(&effects[..], [Effect::Open(lease)] if lease.name == "b"), "{effects:?}");
}

#[test]
fn pitfall_l9_devices_that_cannot_be_opened_end_the_lease_and_not_the_exporter() {
    let mut scene = Scene::new(HOOKS);
    scene.take(leased("a"));
    scene.take(Event::OpenFailed("no such port".to_owned()));
    assert_eq!(scene.told.last(), Some(&S::BeforeLeaseHookFailed));
    assert_eq!(scene.life.last_report().message, "the devices cannot be opened: no such port");
    assert!(scene.wait(SHOWN).contains(&Effect::Release("a".to_owned())));
    scene.take(Event::Closed);
    scene.take(Event::Released("a".to_owned(), Release::Done));
    assert_eq!((scene.life.phase(), scene.told.last()), (Phase::Free, Some(&S::Available)));
}

#[test]
fn pitfall_h10_after_lease_does_not_run_for_a_lease_that_never_got_ready() {
    let mut scene = Scene::to(HOOKS, Phase::Before);
    assert_eq!(shows(&scene.take(ended(Moment::Before, Verdict::Failed))), [S::BeforeLeaseHookFailed]);
    scene.take(Event::Seen);
    let effects = scene.wait(SHOWN);
    assert_eq!(effects, [Effect::StopListening, Effect::Close, Effect::Release("a".to_owned())]);
}

#[test]
fn the_controller_lets_clients_in_until_one_has_seen_that_before_lease_failed() {
    let mut scene = Scene::to(HOOKS, Phase::Before);
    assert_eq!(shows(&scene.take(ended(Moment::Before, Verdict::Failed))), [S::BeforeLeaseHookFailed]);
    assert_eq!(scene.wait(SHOWN * 5), []);
    assert_eq!(
        scene.told.last(),
        Some(&S::BeforeLeaseHook),
        "with the hook's failure, it would let nobody in"
    );
    assert_eq!(scene.take(Event::Seen), []);
    assert_eq!(scene.told.last(), Some(&S::BeforeLeaseHookFailed));
    // Seen again is no reason to show it for longer.
    scene.wait(SHOWN / 2);
    assert_eq!(scene.take(Event::Seen), []);
    assert!(scene.wait(SHOWN / 2).contains(&Effect::Release("a".to_owned())));

    // Nobody comes.
    let mut scene = Scene::to(HOOKS, Phase::Before);
    scene.take(ended(Moment::Before, Verdict::Failed));
    assert_eq!(scene.life.deadline(), Some(scene.at + UNSEEN));
    assert_eq!(scene.wait(UNSEEN), []);
    assert_eq!(scene.told.last(), Some(&S::BeforeLeaseHookFailed));
    assert!(scene.wait(SHOWN).contains(&Effect::Release("a".to_owned())));

    // Whoever has seen it gives the lease back, and nobody else has to wait.
    let mut scene = Scene::to(HOOKS, Phase::Before);
    scene.take(ended(Moment::Before, Verdict::Failed));
    scene.wait(GLIMPSE);
    scene.take(Event::Seen);
    assert_eq!(scene.take(Event::Said(None)), [Effect::StopListening, Effect::Close]);
}

#[test]
fn pitfall_l13_a_controller_that_takes_no_reports_is_not_asked_again() {
    let mut life = Life::new(NONE);
    let now = Now { at: Duration::ZERO, chance: 0.0 };
    life.step(Event::Begin, now);
    life.step(Event::Registered, now);
    let effects = life.step(Event::Said(None), now);
    let [Effect::Report { number, .. }] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(life.step(Event::ReportFailed { number, never: true }, now), []);
    assert_eq!(life.deadline(), None);
    life.step(leased("a"), now);
    let effects = life.step(Event::Opened, now);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Report { .. })), "{effects:?}");
}

#[test]
fn pitfall_l14_a_hook_that_wants_the_exporter_to_stop_lets_the_client_see_why() {
    let mut scene = Scene::to(HOOKS, Phase::Before);
    scene.take(ended(Moment::Before, Verdict::FailedAndExit));
    assert_eq!(scene.wait(SHOWN * 5), []);
    // The client has seen it, and gives the lease back.
    scene.take(Event::Seen);
    assert_eq!(scene.told.last(), Some(&S::BeforeLeaseHookFailed));
    assert_eq!(scene.wait(SHOWN * 5), []);
    scene.take(Event::Said(None));
    scene.wait(Duration::ZERO);
    let effects = scene.take(Event::Closed);
    let [Effect::Leave(report)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.status, S::Offline);
    assert_eq!(report.message, "Exporter shutting down due to beforeLease hook failure");
    assert_eq!(scene.take(Event::Left), [Effect::Exit(End::Hook)]);

    let mut scene = Scene::to(HOOKS, Phase::Before);
    scene.take(ended(Moment::Before, Verdict::FailedAndExit));
    // Nobody is there to see it.
    assert!(scene.wait(FAREWELL).contains(&Effect::Release("a".to_owned())));

    let mut scene = Scene::to(HOOKS, Phase::Ready);
    scene.take(Event::EndSession);
    scene.take(ended(Moment::After, Verdict::FailedAndExit));
    assert_eq!(scene.told.last(), Some(&S::AfterLeaseHookFailed));
    assert_eq!(scene.wait(SHOWN / 2), []);
    assert!(scene.wait(SHOWN / 2).contains(&Effect::Close));
}

#[test]
fn pitfall_l17_a_hangup_waits_for_the_lease_and_a_term_does_not() {
    let mut scene = Scene::to(HOOKS, Phase::Ready);
    assert_eq!(scene.take(Event::Stop(Stop::AfterLease)), []);
    assert!(scene.take(Event::Stop(Stop::Now)).contains(&Effect::RunHook(Moment::After)));
    // And not the other way round.
    scene.take(Event::Stop(Stop::AfterLease));
    assert!(scene.take(ended(Moment::After, Verdict::Proceed)).contains(&Effect::Close));
    // Nobody has it: there is nothing to wait for.
    let mut idle = Scene::new(HOOKS);
    assert!(matches!(idle.take(Event::Stop(Stop::AfterLease))[..], [Effect::Leave(_)]));
}

#[test]
fn a_stop_ends_before_lease_and_runs_after_lease() {
    let mut scene = Scene::to(HOOKS, Phase::Before);
    assert_eq!(scene.take(Event::Stop(Stop::Now)), [Effect::CancelHook]);
    assert!(scene.take(ended(Moment::Before, Verdict::Proceed)).contains(&Effect::RunHook(Moment::After)));
    let effects = scene.take(ended(Moment::After, Verdict::Proceed));
    assert!(effects.contains(&Effect::Close), "{effects:?}");
    assert!(!effects.contains(&Effect::Release("a".to_owned())), "who is restarted goes on with it");
    assert!(matches!(scene.take(Event::Closed)[..], [Effect::Leave(_)]));
    assert_eq!(scene.take(Event::Left), [Effect::Exit(End::Stopped)]);
    assert_eq!(scene.take(Event::Said(None)), []);
}

#[test]
fn an_exporter_for_one_lease_ends_after_it() {
    let mut scene = Scene::to(Settings { exit_on_lease_end: true, ..NONE }, Phase::Ready);
    scene.take(Event::Said(None));
    assert!(matches!(scene.take(Event::Closed)[..], [Effect::Leave(_)]));
    assert_eq!(scene.take(Event::Left), [Effect::Exit(End::LeaseOver)]);
    assert_eq!(scene.told.last(), Some(&S::LeaseReady), "it is not available, not even for a moment");
}

#[test]
fn pitfall_c1_whatever_ends_a_connection_the_next_one_waits() {
    let now = |at: u64, chance| Now { at: Duration::from_millis(at), chance };
    let mut life = Life::new(NONE);
    life.step(Event::Begin, now(0, 0.0));
    let mut at = 0;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(life.step(Event::Lost { refused: false }, now(at, 0.0)), []);
        let due = life.deadline().unwrap();
        pauses.push(due.as_millis() - u128::from(at));
        at = u64::try_from(due.as_millis()).unwrap();
        assert_eq!(life.step(Event::Tick, now(at - 1, 0.0)), []);
        assert_eq!(life.step(Event::Tick, now(at, 0.0)), [Effect::Register]);
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]);
    // Chance doubles it at most.
    life.step(Event::Lost { refused: false }, now(at, 1.0));
    assert_eq!(life.deadline().unwrap(), Duration::from_millis(at + 8000));
}

#[test]
fn pitfall_c3_the_first_word_of_a_connection_is_the_whole_truth() {
    let mut scene = Scene::to(HOOKS, Phase::Ready);
    scene.take(Event::Lost { refused: false });
    // Said before, and late.
    assert_eq!(scene.take(Event::Said(None)), []);
    assert_eq!(scene.life.phase(), Phase::Ready);
    assert_eq!(scene.wait(Duration::from_secs(8)), [Effect::Register]);
    assert_eq!(scene.take(Event::Registered), [Effect::Watch]);
    scene.told.clear();
    assert_eq!(scene.take(leased("a")), []);
    assert_eq!(scene.told, [S::LeaseReady], "the last status is said on return");
    scene.take(Event::Lost { refused: true });
    scene.wait(Duration::from_secs(8));
    scene.take(Event::Registered);
    assert!(scene.take(Event::Said(None)).contains(&Effect::RunHook(Moment::After)));
}

#[test]
fn an_exporter_that_was_never_let_in_ends() {
    let mut life = Life::new(NONE);
    let now = Now { at: Duration::ZERO, chance: 0.0 };
    life.step(Event::Begin, now);
    assert_eq!(life.step(Event::Lost { refused: true }, now), [Effect::Exit(End::Refused)]);
    assert_eq!((life.phase(), life.deadline()), (Phase::Over, None));
}
