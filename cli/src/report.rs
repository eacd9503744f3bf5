//! Everything that can end a command early, how it is shown, and the exit code it stands for.
//!
//! | Code | Meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | something failed; one line says what |
//! | 2 | the command line makes no sense |
//! | 126, 127 | the command of `jmp shell` cannot be executed, is not there |
//! | 128 + n | ended by signal n: 130 for Ctrl-C, 143 for SIGTERM |
//! | other | the code of the command that `jmp shell` ran |
//!
//! With `JMP_EXIT_CODES=kind`, 1 is only what the device is to blame for: 2 is also what makes no sense to whoever is asked, 69
//! (`EX_UNAVAILABLE` of sysexits.h) is everything between here and the device, and 78 (`EX_CONFIG`) is a file or setting.

use std::{
    fmt,
    io::{self, Write as _},
};

use jumpstarter_core::{Error, ErrorClass, ErrorKind, config::Problems};

use crate::{files::environment, style};

/// What a command ends with when it ends well: its exit code.
pub(crate) type Outcome = Result<u8, Stop>;

/// Exit code of any reported failure.
pub(crate) const FAILURE: u8 = 1;
/// Exit code of a command line that makes no sense.
pub(crate) const USAGE: u8 = 2;

/// Asks for exit codes that tell who has to act.
const CODES: &str = "JMP_EXIT_CODES";

/// The exit code of a failure, for whoever has to act: 1, unless kinds are asked for.
fn code_of(class: ErrorClass, asked: Option<&str>) -> u8 {
    match (asked, class) {
        (Some("kind"), ErrorClass::Usage) => USAGE,
        (Some("kind"), ErrorClass::Infrastructure) => 69,
        (Some("kind"), ErrorClass::Configuration) => 78,
        _ => FAILURE,
    }
}

/// Why a command ends before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Help was asked for, or is the best answer.
    Help {
        /// The text.
        text: String,
        /// 0 if it was asked for.
        code: u8,
    },
    /// The command line makes no sense.
    Usage {
        /// The command's line of usage, without `Usage: `.
        usage: String,
        /// The command, as it would be typed.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A file makes no sense; every problem of it.
    Problems(Problems),
    /// Something failed.
    Failed {
        /// One line, or a few.
        message: String,
        /// Exit code.
        code: u8,
        /// Who has to act, where that is known.
        class: Option<ErrorClass>,
    },
    /// The time of a lease has passed before there was anything to interrupt; says so. Ends as what is interrupted by it.
    Expired(String),
    /// A signal asked the program to end.
    Signal(Signalled),
    /// Nobody reads the output any more.
    ClosedPipe,
}

/// A signal that ends programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signalled {
    /// The terminal is gone.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// A polite request.
    Terminate,
}

impl Signalled {
    /// The signal.
    pub(crate) fn signal(self) -> rustix::process::Signal {
        use rustix::process::Signal;
        match self {
            Self::Hangup => Signal::HUP,
            Self::Interrupt => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Terminate => Signal::TERM,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hangup => "HUP",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }

    /// The signal of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Hangup, Self::Interrupt, Self::Quit, Self::Terminate];
        all.into_iter().find(|signal| signal.name() == name)
    }

    /// What a shell reports for a program that this signal ended.
    pub(crate) fn code(self) -> u8 {
        signal_code(self.signal().as_raw())
    }
}

impl fmt::Display for Signalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "the terminal is gone, terminating",
            Self::Interrupt => "SIGINT pressed, terminating",
            Self::Quit => "SIGQUIT received, terminating",
            Self::Terminate => "SIGTERM received, terminating",
        })
    }
}

/// What a shell reports for a program that this signal ended.
pub(crate) fn signal_code(signal: i32) -> u8 {
    u8::try_from(signal.clamp(0, 127)).unwrap_or_default() + 128
}

