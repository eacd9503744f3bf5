//! From bytes to text, without losing what is wrong with them.

use std::sync::Arc;

use super::document::MAX_BYTES;
use super::problem::{Problem, Problems};
use super::source::Source;

/// At most so many places that are no UTF-8 are told, one for each line.
const PLACES: usize = 10;

/// So many bytes behind the one that shows that a file is no text are looked at.
const BEHIND: usize = 80;

/// What came out of [`text`].
#[derive(Debug)]
pub struct Text {
    /// The text, unless the bytes are none at all. Each byte that is no UTF-8 is a `?` in it, so that every place
    /// keeps its offset.
    pub text: Option<String>,
    /// What is wrong with the bytes.
    pub problems: Problems,
}

/// The text of a file. `name` is what messages call it.
pub fn text(name: &str, bytes: Vec<u8>) -> Text {
    // Nobody wants to look at more of it than the line that shows what it is.
    let refused = |at: usize, message: String, help: &str| {
        let shown = &bytes[..bytes.len().min(at + BEHIND)];
        let source = Arc::new(Source::new(name, replaced(shown, |_, _| {})));
        let problem = Problem::error(message).at(source.span_at(at, 1)).help(help).in_source(&source);
        Text { text: None, problems: problem.into() }
    };
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return refused(0, "the file is written in UTF-16".to_owned(), "save it as UTF-8");
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let help = "an exporter file is YAML: text in UTF-8";
        return refused(at, format!("the file is no text: byte {} is zero", at + 1), help);
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Text { text: Some(text), problems: Problems::new() },
        Err(error) => error.into_bytes(),
    };
    let mut wrong = Vec::new();
    let text = replaced(&bytes, |at, byte| wrong.push((at, byte)));
    let source = Arc::new(Source::new(name, text.as_str()));
    let mut problems = Problems::new();
    let mut line = 0;
    let mut places = 0;
    for (at, byte) in wrong {
        let span = source.span_at(at, 1);
        if span.line == line || places == PLACES {
            continue;
        }
        (line, places) = (span.line, places + 1);
        let problem = Problem::error(format!("the byte 0x{byte:02X} is not UTF-8"));
        problems.push(
            problem.at(span).help("save the file as UTF-8, or remove the character").in_source(&source),
        );
    }
    Text { text: Some(text), problems }
}

/// The text of these bytes, with a `?` for each one that is no UTF-8, so that every place keeps its offset.
fn replaced(bytes: &[u8], mut wrong: impl FnMut(usize, u8)) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            wrong(text.len(), *byte);
            text.push('?');
        }
    }
    text
}

/// The problem of a file that is too long to be read, with its length in bytes if that is known.
pub fn too_long(name: &str, length: Option<u64>) -> Problem {
    let message = match length {
        Some(length) => format!("the file is {length} bytes long"),
        None => "the file does not end".to_owned(),
    };
    // The text itself is not kept: nobody wants to look at it.
    Problem::error(message)
        .help(format!("at most {MAX_BYTES} bytes are read"))
        .in_source(&Arc::new(Source::new(name, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &Text) -> Vec<String> {
        text.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_line_that_is_no_utf_8_is_told_once_and_every_place_keeps_its_offset() {
        let read = text("rig.yaml", b"a: \xfcb\xe4\nb: 1\nc: \xff\n".to_vec());
        assert_eq!(read.text.as_deref(), Some("a: ?b?\nb: 1\nc: ?\n"));
        assert_eq!(
            lines(&read),
            ["rig.yaml:1:4: the byte 0xFC is not UTF-8", "rig.yaml:3:4: the byte 0xFF is not UTF-8"]
        );
    }

    #[test]
    fn what_is_no_text_at_all_has_one_problem() {
        assert_eq!(lines(&text("a", b"\xff\xfea\0".to_vec())), ["a:1:1: the file is written in UTF-16"]);
        assert_eq!(lines(&text("a", b"\x7fELF\0".to_vec())), ["a:1:5: the file is no text: byte 5 is zero"]);
        assert_eq!(lines(&text("a", "\u{fc}: 1".into())), [] as [String; 0]);
    }

    #[test]
    fn what_is_no_text_is_shown_where_that_is_seen_and_cannot_drive_the_terminal() {
        let read = text("rig.yaml", b"kind: x\na: \x1b[31m\xff\0\0 and more\nb: 1\n".to_vec());
        let shown = "rig.yaml: 1 problem\n\nerror: the file is no text: byte 18 is zero\n   \
                     ┌ rig.yaml:2:10\n 2 │ a: \u{FFFD}[31m?\u{FFFD}\u{FFFD} and more\n   │          ^\n   \
                     help: an exporter file is YAML: text in UTF-8";
        assert_eq!(read.problems.render(), shown);
        let json = serde_json::to_value(&read.problems).unwrap();
        assert_eq!(
            (&json[0]["line"], &json[0]["column"], &json[0]["start"]),
            (&2.into(), &10.into(), &17.into())
        );
    }
}
