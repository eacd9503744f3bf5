//! One scenario after the other, with every condition word by word. Types, statuses and reasons are those of the existing
//! controller; its messages are free, but for what is noted.

use jiff::SignedDuration;
use jumpstarter_api::labels::LEASE_ENDED;
use jumpstarter_leasing::{
    Kind, Note,
    words::{self, Because},
};
use serde_json::{Value, json};

use crate::world::{Lab, start};

fn rpi4() -> Value {
    json!({ "board": "rpi4" })
}

fn on(name: &str) -> Value {
    json!({ "exporterRef": { "name": name } })
}

const READY: &str = "Ready=True Ready: exporter `rig` has been acquired";

#[test]
fn a_free_exporter_is_assigned_at_once_and_the_lease_never_waits() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    assert_eq!(lab.conditions("mine"), [READY]);
    let lease = lab.store.lease("mine");
    let status = lease.status.clone().expect("a status");
    assert_eq!(status.begin_time.map(|time| time.0), Some(start()));
    assert_eq!((status.ended, status.priority, status.spot_access), (false, 0, false));
    assert_eq!(status.conditions[0].observed_generation, Some(1));
    let exporter = lab.store.exporter("rig");
    assert_eq!(
        exporter.status.clone().and_then(|status| status.lease_ref).map(|lease| lease.name),
        Some("mine".into())
    );
    assert_eq!(exporter.lease_epoch(), 1);
    assert_eq!(exporter.holder(), Some(("mine", lease.metadata.uid.as_deref().expect("a UID"))));
    assert!(lab.controller.notes.contains(&Note::Acquired {
        lease: "mine".into(),
        client: "alice".into(),
        exporter: "rig".into(),
        epoch: 1,
        waited: std::time::Duration::ZERO,
    }));
    // Nothing more is to be done, and a lease costs no more writes than these.
    let writes = |kind| lab.store.log.iter().filter(|(key, _)| key.kind == kind).count();
    assert_eq!(writes(Kind::Lease), 2, "made, and given its exporter");
}

#[test]
fn a_released_lease_keeps_its_exporter_in_its_status_and_gets_the_label_last() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.pass(60);
    lab.release("mine");
    assert_eq!(lab.conditions("mine"), ["Ready=False Released: the lease was released"]);
    let lease = lab.store.lease("mine");
    let status = lease.status.clone().expect("a status");
    assert!(status.ended);
    assert_eq!(status.end_time.map(|time| time.0), Some(lab.now));
    assert_eq!(status.exporter_ref.map(|exporter| exporter.name), Some("rig".into()));
    assert_eq!(status.conditions[0].observed_generation, Some(2), "releasing changed the spec");
    assert_eq!(status.conditions[0].last_transition_time.0, lab.now);
    assert_eq!(lease.metadata.labels.clone().expect("labels")[LEASE_ENDED], "true");
    let owner = &lease.metadata.owner_references.expect("an owner")[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.controller), ("Exporter", "rig", Some(true)));
    assert_eq!(lab.store.exporter("rig").status.and_then(|status| status.lease_ref), None);
    let ended: Vec<_> = lab.store.log.iter().filter(|(key, _)| key.kind == Kind::Lease).collect();
    assert_eq!(ended.len(), 5, "made, assigned, released by its client, ended, labelled");
}

#[test]
fn leases_expire_when_their_time_is_over() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.exporters_behave();
    let until = start() + SignedDuration::from_mins(30);
    lab.controller.leasing.seen("rig", until);
    lab.pass(30 * 60 - 1);
    assert_eq!(lab.conditions("mine"), [READY]);
    lab.pass(1);
    assert_eq!(lab.conditions("mine"), ["Ready=False Expired: the time of the lease is over"]);
    assert_eq!(
        lab.store.lease("mine").status.and_then(|status| status.end_time).map(|time| time.0),
        Some(until)
    );
}

