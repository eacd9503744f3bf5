//! Walking from the first word of a command line to the command that is meant, and reading its arguments.
//!
//! A [`Word`] is one node of a tree of commands: `jmp`'s is a constant, `j`'s is made from what the exporter reports. Only
//! the definition of the command that is meant is ever built.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use jumpstarter_core::config::nearest;

use crate::{
    help,
    report::{Stop, USAGE},
    style,
};

/// One word of a command line that others, or arguments, can follow.
pub(crate) trait Word {
    /// As it is typed.
    fn name(&self) -> &str;
    /// What it does; the first line goes into lists.
    fn about(&self) -> String;
    /// Other names.
    fn aliases(&self) -> &[&str] {
        &[]
    }
    /// What can follow it, for groups.
    fn words(&self) -> Option<&[Self]>
    where
        Self: Sized;
    /// Why a word that does not follow it does not.
    fn refused(&self, _typed: &str) -> Option<String> {
        None
    }
    /// Known values of one of its arguments, for completion. `before` is what was typed before.
    fn values(&self, _argument: &str, _before: &[String]) -> Vec<String> {
        Vec::new()
    }
    /// Its options and arguments.
    fn arguments(&self) -> Command;
    /// The words behind it as they are to be read.
    fn arrange(&self, words: Vec<OsString>) -> Vec<OsString> {
        words
    }
    /// Exit code of a group without anything behind it.
    fn alone(&self) -> u8 {
        USAGE
    }
}

/// The command that was meant.
pub(crate) struct Found<'a, W> {
    /// The command.
    pub(crate) word: &'a W,
    /// How it is typed, for messages.
    pub(crate) place: Place,
    /// Its arguments.
    pub(crate) matches: ArgMatches,
    /// The options of the groups above it, outermost first.
    pub(crate) groups: Vec<ArgMatches>,
}

impl<W> Found<'_, W> {
    /// The value of an option that every level knows: the innermost one counts.
    pub(crate) fn common(&self, id: &str) -> Option<&str> {
        let levels = std::iter::once(&self.matches).chain(self.groups.iter().rev());
        levels
            .filter_map(|matches| matches.try_get_one::<String>(id).ok().flatten())
            .map(String::as_str)
            .next()
    }
}

/// A command as it is typed, and its line of usage: what messages about its arguments need.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `jmp config exporter check`.
    pub(crate) path: String,
    usage: String,
}

impl Place {
    fn of(path: &str, command: &Command, group: bool) -> Self {
        Self { path: path.to_owned(), usage: help::usage(path, command, group) }
    }

    /// The arguments of this command make no sense.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Stop {
        Stop::Usage { usage: self.usage.clone(), path: self.path.clone(), message: message.into() }
    }
}

/// An option without a value.
pub(crate) fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// An option with a value. Whatever word follows is the value, dashes or not.
pub(crate) fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).allow_hyphen_values(true).help(help)
}

/// An option with a value out of a list, in any case.
pub(crate) fn choice(name: &'static str, values: &'static [&'static str], help: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(values.to_vec()).ignore_case(true).help(help)
}

/// What every level has.
pub(crate) fn help_option() -> Arg {
    Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Show this message and exit.")
}

/// With the option for help, unless the command has one of its own.
pub(crate) fn with_help(command: Command) -> Command {
    let help = (!command.get_arguments().any(|arg| arg.get_id() == "help")).then(help_option);
    command.args(help)
}

fn prepared(command: Command) -> Command {
    with_help(command)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
}

/// Finds the command that these words mean, and reads its arguments.
pub(crate) fn find<'a, W: Word>(root: &'a W, name: &str, words: Vec<OsString>) -> Result<Found<'a, W>, Stop> {
    let mut word = root;
    let mut path = name.to_owned();
    let mut words = words;
    let mut groups = Vec::new();
    // The commands above, which have options of their own.
    let mut above: Vec<(String, Command)> = Vec::new();
    while let Some(known) = word.words() {
        let command = prepared(word.arguments());
        let place = Place::of(&path, &command, true);
        let help = |code| Stop::Help { text: group_help(&path, word, &command, known), code };
        let reader = command
            .clone()
            .allow_external_subcommands(true)
            .external_subcommand_value_parser(clap::value_parser!(OsString));
        let matches = reader.try_get_matches_from(words).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp => help(0),
            _ => place.wrong(elsewhere(&error, &path, &above).unwrap_or_else(|| explain(&error, &command))),
        })?;
        let Some((typed, rest)) = matches.subcommand() else {
            if root_is(word, root)
                && matches.try_contains_id("version").unwrap_or(false)
                && matches.get_flag("version")
            {
                return Ok(Found { word, place, matches, groups });
            }
            return Err(help(word.alone()));
        };
        let next =
            resolve(known, typed).map_err(|message| place.wrong(word.refused(typed).unwrap_or(message)))?;
        words = rest.get_many::<OsString>("").unwrap_or_default().cloned().collect();
        above.push((path.clone(), command));
        path = format!("{path} {}", next.name());
        word = next;
        groups.push(matches);
    }
    let command = prepared(word.arguments());
    let place = Place::of(&path, &command, false);
    let words = word.arrange(words);
    let matches = command.clone().try_get_matches_from(words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => {
            Stop::Help { text: help::text(&path, &command, &word.about(), None), code: 0 }
        }
        _ => place.wrong(elsewhere(&error, &path, &above).unwrap_or_else(|| explain(&error, &command))),
    })?;
    Ok(Found { word, place, matches, groups })
}

