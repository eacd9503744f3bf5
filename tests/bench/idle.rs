//! What an exporter costs while nobody wants anything of it.

use std::time::Duration;

use jumpstarter_interfaces::NetworkClient;
use jumpstarter_tests::exporter::Program;

use crate::{
    Effort, Outcome,
    process::{self, Memory},
    programs::{FILE, Programs, Running},
    report::{Goal, Row},
};

/// How long it is watched.
pub(crate) const WATCHED: Duration = Duration::from_secs(10);

/// How long it may take to calm down after its last call.
const CALM: Duration = Duration::from_secs(3);

pub(crate) async fn take(effort: Effort, programs: &Programs) -> Outcome<Vec<Row>> {
    let watched = WATCHED / u32::try_from(effort.divisor)?;
    let seconds = watched.as_secs_f64();
    let mut memory = Row::new("idle", "resident memory of an exporter", "MiB", Goal::AtMost(12.0));
    let mut own = Row::new("idle", "of which its own, without mapped files", "MiB", Goal::None);
    let mut alone =
        Row::new("idle", format!("context switches in {seconds} s"), "switches", Goal::AtMost(0.0));
    let what = format!("the same with a client and an open byte stream, {seconds} s");
    let mut connected = Row::new("idle", what, "switches", Goal::AtMost(0.0));
    for (program, _) in programs.both(effort).into_iter().flatten() {
        let mut running = Running::start(&program, FILE).await?;
        let id = running.id();
        let with_stream = {
            let echo: NetworkClient = running.device()?.client("echo")?;
            let mut open = echo.connect().await?;
            open.send("ping").await?;
            open.recv().await?;
            quiet(id, watched).await?
        };
        running.disconnect();
        let without = quiet(id, watched).await?;
        let mebibytes = |kind| Outcome::Ok(process::memory(id, kind)? as f64 / f64::from(1 << 20));
        let column = |row: &mut Row, value| match program {
            Program::Ours(_) => row.ours = Some(value),
            Program::Upstream(_) => row.upstream = Some(value),
        };
        column(&mut memory, mebibytes(Memory::Resident)?);
        column(&mut own, mebibytes(Memory::Own)?);
        column(&mut alone, without);
        column(&mut connected, with_stream);
    }
    Ok(vec![memory, own, alone, connected])
}

/// Context switches of a process while it is watched, once it has calmed down.
pub(crate) async fn quiet(id: u32, watched: Duration) -> Outcome<f64> {
    tokio::time::sleep(CALM).await;
    let before = process::switches(id)?;
    tokio::time::sleep(watched).await;
    Ok(process::switches(id)?.saturating_sub(before) as f64)
}
