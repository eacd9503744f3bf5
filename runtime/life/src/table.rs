//! The machine as a table, made by running it: for each state, what each event leads to.

use std::{fmt::Write as _, time::Duration};

use jumpstarter_protocol::v1::ExporterStatus;

use crate::{Effect, Event, Lease, Life, Moment, Now, Phase, Release, Report, Settings, Stop, Verdict};

/// Longer than anything is shown.
const LONG: Duration = Duration::from_hours(1);

fn lease(name: &str) -> Lease {
    Lease { name: name.to_owned(), client: "me".to_owned() }
}

fn ended(moment: Moment, verdict: Verdict) -> Event {
    Event::HookEnded { moment, verdict, message: "…".to_owned() }
}

/// An exporter with both hooks in this state, on the shortest way.
fn life(phase: Phase) -> Life {
    let way: &[Event] = match phase {
        Phase::Free => &[],
        Phase::Opening => &[Event::Said(Some(lease("a")))],
        Phase::Before => &[Event::Said(Some(lease("a"))), Event::Opened],
        Phase::Ready => {
            &[Event::Said(Some(lease("a"))), Event::Opened, ended(Moment::Before, Verdict::Proceed)]
        }
        Phase::Failed => {
            &[Event::Said(Some(lease("a"))), Event::Opened, ended(Moment::Before, Verdict::Failed)]
        }
        Phase::Glimpse => &[
            Event::Said(Some(lease("a"))),
            Event::Opened,
            Event::Said(None),
            ended(Moment::Before, Verdict::Proceed),
        ],
        Phase::After => &[
            Event::Said(Some(lease("a"))),
            Event::Opened,
            ended(Moment::Before, Verdict::Proceed),
            Event::EndSession,
        ],
        Phase::Shown => &[
            Event::Said(Some(lease("a"))),
            Event::Opened,
            ended(Moment::Before, Verdict::Proceed),
            Event::EndSession,
            ended(Moment::After, Verdict::Proceed),
        ],
        Phase::Closing => &[
            Event::Said(Some(lease("a"))),
            Event::Opened,
            ended(Moment::Before, Verdict::Proceed),
            Event::EndSession,
            ended(Moment::After, Verdict::Proceed),
            Event::Tick,
        ],
        Phase::Releasing => &[
            Event::Said(Some(lease("a"))),
            Event::Opened,
            ended(Moment::Before, Verdict::Proceed),
            Event::EndSession,
            ended(Moment::After, Verdict::Proceed),
            Event::Tick,
            Event::Closed,
        ],
        Phase::Leaving => &[Event::Stop(Stop::Now)],
        Phase::Over => &[Event::Stop(Stop::Now), Event::Left],
    };
    let mut life = Life::new(Settings { before: true, after: true, exit_on_lease_end: false });
    let begin = [Event::Begin, Event::Registered, Event::Said(None)];
    for event in begin.iter().chain(way) {
        take(&mut life, event.clone());
    }
    life
}

/// Time passes only when that is the event. The controller takes every report at once.
fn take(life: &mut Life, event: Event) -> Vec<Effect> {
    let now = Now { at: if event == Event::Tick { LONG } else { Duration::ZERO }, chance: 0.0 };
    let effects = life.step(event, now);
    for effect in &effects {
        if let Effect::Report { number, .. } = effect {
            life.step(Event::Reported(*number), now);
        }
    }
    effects
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("the controller: leased by a", Event::Said(Some(lease("a")))),
        ("the controller: leased by b", Event::Said(Some(lease("b")))),
        ("the controller: not leased", Event::Said(None)),
        ("the devices are open", Event::Opened),
        ("the devices cannot be opened", Event::OpenFailed("…".to_owned())),
        ("beforeLease has ended", ended(Moment::Before, Verdict::Proceed)),
        ("beforeLease has failed: endLease", ended(Moment::Before, Verdict::Failed)),
        ("beforeLease has failed: exit", ended(Moment::Before, Verdict::FailedAndExit)),
        ("afterLease has ended", ended(Moment::After, Verdict::Proceed)),
        ("afterLease has failed: endLease", ended(Moment::After, Verdict::Failed)),
        ("afterLease has failed: exit", ended(Moment::After, Verdict::FailedAndExit)),
        ("a client has seen it", Event::Seen),
        ("the client asks for the end", Event::EndSession),
        ("the devices are closed", Event::Closed),
        ("the lease is released", Event::Released("a".to_owned(), Release::Done)),
        ("it cannot be released so", Event::Released("a".to_owned(), Release::Unknown)),
        ("time has passed", Event::Tick),
        ("stop after the lease", Event::Stop(Stop::AfterLease)),
        ("stop", Event::Stop(Stop::Now)),
        ("the controller knows it goes", Event::Left),
    ]
}

