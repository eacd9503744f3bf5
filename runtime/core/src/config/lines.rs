//! A text by its lines, for guesses about what its author meant.

use std::ops::Range;

/// Most lines that are searched upwards for an opening quote.
const QUOTE_LINES: usize = 100;

/// A text by its lines, counted from 0.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Byte offset of each line's first byte. A file may hold nothing but line ends, so each counts.
    starts: Vec<u32>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts = || {
            let mut next = 0;
            text.split_inclusive('\n').map_while(move |line| {
                let start = u32::try_from(next).ok();
                next += line.len();
                start
            })
        };
        // Counted first: a list that grows holds up to three times as much.
        let mut lines = Vec::with_capacity(starts().count());
        lines.extend(starts());
        Self { text, starts: lines }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn line(&self, line: usize) -> &'t str {
        self.text.get(self.range(line)).unwrap_or_default()
    }

    pub(super) fn range(&self, line: usize) -> Range<usize> {
        let start = |line: usize| self.starts.get(line).and_then(|start| usize::try_from(*start).ok());
        match start(line) {
            Some(first) => first..start(line + 1).unwrap_or(self.text.len()),
            None => 0..0,
        }
    }

    pub(super) fn bytes(&self, lines: &Range<usize>) -> Range<usize> {
        let end = self.range(lines.end.saturating_sub(1)).end;
        self.range(lines.start).start.min(end)..end
    }

    pub(super) fn has_content(&self, line: usize) -> bool {
        let text = self.line(line).trim();
        !text.is_empty() && !text.starts_with('#')
    }

    pub(super) fn last_with_content(&self, line: usize) -> Option<usize> {
        (0..=line.min(self.len().checked_sub(1)?)).rev().find(|line| self.has_content(*line))
    }

    pub(super) fn next_with_content(&self, line: usize) -> Option<usize> {
        (line..self.len()).find(|line| self.has_content(*line))
    }

    pub(super) fn indent(&self, line: usize) -> usize {
        let text = self.line(line);
        text.len() - text.trim_start_matches([' ', '\t']).len()
    }

    pub(super) fn is_item(&self, line: usize) -> bool {
        let text = self.line(line).trim();
        text == "-" || text.starts_with("- ")
    }

    /// Whether a line could stand alone: a key, an item of a list, a closing bracket.
    pub(super) fn is_sound(&self, line: usize) -> bool {
        let text = self.line(line).trim();
        self.is_item(line) || text.ends_with(':') || text.contains(": ") || text.starts_with(['}', ']'])
    }

    /// Whether a merge of two versions left this line as a mark.
    pub(super) fn is_conflict(&self, line: usize) -> bool {
        ["<<<<<<< ", "=======", ">>>>>>> ", "||||||| "].iter().any(|mark| self.line(line).starts_with(mark))
    }

    /// Where the entry begins that a line is part of: text without a key may go on from the lines above it.
    pub(super) fn entry_of(&self, line: usize) -> usize {
        let mut first = line;
        while let Some(above) = first.checked_sub(1).and_then(|above| self.last_with_content(above)) {
            if self.is_sound(above) {
                break;
            }
            first = above;
        }
        // The outermost of them has all others below it.
        (first..=line)
            .filter(|line| self.has_content(*line))
            .min_by_key(|line| (self.indent(*line), *line))
            .unwrap_or(line)
    }

    /// A line with all that is indented below it.
    pub(super) fn block(&self, first: usize) -> Range<usize> {
        let indent = self.indent(first);
        let mut end = first + 1;
        let below = (first + 1..self.len()).filter(|line| self.has_content(*line));
        for line in below {
            let (here, text) = (self.indent(line), self.line(line).trim_start());
            let item = self.is_item(line) && !self.is_item(first);
            if here < indent || (here == indent && !item && !text.starts_with(['}', ']'])) {
                break;
            }
            end = line + 1;
        }
        first..end
    }

    /// The line that a line is indented under.
    pub(super) fn parent(&self, line: usize) -> Option<usize> {
        let indent = self.indent(line);
        (0..line).rev().find(|above| self.has_content(*above) && self.indent(*above) < indent)
    }

    /// The nearest line at or above this one whose value begins with a quote that it does not end.
    pub(super) fn open_quote(&self, line: usize) -> Option<usize> {
        (line.saturating_sub(QUOTE_LINES)..=line).rev().find(|line| self.open_quote_in(*line).is_some())
    }

    /// Where the quote stands that a line opens and does not close.
    pub(super) fn open_quote_in(&self, line: usize) -> Option<usize> {
        let text = self.line(line);
        ['"', '\''].into_iter().find_map(|quote| {
            let mut opening = text.match_indices(quote).map(|(at, _)| at).filter(|at| {
                let before = text[..*at].trim_end();
                before.is_empty() || before.ends_with([':', '-', ',', '[', '{'])
            });
            let last = opening.next_back().filter(|_| unescaped(text, quote) % 2 == 1)?;
            Some(self.range(line).start + last)
        })
    }
}

/// How often a quote occurs that no backslash makes ordinary.
fn unescaped(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let mut count = 0;
    for character in text.chars() {
        count += usize::from(character == quote && !escaped);
        escaped = character == '\\' && !escaped && quote == '"';
    }
    count
}
