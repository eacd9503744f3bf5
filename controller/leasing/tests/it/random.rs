//! Random schedules: several controllers at once, each with a view of its own age and a clock of its own, over one store; lost
//! answers, restarts, exporters that come and go. [`Store`] checks after every write what must always hold.

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::labels::LEASE_HOLDER;
use jumpstarter_leasing::{Key, Kind, Outcome, Settings};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    store::Store,
    world::{Controller, Lab, behave, report, start},
};

const EXPORTERS: [(&str, &str); 4] = [("e0", "a"), ("e1", "a"), ("e2", "b"), ("e3", "b")];

/// What can happen. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// A client asks for a lease: for a board, for one exporter, for later, with priority.
    Ask {
        board: u8,
        pin: bool,
        later: bool,
        client: u8,
    },
    Release(u8),
    DeleteLease(u8),
    Behave(u8),
    Vanish(u8),
    Return(u8),
    Disable(u8),
    Enable(u8),
    Delete(u8),
    /// A controller learns of one thing, or does one thing.
    Deliver {
        controller: u8,
        kind: u8,
    },
    Write {
        controller: u8,
        index: u8,
        lose_answer: bool,
    },
    Look {
        controller: u8,
    },
    Load {
        controller: u8,
    },
    Restart {
        controller: u8,
        skew: i8,
    },
    Pass(u16),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..3_u8, prop::bool::weighted(0.2), prop::bool::weighted(0.1), 0..3_u8)
            .prop_map(|(board, pin, later, client)| Action::Ask { board, pin, later, client }),
        3 => any::<u8>().prop_map(Action::Release),
        1 => any::<u8>().prop_map(Action::DeleteLease),
        6 => any::<u8>().prop_map(Action::Behave),
        1 => any::<u8>().prop_map(Action::Vanish),
        2 => any::<u8>().prop_map(Action::Return),
        1 => any::<u8>().prop_map(Action::Disable),
        1 => any::<u8>().prop_map(Action::Enable),
        1 => any::<u8>().prop_map(Action::Delete),
        20 => (any::<u8>(), 0..4_u8).prop_map(|(controller, kind)| Action::Deliver { controller, kind }),
        20 => (any::<u8>(), any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(controller, index, lose_answer)| Action::Write { controller, index, lose_answer }),
        2 => any::<u8>().prop_map(|controller| Action::Look { controller }),
        1 => any::<u8>().prop_map(|controller| Action::Load { controller }),
        1 => (any::<u8>(), -30..=30_i8).prop_map(|(controller, skew)| Action::Restart { controller, skew }),
        2 => (1..400_u16).prop_map(Action::Pass),
    ]
}

struct World {
    store: Store,
    controllers: Vec<Controller>,
    now: Timestamp,
    leases: usize,
}

impl World {
    fn new(controllers: usize, priorities: bool) -> Self {
        let mut store = Store::default();
        for (name, board) in EXPORTERS {
            let value = json!({ "metadata": { "name": name, "labels": { "board": board } } });
            store.create(Kind::Exporter, value, start());
            come(&mut store, name, start());
        }
        for (client, tier) in [("c0", "low"), ("c1", "low"), ("c2", "high")] {
            store.create(
                Kind::Client,
                json!({ "metadata": { "name": client, "labels": { "tier": tier } } }),
                start(),
            );
        }
        if priorities {
            let spec = json!({ "policies": [
                { "priority": 1, "from": [{}] },
                { "priority": 2, "from": [{ "clientSelector": { "matchLabels": { "tier": "high" } } }] },
            ] });
            store.create(Kind::Policy, json!({ "metadata": { "name": "p" }, "spec": spec }), start());
        }
        let skews = [0, 30, -30];
        let controllers = (0..controllers)
            .map(|n| {
                Controller::start(&store, Settings::default(), start(), SignedDuration::from_secs(skews[n]))
            })
            .collect();
        Self { store, controllers, now: start(), leases: 0 }
    }

