//! What is being decoded, and the problems that can be said about a part of it.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::document::{Entry, Node};
use super::problem::Problem;
use super::source::Span;
use super::suggest::{did_you_mean, folded, listed, nearest, quoted};
use super::wording;

/// What is being decoded, for messages.
///
/// ```
/// use jumpstarter_core::config::Subject;
/// let subject = Subject::new("the configuration of driver `serial`", "export.console").inside("config");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Subject {
    what: String,
    path: String,
    inside: Option<&'static str>,
    place: Option<Span>,
    outer: &'static [&'static str],
}

impl Subject {
    /// `what` follows "unknown key `x` in"; `path` is where it is in the file, empty at the top.
    pub fn new(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self { what: what.into(), path: path.into(), ..Self::default() }
    }

    /// The key below `path` that holds the value. Messages about the mapping as a whole show `path`,
    /// messages about something in it the longer one.
    #[must_use]
    pub fn inside(mut self, key: &'static str) -> Self {
        self.inside = Some(key);
        self
    }

    /// Where to point when something is missing from the whole: usually the key that holds it.
    #[must_use]
    pub fn place(mut self, span: Span) -> Self {
        self.place = Some(span);
        self
    }

    /// Keys that belong next to `type`, for the hint to somebody who put them one level too deep.
    #[must_use]
    pub fn outer_keys(mut self, keys: &'static [&'static str]) -> Self {
        self.outer = keys;
        self
    }

    /// What is being decoded.
    pub fn what(&self) -> &str {
        &self.what
    }

    pub(super) fn place_of_whole(&self) -> Option<Span> {
        self.place
    }

    pub(super) fn path_of(&self, steps: &[Step]) -> String {
        let mut path = self.path.clone();
        if steps.is_empty() {
            return path;
        }
        let inside = self.inside.map(|key| Step::Key(key.to_owned()));
        for step in inside.iter().chain(steps) {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Index(index) => {
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        path
    }

    /// "in the configuration of driver `serial`", or in a part of it.
    pub(super) fn in_part(&self, steps: &[Step]) -> String {
        match steps.iter().rev().find_map(Step::key) {
            None => self.what.clone(),
            Some(key) => format!("{} of {}", quoted(key), self.what),
        }
    }

    pub(super) fn unknown_key(
        &self,
        entry: &Entry,
        known: &[&str],
        steps: &[Step],
        above: Option<Span>,
    ) -> Problem {
        let key = entry.key.as_str();
        let near = nearest(key, known.iter().copied());
        let help = if steps.is_empty() && near.is_none() && self.outer.contains(&key) {
            Some(match key {
                "type" => "`type` belongs one level up, next to `config`".to_owned(),
                key => format!("`{key}` belongs next to `type`, not inside `config`"),
            })
        } else if known.is_empty() {
            Some("no keys are known here".to_owned())
        } else {
            did_you_mean(key, spellings(known), "known keys")
        };
        let mut problem = Problem::error(format!("unknown key {} in {}", quoted(key), self.in_part(steps)))
            .at(entry.key_span)
            .path(self.path_of(steps))
            .maybe_help(help);
        if let Some(above) = above.or(self.place) {
            problem = problem.context(above);
        }
        problem
    }

    pub(super) fn missing_key(&self, key: &str, place: Span, steps: &[Step]) -> Problem {
        let above = steps.iter().rev().find_map(Step::key).or(self.inside);
        let help = match above {
            Some(above) => format!("add `{key}: …` under `{above}:`"),
            None => format!("add `{key}: …`"),
        };
        Problem::error(format!("missing key {} in {}", quoted(key), self.in_part(steps)))
            .at(place)
            .path(self.path_of(steps))
            .help(help)
    }

    pub(super) fn wrong_value(&self, node: &Node, expected: &str, place: Span, steps: &[Step]) -> Problem {
        let key = steps.iter().rev().find_map(Step::key);
        Problem::error(format!(
            "{} must be {expected}, but it is {}",
            self.name_of(steps),
            wording::describe(node, key)
        ))
        .at(place)
        .path(self.path_of(steps))
        .maybe_help(wording::remedy(node, expected, steps.last().and_then(Step::key)))
    }

    /// A value that is none of a fixed list.
    pub(super) fn not_listed(&self, node: &Node, options: &[&str], place: Span, steps: &[Step]) -> Problem {
        let problem = self.wrong_value(node, &format!("one of {}", listed(options)), place, steps);
        let near = node.as_written().and_then(|written| nearest(written, options.iter().copied()));
        problem.maybe_help(near.map(|near| format!("did you mean `{near}`?")))
    }

    /// A value that its type takes and its owner does not. The message may begin with the key that it is about, between
    /// backticks.
    pub(crate) fn refused(&self, node: &Node, message: &str) -> Problem {
        let named = message.strip_prefix('`').and_then(|rest| rest.split_once('`'));
        let (mut at, mut steps) = (node, Vec::new());
        for key in named.map(|(keys, _)| keys).unwrap_or_default().split('.') {
            let Some(part) = at.get(key) else { break };
            steps.push(Step::Key(key.to_owned()));
            at = part;
        }
        let place = if steps.is_empty() { self.place.unwrap_or(node.span) } else { at.span };
        Problem::error(message).at(place).path(self.path_of(&steps))
    }

    /// How a value is called at the beginning of a sentence.
    pub(super) fn name_of(&self, steps: &[Step]) -> String {
        match steps {
            [] => self.what.clone(),
            [.., Step::Key(key)] => quoted(key),
            [before @ .., Step::Index(index)] => format!("item {} of {}", index + 1, self.name_of(before)),
        }
    }
}

/// One spelling of each key: `onFailure` and `on_failure` are the same to a reader.
fn spellings<'a>(known: &[&'a str]) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    known.iter().copied().filter(|key| seen.insert(folded(key))).collect()
}

/// One step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}
