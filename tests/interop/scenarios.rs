//! What people do with a lab, done by the unmodified Python client and exporter in our lab.
//!
//! | Module | What is done |
//! |---|---|
//! | `leases` | made, found, changed, handed on, ended |
//! | `access` | tokens: by variables only, rotated, broken |
//! | `hooks` | scripts around leases, and how they fail |
//! | `exporters` | leave, crash, and return |

mod access;
mod exporters;
mod hooks;
mod leases;

use std::{path::PathBuf, time::Duration};

use jumpstarter_tests::python::{Python, python};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::lab::{Lab, PATIENCE};

/// A lab, and Python to use it with.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) python: Python,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// That it went well; what it printed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// That it failed; everything it said.
    pub(crate) fn failed(self) -> String {
        assert_ne!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out + &self.err
    }

    /// What it printed, as JSON.
    pub(crate) fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

/// Waits for a command.
pub(crate) async fn said(mut command: Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.output());
    let output = output.await.unwrap_or_else(|_| panic!("{command:?} does not end")).expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
    kill_process(pid, Signal::TERM).expect("a signal");
}

impl Scene {
    pub(crate) async fn new() -> Option<Self> {
        let python = python()?;
        Some(Self { lab: Lab::start().await, python })
    }

    /// A client, and its file.
    pub(crate) async fn client(&mut self, name: &str) -> PathBuf {
        let credential = self.lab.create("Client", name, json!({})).await;
        let drivers = json!({ "drivers": { "allow": [], "unsafe": true } });
        self.lab.config("ClientConfig", name, &credential, &drivers)
    }

    /// `jmp` with this client: the words up to the first option, then who it is, then the rest.
    pub(crate) fn jmp(&self, client: &str, words: &[&str]) -> Command {
        let mut command = self.lab.jmp(&self.python);
        let verbs = words.iter().take_while(|word| !word.starts_with('-')).count().min(2);
        command
            .args(&words[..verbs])
            .arg("--client-config")
            .arg(self.lab.path().join(format!("{client}.yaml")));
        command.args(&words[verbs..]);
        command
    }

    pub(crate) async fn said(&self, client: &str, words: &[&str]) -> Said {
        said(self.jmp(client, words)).await
    }

    /// Waits until an exporter is free, as whoever waits for the end of a lease does.
    pub(crate) async fn free(&mut self, exporter: &str) {
        self.lab
            .until("Exporter", exporter, |exporter| {
                exporter["status"]["exporterStatus"] == "Available"
                    && exporter["status"].get("leaseRef").is_none()
            })
            .await;
    }

    pub(crate) async fn stop(self) {
        self.lab.serving.stop(Duration::from_secs(1)).await;
    }
}
