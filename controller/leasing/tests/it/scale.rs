//! What it costs when much waits for much. Nothing here asserts a time: the work is counted, in writes and in how often
//! somebody is looked at who gets nothing.

use jiff::SignedDuration;
use jumpstarter_leasing::{Key, Kind, Part};
use serde_json::json;

use crate::world::{Lab, report};

/// 500 leases for 20 exporters: served in order, each with three writes to itself, and nobody is told twice that it waits.
#[test]
fn five_hundred_wait_for_twenty_and_are_served_in_order() {
    let mut lab = Lab::new();
    for n in 0..20 {
        lab.rig(&format!("rig-{n:02}"), &json!({ "board": "rpi4" }));
    }
    for n in 0..500 {
        // Half of them at once, the others one by one; the names of the latter are in no order.
        if n >= 250 {
            lab.now += SignedDuration::from_secs(1);
        }
        let name = if n < 250 { format!("l{n:03}") } else { format!("m{:03}-{n}", (n * 7) % 250) };
        lab.by_board(&name, "rpi4");
        if n % 20 == 0 {
            for rig in 0..20 {
                lab.controller.leasing.seen(&format!("rig-{rig:02}"), lab.now);
            }
        }
    }
    let order = |lab: &Lab| -> Vec<String> {
        let claims = lab.store.log.iter().filter(|(key, _)| key.kind == Kind::Exporter);
        let mut served = Vec::new();
        for (_, value) in claims {
            let holder =
                value.as_ref().expect("it stays")["metadata"]["annotations"]["jumpstarter.dev/lease-holder"]
                    .as_str();
            let name = holder.and_then(|holder| holder.split('/').next()).unwrap_or_default().to_owned();
            if !name.is_empty() && !served.contains(&name) {
                served.push(name);
            }
        }
        served
    };
    let mut ended = 0;
    while ended < 500 {
        let served = order(&lab);
        assert!(served.len() > ended, "somebody is always served");
        for name in &served[ended..] {
            lab.release(name);
        }
        ended = served.len();
        lab.exporters_behave();
        for rig in 0..20 {
            lab.controller.leasing.seen(&format!("rig-{rig:02}"), lab.now);
        }
    }
    let served = order(&lab);
    let mut asked: Vec<String> = lab
        .store
        .log
        .iter()
        .filter(|(key, value)| {
            key.kind == Kind::Lease
                && value.as_ref().is_some_and(|value| {
                    value["metadata"]["generation"] == 1 && value.get("status").is_none()
                })
        })
        .map(|(key, _)| key.name.to_string())
        .collect();
    asked.dedup();
    assert_eq!(served, asked, "first come, first served");
    for name in &asked {
        let key = Key::new(Kind::Lease, name.as_str());
        let writes = lab.store.log.iter().filter(|(of, _)| *of == key).count();
        // Made and released by its client; told that it waits, given its exporter, ended, labelled.
        assert!(writes <= 6, "{name}: {writes} writes");
    }
}

/// One exporter of 5,000 that are all leased frees while 500 leases of twenty kinds wait. Exactly one of them hears of it.
#[test]
fn an_exporter_that_frees_wakes_one_lease_of_five_hundred() {
    const EXPORTERS: usize = 5_000;
    let mut lab = Lab::new();
    for n in 0..EXPORTERS {
        let name = format!("rig-{n:04}");
        let value = json!({
            "metadata": { "name": name, "labels": { "board": format!("b{}", n % 20) } },
            "status": { "devices": [{ "uuid": "u" }] },
        });
        lab.store.create(Kind::Exporter, value, lab.now);
        report(&mut lab.store, &name, "Available", lab.now);
    }
    lab.run();
    for n in 0..EXPORTERS {
        let spec = json!({ "clientRef": { "name": "a" }, "selector": {}, "exporterRef": { "name": format!("rig-{n:04}") }, "duration": "30m" });
        let value = json!({ "metadata": { "name": format!("on-{n:04}") }, "spec": spec });
        lab.store.create(Kind::Lease, value, lab.now);
    }
    lab.run();
    for n in 0..500 {
        let spec = json!({ "clientRef": { "name": "a" }, "selector": { "matchLabels": { "board": format!("b{}", n % 20) } }, "duration": "30m" });
        let value = json!({ "metadata": { "name": format!("wait-{n:03}") }, "spec": spec });
        lab.store.create(Kind::Lease, value, lab.now);
    }
    lab.run();
    let waiting = |lab: &Lab, n: usize| lab.controller.leasing.waiting(&format!("wait-{n:03}"), lab.now);
    assert_eq!(waiting(&lab, 47).map(|waiting| (waiting.position, waiting.of)), Some((3, 25)));

    let before = lab.store.log.len();
    lab.release("on-0007");
    let changed: Vec<_> = lab.store.log[before..].iter().map(|(key, _)| key.name.to_string()).collect();
    // Released; ended; labelled, and the exporter is told; given to the next; that one begins; the exporter is told.
    for name in &changed {
        assert!(["on-0007", "rig-0007", "wait-007"].contains(&name.as_str()), "{name} was touched");
    }
    assert!(changed.len() <= 7, "{changed:?}");
    assert_eq!(lab.holder("wait-007").as_deref(), Some("rig-0007"));
    assert_eq!(waiting(&lab, 47).map(|waiting| (waiting.position, waiting.of)), Some((2, 24)));

    // Being heard of is nothing that anybody else hears of, and writes nothing.
    for n in 0..EXPORTERS {
        lab.controller.leasing.seen(&format!("rig-{n:04}"), lab.now + SignedDuration::from_secs(50));
    }
    let before = lab.store.log.len();
    lab.pass(100);
    assert_eq!(lab.store.log.len(), before);
}

/// A lease that is made while an exporter is free gets it with the first thing that is done: the claim.
#[test]
fn the_first_write_for_a_new_lease_is_the_one_that_gives_it_its_exporter() {
    let mut lab = Lab::new();
    lab.rig("rig", &json!({ "board": "rpi4" }));
    let spec = json!({ "clientRef": { "name": "a" }, "selector": { "matchLabels": { "board": "rpi4" } }, "duration": "30m" });
    lab.store.create(Kind::Lease, json!({ "metadata": { "name": "mine" }, "spec": spec }), lab.now);
    assert!(lab.controller.deliver(&lab.store, 3, lab.now));
    let [claim] = lab.controller.writes.as_slice() else { panic!("{:?}", lab.controller.writes) };
    assert_eq!((claim.key.kind, claim.part), (Kind::Exporter, Part::Main));
    assert_eq!(
        claim.patch,
        json!({ "metadata": { "annotations": {
            "jumpstarter.dev/lease-epoch": "1", "jumpstarter.dev/lease-holder": "mine/uid-2",
        } } })
    );
}