#[test]
fn whoever_waits_is_told_once_why_and_whoever_asks_is_told_how_long() {
    let mut lab = Lab::new();
    for name in ["a", "b", "c"] {
        lab.rig(name, &rpi4());
        lab.by_board(&format!("on-{name}"), "rpi4");
        lab.exporters_behave();
        lab.pass(10);
    }
    lab.pass_in_touch(26 * 60 - 30);
    lab.by_board("mine", "rpi4");
    lab.by_board("next", "rpi4");
    let stored = "Pending=True NotAvailable: 3 exporters match, all leased";
    assert_eq!(lab.conditions("mine"), [stored]);
    assert_eq!(lab.says("mine"), "3 exporters match, all leased; the first ends in 4 min; place 1 of 2");
    assert_eq!(
        lab.says("next"),
        "3 exporters match, all leased; the first ends in 4 min; place 2 of 2, about 5 min to wait"
    );
    let waiting = lab.controller.leasing.waiting("next", lab.now).expect("it waits");
    assert_eq!((waiting.position, waiting.of, waiting.because), (2, 2, Because::NotAvailable));
    assert_eq!(waiting.first_ends, Some(start() + SignedDuration::from_mins(30)));
    assert_eq!(waiting.estimate, Some(start() + SignedDuration::from_secs(30 * 60 + 10)));
    // The condition that is read has it all; the one that is stored is not touched.
    let lease = lab.store.lease("next");
    let read = lab.controller.leasing.conditions(&lease, lab.now);
    assert_eq!((read.len(), read[0].message.as_str()), (1, lab.says("next").as_str()));
    lab.pass_in_touch(120);
    assert_eq!(lab.says("mine"), "3 exporters match, all leased; the first ends in 2 min; place 1 of 2");
    assert_eq!(lab.conditions("mine"), [stored]);
    // And it ends as the last of its conditions.
    lab.release("on-b");
    assert_eq!(lab.says("mine"), "3 exporters match, but none are ready; place 1 of 2");
    lab.exporters_behave();
    assert_eq!(lab.conditions("mine"), [stored, "Ready=True Ready: exporter `b` has been acquired"]);
    assert_eq!(lab.says("mine"), "");
    assert_eq!(lab.says("next").rsplit("; ").next(), Some("place 1 of 1"));
}

#[test]
fn why_a_lease_waits_has_the_reasons_that_clients_know() {
    let mut lab = Lab::new();
    lab.exporter("rig", &rpi4());
    lab.by_board("offline", "rpi4");
    assert_eq!(lab.conditions("offline"), ["Pending=True Offline: 1 exporter matches, but it is offline"]);
    lab.release("offline");
    assert_eq!(
        lab.conditions("offline"),
        [
            "Pending=True Offline: 1 exporter matches, but it is offline",
            "Ready=False Released: the lease was released",
        ]
    );
    lab.register("rig");
    lab.report("rig", "AfterLeaseHook");
    lab.by_board("busy", "rpi4");
    assert_eq!(lab.conditions("busy"), ["Pending=True NotReady: 1 exporter matches, but none are ready"]);
    lab.report("rig", "Available");
    lab.by_board("leased", "rpi4");
    assert_eq!(
        lab.conditions("leased"),
        ["Pending=True NotAvailable: 1 exporter matches, leased to the same client"]
    );
    // Whoever waits for himself can do something about it.
    lab.lease("foreign", &json!({ "clientRef": { "name": "bob" }, "selector": { "matchLabels": rpi4() } }));
    assert_eq!(
        lab.conditions("foreign"),
        ["Pending=True NotAvailable: 1 exporter matches, leased to another"]
    );
    for (lease, holder) in [("leased", "the same client"), ("foreign", "another")] {
        let says = lab.says(lease);
        assert!(says.starts_with(&format!("1 exporter matches, leased to {holder}; it ends in")), "{says}");
    }
    assert_eq!(
        lab.conditions("busy"),
        ["Pending=True NotReady: 1 exporter matches, but none are ready", READY]
    );
}

