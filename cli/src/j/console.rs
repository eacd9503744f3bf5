//! Commands around consoles: at the terminal, in a pipe, in a script.

use std::{io::IsTerminal as _, pin::Pin, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use jumpstarter_client::{
    Device,
    adapters::{Expect, Pattern, console},
};
use jumpstarter_core::{Context as _, Delay, Error, Io};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{args::own_option, log, notice};
use crate::{
    output,
    report::{Outcome, Stop, signal_code},
    words::{Place, flag},
};

pub(super) const START: &str = "Use the device's console in this terminal; Ctrl-B three times leaves";
pub(super) const PIPE: &str = "Print what the device says, and send it what comes on standard input";
pub(super) const EXPECT: &str = "Wait until the device says something\n\n\
    Each PATTERN is a regular expression, searched behind the one before. What was found is printed, one line each: the \
    first group, or all of it. When one does not come in time, the command fails and shows what was said.";

/// How long to wait for the device to end the stream after everything was sent. Consoles do not end, and nothing else says
/// that the last byte has left.
const LINGER: Duration = Duration::from_secs(1);

/// How much input is read at once.
const BUFFER: usize = 16 * 1024;

pub(super) fn start_arguments(command: Command) -> Command {
    command
        .arg(
            own_option("log", "FILE", "Also append what the device says to a file")
                .value_hint(ValueHint::FilePath),
        )
        .arg(flag("timestamps", "Begin each line of the log with the time at which it began"))
}

pub(super) fn pipe_arguments(command: Command) -> Command {
    command
        .arg(
            own_option("output", "FILE", "Write what the device says to a file")
                .short('o')
                .value_hint(ValueHint::FilePath),
        )
        .arg(flag("append", "Append to the file").short('a'))
        .arg(flag("input", "Send standard input, although it is a terminal").short('i'))
        .arg(flag("no-input", "Send nothing, although standard input is no terminal"))
        .arg(flag("no-output", "Send standard input and end"))
        .arg(flag("timestamps", "Begin each line with the time at which it began"))
}

pub(super) fn expect_arguments(command: Command) -> Command {
    command
        .arg(
            own_option("send", "TEXT", "Send a line first; can be repeated")
                .short('s')
                .action(ArgAction::Append),
        )
        .arg(
            own_option("timeout", "TIME", "How long to wait for each pattern")
                .short('t')
                .default_value("30s"),
        )
        .arg(flag("fixed", "Patterns are text as it stands").short('F'))
        .arg(
            Arg::new("pattern")
                .value_name("PATTERN")
                .num_args(1..)
                .required(true)
                .help("What to wait for, one after the other"),
        )
}

/// The console in this terminal.
pub(super) async fn start(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let file = matches.get_one::<String>("log");
    let stamped = matches.get_flag("timestamps");
    if stamped && file.is_none() {
        return Err(place.wrong("'--timestamps' needs '--log'."));
    }
    if !std::io::stdin().is_terminal() {
        let pipe = place.path.rsplit_once(' ').map_or("j", |(above, _)| above);
        return Err(Stop::usage(format!(
            "a console needs a terminal; `{pipe} pipe` takes input from elsewhere"
        )));
    }
    let log = file.map(|file| log::Log::open(file, stamped)).transpose()?;
    let io = device.open_stream(method).await?;
    let io = match log {
        Some(log) => log.of(io),
        None => io,
    };
    notice("Connected; Ctrl-B three times leaves.");
    let left = console::interactive(io).await?;
    match left {
        console::Left::Signal(number) => Ok(signal_code(number)),
        console::Left::Device => {
            notice("\nThe device ended the connection.");
            Ok(0)
        }
        console::Left::Escape | console::Left::Input => {
            notice("");
            Ok(0)
        }
    }
}

/// The console in a pipe.
pub(super) async fn pipe(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let is = |name| matches.get_flag(name);
    let file = matches.get_one::<String>("output");
    if is("append") && file.is_none() {
        return Err(place.wrong("'--append' / '-a' needs '--output' / '-o'."));
    }
    if is("input") && is("no-input") {
        return Err(place.wrong("'--input' / '-i' and '--no-input' exclude each other."));
    }
    let input = !is("no-input") && (is("input") || !std::io::stdin().is_terminal());
    if is("no-output") && is("timestamps") {
        return Err(place.wrong("'--no-output' and '--timestamps' exclude each other."));
    }
    if is("no-output") && (file.is_some() || !input) {
        return Err(place.wrong(if input {
            "'--no-output' and '--output' / '-o' exclude each other."
        } else {
            "'--no-output' needs input: pipe something into it, or add '--input'."
        }));
    }
    let output: Pin<Box<dyn AsyncWrite + Send>> = match file {
        Some(path) => {
            let mut options = tokio::fs::OpenOptions::new();
            options.create(true).write(true).append(is("append")).truncate(!is("append"));
            let file = options.open(path).await;
            Box::pin(file.context(format_args!("cannot write {path}"))?)
        }
        None => Box::pin(tokio::io::stdout()),
    };
    let io = device.open_stream(method).await?;
    let io = if is("timestamps") { log::stamped(io) } else { io };
    let to = file.map_or("standard output", String::as_str);
    let end = match (input, is("no-output")) {
        (true, true) => {
            notice("Sending standard input.");
            return send_only(io, tokio::io::stdin()).await.map(|()| 0).map_err(Into::into);
        }
        (true, false) => {
            notice(&format!("Sending standard input, printing to {to}. Ctrl-C ends."));
            console::pipe(io, tokio::io::stdin(), output).await
        }
        (false, _) => {
            notice(&format!("Printing to {to}. Ctrl-C ends."));
            receive_only(io, output).await
        }
    };
    match end {
        Ok(()) => {
            notice("The device ended the connection.");
            Ok(0)
        }
        Err(error) if is_closed_pipe(&error) => Err(Stop::ClosedPipe),
        Err(error) => Err(error.into()),
    }
}

/// Whether it was our own output that broke, and not the way to the device.
fn is_closed_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|io| io.raw_os_error() == Some(libc::EPIPE))
}

