//! Objects as others write and read them, good ones and bad ones.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jumpstarter_api::{
    Client, ConditionStatus, Device, Exporter, ExporterAccessPolicy, ExporterState, ExporterStatus, Lease,
    Reference, condition, lease, patch,
    validation::{self, check_change, check_new},
};
use jumpstarter_protocol::v1;
use serde_json::{Value, json};

fn lease(spec: &Value) -> Lease {
    let value = json!({ "metadata": { "name": "mine" }, "spec": spec });
    validation::read(value).expect("the right shape")
}

fn refused<T: std::fmt::Debug>(result: Result<T, validation::Invalid>) -> String {
    result.expect_err("refused").to_string()
}

/// What 0.9.0 writes, with every field; what we write of it is the same.
#[test]
fn every_field_survives_being_read_and_written() {
    let client = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Client", "metadata": { "name": "alice" },
        "spec": { "username": "dex:alice" },
        "status": {
            "conditions": [{ "type": "TokenExpiring", "status": "False", "reason": "Valid", "message": "",
                "lastTransitionTime": "2026-08-21T14:32:42Z", "observedGeneration": 1 }],
            "credential": { "name": "alice-client" }, "endpoint": "grpc.example.com:443",
            "tokenExpiresAt": "2027-08-21T14:32:42Z",
        },
    });
    assert_eq!(serde_json::to_value(validation::read::<Client>(client.clone()).unwrap()).unwrap(), client);
    let exporter = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Exporter",
        "metadata": { "name": "rig", "labels": { "board": "rpi4" } },
        "spec": { "username": "dex:rig", "enabled": false },
        "status": {
            "conditions": [], "credential": { "name": "rig-exporter" }, "leaseRef": { "name": "mine" },
            "devices": [{ "uuid": "u", "parent_uuid": "p", "labels": { "a": "b" } }],
            "lastSeen": "2026-08-21T14:32:42Z", "endpoint": "e:1", "exporterStatus": "LeaseReady", "statusMessage": "m",
        },
    });
    let read = validation::read::<Exporter>(exporter.clone()).unwrap();
    let mut wanted = exporter;
    wanted["status"].as_object_mut().unwrap().remove("conditions");
    assert_eq!(serde_json::to_value(&read).unwrap(), wanted);
    assert!(!read.is_enabled() && read.state() == Some(ExporterState::LeaseReady));
    let lease = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Lease", "metadata": { "name": "mine" },
        "spec": {
            "clientRef": { "name": "alice" }, "exporterRef": { "name": "rig" }, "allowDisabled": true, "release": true,
            "selector": { "matchLabels": { "a": "b" } }, "duration": "30m0s", "tags": { "t": "v" },
            "beginTime": "2026-08-21T14:32:42Z", "endTime": "2026-08-21T15:02:42Z", "context": { "c": "v" },
        },
        "status": {
            "ended": false, "priority": 3, "spotAccess": true, "exporterRef": { "name": "rig" },
            "beginTime": "2026-08-21T14:32:42Z", "endTime": "2026-08-21T15:02:42Z",
        },
    });
    assert_eq!(serde_json::to_value(validation::read::<Lease>(lease.clone()).unwrap()).unwrap(), lease);
    let policy = json!({
        "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ExporterAccessPolicy", "metadata": { "name": "p" },
        "spec": {
            "exporterSelector": { "matchLabels": { "a": "b" } },
            "policies": [{ "description": "ask carol", "priority": 5, "maximumDuration": "4h0m0s", "spotAccess": true,
                "from": [{ "clientSelector": { "matchLabels": { "team": "x" } } }] }],
        },
    });
    assert_eq!(
        serde_json::to_value(validation::read::<ExporterAccessPolicy>(policy.clone()).unwrap()).unwrap(),
        policy
    );
}

#[test]
fn an_object_without_a_spec_has_an_empty_one() {
    let exporter: Exporter = validation::read(json!({ "metadata": { "name": "rig" } })).unwrap();
    assert!(exporter.is_enabled() && Exporter::default().is_enabled());
    assert_eq!(exporter.spec.enabled, Some(true), "the default is filled in, as an API server does");
    assert_eq!(check_new(&exporter), Ok(()));
}

#[test]
fn pitfall_x5_the_zero_time_of_go_is_no_time() {
    let lease = lease(&json!({
        "clientRef": { "name": "a" }, "selector": { "matchLabels": { "a": "b" } },
        "beginTime": "0001-01-01T00:00:00Z", "endTime": null,
    }));
    assert_eq!((lease.spec.begin_time.clone(), lease.spec.end_time.clone()), (None, None));
    assert_eq!(serde_json::to_value(&lease).unwrap()["spec"].get("beginTime"), None);
}