#[test]
fn the_impossible_is_refused_at_once_with_the_reason() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.rig("off", &json!({ "board": "old" }));
    lab.change(Kind::Exporter, "off", &json!({ "spec": { "enabled": false } }));
    let with = |name: &str, board: &str| json!({ "exporterRef": { "name": name }, "selector": { "matchLabels": { "board": board } } });
    for (name, spec, condition) in [
        (
            "nothing",
            json!({}),
            "Invalid=True InvalidSelector: the selector is empty; say which exporter, by labels or by name",
        ),
        (
            "nonsense",
            json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Is" }] } }),
            "Invalid=True InvalidSelector: invalid selector: `a`: `Is` is not an operator: write In, NotIn, Exists or DoesNotExist",
        ),
        ("unknown", on("rigg"), "Unsatisfiable=True ExporterNotFound: exporter `rigg` does not exist"),
        (
            "mismatch",
            with("rig", "rpi5"),
            "Unsatisfiable=True SelectorMismatch: exporter `rig` exists, but the selector `board=rpi5` does not match its labels",
        ),
        (
            "disabled",
            on("off"),
            "Unsatisfiable=True ExporterDisabled: exporter `off` is disabled; --allow-disabled leases it all the same",
        ),
        (
            "all-disabled",
            json!({ "selector": { "matchLabels": { "board": "old" } } }),
            "Unsatisfiable=True AllDisabled: 1 exporter matches, but it is disabled",
        ),
        (
            "no-match",
            json!({ "selector": { "matchLabels": { "board": "pc" } } }),
            "Unsatisfiable=True NoAccess: no exporter matches the selector `board=pc`",
        ),
    ] {
        lab.lease(name, &spec);
        assert_eq!(lab.conditions(name), [condition], "{name}");
        let lease = lab.store.lease(name);
        let status = lease.status.clone().expect("a status");
        assert!(status.ended && status.begin_time.is_none() && status.end_time.is_some(), "{name}");
        assert_eq!(lease.metadata.labels.clone().expect("labels")[LEASE_ENDED], "true");
    }
    let refused = |note: &&Note| matches!(note, Note::Ended { refused: true, .. });
    assert_eq!(lab.controller.notes.iter().filter(refused).count(), 7);
    // A name and a selector that fit are fine, and so is a disabled exporter for whoever insists.
    lab.lease("both", &with("rig", "rpi4"));
    assert_eq!(lab.conditions("both"), [READY]);
    let mut insists = on("off");
    insists["allowDisabled"] = json!(true);
    lab.lease("insists", &insists);
    assert_eq!(lab.holder("insists").as_deref(), Some("off"));
}

#[test]
fn policies_decide_who_may_and_say_what_to_do() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.rig("other", &rpi4());
    lab.client("alice", &json!({ "team": "a" }));
    lab.client("bob", &json!({ "team": "b" }));
    lab.policy(
        "rpi",
        &json!({
            "exporterSelector": { "matchLabels": { "board": "rpi4" } },
            "policies": [
                { "priority": 7, "description": "team a only: ask carol", "maximumDuration": "1h",
                  "from": [{ "clientSelector": { "matchLabels": { "team": "a" } } }] },
            ],
        }),
    );
    lab.by_board("mine", "rpi4");
    assert_eq!(lab.holder("mine").as_deref(), Some("other"), "of equal ones the first by name");
    assert_eq!(lab.store.lease("mine").status.expect("a status").priority, 7);
    lab.lease(
        "foreign",
        &json!({ "clientRef": { "name": "bob" }, "selector": { "matchLabels": { "board": "rpi4" } } }),
    );
    assert_eq!(
        lab.conditions("foreign"),
        [
            "Unsatisfiable=True NoAccess: 2 exporters match, but no access policy lets this client have one. Matching \
          policies: team a only: ask carol"
        ]
    );
    lab.lease("long", &json!({ "selector": { "matchLabels": { "board": "rpi4" } }, "duration": "2h" }));
    assert_eq!(
        lab.conditions("long"),
        [
            "Unsatisfiable=True NoAccess: 2 exporters match, but 2h0m0s is too long: access policies let this client have \
             one for 1h0m0s at most"
        ]
    );
    // Of a policy for others and one whose time is too short it is the time that can be helped.
    lab.policy(
        "rest",
        &json!({ "policies": [
            { "maximumDuration": "30m", "from": [{}] },
            { "description": "only high", "from": [{ "clientSelector": { "matchLabels": { "tier": "high" } } }] },
        ] }),
    );
    lab.lease(
        "longer",
        &json!({ "clientRef": { "name": "bob" }, "duration": "2h", "selector": { "matchLabels": { "board": "rpi4" } } }),
    );
    assert_eq!(
        lab.conditions("longer"),
        [
            "Unsatisfiable=True NoAccess: 2 exporters match, but 2h0m0s is too long: access policies let this client have \
             one for 30m0s at most. Matching policies: only high; team a only: ask carol"
        ]
    );
    lab.delete(Kind::Policy, "rest");
    lab.lease(
        "nobody",
        &json!({ "clientRef": { "name": "carol" }, "selector": { "matchLabels": { "board": "rpi4" } } }),
    );
    assert_eq!(
        lab.conditions("nobody"),
        ["Unsatisfiable=True NoAccess: client `carol` does not exist, and access policies ask who it is"]
    );
    // What is leased stays leased whatever policies come.
    lab.delete(Kind::Policy, "rpi");
    lab.policy("none", &json!({}));
    assert_eq!(lab.holder("mine").as_deref(), Some("other"));
    lab.by_board("late", "rpi4");
    assert!(lab.conditions("late")[0].starts_with("Unsatisfiable=True NoAccess"));
}