impl Stop {
    /// What was typed or passed makes no sense to whoever is asked.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::of(ErrorClass::Usage, message)
    }

    /// A file or setting is wrong, missing, or cannot be read or written.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::of(ErrorClass::Configuration, message)
    }

    /// Something between here and the device failed, this program and its machine among it.
    pub(crate) fn infrastructure(message: impl Into<String>) -> Self {
        Self::of(ErrorClass::Infrastructure, message)
    }

    /// Something failed, and this is who has to act.
    pub(crate) fn of(class: ErrorClass, message: impl Into<String>) -> Self {
        let code = code_of(class, environment(CODES).as_deref());
        Self::Failed { message: message.into(), code, class: Some(class) }
    }

    /// A session does not let us in, or something else failed with its first call.
    pub(crate) fn of_session(error: Error) -> Self {
        // A certificate that is refused is of the same kind, and has its own words.
        if error.kind() == ErrorKind::Unauthenticated && error.message().contains("passphrase") {
            return Self::of(error.kind().class(), "Authentication failed: invalid or missing passphrase");
        }
        error.into()
    }

    /// Who has to act, where that is known.
    pub(crate) fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Failed { class, .. } => *class,
            Self::Usage { .. } => Some(ErrorClass::Usage),
            Self::Problems(_) => Some(ErrorClass::Configuration),
            Self::Help { .. } | Self::Expired(_) | Self::Signal(_) | Self::ClosedPipe => None,
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Help { code, .. } | Self::Failed { code, .. } => *code,
            Self::Usage { .. } => USAGE,
            Self::Problems(_) => code_of(ErrorClass::Configuration, environment(CODES).as_deref()),
            Self::Expired(_) => Signalled::Hangup.code(),
            Self::Signal(signal) => signal.code(),
            // As if the signal for it had not been ignored.
            Self::ClosedPipe => signal_code(rustix::process::Signal::PIPE.as_raw()),
        }
    }

    /// Shows it: help that was asked for on standard output, everything else on standard error.
    pub(crate) fn print(&self) {
        // Where nobody reads, nobody needs to be told.
        let _ = match self {
            Self::Help { text, code: 0 } => io::stdout().lock().write_all(text.as_bytes()),
            Self::ClosedPipe => Ok(()),
            other => io::stderr().lock().write_all(other.text(style::on_stderr()).as_bytes()),
        };
    }

    /// What has failed, for those who go on without it.
    pub(crate) fn into_words(self) -> String {
        match self {
            Self::Failed { message, .. } => message,
            other => other.text(false).trim_end().to_owned(),
        }
    }

    fn text(&self, colour: bool) -> String {
        match self {
            Self::Help { text, .. } => text.clone(),
            Self::Usage { usage, path, message } => {
                format!("Usage: {usage}\nTry '{path} --help' for help.\n\n{}", error_line(message, colour))
            }
            Self::Problems(problems) => format!("{}\n", problems.render().trim_end()),
            Self::Failed { message, .. } => error_line(message, colour),
            Self::Expired(message) => format!("{} {}\n", style::warning(), style::printable(message)),
            Self::Signal(signal) => format!("{signal}\n"),
            Self::ClosedPipe => String::new(),
        }
    }
}

fn error_line(message: &str, colour: bool) -> String {
    let message = without_numbers(&style::printable(message.trim_end()));
    if colour { format!("Error: {}\n", style::red(&message)) } else { format!("Error: {message}\n") }
}

/// The operating system's messages without their numbers, which help nobody.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(')').unwrap_or(part),
        );
    }
    text
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        tracing::debug!(error = ?error, "failed");
        Self::of(error.kind().class(), error.message())
    }
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

/// Errors of writing results; what else can fail carries its own context.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::infrastructure(format!("writing the result: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_shapes_of_errors() {
        let usage = Stop::Usage {
            usage: "jmp run [OPTIONS]".into(),
            path: "jmp run".into(),
            message: "Missing option '--exporter'.".into(),
        };
        let text = "Usage: jmp run [OPTIONS]\nTry 'jmp run --help' for help.\n\nError: Missing option '--exporter'.\n";
        assert_eq!((usage.text(false).as_str(), usage.code()), (text, 2));
        let failed = Stop::of(ErrorClass::Device, "no");
        assert_eq!((failed.text(false).as_str(), failed.code()), ("Error: no\n", 1));
        let missing = Stop::usage("x: No such file or directory (os error 2); y");
        assert_eq!(missing.text(false), "Error: x: No such file or directory; y\n");
        assert_eq!(failed.text(true), "Error: \u{1b}[31mno\u{1b}[0m\n");
    }

    #[test]
    fn signals_are_the_codes_that_shells_report() {
        assert_eq!(Stop::Signal(Signalled::Interrupt).code(), 130);
        assert_eq!(Stop::Signal(Signalled::Terminate).code(), 143);
        assert_eq!(Stop::ClosedPipe.code(), 141);
        assert_eq!(signal_code(9), 137);
    }

    #[test]
    fn who_has_to_act_is_in_the_exit_code_for_whoever_asks() {
        for (class, plain, kind) in [
            (ErrorClass::Device, 1, 1),
            (ErrorClass::Usage, 1, 2),
            (ErrorClass::Infrastructure, 1, 69),
            (ErrorClass::Configuration, 1, 78),
        ] {
            for (asked, expected) in [(None, plain), (Some("kind"), kind), (Some("other"), plain)] {
                assert_eq!(code_of(class, asked), expected, "{class} {asked:?}");
            }
        }
    }

    #[test]
    fn a_peer_cannot_write_to_the_terminal_through_an_error() {
        assert_eq!(Stop::usage("a\u{1b}[2Jb\nc").text(false), "Error: a\\u{1b}[2Jb\nc\n");
    }
}
