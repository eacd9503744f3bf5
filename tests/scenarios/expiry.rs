//! Leases whose time passes while somebody uses them.

use jumpstarter_tests::lab::PATIENCE;
use serde_json::json;

use crate::{Mix, Scene, Side, scenarios, terminate};

scenarios! {
    crate::MIXES:
        a_lease_expires_idle_during_a_slow_hook_and_after_one;
}

async fn a_lease_expires_idle_during_a_slow_hook_and_after_one(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let slow = scene.lab.path().join("slow");
    let hooks = json!({ "hooks": {
        "beforeLease": { "script": format!("sleep \"$(cat {})\"; echo hook-ends", slow.display()), "timeout": 30 },
        "afterLease": { "script": "echo all-done" },
    } });
    std::fs::write(&slow, "0").expect("written");
    let rig = scene.rig(hooks).await;
    scene.client("alice").await;
    // Upstream's client does not end a command that begins when the lease is over already, and on a busy machine it needs a
    // while to begin one.
    let [alone, behind] = if mix.client == Side::Ours { ["5s", "7s"] } else { ["20s", "22s"] };
    for (number, (case, hook, lasts)) in
        [("idle", "0", alone), ("during the hook", "6", "4s"), ("after the hook", "2", behind)]
            .into_iter()
            .enumerate()
    {
        std::fs::write(&slow, hook).expect("written");
        // Upstream's client sends the signal of a closed terminal to what it started, and to that alone: with a shell in
        // between, whoever reads what its command says would wait for the command's own end.
        let idle =
            if case == "during the hook" { "echo begun; exec sleep 3" } else { "echo begun; exec sleep 300" };
        let words = ["shell", "--selector", "board=demo", "--duration", lasts, "--", "sh", "-c", idle];
        if case == "during the hook" && (mix.client, mix.exporter) == (Side::Upstreams, Side::Upstreams) {
            // They do not come to an end: that client waits for a first answer without a limit, and that exporter does not
            // answer while its hook runs.
            let mut shell = scene.jmp("alice", &words).spawn().expect("it runs");
            logged(&scene, number + 1).await;
            terminate(&shell);
            tokio::time::timeout(PATIENCE, shell.wait()).await.expect("in time").expect("it ends");
            scene.free("rig").await;
            continue;
        }
        let said = scene.said("alice", &words).await;
        assert!(
            !said.everything().contains("Error") && !said.everything().contains("Traceback"),
            "{case}: {said}"
        );
        if case != "during the hook" {
            assert!(said.out.contains("begun"), "{case}: {said}");
        }
        if mix.client == Side::Ours {
            assert_eq!(said.code, Some(129), "{case}: {said}");
            assert!(said.err.contains("has expired"), "{case}: {said}");
            assert!(case != "during the hook" || said.out.is_empty(), "nothing is run: {said}");
        }
        // However it ended, the devices were brought in order once.
        logged(&scene, number + 1).await;
        scene.free("rig").await;
    }
    assert_eq!(counted(&scene), (3, 3), "{}", scene.log());
    scene.end(rig).await;
}

/// How often both hooks have said their words.
fn counted(scene: &Scene) -> (usize, usize) {
    let log = scene.log();
    (log.matches("hook-ends").count(), log.matches("all-done").count())
}

/// Waits until they have so often. Upstream's exporter counts as free before that.
async fn logged(scene: &Scene, often: usize) {
    let said = async {
        while counted(scene) != (often, often) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("the hooks do not end {often} times\n{}", scene.log()));
}
