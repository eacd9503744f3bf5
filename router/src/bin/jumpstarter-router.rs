//! The router as a program.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "what prevents the start is said there")]

use std::{io::IsTerminal as _, process::ExitCode};

use jumpstarter_router::serve::{self, Arguments};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

fn main() -> ExitCode {
    let arguments = match Arguments::from_words(std::env::args()) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let filter = match EnvFilter::builder().parse(&arguments.log_level) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("--log-level: {error}")),
    };
    // What a service manager keeps is not for a terminal.
    let colour = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    if arguments.log_json {
        registry.with(lines.json()).init();
    } else {
        registry.with(lines).init();
    }
    // Whoever installed one before has the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(serve::run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::FAILURE
}
