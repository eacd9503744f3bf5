//! Questions to whoever sits there: asked on standard error, answered on standard input.
//!
//! Answers can come from a file or a pipe as well; then nothing is asked aloud, and a missing answer is a missing option.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::{report::Stop, words::Place};

/// What whoever gives `-k` has to agree to.
pub(crate) const INSECURE: &str = "The lab will not have to prove its name: whoever is in between can read and change everything. Continue?";

/// Which drivers a client may use.
pub(crate) const DRIVERS: &str = "Driver classes that may be used, with commas (* for all)";

/// One of the ways to ask.
pub(crate) type Ask = fn(&str) -> Result<Option<String>, Stop>;

fn say(text: &str) {
    // Where nobody reads, nobody needs to be asked.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The next line; nothing at the end.
fn line() -> Option<String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim().to_owned()),
        _ => None,
    }
}

fn aborted() -> Stop {
    Stop::usage("Aborted!")
}

/// Asks what somebody has to say. Nothing, if nobody is there.
fn answer(what: &str) -> Result<Option<String>, Stop> {
    if !io::stdin().is_terminal() {
        return Ok(line());
    }
    say(&format!("{what}: "));
    line().map(Some).ok_or_else(aborted)
}

/// Asks for a text that is not empty. Nothing, if nobody is there.
pub(crate) fn ask(what: &str) -> Result<Option<String>, Stop> {
    loop {
        match answer(what)? {
            Some(answer) if answer.is_empty() => {}
            answer => return Ok(answer),
        }
    }
}

/// Asks for a text that may be empty.
pub(crate) fn ask_or_nothing(what: &str) -> Result<Option<String>, Stop> {
    answer(what)
}

/// Asks for a secret: a terminal does not show what is typed.
pub(crate) fn secret(what: &str) -> Result<Option<String>, Stop> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &silent);
    }
    let answer = ask(what);
    if let Some(before) = &before {
        let _ = tcsetattr(&stdin, OptionalActions::Now, before);
        say("\n");
    }
    answer
}

/// The value of an option that was not given: asked for, unless nobody is there or is to be asked.
pub(crate) fn missing(
    place: &Place,
    silent: bool,
    option: &str,
    what: &str,
    ask: Ask,
) -> Result<String, Stop> {
    let answer = if silent { None } else { ask(what)? };
    let why = if silent { "" } else { " Nobody is there to be asked for it." };
    answer.ok_or_else(|| place.wrong(format!("Missing option '--{option}'.{why}")))
}

/// Asks for leave; everything but a yes is a no.
pub(crate) fn confirm(question: &str) -> Result<(), Stop> {
    if yes(question)? { Ok(()) } else { Err(Stop::usage("Aborted by user.")) }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.to_lowercase().as_str(), "y" | "yes")
}

/// Asks for a yes; everything else is a no.
pub(crate) fn yes(question: &str) -> Result<bool, Stop> {
    say(&format!("{question} [y/N]: "));
    let answer = line().ok_or_else(aborted)?;
    Ok(is_yes(&answer))
}

/// Asks for a yes to what need not be done; everything else is a no, and so is nobody.
#[cfg(feature = "lab")]
pub(crate) fn agreed(question: &str) -> Result<bool, Stop> {
    if io::stdin().is_terminal() { yes(question) } else { Ok(line().is_some_and(|answer| is_yes(&answer))) }
}
