//! What people do with a lab, done by clients and exporters of both kinds in our lab: the unmodified Python ones, and ours.
//!
//! | Module | What is done |
//! |---|---|
//! | `leases` | made, found, changed, handed on, ended |
//! | `access` | tokens: by variables only, rotated, broken |
//! | `hooks` | scripts around leases, and how they fail |
//! | `expiry` | leases whose time passes: idle, during and after a slow hook |
//! | `exporters` | crash, and return |
//! | `direct` | no lab at all: an exporter's own listener |
//!
//! Nearly all of their time is waiting, so more of them go at a time than there are cores, unless `--test-threads` or
//! `RUST_TEST_THREADS` says how many.

mod access;
mod direct;
mod expiry;
mod exporters;
mod hooks;
mod leases;

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use jumpstarter_tests::{
    lab::{Lab, PATIENCE, is_free, log},
    programs,
    python::{FOREIGN, Python, python},
};
use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Upstreams,
}

/// Whose client is used with whose exporter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) client: Side,
    pub(crate) exporter: Side,
}

/// All mixes, with the names that they have in those of tests.
pub(crate) const MIXES: &[(&str, Mix)] = &[
    ("our_client_our_exporter", Mix { client: Side::Ours, exporter: Side::Ours }),
    ("our_client_upstreams_exporter", Mix { client: Side::Ours, exporter: Side::Upstreams }),
    ("upstreams_client_our_exporter", Mix { client: Side::Upstreams, exporter: Side::Ours }),
    ("upstreams_client_upstreams_exporter", Mix { client: Side::Upstreams, exporter: Side::Upstreams }),
];

/// Both clients, where the exporter does not matter, or there is none.
pub(crate) const CLIENTS: &[(&str, Mix)] = &[
    ("our_client", Mix { client: Side::Ours, exporter: Side::Ours }),
    ("upstreams_client", Mix { client: Side::Upstreams, exporter: Side::Ours }),
];

/// Upstream's client alone: ours has other ways.
pub(crate) const UPSTREAMS_CLIENT: &[(&str, Mix)] =
    &[("upstreams_client", Mix { client: Side::Upstreams, exporter: Side::Ours })];

/// Makes tests of the scenarios of a module: one for each mix.
macro_rules! scenarios {
    ($($mixes:path: $($scenario:ident)+;)+) => {
        /// The tests of this module.
        pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
            let mut trials = Vec::new();
            $($( trials.extend(crate::trials(module_path!(), stringify!($scenario), $mixes, $scenario)); )+)+
            trials
        }
    };
}
use scenarios;

/// A scenario with each of these mixes.
fn trials<F: Future<Output = ()> + 'static>(
    module: &'static str,
    scenario: &'static str,
    mixes: &'static [(&str, Mix)],
    play: fn(Mix) -> F,
) -> impl Iterator<Item = Trial> {
    let module = module.split_once("::").map_or(module, |(_, module)| module);
    mixes.iter().map(move |&(name, mix)| {
        Trial::test(format!("{module}::{scenario}::{name}"), move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(Box::pin(play(mix)));
            Ok(())
        })
    })
}

/// How many scenarios are played at a time for each core: they mostly wait for programs and for time to pass.
const PER_CORE: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let said = || std::env::var("RUST_TEST_THREADS").ok()?.parse().ok();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads = arguments.test_threads.or_else(said).or(Some(PER_CORE * cores));
    let modules = [
        access::trials(),
        direct::trials(),
        expiry::trials(),
        exporters::trials(),
        hooks::trials(),
        leases::trials(),
    ];
    libtest_mimic::run(&arguments, modules.into_iter().flatten().collect()).exit_code()
}

/// The programs of a mix, in a folder.
pub(crate) struct Programs {
    pub(crate) mix: Mix,
    python: Option<Python>,
}

impl Programs {
    /// Nothing, when the mix has a side that the user leaves out.
    pub(crate) fn of(mix: Mix) -> Option<Self> {
        let python =
            if [mix.client, mix.exporter].contains(&Side::Upstreams) { Some(python()?) } else { None };
        Some(Self { mix, python })
    }

    /// `jmp` of a side, with its `j` on the way to commands, and nothing of the user's own.
    pub(crate) fn jmp(&self, side: Side, home: &Path) -> Command {
        let mut command = if let (Side::Upstreams, Some(python)) = (side, &self.python) {
            python.process("jmp")
        } else {
            let jmp = programs::jmp();
            let path = std::env::var_os("PATH").expect("a path");
            let folders = std::iter::once(jmp.parent().expect("a folder").to_owned());
            let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
            let mut command = Command::new(&jmp);
            command.env("PATH", path.expect("a path"));
            command
        };
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        command
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home)
            .env("JMP_DRIVERS_ALLOW", "UNSAFE")
            .current_dir(home)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A lab, and the programs to use it with.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) programs: Programs,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// What the exporter has written until then.
    pub(crate) exporter: String,
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{}{}\n--- exporter\n{}", self.code, self.out, self.err, self.exporter)
    }
}

