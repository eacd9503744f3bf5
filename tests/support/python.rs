//! The Python environment with the unmodified existing implementation.
//!
//! It is made once, below the target directory, from `tests/python/requirements.txt`; another content of that file makes
//! another environment. Tests that need it fail without it and say what is missing. `JUMPSTARTER_SKIP_PYTHON=1` leaves
//! them out on purpose, and they say so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Leaves out all tests with Python peers.
pub const SKIP: &str = "JUMPSTARTER_SKIP_PYTHON";

/// Names the interpreter to make the environment with.
pub const INTERPRETER: &str = "JUMPSTARTER_PYTHON";

/// An environment that is ready.
#[derive(Debug, Clone)]
pub struct Python {
    folder: PathBuf,
}

/// The environment, made when it does not exist. `None` when the user left Python out.
///
/// # Panics
///
/// When it cannot be made; the message says why and what to do.
pub fn python() -> Option<Python> {
    static READY: OnceLock<Result<Option<Python>, String>> = OnceLock::new();
    match READY.get_or_init(prepare) {
        Ok(Some(python)) => Some(python.clone()),
        Ok(None) => {
            note(&format!("left out: {SKIP}=1 says that there is no Python here"));
            None
        }
        Err(problem) => panic!("{problem}"),
    }
}

#[expect(clippy::print_stderr, reason = "the only place where a test says that it did not run")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// `tests/python`.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

fn prepare() -> Result<Option<Python>, String> {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        return Ok(None);
    }
    let requirements = scripts().join("requirements.txt");
    let wanted = fs::read(&requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let digest = Sha256::digest(&wanted);
    let digest = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let folder = target_folder()?.join(format!("python-{digest:016x}"));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Several test programs may start at once: one makes the environment, the others wait for it.
    let lock = File::create(folder.join("lock")).map_err(|error| format!("{}: {error}", folder.display()))?;
    lock.lock().map_err(|error| format!("{}: {error}", folder.display()))?;
    let python = Python { folder: folder.clone() };
    let complete = folder.join("complete");
    if !complete.exists() {
        let interpreter = interpreter()?;
        run(Command::new(&interpreter).args(["-m", "venv", "--clear"]).arg(folder.join("venv"))).map_err(|problem| {
            format!("{problem}\n{interpreter} cannot make a virtual environment; on Debian install python3-venv")
        })?;
        // The list is complete, so pip need not search for versions that fit together: that takes it many minutes.
        let install = ["install", "--no-input", "--no-deps", "-r"];
        run(python.pip(&install).arg(&requirements)).map_err(|problem| {
            format!(
                "{problem}\nThe packages of {} cannot be installed. They come from the package index that pip is \
                 configured for.\n{}",
                requirements.display(),
                remedy()
            )
        })?;
        run(&mut python.pip(&["check"])).map_err(|problem| {
            format!(
                "{problem}\n{} does not fit together: add or change what pip names",
                requirements.display()
            )
        })?;
        File::create(&complete).map_err(|error| format!("{}: {error}", complete.display()))?;
    }
    Ok(Some(python))
}

fn remedy() -> String {
    format!(
        "Set {SKIP}=1 to leave out the tests with Python peers, or {INTERPRETER} to name another interpreter."
    )
}

/// The target directory: test programs lie in `<target>/<profile>/deps`.
pub(crate) fn target_folder() -> Result<PathBuf, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("the test program has no path: {error}"))?;
    program
        .ancestors()
        .nth(3)
        .map(Path::to_owned)
        .ok_or_else(|| format!("{} is not in a target directory", program.display()))
}

fn interpreter() -> Result<String, String> {
    let named = std::env::var(INTERPRETER).ok();
    let candidates: Vec<String> = match &named {
        Some(name) => vec![name.clone()],
        None => ["python3", "python3.11", "python3.12", "python3.13"].map(str::to_owned).into(),
    };
    let check = "import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))";
    candidates
        .iter()
        .find(|name| {
            let mut command = Command::new(name);
            command.args(["-c", check]).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        })
        .cloned()
        .ok_or_else(|| {
            format!(
                "None of {candidates:?} is a Python of version 3.11 to 3.13, which the tests with the existing \
                 implementation need.\nInstall one (Debian: apt install python3 python3-venv; anywhere: uv python \
                 install 3.11).\n{}",
                remedy()
            )
        })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    // `pip check` writes what it finds to standard output.
    let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    let lines: Vec<_> = text.lines().collect();
    Err(format!("{command:?}: {}\n{}", output.status, lines[lines.len().saturating_sub(20)..].join("\n")))
}

impl Python {
    /// A program of the environment (`python`, `jmp`, `j`).
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("venv/bin").join(name)
    }

    /// A command that runs a program of the environment, with nothing of the user's own configuration of it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        for (variable, value) in self.variables() {
            command.env(variable, value);
        }
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        command
    }

    /// Installs a package from its sources into a folder of its own, so that tests with and without it use the same
    /// environment. Programs find it by `PYTHONPATH`.
    ///
    /// # Panics
    ///
    /// When it cannot be installed, with what pip says.
    pub fn install(&self, sources: &Path) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let install =
            ["install", "--no-input", "--no-deps", "--no-index", "--no-build-isolation", "--target"];
        let mut command = self.pip(&install);
        run(command.arg(folder.path()).arg(sources)).unwrap_or_else(|problem| panic!("{problem}"));
        folder
    }

    /// A folder with a wheel of a package whose sources are in this folder.
    pub fn wheel(&self, sources: &Path) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command =
            self.pip(&["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir"]);
        run(command.arg(folder.path()).arg(sources)).unwrap_or_else(|problem| panic!("{problem}"));
        folder
    }

    /// The same as [`Python::install`] for a package that is found by its name among the wheels of a folder.
    pub fn install_from(&self, wheels: &Path, name: &str) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = self.pip(&["install", "--no-input", "--no-deps", "--no-index", "--find-links"]);
        command.arg(wheels).arg("--target").arg(folder.path()).arg(name);
        run(&mut command).unwrap_or_else(|problem| panic!("{problem}"));
        folder
    }

    fn pip(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("python");
        command.args(["-m", "pip", "--disable-pip-version-check"]).args(arguments);
        command
    }

    /// The same for asynchronous use; the process is killed when its handle is dropped.
    pub fn process(&self, name: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(self.command(name));
        command.kill_on_drop(true);
        command
    }

    fn variables(&self) -> [(&'static str, String); 6] {
        let path = std::env::var("PATH").unwrap_or_default();
        [
            ("PATH", format!("{}:{path}", self.folder.join("venv/bin").display())),
            ("VIRTUAL_ENV", self.folder.join("venv").display().to_string()),
            // Its clients import classes by the names in reports; anything may be imported in tests.
            ("JMP_DRIVERS_ALLOW", "UNSAFE".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("NO_COLOR", "1".to_owned()),
            // Its progress bars fold to this width, also where nobody looks.
            ("COLUMNS", "500".to_owned()),
        ]
    }
}

/// Variables of a surrounding session that must not leak into a test.
pub const FOREIGN: [&str; 9] = [
    "JUMPSTARTER_HOST",
    "JMP_CLIENT_CONFIG",
    "JMP_EXPORTER",
    "JMP_EXPORTER_CONFIG",
    "JMP_GRPC_INSECURE",
    "JMP_GRPC_PASSPHRASE",
    "JMP_LEASE",
    "PYTHONHOME",
    "PYTHONPATH",
];
