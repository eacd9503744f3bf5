//! Clients that hold a lease, and are gone without giving it back.

use jiff::SignedDuration;
use jumpstarter_leasing::{Kind, Note, Settings};
use serde_json::{Value, json};

use crate::world::{Lab, start};

/// What is said of one that was last heard of after so many seconds.
fn gone(after: i64) -> String {
    let heard = start() + SignedDuration::from_secs(after);
    format!(
        "Ready=False ClientLost: client `alice` held the lease, was last heard of at {heard}, and has not given it back"
    )
}

fn by_board() -> Value {
    json!({ "selector": { "matchLabels": { "board": "rpi4" } } })
}

/// An exporter, a lease that is held, and one that waits behind it.
fn lab(settings: Settings) -> Lab {
    let mut lab = Lab::with(settings);
    lab.rig("rig", &json!({ "board": "rpi4" }));
    lab.held("mine", &by_board());
    lab.by_board("next", "rpi4");
    lab.exporters_behave();
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    lab
}

#[test]
fn a_lease_that_its_client_holds_ends_when_nothing_was_heard_of_the_client() {
    let mut lab = lab(Settings::default());
    let writes = lab.store.log.len();
    for _ in 0..30 {
        lab.pass_in_touch(10);
        lab.controller.leasing.asked_about("mine", lab.now);
        lab.run();
    }
    assert_eq!(lab.store.log.len(), writes, "that a client asks writes nothing");
    lab.pass_in_touch(299);
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    lab.pass_in_touch(1);
    assert_eq!(lab.conditions("mine"), [gone(300)]);
    let ended = lab.store.lease("mine").status.expect("a status").end_time.expect("an end").0;
    assert_eq!(ended, start() + SignedDuration::from_mins(10));
    assert!(lab.controller.notes.iter().any(
        |note| matches!(note, Note::Ended { lease, reason, refused: false, .. } if &**lease == "mine" && reason == "ClientLost")
    ));
    lab.exporters_behave();
    assert_eq!(lab.holder("next").as_deref(), Some("rig"), "the exporter is free");
    // That one is held by nobody.
    lab.pass_in_touch(1799);
    assert_eq!(lab.holder("next").as_deref(), Some("rig"));
}

#[test]
fn a_client_that_is_gone_while_its_lease_waits_leaves_the_queue() {
    let mut lab = lab(Settings::default());
    lab.held("wait-1", &by_board());
    lab.by_board("wait-2", "rpi4");
    assert!(lab.says("wait-2").contains("place 3 of 3"), "{}", lab.says("wait-2"));
    for _ in 0..30 {
        lab.pass_in_touch(10);
        lab.controller.leasing.asked_about("mine", lab.now);
    }
    lab.run();
    assert_eq!(lab.conditions("wait-1").last(), Some(&gone(0)));
    assert!(lab.says("wait-2").contains("place 2 of 2"), "{}", lab.says("wait-2"));
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
}

#[test]
fn a_restart_takes_no_client_for_lost() {
    let mut lab = lab(Settings::default());
    lab.pass_in_touch(290);
    lab.restart();
    lab.pass_in_touch(299);
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    lab.pass_in_touch(1);
    assert_eq!(lab.holder("mine"), None, "but it has to be heard of again");
}

#[test]
fn one_that_is_to_begin_later_does_not_wait_for_that() {
    let mut lab = lab(Settings::default());
    let mut spec = by_board();
    spec["beginTime"] = json!("2026-11-21T12:00:00Z");
    lab.held("later", &spec);
    lab.pass_in_touch(299);
    assert!(lab.conditions("later").is_empty());
    lab.pass_in_touch(1);
    assert_eq!(lab.conditions("later"), [gone(0)]);
}

#[test]
fn a_lab_that_was_asleep_takes_no_client_for_lost() {
    for (before, asleep) in [(60, 600), (290, 20)] {
        let mut lab = lab(Settings::default());
        lab.pass_in_touch(before);
        // Nothing happens in between: its machine was suspended, or the process was stopped.
        lab.now += SignedDuration::from_secs(asleep);
        lab.report("rig", "LeaseReady");
        assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
        lab.pass_in_touch(299);
        assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
        lab.pass_in_touch(1);
        assert_eq!(lab.conditions("mine"), [gone(before + asleep)]);
    }
    // It missed nothing, and is told that it slept.
    let mut lab = lab(Settings::default());
    lab.now += SignedDuration::from_secs(290);
    lab.controller.leasing.was_away(lab.now);
    lab.run();
    lab.pass_in_touch(299);
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
    // The clock was set back.
    lab.now -= SignedDuration::from_hours(1);
    lab.controller.leasing.was_away(lab.now);
    lab.run();
    lab.pass_in_touch(300);
    assert_eq!(lab.holder("mine"), None);
}

#[test]
fn a_lease_that_was_left_or_handed_over_lasts() {
    for patch in [
        json!({ "metadata": { "annotations": { "jumpstarter.dev/lease-held": null } } }),
        json!({ "spec": { "clientRef": { "name": "bob" } }, "metadata": { "annotations": null } }),
    ] {
        let mut lab = lab(Settings::default());
        lab.change(Kind::Lease, "mine", &patch);
        lab.pass_in_touch(1799);
        assert_eq!(lab.holder("mine").as_deref(), Some("rig"), "{patch}");
    }
}

#[test]
fn without_patience_it_lasts_as_well() {
    let mut settings = Settings::default();
    settings.abandoned_after = None;
    let mut lab = lab(settings);
    lab.pass_in_touch(1799);
    assert_eq!(lab.holder("mine").as_deref(), Some("rig"));
}
