//! What hangs, is full, or goes without a word.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use jumpstarter_lab::{Data, LabConfig, Serving, Settings};
use jumpstarter_protocol::{
    admin::v1::{CreateRequest, GetRequest},
    client::v1::client_service_client::ClientServiceClient,
    v1::{DialRequest, controller_service_client::ControllerServiceClient},
};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options, Security};
use serde_json::json;
use tonic::{Code, body::Body};
use tower::ServiceExt as _;

use super::{
    people::{Lab, World},
    process::{Process, data, introduce},
    soon,
};
use crate::{
    GRACE, admin, create, exporters,
    pages::{get, value},
    settings,
};

const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_hangs_loses_its_lease_and_serves_the_next_one_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    // That nobody is at the other end of its connection is found out before any of this begins.
    let text = "kind: LabConfig\nexporterOptions: {offlineTimeout: 1s, lostTimeout: 1s}\n";
    let settings = Settings { config: LabConfig::read("lab.yaml", text).expect("a file"), ..settings() };
    let opened = Data::open(&data(folder.path())).expect("a folder");
    let serving = Serving::start(opened, &settings).await.expect("it starts");
    let (at, _tell) = Lab::at(&serving.endpoint);
    let mut owner = admin(&data(folder.path())).await;
    introduce(folder.path(), &serving.endpoint, &create(&mut owner, "Exporter", "rig").await);
    let me = at.person("Client", "me", create(&mut owner, "Client", "me").await);
    let exporter = Process::start("exporter", folder.path()).await;
    let world = World::new(None);

    me.wish("one", LONG).await.expect("made");
    me.until("one", |lease| lease.exporter.is_some()).await;
    let mut tunnel = me.dial("one", &world).await;
    tunnel.ask(Bytes::from_static(b"hello")).await.expect("an echo");
    let waits = me.wish("two", LONG).await.expect("made");
    assert!(waits.exporter.is_none());
    // All of that has been counted.
    let (_, counts) = get(&serving, "/metrics", &[]).await;
    for (series, least) in [
        (r#"jumpstarter_leases{state="active"}"#, 1.0),
        (r#"jumpstarter_leases{state="pending"}"#, 1.0),
        (r#"jumpstarter_lease_acquisitions_total{result="success"}"#, 1.0),
        ("jumpstarter_lease_wait_seconds_count", 1.0),
        (r#"jumpstarter_router_calls{state="joined"}"#, 2.0),
        ("jumpstarter_router_bytes_total", 10.0),
    ] {
        let counted = value(&counts, series);
        assert!(counted.is_some_and(|counted| counted >= least), "{series}: {counted:?} in\n{counts}");
    }

    exporter.stop();
    let stopped = Instant::now();
    let lost = me.until("one", |lease| lease.effective_end_time.is_some()).await;
    println!("the lease was lost after {:?}", stopped.elapsed());
    let last = lost.conditions.last().expect("a condition");
    assert_eq!(last.reason.as_deref(), Some("ExporterLost"));
    // Whoever was connected has been told as well.
    let status = soon("the session ends", tunnel.lost()).await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");

    exporter.resume();
    me.until("two", |lease| lease.exporter.is_some()).await;
    let mut tunnel = me.dial("two", &world).await;
    tunnel.ask(Bytes::from_static(b"hello again")).await.expect("an echo");
    tunnel.end().await.expect("an end");
    // Of the old one nothing is left.
    let refused = me
        .call(|channel| {
            let request = me.asks(DialRequest { lease_name: "one".to_owned() });
            async move { ControllerServiceClient::new(channel).dial(request).await }
        })
        .await
        .expect_err("it is over");
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "lease one has ended"));
    exporter.kill().await;
    serving.stop(GRACE).await;
}

async fn is_ready(channel: &Channel, endpoint: &str) -> StatusCode {
    let request = http::Request::get(format!("https://{endpoint}/readyz")).body(Body::empty());
    channel.clone().oneshot(request.expect("a request")).await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_whose_disk_is_full_refuses_what_it_cannot_keep_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("lab.yaml"), "kind: LabConfig\n").expect("written");
    let mut lab = Process::start("lab", folder.path()).await;
    let (at, tell) = Lab::at(&lab.address);
    let mut owner = admin(&data(folder.path())).await;
    let credential = create(&mut owner, "Client", "me").await;
    let security = Security::VerifiedBy(credential.authority.clone().into());
    let options = Options { security, ..Options::default() };
    let me = at.person("Client", "me", credential);
    let rig = at.person("Exporter", "rig", create(&mut owner, "Exporter", "rig").await);
    let world = World::new(None);
    let serving = tokio::spawn(rig.serve(world.clone()));
    me.wish("held", LONG).await.expect("made");
    me.until("held", |lease| lease.exporter.is_some()).await;
    let mut tunnel = me.dial("held", &world).await;
    tunnel.ask(Bytes::from_static(b"hello")).await.expect("an echo");
    me.wish("waits", LONG).await.expect("made");

    // Its file cannot grow any more. What is free in it is used up.
    let size = std::fs::metadata(data(folder.path()).join("lab.db")).expect("its file").len();
    lab.limit_files(Some(size));
    let ballast = "x".repeat(1024);
    let mut kept = Vec::new();
    let refused = loop {
        let name = format!("ballast-{}", kept.len());
        let object =
            json!({ "kind": "Client", "metadata": { "name": name, "annotations": { "is": ballast } } });
        match owner.create(CreateRequest { json: object.to_string() }).await {
            Ok(_) => kept.push(name),
            Err(status) => break status,
        }
        assert!(kept.len() < 10_000, "a full disk is noticed");
    };
    println!("{} objects fitted in: {refused}", kept.len());
    assert!(!kept.is_empty(), "there is some room in a file");
    assert_eq!(refused.code(), Code::Unknown, "{refused}");
    assert!(refused.message().contains("lab.db: "), "{refused}");
    // Small wishes may still have found room. They do not when nothing at all can be written.
    lab.limit_files(Some(0));
    let refused = me.wish("late", LONG).await.expect_err("no room");
    assert!(refused.message().contains("lab.db: "), "{refused}");
    let none = me.look("late").await.expect_err("it was refused");
    assert!(none.message().ends_with("not found"), "{none}");
    let refused = me.release("held").await.expect_err("no room");
    assert!(refused.message().contains("lab.db: "), "{refused}");
    assert!(me.look("held").await.expect("there").effective_end_time.is_none());
    // What needs no disk goes on.
    tunnel.ask(Bytes::from_static(b"still there")).await.expect("an echo");
    let endpoint = Endpoint::parse(&lab.address).expect("an endpoint");
    let channel = connect::connect(&endpoint, &options).await.expect("a connection");
    assert_eq!(is_ready(&channel, &lab.address).await, StatusCode::OK);
    let seen = me
        .call(|channel| {
            let request = me.asks(exporters());
            async move { ClientServiceClient::new(channel).list_exporters(request).await }
        })
        .await
        .expect("a list");
    assert_eq!(seen.into_inner().exporters.len(), 1);
    assert!(lab.is_running());

    lab.limit_files(None);
    me.wish("late", LONG).await.expect("there is room");
    tunnel.end().await.expect("an end");
    me.release("held").await.expect("released");
    let next = me.until("waits", |lease| lease.exporter.is_some()).await;
    assert!(next.effective_end_time.is_none());
    me.release("waits").await.expect("released");
    me.until("late", |lease| lease.exporter.is_some()).await;
    me.release("late").await.expect("released");

    // And all of it is there after a restart.
    tell.send_replace(None);
    lab.kill().await;
    let lab = Process::start("lab", folder.path()).await;
    tell.send_replace(Some(lab.address.clone()));
    for name in ["held", "waits", "late"] {
        assert!(me.look(name).await.expect("there").effective_end_time.is_some(), "{name}");
    }
    let mut owner = admin(&data(folder.path())).await;
    for name in kept {
        let key = Some(crate::key("Client", &name));
        owner.get(GetRequest { key }).await.expect("it was answered");
    }
    drop(tell);
    serving.abort();
    lab.kill().await;
}
