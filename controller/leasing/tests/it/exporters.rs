//! Exporters that come, go, stay away, and belong to others.

use jiff::SignedDuration;
use jumpstarter_api::{ConditionStatus, ExporterState};
use jumpstarter_leasing::{Kind, Note, Settings};
use serde_json::{Value, json};

use crate::world::{Lab, start};

fn rpi4() -> Value {
    json!({ "board": "rpi4" })
}

const READY: &str = "Ready=True Ready: exporter `rig` has been acquired";

#[test]
fn an_exporter_that_never_tells_its_state_can_be_leased() {
    let mut lab = Lab::new();
    lab.exporter("rig", &rpi4());
    lab.register("rig");
    lab.controller.leasing.seen("rig", lab.now);
    lab.run();
    assert_eq!(lab.store.exporter("rig").state(), None);
    lab.by_board("mine", "rpi4");
    assert_eq!(lab.conditions("mine"), [READY]);
}

#[test]
fn disabling_an_exporter_leaves_its_lease_alone_and_stops_the_next() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.by_board("next", "rpi4");
    lab.change(Kind::Exporter, "rig", &json!({ "spec": { "enabled": false } }));
    assert_eq!(lab.conditions("mine"), [READY]);
    assert_eq!(
        lab.conditions("next"),
        [
            "Pending=True NotAvailable: 1 exporter matches, leased to the same client",
            "Unsatisfiable=True AllDisabled: 1 exporter matches, but it is disabled",
        ]
    );
}

#[test]
fn an_exporter_that_is_not_heard_of_is_offline_and_one_that_stays_away_loses_its_lease() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.exporters_behave();
    let writes = lab.store.log.len();
    for _ in 0..30 {
        lab.pass(10);
        lab.controller.leasing.seen("rig", lab.now);
        lab.run();
    }
    assert_eq!(lab.store.log.len(), writes, "being heard of writes nothing");
    lab.pass(59);
    assert!(lab.store.exporter("rig").is_online());
    lab.pass(1);
    let exporter = lab.store.exporter("rig");
    let status = exporter.status.clone().expect("a status");
    assert!(!exporter.is_online());
    assert_eq!(status.exporter_status.map(ExporterState::name), Some("Offline"));
    assert_eq!(status.status_message.as_deref(), Some("Connection lost: last seen 2026-11-20T12:05:00Z"));
    assert_eq!(status.last_seen.map(|time| time.0), Some(start() + SignedDuration::from_mins(5)));
    assert!(lab.controller.notes.contains(&Note::Online { exporter: "rig".into(), online: false }));
    assert_eq!(lab.conditions("mine"), [READY], "it may come back");
    lab.pass(299);
    assert_eq!(lab.conditions("mine"), [READY]);
    lab.pass(1);
    assert_eq!(
        lab.conditions("mine"),
        ["Ready=False ExporterLost: exporter `rig` went offline and did not come back"]
    );
    // It returns, tidies up, and serves the next.
    lab.by_board("next", "rpi4");
    assert_eq!(lab.conditions("next"), ["Pending=True Offline: 1 exporter matches, but it is offline"]);
    lab.report("rig", "Available");
    assert_eq!(lab.holder("next").as_deref(), Some("rig"));
    assert_eq!(lab.store.exporter("rig").lease_epoch(), 2, "a return with the old number can be refused");
}

#[test]
fn an_exporter_that_is_connected_is_there_and_nothing_has_to_be_done_for_that() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.exporters_behave();
    let leasing = &mut lab.controller.leasing;
    // It comes back before it is known that its old connection is gone.
    leasing.connected("rig", lab.now);
    leasing.connected("rig", lab.now);
    lab.run();
    let lease = lab.store.lease("mine");
    let ends = lease.status.as_ref().and_then(|status| status.begin_time.as_ref()).map(|begin| begin.0);
    assert_eq!(
        lab.controller.leasing.next_deadline(),
        ends.map(|begin| begin + SignedDuration::from_mins(30)),
        "the end of the lease is all that comes"
    );
    lab.pass(10 * 60);
    lab.controller.leasing.parted("rig", lab.now);
    lab.run();
    lab.pass(10 * 60);
    assert!(lab.store.exporter("rig").is_online());
    assert_eq!(lab.conditions("mine"), [READY]);
    // The last one is gone: it has its time from now on.
    lab.controller.leasing.parted("rig", lab.now);
    lab.run();
    lab.pass(59);
    assert!(lab.store.exporter("rig").is_online());
    lab.pass(1);
    assert!(!lab.store.exporter("rig").is_online());
    // And is there again with its first word.
    lab.controller.leasing.connected("rig", lab.now);
    lab.report("rig", "LeaseReady");
    lab.pass(8 * 60);
    assert!(lab.store.exporter("rig").is_online());
}

#[test]
fn an_exporter_that_connects_before_anybody_tells_of_it_is_there() {
    let mut lab = Lab::new();
    lab.controller.leasing.connected("rig", lab.now);
    lab.exporter("rig", &rpi4());
    lab.register("rig");
    lab.run();
    assert!(lab.store.exporter("rig").is_online());
    lab.pass(60 * 60);
    assert!(lab.store.exporter("rig").is_online());
    lab.controller.leasing.parted("rig", lab.now);
    lab.run();
    lab.pass(60);
    assert!(!lab.store.exporter("rig").is_online());
}