#[test]
fn access_on_the_spot_alone_is_refused_and_never_beats_a_wait() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.rig("spot", &json!({ "board": "pc" }));
    lab.client("alice", &json!({}));
    lab.policy("plain", &json!({ "exporterSelector": { "matchLabels": { "board": "rpi4" } }, "policies": [{ "from": [{}] }] }));
    lab.policy(
        "spot",
        &json!({
            "exporterSelector": { "matchLabels": { "board": "pc" } },
            "policies": [{ "spotAccess": true, "priority": 100, "from": [{}] }],
        }),
    );
    lab.by_board("refused", "pc");
    assert_eq!(
        lab.conditions("refused"),
        [
            "Unsatisfiable=True SpotAccess: 1 exporter matches, but the only access is on the spot, until somebody else needs \
          the exporter, and that is not given"
        ]
    );
    let any = json!({ "selector": { "matchExpressions": [{ "key": "board", "operator": "Exists" }] } });
    lab.lease("mine", &any);
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    lab.lease("next", &any);
    assert_eq!(
        lab.conditions("next"),
        ["Pending=True NotAvailable: 1 exporter matches, leased to the same client"]
    );
}

#[test]
fn the_first_by_priority_then_by_age_is_next() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    for (name, vip) in [("alice", "no"), ("bob", "no"), ("carol", "yes")] {
        lab.client(name, &json!({ "vip": vip }));
    }
    lab.policy(
        "all",
        &json!({ "policies": [
        { "priority": 1, "from": [{}] },
        { "priority": 5, "from": [{ "clientSelector": { "matchLabels": { "vip": "yes" } } }] },
    ] }),
    );
    let of = |client: &str| json!({ "clientRef": { "name": client }, "selector": { "matchLabels": { "board": "rpi4" } } });
    lab.lease("first", &of("alice"));
    for (name, client) in [("z-older", "bob"), ("a-newer", "alice"), ("vip", "carol")] {
        lab.pass(5);
        lab.report("rig", "LeaseReady");
        lab.lease(name, &of(client));
    }
    let places: Vec<_> = ["vip", "z-older", "a-newer"]
        .iter()
        .map(|lease| lab.controller.leasing.waiting(lease, lab.now).expect("it waits"))
        .map(|waiting| (waiting.position, waiting.of))
        .collect();
    assert_eq!(places, [(1, 3), (2, 3), (3, 3)]);
    let mut served = Vec::new();
    let mut holder = "first".to_owned();
    for _ in 0..3 {
        lab.release(&holder);
        lab.exporters_behave();
        let exporter = lab.store.exporter("rig");
        holder = exporter.holder().expect("a holder").0.to_owned();
        served.push(holder.clone());
    }
    assert_eq!(served, ["vip", "z-older", "a-newer"]);
    assert_eq!(lab.store.exporter("rig").lease_epoch(), 4);
}

#[test]
fn a_scheduled_lease_begins_and_ends_on_time_and_says_nothing_before() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    let begin = start() + SignedDuration::from_mins(10);
    let at = |minutes| jumpstarter_api::time::whole(start() + SignedDuration::from_mins(minutes));
    lab.lease(
        "mine",
        &json!({ "selector": { "matchLabels": rpi4() }, "beginTime": at(10), "endTime": at(20) }),
    );
    lab.pass_in_touch(9 * 60);
    assert_eq!(lab.store.lease("mine").status, None, "no condition at all");
    assert_eq!(lab.controller.leasing.waiting("mine", lab.now), None);
    assert!(lab.controller.leasing.next_deadline() <= Some(begin));
    // Somebody is faster; the scheduled lease begins late and still ends as planned.
    lab.by_board("faster", "rpi4");
    lab.pass_in_touch(60);
    assert_eq!(
        lab.conditions("mine"),
        ["Pending=True NotAvailable: 1 exporter matches, leased to the same client"]
    );
    lab.exporters_behave();
    lab.pass_in_touch(60);
    lab.exporters_behave();
    lab.release("faster");
    lab.exporters_behave();
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    assert_eq!(
        lab.store.lease("mine").status.expect("a status").begin_time.map(|time| time.0),
        Some(lab.now)
    );
    lab.pass_in_touch(9 * 60);
    assert_eq!(
        lab.conditions("mine").last().map(String::as_str),
        Some("Ready=False Expired: the time of the lease is over")
    );
}

