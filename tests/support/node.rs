//! The language server for YAML, which editors use, with the Node.js that runs it.
//!
//! It is installed once, below the target directory, from `tests/editor/package-lock.json`; another content of that file
//! makes another installation. Tests that need it fail without it and say what is missing. `JUMPSTARTER_SKIP_EDITOR=1`
//! leaves them out on purpose, and they say so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::python::target_folder;

/// Leaves out all tests with an editor's language server.
pub const SKIP: &str = "JUMPSTARTER_SKIP_EDITOR";

/// Oldest version of Node.js that runs it.
const OLDEST: u32 = 18;

/// An installation that is ready.
#[derive(Debug, Clone)]
pub struct LanguageServer {
    folder: PathBuf,
}

/// The installation, made when it does not exist. `None` when the user left editors out.
///
/// # Panics
///
/// When it cannot be made; the message says why and what to do.
pub fn language_server() -> Option<LanguageServer> {
    static READY: OnceLock<Result<Option<LanguageServer>, String>> = OnceLock::new();
    match READY.get_or_init(prepare) {
        Ok(Some(server)) => Some(server.clone()),
        Ok(None) => {
            note(&format!("left out: {SKIP}=1 says that there is no Node.js here"));
            None
        }
        Err(problem) => panic!("{problem}"),
    }
}

#[expect(clippy::print_stderr, reason = "the only place where a test says that it did not run")]
fn note(text: &str) {
    eprintln!("{text}");
}

fn prepare() -> Result<Option<LanguageServer>, String> {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        return Ok(None);
    }
    node()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("editor");
    let names = ["package.json", "package-lock.json"];
    let mut digest = Sha256::new();
    for name in names {
        let path = source.join(name);
        digest.update(fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let digest = digest.finalize();
    let digest = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let folder = target_folder()?.join(format!("editor-{digest:016x}"));
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    // Several test programs may start at once: one installs, the others wait for it.
    let lock = File::create(folder.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let complete = folder.join("complete");
    if !complete.exists() {
        for name in names {
            fs::copy(source.join(name), folder.join(name)).map_err(failed)?;
        }
        let mut command = Command::new("npm");
        // What packages would run while they are installed is nothing that a language server needs.
        command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
        let output =
            command.current_dir(&folder).output().map_err(|error| missing("npm", &error.to_string()))?;
        if !output.status.success() {
            return Err(format!(
                "{command:?}: {}\n{}\nThe packages of tests/editor/package-lock.json cannot be installed. They come from \
                 the registry that npm is configured for.\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr),
                remedy()
            ));
        }
        File::create(&complete).map_err(failed)?;
    }
    Ok(Some(LanguageServer { folder }))
}

fn node() -> Result<(), String> {
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| missing("node", &error.to_string()))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|text| text.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST => Ok(()),
        _ => Err(missing("node", &format!("this one says {version:?}"))),
    }
}

fn missing(program: &str, why: &str) -> String {
    format!(
        "{program} of Node.js {OLDEST} or later is needed for the tests with the language server for YAML ({why}).\nInstall \
         it (Debian: apt install nodejs npm; anywhere: nodejs.org).\n{}",
        remedy()
    )
}

fn remedy() -> String {
    format!("Set {SKIP}=1 to leave out the tests with an editor's language server.")
}

impl LanguageServer {
    /// A command that runs it, speaking on its standard input and output.
    pub fn command(&self) -> Command {
        let mut command = Command::new("node");
        command
            .arg(self.folder.join("node_modules/yaml-language-server/bin/yaml-language-server"))
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}
