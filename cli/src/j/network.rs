//! Commands around connections: a local port or socket that leads to the device's network.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use jumpstarter_client::{
    Device,
    adapters::{Failure, TcpForward, UnixForward},
};

use super::{args::own_option, notice};
use crate::{
    output,
    report::{Outcome, Stop},
    words::Place,
};

pub(super) const TCP: &str = "Forward a local TCP port to the device, until interrupted";
pub(super) const UNIX: &str = "Forward a local unix socket to the device, until interrupted";

pub(super) fn tcp_arguments(command: Command) -> Command {
    command.arg(own_option("address", "ADDRESS", "Where to listen").default_value("localhost")).arg(
        Arg::new("port").value_name("PORT").default_value("0").help("Port to listen on; 0 is any free one"),
    )
}

pub(super) fn unix_arguments(command: Command) -> Command {
    command.arg(
        Arg::new("path")
            .value_name("PATH")
            .value_hint(clap::ValueHint::FilePath)
            .help("The new socket; without it, one in a private folder"),
    )
}

/// Prints `ADDRESS:PORT` and forwards.
pub(super) async fn tcp(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let text = |name| matches.get_one::<String>(name).map_or("", String::as_str);
    let port: u16 = text("port").parse().map_err(|_| {
        place.wrong(format!("Invalid value for 'PORT': '{}' is not a port (0 to 65535).", text("port")))
    })?;
    let mut forward = TcpForward::bind(device, method, (text("address"), port)).await?;
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
    Stop::failed("the connection to the exporter was closed")
}