#[test]
fn a_scheduled_lease_can_be_released_before_it_begins() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    let begin = jumpstarter_api::time::whole(start() + SignedDuration::from_mins(10));
    lab.lease("mine", &json!({ "selector": { "matchLabels": rpi4() }, "beginTime": begin }));
    lab.release("mine");
    assert_eq!(lab.conditions("mine"), ["Ready=False Released: the lease was released"]);
    assert!(lab.store.lease("mine").status.expect("a status").begin_time.is_none());
}

#[test]
fn a_lease_whose_end_has_passed_is_over_without_troubling_an_exporter() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    let at = |minutes| jumpstarter_api::time::whole(start() + SignedDuration::from_mins(minutes));
    lab.lease(
        "past",
        &json!({ "selector": { "matchLabels": rpi4() }, "beginTime": at(-20), "endTime": at(-10) }),
    );
    assert_eq!(
        lab.conditions("past"),
        ["Ready=False Expired: the time of the lease passed before it got an exporter"]
    );
    assert_eq!(lab.store.exporter("rig").lease_epoch(), 0);
    // One that waits is not left waiting for nothing.
    lab.by_board("first", "rpi4");
    lab.lease(
        "late",
        &json!({ "selector": { "matchLabels": rpi4() }, "beginTime": at(0), "duration": "5m" }),
    );
    assert_eq!(lab.conditions("late").len(), 1);
    lab.pass(5 * 60);
    assert!(lab.store.lease("late").is_ended());
}

#[test]
fn a_handed_over_lease_goes_on() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.change(Kind::Lease, "mine", &json!({ "spec": { "clientRef": { "name": "bob" } } }));
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    assert_eq!(lab.conditions("mine"), [READY]);
    assert_eq!(lab.store.exporter("rig").lease_epoch(), 1);
}

#[test]
fn an_end_that_moves_is_kept() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.controller.leasing.seen("rig", start() + SignedDuration::from_hours(2));
    lab.change(Kind::Lease, "mine", &json!({ "spec": { "duration": "5m" } }));
    assert_eq!(lab.conditions("mine"), [READY]);
    lab.pass(5 * 60);
    assert!(lab.store.lease("mine").is_ended());
}

#[test]
fn a_deleted_lease_frees_its_exporter() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.exporters_behave();
    lab.by_board("next", "rpi4");
    lab.delete(Kind::Lease, "mine");
    lab.exporters_behave();
    assert_eq!(lab.holder("next").as_deref(), Some("rig"));
}

/// A lease that the existing controller gave: no number, no holder on the exporter.
/// The controller dies between two writes; the next one finishes what was begun, for the same lease.
#[test]
fn what_was_begun_before_a_restart_is_finished_after_it() {
    for writes_before in 0..4 {
        let mut lab = Lab::new();
        lab.rig("rig", &rpi4());
        let spec = json!({ "clientRef": { "name": "alice" }, "selector": { "matchLabels": rpi4() }, "duration": "30m" });
        for name in ["first", "second"] {
            lab.store.create(Kind::Lease, json!({ "metadata": { "name": name }, "spec": spec }), lab.now);
        }
        while (0..4).any(|kind| lab.controller.deliver(&lab.store, kind, lab.now)) {}
        for _ in 0..writes_before {
            let claims = lab.controller.writes.iter().position(|write| write.key.kind == Kind::Exporter);
            let index = claims.unwrap_or(0);
            if index < lab.controller.writes.len() {
                lab.controller.write(&mut lab.store, index, false, lab.now);
            }
        }
        lab.restart();
        assert_eq!(lab.holder("first").as_deref(), Some("rig"), "after {writes_before} writes");
        assert_eq!(lab.store.exporter("rig").lease_epoch(), 1, "after {writes_before} writes");
        assert_eq!(lab.holder("second"), None);
    }
}

/// The page for users and the code know the same conditions.
#[test]
fn the_page_about_leasing_lists_every_condition_and_no_other() {
    let page = include_str!("../../../../docs/leasing.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | `"));
    let listed: Vec<(String, String)> = rows
        .filter_map(|(condition, rest)| {
            let (kind, status) = condition.split_once("` = ")?;
            Some((format!("{kind}={status}"), rest.split('`').next()?.to_owned()))
        })
        .collect();
    let known: Vec<_> = words::CATALOGUE
        .iter()
        .map(|(kind, so, reason)| {
            (format!("{kind}={}", if *so { "True" } else { "False" }), (*reason).to_owned())
        })
        .collect();
    assert_eq!(listed, known);
}
