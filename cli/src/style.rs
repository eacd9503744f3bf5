//! Colour and width: what output looks like where it goes.

use std::io::{self, IsTerminal as _};

/// Width of output that is not for a terminal, so that it is the same everywhere.
const PLAIN_WIDTH: usize = 80;

/// Whether standard error takes colour.
pub(crate) fn on_stderr() -> bool {
    wanted(|name| std::env::var(name).ok(), io::stderr().is_terminal())
}

/// Whether standard output takes colour.
pub(crate) fn on_stdout() -> bool {
    wanted(|name| std::env::var(name).ok(), io::stdout().is_terminal())
}

/// `NO_COLOR` wins; then what forces colour; then what it is.
fn wanted(lookup: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let set = |name| lookup(name).is_some_and(|value| !value.is_empty() && value != "0");
    if lookup("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        false
    } else if set("CLICOLOR_FORCE") || set("FORCE_COLOR") {
        true
    } else {
        terminal && lookup("TERM").is_none_or(|term| term != "dumb")
    }
}

pub(crate) fn red(text: &str) -> String {
    format!("\u{1b}[31m{text}\u{1b}[0m")
}

pub(crate) fn yellow(text: &str) -> String {
    format!("\u{1b}[33m{text}\u{1b}[0m")
}

/// The word before a warning.
pub(crate) fn warning() -> String {
    if on_stderr() { "\u{1b}[1;33mWarning:\u{1b}[0m".to_owned() } else { "Warning:".to_owned() }
}

/// How wide help texts are.
pub(crate) fn width() -> usize {
    wished().or_else(terminal).unwrap_or(PLAIN_WIDTH).clamp(40, 120)
}

/// How wide the terminal is that standard output goes to; `COLUMNS` wins over what it says. `None` if it goes elsewhere.
pub(crate) fn columns() -> Option<usize> {
    if io::stdout().is_terminal() { wished().or_else(terminal) } else { None }
}

fn wished() -> Option<usize> {
    std::env::var("COLUMNS").ok()?.trim().parse().ok().filter(|columns| *columns > 0)
}

fn terminal() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Text of a peer, as it may be shown: control characters could do anything to a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Breaks text into lines of at most this width. Lines that are there stay, words that are too long stand alone.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim().lines() {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
        lines.push(line);
    }
    lines
}

/// Doc comments are wrapped where they were written: joins the lines of each paragraph, which an empty line ends.
pub(crate) fn unwrap(text: &str) -> String {
    let mut paragraphs = Vec::new();
    let mut paragraph = String::new();
    for line in text.trim().lines().map(str::trim).chain([""]) {
        if !line.is_empty() {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line);
        } else if !paragraph.is_empty() {
            paragraphs.push(std::mem::take(&mut paragraph));
        }
    }
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_everything() {
        let environment = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        assert!(wanted(environment(&[]), true));
        assert!(!wanted(environment(&[]), false));
        assert!(wanted(environment(&[("FORCE_COLOR", "1")]), false));
        assert!(!wanted(environment(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]), true));
        assert!(!wanted(environment(&[("TERM", "dumb")]), true));
    }

    #[test]
    fn wrapping_keeps_lines_and_long_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\n\nb", 7), ["a", "", "b"]);
        assert_eq!(wrap("incomprehensibilities no", 5), ["incomprehensibilities", "no"]);
        assert_eq!(unwrap("one\ntwo\n\nthree"), "one two\n\nthree");
    }
}
