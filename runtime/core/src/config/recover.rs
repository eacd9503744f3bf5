//! Reading on behind a syntax error.
//!
//! A parser stops at the first place that it cannot understand. Whoever wrote the file wants to hear about
//! the rest as well, so the lines around that place are blanked (every byte keeps its offset) and the text
//! is read again. What is missing because of that must not be held against the file: the reader marks
//! the mapping that lost something as incomplete ([`Damage`]), and nothing is said about what it lacks.
//!
//! Which lines to blank is a guess, from small to large: the line itself, the one above it, the bracket
//! or quote that was left open, then one level of indentation after the other. The first guess after
//! which the parser gets further is taken.

use std::ops::Range;

use serde_yaml::granit_parser as granit;

use super::document::MAX_DEPTH;
use super::lines::Lines;
use super::problem::Problems;
use super::syntax;

/// Most syntax errors that one text is asked for.
const MOST: usize = 20;

/// Most bytes that are read again, over all guesses for one text.
const BUDGET: usize = 1024 * 1024;

/// A syntax error.
pub(super) struct Broken {
    /// What to tell.
    pub(super) problems: Problems,
    /// The parser's name for it.
    pub(super) kind: granit::ErrorKind,
    /// Its line, from 1.
    pub(super) line: usize,
    /// The line, from 1, of the outermost bracket that is open there.
    pub(super) bracket: Option<usize>,
}

/// Something that was blanked.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    /// Which bytes.
    pub(super) bytes: Range<usize>,
    /// How far it was indented; `None` where nobody can tell, because of tabs.
    pub(super) indent: Option<usize>,
}

/// A text that becomes readable piece by piece.
pub(super) struct Repair {
    text: String,
    damage: Vec<Damage>,
    rounds: usize,
    budget: usize,
}

impl Repair {
    pub(super) fn new() -> Self {
        Self { text: String::new(), damage: Vec::new(), rounds: 0, budget: BUDGET }
    }

    /// What is to be read instead of the original.
    pub(super) fn text<'a>(&'a self, original: &'a str) -> &'a str {
        if self.rounds == 0 { original } else { &self.text }
    }

    /// What is blank in it.
    pub(super) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Blanks what is broken. Without success, the text cannot be read any further.
    pub(super) fn mend(&mut self, original: &str, broken: &Broken) -> bool {
        if self.rounds >= MOST || original.len() > self.budget {
            return false;
        }
        if self.rounds == 0 {
            original.clone_into(&mut self.text);
        }
        self.rounds += 1;
        if syntax::is_about_tabs(&broken.kind) && self.untab(broken.line) {
            return true;
        }
        let lines = Lines::of(&self.text);
        let Some(at) = lines.last_with_content(broken.line.saturating_sub(1)) else { return false };
        for guess in guesses(&lines, at, broken) {
            if self.budget < self.text.len() {
                return false;
            }
            self.budget -= self.text.len();
            let bytes = lines.bytes(&guess.lines);
            let attempt = blanked(&self.text, &bytes);
            let further = first_error(&attempt).is_none_or(|next| {
                let same = std::mem::discriminant(&next.kind) == std::mem::discriminant(&broken.kind);
                let follows = lines.next_with_content(guess.lines.end) == Some(next.line);
                next.line >= guess.beyond && !(same && (follows || guess.strict))
            });
            if further {
                let indent = lines.indent(lines.next_with_content(guess.lines.start).unwrap_or(at));
                self.damage.push(Damage { bytes, indent: Some(indent) });
                self.text = attempt;
                return true;
            }
        }
        false
    }