#[test]
fn times_are_written_in_whole_seconds() {
    let now: Timestamp = "2026-08-21T14:32:42.987654321Z".parse().unwrap();
    let mut conditions = Vec::new();
    condition::set(&mut conditions, "Ready", true, "Ready", "", Some(1), now);
    let written = serde_json::to_value(&conditions[0]).unwrap();
    assert_eq!(written["lastTransitionTime"], "2026-08-21T14:32:42Z");
    assert_eq!(serde_json::from_value::<jumpstarter_api::Condition>(written).unwrap(), conditions[0]);
}

#[test]
fn conditions_are_appended_in_order_and_keep_their_time_until_they_turn_over() {
    let at = |second: i64| Timestamp::from_second(1_000_000_000 + second).unwrap();
    let mut all = Vec::new();
    assert!(condition::set(&mut all, lease::PENDING, true, "Offline", "none is online", Some(1), at(0)));
    assert!(condition::set(&mut all, lease::PENDING, true, "NotAvailable", "all leased", Some(1), at(5)));
    assert!(!condition::set(&mut all, lease::PENDING, true, "NotAvailable", "all leased", Some(1), at(6)));
    assert!(condition::set(&mut all, lease::READY, true, "Ready", "", Some(1), at(7)));
    assert!(condition::set(&mut all, lease::PENDING, true, "NotReady", "", Some(2), at(8)));
    assert!(condition::set(&mut all, lease::READY, false, "Released", "", Some(2), at(9)));
    let seen: Vec<_> = all
        .iter()
        .map(|c| {
            (c.kind.as_str(), c.status, c.reason.as_str(), c.observed_generation, c.last_transition_time.0)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("Pending", ConditionStatus::True, "NotReady", Some(2), at(0)),
            ("Ready", ConditionStatus::False, "Released", Some(2), at(9)),
        ]
    );
    let long = "é".repeat(condition::LONGEST_MESSAGE);
    condition::set(&mut all, lease::READY, false, "Released", &long, Some(2), at(9));
    assert_eq!(all[1].message.len(), condition::LONGEST_MESSAGE);
}

