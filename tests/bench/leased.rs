//! What somebody waits for who leases an exporter: the shell on a free one, a call and an image through the router.
//!
//! The lab is in this process, the exporter is one of its own, and everybody is connected to the lab with TLS.

use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

use jumpstarter_client::{Device, files::read};
use jumpstarter_interfaces::{FlasherClient, PowerClient};
use jumpstarter_tests::{
    exporter::{Exporter, Program},
    lab::{Lab, is_free},
};
use serde_json::json;

use crate::{
    Effort, Outcome, idle, ours,
    process::{self, Memory},
    programs::{self, Programs},
    report::{Goal, Row, median},
    upload::write_image,
};

/// Shells, of ours and of one that takes seconds for each.
const SHELLS: usize = 30;
const SLOW_SHELLS: usize = 3;

/// Calls, one after the other.
const CALLS: usize = 2_000;

/// Bytes of the image.
const IMAGE: usize = 256 << 20;

/// The devices, by names that both know.
const POWER: &str = "jumpstarter_driver_power.driver.MockPower";
const FLASHER: &str = "jumpstarter_driver_opendal.driver.MockFlasher";

/// What the shells run.
const NOTHING: &str = "true";

/// A lab with one exporter of this kind, and a client of it.
struct Rig {
    lab: Lab,
    exporter: Child,
    client: std::path::PathBuf,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.exporter.kill();
        let _ = self.exporter.wait();
    }
}

impl Rig {
    async fn start(program: &Program) -> Outcome<Self> {
        let mut lab = Lab::start().await;
        let credential = lab.create("Exporter", "rig", json!({ "board": "figures" })).await;
        let devices = json!({ "export": { "power": { "type": POWER }, "flasher": { "type": FLASHER } } });
        let file = lab.config("ExporterConfig", "rig", &credential, &devices);
        let credential = lab.create("Client", "me", json!({})).await;
        let unsafe_drivers = json!({ "drivers": { "allow": [], "unsafe": true } });
        let client = lab.config("ClientConfig", "me", &credential, &unsafe_drivers);
        let mut command = Self::command(&lab, program, "jmp");
        command.args(["run", "--exporter-config"]).arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let exporter = command.spawn()?;
        lab.until("Exporter", "rig", is_free).await;
        Ok(Self { lab, exporter, client })
    }

    fn command(lab: &Lab, program: &Program, name: &str) -> Command {
        let mut command = Programs::command(program, name);
        command.env("HOME", lab.path()).env("XDG_CONFIG_HOME", lab.path());
        command
    }

    /// `jmp shell --selector … -- true`.
    fn shell(&self, program: &Program) -> Command {
        let mut command = Self::command(&self.lab, program, "jmp");
        command.args(["shell", "--client-config"]).arg(&self.client);
        command.args(["--selector", "board=figures", "--", NOTHING]);
        command
    }

    async fn free(&mut self) {
        self.lab.until("Exporter", "rig", is_free).await;
    }
}

/// All figures of leases.
pub(crate) async fn take(effort: Effort, programs: &Programs) -> Outcome<Vec<Row>> {
    let mut rows = shells(effort, programs).await?;
    let Some(jmp) = programs.ours.clone() else { return Err("ours could not be built".into()) };
    let ours = Program::Ours(jmp);
    let rig = Rig::start(&ours).await?;
    rows.extend(registered(effort, &rig).await?);
    let leased =
        jumpstarter_lease::leased::lease().selector("board=figures").client_config(&rig.client).await?;
    let local = Exporter::local(&ours, &file()).await?;
    let direct = ours::connect(std::path::Path::new(&local.host())).await?;
    rows.push(calls(effort, leased.device(), &direct).await?);
    rows.push(images(effort, leased.device(), &direct).await?);
    leased.release().await?;
    local.stop().await?;
    Ok(rows)
}

/// The same devices without a lab.
fn file() -> String {
    format!("{}  flasher:\n    type: {FLASHER}\n", programs::FILE)
}