    /// Makes spaces of the tabs in front of lines, or blanks these lines where nobody can know how many.
    fn untab(&mut self, from: usize) -> bool {
        let lines = Lines::of(&self.text);
        let tabbed = syntax::tabbed_lines(&self.text, from);
        if tabbed.is_empty() {
            return false;
        }
        // Whoever uses nothing but tabs means one level by each of them.
        let mixed = (0..lines.len()).any(|line| lines.line(line).starts_with(' ') && lines.has_content(line));
        let mut bytes = self.text.clone().into_bytes();
        for line in if mixed { tabbed } else { (0..lines.len()).collect() } {
            let range = lines.range(line);
            if mixed {
                blank(&mut bytes[range.clone()]);
                self.damage.push(Damage { bytes: range, indent: None });
            } else {
                bytes[range].iter_mut().take_while(|byte| **byte == b'\t').for_each(|byte| *byte = b' ');
            }
        }
        self.text = String::from_utf8(bytes).unwrap_or_default();
        true
    }
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
}

fn blanked(text: &str, range: &Range<usize>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    blank(&mut bytes[range.clone()]);
    // Whole lines were replaced, so nothing of a character is left; if it were, nothing would be read.
    String::from_utf8(bytes).unwrap_or_default()
}

struct NextError {
    kind: granit::ErrorKind,
    /// From 0.
    line: usize,
}

/// Where a text stops being readable.
fn first_error(text: &str) -> Option<NextError> {
    let mut parser = granit::Parser::new_from_str_with_options(text, options());
    let mut depth = 0_usize;
    loop {
        match parser.next_event()? {
            Err(error) => {
                let line = error.marker().line().saturating_sub(1);
                return Some(NextError { kind: error.kind().clone(), line });
            }
            Ok((granit::Event::StreamEnd, _)) => return None,
            Ok((granit::Event::SequenceStart(..) | granit::Event::MappingStart(..), _)) => depth += 1,
            Ok((granit::Event::SequenceEnd | granit::Event::MappingEnd, _)) => {
                depth = depth.saturating_sub(1);
            }
            Ok(_) => {}
        }
        if depth > MAX_DEPTH {
            return None;
        }
    }
}

/// How texts are parsed.
pub(super) fn options() -> granit::Options {
    let mut options = granit::options! { emit_unresolved_aliases: true };
    options.set_emit_comments(false);
    options
}

/// Lines that may be what is broken.
struct Guess {
    /// Which, from 0.
    lines: Range<usize>,
    /// The parser has to get this far.
    beyond: usize,
    /// Whether an error of the same kind further down shows that this was not it.
    strict: bool,
}

fn guesses(lines: &Lines<'_>, at: usize, broken: &Broken) -> Vec<Guess> {
    let mut guesses = Vec::new();
    let mut guess = |lines: Range<usize>, beyond: usize, strict: bool| {
        guesses.push(Guess { beyond: beyond.max(lines.end), lines, strict });
    };
    let before = at.checked_sub(1).and_then(|line| lines.last_with_content(line));
    if let Some(mark) = [Some(at), before].into_iter().flatten().find(|line| lines.is_conflict(*line)) {
        guess(mark..mark + 1, at, false);
    }
    if let Some(quote) = lines.open_quote(at) {
        guess(lines.block(quote), at, true);
    }
    let own = lines.entry_of(at);
    let above = own.checked_sub(1).and_then(|line| lines.last_with_content(line));
    let bracket = broken.bracket.map(|line| line.saturating_sub(1)).filter(|bracket| *bracket <= at);
    if let Some(bracket) = bracket {
        let all = lines.block(lines.entry_of(bracket));
        let end = all.end;
        // A comma that is missing at the end of a line is noticed in the next one.
        if let Some(above) = above.filter(|above| *above > bracket) {
            guess(above..above + 1, at + 1, true);
        }
        if bracket < at {
            guess(at..at + 1, end, true);
        }
        guess(all, end, false);
    } else {
        guess(lines.block(own).start..lines.block(own).end.max(lines.block(at).end), 0, false);
        if let Some(above) = above {
            let block = lines.block(lines.entry_of(above));
            guess(block.start..block.end.max(at + 1), 0, false);
        }
    }
    let mut parent = own;
    while let Some(above) = lines.parent(parent) {
        let block = lines.block(above);
        guess(above + 1..block.end.max(at + 1), 0, false);
        parent = above;
    }
    let block = lines.block(parent);
    guess(block.start..block.end.max(at + 1), 0, false);
    guesses
}
