//! Processes that things happen to: this program, started once more.

use std::{
    env,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use jumpstarter_lab::{Data, LabConfig, Serving, Settings};
use jumpstarter_protocol::admin::v1::Credential;
use jumpstarter_router::{Key, Limits, Router, Tokens};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use super::{
    people::{Lab, World},
    soon,
};
use crate::settings;

/// Set for a process of this kind: what it is.
const ROLE: &str = "JUMPSTARTER_FAULTS_ROLE";

/// The folder that it works in.
const FOLDER: &str = "JUMPSTARTER_FAULTS_FOLDER";

/// What the kernel says to whoever writes beyond a limit, on all architectures that Linux has today but MIPS and PA-RISC.
const SIGXFSZ: i32 = 25;

/// The lab in a folder.
pub(crate) fn data(folder: &Path) -> PathBuf {
    folder.join("lab")
}

/// What runs in a process of its own; does nothing in an ordinary run.
#[test]
fn a_process_of_its_own() {
    let (Ok(role), Ok(folder)) = (env::var(ROLE), env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a run time").block_on(async move {
        let running = match role.as_str() {
            "lab" => tokio::spawn(lab(folder)),
            "router" => tokio::spawn(router(folder)),
            _ => tokio::spawn(exporter(folder)),
        };
        // Whoever started it has gone, and so must this.
        let (gone, went) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = gone.send(());
        });
        tokio::select! {
            ended = running => ended.expect("no panic"),
            _ = went => {}
        }
    });
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    // The harness has begun a line.
    out.write_all(format!("\n{text}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody reads");
}

async fn lab(folder: PathBuf) {
    // With a handler for it, a write that is too much is an error.
    let _too_much = signal(SignalKind::from_raw(SIGXFSZ)).expect("a handler");
    let text = std::fs::read_to_string(folder.join("lab.yaml")).expect("its file");
    let config = LabConfig::read("lab.yaml", &text).expect("a lab file");
    let settings = Settings { config, ..settings() };
    let data = Data::open(&data(&folder)).expect("its folder");
    let mut serving = Serving::start(data, &settings).await.expect("it starts");
    say(&format!("ready {}", serving.endpoint));
    serving.failed().await;
}

async fn router(folder: PathBuf) {
    settings();
    let tokens = Tokens::new(Key::File(data(&folder).join("router.key")));
    let (server, _health) =
        jumpstarter_router::serve::server(Router::new(tokens, Limits::default())).expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    server.listen_tcp(listener, None);
    say(&format!("ready {address}"));
    std::future::pending::<()>().await;
}

async fn exporter(folder: PathBuf) {
    settings();
    let text = std::fs::read_to_string(folder.join("exporter.json")).expect("its file");
    let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let text = |key: &str| read[key].as_str().expect("text").to_owned();
    let credential = Credential {
        token: text("token"),
        authority: text("authority"),
        namespace: text("namespace"),
        ..Credential::default()
    };
    let (lab, _address) = Lab::at(&text("endpoint"));
    let rig = lab.person("Exporter", "rig", credential);
    say("ready exporter");
    rig.serve(World::new(None)).await;
}

/// What the process of an exporter named `rig` needs to know.
pub(crate) fn introduce(folder: &Path, endpoint: &str, credential: &Credential) {
    let text = json!({
        "token": credential.token, "authority": credential.authority, "namespace": credential.namespace, "endpoint": endpoint,
    });
    std::fs::write(folder.join("exporter.json"), text.to_string()).expect("written");
}

/// A process. Ends when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// What it said when it was ready.
    pub(crate) address: String,
}

impl Process {
    fn spawn(role: &str, folder: &Path) -> Child {
        Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "faults::process::a_process_of_its_own", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts")
    }

    /// Starts one: `lab`, `router` or `exporter`.
    pub(crate) async fn start(role: &str, folder: &Path) -> Self {
        let mut child = Self::spawn(role, folder);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(address) = line.strip_prefix("ready ") {
                    return address.to_owned();
                }
            }
            panic!("the process of the {role} ended by itself");
        };
        let address = soon(&format!("the {role} is ready"), ready).await;
        // Whoever says something later must not stick for want of a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }

    /// The same, killed at any moment, ready or not. It is gone when this returns, and holds nothing any more.
    pub(crate) async fn start_and_kill(role: &str, folder: &Path, after: std::time::Duration) {
        let mut child = Self::spawn(role, folder);
        tokio::time::sleep(after).await;
        child.kill().await.expect("killed");
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("it runs")
    }

    /// As the kernel ends whoever takes too much memory.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a state").is_none()
    }

    /// As a machine that hangs.
    pub(crate) fn stop(&self) {
        kill_process(self.pid(), Signal::STOP).expect("stopped");
    }

    /// Goes on as if nothing had been.
    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).expect("resumed");
    }

    /// No file of it can become larger than this. Nothing: as large as they want.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("limited");
    }
}
