//! Which other processes have a device open, so that a message can name them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jumpstarter::log::Logger;

/// The processes that have the device open, as `name (pid)`, this one left out. Those of other users cannot be seen.
pub(crate) fn of(path: &Path) -> Vec<String> {
    let Ok(device) = fs::canonicalize(path) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut holders = Vec::new();
    for process in processes.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if id == std::process::id() {
            continue;
        }
        let Ok(mut open) = fs::read_dir(process.path().join("fd")) else { continue };
        if open.any(|entry| entry.is_ok_and(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == device)))
        {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            holders.push(format!("{} ({id})", name.trim_end()));
        }
    }
    holders
}

/// Warns when others have the device open without having locked it. It takes a look at every process, so it is done once
/// and not for each connection.
pub(crate) async fn warn(path: PathBuf, logger: &Logger) {
    let shown = path.display().to_string();
    let others = tokio::task::spawn_blocking(move || of(&path)).await.unwrap_or_default();
    if !others.is_empty() {
        let others = others.join(", ");
        logger.warn(format!("{shown} is also open in {others}, which may take some of the output"));
    }
}
