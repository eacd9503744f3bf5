//! A lab with everything on this machine: controller, router, an exporter with hooks, and the machine of its users.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use jumpstarter_tests::programs;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};

use crate::{
    expected::Party,
    gate::Gate,
    process::{self, Program, Said},
    proxy::{Owners, Proxy},
};

/// Nothing that has to happen takes longer, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What goes on, and who does it.
pub(crate) struct Bench {
    place: TempDir,
    pub(crate) owners: Owners,
    /// The way to the controller, and to the router that is in it.
    pub(crate) to_controller: Proxy,
    /// The way to the router.
    pub(crate) to_router: Proxy,
    pub(crate) controller: Program,
    pub(crate) router: Program,
    pub(crate) exporter: Program,
    pub(crate) before: Gate,
    pub(crate) using: Gate,
    pub(crate) after: Gate,
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// The address in a line.
fn address(line: &str) -> Result<SocketAddr, String> {
    let found = line.split(['=', ' ', '"']).find_map(|word| word.parse::<SocketAddr>().ok());
    found.ok_or_else(|| format!("there is no address in {line:?}"))
}

/// What a command is that has to succeed.
async fn good(mut command: Command) -> Result<String, String> {
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let Output { status, stdout, stderr } =
        ended.map_err(|_| format!("{command:?} does not end"))?.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(said);
    }
    Err(format!("{command:?}: {status}\n{said}{}", String::from_utf8_lossy(&stderr)))
}

