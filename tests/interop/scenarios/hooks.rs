//! Scripts around leases, and how they fail. They are the exporter's business; a lab has to keep up with what it reports.

use serde_json::{Value, json};

use super::{Scene, terminate};
use crate::lab::{PATIENCE, exporter_with, log};

fn hook(script: &str, on_failure: &str) -> Value {
    json!({ "script": script, "timeout": 20, "onFailure": on_failure })
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_around_each_lease_and_the_exporter_is_free_again() {
    let Some(mut scene) = Scene::new().await else { return };
    let hooks = json!({ "hooks": {
        "beforeLease": hook("echo first of $LEASE_NAME; j power on", "warn"),
        "afterLease": hook("echo last of $LEASE_NAME", "warn"),
    } });
    let rig = exporter_with(&mut scene.lab, &scene.python, "rig", json!({ "board": "demo" }), hooks).await;
    scene.client("alice").await;
    for _ in 0..2 {
        scene.said("alice", &["shell", "--selector", "board=demo", "--", "j", "power", "off"]).await.ok();
        scene.free("rig").await;
    }
    let log = log(&scene.lab, "rig");
    assert_eq!((log.matches("first of 0").count(), log.matches("last of 0").count()), (2, 2), "{log}");
    drop(rig);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_ends_the_lease_and_the_exporter_is_free_again() {
    let Some(mut scene) = Scene::new().await else { return };
    let hooks = json!({ "hooks": { "beforeLease": hook("exit 3", "endLease") } });
    let rig = exporter_with(&mut scene.lab, &scene.python, "rig", json!({ "board": "demo" }), hooks).await;
    scene.client("alice").await;
    for _ in 0..2 {
        scene.said("alice", &["shell", "--selector", "board=demo", "--", "true"]).await.failed();
        scene.free("rig").await;
    }
    let leases = scene.said("alice", &["get", "leases", "-o", "name"]).await.ok();
    assert_eq!(leases.trim(), "", "{leases}");
    drop(rig);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_whose_hook_says_so_ends_and_is_offline() {
    let Some(mut scene) = Scene::new().await else { return };
    let hooks = json!({ "hooks": { "beforeLease": hook("exit 3", "exit") } });
    let mut rig =
        exporter_with(&mut scene.lab, &scene.python, "rig", json!({ "board": "demo" }), hooks).await;
    scene.client("alice").await;
    let mut shell = scene.jmp("alice", &["shell", "--selector", "board=demo", "--", "true"]);
    let mut shell = shell.spawn().expect("python runs");
    scene.lab.until("Exporter", "rig", |exporter| exporter["status"]["exporterStatus"] == "Offline").await;
    // This client waits for an exporter that says so of itself; what ends its lease, ends the exporter.
    terminate(&shell);
    tokio::time::timeout(PATIENCE, shell.wait()).await.expect("in time").expect("it ends");
    let ended = tokio::time::timeout(PATIENCE, rig.wait()).await;
    ended.unwrap_or_else(|_| panic!("it goes on\n{}", log(&scene.lab, "rig"))).expect("it ends");
    scene
        .lab
        .until("Exporter", "rig", |exporter| {
            let conditions = exporter["status"]["conditions"].as_array();
            conditions
                .is_some_and(|all| all.iter().any(|one| one["type"] == "Online" && one["status"] == "False"))
        })
        .await;
    scene.stop().await;
}
