//! `j`: a device's commands, from what the exporter reports about it.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `tree` | report → tree of commands |
//! | `args` | parameters of a method → options, and back to values |
//! | `call` | carrying a command out |
//! | `render` | values as people read them |
//! | `policy` | which drivers may be used |
//! | `transfer` | files as arguments, with progress |
//! | `console`, `network` | commands around byte streams |
//! | `shell` | the methods of shell drivers |
//! | `log` | what a device says, in a file and with the time |

mod args;
mod call;
mod console;
mod flash;
mod log;
mod network;
mod policy;
mod render;
mod shell;
mod transfer;
pub(crate) mod tree;

use std::ffi::OsString;

use clap::Command;
use jumpstarter_client::Connection;

use crate::{
    Program, complete, files, help, logging,
    report::{Outcome, Stop},
    runtime,
    signals::Signals,
    style, words,
};

/// Runs `j` with these words.
pub(crate) fn main(program: &Program, words: Vec<OsString>) -> Outcome {
    if matches!(words.as_slice(), [only] if only == "-V" || only == "--version") {
        return crate::commands::version::print_line();
    }
    let request = complete::Request::from_env("j", files::environment);
    let host = files::environment(jumpstarter_client::connection::HOST).filter(|host| !host.is_empty());
    if host.is_none() {
        return without_host(request.as_ref(), &words);
    }
    let runtime = runtime::single()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        // The first signal counts: whatever is going on is dropped, which cancels it at the exporter.
        tokio::select! {
            outcome = work(program, request, words) => outcome,
            signal = signals.next() => Err(Stop::Signal(signal)),
        }
    });
    // Reading standard input may hold a thread for ever.
    runtime.shutdown_background();
    outcome
}

/// What can be said without an exporter.
fn without_host(request: Option<&complete::Request>, words: &[OsString]) -> Outcome {
    if request.is_some() {
        return Ok(0);
    }
    if words.is_empty() || words.iter().any(|word| word == "--help" || word == "-h") {
        let command = Command::new("j").args(tree::common_options()).arg(words::help_option());
        let about = "Use the devices of an exporter.\n\nThe commands depend on the devices: run this inside of `jmp shell`.";
        return Err(Stop::Help { text: help::text("j", &command, about, Some(&[])), code: 0 });
    }
    Err(Stop::usage("the j command must be used inside a jmp shell: JUMPSTARTER_HOST not set"))
}

async fn work(program: &Program, request: Option<complete::Request>, words: Vec<OsString>) -> Outcome {
    let completing = request.is_some();
    let connected = async {
        let connection = Connection::from_env(files::environment).await?;
        connection.device().await
    };
    let device = match connected.await {
        Ok(device) => device,
        // Somebody is typing: this is no place for an error.
        Err(_) if completing => return Ok(0),
        Err(error) => return Err(Stop::of_session(error)),
    };
    let typed = |name: &str| match &request {
        Some(request) => request.mentions(name),
        None => words.iter().any(|word| word == name),
    };
    let methods = match shell::Methods::ask(&device, typed).await {
        Ok(methods) => methods,
        Err(_) if completing => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let root = tree::root(&device, &program.clients, &methods);
    if let Some(request) = request {
        return request.answer(&root);
    }
    let found = words::find(&root, "j", words)?;
    logging::Wanted::from_options(found.common("log-level"), None).start();
    let json = found.common(tree::FORMAT).is_some_and(|format| format.eq_ignore_ascii_case("json"));
    call::run(&found, json).await
}

/// Says something to the person in front of the terminal, who may have sent the results elsewhere.
fn notice(text: &str) {
    // Where nobody reads, nobody needs to be told.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr().lock(),
        format!("{}\n", style::printable(text)).as_bytes(),
    );
}