    fn exporter(&self, number: u8) -> Option<Key> {
        let all = self.store.all(Kind::Exporter);
        (!all.is_empty()).then(|| all[usize::from(number) % all.len()].clone())
    }

    fn lease(&self, number: u8) -> Option<Key> {
        let all = self.store.all(Kind::Lease);
        let active: Vec<_> =
            all.into_iter().filter(|key| self.store.objects[key]["status"]["ended"] != true).collect();
        (!active.is_empty()).then(|| active[usize::from(number) % active.len()].clone())
    }

    fn ask(&mut self, board: u8, pin: bool, later: bool, client: u8) {
        self.leases += 1;
        let mut spec =
            json!({ "clientRef": { "name": format!("c{client}") }, "selector": {}, "duration": "20m" });
        if pin {
            spec["exporterRef"] = json!({ "name": EXPORTERS[usize::from(client)].0 });
        } else {
            spec["selector"] = match board {
                0 => json!({ "matchLabels": { "board": "a" } }),
                1 => json!({ "matchLabels": { "board": "b" } }),
                _ => json!({ "matchExpressions": [{ "key": "board", "operator": "Exists" }] }),
            };
        }
        if later {
            spec["beginTime"] = json!(jumpstarter_api::time::whole(self.now + SignedDuration::from_secs(90)));
        }
        let name = format!("l{:03}", self.leases);
        // Every third is held by somebody who is never heard of.
        let held = self.leases.is_multiple_of(3);
        let annotations = if held { json!({ "jumpstarter.dev/lease-held": "true" }) } else { Value::Null };
        let metadata = json!({ "name": name, "annotations": annotations });
        self.store.create(Kind::Lease, json!({ "metadata": metadata, "spec": spec }), self.now);
    }

    fn act(&mut self, action: Action) {
        let count = self.controllers.len();
        let pick = |controller: u8| usize::from(controller) % count;
        match action {
            Action::Ask { board, pin, later, client } => self.ask(board, pin, later, client),
            Action::Release(n) => {
                if let Some(key) = self.lease(n) {
                    self.store.change(&key, &json!({ "spec": { "release": true } }));
                }
            }
            Action::DeleteLease(n) => {
                if let Some(key) = self.lease(n) {
                    self.store.delete(&key);
                }
            }
            Action::Behave(n) => {
                if let Some(key) = self.exporter(n) {
                    behave(&mut self.store, &key.name, self.now);
                }
            }
            Action::Vanish(n) => {
                if let Some(key) = self.exporter(n) {
                    report(&mut self.store, &key.name, "Offline", self.now);
                }
            }
            Action::Return(n) => {
                if let Some(key) = self.exporter(n) {
                    come(&mut self.store, &key.name, self.now);
                }
            }
            Action::Disable(n) | Action::Enable(n) => {
                if let Some(key) = self.exporter(n) {
                    let enabled = matches!(action, Action::Enable(_));
                    self.store.change(&key, &json!({ "spec": { "enabled": enabled } }));
                }
            }
            Action::Delete(n) => {
                if let Some(key) = self.exporter(n) {
                    let board = self.store.objects[&key]["metadata"]["labels"].clone();
                    self.store.delete(&key);
                    // And another one of that name.
                    let value = json!({ "metadata": { "name": &*key.name, "labels": board } });
                    self.store.create(Kind::Exporter, value, self.now);
                    come(&mut self.store, &key.name, self.now);
                }
            }
            Action::Deliver { controller, kind } => {
                self.controllers[pick(controller)].deliver(&self.store, kind.into(), self.now);
            }
            Action::Write { controller, index, lose_answer } => {
                let controller = &mut self.controllers[pick(controller)];
                if !controller.writes.is_empty() {
                    let index = usize::from(index) % controller.writes.len();
                    controller.write(&mut self.store, index, lose_answer, self.now);
                }
            }
            Action::Look { controller } => {
                let controller = &mut self.controllers[pick(controller)];
                if !controller.looks.is_empty() {
                    controller.answer(&self.store, 0, self.now);
                }
            }
            Action::Load { controller } => self.controllers[pick(controller)].load(&self.store, self.now),
            Action::Restart { controller, skew } => {
                let skew = SignedDuration::from_secs(skew.into());
                self.controllers[pick(controller)] =
                    Controller::start(&self.store, Settings::default(), self.now, skew);
            }
            Action::Pass(seconds) => {
                self.now += SignedDuration::from_secs(seconds.into());
                for controller in &mut self.controllers {
                    let now = controller.clock(self.now);
                    controller.step(now);
                }
            }
        }
    }