/// From the word to the end of a command that does nothing, on an exporter that is free.
async fn shells(effort: Effort, programs: &Programs) -> Outcome<Vec<Row>> {
    let what =
        "`jmp shell --selector … -- true` on a free exporter (bare: its round trips, without a program)";
    let mut row = Row::new("lease", what, "ms", Goal::AtMost(100.0));
    for (program, _) in programs.both(effort).into_iter().flatten() {
        let mut rig = Rig::start(&program).await?;
        let mut command = rig.shell(&program);
        let runs = match program {
            Program::Ours(_) => effort.of(SHELLS).max(3),
            Program::Upstream(_) => effort.of(SLOW_SHELLS).max(2),
        };
        let (mut times, mut least) = (Vec::new(), Vec::new());
        // The first one reads the program from the disk.
        for round in 0..=runs {
            // The lab is in this process, so nothing here may stand still for a command.
            let took;
            (command, took) = elsewhere(command).await?;
            if round > 0 {
                times.push(took);
            }
            rig.free().await;
            if matches!(program, Program::Ours(_)) {
                least.push(round_trips(&rig.client).await?);
                rig.free().await;
            }
        }
        match program {
            Program::Ours(_) => (row.ours, row.bare) = (median(times), median(least)),
            Program::Upstream(_) => row.upstream = median(times),
        }
    }
    Ok(vec![row])
}

/// Milliseconds of what a shell must say and hear in any case: two connections with TLS, a lease, a session, and its end.
async fn round_trips(client: &std::path::Path) -> Outcome<f64> {
    let begun = Instant::now();
    let leased = jumpstarter_lease::leased::lease().selector("board=figures").client_config(client).await?;
    leased.release().await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds of a command, on a thread of its own.
async fn elsewhere(mut command: Command) -> Outcome<(Command, f64)> {
    tokio::task::spawn_blocking(move || {
        let took = programs::run(&mut command)?;
        Ok((command, took))
    })
    .await?
}

/// What an exporter costs that is registered and waits.
async fn registered(effort: Effort, rig: &Rig) -> Outcome<Vec<Row>> {
    let id = rig.exporter.id();
    let watched = idle::WATCHED / u32::try_from(effort.divisor)?;
    let mut switches = Row::new(
        "lease",
        format!("context switches of a registered exporter in {} s", watched.as_secs_f64()),
        "switches",
        Goal::None,
    );
    switches.ours = Some(idle::quiet(id, watched).await?);
    let mut memory = Row::new("lease", "its resident memory", "MiB", Goal::None);
    memory.ours = Some(process::memory(id, Memory::Resident)? as f64 / f64::from(1 << 20));
    Ok(vec![switches, memory])
}

/// Microseconds of a call through the router, and of one without it.
async fn calls(effort: Effort, leased: &Device, direct: &Device) -> Outcome<Row> {
    let calls = effort.of(CALLS);
    let p50 = async |device: &Device| {
        let power: PowerClient = device.client("power")?;
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let begun = Instant::now();
            power.on().await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        Outcome::Ok(median(times).unwrap_or_default())
    };
    let pairs = crate::report::in_turns(effort.rounds.min(5), || p50(leased), || p50(direct)).await?;
    let what = "a call through the router, p50 (bare: ours through a local socket)";
    Ok(Row::new("lease", what, "µs", Goal::None).of(&pairs))
}

/// Megabytes per second of an image through the router, and without it.
async fn images(effort: Effort, leased: &Device, direct: &Device) -> Outcome<Row> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    let size = effort.of(IMAGE);
    write_image(&image, size)?;
    let rate = async |device: &Device| {
        let flasher: FlasherClient = device.client("flasher")?;
        let begun = Instant::now();
        flasher.flash(read(&image).await?, None).await?;
        Outcome::Ok(size as f64 / 1e6 / begun.elapsed().as_secs_f64())
    };
    let pairs = crate::report::in_turns(effort.rounds.min(5), || rate(leased), || rate(direct)).await?;
    let what = format!("flash of {} MiB through the router (bare: ours through a local socket)", size >> 20);
    Ok(Row::new("lease", what, "MB/s", Goal::None).of(&pairs))
}
