//! Our client leases the unmodified Python exporter from our lab.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use jumpstarter_interfaces::PowerClient;
use jumpstarter_lease::leased::lease;
use jumpstarter_tests::{
    lab::{self, Lab, PATIENCE},
    programs,
    python::{Python, python},
};
use serde_json::{Value, json};

/// A lab with a Python exporter that has a supply, and a client of ours.
struct Bench {
    lab: Lab,
    python: Python,
    client: PathBuf,
    exporter: tokio::process::Child,
}

impl Bench {
    async fn new() -> Option<Self> {
        let python = python()?;
        let mut lab = Lab::start().await;
        let exporter = lab::exporter(&mut lab, &python, "rig", json!({ "board": "demo" })).await;
        let credential = lab.create("Client", "alice", json!({})).await;
        let drivers = json!({ "drivers": { "allow": [], "unsafe": true } });
        let client = lab.config("ClientConfig", "alice", &credential, &drivers);
        Some(Self { lab, python, client, exporter })
    }

    /// Our `jmp` as this client, with what upstream has on its way to commands.
    fn jmp(&self, words: &[&str]) -> tokio::process::Command {
        let theirs = self.python.process("jmp");
        let path = theirs.as_std().get_envs().find_map(|(name, value)| (name == "PATH").then_some(value));
        let path = path.flatten().unwrap_or_default().to_owned();
        let ours = programs::jmp();
        let mut command = tokio::process::Command::new(&ours);
        let folder = ours.parent().unwrap_or(Path::new("/")).to_owned();
        let both = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path)));
        command
            .args(words)
            .env("PATH", both.expect("a path"))
            .env("HOME", self.lab.path())
            .env("XDG_CONFIG_HOME", self.lab.path())
            .env("JMP_CLIENT_CONFIG", &self.client)
            .env_remove("JMP_LEASE")
            .env_remove("JUMPSTARTER_HOST")
            .env_remove("JMP_DRIVERS_ALLOW")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, words: &[&str]) -> Output {
        let output = self.jmp(words).output();
        tokio::time::timeout(PATIENCE, output).await.expect("in time").expect("it runs")
    }

    async fn free(&mut self) {
        self.lab.until("Exporter", "rig", lab::is_free).await;
    }

    fn log(&self) -> String {
        lab::log(&self.lab, "rig")
    }

    async fn end(mut self) {
        self.exporter.start_kill().expect("a signal");
        self.lab.serving.stop(Duration::from_secs(1)).await;
    }
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const SHELL: [&str; 4] = ["shell", "--selector", "board=demo", "--"];

#[tokio::test(flavor = "multi_thread")]
async fn our_shell_leases_upstreams_exporter_uses_it_and_gives_it_back() {
    let Some(mut bench) = Bench::new().await else { return };
    for _ in 0..2 {
        let script = "j power on && j power read && env | grep -E '^JMP_(LEASE|EXPORTER|DRIVERS)' | sort";
        let output = bench.run(&[&SHELL[..], &["sh", "-c", script]].concat()).await;
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(0), "{out}{err}\n--- exporter\n{}", bench.log());
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "voltage=0.0 V  current=0.0 A  apparent_power=0.0 VA",
                "voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA",
                "JMP_DRIVERS_ALLOW=UNSAFE",
                "JMP_EXPORTER=rig",
            ],
            "{out}"
        );
        assert!(lines[4].starts_with("JMP_EXPORTER_LABELS=") && lines[4].contains("board=demo"), "{out}");
        let lease = lines[5].strip_prefix("JMP_LEASE=").expect("the lease").to_owned();
        assert_eq!(bench.lab.object("Lease", &lease).await["spec"]["release"], true);
        assert!(err.contains(&format!("Releasing Lease {lease}")), "{err}");
        bench.free().await;
    }
    // The command's exit code is the shell's.
    let output = bench.run(&[&SHELL[..], &["sh", "-c", "exit 7"]].concat()).await;
    assert_eq!(output.status.code(), Some(7), "{:?}", said(&output));
    bench.free().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_j_works_in_our_shell_on_upstreams_exporter() {
    let Some(mut bench) = Bench::new().await else { return };
    let python = bench.python.program("python").display().to_string();
    let script =
        format!("{python} -m jumpstarter_cli.j power on && {python} -m jumpstarter_cli.j power read");
    let output = bench.run(&[&SHELL[..], &["sh", "-c", &script]].concat()).await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}\n--- exporter\n{}", bench.log());
    assert!(out.contains("voltage=5.0 V"), "{out}");
    bench.free().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_given_is_joined_by_several_shells_and_stays() {
    let Some(mut bench) = Bench::new().await else { return };
    let create = ["create", "lease", "-l", "board=demo", "--wait", "60", "-o", "name", "--tag", "build=12"];
    let output = bench.run(&create).await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    let lease = out.trim_end().to_owned();
    assert!(!lease.is_empty() && !lease.contains(char::is_whitespace), "only the name: {out:?}");
    let join = ["shell", "--lease", &lease, "--", "sh", "-c", "j power on && jmp shell -- j power read"];
    // Another one at the same time; the inner shell of the first finds the lease in its environment.
    let beside = ["shell", "--lease", &lease, "--", "j", "power", "on"];
    let (one, two) = tokio::join!(bench.run(&join), bench.run(&beside));
    let (out, err) = said(&one);
    assert_eq!(one.status.code(), Some(0), "{out}{err}\n--- exporter\n{}", bench.log());
    assert!(out.contains("voltage=5.0 V"), "{out}");
    assert_eq!(two.status.code(), Some(0), "{:?}", said(&two));
    assert_ne!(bench.lab.object("Lease", &lease).await["spec"]["release"], true);
    // Without a word about which, it is the only one there is.
    let output = bench.run(&["shell", "--", "j", "power", "off"]).await;
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    let output = bench.run(&["get", "exporters", "--with", "leases,status", "-o", "json"]).await;
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(shown["exporters"][0]["lease"]["tags"], json!({ "build": "12" }), "{shown}");
    assert_eq!(shown["exporters"][0]["status_name"], "LEASE_READY", "{shown}");
    let output = bench.run(&["delete", "leases", &lease]).await;
    assert_eq!(said(&output).0, format!("lease \"{lease}\" deleted\n"));
    let output = bench.run(&["shell", "--lease", &lease, "--", "true"]).await;
    assert_eq!(said(&output).1, format!("Error: lease {lease} has already ended\n"));
    bench.free().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_in_rust_leases_upstreams_exporter() {
    let Some(mut bench) = Bench::new().await else { return };
    let rig = lease().client_config(&bench.client).selector("board=demo");
    let rig = rig.duration(Duration::from_mins(5)).await.expect("a lease");
    let power: PowerClient = rig.client("power").expect("a supply");
    power.on().await.expect("it is on");
    let readings = power.read().await.expect("readings").collect().await.expect("all of them");
    assert!((readings[1].voltage - 5.0).abs() < f64::EPSILON, "{readings:?}");
    assert_eq!(rig.lease().exporter(), "rig");
    rig.release().await.expect("it is given back");
    bench.free().await;
    bench.end().await;
}