    fn settle_controllers(&mut self) {
        for controller in [0, 1, 0, 1] {
            self.controllers[controller].run(&mut self.store, self.now);
        }
    }

    /// Everybody does everything that there is to do, the exporters as well.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 500, "it never comes to rest");
            let before = self.store.log.len();
            for controller in &mut self.controllers {
                controller.run(&mut self.store, self.now);
            }
            for key in self.store.all(Kind::Exporter) {
                behave(&mut self.store, &key.name, self.now);
            }
            // Answers that were lost are waited for.
            self.now += SignedDuration::from_secs(31);
            for key in self.store.all(Kind::Exporter) {
                for controller in &mut self.controllers {
                    let now = controller.clock(self.now);
                    controller.leasing.seen(&key.name, now);
                }
            }
            if self.store.log.len() == before && round > 3 {
                break;
            }
        }
    }

    /// Those who wait, by name.
    fn waiting(&self) -> Vec<Key> {
        let waits = |key: &Key| {
            let value = &self.store.objects[key];
            value["status"]["ended"] != true && value["status"].get("exporterRef").is_none()
        };
        self.store.all(Kind::Lease).into_iter().filter(waits).collect()
    }
}

/// An exporter comes back, with all that it does then.
fn come(store: &mut Store, name: &str, now: Timestamp) {
    store.change(&Key::new(Kind::Exporter, name), &json!({ "status": { "devices": [{ "uuid": "u" }] } }));
    let leased = store.objects[&Key::new(Kind::Exporter, name)]["status"].get("leaseRef").is_some();
    report(store, name, if leased { "LeaseReady" } else { "Available" }, now);
}

/// Whether an exporter, as it is stored, could be given to a lease, as it is stored.
fn fits(exporter: &Value, lease: &Value) -> bool {
    let selector: jumpstarter_api::LabelSelector =
        serde_json::from_value(lease["spec"]["selector"].clone()).expect("a selector");
    let labels = serde_json::from_value(exporter["metadata"]["labels"].clone()).expect("labels");
    let pin = lease["spec"]["exporterRef"]["name"].as_str();
    pin.is_none_or(|pin| exporter["metadata"]["name"] == pin)
        && selector.to_selector().expect("a selector").matches(&labels)
}

