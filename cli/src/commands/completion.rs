//! `jmp completion`.

use clap::{Arg, Command, builder::PossibleValuesParser};

use crate::{
    commands::Invocation,
    complete::{self, Shell},
    output,
    report::Outcome,
};

pub(crate) const ABOUT: &str = "Print a script that makes a shell complete jmp and j";

pub(crate) fn arguments(command: Command) -> Command {
    command.arg(
        Arg::new("shell")
            .value_name("SHELL")
            .value_parser(PossibleValuesParser::new(Shell::NAMES))
            .ignore_case(true)
            .required(true)
            .help("bash, zsh or fish; for example: eval \"$(jmp completion bash)\""),
    )
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    let shell = invocation.text("shell").and_then(Shell::named).unwrap_or(Shell::Bash);
    for program in ["jmp", "j"] {
        output::text(&complete::script(shell, program))?;
    }
    Ok(0)
}
