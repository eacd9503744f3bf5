//! Scripts around leases, and how they fail.
//!
//! What a hook does is said by a file beside the exporter, so that one exporter is enough for several cases.

use jumpstarter_tests::lab::PATIENCE;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Mix, Said, Scene, Side, scenarios, terminate};

scenarios! {
    crate::MIXES:
        hooks_run_around_each_lease_and_their_warnings_are_shown
        a_hook_that_fails_ends_the_lease_and_the_exporter_is_free_again
        a_hook_alone_runs_with_the_interpreter_that_it_names
        an_exporter_whose_hook_says_so_ends_and_is_offline
        an_exporter_whose_last_hook_says_so_ends_and_is_offline;
}

/// How many seconds a hook may take: `j` of upstream alone needs several on a busy machine. Upstream's client takes an exporter for
/// unreachable after 20 s without an answer, and upstream's exporter gives none before its hook has ended: that must be earlier.
const PATIENT: u32 = 15;

/// Both hooks, with the same `onFailure`.
fn hooks(on_failure: &str) -> Value {
    let hook =
        |name: &str| json!({ "script": format!(". ./{name}"), "timeout": PATIENT, "onFailure": on_failure });
    json!({ "hooks": { "beforeLease": hook("before"), "afterLease": hook("after") } })
}

impl Scene {
    /// What the hooks do from now on.
    fn script(&self, before: &str, after: &str) {
        for (name, text) in [("before", before), ("after", after)] {
            std::fs::write(self.lab.path().join(name), text).expect("written");
        }
    }
}

/// That these words stand in this order in what was said.
fn in_order(said: &Said, words: &[&str]) {
    let everything = format!("{}{}", said.out, said.err);
    // Results and messages are two streams; each has its own order.
    let mut from = 0;
    for word in words {
        let at = everything[from..].find(word).unwrap_or_else(|| panic!("no {word:?} in its place: {said}"));
        from += at + word.len();
    }
}

/// What nobody wants to read who did nothing wrong.
fn no_noise(said: &Said) {
    for noise in ["Traceback", "Error", "UNAVAILABLE", "CANCELLED", "Broken pipe", "broken pipe"] {
        assert!(!said.everything().contains(noise), "{noise:?}: {said}");
    }
}

async fn hooks_run_around_each_lease_and_their_warnings_are_shown(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    scene.script("", "");
    let rig = scene.rig(hooks("warn")).await;
    scene.client("alice").await;

    scene.script(
        "test -n \"$LEASE_NAME\" && echo first-of $CLIENT_NAME; sleep 1; j power on && echo switched-on",
        "test -n \"$LEASE_NAME\" && j power off && echo switched-off; sleep 1; echo last-of $CLIENT_NAME",
    );
    for _ in 0..2 {
        let said = scene.shell(&["j", "power", "read"]).await;
        in_order(&said, &["first-of alice", "switched-on", "switched-off", "last-of alice"]);
        if mix.client == Side::Ours {
            // Hooks are no results, and whoever waits for one is told so.
            assert!(!said.out.contains("-of alice") && !said.out.contains("switched"), "{said}");
            // Upstream's exporter answers nobody before its hook has ended, so that it may never be seen running.
            let waits = match mix.exporter {
                Side::Ours => &["Waiting for beforeLease hook to complete..."][..],
                Side::Upstreams => &[],
            };
            let steps = [
                "Running afterLease hook (Ctrl+C to skip)...",
                "afterLease hook completed",
                "Releasing Lease",
            ];
            let steps = [waits, &steps].concat();
            for words in steps.iter().chain(&["first-of alice", "last-of alice"]) {
                assert!(said.err.contains(words), "no {words:?}: {said}");
            }
            in_order(&said, &steps);
        }
        no_noise(&said);
        assert!(said.ok().contains("voltage"));
        scene.free("rig").await;
    }

    scene.script("exit 3", "echo cleaned-up");
    let said = scene.shell(&["echo", "begun"]).await;
    in_order(&said, &["Warning: ", "exit code 3"]);
    assert!(said.everything().contains("cleaned-up"), "{said}");
    assert!(said.ok().contains("begun"));
    scene.free("rig").await;

    scene.script("", "exit 4");
    let said = scene.shell(&["echo", "begun"]).await;
    in_order(&said, &["Warning: ", "exit code 4"]);
    assert!(said.ok().contains("begun"));
    scene.free("rig").await;

    scene.script("sleep 100", "");
    let said = scene.shell(&["echo", "begun"]).await;
    in_order(&said, &["Warning: ", &format!("timed out after {PATIENT} seconds")]);
    assert!(said.ok().contains("begun"));
    scene.free("rig").await;
    scene.end(rig).await;
}

async fn a_hook_that_fails_ends_the_lease_and_the_exporter_is_free_again(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    scene.script("seq -f line-%g 100; exit 3", "echo never-run");
    let rig = scene.rig(hooks("endLease")).await;
    scene.client("alice").await;
    for _ in 0..2 {
        let said = scene.shell(&["echo", "begun"]).await;
        in_order(&said, &["beforeLease hook failed", "exit code 3"]);
        if mix.client == Side::Ours {
            // Why it failed is in what it said.
            in_order(&said, &["line-1", "line-100", "Error: beforeLease hook failed"]);
        }
        assert_eq!(said.code, Some(1), "{said}");
        assert!(!said.out.contains("begun\n") && !said.to_string().contains("never-run\n"), "{said}");
        if mix.client == Side::Ours {
            assert_eq!(said.out, "", "{said}");
            let tells = |line: &str| line.starts_with("Error: ") && line.contains("beforeLease");
            assert!(said.err.lines().any(tells), "{said}");
        }
        scene.free("rig").await;
        if mix.exporter == Side::Upstreams {
            // A second after its hook, upstream's exporter gives back the lease that it has then, also if it is another.
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        }
    }
    let leases = scene.said("alice", &["get", "leases", "-o", "name"]).await.ok();
    assert_eq!(leases.trim(), "", "{leases}");

    // Upstream's exporter goes on to say that its hook failed, and is never free again, when its client was first to give
    // the lease back.
    if mix.exporter == Side::Ours {
        scene.script("", "exit 5");
        let said = scene.shell(&["echo", "begun"]).await;
        assert!(said.out.contains("begun"), "{said}");
        in_order(&said, &["afterLease hook failed", "exit code 5"]);
        said.failed();
        scene.free("rig").await;
    }
    // And it can be used as if nothing had been.
    scene.script("", "");
    scene.shell(&["j", "power", "on"]).await.ok();
    scene.free("rig").await;
    scene.end_by(rig, Signal::INT).await;
}