#[test]
fn an_exporter_that_comes_back_in_time_keeps_its_lease() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.exporters_behave();
    lab.pass(200);
    assert!(!lab.store.exporter("rig").is_online());
    lab.report("rig", "LeaseReady");
    assert!(lab.store.exporter("rig").is_online());
    lab.pass(50);
    lab.controller.leasing.seen("rig", lab.now);
    lab.pass(50);
    assert_eq!(lab.conditions("mine"), [READY]);
}

#[test]
fn a_restart_takes_nobody_for_lost() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.exporters_behave();
    // Heard of all the time, which is not in the store.
    lab.controller.leasing.seen("rig", start() + SignedDuration::from_mins(20));
    lab.pass(20 * 60);
    lab.restart();
    assert!(lab.store.exporter("rig").is_online());
    assert_eq!(lab.conditions("mine"), [READY]);
    lab.pass(60);
    assert!(!lab.store.exporter("rig").is_online(), "but it has to be heard of again");
}

#[test]
fn without_patience_a_lease_on_a_lost_exporter_goes_on_to_its_end() {
    let mut settings = Settings::default();
    settings.lost_after = None;
    let mut lab = Lab::with(settings);
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.pass(29 * 60);
    assert!(!lab.store.exporter("rig").is_online());
    assert_eq!(lab.conditions("mine"), [READY]);
}

#[test]
fn a_deleted_exporter_ends_its_lease_with_the_reason() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.by_board("mine", "rpi4");
    lab.by_board("next", "rpi4");
    lab.delete(Kind::Exporter, "rig");
    assert_eq!(lab.conditions("mine"), ["Ready=False ExporterDeleted: exporter `rig` was deleted"]);
    assert_eq!(lab.store.lease("mine").metadata.owner_references, None);
    assert_eq!(
        lab.conditions("next")[1],
        "Unsatisfiable=True NoAccess: no exporter matches the selector `board=rpi4`"
    );
}

#[test]
fn an_exporter_is_told_that_it_is_free_before_it_is_leased_again() {
    let mut lab = Lab::new();
    // It never tells its state, so nothing but the order of writes keeps two leases apart.
    lab.exporter("rig", &rpi4());
    lab.register("rig");
    lab.controller.leasing.seen("rig", lab.now);
    lab.run();
    lab.by_board("mine", "rpi4");
    lab.by_board("next", "rpi4");
    lab.release("mine");
    assert_eq!(lab.holder("next").as_deref(), Some("rig"));
    let named: Vec<_> = lab
        .store
        .log
        .iter()
        .filter(|(key, _)| key.kind == Kind::Exporter)
        .map(|(_, value)| {
            value.as_ref().expect("it stays")["status"]["leaseRef"]["name"].as_str().unwrap_or("-").to_owned()
        })
        .collect();
    let mut turns = named;
    turns.dedup();
    assert_eq!(turns, ["-", "mine", "-", "next"]);
}

#[test]
fn leases_of_another_controller_are_taken_over() {
    let mut lab = Lab::new();
    lab.rig("rig", &rpi4());
    lab.store.create(
        Kind::Lease,
        json!({
            "metadata": { "name": "theirs" },
            "spec": { "clientRef": { "name": "bob" }, "selector": { "matchLabels": rpi4() }, "duration": "30m0s" },
            "status": { "ended": false, "exporterRef": { "name": "rig" }, "beginTime": "2026-11-20T12:00:00Z",
                "conditions": [{ "type": "Ready", "status": "True", "reason": "Ready", "message": "An exporter",
                    "lastTransitionTime": "2026-11-20T12:00:00Z", "observedGeneration": 1 }] },
        }),
        lab.now,
    );
    lab.restart();
    let exporter = lab.store.exporter("rig");
    assert_eq!(exporter.lease_epoch(), 1);
    assert_eq!(exporter.holder().map(|(lease, _)| lease), Some("theirs"));
    lab.by_board("mine", "rpi4");
    assert!(lab.conditions("mine")[0].starts_with("Pending=True NotAvailable"));
}

#[test]
fn an_exporter_that_was_never_seen_says_so_and_keeps_its_silence_about_its_state() {
    let mut lab = Lab::new();
    lab.exporter("rig", &rpi4());
    let status = lab.store.exporter("rig").status.expect("a status");
    assert_eq!(status.exporter_status, None);
    assert_eq!(status.status_message.as_deref(), Some("Never seen"));
    let said: Vec<_> =
        status.conditions.iter().map(|c| (c.kind.as_str(), c.status, c.reason.as_str())).collect();
    assert_eq!(
        said,
        [("Online", ConditionStatus::False, "Seen"), ("Registered", ConditionStatus::False, "Unregister"),]
    );
    lab.register("rig");
    lab.report("rig", "Available");
    let status = lab.store.exporter("rig").status.expect("a status");
    let said: Vec<_> =
        status.conditions.iter().map(|c| (c.kind.as_str(), c.status, c.reason.as_str())).collect();
    assert_eq!(
        said,
        [
            ("Online", ConditionStatus::True, "StatusReported"),
            ("Registered", ConditionStatus::True, "Register"),
        ]
    );
    lab.report("rig", "Offline");
    assert!(!lab.store.exporter("rig").is_online());
    assert_eq!(lab.store.exporter("rig").state().map(ExporterState::name), Some("Offline"));
}
