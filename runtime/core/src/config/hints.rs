//! Syntax errors seen in their surroundings: what was most likely meant, and the place where it has to be written.

use serde_yaml::granit_parser::ErrorKind;

use super::lines::Lines;
use super::problem::Problem;
use super::source::{Source, Span, is_secret_key};
use super::suggest::quoted;

/// Longest text that is repeated in a hint.
const LONGEST: usize = 60;

/// A better explanation than the parser's, which notices mistakes late. `line` counts from 0, `byte` is
/// where the parser stopped.
pub(super) fn explain(kind: &ErrorKind, text: &str, line: usize, byte: usize) -> Option<Problem> {
    use ErrorKind as E;
    let lines = Lines::of(text);
    if let Some(conflict) = conflict(text, &lines, line) {
        return Some(conflict);
    }
    match kind {
        E::InvalidQuotedScalarIndent | E::UnclosedQuotedScalar => open_quote(text, &lines, line),
        E::MappingValueNotAllowed
        | E::InvalidColonPlacement
        | E::MappingKeyNotAllowed
        | E::SimpleKeyExpected
        | E::InvalidSimpleKey => colon(kind, text, &lines, line, byte),
        _ => None,
    }
}

fn span(text: &str, start: usize, length: usize) -> Span {
    Source::new("", text).span_at(start, length)
}

/// Marks that a merge of two versions leaves for its author to decide.
fn conflict(text: &str, lines: &Lines<'_>, line: usize) -> Option<Problem> {
    let above = line.checked_sub(1).and_then(|above| lines.last_with_content(above));
    let line = [Some(line), above].into_iter().flatten().find(|line| lines.is_conflict(*line))?;
    Some(
        Problem::error("two versions of this file were merged, and nobody decided between them")
            .at(span(text, lines.range(line).start, lines.line(line).trim_end().len()))
            .help("keep one of the two, and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`"),
    )
}

fn open_quote(text: &str, lines: &Lines<'_>, line: usize) -> Option<Problem> {
    let line = lines.open_quote(line)?;
    let quote = lines.open_quote_in(line)?;
    let mark = text.get(quote..)?.chars().next()?;
    Some(Problem::error("this quote is not closed").at(span(text, quote, 1)).help(format!(
        "add the missing `{mark}`; if the text goes on in the next lines, indent them more than the key"
    )))
}

fn colon(kind: &ErrorKind, text: &str, lines: &Lines<'_>, line: usize, byte: usize) -> Option<Problem> {
    let start = lines.range(line).start;
    let here = lines.line(line).trim_end();
    let before = text.get(start..byte)?;
    if let Some((key, _)) = before.split_once(": ") {
        let (_, value) = here.split_once(": ")?;
        let (key, value) = (key.trim().trim_start_matches("- "), value.trim());
        let plain = !value.contains(['"', '\'', '\\', '{', '[', '#']) && value.len() <= LONGEST;
        let help = if plain && !is_secret_key(key) {
            format!("put the text in quotes: `{key}: \"{value}\"`")
        } else {
            "put text that contains `: ` in quotes".to_owned()
        };
        return Some(Problem::error("a `:` is not expected here").at(span(text, byte, 1)).help(help));
    }
    if matches!(kind, ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey) && lines.has_content(line) {
        let indent = lines.indent(line);
        let place = span(text, start + indent, here.trim().len());
        if let Some(problem) = missing_colon(here.trim(), place) {
            return Some(problem);
        }
    }
    let above = lines.last_with_content(line.checked_sub(1)?)?;
    let (indent, indent_above) = (lines.indent(line), lines.indent(above));
    let content = lines.line(above).trim();
    let place = span(text, lines.range(above).start + indent_above, content.len());
    if !lines.is_sound(above) && indent >= indent_above {
        return missing_colon(content, place);
    }
    let has_value = content.contains(": ") && !content.ends_with(':');
    (has_value && indent > indent_above).then(|| {
        Problem::error("this line is indented further than the one above it, which has a value already")
            .at(span(text, start + indent, here.trim().len()))
            .context(place)
            .help("give keys of one mapping the same indentation")
    })
}

/// What a line without a key was meant to be.
fn missing_colon(content: &str, place: Span) -> Option<Problem> {
    let content = content.trim_start_matches("- ");
    if content.len() > LONGEST || content.contains(" #") {
        return None;
    }
    let (message, help) = match (content.split_once(':'), content.split_once(' ')) {
        (Some((key, value)), _) if is_word(key) && !is_secret_key(key) => (
            format!("a space is missing after the `:` of {}", quoted(key)),
            format!("write `{key}: {value}`"),
        ),
        (None, Some((key, value))) if is_word(key) && !is_secret_key(key) => {
            (format!("the `:` is missing after {}", quoted(key)), format!("write `{key}: {}`", value.trim()))
        }
        (None, None) if is_word(content) => {
            (format!("the `:` is missing after {}", quoted(content)), format!("write `{content}:`"))
        }
        _ => return None,
    };
    Some(Problem::error(message).at(place).help(help))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
