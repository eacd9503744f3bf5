//! Questions to whoever sits there: asked on standard error, answered on standard input.

use std::io::{self, BufRead as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::report::Stop;

fn say(text: &str) {
    // Where nobody reads, nobody needs to be asked.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn line() -> Result<String, Stop> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(count) if count > 0 => Ok(line.trim().to_owned()),
        _ => Err(Stop::failed("Aborted!")),
    }
}

/// Asks for a text that is not empty.
pub(crate) fn ask(what: &str) -> Result<String, Stop> {
    loop {
        say(&format!("{what}: "));
        let answer = line()?;
        if !answer.is_empty() {
            return Ok(answer);
        }
    }
}

/// Asks for a text that may be empty.
pub(crate) fn ask_or_nothing(what: &str) -> Result<String, Stop> {
    say(&format!("{what}: "));
    line()
}

/// Asks for a secret: a terminal does not show what is typed.
pub(crate) fn secret(what: &str) -> Result<String, Stop> {
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

/// Asks for leave; everything but a yes is a no.
pub(crate) fn confirm(question: &str) -> Result<(), Stop> {
    say(&format!("{question} [y/N]: "));
    match line()?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Stop::failed("Aborted by user.")),
    }
}
