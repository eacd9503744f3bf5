//! Exporters and clients as processes: the unmodified Python ones, and ours, which take the same command lines.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::http2::{Arrived, Connection, Role};
use crate::message::{Direction, Tree};
use crate::python::{FOREIGN, Python, scripts};
use crate::recording::folder;
use crate::replay::{Action, Address};

/// How long a process may take to start.
const START: Duration = Duration::from_mins(1);

/// What a process has written, for reports of failures: the last lines.
type Tail = Arc<Mutex<VecDeque<String>>>;

/// Whose programs are run.
#[derive(Debug, Clone)]
pub enum Program {
    /// The existing implementation.
    Upstream(Python),
    /// A `jmp` of ours, with the `j` beside it.
    Ours(PathBuf),
}

impl Program {
    fn process(&self, name: &str) -> Command {
        match self {
            Self::Upstream(python) => python.process(name),
            Self::Ours(jmp) => {
                let mut command = Command::new(jmp.with_file_name(name));
                command.kill_on_drop(true).env("NO_COLOR", "1");
                for variable in FOREIGN {
                    command.env_remove(variable);
                }
                if let (Some(folder), Some(path)) = (jmp.parent(), std::env::var_os("PATH")) {
                    // Hooks and commands find the `j` that belongs to this exporter.
                    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
                    command.envs(std::env::join_paths(folders).ok().map(|path| ("PATH", path)));
                }
                command
            }
        }
    }
}

/// A running exporter. Dropping it kills it.
pub struct Exporter {
    /// Where it listens.
    pub address: Address,
    child: Child,
    input: Option<Arc<Mutex<ChildStdin>>>,
    tail: Tail,
    _folder: TempDir,
}

/// The file of the environment that has the driver behind the recordings' `errors` instance: its methods come from
/// `errors_driver.json`, word for word.
fn write_errors_driver(folder: &Path) -> io::Result<()> {
    let source = fs::read_to_string(crate::recording::folder().join("errors_driver.json"))?;
    let source: serde_json::Value = serde_json::from_str(&source)?;
    let mut module = String::from(
        "import asyncio, datetime, logging, subprocess, uuid\n\
         from contextlib import asynccontextmanager\n\
         from decimal import Decimal\n\n\
         import anyio, pydantic\n\
         from jumpstarter.common.exceptions import JumpstarterException\n\
         from jumpstarter.driver import Driver, export, exportstream\n\n\n\
         class Errors(Driver):\n",
    );
    for lines in source["methods"].as_object().into_iter().flat_map(serde_json::Map::values) {
        for line in lines.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
            module.push_str("    ");
            module.push_str(line);
            module.push('\n');
        }
        module.push('\n');
    }
    fs::write(folder.join("golden_drivers.py"), module)
}

/// An exporter's configuration from `tests/compatibility`, with other text in place of some of it.
pub fn config(name: &str, replace: &[(&str, &str)]) -> io::Result<String> {
    let mut text = fs::read_to_string(folder().join(name))?;
    for (from, to) in replace {
        text = text.replace(from, to);
    }
    Ok(text)
}

struct Prepared {
    folder: TempDir,
    config: PathBuf,
}

fn prepare(config: &str) -> io::Result<Prepared> {
    let folder = tempfile::tempdir()?;
    write_errors_driver(folder.path())?;
    let path = folder.path().join("exporter.yaml");
    fs::write(&path, config)?;
    Ok(Prepared { folder, config: path })
}

impl Exporter {
    /// A local session of the exporter with this configuration (YAML text), on a unix socket: what `jmp shell` gives to
    /// its commands.
    pub async fn local(program: &Program, config: &str) -> io::Result<Self> {
        Self::local_with(program, config, &[]).await
    }

    /// The same with further variables in its environment.
    pub async fn local_with(
        program: &Program,
        config: &str,
        environment: &[(&str, &str)],
    ) -> io::Result<Self> {
        let prepared = prepare(config)?;
        let mut command = program.process("jmp");
        command.args(["shell", "--exporter-config"]).arg(&prepared.config);
        command.args(["--", "sh", "-c", "echo \"listening: $JUMPSTARTER_HOST\"; exec cat >/dev/null"]);
        command.envs(environment.iter().copied());
        Self::announced(command, prepared).await
    }

    /// A session whose status the test sets, see [`Exporter::set_status`].
    pub async fn with_status(python: &Python, config: &str) -> io::Result<Self> {
        let prepared = prepare(config)?;
        let mut command = python.process("python");
        command.arg(scripts().join("session_with_status.py")).arg(&prepared.config);
        Self::announced(command, prepared).await
    }

