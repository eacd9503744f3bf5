//! Leases from their begin to their end.

use jumpstarter_client::ExporterStatus as S;
use jumpstarter_core::ErrorKind;
use jumpstarter_exporter::registered::{Ended, Stop};

use super::bench::{Lab, Rig, file, until};
use crate::drivers::{NamedClient, told};

pub(crate) const PROBE: &str = "export:\n  a: {type: probe, config: {name: a}}\n";

/// What happened to the probe of this name.
pub(crate) fn happened_to(name: &str) -> Vec<String> {
    let words = told().into_iter().filter_map(|what| Some(what.strip_suffix(name)?.trim().to_owned()));
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lease_gets_drivers_of_its_own() {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(&PROBE.replace("name: a", "name: each")).await);
    let exporter = lab.free().await;
    assert_eq!(exporter["status"]["devices"].as_array().map(Vec::len), Some(2), "{exporter}");
    assert_eq!(happened_to("each"), ["open", "close"], "opened once, to tell the controller what there is");
    let me = lab.client("me").await;
    let mut sessions = Vec::new();
    for name in ["one", "two"] {
        me.lease(name).await;
        let device = me.device(name).await;
        until(device.connection(), S::LeaseReady).await;
        assert_eq!(device.client::<NamedClient>("a").unwrap().name().await.unwrap(), "each");
        sessions.push(device.find("a").unwrap().uuid().to_owned());
        me.give_back(name).await;
        lab.free().await;
    }
    assert_ne!(sessions[0], sessions[1]);
    let lease = ["open", "reset", "close"];
    assert_eq!(happened_to("each"), [&["open", "close"][..], &lease, &lease].concat());
    assert_eq!(rig.stop().await, Ended::Stopped);
    let gone = lab.object("Exporter", "rig").await;
    assert_eq!(gone["status"]["exporterStatus"], "Offline", "{gone}");
    assert_eq!(gone["status"]["statusMessage"], "Exporter shutdown", "{gone}");
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_end_makes_room_for_the_next_without_giving_the_lease_back() {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(PROBE).await);
    lab.free().await;
    let (me, other) = (lab.client("me").await, lab.client("other").await);
    me.lease("one").await;
    let mine = me.connect("one").await;
    until(&mine, S::LeaseReady).await;
    other.lease("two").await;
    let ended = mine.end_session().await.unwrap();
    assert!(ended.begun, "{ended:?}");
    assert_eq!(until(&mine, S::Available).await, "Available for new lease");
    // Nobody does anything: the exporter releases it.
    lab.until("Lease", "two", |lease| lease["status"]["exporterRef"].is_object()).await;
    let theirs = other.connect("two").await;
    until(&theirs, S::LeaseReady).await;
    let lease = lab.object("Lease", "one").await;
    assert_eq!(lease["status"]["ended"], true, "{lease}");
    other.give_back("two").await;
    lab.free().await;
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_c6_tunnels_that_nobody_uses_cost_nothing_and_go_with_the_lease() {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(PROBE).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    for _ in 0..5 {
        me.dial("one").await.unwrap();
    }
    // And one that only probes.
    drop(me.tunnel("one").await);
    let device = me.device("one").await;
    until(device.connection(), S::LeaseReady).await;
    me.give_back("one").await;
    lab.free().await;
    let lines = rig.lines();
    assert!(!lines.iter().any(|line| line.contains("router")), "nothing went wrong: {lines:?}");
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_l9_devices_that_cannot_be_opened_cost_one_lease_and_not_the_exporter() {
    let mut lab = Lab::start().await;
    let plug = lab.path().join("plug");
    let text =
        format!("export:\n  a: {{type: probe, config: {{name: a, fail_while: {}}}}}\n", plug.display());
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    std::fs::write(&plug, "").unwrap();
    me.lease("one").await;
    let exporter = lab
        .until("Exporter", "rig", |exporter| exporter["status"]["exporterStatus"] == "BeforeLeaseHookFailed")
        .await;
    let message = exporter["status"]["statusMessage"].as_str().unwrap();
    assert_eq!(message, "the devices cannot be opened: export.a: the plug is out");
    lab.free().await;
    assert_eq!(lab.object("Lease", "one").await["status"]["ended"], true);
    std::fs::remove_file(&plug).unwrap();
    me.lease("two").await;
    let device = me.device("two").await;
    until(device.connection(), S::LeaseReady).await;
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_does_not_know_the_exporter_ends_it_with_the_reason() {
    let mut lab = Lab::start().await;
    let text = lab.file(PROBE).await;
    let wrong = text.replacen("token: ", "token: x", 1);
    let error = Rig::start(wrong).ended().await.unwrap_err();
    assert!(error.message().starts_with("cannot register with localhost:"), "{error}");
    assert!(error.message().contains("the controller answered: "), "{error}");

    let mut credential = lab.create("Exporter", "other").await;
    credential.endpoint = format!("localhost:{}", lab.address.port());
    let stranger =
        file(&credential, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", PROBE);
    let error = Rig::start(stranger).ended().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_l17_a_hangup_ends_an_exporter_that_nobody_has_at_once_and_another_after_its_lease() {
    let mut lab = Lab::start().await;
    let text = lab.file(PROBE).await;
    let idle = Rig::start(text.clone());
    lab.free().await;
    idle.ask(Stop::AfterLease).await;
    assert_eq!(idle.ended().await.unwrap(), Ended::Stopped);

    let rig = Rig::start(text);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    until(device.connection(), S::LeaseReady).await;
    rig.ask(Stop::AfterLease).await;
    assert_eq!(device.client::<NamedClient>("a").unwrap().name().await.unwrap(), "a");
    me.give_back("one").await;
    assert_eq!(rig.ended().await.unwrap(), Ended::Stopped);
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_for_one_lease_ends_after_it_and_takes_no_other() {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(&format!("exitOnLeaseEnd: true\n{PROBE}")).await);
    lab.free().await;
    let (me, other) = (lab.client("me").await, lab.client("other").await);
    me.lease("one").await;
    let connection = me.connect("one").await;
    until(&connection, S::LeaseReady).await;
    other.lease("two").await;
    me.give_back("one").await;
    assert_eq!(rig.ended().await.unwrap(), Ended::LeaseOver);
    let two = lab.object("Lease", "two").await;
    assert!(two["status"].get("exporterRef").is_none(), "{two}");
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_is_restarted_goes_on_with_its_lease() {
    let mut lab = Lab::start().await;
    let text = lab.file(PROBE).await;
    let rig = Rig::start(text.clone());
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    until(&me.connect("one").await, S::LeaseReady).await;
    assert_eq!(rig.stop().await, Ended::Stopped);
    let rig = Rig::start(text);
    lab.until("Exporter", "rig", |exporter| exporter["status"]["exporterStatus"] == "LeaseReady").await;
    let device = me.device("one").await;
    assert_eq!(device.client::<NamedClient>("a").unwrap().name().await.unwrap(), "a");
    me.give_back("one").await;
    lab.free().await;
    rig.stop().await;
    lab.end().await;
}