fn is_free(exporter: &Value) -> bool {
    let online = |kind: &str| {
        let all = exporter["status"]["conditions"].as_array();
        all.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    online("Online")
        && online("Registered")
        && exporter["spec"]["enabled"] != false
        && exporter["status"]["exporterStatus"] == "Available"
        && exporter["status"].get("leaseRef").is_none()
}

/// As many schedules as are tried in a few seconds; `PROPTEST_CASES` tries more.
fn config() -> ProptestConfig {
    let more = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    let cases = if more { default.cases } else { 96 };
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    /// Three controllers that know nothing of each other, none of them up to date. Whatever they do, no exporter is held
    /// twice (which the store checks); and when they have had the time, nobody waits for an exporter that is free, and
    /// everybody is served in the end.
    #[test]
    fn stale_controllers_never_give_an_exporter_twice_and_lose_nobody(
        actions in prop::collection::vec(action(), 1..250),
        priorities: bool,
        controllers in 1..=3_usize,
    ) {
        let mut world = World::new(controllers, priorities);
        for action in actions {
            world.act(action);
        }
        // Now everything works again.
        for (name, _) in EXPORTERS {
            let key = Key::new(Kind::Exporter, name);
            world.store.change(&key, &json!({ "spec": { "enabled": true } }));
            come(&mut world.store, name, world.now);
        }
        world.now += SignedDuration::from_secs(120);
        for (name, _) in EXPORTERS {
            come(&mut world.store, name, world.now);
        }
        for _ in 0..=world.leases {
            world.settle();
            let waiting = world.waiting();
            for lease in &waiting {
                for (name, _) in EXPORTERS {
                    let exporter = &world.store.objects[&Key::new(Kind::Exporter, name)];
                    let lost = is_free(exporter) && fits(exporter, &world.store.objects[lease]);
                    prop_assert!(!lost, "{:?} waits and {name} is free", lease.name);
                }
            }
            // Those of exporters that were made anew meanwhile are sorted out by now.
            for (exporter, holders) in &world.store.holders {
                prop_assert!(holders.len() <= 1, "{exporter} is held by {holders:?}");
            }
            if waiting.is_empty() {
                break;
            }
            // Whoever has one gives it back.
            for key in world.store.all(Kind::Lease) {
                if world.store.objects[&key]["status"].get("exporterRef").is_some() {
                    world.store.change(&key, &json!({ "spec": { "release": true } }));
                }
            }
        }
        prop_assert_eq!(world.waiting(), Vec::new(), "everybody is served");
    }

    /// One controller that is up to date and restarts now and then, on clocks that differ: whoever gets an exporter is the
    /// first of those who wait for it.
    #[test]
    fn nobody_is_overtaken(
        actions in prop::collection::vec(action(), 1..120),
        priorities: bool,
    ) {
        let mut world = World::new(1, priorities);
        for action in actions {
            let before = world.store.log.len();
            match action {
                Action::Deliver { .. } | Action::Write { .. } | Action::Look { .. } => {}
                other => world.act(other),
            }
            let controller = &mut world.controllers[0];
            controller.run(&mut world.store, world.now);
            check_order(&world, before);
        }
    }
}

/// Of each assignment in the log since then: was there somebody who should have come first?
fn check_order(world: &World, since: usize) {
    let store = &world.store;
    let at = |key: &Key, index: usize| {
        store.log[..index].iter().rev().find(|(of, _)| of == key).and_then(|(_, value)| value.clone())
    };
    let leases: Vec<Key> = store.all(Kind::Lease);
    for index in since..store.log.len() {
        let (key, Some(exporter)) = &store.log[index] else { continue };
        let holder =
            |value: &Value| value["metadata"]["annotations"][LEASE_HOLDER].as_str().map(str::to_owned);
        let before = at(key, index);
        let Some(now) = holder(exporter).filter(|now| before.as_ref().and_then(holder).as_ref() != Some(now))
        else {
            continue;
        };
        let winner = Key::new(Kind::Lease, now.split('/').next().expect("a name"));
        let Some(winner_value) = at(&winner, index) else { continue };
        let clock = world.controllers[0].clock(world.now);
        let rank = |value: &Value| {
            let tier = u8::from(value["spec"]["clientRef"]["name"] != "c2");
            let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let created = time(&value["metadata"]["creationTimestamp"]).expect("a time");
            let begin = time(&value["spec"]["beginTime"]).unwrap_or(created);
            let priorities = store.objects.keys().any(|key| key.kind == Kind::Policy);
            (if priorities { tier } else { 0 }, created.max(begin), value["metadata"]["name"].to_string())
        };
        for other in leases.iter().filter(|other| **other != winner) {
            let Some(value) = at(other, index) else { continue };
            let over = value["status"]["ended"] == true
                || value["spec"]["release"] == true
                || value["status"].get("exporterRef").is_some()
                || rank(&value).1 > clock;
            let claimed = store.objects.iter().any(|(key, exporter)| {
                let holds =
                    holder(exporter).is_some_and(|holder| holder.starts_with(&format!("{}/", other.name)));
                key.kind == Kind::Exporter && holds
            });
            if over || claimed || !fits(exporter, &value) {
                continue;
            }
            assert!(
                rank(&winner_value) < rank(&value),
                "{} got {}, and {} waited longer",
                winner.name,
                key.name,
                other.name
            );
        }
    }
}

/// Two controllers decide for the same exporter at the same moment: one of them is refused, and both know it.
#[test]
fn of_two_that_decide_at_once_one_is_refused() {
    let mut world = World::new(2, false);
    for controller in &mut world.controllers {
        controller.run(&mut world.store, world.now);
    }
    for name in ["e1", "e2", "e3"] {
        world.store.change(&Key::new(Kind::Exporter, name), &json!({ "spec": { "enabled": false } }));
    }
    world.settle();
    world.ask(0, false, false, 0);
    for controller in 0..2 {
        while world.controllers[controller].deliver(&world.store, 3, world.now) {}
        assert_eq!(world.controllers[controller].writes.len(), 1, "each wants to give it");
    }
    let claims: Vec<_> = world.controllers.iter().map(|controller| controller.writes[0].clone()).collect();
    assert_eq!(claims[0].version, claims[1].version);
    world.settle();
    let exporter = world.store.exporter("e0");
    assert_eq!(exporter.lease_epoch(), 1, "one of the two writes was refused");
    assert_eq!(world.waiting(), Vec::new());
}

/// An exporter is given to a lease that another controller has not heard of yet. That one does not take the exporter for free:
/// it reads the lease.
#[test]
fn an_exporter_whose_lease_is_not_known_is_not_free() {
    let mut world = World::new(2, true);
    for controller in &mut world.controllers {
        controller.run(&mut world.store, world.now);
    }
    for name in ["e1", "e2", "e3"] {
        world.store.change(&Key::new(Kind::Exporter, name), &json!({ "spec": { "enabled": false } }));
    }
    report(&mut world.store, "e0", "AfterLeaseHook", world.now);
    world.ask(0, false, false, 0);
    world.settle_controllers();
    assert_eq!(world.waiting().len(), 1, "the exporter is busy");
    // One of better priority comes, and the exporter is ready; only the first controller hears of both.
    world.ask(0, false, false, 2);
    report(&mut world.store, "e0", "Available", world.now);
    for kind in [3, 2] {
        while world.controllers[0].deliver(&world.store, kind, world.now) {}
    }
    let claim = world.controllers[0].writes.iter().position(|write| write.key.kind == Kind::Exporter);
    world.controllers[0].write(&mut world.store, claim.expect("a claim"), false, world.now);
    while world.controllers[1].deliver(&world.store, 2, world.now) {}
    // It had decided already, from the news before; that is refused, and then it knows better.
    assert_eq!(world.controllers[1].writes.len(), 1);
    world.controllers[1].write(&mut world.store, 0, false, world.now);
    assert_eq!(world.controllers[1].looks, [Key::new(Kind::Lease, "l002")]);
    assert!(world.controllers[1].writes.is_empty(), "{:?}", world.controllers[1].writes);
    world.settle_controllers();
    assert_eq!(world.store.lease("l002").exporter(), Some("e0"));
    assert_eq!(world.store.lease("l001").exporter(), None);
}

/// An exporter is deleted and made anew between the two writes that give it away, and another controller gives the new one
/// to another lease. Only one of the two keeps it: the one that the exporter names.
#[test]
fn an_exporter_that_is_made_anew_belongs_to_one_lease_only() {
    let mut lab = Lab::new();
    lab.rig("rig", &json!({ "board": "a" }));
    let spec = json!({ "clientRef": { "name": "alice" }, "selector": { "matchLabels": { "board": "a" } }, "duration": "30m" });
    lab.store.create(Kind::Lease, json!({ "metadata": { "name": "first" }, "spec": spec }), lab.now);
    let mut sleeper = Controller::start(&lab.store, Settings::default(), lab.now, SignedDuration::ZERO);
    sleeper.write(&mut lab.store, 0, false, lab.now);
    lab.store.delete(&Key::new(Kind::Exporter, "rig"));
    lab.store.create(
        Kind::Exporter,
        json!({ "metadata": { "name": "rig", "labels": { "board": "a" } } }),
        lab.now,
    );
    come(&mut lab.store, "rig", lab.now);
    // The new one is claimed for a lease that goes first, and then the sleeper tells its own.
    lab.store.change(
        &Key::new(Kind::Exporter, "rig"),
        &json!({ "metadata": { "annotations": {
        "jumpstarter.dev/lease-epoch": "1", "jumpstarter.dev/lease-holder": "second/uid-4",
    } } }),
    );
    lab.store.create(Kind::Lease, json!({ "metadata": { "name": "second" }, "spec": spec }), lab.now);
    assert_eq!(lab.store.lease("second").metadata.uid.as_deref(), Some("uid-4"));
    sleeper.write(&mut lab.store, 0, false, lab.now);
    assert_eq!(lab.store.lease("first").exporter(), Some("rig"));
    lab.run();
    assert_eq!(lab.holder("second").as_deref(), Some("rig"));
    assert_eq!(
        lab.conditions("first"),
        [
            "Ready=False ExporterDeleted: exporter `rig` was made anew, and the new one belongs to another lease"
        ]
    );
}

/// A controller slept between its two writes, and the world went on without it.
#[test]
fn a_controller_that_wakes_late_changes_nothing() {
    let mut lab = Lab::new();
    lab.rig("rig", &json!({ "board": "a" }));
    let spec = json!({ "clientRef": { "name": "alice" }, "selector": { "matchLabels": { "board": "a" } }, "duration": "30m" });
    lab.store.create(Kind::Lease, json!({ "metadata": { "name": "first" }, "spec": spec }), lab.now);
    let mut sleeper = Controller::start(&lab.store, Settings::default(), lab.now, SignedDuration::ZERO);
    sleeper.write(&mut lab.store, 0, false, lab.now);
    assert_eq!(sleeper.writes.len(), 1, "it is about to tell the lease");
    // Another finishes that, the lease ends, the next one has the exporter.
    lab.run();
    lab.exporters_behave();
    assert_eq!(lab.holder("first").as_deref(), Some("rig"));
    lab.release("first");
    lab.exporters_behave();
    lab.by_board("second", "a");
    assert_eq!(lab.holder("second").as_deref(), Some("rig"));
    let before = lab.store.log.len();
    sleeper.run(&mut lab.store, lab.now);
    assert_eq!(lab.store.log.len(), before, "it finds out and writes nothing");
}

/// News that overtakes a write makes it fail. That is no reason to wait: it is tried again at once, from what is known.
#[test]
fn a_refused_write_is_tried_again_at_once_but_not_for_ever() {
    let mut lab = Lab::new();
    lab.rig("rig", &json!({ "board": "a" }));
    let spec = json!({ "clientRef": { "name": "alice" }, "selector": { "matchLabels": { "board": "a" } }, "duration": "30m" });
    lab.store.create(Kind::Lease, json!({ "metadata": { "name": "mine" }, "spec": spec }), lab.now);
    while lab.controller.deliver(&lab.store, 3, lab.now) {}
    assert_eq!(lab.controller.writes.len(), 1);
    // The exporter changes, and that is known, before the write is done.
    lab.store.change(&Key::new(Kind::Exporter, "rig"), &json!({ "metadata": { "labels": { "more": "x" } } }));
    while lab.controller.deliver(&lab.store, 2, lab.now) {}
    lab.run();
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"), "without any time passing");
    // A store that refuses without a reason is left in peace for a while.
    lab.release("mine");
    lab.exporters_behave();
    lab.store.create(Kind::Lease, json!({ "metadata": { "name": "next" }, "spec": spec }), lab.now);
    while lab.controller.deliver(&lab.store, 3, lab.now) {}
    let claim = lab.controller.writes.remove(0);
    let outcome = Outcome::Conflict(lab.store.get(&claim.key));
    lab.controller.leasing.written(claim.ticket, outcome, lab.now);
    lab.controller.step(lab.now);
    assert!(lab.controller.writes.iter().all(|write| write.key.kind != Kind::Exporter));
    lab.pass(1);
    assert_eq!(lab.holder("next").as_deref(), Some("rig"));
}
