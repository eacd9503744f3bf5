//! One text with its name, and places in it.

use std::fmt;
use std::ops::{Deref, Range};

use serde::{Deserialize, Serialize};

use super::suggest::disturbs;

/// A place in a text.
///
/// `line` and `column` are where it starts, both counted from 1, columns in characters; `start` and
/// `end` are byte offsets. An empty span (`start == end`) stands for something that was left out,
/// such as the value of `key:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset behind the last byte.
    pub end: usize,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start in characters, from 1.
    pub column: usize,
}

impl Span {
    /// The first character of a text: the place of what is missing from the file as a whole.
    pub const START: Self = Self { start: 0, end: 0, line: 1, column: 1 };

    /// Whether nothing stands at this place.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// A value together with the place that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was read.
    pub value: T,
    /// Where it stands. [`Span::START`] for a value that did not come from the file.
    pub span: Span,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Text that no log, message or `Debug` output may show.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must stay private.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A text with the name under which people know it: usually the path of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offset of each line's first byte. A file may hold nothing but line ends, so each counts.
    lines: Vec<u32>,
    /// Ranges of bytes that excerpts replace by asterisks: sorted, without overlaps.
    secrets: Vec<Range<usize>>,
    /// Whether excerpts also hide what looks like a secret.
    guesses: bool,
}

impl Source {
    /// Names a text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let bytes = text.as_bytes();
        let starts = || {
            let behind = bytes.iter().enumerate().filter_map(|(index, byte)| {
                // A carriage return alone ends a line too; together with a line feed it is one end.
                let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'));
                ends.then_some(index + 1)
            });
            // No file comes near 4 GiB; of a longer text, the rest counts as its last line.
            std::iter::once(0).chain(behind).map_while(|start| u32::try_from(start).ok())
        };
        // Counted first: a list that grows holds up to three times as much.
        let mut lines = Vec::with_capacity(starts().count());
        lines.extend(starts());
        Self { name: name.into(), text, lines, secrets: Vec::new(), guesses: true }
    }

    /// Where a line begins, counted from 0.
    fn start_of(&self, line: usize) -> Option<usize> {
        self.lines.get(line).and_then(|start| usize::try_from(*start).ok())
    }

    /// Hides ranges of bytes from every excerpt. Unless the whole text was understood, what looks
    /// like a secret is hidden as well.
    pub(crate) fn hide(&mut self, mut ranges: Vec<Range<usize>>, understood: bool) {
        ranges.sort_by_key(|range| range.start);
        self.secrets = Vec::new();
        for range in ranges {
            match self.secrets.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => self.secrets.push(range),
            }
        }
        self.guesses = !understood;
    }

    /// The name given to [`Source::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, secrets included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The span of `length` bytes that starts at a byte offset, both cut to the text.
    pub fn span_at(&self, start: usize, length: usize) -> Span {
        let mut start = start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let line = self
            .lines
            .partition_point(|first| usize::try_from(*first).is_ok_and(|first| first <= start))
            .max(1);
        let first = self.start_of(line - 1).unwrap_or(0);
        let before = self.text.get(first..start).unwrap_or_default();
        let column = before.trim_start_matches(BYTE_ORDER_MARK).chars().count() + 1;
        Span { start, end: start.saturating_add(length).min(self.text.len()), line, column }
    }

    /// The part of a line around a place, as it may be shown: without control characters, secrets
    /// replaced character by character, each character one cell. Costs no more than what is shown.
    pub(crate) fn view(&self, place: Span) -> Option<View> {
        let first = self.start_of(place.line.checked_sub(1)?)?;
        let end = self.start_of(place.line).unwrap_or(self.text.len());
        let line = self.text.get(first..end)?.trim_end_matches(['\n', '\r']);
        let (first, line) =
            line.strip_prefix(BYTE_ORDER_MARK).map_or((first, line), |rest| (end_of_mark(first), rest));
        let at = place.start.clamp(first, first + line.len()) - first;
        let (before, behind) = line.split_at_checked(at)?;

        let whole = line.chars().nth(WINDOW).is_none();
        let from =
            if whole { 0 } else { before.char_indices().rev().nth(BEFORE - 1).map_or(0, |(index, _)| index) };
        let hidden_from =
            if self.guesses { secret_by_its_key(line).unwrap_or(usize::MAX) } else { usize::MAX };
        let cell = |(offset, character): (usize, char)| {
            if character.is_whitespace() && character != '\t' {
                ' '
            } else if offset >= hidden_from || self.is_secret(first + offset) {
                '*'
            } else if character == '\t' {
                '→'
            } else if disturbs(character) {
                '\u{FFFD}'
            } else {
                character
            }
        };
        let mut shown = String::from(if from == 0 { "" } else { "…" });
        let mut cells = line[from..].char_indices().map(|(offset, character)| (from + offset, character));
        shown.extend(cells.by_ref().take(WINDOW).map(cell));
        if cells.next().is_some() {
            shown.push('…');
        }
        let offset = usize::from(from > 0) + before[from..].chars().count();
        let covered =
            behind.get(..(place.end.max(place.start) - place.start).min(behind.len())).unwrap_or(behind);
        let length = covered.trim_end().chars().take(WINDOW).count();
        let room = shown.chars().count().saturating_sub(offset);
        Some(View { shown: shown.trim_end().to_owned(), offset, length: length.min(room).max(1) })
    }

    fn is_secret(&self, byte: usize) -> bool {
        let next = self.secrets.partition_point(|range| range.start <= byte);
        next.checked_sub(1)
            .and_then(|index| self.secrets.get(index))
            .is_some_and(|range| range.contains(&byte))
    }
}

