//! `j` in the middle of a transfer: what the user reads, and what is left, when the exporter is killed or stopped, or the
//! user has had enough.

use std::{fmt::Write as _, fs::File, path::Path, time::Duration};

use jumpstarter_tests::{
    exporter::{Exporter, Program},
    programs,
};
use tempfile::TempDir;
use tokio::process::Child;

use super::{file, node};
use crate::shell::{j, shown, signal, stop};

/// Transfers that do not end by themselves.
#[derive(Clone, Copy, Debug)]
enum Way {
    Upload,
    Dump,
}

impl Way {
    fn words(self) -> [&'static str; 4] {
        match self {
            Self::Upload => ["storage", "write-from-path", "image", "-"],
            Self::Dump => ["devices", "read-into-path", "urandom", "dump"],
        }
    }
}

/// A transfer that is under way.
struct Middle {
    way: Way,
    exporter: Exporter,
    transfer: Child,
    here: TempDir,
    there: TempDir,
}

/// How much has come before anything happens.
const SOME: u64 = 4 << 20;

impl Middle {
    async fn of(way: Way) -> Self {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let root = there.path().display().to_string();
        let nodes = node("storage", "fs", &[("root", &root)]) + &node("devices", "fs", &[("root", "/dev")]);
        let exporter = Exporter::local(&Program::Ours(programs::jmp()), &file(&nodes)).await;
        let exporter = exporter.expect("an exporter");
        let mut command = j(&exporter.host(), &way.words());
        command.current_dir(here.path()).stdin(File::open("/dev/urandom").expect("data without end"));
        let transfer = command.spawn().expect("j starts");
        let arriving = match way {
            Way::Upload => there.path().join("image"),
            Way::Dump => here.path().join("dump.part"),
        };
        let some = || std::fs::metadata(&arriving).is_ok_and(|metadata| metadata.len() >= SOME);
        crate::until("something arrives", some).await;
        Self { way, exporter, transfer, here, there }
    }

    fn exporter(&self) -> String {
        self.exporter.id().expect("it runs").to_string()
    }

    fn interrupt(&self) {
        signal(&self.transfer.id().expect("it runs").to_string(), "INT");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

/// What was read, and what is left on both sides.
async fn told(text: &mut String, what: &str, way: Way, transfer: Child, here: &TempDir, there: &TempDir) {
    let output = tokio::time::timeout(Duration::from_secs(30), transfer.wait_with_output()).await;
    let seen = shown(&way.words(), &output.expect("it ends").expect("it ran"));
    let (here, there) = (names(here.path()), names(there.path()));
    write!(text, "{what}:\n{}left here: {here:?}, at the exporter: {there:?}\n\n", crate::settled(&seen))
        .expect("a string");
}

/// Until the exporter has removed what was cut.
async fn empty(folder: &TempDir) {
    crate::until("what was cut is removed", || names(folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_interrupts_a_transfer_of_j_is_told() {
    let mut text = String::new();
    for way in [Way::Upload, Way::Dump] {
        let middle = Middle::of(way).await;
        signal(&middle.exporter(), "KILL");
        let Middle { way, transfer, here, there, .. } = middle;
        told(&mut text, "the exporter is killed", way, transfer, &here, &there).await;

        let middle = Middle::of(way).await;
        let exporter = middle.exporter();
        stop(&exporter).await;
        middle.interrupt();
        let Middle { way, transfer, here, there, exporter: process } = middle;
        let what = "the exporter is stopped, and somebody presses Ctrl-C";
        told(&mut text, what, way, transfer, &here, &there).await;
        signal(&exporter, "CONT");
        empty(&there).await;
        process.stop().await.expect("an orderly end");

        let middle = Middle::of(way).await;
        middle.interrupt();
        let Middle { way, transfer, here, there, exporter } = middle;
        empty(&there).await;
        told(&mut text, "somebody presses Ctrl-C", way, transfer, &here, &there).await;
        exporter.stop().await.expect("an orderly end");
    }
    insta::assert_snapshot!("j_interrupted", text);
}
