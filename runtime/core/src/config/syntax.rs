//! What the parser's complaints mean for the author of a file.

use serde_yaml::granit_parser::ErrorKind;

use super::problem::{Problem, Problems};
use super::source::Source;

/// What to do about tabs.
pub(super) const TABS: &str = "YAML is indented with spaces only: replace each tab by spaces";

/// Whether the parser stumbled over a tab.
pub(super) fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabInIndentation
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabNotAllowed
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

/// The message and the help for a syntax error.
pub(super) fn explain(kind: &ErrorKind) -> (String, &'static str) {
    use ErrorKind as E;
    let (message, help) = match kind {
        kind if is_about_tabs(kind) => ("a tab is used for indentation", TABS),
        E::UnclosedFlowCollection { open } => {
            return (
                format!("`{open}` is never closed"),
                if *open == '{' { "add the missing `}`" } else { "add the missing `]`" },
            );
        }
        E::MismatchedFlowCollectionEnd { open, close } => {
            return (
                format!("`{open}` is closed by `{close}`"),
                if *open == '{' { "close it with `}`" } else { "close it with `]`" },
            );
        }
        E::UnexpectedCharacter { character } => {
            return (
                format!("a value cannot begin with {}", super::suggest::quoted(&character.to_string())),
                "put the text in quotes",
            );
        }
        E::MisplacedFlowCollectionEnd => ("this bracket closes nothing", "remove it, or add the opening one"),
        E::UnexpectedEofFlowSequence => ("`[` is never closed", "add the missing `]`"),
        E::UnexpectedEofFlowMapping | E::UnexpectedEofImplicitFlowMapping => {
            ("`{` is never closed", "add the missing `}`")
        }
        E::UnclosedQuotedScalar => ("this quoted text is never closed", "add the missing quote"),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => (
            "something follows the closing quote",
            "put the whole text in quotes; a quote inside `'…'` is written twice",
        ),
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidUnicodeEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate => (
            "unknown escape in a text with double quotes",
            "write a backslash as `\\\\`, or use single quotes, in which nothing is special",
        ),
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::MappingKeyNotAllowed => (
            "a `:` is not expected here",
            "put text that contains `: ` in quotes; if this is a key, check its indentation and the `:` of the line above",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            ("a key without its `:`", "write `key: value`, with a space after the colon")
        }
        E::ExpectedBlockMappingKey | E::InvalidIndentation | E::ExpectedBlockSequenceEntry => (
            "this line does not fit the lines before it",
            "give keys of one mapping and dashes of one list the same indentation",
        ),
        E::BlockEntryInFlowCollection | E::BlockSequenceEntryNotAllowed | E::InvalidBlockEntryWhitespace => {
            ("a `-` is not expected here", "start the list on a line of its own, or put the text in quotes")
        }
        E::ExpectedFlowMappingSeparator | E::ExpectedFlowSequenceSeparator => {
            ("a comma or a closing bracket is missing", "separate entries by `, ` and close every bracket")
        }
        E::InvalidQuotedScalarIndent => (
            "a quote that was opened above is not closed before this line",
            "add the missing quote; if the text goes on here, indent this line more than its key",
        ),
        E::InvalidFlowScalarIndent | E::InvalidBlockScalarIndent => {
            ("this line is not indented far enough to continue the value", "indent it more than its key")
        }
        E::InvalidBlockScalarHeader | E::ZeroBlockScalarIndent => {
            ("text follows `|` or `>` on the same line", "start the text on the next line, indented")
        }
        E::CommentInterceptedScalar | E::CommentNotSeparated => (
            "a comment is not expected here",
            "put a space before `#`, or quotes around a text that contains it",
        ),
        E::RecursionLimitExceeded => ("too many levels", "a file may be 64 levels deep"),
        E::BomInsideDocument => ("a byte order mark inside the text", "remove it"),
        E::UndeclaredTagHandle | E::InvalidTagTerminator | E::MissingTagUri => {
            ("a `!` begins a tag that is not known", "put text that begins with `!` in quotes")
        }
        E::MissingAnchorOrAliasName => {
            ("`&` or `*` without a name", "put text that begins with `&` or `*` in quotes")
        }
        E::DirectiveDisallowed
        | E::InvalidDirectiveTerminator
        | E::MissingDirectiveName
        | E::InvalidDirectiveName
        | E::ExpectedDocumentStart => (
            "this is not part of the document",
            "a line must not begin with `%`, and nothing may follow `...`",
        ),
        other => {
            return (
                format!("this is not YAML: {other}"),
                "check the indentation, the quotes and the brackets",
            );
        }
    };
    (message.to_owned(), help)
}

/// Every tab that indents a line, from a line (counted from 1) on.
///
/// The parser stops at the first one. Whoever indents with tabs does so on many lines, and wants to
/// hear about all of them.
pub(super) fn tabs(text: &str, from: usize) -> Problems {
    let source = Source::new("", text);
    let mut problems = Problems::new();
    for tab in indenting_tabs(text, from) {
        problems
            .push(Problem::error("a tab is used for indentation").at(source.span_at(tab.byte, 1)).help(TABS));
    }
    problems
}

/// The lines that [`tabs`] complains about, counted from 0.
pub(super) fn tabbed_lines(text: &str, from: usize) -> Vec<usize> {
    indenting_tabs(text, from).into_iter().map(|tab| tab.line).collect()
}

struct Tab {
    line: usize,
    byte: usize,
}

fn indenting_tabs(text: &str, from: usize) -> Vec<Tab> {
    let mut tabs = Vec::new();
    let mut start = 0;
    // Inside `|` and `>` a tab behind the indentation is text.
    let mut block: Option<usize> = None;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if !line.trim().is_empty() && block.is_none_or(|above| spaces <= above) {
            let content =
                line.trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
            block = (content.ends_with(" |") || content.ends_with(" >")).then_some(spaces);
            if index + 1 >= from
                && let Some(tab) = line[..indent].find('\t')
            {
                tabs.push(Tab { line: index, byte: start + tab });
            }
        }
        start += line.len();
    }
    tabs
}