fn status(status: ExporterStatus) -> &'static str {
    status.as_str_name().trim_start_matches("EXPORTER_STATUS_")
}

fn word(effect: &Effect) -> Option<String> {
    let told = |report: &Report| {
        let release = if report.release { " with release" } else { "" };
        format!("{}{release}", status(report.status))
    };
    Some(match effect {
        Effect::Open(lease) => format!("open {}", lease.name),
        Effect::Show(report) => format!("show {}", told(report)),
        Effect::Report { report, .. } => format!("report {}", told(report)),
        Effect::Admit(true) => "admit calls".to_owned(),
        Effect::Admit(false) => "refuse calls".to_owned(),
        Effect::RunHook(moment) => format!("run {}", moment.name()),
        Effect::CancelHook => "end the hook".to_owned(),
        Effect::StopListening => "no new tunnels".to_owned(),
        Effect::Release(name) => format!("release {name}"),
        Effect::Close => "close".to_owned(),
        Effect::Leave(report) => format!("report {}, unregister", told(report)),
        Effect::Exit(_) => "exit".to_owned(),
        Effect::Register => "register".to_owned(),
        Effect::Watch => "hear who has it".to_owned(),
        Effect::Client(_) => return None,
    })
}

/// A table in Markdown: the states of an exporter with both hooks that is connected with its controller and serves a lease
/// `a`, and what each event leads to. Events that a state takes no notice of are left out.
pub fn markdown() -> String {
    let mut table = String::from("| State | Event | Next | Done |\n|---|---|---|---|\n");
    for phase in Phase::ALL {
        for (words, event) in events() {
            let mut life = life(phase);
            // A report that the state before began is not this event's.
            let before = life.last_report().clone();
            let effects = take(&mut life, event);
            let next = life.phase();
            let done: Vec<_> = effects.iter().filter_map(word).collect();
            if next == phase && done.is_empty() && *life.last_report() == before {
                continue;
            }
            let next = if next == phase { "–".to_owned() } else { format!("{next:?}") };
            let _ = writeln!(table, "| {phase:?} | {words} | {next} | {} |", done.join(", "));
        }
    }
    table
}

/// What leads to each state of the connection with the controller, on the shortest way.
const WAYS: [&[Event]; 7] = [
    &[],
    &[Event::Begin],
    &[Event::Begin, LOST],
    &[Event::Begin, Event::Registered],
    &[Event::Begin, Event::Registered, Event::Said(None)],
    &[Event::Begin, Event::Registered, Event::Said(None), LOST],
    &[Event::Begin, Event::Registered, Event::Said(None), LOST, Event::Tick],
];

const LOST: Event = Event::Lost { refused: false };

/// A table in Markdown: the states of the connection with the controller of an exporter that nobody has, and what each event
/// leads to. Events that a state takes no notice of are left out.
pub fn registering() -> String {
    let events = [
        ("it is started", Event::Begin),
        ("the controller takes it", Event::Registered),
        ("the controller: not leased", Event::Said(None)),
        ("no answer, or the connection is lost", LOST),
        ("the controller does not let it in", Event::Lost { refused: true }),
        ("time has passed", Event::Tick),
        ("stop", Event::Stop(Stop::Now)),
    ];
    let mut table = String::from("| State | Event | Next | Done |\n|---|---|---|---|\n");
    for way in WAYS {
        for (words, event) in &events {
            let mut life = Life::new(Settings::default());
            for event in way {
                take(&mut life, event.clone());
            }
            let (state, phase) = (life.link.name(), life.phase());
            // Only who was asked refuses.
            if matches!((state, event), ("Off" | "Waiting", Event::Lost { .. })) {
                continue;
            }
            let effects = take(&mut life, event.clone());
            let done: Vec<_> = effects.iter().filter_map(word).collect();
            let next = match life.phase() {
                now if now != phase => format!("{now:?}"),
                _ if life.link.name() != state => life.link.name().to_owned(),
                _ if done.is_empty() => continue,
                _ => "–".to_owned(),
            };
            let _ = writeln!(table, "| {state} | {words} | {next} | {} |", done.join(", "));
        }
    }
    table
}