impl Said {
    /// That it went well; what it printed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.out
    }

    /// That it failed; everything it said.
    pub(crate) fn failed(self) -> String {
        assert_ne!(self.code, Some(0), "{self}");
        self.everything()
    }

    /// What it wrote.
    pub(crate) fn everything(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// What it printed, as JSON.
    pub(crate) fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

/// Waits for a command.
pub(crate) async fn said(command: Command) -> Said {
    said_beside(command, String::new).await
}

/// The same beside an exporter that writes this.
async fn said_beside(mut command: Command, log: impl Fn() -> String) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (stdout.expect("a pipe"), stderr.expect("a pipe"));
    let ends =
        async { tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err), child.wait()).2 };
    let ended = tokio::time::timeout(PATIENCE, ends).await;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = ended.as_ref().ok().and_then(|status| status.as_ref().expect("it runs").code());
    let said = Said { code, out: text(out), err: text(err), exporter: log() };
    assert!(ended.is_ok(), "{command:?} does not end\n{said}");
    said
}

/// SIGTERM.
pub(crate) fn terminate(child: &Child) {
    signal(child, Signal::TERM);
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
    kill_process(pid, signal).expect("a signal");
}

impl Scene {
    pub(crate) async fn new(mix: Mix) -> Option<Self> {
        let programs = Programs::of(mix)?;
        Some(Self { lab: Lab::start().await, programs })
    }

    /// An exporter with a supply and these labels, and more in its file; free.
    pub(crate) async fn exporter(&mut self, name: &str, labels: Value, mut more: Value) -> Child {
        let credential = self.lab.create("Exporter", name, labels).await;
        // Ours knows the names of upstream's drivers.
        more["export"] = json!({ "power": { "type": "jumpstarter_driver_power.driver.MockPower" } });
        self.lab.config("ExporterConfig", name, &credential, &more);
        let child = self.run(name);
        self.free(name).await;
        child
    }

    /// One with the label `board=demo`.
    pub(crate) async fn rig(&mut self, more: Value) -> Child {
        self.exporter("rig", json!({ "board": "demo" }), more).await
    }

    /// Runs the exporter of a file that is there.
    pub(crate) fn run(&self, name: &str) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.lab.path().join(format!("{name}.log")))
            .expect("a log");
        let mut command = self.programs.jmp(self.programs.mix.exporter, self.lab.path());
        command
            .args(["run", "--exporter-config"])
            .arg(self.lab.path().join(format!("{name}.yaml")))
            .stdout(Stdio::from(log.try_clone().expect("a log")))
            .stderr(Stdio::from(log));
        command.spawn().expect("it runs")
    }

    /// What the exporter has written.
    pub(crate) fn log(&self) -> String {
        log(&self.lab, "rig")
    }

    /// A client, and its file.
    pub(crate) async fn client(&mut self, name: &str) -> PathBuf {
        let credential = self.lab.create("Client", name, json!({})).await;
        let drivers = json!({ "drivers": { "allow": [], "unsafe": true } });
        self.lab.config("ClientConfig", name, &credential, &drivers)
    }

    /// `jmp` with this client: the words up to the first option, then who it is, then the rest.
    pub(crate) fn jmp(&self, client: &str, words: &[&str]) -> Command {
        let mut command = self.programs.jmp(self.programs.mix.client, self.lab.path());
        let verbs = words.iter().take_while(|word| !word.starts_with('-')).count().min(2);
        command
            .args(&words[..verbs])
            .arg("--client-config")
            .arg(self.lab.path().join(format!("{client}.yaml")));
        command.args(&words[verbs..]);
        command
    }

    pub(crate) async fn said(&self, client: &str, words: &[&str]) -> Said {
        said_beside(self.jmp(client, words), || self.log()).await
    }

    /// A shell on `rig`, for a command.
    pub(crate) async fn shell(&self, command: &[&str]) -> Said {
        self.said("alice", &[&["shell", "--selector", "board=demo", "--"], command].concat()).await
    }

    /// Waits until an exporter is free, as whoever waits for the end of a lease does.
    pub(crate) async fn free(&mut self, exporter: &str) {
        let log = self.lab.path().join(format!("{exporter}.log"));
        self.lab
            .until_or(move || std::fs::read_to_string(log).unwrap_or_default(), "Exporter", exporter, is_free)
            .await;
    }

    /// Ends the exporter in order, and everything else.
    pub(crate) async fn end(self, rig: Child) {
        self.end_by(rig, Signal::TERM).await;
    }

    /// The same by another signal.
    pub(crate) async fn end_by(mut self, mut rig: Child, by: Signal) {
        signal(&rig, by);
        let ended = tokio::time::timeout(PATIENCE, rig.wait()).await.expect("in time").expect("it ends");
        if self.programs.mix.exporter == Side::Ours {
            assert_eq!(ended.code(), Some(128 + by.as_raw()), "{}", self.log());
            let gone = self.lab.object("Exporter", "rig").await;
            assert_eq!(gone["status"]["exporterStatus"], "Offline", "{gone}");
        }
        self.stop().await;
    }

    pub(crate) async fn stop(self) {
        self.lab.serving.stop(Duration::from_secs(1)).await;
    }
}
