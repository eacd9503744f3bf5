//! A lab of ours inside of the test, for clients and exporters of both kinds.

use std::{path::Path, process::Stdio, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_protocol::admin::v1::{
    CreateRequest, Credential, GetRequest, IssueRequest, Key, admin_service_client::AdminServiceClient,
};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::python::Python;

/// How long something may take that has to happen, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A lab in a folder of its own, at a port of its own.
pub struct Lab {
    /// The lab itself.
    pub serving: Serving,
    /// What administers it.
    pub admin: AdminServiceClient<Channel>,
    folder: TempDir,
}

impl Lab {
    /// A lab as it comes.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start() -> Self {
        Self::with(LabConfig::default()).await
    }

    /// A lab that is run in this way.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn with(config: LabConfig) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("lab");
        let settings = Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            endpoint: None,
            protection: Protection::Own { names: Vec::new() },
            config,
            controller_key: None,
        };
        let serving = Serving::start(Data::open(&data).expect("a lab"), &settings).await.expect("it starts");
        let socket = Endpoint::Unix(Data::admin_socket(&data));
        let channel = connect::connect(&socket, &Options::default()).await.expect("a connection");
        Self { serving, admin: AdminServiceClient::new(channel), folder }
    }

    /// Its folder, also for whatever the test needs.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An object with these labels, and the credential of whom it stands for.
    ///
    /// # Panics
    ///
    /// When the lab refuses.
    pub async fn create(&mut self, kind: &str, name: &str, labels: Value) -> Credential {
        let object = json!({ "kind": kind, "metadata": { "name": name, "labels": labels } });
        self.admin.create(CreateRequest { json: object.to_string() }).await.expect("made");
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        self.admin.issue(IssueRequest { key, rotate: false }).await.expect("a token").into_inner()
    }

    /// An object as it is now.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn object(&mut self, kind: &str, name: &str) -> Value {
        let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
        let found = self.admin.get(GetRequest { key }).await.expect("found").into_inner();
        serde_json::from_str(&found.json).expect("JSON")
    }

    /// Waits until this holds for an object.
    ///
    /// # Panics
    ///
    /// When it does not come to that.
    pub async fn until(&mut self, kind: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_or(String::new, kind, name, holds).await
    }

    /// The same; `or` is what there is to say when it does not happen.
    ///
    /// # Panics
    ///
    /// When it does not happen.
    pub async fn until_or(
        &mut self,
        or: impl FnOnce() -> String,
        kind: &str,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                let object = self.object(kind, name).await;
                if holds(&object) {
                    return object;
                }
                last = object;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("it does not happen in time: {last}\n{}", or()))
    }

    /// Writes the file of a client or an exporter, with more in it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn config(
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

    /// The Python `jmp` with this folder as its home.
    pub fn jmp(&self, python: &Python) -> tokio::process::Command {
        let mut command = python.process("jmp");
        command
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path())
            .env("JMP_DRIVERS_ALLOW", "UNSAFE");
        command.kill_on_drop(true);
        command
    }
}

/// A Python exporter with a supply; free.
///
/// # Panics
///
/// When it is not free in time.
pub async fn exporter(lab: &mut Lab, python: &Python, name: &str, labels: Value) -> Child {
    let credential = lab.create("Exporter", name, labels).await;
    let devices = json!({ "export": { "power": { "type": "jumpstarter_driver_power.driver.MockPower" } } });
    lab.config("ExporterConfig", name, &credential, &devices);
    let child = run(lab, python, name);
    lab.until("Exporter", name, is_free).await;
    child
}

/// Runs the Python exporter of a file that is there.
fn run(lab: &Lab, python: &Python, name: &str) -> Child {
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

/// What an exporter has written.
pub fn log(lab: &Lab, name: &str) -> String {
    std::fs::read_to_string(lab.path().join(format!("{name}.log"))).unwrap_or_default()
}

/// An exporter that waits for somebody to lease it.
pub fn is_free(exporter: &Value) -> bool {
    exporter["status"]["exporterStatus"] == "Available" && exporter["status"].get("leaseRef").is_none()
}
