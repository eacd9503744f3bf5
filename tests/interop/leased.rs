//! Our exporter, leased by the unmodified Python client from a lab of ours.

use std::{path::Path, process::Stdio, time::Duration};

use jumpstarter_tests::{
    programs,
    python::{Python, python},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::lab::{Lab, PATIENCE, log};

/// Our `jmp run` with a file of the lab.
async fn exporter(lab: &mut Lab, more: &Value) -> Child {
    let credential = lab.create("Exporter", "rig", json!({ "board": "demo" })).await;
    let mut file = json!({ "export": { "power": { "type": "mock-power" } } });
    for (key, value) in more.as_object().expect("a map") {
        file[key] = value.clone();
    }
    let file = lab.config("ExporterConfig", "rig", &credential, &file);
    let child = run(lab, &file);
    available(lab).await;
    child
}

fn run(lab: &Lab, file: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(lab.path().join("rig.log"));
    let log = log.expect("a log");
    let jmp = programs::jmp();
    // Hooks find the `j` that belongs to this exporter.
    let path = std::env::var_os("PATH").expect("a path");
    let folders =
        std::iter::once(jmp.parent().expect("a folder").to_owned()).chain(std::env::split_paths(&path));
    Command::new(&jmp)
        .args(["--log-format", "text", "run", "--exporter-config"])
        .arg(file)
        .env("PATH", std::env::join_paths(folders).expect("a path"))
        .env("HOME", lab.path())
        .current_dir(lab.path())
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone().expect("a log")))
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .expect("it runs")
}

async fn available(lab: &mut Lab) {
    lab.until("Exporter", "rig", |exporter| {
        exporter["status"]["exporterStatus"] == "Available" && exporter["status"].get("leaseRef").is_none()
    })
    .await;
}

async fn client(lab: &mut Lab) -> std::path::PathBuf {
    let credential = lab.create("Client", "me", json!({})).await;
    lab.config("ClientConfig", "me", &credential, &json!({ "drivers": { "allow": [], "unsafe": true } }))
}

/// The Python client's shell with a command; its exit code, and what it said.
async fn shell(lab: &Lab, python: &Python, file: &Path, command: &[&str]) -> (Option<i32>, String) {
    let mut shell = lab.jmp(python);
    shell.args(["shell", "--client-config"]).arg(file);
    shell.args(["--selector", "board=demo", "--"]).args(command);
    let output = tokio::time::timeout(PATIENCE * 2, shell.output()).await;
    let output = output.expect("in time").expect("python runs");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said)
}

async fn end(mut child: Child, signal: Signal) -> Option<i32> {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).expect("it runs");
    kill_process(pid, signal).expect("a signal");
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("an end").code()
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_client_leases_our_exporter_from_our_lab_again_and_again() {
    let Some(python) = python() else { return };
    let mut lab = Lab::start().await;
    let rig = exporter(&mut lab, &json!({})).await;
    let file = client(&mut lab).await;
    for _ in 0..3 {
        let (code, said) = shell(&lab, &python, &file, &["j", "power", "on"]).await;
        assert_eq!(code, Some(0), "{said}\n--- exporter\n{}", log(&lab, "rig"));
        available(&mut lab).await;
    }
    let exporter = lab.object("Exporter", "rig").await;
    assert_eq!(exporter["metadata"]["annotations"]["jumpstarter.dev/lease-epoch"], "3", "{exporter}");
    // The exit code of what was run comes through.
    let (code, said) = shell(&lab, &python, &file, &["sh", "-c", "j power read; exit 7"]).await;
    assert_eq!(code, Some(7), "{said}\n--- exporter\n{}", log(&lab, "rig"));
    available(&mut lab).await;
    assert_eq!(end(rig, Signal::TERM).await, Some(143));
    let gone = lab.object("Exporter", "rig").await;
    assert_eq!(gone["status"]["exporterStatus"], "Offline", "{gone}");
    lab.serving.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_our_exporter_use_j_and_upstreams_client_shows_their_lines() {
    let Some(python) = python() else { return };
    let mut lab = Lab::start().await;
    let hooks = json!({ "hooks": {
        "beforeLease": { "script": "echo before for $CLIENT_NAME; j power on && echo switched-on" },
        "afterLease": { "script": "j power off && echo switched-off; echo after-it" },
    } });
    let rig = exporter(&mut lab, &hooks).await;
    let file = client(&mut lab).await;
    for _ in 0..2 {
        let (code, said) = shell(&lab, &python, &file, &["j", "power", "read"]).await;
        let whole = format!("{said}\n--- exporter\n{}", log(&lab, "rig"));
        assert_eq!(code, Some(0), "{whole}");
        let places = ["before for me", "switched-on", "switched-off", "after-it"]
            .map(|words| said.find(words).unwrap_or_else(|| panic!("no {words:?}: {whole}")));
        assert!(places.is_sorted(), "{whole}");
        available(&mut lab).await;
    }
    assert_eq!(end(rig, Signal::INT).await, Some(130));
    lab.serving.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_client_is_told_that_before_lease_failed_and_the_exporter_is_free_again() {
    let Some(python) = python() else { return };
    let mut lab = Lab::start().await;
    let hooks = json!({ "hooks": {
        "beforeLease": { "script": "echo broken; exit 3", "onFailure": "endLease" },
        "afterLease": { "script": "echo never-run" },
    } });
    let rig = exporter(&mut lab, &hooks).await;
    let file = client(&mut lab).await;
    for _ in 0..2 {
        let (code, said) = shell(&lab, &python, &file, &["echo", "used"]).await;
        let whole = format!("{said}\n--- exporter\n{}", log(&lab, "rig"));
        assert_eq!(code, Some(1), "{whole}");
        assert!(said.contains("beforeLease hook failed"), "{whole}");
        assert!(!said.contains("used\n") && !whole.contains("never-run\n"), "{whole}");
        available(&mut lab).await;
    }
    assert_eq!(end(rig, Signal::TERM).await, Some(143));
    lab.serving.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_upstreams_clients_take_turns_on_our_exporter_and_a_failing_hook_can_end_it() {
    let Some(python) = python() else { return };
    let mut lab = Lab::start().await;
    let hooks = json!({ "hooks": {
        "afterLease": { "script": "test ! -e stop || exit 9", "onFailure": "exit" },
    } });
    let mut rig = exporter(&mut lab, &hooks).await;
    let file = client(&mut lab).await;
    let command = ["j", "power", "on"];
    let (one, two) =
        tokio::join!(shell(&lab, &python, &file, &command), shell(&lab, &python, &file, &command));
    for (code, said) in [one, two] {
        assert_eq!(code, Some(0), "{said}\n--- exporter\n{}", log(&lab, "rig"));
    }
    available(&mut lab).await;
    std::fs::write(lab.path().join("stop"), "").expect("written");
    let (_, said) = shell(&lab, &python, &file, &command).await;
    let ended = tokio::time::timeout(PATIENCE, rig.wait()).await.expect("in time").expect("an end");
    assert_eq!(ended.code(), Some(1), "{said}\n--- exporter\n{}", log(&lab, "rig"));
    let gone = lab.object("Exporter", "rig").await;
    assert_eq!(gone["status"]["exporterStatus"], "Offline", "{gone}");
    lab.serving.stop(Duration::from_secs(1)).await;
}