/// Prints what a stream brings, without sending anything.
pub(super) async fn copy_out(io: Io) -> Result<(), Stop> {
    match receive_only(io, Box::pin(tokio::io::stdout())).await {
        Err(error) if is_closed_pipe(&error) => Err(Stop::ClosedPipe),
        other => other.map_err(Into::into),
    }
}

async fn receive_only(io: Io, mut output: Pin<Box<dyn AsyncWrite + Send>>) -> jumpstarter_core::Result<()> {
    // The way back stays open: a device may take its end for the end of the conversation.
    let (mut reader, _writer) = io.split();
    while let Some(piece) = reader.recv().await? {
        output.write_all(&piece).await?;
        output.flush().await?;
    }
    Ok(())
}

async fn send_only(io: Io, mut input: impl AsyncRead + Unpin) -> jumpstarter_core::Result<()> {
    let (mut reader, mut writer) = io.split();
    let discard = async {
        while reader.recv().await?.is_some() {}
        Ok::<_, Error>(())
    };
    let everything = async {
        let mut buffer = bytes::BytesMut::new();
        loop {
            buffer.reserve(BUFFER);
            if input.read_buf(&mut buffer).await? == 0 {
                return Ok::<_, Error>(writer.finish().await?);
            }
            writer.send(buffer.split().freeze()).await?;
        }
    };
    tokio::pin!(discard);
    tokio::select! {
        sent = everything => sent?,
        ended = &mut discard => return ended.and(Err(Error::disconnected("the device ended the connection before everything was sent"))),
    }
    match tokio::time::timeout(LINGER, discard).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}

/// The console in a script.
pub(super) async fn expect(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let texts = |name| matches.get_many::<String>(name).unwrap_or_default();
    let timeout = matches.get_one::<String>("timeout").map_or("", String::as_str);
    let timeout: Delay = timeout.parse().map_err(|error| {
        place.wrong(format!("Invalid value for '--timeout' / '-t': '{timeout}': {error}"))
    })?;
    let fixed = matches.get_flag("fixed");
    let pattern = |text: &String| {
        if fixed { Ok(Pattern::from(text.as_str())) } else { Pattern::regex(text) }
    };
    let patterns = texts("pattern").map(pattern).collect::<Result<Vec<_>, _>>();
    let patterns = patterns.map_err(|error| place.wrong(format!("Invalid value for 'PATTERN': {error}")))?;
    let mut conversation = Expect::new(device.open_stream(method).await?).with_timeout(timeout.get());
    for line in texts("send") {
        conversation.send_line(line).await?;
    }
    for pattern in patterns {
        let found = conversation.expect(pattern).await?;
        let shown = found.groups.into_iter().next().flatten().unwrap_or(found.text);
        output::line(&crate::style::printable(shown.trim_end_matches(['\r', '\n'])))?;
    }
    Ok(0)
}