    async fn announced(mut command: Command, prepared: Prepared) -> io::Result<Self> {
        command.env("PYTHONPATH", prepared.folder.path()).env("XDG_CONFIG_HOME", prepared.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let tail = Tail::default();
        if let Some(errors) = child.stderr.take() {
            tokio::spawn(follow(errors, Arc::clone(&tail), None));
        }
        let (found, announced) = tokio::sync::oneshot::channel();
        if let Some(output) = child.stdout.take() {
            tokio::spawn(follow(output, Arc::clone(&tail), Some(found)));
        }
        let input = child.stdin.take().map(|input| Arc::new(Mutex::new(input)));
        let Ok(Ok(socket)) = timeout(START, announced).await else { return Err(did_not_start(&tail).await) };
        Ok(Self { address: Address::Unix(socket.into()), child, input, tail, _folder: prepared.folder })
    }

    /// A standalone exporter in clear text at `address` (`127.0.0.1:port`), with or without a passphrase. Returns when it
    /// is ready for calls.
    pub async fn standalone(
        program: &Program,
        config: &str,
        address: &str,
        passphrase: Option<&str>,
    ) -> io::Result<Self> {
        let prepared = prepare(config)?;
        let mut command = program.process("jmp");
        command.args(["run", "--exporter-config"]).arg(&prepared.config);
        command.args(["--tls-grpc-listener", address, "--tls-grpc-insecure"]);
        if let Some(passphrase) = passphrase {
            command.args(["--passphrase", passphrase]);
        }
        command.env("PYTHONPATH", prepared.folder.path()).env("XDG_CONFIG_HOME", prepared.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let tail = Tail::default();
        if let Some(errors) = child.stderr.take() {
            tokio::spawn(follow(errors, Arc::clone(&tail), None));
        }
        if let Some(output) = child.stdout.take() {
            tokio::spawn(follow(output, Arc::clone(&tail), None));
        }
        let address = Address::Tcp(address.to_owned());
        if timeout(START, until_ready(&address, passphrase)).await.is_err() {
            return Err(did_not_start(&tail).await);
        }
        Ok(Self { address, child, input: None, tail, _folder: prepared.folder })
    }

    /// Sets the status of a session started by [`Exporter::with_status`] and waits until it has it.
    pub fn set_status(&self, status: &'static str) -> Action {
        let input = self.input.clone();
        let tail = Arc::clone(&self.tail);
        Arc::new(move || {
            let (input, tail) = (input.clone(), Arc::clone(&tail));
            async move {
                let Some(input) = input else {
                    return Err(io::Error::other("this exporter's status is its own"));
                };
                input.lock().await.write_all(format!("{status}\n").as_bytes()).await?;
                let said = format!("status: {status}");
                let waiting = async {
                    while !tail.lock().await.contains(&said) {
                        sleep(Duration::from_millis(5)).await;
                    }
                };
                timeout(Duration::from_secs(30), waiting).await?;
                tail.lock().await.retain(|line| *line != said);
                Ok(())
            }
            .boxed()
        })
    }

    /// The socket's path, for `JUMPSTARTER_HOST`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What it has written lately.
    pub async fn log(&self) -> String {
        self.tail.lock().await.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// The process; `None` once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it, as if its machine had lost its power.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Ends it in the ordinary way.
    pub async fn stop(mut self) -> io::Result<()> {
        self.input = None;
        if let Some(id) = self.child.id() {
            let mut kill = Command::new("kill");
            kill.args(["-TERM", &id.to_string()]).status().await?;
        }
        match timeout(START, self.child.wait()).await {
            Ok(outcome) => outcome.map(drop),
            Err(_) => self.child.kill().await,
        }
    }
}

async fn did_not_start(tail: &Tail) -> io::Error {
    let said = tail.lock().await.iter().cloned().collect::<Vec<_>>().join("\n");
    io::Error::other(format!("the exporter did not start; it wrote:\n{said}"))
}

async fn follow(
    from: impl AsyncRead + Unpin,
    tail: Tail,
    mut found: Option<tokio::sync::oneshot::Sender<String>>,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(socket) = line.strip_prefix("listening: ")
            && let Some(found) = found.take()
        {
            found.send(socket.to_owned()).ok();
        }
        let mut tail = tail.lock().await;
        if tail.len() == 200 {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// Asks for the status until it is that of a session that takes calls.
pub async fn until_ready(address: &Address, passphrase: Option<&str>) {
    while status(address, passphrase).await.as_deref() != Some("EXPORTER_STATUS_LEASE_READY") {
        sleep(Duration::from_millis(50)).await;
    }
}

/// The status's name from one `GetStatus`; `None` when it fails.
pub async fn status(address: &Address, passphrase: Option<&str>) -> Option<String> {
    let answer = call(address, "/jumpstarter.v1.ExporterService/GetStatus", passphrase).await?;
    answer.get("status").and_then(Tree::as_text).map(str::to_owned)
}

/// The report of an exporter; `None` when it gives none.
pub async fn report(address: &Address) -> Option<Tree> {
    call(address, "/jumpstarter.v1.ExporterService/GetReport", None).await
}

/// A call with an empty message on a connection of its own: the answer, or `None`.
async fn call(address: &Address, path: &str, passphrase: Option<&str>) -> Option<Tree> {
    let io = address.connect().await.ok()?;
    let mut connection = Connection::open(io, Role::Client).await.ok()?;
    let mut headers: Vec<_> = [
        (":path", path),
        (":authority", "localhost"),
        (":method", "POST"),
        (":scheme", "http"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    headers.extend(passphrase.map(|text| ("x-jumpstarter-passphrase".to_owned(), text.to_owned())));
    let sender = connection.sender();
    sender.headers(1, &headers, false).await.ok()?;
    sender.message(1, &[], true).await.ok()?;
    loop {
        match timeout(Duration::from_secs(5), connection.next()).await.ok()??.what {
            Arrived::Message(bytes) => return Some(Tree::decode(path, Direction::Response, &bytes)),
            Arrived::Headers(_) => {}
            _ => return None,
        }
    }
}
