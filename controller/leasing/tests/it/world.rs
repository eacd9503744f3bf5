//! A lab: a store, a controller around leasing, exporters that do what exporters do.

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{Condition, Exporter, condition, exporter::ONLINE};
use jumpstarter_leasing::{Effect, Key, Kind, Leasing, Note, Object, Outcome, Settings, Snapshot, Write};
use serde_json::{Value, json};

use crate::store::{Store, object};

/// One controller: what it knows, and what it is about to do.
pub(crate) struct Controller {
    pub(crate) leasing: Leasing,
    /// How much of the log it has seen, for each kind: watches are not in step with each other.
    pub(crate) read: [usize; 4],
    pub(crate) writes: Vec<Write>,
    pub(crate) looks: Vec<Key>,
    pub(crate) notes: Vec<Note>,
    pub(crate) skew: SignedDuration,
}

const KINDS: [Kind; 4] = [Kind::Client, Kind::Policy, Kind::Exporter, Kind::Lease];

impl Controller {
    pub(crate) fn start(store: &Store, settings: Settings, now: Timestamp, skew: SignedDuration) -> Self {
        let mut controller = Self {
            leasing: Leasing::new(settings),
            read: [store.log.len(); 4],
            writes: Vec::new(),
            looks: Vec::new(),
            notes: Vec::new(),
            skew,
        };
        controller.load(store, now);
        controller
    }

    pub(crate) fn load(&mut self, store: &Store, now: Timestamp) {
        let mut snapshot = Snapshot::default();
        for (key, value) in &store.objects {
            match object(key, value) {
                Object::Client(client) => snapshot.clients.push(client),
                Object::Policy(policy) => snapshot.policies.push(policy),
                Object::Exporter(exporter) => snapshot.exporters.push(exporter),
                Object::Lease(lease) => {
                    let ended = value["metadata"]["labels"].get("jumpstarter.dev/lease-ended").is_some();
                    snapshot.leases.extend((!ended).then_some(lease));
                }
            }
        }
        self.read = [store.log.len(); 4];
        let now = self.clock(now);
        self.leasing.load(snapshot, now);
        self.step(now);
    }

    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        now + self.skew
    }

    /// Collects what is to be done.
    pub(crate) fn step(&mut self, now: Timestamp) {
        for effect in self.leasing.step(now) {
            match effect {
                Effect::Write(write) => self.writes.push(write),
                Effect::Look(key) => self.looks.push(key),
                Effect::Note(note) => self.notes.push(note),
            }
        }
    }

    /// The next event of one kind. Returns whether there was one.
    pub(crate) fn deliver(&mut self, store: &Store, kind: usize, now: Timestamp) -> bool {
        let read = self.read[kind];
        let next = store.log[read..].iter().position(|(key, _)| key.kind == KINDS[kind]);
        let Some(next) = next else {
            self.read[kind] = store.log.len();
            return false;
        };
        self.read[kind] = read + next + 1;
        match &store.log[read + next] {
            (key, Some(value)) => self.leasing.apply(object(key, value)),
            (key, None) => self.leasing.remove(key),
        }
        let now = self.clock(now);
        self.step(now);
        true
    }

    /// Does one of the writes that are wanted.
    pub(crate) fn write(&mut self, store: &mut Store, index: usize, lose_answer: bool, now: Timestamp) {
        let write = self.writes.remove(index);
        let mut outcome = store.write(&write);
        if lose_answer {
            outcome = Outcome::Failed;
        }
        let now = self.clock(now);
        self.leasing.written(write.ticket, outcome, now);
        self.step(now);
    }

    pub(crate) fn answer(&mut self, store: &Store, index: usize, now: Timestamp) {
        let key = self.looks.remove(index);
        self.leasing.looked(&key, store.get(&key));
        let now = self.clock(now);
        self.step(now);
    }

    /// Does everything that there is to do now.
    pub(crate) fn run(&mut self, store: &mut Store, now: Timestamp) {
        let clock = self.clock(now);
        self.step(clock);
        for round in 0.. {
            assert!(round < 200_000, "it never comes to rest: {:?}", self.writes.first());
            if (0..4).any(|kind| self.deliver(store, kind, now)) {
            } else if !self.looks.is_empty() {
                self.answer(store, 0, now);
            } else if !self.writes.is_empty() {
                self.write(store, 0, false, now);
            } else {
                break;
            }
        }
    }
}

/// What an exporter does when somebody looks: it serves its lease, and tidies up after it.
pub(crate) fn behave(store: &mut Store, name: &str, now: Timestamp) -> bool {
    let exporter = store.exporter(name);
    let leased = exporter.status.as_ref().is_some_and(|status| status.lease_ref.is_some());
    let state = exporter.state().map_or("", |state| state.name());
    let next = match (leased, state) {
        (true, "Available") => "BeforeLeaseHook",
        (true, "BeforeLeaseHook") => "LeaseReady",
        (false, "LeaseReady" | "BeforeLeaseHook") => "AfterLeaseHook",
        (false, "AfterLeaseHook") => "Available",
        _ => return false,
    };
    report(store, name, next, now);
    true
}

