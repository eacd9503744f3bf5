//! Texts of others in texts of ours.

use std::fmt::Write as _;

/// Longest piece of another's text, in characters: messages are for people, and what is in a token is its maker's choice.
const LONGEST: usize = 200;

/// As Go's `%q` has it, which the existing service's messages are made with.
pub fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for (count, char) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            char if !char.is_control() => out.push(char),
            char if u32::from(char) < 0x80 => drop(write!(out, "\\x{:02x}", u32::from(char))),
            char => drop(write!(out, "\\u{:04x}", u32::from(char))),
        }
    }
    out.push('"');
    out
}

/// As `%q` has a list.
pub(crate) fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().take(8).map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_x7_texts_are_quoted_as_go_does() {
        // From `fmt.Printf("%q", …)`.
        assert_eq!(quoted("a\"b\\c\n\t\x07\x00\x7f\u{85}é"), r#""a\"b\\c\n\t\a\x00\x7f\u0085é""#);
        assert_eq!(quoted_list(&["a".to_owned(), "b".to_owned()]), r#"["a" "b"]"#);
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), LONGEST + 3);
    }
}