#[test]
fn the_rules_of_the_definitions_are_evaluated_here_in_the_same_words() {
    let spec = |more: &Value| {
        let mut spec = json!({ "clientRef": { "name": "alice" }, "selector": {} });
        patch::apply(&mut spec, more);
        lease(&spec)
    };
    let needed = "Lease.jumpstarter.dev \"mine\" is invalid: spec: Invalid value: one of selector or exporterRef.name is required";
    for nothing in [json!({}), json!({ "exporterRef": {} }), json!({ "exporterRef": { "name": "" } })] {
        assert_eq!(refused(check_new(&spec(&nothing))), needed);
    }
    let by_label = spec(&json!({ "selector": { "matchLabels": { "a": "b" } } }));
    let by_name = spec(&json!({ "exporterRef": { "name": "rig" } }));
    let by_expression =
        spec(&json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Exists" }] } }));
    for good in [&by_label, &by_name, &by_expression] {
        assert_eq!(check_new(good), Ok(()));
    }

    let tagged =
        spec(&json!({ "exporterRef": { "name": "rig" }, "tags": { "a": "1" }, "context": { "c": "1" } }));
    for (other, says) in [
        (json!({ "tags": { "a": "2" } }), "tags are immutable after creation"),
        (json!({ "tags": null }), "tags are immutable after creation"),
        (json!({ "context": { "c": "2" } }), "context is immutable after creation"),
        (json!({ "context": null }), "context is immutable after creation"),
    ] {
        let mut changed = serde_json::to_value(&tagged).unwrap();
        patch::apply(&mut changed, &json!({ "spec": other }));
        let changed = validation::read::<Lease>(changed).unwrap();
        let said = refused(check_change(&tagged, &changed));
        assert_eq!(said, format!("Lease.jumpstarter.dev \"mine\" is invalid: spec: Invalid value: {says}"));
    }
    // As it always was: a lease that had none may get some.
    assert_eq!(check_change(&by_name, &tagged), Ok(()));
    let handed_over = Lease {
        spec: jumpstarter_api::LeaseSpec { client_ref: Reference::to("bob"), ..tagged.spec.clone() },
        ..tagged.clone()
    };
    assert_eq!(check_change(&tagged, &handed_over), Ok(()));

    let fits = json!({ "exporterRef": { "name": "rig" }, "context": { "k".repeat(32): "v".repeat(64) } });
    assert_eq!(check_new(&spec(&fits)), Ok(()));
    for context in [json!({ "k".repeat(33): "" }), json!({ "k": "v".repeat(65) })] {
        let said =
            refused(check_new(&spec(&json!({ "exporterRef": { "name": "rig" }, "context": context }))));
        assert!(
            said.ends_with("spec: Invalid value: context keys max 32 chars, values max 64 chars"),
            "{said}"
        );
    }
}

#[test]
fn an_object_of_the_wrong_shape_is_refused_with_every_place() {
    let tags: BTreeMap<_, _> = (0..11).map(|n| (format!("t{n}"), "v")).collect();
    let lease = json!({ "metadata": { "name": "mine" }, "spec": { "selector": {}, "tags": tags } });
    assert_eq!(
        refused(validation::read::<Lease>(lease)),
        "Lease.jumpstarter.dev \"mine\" is invalid: [spec.clientRef: Required value, \
         spec.tags: Too many: 11: must have at most 10 items]"
    );
    let exporter =
        json!({ "metadata": { "name": "rig" }, "spec": {}, "status": { "exporterStatus": "Busy" } });
    assert_eq!(
        refused(validation::read::<Exporter>(exporter)),
        "Exporter.jumpstarter.dev \"rig\" is invalid: status.exporterStatus: Unsupported value: \"Busy\": supported \
         values: \"Unspecified\", \"Offline\", \"Available\", \"BeforeLeaseHook\", \"LeaseReady\", \"AfterLeaseHook\", \
         \"BeforeLeaseHookFailed\", \"AfterLeaseHookFailed\""
    );
    let lease = json!({ "metadata": { "name": "mine" }, "spec": { "clientRef": {}, "selector": {}, "duration": "1d" } });
    let said = refused(validation::read::<Lease>(lease));
    println!("{said}");
    assert!(said.contains("`1d` is not a duration: the units are h, m, s, ms, us and ns"), "{said}");
}

#[test]
fn states_of_exporters_have_one_name_and_one_number() {
    for (state, name, wire) in ExporterState::ALL {
        assert_eq!(state.name(), name);
        assert_eq!(state.to_wire(), wire);
        assert_eq!(ExporterState::from_wire(wire.into()), state);
        assert_eq!(serde_json::to_value(state).unwrap(), name);
    }
    assert_eq!(ExporterState::from_wire(99), ExporterState::Unspecified);
    assert_eq!(v1::ExporterStatus::Offline as i32, ExporterState::Offline.to_wire() as i32);
    // Another version's state does not make the list unreadable.
    let status: ExporterStatus = serde_json::from_value(json!({ "exporterStatus": "Rebooting" })).unwrap();
    assert_eq!(status.exporter_status, Some(ExporterState::Unspecified));
}

/// Two write to one object; neither takes back what the other wrote, and fields that only one of them knows stay.
#[test]
fn pitfall_x4_only_what_changed_is_written() {
    let mut stored = json!({
        "metadata": { "name": "rig", "annotations": { "note": "x" } }, "spec": {},
        "status": { "lastSeen": "2026-08-21T14:32:42Z", "leaseRef": { "name": "old" }, "fromTheFuture": 1 },
    });
    let old: Exporter = validation::read(stored.clone()).unwrap();
    let mut new = old.clone();
    let status = new.status.as_mut().unwrap();
    status.lease_ref = None;
    status.status_message = Some("gone".to_owned());
    status.devices.push(Device { uuid: "u".to_owned(), ..Device::default() });
    let patch = patch::between(&old, &new);
    assert_eq!(
        patch,
        json!({ "status": { "leaseRef": null, "statusMessage": "gone", "devices": [{ "uuid": "u" }] } })
    );
    // Meanwhile another has written.
    stored["status"]["lastSeen"] = json!("2026-08-21T14:32:52Z");
    patch::apply(&mut stored, &patch);
    assert_eq!(
        stored["status"],
        json!({ "lastSeen": "2026-08-21T14:32:52Z", "fromTheFuture": 1, "statusMessage": "gone",
            "devices": [{ "uuid": "u" }] })
    );
    assert_eq!(stored["metadata"]["annotations"]["note"], "x");
    assert_eq!(patch::between(&new, &new), Value::Null);
}

/// What the page about leasing shows can be applied.
#[test]
fn the_policy_on_the_page_about_leasing_is_a_good_one() {
    let page = include_str!("../../../../docs/leasing.md");
    let block = page.split("```yaml").nth(1).and_then(|rest| rest.split_once('\n')).expect("a block").1;
    let block = block.split("```").next().expect("its end");
    let object: Value = serde_yaml::from_str(block).expect("YAML");
    let policy: ExporterAccessPolicy = validation::read(object.clone()).expect("a policy");
    assert_eq!(check_new(&policy), Ok(()));
    assert_eq!(
        policy.spec.policies[1].maximum_duration.map(|duration| duration.to_string()).as_deref(),
        Some("2h0m0s")
    );
    // No key was dropped, so none is misspelt.
    let rules = object["spec"]["policies"].as_array().expect("rules");
    for (rule, read) in rules.iter().zip(&policy.spec.policies) {
        let read = serde_json::to_value(read).expect("JSON");
        for key in rule.as_object().expect("a map").keys() {
            assert!(read.get(key).is_some(), "{key} is not known");
        }
    }
}
