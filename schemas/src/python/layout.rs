//! Python text as its formatters lay it out: four spaces, double quotes, a hundred columns.

use std::fmt::Write as _;

/// Longest line.
pub(super) const WIDTH: usize = 100;

/// Lines of a module.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// One line; empty text is an empty line.
    pub(super) fn line(&mut self, depth: usize, text: &str) {
        if !text.is_empty() {
            let _ = write!(self.0, "{:1$}{text}", "", depth * 4);
        }
        self.0.push('\n');
    }

    /// So many empty lines.
    pub(super) fn blank(&mut self, count: usize) {
        self.0.push_str(&"\n".repeat(count));
    }

    /// `head`, then `items` with commas between them, then `tail`: on one line if they fit, else one item on each.
    pub(super) fn list(&mut self, depth: usize, head: &str, items: &[String], tail: &str) {
        let joined = format!("{head}{}{tail}", items.join(", "));
        if items.is_empty() || depth * 4 + width(&joined) <= WIDTH {
            return self.line(depth, &joined);
        }
        self.line(depth, head);
        for item in items {
            self.line(depth + 1, &format!("{item},"));
        }
        self.line(depth, tail);
    }

    /// A docstring. `verbatim` lines follow the text as they are.
    pub(super) fn doc(&mut self, depth: usize, text: &str, verbatim: &[String]) {
        let room = WIDTH - depth * 4;
        let text = escape(text.trim());
        if verbatim.is_empty() && !text.contains('\n') && width(&text) + 6 <= room && !text.ends_with('"') {
            return self.line(depth, &format!("\"\"\"{text}\"\"\""));
        }
        let mut lines = wrap(&text, room);
        if let Some(first) = lines.first_mut() {
            // The quotes take three columns of the first line, so it is wrapped anew if it was full.
            if width(first) + 3 > room
                && let Some((kept, moved)) = first.clone().rsplit_once(' ')
            {
                kept.clone_into(first);
                lines.insert(1, moved.to_owned());
            }
        }
        for (number, line) in lines.iter().enumerate() {
            let quotes = if number == 0 { "\"\"\"" } else { "" };
            self.line(depth, &format!("{quotes}{line}"));
        }
        for line in verbatim {
            self.line(depth, &escape(line).replace('\u{8}', "\\b"));
        }
        self.line(depth, "\"\"\"");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Text between the quotes of a docstring.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace("\"\"\"", "'''")
}

/// A text in lines. Paragraphs of prose are filled; lists, tables and code stay as they are.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split("\n\n") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let set = paragraph.lines().any(|line| line.starts_with(['-', '*', '|', ' ', '`', '#']));
        if set {
            lines.extend(paragraph.lines().map(|line| line.trim_end().to_owned()));
            continue;
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && width(&line) + 1 + width(word) > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A text as a Python literal.
pub(super) fn text(text: &str) -> String {
    let quote = if text.contains('"') && !text.contains('\'') { '\'' } else { '"' };
    let mut literal = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            _ if character == quote => {
                literal.push('\\');
                literal.push(quote);
            }
            _ if character.is_control() => {
                let _ = write!(literal, "\\u{:04x}", u32::from(character));
            }
            _ => literal.push(character),
        }
    }
    literal.push(quote);
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(text: &str) -> String {
        let mut lines = Lines::default();
        lines.doc(1, text, &[]);
        lines.into_text()
    }

    #[test]
    fn docstrings_are_filled_and_cannot_end_early() {
        assert_eq!(doc("Short."), "    \"\"\"Short.\"\"\"\n");
        assert_eq!(doc("a \\ b \"\"\" c"), "    \"\"\"a \\\\ b ''' c\"\"\"\n");
        assert_eq!(doc("It says \"no\""), "    \"\"\"It says \"no\"\n    \"\"\"\n");
        let long = doc(&"word ".repeat(40));
        assert!(long.lines().all(|line| line.len() <= WIDTH), "{long}");
        assert_eq!(long.split_whitespace().count(), 41);
        assert_eq!(doc("One.\n\n- a\n- b"), "    \"\"\"One.\n\n    - a\n    - b\n    \"\"\"\n");
    }

    #[test]
    fn literals_are_read_back_as_what_they_were() {
        assert_eq!(text("plain"), r#""plain""#);
        assert_eq!(text(r#"say "x""#), r#"'say "x"'"#);
        assert_eq!(text("it's \"x\"\\\n\u{1b}"), "\"it's \\\"x\\\"\\\\\\n\\u001b\"");
    }

    #[test]
    fn what_does_not_fit_has_a_line_for_each_part() {
        let mut lines = Lines::default();
        let items: Vec<_> = (0..3).map(|n| format!("argument_{n}: {}", "x".repeat(30))).collect();
        lines.list(0, "def f(", &items, ") -> None:");
        assert_eq!(lines.into_text().lines().count(), 5);
    }
}
