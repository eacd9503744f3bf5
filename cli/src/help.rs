//! Help texts from the definition of a command.

use clap::{Arg, ArgAction, Command};

use crate::style;

/// Most columns of the left side of a list.
const LEFT: usize = 30;

/// The line of usage of a command, without `Usage: `.
pub(crate) fn usage(path: &str, command: &Command, group: bool) -> String {
    let mut usage = format!("{path} [OPTIONS]");
    for arg in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
        usage.push(' ');
        usage.push_str(&positional(arg));
    }
    if group {
        usage.push_str(" COMMAND [ARGS]...");
    }
    usage
}

fn positional(arg: &Arg) -> String {
    let mut text = if arg.is_required_set() { value_name(arg) } else { format!("[{}]", value_name(arg)) };
    if many(arg) {
        text.push_str("...");
    }
    text
}

fn many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// What stands for a value.
pub(crate) fn value_name(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if !values.is_empty() && !arg.is_hide_possible_values_set() && arg.get_value_names().is_none() {
        let names: Vec<_> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
        return format!("[{}]", names.join("|"));
    }
    match arg.get_value_names() {
        Some([first, ..]) => first.to_string(),
        _ => arg.get_id().as_str().replace('_', "-").to_uppercase(),
    }
}

/// An option as help texts list it: `-w, --wait SECONDS`.
pub(crate) fn spelling(arg: &Arg) -> String {
    let mut text = String::new();
    if let Some(short) = arg.get_short() {
        text.push('-');
        text.push(short);
    }
    if let Some(long) = arg.get_long() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str("--");
        text.push_str(long);
    }
    if takes_value(arg) {
        text.push(' ');
        text.push_str(&value_name(arg));
    }
    text
}

/// Whether a value follows.
pub(crate) fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// An argument as error messages name it: `'--wait' / '-w'`, or `'FILE'`.
pub(crate) fn quoted(arg: &Arg) -> String {
    let long = arg.get_long().map(|long| format!("'--{long}'"));
    let short = arg.get_short().map(|short| format!("'-{short}'"));
    match (long, short) {
        (Some(long), Some(short)) => format!("{long} / {short}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => format!("'{}'", value_name(arg)),
    }
}

/// The whole help text. `words` are the commands of a group with what they do.
pub(crate) fn text(path: &str, command: &Command, about: &str, words: Option<&[(String, String)]>) -> String {
    text_within(style::width(), path, command, about, words)
}

/// The same for so many columns.
pub(crate) fn text_within(
    width: usize,
    path: &str,
    command: &Command,
    about: &str,
    words: Option<&[(String, String)]>,
) -> String {
    let mut text = format!("Usage: {}\n", usage(path, command, words.is_some()));
    if !about.is_empty() {
        text.push('\n');
        for line in style::wrap(&style::unwrap(about), width - 2) {
            text.push_str(if line.is_empty() { "" } else { "  " });
            text.push_str(&line);
            text.push('\n');
        }
    }
    let described = |arg: &Arg| arg.get_help().map(ToString::to_string).unwrap_or_default();
    let arguments = command.get_positionals().filter(|arg| !arg.is_hide_set());
    list(&mut text, "Arguments", arguments.map(|arg| (positional(arg), described(arg))).collect(), width);
    let (help, options): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
        .partition(|arg| matches!(arg.get_action(), ArgAction::Help));
    let options =
        options.into_iter().chain(help).map(|arg| (spelling(arg), with_default(arg, described(arg))));
    list(&mut text, "Options", options.collect(), width);
    if let Some(words) = words {
        list(&mut text, "Commands", words.to_vec(), width);
    }
    text
}

fn with_default(arg: &Arg, mut help: String) -> String {
    if arg.is_required_set() {
        if !help.is_empty() {
            help.push_str("  ");
        }
        help.push_str("[required]");
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value(arg) && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        if !help.is_empty() {
            help.push_str("  ");
        }
        help.push_str("[default: ");
        help.push_str(&defaults.join(", "));
        help.push(']');
    }
    help
}

fn list(text: &mut String, title: &str, rows: Vec<(String, String)>, width: usize) {
    if rows.is_empty() {
        return;
    }
    let widest = rows.iter().map(|(left, _)| left.chars().count()).filter(|left| *left <= LEFT).max();
    let left_width = widest.unwrap_or(LEFT);
    text.extend(["\n", title, ":\n"]);
    for (left, right) in rows {
        let lines = style::wrap(&right, width.saturating_sub(left_width + 4).max(20));
        let mut lines = lines.into_iter();
        let long = left.chars().count() > left_width;
        let first = if long { None } else { lines.next() };
        let padded = format!("  {left:left_width$}  {}", first.unwrap_or_default());
        text.push_str(padded.trim_end());
        text.push('\n');
        for line in lines {
            text.push_str(format!("{:1$}{line}", "", left_width + 4).trim_end());
            text.push('\n');
        }
    }
}
