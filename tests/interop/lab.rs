//! A lab of ours between the unmodified Python exporter and the unmodified Python client.

use std::{path::Path, process::Stdio, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_protocol::admin::v1::{
    CreateRequest, Credential, GetRequest, IssueRequest, Key, admin_service_client::AdminServiceClient,
};
use jumpstarter_tests::python::{Python, python};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

/// How long something may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Lab {
    pub(crate) serving: Serving,
    pub(crate) admin: AdminServiceClient<Channel>,
    folder: TempDir,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("lab");
        let settings = Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            endpoint: None,
            protection: Protection::Own { names: Vec::new() },
            config: LabConfig::default(),
            controller_key: None,
        };
        let serving = Serving::start(Data::open(&data).expect("a lab"), &settings).await.expect("it starts");
        let socket = Endpoint::Unix(Data::admin_socket(&data));
        let channel = connect::connect(&socket, &Options::default()).await.expect("a connection");
        Self { serving, admin: AdminServiceClient::new(channel), folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn create(&mut self, kind: &str, name: &str, labels: Value) -> Credential {
        let object = json!({ "kind": kind, "metadata": { "name": name, "labels": labels } });
        self.admin.create(CreateRequest { json: object.to_string() }).await.expect("made");
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        self.admin.issue(IssueRequest { key, rotate: false }).await.expect("a token").into_inner()
    }

    pub(crate) async fn object(&mut self, kind: &str, name: &str) -> Value {
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        let found = self.admin.get(GetRequest { key }).await.expect("found").into_inner();
        serde_json::from_str(&found.json).expect("JSON")
    }

    pub(crate) async fn until(&mut self, kind: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let object = self.object(kind, name).await;
                if holds(&object) {
                    return object;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it happens in time")
    }

    pub(crate) fn config(
        &self,
        kind: &str,
        name: &str,
        credential: &Credential,
        more: &Value,
    ) -> std::path::PathBuf {
        let mut config = json!({
            "apiVersion": "jumpstarter.dev/v1alpha1",
            "kind": kind,
            "metadata": { "namespace": credential.namespace, "name": name },
            "endpoint": credential.endpoint,
            "tls": { "ca": BASE64_STANDARD.encode(&credential.authority), "insecure": false },
            "token": credential.token,
        });
        for (key, value) in more.as_object().expect("a map") {
            config[key] = value.clone();
        }
        let file = self.path().join(format!("{name}.yaml"));
        // JSON is YAML.
        std::fs::write(&file, config.to_string()).expect("written");
        file
    }

    pub(crate) fn jmp(&self, python: &Python) -> tokio::process::Command {
        let mut command = python.process("jmp");
        command
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path())
            .env("JMP_DRIVERS_ALLOW", "UNSAFE");
        command.kill_on_drop(true);
        command
    }
}

pub(crate) async fn exporter(lab: &mut Lab, python: &Python, name: &str, labels: Value) -> Child {
    exporter_with(lab, python, name, labels, json!({})).await
}

/// An exporter with more in its file.
pub(crate) async fn exporter_with(
    lab: &mut Lab,
    python: &Python,
    name: &str,
    labels: Value,
    mut more: Value,
) -> Child {
    let credential = lab.create("Exporter", name, labels).await;
    more["export"] = json!({ "power": { "type": "jumpstarter_driver_power.driver.MockPower" } });
    lab.config("ExporterConfig", name, &credential, &more);
    let child = run(lab, python, name);
    lab.until("Exporter", name, |exporter| exporter["status"]["exporterStatus"] == "Available").await;
    child
}

/// Runs the exporter of a file that is there.
pub(crate) fn run(lab: &Lab, python: &Python, name: &str) -> Child {
    let file = lab.path().join(format!("{name}.yaml"));
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(lab.path().join(format!("{name}.log")))
        .expect("a log");
    lab.jmp(python)
        .args(["run", "--exporter-config"])
        .arg(file)
        .stdout(Stdio::from(log.try_clone().expect("a log")))
        .stderr(Stdio::from(log))
        .spawn()
        .expect("python runs")
}

pub(crate) fn log(lab: &Lab, name: &str) -> String {
    std::fs::read_to_string(lab.path().join(format!("{name}.log"))).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_client_leases_upstreams_exporter_from_our_lab() {
    let Some(python) = python() else { return };
    let mut lab = Lab::start().await;
    let mut rig = exporter(&mut lab, &python, "rig", json!({ "board": "demo" })).await;
    let credential = lab.create("Client", "me", json!({})).await;
    let file =
        lab.config("ClientConfig", "me", &credential, &json!({ "drivers": { "allow": [], "unsafe": true } }));

    for _ in 0..2 {
        let mut shell = lab.jmp(&python);
        shell.args(["shell", "--client-config"]).arg(&file).args([
            "--selector",
            "board=demo",
            "--",
            "j",
            "power",
            "on",
        ]);
        let output =
            tokio::time::timeout(PATIENCE, shell.output()).await.expect("in time").expect("python runs");
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n--- exporter\n{}", log(&lab, "rig"));
        lab.until("Exporter", "rig", |exporter| {
            exporter["status"]["exporterStatus"] == "Available"
                && exporter["status"].get("leaseRef").is_none()
        })
        .await;
    }
    let exporter = lab.object("Exporter", "rig").await;
    assert_eq!(exporter["metadata"]["annotations"]["jumpstarter.dev/lease-epoch"], "2", "{exporter}");
    assert!(log(&lab, "rig").contains("power on"), "{}", log(&lab, "rig"));
    rig.start_kill().expect("a signal");
    lab.serving.stop(Duration::from_secs(1)).await;
}
