//! What a user reads when something fails in the middle of a call of a device in a group, reached through a reference.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jumpstarter_tests::{
    exporter::{Exporter, Program},
    programs,
};
use tempfile::TempDir;
use tokio::process::Child;

use crate::shell::{gone, j, shown, signal, stop};

/// Two supplies in a group, switched by commands that take their time; the second one has little.
fn config(folder: &Path) -> String {
    let supply = |name: &str, timeout: &str| {
        let on = format!("echo $$ > {}; exec sleep 1000", folder.join(name).display());
        format!(
            "          {name}: {{type: command-power, config: {{on: '{on}', off: 'true', timeout: {timeout}}}}}\n"
        )
    };
    format!(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n  rack:\n    children:\n      shelf:\n        \
         children:\n{}{}  same: {{ref: rack.shelf}}\n",
        supply("patient", "60s"),
        supply("hasty", "1s")
    )
}

/// A call in the middle: `j`, the command of the supply, and the exporter.
struct Middle {
    exporter: Exporter,
    call: Child,
    command: String,
    _folder: TempDir,
}

const WORDS: [&str; 3] = ["same", "patient", "on"];

impl Middle {
    async fn of(supply: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = Program::Ours(programs::jmp());
        let exporter = Exporter::local(&program, &config(folder.path())).await.expect("an exporter");
        let call = j(&exporter.host(), &["same", supply, "on"]).spawn().expect("j starts");
        let command = said(folder.path().join(supply)).await;
        Self { exporter, call, command, _folder: folder }
    }

    fn exporter(&self) -> String {
        self.exporter.id().expect("it runs").to_string()
    }

    fn call(&self) -> String {
        self.call.id().expect("it runs").to_string()
    }
}

/// What is written into a file.
async fn said(file: PathBuf) -> String {
    let mut said = String::new();
    crate::until("the command says who it is", || {
        said = std::fs::read_to_string(&file).unwrap_or_default();
        said.ends_with('\n')
    })
    .await;
    said.trim().to_owned()
}

async fn end(call: Child, words: &[&str]) -> String {
    let output = tokio::time::timeout(Duration::from_secs(30), call.wait_with_output()).await;
    crate::settled(&shown(words, &output.expect("it ends").expect("it ran")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_interrupts_a_call_of_a_child_is_told() {
    let mut text = String::new();
    let mut told = |what: &str, seen: String| text.extend([what, ":\n", &seen, "\n"]);

    let Middle { exporter, call, command, .. } = Middle::of("patient").await;
    signal(&command, "KILL");
    told("the device's side is killed", end(call, &WORDS).await);
    exporter.stop().await.expect("an orderly end");

    let Middle { exporter, call, command, .. } = Middle::of("hasty").await;
    stop(&command).await;
    told("the device's side is stopped, and its time is over", end(call, &["same", "hasty", "on"]).await);
    gone(&command).await;
    exporter.stop().await.expect("an orderly end");

    let middle = Middle::of("patient").await;
    signal(&middle.exporter(), "KILL");
    told("the exporter is killed", end(middle.call, &WORDS).await);
    // Nothing that it started outlives it.
    gone(&middle.command).await;

    let middle = Middle::of("patient").await;
    let exporter = middle.exporter();
    stop(&exporter).await;
    signal(&middle.call(), "INT");
    told("the exporter is stopped, and somebody presses Ctrl-C", end(middle.call, &WORDS).await);
    signal(&exporter, "CONT");
    // It learns that nobody waits any more.
    gone(&middle.command).await;
    middle.exporter.stop().await.expect("an orderly end");

    insta::assert_snapshot!("j_composite_faults", text);
}