fn root_is<W>(word: &W, root: &W) -> bool {
    std::ptr::eq(word, root)
}

/// Help of a group; commands are sorted by name, whatever their order is.
fn group_help<W: Word>(path: &str, word: &W, command: &Command, known: &[W]) -> String {
    help::text(path, command, &word.about(), Some(&rows(known)))
}

/// Names of commands with their summaries, sorted.
fn rows<W: Word>(known: &[W]) -> Vec<(String, String)> {
    let summary = |word: &W| style::wrap(&style::unwrap(&word.about()), usize::MAX).into_iter().next();
    let mut rows: Vec<_> =
        known.iter().map(|word| (word.name().to_owned(), summary(word).unwrap_or_default())).collect();
    rows.sort();
    rows
}

/// The help text of a command, for so many columns.
pub(crate) fn help_of<W: Word>(path: &str, word: &W, width: usize) -> String {
    let command = prepared(word.arguments());
    let rows = word.words().map(rows);
    help::text_within(width, path, &command, &word.about(), rows.as_deref())
}

/// The command of this name or alias.
pub(crate) fn resolve<'a, W: Word>(known: &'a [W], typed: &str) -> Result<&'a W, String> {
    if let Some(word) = known.iter().find(|word| word.name() == typed) {
        return Ok(word);
    }
    let called: Vec<&W> = known.iter().filter(|word| word.aliases().contains(&typed)).collect();
    match called.as_slice() {
        [word] => Ok(word),
        [] => {
            let names = known.iter().map(Word::name);
            let near = nearest(
                typed,
                names.clone().chain(known.iter().flat_map(|word| word.aliases().iter().copied())),
            );
            let all = || {
                let mut names: Vec<_> = names.clone().collect();
                names.sort_unstable();
                names.join(", ")
            };
            let typed = style::printable(typed);
            Err(match near {
                Some(near) => format!("No such command '{typed}'. Did you mean '{near}'?"),
                None if known.is_empty() => format!("No such command '{typed}'. There are none."),
                None => format!("No such command '{typed}'. There are: {}", all()),
            })
        }
        several => {
            let mut names: Vec<_> = several.iter().map(|word| word.name()).collect();
            names.sort_unstable();
            Err(format!("Too many matches: {}", names.join(", ")))
        }
    }
}

/// An option that a command above has, and that was typed behind this one. `above` are those with how they are typed.
fn elsewhere(error: &clap::Error, path: &str, above: &[(String, Command)]) -> Option<String> {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let long = typed.strip_prefix("--")?.split('=').next()?;
    let (group, option) = above.iter().rev().find_map(|(group, command)| {
        let option = command.get_arguments().find(|arg| arg.get_long() == Some(long))?;
        Some((group, help::spelling(option)))
    })?;
    let rest = path.strip_prefix(group.as_str())?;
    Some(format!("'--{long}' is an option of '{group}': write '{group} {option}{rest}'."))
}

