//! What clients and exporters ask of a lease, and the words in which it is refused: those that 0.9.0 looks for.

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{GoDuration, Lease, selector, time, validation};
use jumpstarter_leasing::{
    requests::{Changes, Code, Wanted, create, delete, give_back, release, update},
    times::Times,
};
use serde_json::{Value, json};

use crate::world::start;

fn at(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

fn minutes(minutes: i64) -> GoDuration {
    GoDuration::from_secs(60 * minutes)
}

fn wanted() -> Wanted {
    Wanted {
        selector: selector::of_lease("board=rpi4,room!=2").expect("a selector"),
        times: Times { duration: Some(minutes(30)), ..Times::default() },
        ..Wanted::default()
    }
}

fn lease(spec: &Value, status: &Value) -> Lease {
    let mut all = json!({
        "metadata": { "name": "mine" },
        "spec": { "clientRef": { "name": "alice" }, "selector": { "matchLabels": { "a": "b" } }, "duration": "30m0s" },
    });
    jumpstarter_api::patch::apply(&mut all, &json!({ "spec": spec }));
    if !status.is_null() {
        all["status"] = status.clone();
    }
    validation::read(all).expect("a lease")
}

fn running() -> Value {
    json!({ "ended": false, "exporterRef": { "name": "rig" }, "beginTime": "2026-11-20T12:00:00Z" })
}

#[test]
fn a_new_lease_has_what_was_asked_for_and_the_labels_to_find_it_by() {
    let mut asked = wanted();
    asked.exporter = Some(String::new());
    asked.tags = [("build".to_owned(), "12".to_owned())].into();
    asked.times = Times { begin: None, duration: Some(minutes(30)), end: Some(at(90)) };
    let made = create("mine", "alice", asked, 10).expect("a lease");
    assert_eq!(validation::check_new(&made), Ok(()));
    assert_eq!(
        serde_json::to_value(&made).expect("JSON"),
        json!({
            "apiVersion": "jumpstarter.dev/v1alpha1",
            "kind": "Lease",
            "metadata": {
                "name": "mine",
                "labels": { "board": "rpi4", "metadata.jumpstarter.dev/build": "12" },
            },
            "spec": {
                "clientRef": { "name": "alice" },
                "selector": {
                    "matchLabels": { "board": "rpi4" },
                    "matchExpressions": [{ "key": "room", "operator": "NotIn", "values": ["2"] }],
                },
                "duration": "30m0s",
                "beginTime": "2026-11-20T13:00:00Z",
                "endTime": "2026-11-20T13:30:00Z",
                "tags": { "build": "12" },
            },
        })
    );
}

#[test]
fn a_lease_that_makes_no_sense_is_refused_with_the_code_that_clients_know() {
    let refused = |asked: Wanted| {
        let refusal = create("mine", "alice", asked, 1).expect_err("refused");
        (refusal.code, refusal.message)
    };
    let (code, message) = refused(Wanted { selector: selector::of_lease("").expect("empty"), ..wanted() });
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidArgument, "one of selector or exporter_name is required")
    );
    let tags = [("a", ""), ("b", "")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (code, message) = refused(Wanted { tags, ..wanted() });
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.starts_with("invalid lease tags: "), "{message}");
    let (code, message) = refused(Wanted { times: Times::default(), ..wanted() });
    assert_eq!(code, Code::Unknown);
    assert!(message.starts_with("duration is required"), "{message}");
}

#[test]
fn only_what_is_present_changes() {
    let changed =
        |lease: &Lease, changes: Changes<'_>| update(lease, "alice", changes).expect("changed").spec;
    let waiting = lease(&json!({}), &Value::Null);
    assert_eq!(changed(&waiting, Changes::default()), waiting.spec);
    let longer = Changes { duration: Some(minutes(45)), ..Changes::default() };
    assert_eq!(changed(&waiting, longer).duration, Some(minutes(45)));
    let running = lease(&json!({}), &running());
    assert_eq!(changed(&running, longer).duration, Some(minutes(45)), "a running lease is extended");
    let moved = Changes { begin: Some(at(10)), duration: Some(minutes(5)), ..Changes::default() };
    assert_eq!(changed(&waiting, moved).begin_time, Some(time::whole(at(10))));
    let handed = Changes { client: Some(("bob", true)), ..Changes::default() };
    assert_eq!(changed(&running, handed).client_ref.name, "bob");
    // Both ends of a planned lease move together.
    let planned =
        lease(&json!({ "beginTime": time::whole(at(0)), "endTime": time::whole(at(30)) }), &Value::Null);
    let both = Changes { begin: Some(at(10)), end: Some(at(20)), ..Changes::default() };
    let spec = changed(&planned, both);
    assert_eq!(
        Times::of(&spec),
        Times { begin: Some(at(10)), duration: Some(minutes(10)), end: Some(at(20)) }
    );
}

#[test]
fn changes_that_cannot_be_are_refused_in_the_words_that_clients_know() {
    let planned =
        lease(&json!({ "beginTime": time::whole(at(0)), "endTime": time::whole(at(30)) }), &Value::Null);
    let waiting = lease(&json!({}), &Value::Null);
    let running_lease = lease(&json!({}), &running());
    let mut ended = running();
    ended["ended"] = json!(true);
    let ended = lease(&json!({}), &ended);
    let client = |name, exists| Changes { client: Some((name, exists)), ..Changes::default() };
    let begin = Changes { begin: Some(at(5)), ..Changes::default() };
    let later = Changes { begin: Some(at(5)), duration: Some(minutes(5)), ..Changes::default() };
    let longer = Changes { duration: Some(minutes(45)), ..Changes::default() };
    for (lease, caller, changes, says) in [
        (&waiting, "bob", longer, "UpdateLease permission denied"),
        (&waiting, "alice", begin, "duration is required"),
        (&planned, "alice", longer, "duration conflicts with begin_time and end_time"),
        (&running_lease, "alice", later, "cannot update BeginTime: lease has already started"),
        (&waiting, "alice", client("bob", true), "cannot transfer lease: lease has not started yet"),
        (&ended, "alice", client("bob", true), "cannot transfer lease: lease has already ended"),
        (&running_lease, "alice", client("bob", false), "target client not found: "),
    ] {
        let refusal = update(lease, caller, changes).expect_err(says);
        assert_eq!(refusal.code, Code::Unknown, "{says}");
        assert!(refusal.message.starts_with(says), "{refusal}");
    }
}

#[test]
fn whoever_ends_a_lease_twice_learns_that_it_was_over() {
    let lease_ = lease(&json!({}), &running());
    let name = "namespaces/lab/leases/mine";
    let released = delete(&lease_, "alice", name).expect("released");
    assert!(released.spec.release);
    let refusal = delete(&released, "alice", name).expect_err("twice");
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert_eq!(refusal.message, "lease \"namespaces/lab/leases/mine\" has already been released");
    assert_eq!(delete(&lease_, "bob", name).expect_err("foreign").message, "DeleteLease permission denied");
    // The old call, and the exporter's, may come as often as they like.
    assert_eq!(release(&lease_, "alice").expect("ok"), Some(released.clone()));
    assert_eq!(release(&released, "alice").expect("ok"), None);
    assert_eq!(release(&lease_, "bob").expect_err("foreign").message, "ReleaseLease permission denied");
    assert_eq!(give_back(&lease_, "rig").expect("ok"), Some(released.clone()));
    assert_eq!(give_back(&released, "rig").expect("ok"), None);
    let refusal = give_back(&lease_, "other").expect_err("foreign");
    assert_eq!(refusal.code, Code::FailedPrecondition, "some codes would make the exporter give up for ever");
}