/// Part of a line, ready to be shown.
pub(crate) struct View {
    /// The text.
    pub(crate) shown: String,
    /// Characters in front of the place.
    pub(crate) offset: usize,
    /// Characters to underline, at least one.
    pub(crate) length: usize,
}

/// Most characters of a line that are shown.
const WINDOW: usize = 120;

/// Characters kept in front of the place when a line is cut.
const BEFORE: usize = 40;

/// Stands at the beginning of some files and is no part of the first line.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

fn end_of_mark(start: usize) -> usize {
    start + BYTE_ORDER_MARK.len_utf8()
}

impl fmt::Debug for Source {
    /// Leaves the text out: it holds tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// Whether the value of a key with this name is nobody else's business.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["token", "password", "passphrase", "secret"].iter().any(|ending| key.ends_with(ending))
}

/// Where, in a line that no parser has understood, the value of a secret may begin.
fn secret_by_its_key(line: &str) -> Option<usize> {
    line.match_indices(':').map(|(colon, _)| colon).find_map(|colon| {
        let key = line[..colon].trim_end_matches(['"', '\'', ' ']);
        let word =
            key.rfind(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).map_or(0, |index| index + 1);
        // The separator may be longer than one byte; then the rest of it is harmless in front.
        is_secret_key(key.get(word..).unwrap_or(key)).then_some(colon + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: &Source, number: usize) -> Option<String> {
        let start = source.start_of(number - 1).unwrap_or_default();
        source.view(Span { start, end: start, line: number, column: 1 }).map(|view| view.shown)
    }

    #[test]
    fn lines_end_at_every_kind_of_line_end() {
        let source = Source::new("a", "one\ntwo\r\nthree\rfour");
        let lines: Vec<_> = (1..=5).map(|number| line(&source, number)).collect();
        assert_eq!(
            lines,
            [Some("one"), Some("two"), Some("three"), Some("four"), None].map(|l| l.map(String::from))
        );
    }

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let source = Source::new("a", "x: 1\nü: ß!\n");
        let span = source.span_at("x: 1\nü: ß".len(), 1);
        assert_eq!((span.line, span.column), (2, 5));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let source = Source::new("a", "\u{feff}ab: 1\n");
        let span = source.span_at("\u{feff}a".len(), 1);
        assert_eq!((span.line, span.column), (1, 2));
        assert_eq!(source.view(span).map(|view| (view.shown, view.offset)), Some(("ab: 1".to_owned(), 1)));
    }

    #[test]
    fn a_secret_is_shown_neither_by_debug_nor_by_an_excerpt() {
        for (text, shown) in [
            ("token: hunter2\n", "token: *******"),
            ("{\"a\": 1, \"token\": \"hunter2\", b: 2\n", "{\"a\": 1, \"token\": ********** ** *"),
            ("- über_password : hunter2", "- über_password : *******"),
        ] {
            let source = Source::new("a", text);
            assert_eq!(line(&source, 1).as_deref(), Some(shown));
            assert!(!format!("{source:?} {:?}", Secret::new("hunter2")).contains("hunter2"));
        }
    }
}