async fn a_hook_alone_runs_with_the_interpreter_that_it_names(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    scene.client("alice").await;
    let file = scene.lab.path().join("hook.py");
    std::fs::write(&file, "import os\nprint('file', 'of', os.environ['CLIENT_NAME'])\n").expect("written");
    let bash = json!({ "script": "words=(a b c); echo array ${#words[@]}", "exec": "/bin/bash" });
    let python = json!({ "script": "print('sum', 20 + 22)", "exec": "python3" });
    let file = json!({ "script": file.display().to_string(), "exec": "python3" });
    let mut rigs = Vec::new();
    for (name, moment, hook) in
        [("one", "beforeLease", &bash), ("two", "afterLease", &python), ("three", "beforeLease", &file)]
    {
        let mut hooks = json!({ "hooks": {} });
        hooks["hooks"][moment] = hook.clone();
        rigs.push(scene.exporter(name, json!({ "board": "demo" }), hooks).await);
    }
    let shells = [("one", "array 3"), ("two", "sum 42"), ("three", "file of alice")].map(|(name, words)| {
        let (scene, words) = (&scene, words);
        async move {
            let said = scene.said("alice", &["shell", "--name", name, "--", "echo", "begun"]).await;
            assert!(said.everything().contains(words), "{name}: {said}");
            no_noise(&said);
            assert!(said.ok().contains("begun"));
        }
    });
    futures::future::join_all(shells).await;
    for name in ["one", "two", "three"] {
        scene.free(name).await;
    }
    drop(rigs);
    scene.stop().await;
}

/// The end of an exporter that ends by itself: it is offline, and has said so with its exit code if it is ours.
async fn gone(scene: &mut Scene, mut rig: tokio::process::Child) {
    let ended = tokio::time::timeout(PATIENCE, rig.wait()).await;
    let ended = ended.unwrap_or_else(|_| panic!("it goes on\n{}", scene.log())).expect("it ends");
    if scene.programs.mix.exporter == Side::Ours {
        assert_eq!(ended.code(), Some(1), "{}", scene.log());
    }
    let offline = |exporter: &Value| {
        let conditions = exporter["status"]["conditions"].as_array();
        conditions
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Online" && one["status"] == "False"))
    };
    let rig = scene.lab.until("Exporter", "rig", offline).await;
    if scene.programs.mix.exporter == Side::Ours {
        assert_eq!(rig["status"]["exporterStatus"], "Offline", "{rig}");
    }
}

async fn an_exporter_whose_hook_says_so_ends_and_is_offline(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    scene.script("exit 3", "");
    let rig = scene.rig(hooks("exit")).await;
    scene.client("alice").await;
    if mix.exporter == Side::Ours {
        let said = scene.shell(&["echo", "begun"]).await;
        in_order(&said, &["beforeLease hook failed", "exit code 3"]);
        assert!(!said.out.contains("begun\n"), "{said}");
        said.failed();
    } else {
        let mut shell = scene.jmp("alice", &["shell", "--selector", "board=demo", "--", "true"]);
        let mut shell = shell.spawn().expect("it runs");
        let offline = |exporter: &Value| exporter["status"]["exporterStatus"] == "Offline";
        scene.lab.until("Exporter", "rig", offline).await;
        // Upstream's client waits for an exporter that says so of itself; what ends its lease, ends the exporter.
        if mix.client == Side::Upstreams {
            terminate(&shell);
        }
        tokio::time::timeout(PATIENCE, shell.wait()).await.expect("in time").expect("it ends");
    }
    gone(&mut scene, rig).await;
    scene.stop().await;
}

async fn an_exporter_whose_last_hook_says_so_ends_and_is_offline(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    scene.script("", "exit 5");
    let rig = scene.rig(hooks("exit")).await;
    scene.client("alice").await;
    if mix.exporter == Side::Ours || mix.client == Side::Ours {
        let said = scene.shell(&["echo", "begun"]).await;
        assert!(said.out.contains("begun"), "{said}");
        if mix.exporter == Side::Ours {
            in_order(&said, &["afterLease hook failed", "exit code 5"]);
        }
    } else {
        // They wait for each other, as upstream has it: the client for the hook, the exporter for the end of the lease.
        let mut shell = scene.jmp("alice", &["shell", "--selector", "board=demo", "--", "true"]);
        let mut shell = shell.spawn().expect("it runs");
        let offline = |exporter: &Value| exporter["status"]["exporterStatus"] == "Offline";
        scene.lab.until("Exporter", "rig", offline).await;
        terminate(&shell);
        tokio::time::timeout(PATIENCE, shell.wait()).await.expect("in time").expect("it ends");
    }
    gone(&mut scene, rig).await;
    scene.stop().await;
}
