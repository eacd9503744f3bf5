//! Exporters that crash and return.

use serde_json::json;

use crate::{Mix, Scene, scenarios};

scenarios! {
    crate::MIXES:
        an_exporter_that_crashed_in_a_lease_returns_and_is_leased_again;
}

async fn an_exporter_that_crashed_in_a_lease_returns_and_is_leased_again(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let mut rig = scene.rig(json!({})).await;
    scene.client("alice").await;
    scene
        .said("alice", &["create", "lease", "-l", "board=demo", "--duration", "1h", "--lease-id", "one"])
        .await
        .ok();
    scene.lab.until("Lease", "one", |lease| lease["status"]["exporterRef"]["name"] == "rig").await;
    // Nobody is told: all of it is gone at once.
    rig.kill().await.expect("a signal");
    let rig = scene.run("rig");
    // It is Alice's still.
    let shell = ["shell", "--lease", "one", "--", "j", "power", "on"];
    scene.said("alice", &shell).await.ok();
    scene.said("alice", &["delete", "leases", "one"]).await.ok();
    scene.free("rig").await;
    scene.said("alice", &["shell", "--selector", "board=demo", "--", "j", "power", "off"]).await.ok();
    drop(rig);
    scene.stop().await;
}
