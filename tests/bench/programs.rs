//! Start-up: what somebody waits for who types a command.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jumpstarter_client::{Device, Options};
use jumpstarter_interfaces::PowerClient;
use jumpstarter_tests::{
    exporter::{Exporter, Program},
    helpers::free_address,
    python::{FOREIGN, Python},
};
use jumpstarter_transport::connect::{Endpoint, Security};
use tempfile::TempDir;

use crate::{
    Effort, Outcome,
    report::{Goal, Row, median},
};

/// Runs of our programs, and of those that take a second each.
const RUNS: usize = 60;
const SLOW_RUNS: usize = 7;

/// The same file for both, with the names of drivers that both know.
pub(crate) const FILE: &str = "apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata:
  namespace: default
  name: figures
export:
  power:
    type: jumpstarter_driver_power.driver.MockPower
  echo:
    type: jumpstarter_driver_network.driver.EchoNetwork
";

/// How long an exporter may take to answer its first call.
const START: Duration = Duration::from_mins(1);

/// The programs that are there.
pub(crate) struct Programs {
    /// Our `jmp`.
    pub(crate) ours: Option<PathBuf>,
    pub(crate) upstream: Option<Python>,
}

impl Programs {
    pub(crate) fn command(program: &Program, name: &str) -> Command {
        match program {
            Program::Upstream(python) => python.command(name),
            Program::Ours(jmp) => {
                let mut command = Command::new(jmp.with_file_name(name));
                command.env("NO_COLOR", "1");
                for variable in FOREIGN {
                    command.env_remove(variable);
                }
                command
            }
        }
    }

    /// Both, with the number of runs that each of them can bear.
    pub(crate) fn both(&self, effort: Effort) -> [Option<(Program, usize)>; 2] {
        [
            self.ours.clone().map(|jmp| (Program::Ours(jmp), effort.of(RUNS).max(3))),
            self.upstream.clone().map(|python| (Program::Upstream(python), effort.of(SLOW_RUNS).max(2))),
        ]
    }

    /// `jmp --help`.
    pub(crate) async fn help(&self, effort: Effort) -> Outcome<Vec<Row>> {
        let mut row = Row::new("help", "`jmp --help` (bare: `true`)", "ms", Goal::AtMost(8.0));
        self.measure(&mut row, effort, async |program| {
            let mut command = Self::command(program, "jmp");
            command.arg("--help");
            Ok((command, ()))
        })
        .await?;
        Ok(vec![row])
    }

    /// `j power on` at an exporter of the same kind.
    pub(crate) async fn j(&self, effort: Effort) -> Outcome<Vec<Row>> {
        let mut row = Row::new("j", "`j power on` (bare: `true`)", "ms", Goal::AtMost(12.0));
        self.measure(&mut row, effort, async |program| {
            let exporter = Exporter::local(program, FILE).await?;
            let mut command = Self::command(program, "j");
            command.args(["power", "on"]).env("JUMPSTARTER_HOST", exporter.host());
            Ok((command, exporter))
        })
        .await?;
        Ok(vec![row])
    }

    /// `jmp shell -- true`.
    pub(crate) async fn shell(&self, effort: Effort) -> Outcome<Vec<Row>> {
        let mut row = Row::new("shell", "`jmp shell -- true` (bare: `true`)", "ms", Goal::AtMost(40.0));
        self.measure(&mut row, effort, async |program| {
            let (folder, file) = written(FILE)?;
            let mut command = Self::command(program, "jmp");
            command.args(["shell", "--exporter-config"]).arg(file).args(["--", "true"]);
            command.env("XDG_CONFIG_HOME", folder.path());
            Ok((command, folder))
        })
        .await?;
        Ok(vec![row])
    }

    /// From starting `jmp run` to the answer of the first call.
    pub(crate) async fn start(&self, effort: Effort) -> Outcome<Vec<Row>> {
        let mut row = Row::new("start", "`jmp run` to the first call's answer", "ms", Goal::None);
        for (program, runs) in self.both(effort).into_iter().flatten() {
            let mut times = Vec::new();
            for _ in 0..runs.div_ceil(3) {
                let running = Running::start(&program, FILE).await?;
                times.push(running.took.as_secs_f64() * 1e3);
            }
            *column(&mut row, &program) = median(times);
        }
        Ok(vec![row])
    }

    /// Runs of ours and of `true` in turns, then of upstream's.
    async fn measure<K>(
        &self,
        row: &mut Row,
        effort: Effort,
        prepare: impl AsyncFn(&Program) -> Outcome<(Command, K)>,
    ) -> Outcome<()> {
        for (program, runs) in self.both(effort).into_iter().flatten() {
            let (mut command, kept) = prepare(&program).await?;
            let mut nothing = Command::new("true");
            let (mut times, mut least) = (Vec::new(), Vec::new());
            // The first one reads the program from the disk.
            run(&mut command)?;
            for _ in 0..runs {
                times.push(run(&mut command)?);
                least.push(run(&mut nothing)?);
            }
            *column(row, &program) = median(times);
            if matches!(program, Program::Ours(_)) {
                row.bare = median(least);
            }
            drop(kept);
        }
        Ok(())
    }
}

fn column<'a>(row: &'a mut Row, program: &Program) -> &'a mut Option<f64> {
    match program {
        Program::Ours(_) => &mut row.ours,
        Program::Upstream(_) => &mut row.upstream,
    }
}

/// Milliseconds from start to end.
pub(crate) fn run(command: &mut Command) -> Outcome<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status()?;
    let took = begun.elapsed();
    if status.success() { Ok(took.as_secs_f64() * 1e3) } else { Err(format!("{command:?}: {status}").into()) }
}

fn written(config: &str) -> Outcome<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("exporter.yaml");
    std::fs::write(&file, config)?;
    Ok((folder, file))
}

/// A standalone exporter that has answered a call. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    device: Option<Device>,
    /// How long it took until the first call was answered.
    pub(crate) took: Duration,
    _folder: TempDir,
}

impl Running {
    pub(crate) async fn start(program: &Program, config: &str) -> Outcome<Self> {
        let (folder, file) = written(config)?;
        let address = free_address().await?;
        let mut command = Programs::command(program, "jmp");
        command.args(["run", "--exporter-config"]).arg(file);
        command.args(["--tls-grpc-listener", &address, "--tls-grpc-insecure"]);
        command.env("XDG_CONFIG_HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let Ok(device) = tokio::time::timeout(START, first_call(&address)).await else {
            child.kill()?;
            child.wait()?;
            return Err(format!("{command:?} did not answer within {START:?}").into());
        };
        Ok(Self { child, device: Some(device), took: begun.elapsed(), _folder: folder })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its devices.
    pub(crate) fn device(&self) -> Outcome<&Device> {
        Ok(self.device.as_ref().ok_or("disconnected before")?)
    }

    /// Ends the connection.
    pub(crate) fn disconnect(&mut self) {
        self.device = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until a call is answered. A refused connection is the only sign that an exporter is not there yet.
async fn first_call(address: &str) -> Device {
    loop {
        if let Ok(device) = attempt(address).await {
            return device;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn attempt(address: &str) -> Outcome<Device> {
    let mut options = Options::default();
    options.connect.security = Security::ClearText;
    let device = Device::connect(&Endpoint::parse(address)?, &options).await?;
    device.client::<PowerClient>("power")?.on().await?;
    Ok(device)
}
