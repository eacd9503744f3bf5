//! Commands around connections: a local port or socket that leads to the device's network, a bus for a command, a screen.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::ExitStatusExt as _,
    path::Path,
};

use clap::{Arg, ArgMatches, Command, ValueHint};
use jumpstarter_client::{
    Device,
    adapters::{DbusForward, Failure, TcpForward, UdpForward, UnixForward, VncPage},
};
use jumpstarter_interfaces::VncScreenClient;

use super::{args::own_option, notice};
use crate::{
    files::reason,
    output,
    report::{FAILURE, Outcome, Stop, signal_code},
    words::{Place, flag},
};

pub(super) const TCP: &str = "Forward a local TCP port to the device, until interrupted";
pub(super) const UNIX: &str = "Forward a local unix socket to the device, until interrupted";

pub(super) const UDP: &str = "Forward a local UDP port to the device, until interrupted\n\n\
    Each source of datagrams gets a connection of its own, which is over after two minutes of silence.";
pub(super) const BUS: &str = "Run a command that uses this message bus instead of the one of this machine\n\n\
    The command finds it through DBUS_SYSTEM_BUS_ADDRESS or DBUS_SESSION_BUS_ADDRESS, as D-Bus programs do. The exit code is \
    the command's.";
pub(super) const VNC: &str = "Show the device's screen in a browser, until interrupted\n\n\
    The address of the page is printed. The page is noVNC: the copy on this machine if there is one (Debian's package novnc, \
    or --novnc), else the one at novnc.com. Either talks to this machine only.";

pub(super) fn tcp_arguments(command: Command) -> Command {
    command.arg(own_option("address", "ADDRESS", "Where to listen").default_value("localhost")).arg(
        Arg::new("port").value_name("PORT").default_value("0").help("Port to listen on; 0 is any free one"),
    )
}

/// The words behind `run`.
const COMMAND: &str = "command";

pub(super) fn bus_arguments(command: Command) -> Command {
    command.arg(
        Arg::new(COMMAND)
            .value_name("COMMAND")
            .num_args(1..)
            .required(true)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(clap::value_parser!(OsString))
            .value_hint(ValueHint::ExecutablePath)
            .help("What to run, with its arguments"),
    )
}

pub(super) fn vnc_arguments(command: Command) -> Command {
    command
        .arg(flag("browser", "Open the page in a browser (the default)").overrides_with("no-browser"))
        .arg(flag("no-browser", "Only print the address of the page").overrides_with("browser"))
        .arg(
            flag("encrypt", "Let the page connect with TLS, for a proxy in front of this machine")
                .overrides_with("no-encrypt"),
        )
        .arg(flag("no-encrypt", "Let the page connect without TLS").overrides_with("encrypt"))
        .arg(own_option("novnc", "FOLDER", "A copy of noVNC").value_hint(ValueHint::DirPath))
}

pub(super) fn unix_arguments(command: Command) -> Command {
    command.arg(
        Arg::new("path")
            .value_name("PATH")
            .value_hint(clap::ValueHint::FilePath)
            .help("The new socket; without it, one in a private folder"),
    )
}

/// Where to listen, as it was typed.
fn listen<'a>(matches: &'a ArgMatches, place: &Place) -> Result<(&'a str, u16), Stop> {
    let text = |name| matches.get_one::<String>(name).map_or("", String::as_str);
    let port = text("port").parse().map_err(|_| {
        place.wrong(format!("Invalid value for 'PORT': '{}' is not a port (0 to 65535).", text("port")))
    })?;
    Ok((text("address"), port))
}

/// Prints `ADDRESS:PORT` and forwards datagrams.
pub(super) async fn udp(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let (host, port) = listen(matches, place)?;
    let forward = UdpForward::bind(device, method, (host, port)).await;
    let mut forward = forward.map_err(|error| error.context(format_args!("{host}:{port}")))?;
    output::line(&forward.address().to_string())?;
    while let Some(failure) = forward.failure().await {
        report(&failure);
    }
    Err(closed())
}

/// Runs a command that uses the bus.
pub(super) async fn bus(device: &Device, matches: &ArgMatches) -> Outcome {
    let mut words = matches.get_many::<OsString>(COMMAND).unwrap_or_default();
    let Some(program) = words.next() else { return Ok(0) };
    let mut forward = DbusForward::start(device).await?;
    let (variable, address) = forward.environment();
    let mut command = tokio::process::Command::new(program);
    command.args(words).env(variable, address).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| not_started(program, &error))?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(jumpstarter_core::Error::from)?,
            failure = forward.failure() => match failure {
                Some(failure) => report(&failure),
                None => return Err(closed()),
            },
        }
    };
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(FAILURE),
        (None, Some(signal)) => signal_code(signal),
        (None, None) => FAILURE,
    })
}

fn not_started(program: &OsStr, error: &io::Error) -> Stop {
    let name = program.to_string_lossy();
    match error.kind() {
        // As shells have it.
        io::ErrorKind::NotFound => {
            Stop::Failed { message: format!("command not found: {name}"), code: 127, class: None }
        }
        _ => Stop::Failed {
            message: format!("cannot execute {name}: {}", reason(error)),
            code: 126,
            class: None,
        },
    }
}

/// Prints the page's address, opens a browser, and passes on what page and device say to each other.
pub(super) async fn vnc(device: &Device, matches: &ArgMatches) -> Outcome {
    let tcp = device.child("tcp").ok_or_else(|| Stop::configuration("this screen has no child `tcp`"))?;
    let encrypt = match (matches.get_flag("encrypt"), matches.get_flag("no-encrypt")) {
        (true, _) => true,
        (_, true) => false,
        _ => device.as_client::<VncScreenClient>()?.get_default_encrypt().await?,
    };
    let folder = matches.get_one::<String>("novnc").map(Path::new);
    let mut page = VncPage::start(&tcp, "connect", folder).await?;
    let url = page.url(encrypt);
    output::line(&url)?;
    if !matches.get_flag("no-browser") {
        browse(&url);
    }
    while let Some(failure) = page.failure().await {
        report(&failure);
    }
    Err(closed())
}

/// Shows a page. Where there is no browser, its address is enough.
fn browse(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = tokio::process::Command::new(opener);
    let silent = std::process::Stdio::null;
    command.arg(url).stdin(silent()).stdout(silent()).stderr(silent());
    if let Err(error) = command.spawn() {
        notice(&format!("cannot open a browser with {opener}: {}", reason(&error)));
    }
}

/// Prints `ADDRESS:PORT` and forwards.
pub(super) async fn tcp(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let (host, port) = listen(matches, place)?;
    let forward = TcpForward::bind(device, method, (host, port)).await;
    let mut forward = forward.map_err(|error| error.context(format_args!("{host}:{port}")))?;
    output::line(&forward.address().to_string())?;
    while let Some(failure) = forward.failure().await {
        report(&failure);
    }
    Err(closed())
}

/// Prints the socket's path and forwards.
pub(super) async fn unix(device: &Device, method: &str, matches: &ArgMatches) -> Outcome {
    let mut forward = match matches.get_one::<String>("path") {
        Some(path) => UnixForward::bind(device, method, Path::new(path))?,
        None => UnixForward::local(device)?,
    };
    output::line(&forward.path().display().to_string())?;
    while let Some(failure) = forward.failure().await {
        report(&failure);
    }
    Err(closed())
}

fn report(failure: &Failure) {
    notice(&format!("connection failed: {failure}"));
}

fn closed() -> Stop {
    Stop::infrastructure("the connection to the exporter was closed")
}
