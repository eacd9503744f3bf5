//! What must not be left: processes, sockets and files, leases.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep};

/// A variable that every process of a cell has, with the cell's folder.
pub(crate) const MARK: &str = "JUMPSTARTER_MATRIX_CELL";

/// How long things may take to go away by themselves.
const PATIENCE: Duration = Duration::from_secs(10);

/// The processes with this mark, by what they were started as.
pub(crate) fn processes(mark: &Path) -> Vec<(u32, String)> {
    let wanted = format!("{MARK}={}", mark.display()).into_bytes();
    let all = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|process| {
            let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
        })
        .map(|process| {
            let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            (process, String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned())
        })
        .collect()
}

/// What is in these folders; one level, since what is left further down leaves its folder.
fn files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let list = |folder: &PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    folders.iter().flat_map(list).collect()
}

/// Waits until there is nothing of a kind; answers what there still is when that takes too long.
async fn until_none<T: std::fmt::Debug>(what: &str, list: impl Fn() -> Vec<T>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = list();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{what} are left: {left:?}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// No process of the cell but these is there.
pub(crate) async fn no_process(mark: &Path, but: &[u32]) -> Result<(), String> {
    let left = || {
        let mut left = processes(mark);
        left.retain(|(process, _)| !but.contains(process));
        left
    };
    until_none("processes", left).await
}

/// Nothing is in these folders.
pub(crate) async fn no_file(folders: &[PathBuf]) -> Result<(), String> {
    until_none("sockets or files", || files(folders)).await
}

/// The names of leases that go on, from what an administrator is shown.
pub(crate) fn going_on(shown: &Value) -> Vec<String> {
    let all = shown["items"].as_array().or_else(|| shown.as_array()).cloned().unwrap_or_default();
    let over = |lease: &Value| lease["status"]["ended"] == true || !lease["status"]["endTime"].is_null();
    let name = |lease: &Value| lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    all.iter().filter(|lease| !over(lease)).map(name).collect()
}
