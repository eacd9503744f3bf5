//! Our exporter, leased by the unmodified Python client from a lab of ours.

use std::{path::Path, process::Stdio, time::Duration};

use jumpstarter_tests::{
    lab::{Lab, PATIENCE, is_free, log},
    programs,
    python::{Python, python},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};

/// Our `jmp run` with a file of the lab.
async fn exporter(lab: &mut Lab) -> Child {
    let credential = lab.create("Exporter", "rig", json!({ "board": "demo" })).await;
    let file = json!({ "export": { "power": { "type": "mock-power" } } });
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
    lab.until("Exporter", "rig", is_free).await;
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
    let rig = exporter(&mut lab).await;
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
