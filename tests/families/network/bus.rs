//! A private message bus, used by ordinary D-Bus programs through both implementations.

use std::{path::PathBuf, process::Stdio};

use jumpstarter::{Error, Result};
use jumpstarter_client::{Device, adapters::DbusForward};
use jumpstarter_tests::{
    client::Client,
    counterparts::counterpart,
    exporter::{Exporter, Program},
    programs,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{connect, entry, file};

/// Asks the bus for everybody's names.
pub(super) const QUESTION: [&str; 4] = [
    "--print-reply",
    "--dest=org.freedesktop.DBus",
    "/org/freedesktop/DBus",
    "org.freedesktop.DBus.ListNames",
];

/// One name that every bus has.
pub(super) const ANSWER: &str = "string \"org.freedesktop.DBus\"";

/// A bus of its own.
pub(super) struct Daemon {
    pub(super) child: Child,
    path: PathBuf,
    _folder: TempDir,
}

impl Daemon {
    /// `None` when programs of the system are left out.
    pub(super) async fn start() -> Option<Self> {
        let program = counterpart("dbus-daemon", "dbus")?;
        let folder = tempfile::Builder::new().prefix("jumpstarter-").tempdir().expect("a folder");
        let path = folder.path().join("bus");
        let mut child = Command::new(program)
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .arg(format!("--address=unix:path={}", path.display()))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a bus");
        // It says where it is when it is there.
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        lines.next_line().await.expect("its output").expect("its address");
        Some(Self { child, path, _folder: folder })
    }

    /// The environment of an exporter for which this is both the system's and the session's bus.
    pub(super) fn environment(&self) -> [(&'static str, &'static str); 2] {
        // As long as the test; there are few.
        let address: &'static str = Box::leak(format!("unix:path={}", self.path.display()).into_boxed_str());
        [("DBUS_SYSTEM_BUS_ADDRESS", address), ("DBUS_SESSION_BUS_ADDRESS", address)]
    }
}

/// Upstream's adapter, with an ordinary program behind it.
pub(super) async fn python_lists_names(client: &Client) -> Result<(), String> {
    for kind in ["system", "session"] {
        let option = format!("--{kind}");
        let words = [&[kind, "dbus-send", &option], &QUESTION[..]].concat();
        let outcome = client.check("bus", &words).await.map_err(|error| error.to_string())?;
        if outcome.code != Some(0) || !outcome.stdout.contains(ANSWER) {
            return Err(format!("{kind}: {outcome:?}"));
        }
    }
    Ok(())
}

/// Ours.
pub(super) async fn forward_lists_names(device: &Device) -> Result<()> {
    for kind in ["system", "session"] {
        let forward = DbusForward::start(&device.find(kind)?).await?;
        let (variable, address) = forward.environment();
        let mut command = Command::new("dbus-send");
        command.arg(format!("--{kind}")).args(QUESTION).env(variable, address);
        let output = command.output().await?;
        if !output.status.success() || !String::from_utf8_lossy(&output.stdout).contains(ANSWER) {
            return Err(Error::device(format!("{kind}: {output:?}")));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_uses_the_exporters_bus() {
    let Some(daemon) = Daemon::start().await else { return };
    let Some(busctl) = counterpart("busctl", "systemd") else { return };
    let jmp = programs::jmp();
    let text = file(&[entry("bus", "DbusNetwork", "kind: session")]);
    let exporter = Exporter::local_with(&Program::Ours(jmp.clone()), &text, &daemon.environment()).await;
    let exporter = exporter.expect("an exporter");
    let j = async |words: &[&str]| {
        let mut command = Command::new(jmp.with_file_name("j"));
        command.args(["bus", "run", "--"]).args(words).env("JUMPSTARTER_HOST", exporter.host());
        command.env("NO_COLOR", "1").env_remove("DBUS_SESSION_BUS_ADDRESS").output().await.expect("j runs")
    };
    let listed = j(&[&["dbus-send", "--session"], &QUESTION[..]].concat()).await;
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains(ANSWER), "{listed:?}");
    // Another implementation of the protocol.
    let listed = j(&[&busctl.display().to_string(), "--user", "--no-pager", "list"]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("org.freedesktop.DBus"), "{listed:?}");
    let code = j(&["sh", "-c", "test -n \"$DBUS_SESSION_BUS_ADDRESS\" && exit 7"]).await;
    assert_eq!(code.status.code(), Some(7), "{code:?}");
    let missing = j(&["no-such-command"]).await;
    assert_eq!(missing.status.code(), Some(127));
    assert_eq!(String::from_utf8_lossy(&missing.stderr), "Error: command not found: no-such-command\n");
    let device = connect(&exporter.address).await;
    let bus = device.find("bus").expect("a bus");
    assert_eq!(bus.labels()["jumpstarter.dev/dbusnetwork/kind"], "session");
    let no_bus = DbusForward::start(&device.root()).await.expect_err("it is a group");
    assert!(no_bus.message().contains("is no message bus"), "{no_bus}");
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_whose_address_cannot_be_used_is_refused_at_the_start() {
    let text = file(&[entry("bus", "DbusNetwork", "kind: system")]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("exporter.yaml");
    std::fs::write(&path, text).expect("a file");
    let mut command = Command::new(programs::jmp());
    command.args(["shell", "--exporter-config"]).arg(&path).args(["--", "true"]).env("NO_COLOR", "1");
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:abstract=/tmp/bus");
    let output = command.output().await.expect("jmp runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let wanted = "DBUS_SYSTEM_BUS_ADDRESS is \"unix:abstract=/tmp/bus\": an address that begins with `unix:` needs `path=…`";
    assert!(said.contains(wanted), "{said}");
}
