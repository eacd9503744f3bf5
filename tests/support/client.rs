//! The unmodified Python clients: commands, scripts, and the recorded scenarios done once more.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::python::{Python, scripts};
use crate::recording::Recording;

/// How long one client may run.
const PATIENCE: Duration = Duration::from_mins(2);

/// Clients of the existing implementation that use the exporter at one address.
pub struct Client {
    python: Python,
    host: String,
    packages: Option<PathBuf>,
}

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// The output of a program that must have succeeded.
    ///
    /// # Panics
    ///
    /// When it failed, with everything it wrote.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl Client {
    /// Clients of `python`; `host` is what `JUMPSTARTER_HOST` says: a socket's path, or `host:port` in clear text.
    pub fn new(python: &Python, host: &str) -> Self {
        Self { python: python.clone(), host: host.to_owned(), packages: None }
    }

    /// With the packages in a folder, see [`Python::install`].
    #[must_use]
    pub fn with_packages(mut self, folder: &Path) -> Self {
        self.packages = Some(folder.to_owned());
        self
    }

    /// Runs a program of the environment to its end.
    pub async fn run(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<Outcome> {
        let mut command = self.python.process(program);
        command.args(arguments).env("JUMPSTARTER_HOST", &self.host);
        if let Some(folder) = &self.packages {
            command.env("PYTHONPATH", folder);
        }
        if !self.host.starts_with('/') {
            command.env("JMP_GRPC_INSECURE", "1");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input is not wrong.
                stdin.write_all(input.as_bytes()).await.ok();
            }
        };
        let both = async { futures::join!(feed, child.wait_with_output()).1 };
        match timeout(PATIENCE, both).await {
            Ok(output) => Ok(output?.into()),
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program} {arguments:?} did not end")))
            }
        }
    }

    /// `j` with arguments.
    pub async fn j(&self, arguments: &[&str]) -> io::Result<Outcome> {
        self.run("j", arguments, "").await
    }

    /// A script of `tests/python/checks` by its name, without extension. Of its output, only its answers are kept.
    pub async fn check(&self, name: &str, arguments: &[&str]) -> io::Result<Outcome> {
        let runner = scripts().join("run.py").display().to_string();
        let script = scripts().join("checks").join(format!("{name}.py")).display().to_string();
        let outcome =
            self.run("python", &[&[runner.as_str(), script.as_str()], arguments].concat(), "").await?;
        if outcome.code == Some(0) {
            let answers = outcome.stdout.lines().filter_map(|line| line.strip_prefix("= "));
            return Ok(Outcome { stdout: answers.collect::<Vec<_>>().join("\n"), ..outcome });
        }
        Ok(outcome)
    }

    /// Python code with the client library; `client` is the root of the tree.
    pub async fn python(&self, code: &str) -> io::Result<Outcome> {
        let runner = scripts().join("run.py").display().to_string();
        self.run("python", &[&runner, "-"], code).await
    }

    /// Does what the caller of a `j_*` or `lib_*` recording did. An error says where the outcome is another one: exit
    /// status and output have to be equal, and the last line of complaint that was recorded has to appear.
    pub async fn repeat(&self, recording: &Recording) -> Result<(), String> {
        let mut problems = String::new();
        for view in &recording.client_view {
            let text = |key: &str| view.get(key).and_then(serde_json::Value::as_str);
            let (what, outcome) = match (text("command"), text("python")) {
                (Some(command), _) => {
                    let words: Vec<_> = command.split_whitespace().collect();
                    let (program, arguments) = words.split_first().ok_or("an empty command was recorded")?;
                    (command, self.run(program, arguments, text("stdin").unwrap_or_default()).await)
                }
                (None, Some(code)) => (code, self.python(code).await),
                (None, None) => {
                    return Err(format!("{}: this scenario is not one of a program", recording.scenario));
                }
            };
            let outcome = outcome.map_err(|error| format!("{what}: {error}"))?;
            let code = view.get("exit_code").and_then(serde_json::Value::as_i64);
            let stderr = outcome.stderr.clone();
            let complaint = ["stderr", "stderr_tail"].iter().find_map(|key| {
                let lines = view.get(*key)?.as_array()?;
                lines.iter().rev().filter_map(serde_json::Value::as_str).find(|line| !line.trim().is_empty())
            });
            let same = outcome.code.map(i64::from) == code
                && settled(&outcome.stdout) == settled(text("stdout").unwrap_or_default())
                && complaint.is_none_or(|line| stderr.contains(line.trim()));
            if !same {
                write!(problems, "{what}\n  recorded: {view}\n  live:     {outcome:?}\n")
                    .map_err(|e| e.to_string())?;
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(format!("{}:\n{problems}", recording.scenario)) }
    }
}

/// Output without what differs from run to run: progress bars (printed each time, but not kept by the recordings), the
/// time in front of log lines, and their padding.
fn settled(output: &str) -> Vec<String> {
    let levels = ["DEBUG ", "INFO ", "WARNING ", "ERROR ", "CRITICAL "];
    let lines = output.lines().map(str::trim_end).filter(|line| !line.starts_with("transfer "));
    lines
        .map(|line| {
            let is_log = line.starts_with(['[', ' ']);
            let level =
                levels.iter().filter_map(|level| line.find(level)).min().filter(|at| is_log && *at < 30);
            level.map_or(line, |at| &line[at..]).to_owned()
        })
        .collect()
}
