//! The methods of shell drivers as commands: which there are, the exporter's configuration says.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    io::Write as _,
};

use clap::{Arg, ArgAction, ArgMatches, Command};
use jumpstarter_client::Device;
use jumpstarter_core::Result;
use jumpstarter_interfaces::{ShellClient, shell::SHELL};

use crate::{
    output,
    report::{FAILURE, Outcome, Stop, signal_code},
    style,
    words::{Place, option},
};

/// The methods of those shell drivers that were asked, by the driver's place.
#[derive(Debug, Default)]
pub(super) struct Methods(HashMap<String, Vec<String>>);

impl Methods {
    /// Asks the shell drivers among these devices. Only those whose name was typed: nobody else's commands can be meant.
    pub(super) async fn ask(root: &Device, typed: impl Fn(&str) -> bool) -> Result<Self> {
        let mut known = HashMap::new();
        let mut devices = vec![root.clone()];
        while let Some(device) = devices.pop() {
            devices.extend(device.children());
            if device.provides(&SHELL) && (device.path().is_empty() || typed(device.name())) {
                let methods = device.as_client::<ShellClient>()?.get_methods().await?;
                known.insert(device.path().to_owned(), methods);
            }
        }
        Ok(Self(known))
    }

    /// The methods of this driver, if it was asked.
    pub(super) fn of(&self, device: &Device) -> Option<&[String]> {
        self.0.get(device.path()).map(Vec::as_slice)
    }
}

/// The options and arguments of a method. Help has no short form: that may be an option of the command.
pub(super) fn arguments(command: Command) -> Command {
    let env = option("env", "NAME=VALUE", "Set an environment variable; may be repeated").short('e');
    let help = Arg::new("help").long("help").action(ArgAction::Help).help("Show this message and exit.");
    let args =
        Arg::new("args").value_name("ARGS").num_args(0..).help("Arguments of the command: $1 and so on");
    command.arg(env.action(ArgAction::Append)).arg(args).arg(help)
}

/// Puts the options of `j` before `--` and everything else behind it: options that `j` does not know are the command's,
/// and from the first word that is no option on, all are.
pub(super) fn arrange(words: Vec<OsString>) -> Vec<OsString> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.to_str().unwrap_or_default() {
            "--" => break,
            "-e" | "--env" => {
                ours.push(word);
                match words.next() {
                    Some(value) => ours.push(value),
                    // Whatever stood behind it would be taken for its value.
                    None => return ours,
                }
            }
            "--help" => ours.push(word),
            text if text.starts_with("--env=") => ours.push(word),
            text if text.starts_with("-e") => ours.push(word),
            text if text.starts_with('-') && text.len() > 1 => theirs.push(word),
            _ => {
                theirs.push(word);
                break;
            }
        }
    }
    ours.push("--".into());
    ours.extend(theirs);
    ours.extend(words);
    ours
}

/// Runs a method and prints what it prints, as it comes. Its exit code is the answer.
pub(super) async fn run(device: &Device, method: &str, matches: &ArgMatches, place: &Place) -> Outcome {
    let texts = |name: &str| matches.get_many::<String>(name).unwrap_or_default().cloned();
    let mut env = BTreeMap::new();
    for text in texts("env") {
        let Some((name, value)) = text.split_once('=') else {
            let text = style::printable(&text);
            return Err(place.wrong(format!("Invalid value for '--env' / '-e': '{text}' is not NAME=VALUE.")));
        };
        env.insert(name.to_owned(), value.to_owned());
    }
    let client = device.as_client::<ShellClient>()?;
    let mut pieces = client.call_method(method.to_owned(), Some(env), texts("args").collect()).await?;
    let mut code = None;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        output::text(&piece.stdout)?;
        // Where nobody reads, nobody needs to be told.
        let _ = std::io::stderr().lock().write_all(piece.stderr.as_bytes());
        code = piece.returncode.or(code);
    }
    match code {
        Some(code) => Ok(exit_code(code)),
        None => Err(Stop::infrastructure(format!("the output of '{method}' ended without an exit code"))),
    }
}

/// What a shell would report for this code: negative ones are signals.
fn exit_code(code: i32) -> u8 {
    match code {
        0 => 0,
        signal @ ..0 => signal_code(signal.saturating_neg()),
        code => match code.to_le_bytes()[0] {
            // Whatever it was, it was no success.
            0 => FAILURE,
            low => low,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(line: &str) -> String {
        let words = arrange(line.split_whitespace().map(OsString::from).collect());
        words.iter().map(|word| word.to_str().unwrap_or("?")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_of_the_command_pass_through() {
        for (typed, found) in [
            ("", "--"),
            ("world -x", "-- world -x"),
            ("-e A=b world -e c", "-e A=b -- world -e c"),
            ("--env A=b --env=C=d -eE=f g", "--env A=b --env=C=d -eE=f -- g"),
            ("-x -e A=b y", "-e A=b -- -x y"),
            ("-h --verbose=3 --log-level x", "-- -h --verbose=3 --log-level x"),
            ("--help", "--help --"),
            ("x --help", "-- x --help"),
            ("-- -e A=b --", "-- -e A=b --"),
            ("- -e", "-- - -e"),
            ("-e", "-e"),
            ("-x -e", "-e"),
        ] {
            assert_eq!(arranged(typed), found, "{typed}");
        }
    }

    #[test]
    fn codes_are_those_that_a_shell_reports() {
        for (code, exit) in [
            (0, 0),
            (1, 1),
            (199, 199),
            (255, 255),
            (256, 1),
            (257, 1),
            (-9, 137),
            (-15, 143),
            (i32::MIN, 255),
        ] {
            assert_eq!(exit_code(code), exit, "{code}");
        }
    }
}