/// What the service writes when an exporter tells what it does.
pub(crate) fn report(store: &mut Store, name: &str, state: &str, now: Timestamp) {
    let key = Key::new(Kind::Exporter, name);
    let exporter: Exporter = store.exporter(name);
    let mut conditions: Vec<Condition> = exporter.status.map(|status| status.conditions).unwrap_or_default();
    let online = state != "Offline";
    let reason = if online { "StatusReported" } else { "Offline" };
    condition::set(&mut conditions, ONLINE, online, reason, "", Some(1), now);
    let seen = jumpstarter_api::time::whole(now);
    store.change(
        &key,
        &json!({ "status": {
        "exporterStatus": state, "statusMessage": null, "lastSeen": seen, "conditions": conditions,
    } }),
    );
}

/// A lab with one controller that is always up to date.
pub(crate) struct Lab {
    pub(crate) store: Store,
    pub(crate) controller: Controller,
    pub(crate) now: Timestamp,
}

pub(crate) fn start() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let store = Store::default();
        let controller = Controller::start(&store, settings, start(), SignedDuration::ZERO);
        Self { store, controller, now: start() }
    }

    /// An exporter that is there and can be leased.
    pub(crate) fn rig(&mut self, name: &str, labels: &Value) {
        self.exporter(name, labels);
        self.register(name);
        self.report(name, "Available");
    }

    /// An exporter that has never been seen.
    pub(crate) fn exporter(&mut self, name: &str, labels: &Value) {
        let value = json!({ "metadata": { "name": name, "labels": labels } });
        self.store.create(Kind::Exporter, value, self.now);
        self.run();
    }

    pub(crate) fn register(&mut self, name: &str) {
        let devices = json!({ "status": { "devices": [{ "uuid": "u" }] } });
        self.store.change(&Key::new(Kind::Exporter, name), &devices);
        self.run();
    }

    pub(crate) fn report(&mut self, name: &str, state: &str) {
        report(&mut self.store, name, state, self.now);
        self.run();
    }

    pub(crate) fn client(&mut self, name: &str, labels: &Value) {
        let value = json!({ "metadata": { "name": name, "labels": labels } });
        self.store.create(Kind::Client, value, self.now);
        self.run();
    }

    pub(crate) fn policy(&mut self, name: &str, spec: &Value) {
        let value = json!({ "metadata": { "name": name }, "spec": spec });
        self.store.create(Kind::Policy, value, self.now);
        self.run();
    }

    /// A lease for half an hour, with whatever else `spec` says.
    pub(crate) fn lease(&mut self, name: &str, spec: &Value) {
        self.make(&json!({ "name": name }), spec);
    }

    /// The same for one that its client holds.
    pub(crate) fn held(&mut self, name: &str, spec: &Value) {
        let annotations = json!({ "jumpstarter.dev/lease-held": "true" });
        self.make(&json!({ "name": name, "annotations": annotations }), spec);
    }

    fn make(&mut self, metadata: &Value, spec: &Value) {
        let mut full = json!({ "clientRef": { "name": "alice" }, "selector": {}, "duration": "30m" });
        jumpstarter_api::patch::apply(&mut full, spec);
        self.store.create(Kind::Lease, json!({ "metadata": metadata, "spec": full }), self.now);
        self.run();
    }

    pub(crate) fn by_board(&mut self, name: &str, board: &str) {
        self.lease(name, &json!({ "selector": { "matchLabels": { "board": board } } }));
    }

    pub(crate) fn change(&mut self, kind: Kind, name: &str, patch: &Value) {
        self.store.change(&Key::new(kind, name), patch);
        self.run();
    }

    pub(crate) fn release(&mut self, name: &str) {
        self.change(Kind::Lease, name, &json!({ "spec": { "release": true } }));
    }

    pub(crate) fn delete(&mut self, kind: Kind, name: &str) {
        self.store.delete(&Key::new(kind, name));
        self.run();
    }

    pub(crate) fn run(&mut self) {
        self.controller.run(&mut self.store, self.now);
    }

    /// Time passes; whatever becomes due meanwhile happens when it is due.
    pub(crate) fn pass(&mut self, seconds: i64) {
        let until = self.now + SignedDuration::from_secs(seconds);
        while let Some(due) = self.controller.leasing.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.run();
        }
        self.now = until;
        self.run();
    }

    /// Time passes, and every exporter is heard of.
    pub(crate) fn pass_in_touch(&mut self, seconds: i64) {
        for begin in (0..seconds).step_by(30) {
            for key in self.store.all(Kind::Exporter) {
                self.controller.leasing.seen(&key.name, self.now);
            }
            self.pass((seconds - begin).min(30));
        }
    }

    /// Exporters do what they do, until nothing moves.
    pub(crate) fn exporters_behave(&mut self) {
        let names = self.store.all(Kind::Exporter);
        while names.iter().any(|key| behave(&mut self.store, &key.name, self.now)) {
            self.run();
        }
    }

    pub(crate) fn restart(&mut self) {
        self.controller = Controller::start(&self.store, Settings::default(), self.now, SignedDuration::ZERO);
        self.run();
    }

    /// The conditions of a lease as they are stored: type, status, reason, message.
    pub(crate) fn conditions(&self, lease: &str) -> Vec<String> {
        let status = self.store.lease(lease).status.unwrap_or_default();
        status
            .conditions
            .iter()
            .map(|c| format!("{}={:?} {}: {}", c.kind, c.status, c.reason, c.message))
            .collect()
    }

    pub(crate) fn holder(&self, lease: &str) -> Option<String> {
        let lease = self.store.lease(lease);
        lease.exporter().filter(|_| !lease.is_ended()).map(str::to_owned)
    }

    pub(crate) fn says(&self, lease: &str) -> String {
        self.controller.leasing.waiting(lease, self.now).map_or(String::new(), |waiting| waiting.message)
    }
}