impl Bench {
    /// Starts all of it, with every gate open.
    pub(crate) async fn start() -> Result<Self, String> {
        let words = |error: std::io::Error| error.to_string();
        let place = tempfile::tempdir().map_err(words)?;
        for home in ["desk", "rig", "services"] {
            for folder in ["run", "tmp"] {
                std::fs::create_dir_all(place.path().join(home).join(folder)).map_err(words)?;
            }
        }
        let gate = |name: &str| Gate::new(place.path(), name).map_err(words);
        let (before, using, after) = (gate("before")?, gate("using")?, gate("after")?);
        let owners = Owners::default();
        let to_controller = Proxy::start(owners.clone()).await.map_err(words)?;
        let to_router = Proxy::start(owners.clone()).await.map_err(words)?;
        let file = json!({ "routers": { "north": {
            "endpoint": format!("localhost:{}", to_router.port),
            // What the exporter has as well, so it is taken before the controller's own.
            "labels": { "board": "demo" },
            "tls": { "ca": place.path().join("lab/tls/authority.pem") },
        } } });
        // JSON is YAML.
        std::fs::write(place.path().join("lab.yaml"), file.to_string()).map_err(words)?;
        let controller = start_controller(place.path(), &to_controller, &owners, Said::default()).await?;
        let router = start_router(place.path(), &to_router, &owners, Said::default()).await?;
        // Without a router the first tunnel would take the other way.
        controller.said.until(0, &["a router is used"], deadline()).await?;
        for words in [
            &["create", "exporter", "rig", "--label", "board=demo", "--out", "rig.yaml"][..],
            &["create", "client", "alice", "--unsafe", "--out", "alice.yaml"],
            &["create", "client", "bob", "--unsafe", "--out", "bob.yaml"],
        ] {
            admin(place.path(), words).await?;
        }
        exporter_file(&place.path().join("rig.yaml"), [&before, &using, &after]).map_err(words)?;
        let exporter = start_exporter(place.path(), &owners, Said::default()).await?;
        exporter.said.until(0, &["AVAILABLE"], deadline()).await?;
        Ok(Self {
            place,
            owners,
            to_controller,
            to_router,
            controller,
            router,
            exporter,
            before,
            using,
            after,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A file of the exporter's host.
    pub(crate) fn on_rig(&self, name: &str) -> PathBuf {
        self.path().join("rig").join(name)
    }

    /// Where programs leave what they need while they run.
    pub(crate) fn scratch(&self) -> Vec<PathBuf> {
        let homes = ["desk", "rig", "services"].map(|home| self.path().join(home));
        homes.iter().flat_map(|home| [home.join("run"), home.join("tmp")]).collect()
    }

    /// `jmp` on the machine of the users.
    pub(crate) fn jmp(&self, words: &[&str]) -> Command {
        jmp(self.path(), "desk", words)
    }

    /// `jmp` of a user, to its end, which has to be good.
    pub(crate) async fn told(&self, words: &[&str]) -> Result<String, String> {
        good(self.jmp(words)).await
    }

    /// What the administrator is shown of all leases.
    pub(crate) async fn leases(&self) -> Result<Value, String> {
        let shown = admin(self.path(), &["get", "lease", "-o", "json"]).await?;
        serde_json::from_str(&shown).map_err(|error| format!("{error}: {shown}"))
    }

    pub(crate) async fn start_controller(&mut self) -> Result<(), String> {
        let said = self.controller.said.clone();
        self.controller =
            start_controller(self.place.path(), &self.to_controller, &self.owners, said).await?;
        Ok(())
    }

    pub(crate) async fn start_router(&mut self) -> Result<(), String> {
        let said = self.router.said.clone();
        self.router = start_router(self.place.path(), &self.to_router, &self.owners, said).await?;
        Ok(())
    }

    pub(crate) async fn start_exporter(&mut self) -> Result<(), String> {
        let said = self.exporter.said.clone();
        self.exporter = start_exporter(self.place.path(), &self.owners, said).await?;
        Ok(())
    }

    /// What everybody has said.
    pub(crate) fn logs(&self) -> String {
        let part = |name: &str, said: &Said| format!("--- {name}\n{}\n", said.text());
        part("exporter", &self.exporter.said)
            + &part("router", &self.router.said)
            + &part("controller", &self.controller.said)
    }
}

fn jmp(place: &Path, home: &str, words: &[&str]) -> Command {
    process::command(&programs::jmp(), &place.join(home), place, words)
}

async fn admin(place: &Path, words: &[&str]) -> Result<String, String> {
    let mut command = jmp(place, "services", &[&["admin", "--lab", "lab"], words].concat());
    command.current_dir(place);
    good(command).await
}

async fn start_controller(
    place: &Path,
    proxy: &Proxy,
    owners: &Owners,
    said: Said,
) -> Result<Program, String> {
    let endpoint = format!("localhost:{}", proxy.port);
    let from = said.count();
    let words = [
        "serve",
        "--data",
        "lab",
        "--listen",
        "127.0.0.1:0",
        "--endpoint",
        &endpoint,
        "--config",
        "lab.yaml",
    ];
    let mut command = jmp(place, "services", &words);
    command.current_dir(place);
    let program = Program::start(command, said).map_err(|error| error.to_string())?;
    owners.add(program.id().unwrap_or_default(), Party::Controller);
    proxy.lead_to(address(&program.said.until(from, &["the lab is ready"], deadline()).await?)?);
    Ok(program)
}

async fn start_router(place: &Path, proxy: &Proxy, owners: &Owners, said: Said) -> Result<Program, String> {
    let from = said.count();
    let words = [
        "--listen",
        "127.0.0.1:0",
        "--key-file",
        "lab/router.key",
        "--certificate",
        "lab/tls/certificate.pem",
        "--certificate-key",
        "lab/tls/certificate.pem",
    ];
    let mut command = process::command(&programs::router(), &place.join("services"), place, &words);
    command.current_dir(place);
    let program = Program::start(command, said).map_err(|error| error.to_string())?;
    owners.add(program.id().unwrap_or_default(), Party::Router);
    proxy.lead_to(address(&program.said.until(from, &["the router is ready"], deadline()).await?)?);
    Ok(program)
}

async fn start_exporter(place: &Path, owners: &Owners, said: Said) -> Result<Program, String> {
    let file = place.join("rig.yaml");
    let words = ["--log-format", "text", "run", "--exporter-config", &file.display().to_string()];
    let program = Program::start(jmp(place, "rig", &words), said).map_err(|error| error.to_string())?;
    owners.add(program.id().unwrap_or_default(), Party::Exporter);
    Ok(program)
}

/// Adds devices and hooks to the file that the administrator got.
fn exporter_file(file: &Path, [before, using, after]: [&Gate; 3]) -> std::io::Result<()> {
    let devices = json!({
        "power": { "type": "mock-power" },
        "storage": { "type": "mock-storage-mux-flasher" },
        "host": { "type": "shell", "config": { "methods": { "wait": using.script() } } },
    });
    let hooks = json!({
        "beforeLease": { "script": before.script(), "timeout": 300 },
        "afterLease": { "script": after.script(), "timeout": 300 },
    });
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.starts_with("export:")).map(str::to_owned);
    let more = [format!("export: {devices}"), format!("hooks: {hooks}\n")];
    std::fs::write(file, lines.chain(more).collect::<Vec<_>>().join("\n"))
}