/// What is wrong with the arguments, in the words that users of this command line know.
fn explain(error: &clap::Error, command: &Command) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let subject = text(ContextKind::InvalidArg).unwrap_or_default();
    // Arguments can be printed only when they are complete.
    let mut command = command.clone();
    command.build();
    let argument = command.get_arguments().find(|arg| arg.to_string() == subject);
    let named = argument.map_or_else(|| format!("'{subject}'"), help::quoted);
    let value = style::printable(&text(ContextKind::InvalidValue).unwrap_or_default());
    match error.kind() {
        ErrorKind::UnknownArgument if subject.starts_with('-') && subject.len() > 1 => {
            let subject = style::printable(subject.split('=').next().unwrap_or_default());
            match text(ContextKind::SuggestedArg) {
                Some(near) => {
                    let near = near.split([' ', '=']).next().unwrap_or_default().to_owned();
                    format!("No such option '{subject}'. Did you mean '{near}'?")
                }
                None => format!("No such option '{subject}'."),
            }
        }
        ErrorKind::UnknownArgument => {
            format!("Got unexpected extra argument ({})", style::printable(&subject))
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals if value.is_empty() => match argument {
            Some(arg) => format!("Option {named} requires an argument: {}.", help::value_name(arg)),
            None => format!("Option {named} requires an argument."),
        },
        ErrorKind::InvalidValue => {
            let known: Vec<_> = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) => {
                    values.iter().map(|value| format!("'{value}'")).collect()
                }
                _ => Vec::new(),
            };
            format!("Invalid value for {named}: '{value}' is not one of {}.", known.join(", "))
        }
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            format!("Invalid value for {named}: '{value}': {reason}")
        }
        ErrorKind::MissingRequiredArgument => match argument {
            Some(arg) if !arg.is_positional() => format!("Missing option {named}."),
            _ => format!("Missing argument {}.", named.replace(['<', '>'], "").trim_end_matches("...")),
        },
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            format!("Option {named} does not take {}.", if value.is_empty() { "a value" } else { &value })
        }
        ErrorKind::InvalidUtf8 => "An argument is not valid UTF-8.".to_owned(),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sample {
        name: &'static str,
        aliases: &'static [&'static str],
        words: Option<&'static [Sample]>,
    }

    const SAMPLE: Sample = Sample {
        name: "top",
        aliases: &[],
        words: Some(&[
            Sample { name: "delete", aliases: &["d"], words: None },
            Sample { name: "driver", aliases: &["d"], words: None },
            Sample { name: "version", aliases: &["v"], words: None },
        ]),
    };

    impl Word for Sample {
        fn name(&self) -> &str {
            self.name
        }

        fn about(&self) -> String {
            format!("About {}.", self.name)
        }

        fn aliases(&self) -> &[&str] {
            self.aliases
        }

        fn words(&self) -> Option<&[Self]> {
            self.words
        }

        fn arguments(&self) -> Command {
            let command = Command::new(self.name);
            if self.words.is_some() {
                return command.arg(choice("log-level", &["DEBUG", "INFO"], "How much"));
            }
            command
                .arg(option("output", "FORMAT", "Format").short('o'))
                .arg(flag("all", "All").short('a'))
                .arg(flag("brief", "Brief").short('b'))
                .arg(Arg::new("word").num_args(0..).value_name("WORD"))
        }
    }

    fn parse(line: &str) -> Result<Found<'static, Sample>, Stop> {
        static ROOT: Sample = SAMPLE;
        let words = line.split(' ').filter(|word| !word.is_empty());
        find(
            &ROOT,
            "top",
            words.map(|word| if word == "EMPTY" { OsString::new() } else { word.into() }).collect(),
        )
    }

    fn message(line: &str) -> String {
        match parse(line) {
            Err(Stop::Usage { message, .. }) => message,
            Err(other) => format!("{other:?}"),
            Ok(_) => "accepted".to_owned(),
        }
    }

    #[test]
    fn options_may_stand_anywhere_and_the_last_one_wins() {
        let found = parse("--log-level debug version -ab -o x one --output=y two").unwrap();
        assert_eq!(found.common("log-level"), Some("debug"));
        assert_eq!(found.matches.get_one::<String>("output").unwrap(), "y");
        assert!(found.matches.get_flag("all") && found.matches.get_flag("brief"));
        assert_eq!(found.matches.get_many::<String>("word").unwrap().collect::<Vec<_>>(), ["one", "two"]);
        let found = parse("version -oz -- -x --").unwrap();
        assert_eq!(found.matches.get_one::<String>("output").unwrap(), "z");
        assert_eq!(found.matches.get_many::<String>("word").unwrap().collect::<Vec<_>>(), ["-x", "--"]);
    }

    #[test]
    fn an_empty_value_is_a_value_and_dashes_can_be_one() {
        assert_eq!(parse("version --output EMPTY").unwrap().matches.get_one::<String>("output").unwrap(), "");
        assert_eq!(parse("version --output -x").unwrap().matches.get_one::<String>("output").unwrap(), "-x");
    }

    #[test]
    fn aliases_lead_to_the_full_name_and_two_candidates_are_an_error() {
        assert_eq!(parse("v").unwrap().place.path, "top version");
        assert_eq!(message("d"), "Too many matches: delete, driver");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(message("vresion"), "No such command 'vresion'. Did you mean 'version'?");
        assert_eq!(message("zzz"), "No such command 'zzz'. There are: delete, driver, version");
        assert_eq!(message("version --outptu x"), "No such option '--outptu'. Did you mean '--output'?");
        assert_eq!(message("version -c"), "No such option '-c'.");
        assert_eq!(message("version --out x"), "No such option '--out'. Did you mean '--output'?");
        assert_eq!(message("version --output"), "Option '--output' / '-o' requires an argument: FORMAT.");
        assert_eq!(
            message("--log-level loud version"),
            "Invalid value for '--log-level': 'loud' is not one of 'DEBUG', 'INFO'."
        );
    }

    #[test]
    fn a_group_alone_is_answered_with_its_help() {
        let Err(Stop::Help { text, code }) = parse("") else { panic!("not help") };
        assert_eq!(code, 2);
        assert!(text.starts_with("Usage: top [OPTIONS] COMMAND [ARGS]...\n\n  About top.\n"), "{text}");
        assert!(text.contains("Commands:\n  delete   About delete.\n"), "{text}");
        let Err(Stop::Help { text, code: 0 }) = parse("version --help") else { panic!("not help") };
        assert!(text.contains("-o, --output FORMAT"), "{text}");
    }
}
