//! Any `serde` type from a [`Node`], with places in every error.
//!
//! `serde` stops at the first error. [`decode`] therefore decodes again without the part that was
//! wrong until nothing new turns up, so that one call reports all unknown keys and wrong values of a
//! value (but, within one mapping, only the first missing key; [`super::check_schema`] reports all of
//! those, and [`decode_checked`] does both).

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeOwned};

use super::deserializer::{Decoder, Link, Run, address};
use super::document::{Entry, Node, Value};
use super::problem::{Problem, Problems};
use super::schema::check_schema;
use super::source::{Span, is_secret_key};
use super::subject::Step;
pub use super::subject::Subject;
use super::suggest::{folded, nearest, quoted};
use super::wording;

/// After so many mistakes in one value, it is only said that there are more: each costs another look at all of it.
const ROUNDS: usize = 512;

/// Decodes a value; every problem found has its place and path.
///
/// The list of problems is empty if the value is unusable only because parts of it could not be read, which
/// the file's own problems say ([`super::Map::is_incomplete`]).
///
/// The problems carry no source: [`Problems::attach`] adds it.
pub fn decode<T: DeserializeOwned>(node: &Node, subject: &Subject) -> Result<T, Problems> {
    let mut problems = Problems::new();
    if node.is_unknown() {
        // Why nothing of it could be read is among the problems of the file.
        return Err(problems);
    }
    let run = Run::default();
    for round in 0.. {
        let error = match T::deserialize(Decoder { node, run: &run, link: &Link::Root }) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => error,
        };
        if round >= ROUNDS {
            problems.omit(1);
            break;
        }
        let culprit = error.to_leave_out(node, &run);
        if let Some(problem) = error.into_problem(node, subject, &run) {
            problems.push(problem);
        }
        // The part that was wrong is left out of the next round; when that is the whole, or was left
        // out already, there is nothing further to learn.
        let root = address(node);
        if culprit.is_none_or(|culprit| culprit == root || !run.skipped.borrow_mut().insert(culprit)) {
            break;
        }
    }
    Err(problems)
}

/// Decodes a value and, when that or the schema objects, reports what both have to say.
///
/// The schema finds everything at once; the type has the last word on what is accepted.
pub fn decode_checked<T: DeserializeOwned>(
    node: &Node,
    schema: &serde_json::Value,
    subject: &Subject,
) -> Result<T, Problems> {
    let by_schema = check_schema(schema, node, subject);
    match decode(node, subject) {
        Ok(value) => by_schema.into_result(value),
        Err(mut problems) => {
            let (all, omitted) = (by_schema.len(), by_schema.omitted());
            if problems.is_full() {
                problems.omit(all.saturating_sub(problems.len()));
                return Err(problems);
            }
            // Of what both object to, the type knows more: the order of its keys, its own words.
            let known: HashSet<_> =
                problems.iter().map(|problem| (problem.span(), kind(problem.message()))).collect();
            let more =
                by_schema.into_iter().filter(|other| !known.contains(&(other.span(), kind(other.message()))));
            problems.extend(more);
            if omitted > 0 {
                problems.omit(all.saturating_sub(problems.len()));
            }
            Err(problems)
        }
    }
}

/// What somebody refuses in a configuration without the keys that have a problem already.
pub(crate) fn refused_rest<T: DeserializeOwned>(
    node: &Node,
    problems: &Problems,
    subject: &Subject,
    check: impl Fn(&T) -> Vec<crate::Error>,
) -> Problems {
    let mut rest = node.clone();
    let mut taken = Vec::new();
    if let Value::Map(map) = &mut rest.value {
        let touched = |entry: &Entry| {
            let end = entry.value.span.end.max(entry.key_span.end);
            let within = |span: Span| entry.key_span.start <= span.start && span.start < end;
            problems.iter().filter_map(Problem::span).any(within)
        };
        map.entries.retain(|entry| {
            let touched = touched(entry);
            taken.extend(touched.then(|| format!("`{}", entry.key)));
            !touched
        });
    }
    let Ok(decoded) = decode::<T>(&rest, subject) else { return Problems::new() };
    let refused = check(&decoded).into_iter();
    // A key that was taken out is not missing.
    refused
        .filter(|error| !taken.iter().any(|key| error.message().contains(key.as_str())))
        .filter(|error| !problems.iter().any(|problem| problem.message() == error.message()))
        .map(|error| subject.refused(node, error.message()))
        .collect()
}

/// Missing keys share one place and differ by their text; of anything else, a place has one problem.
fn kind(message: &str) -> String {
    if message.starts_with("missing key") { message.to_owned() } else { String::new() }
}

/// Why a value was refused.
#[derive(Debug)]
pub(super) enum Fault {
    Unknown { key: String, known: &'static [&'static str] },
    Missing(&'static str),
    Duplicate(&'static str),
    Expected(String),
    Variant(&'static [&'static str]),
    Other(String),
}

/// An error on its way from the place where it happened to [`decode`].
#[derive(Debug)]
pub(super) struct DecodeError {
    fault: Fault,
    /// Address of the node to leave out next time. For an unknown key, its value.
    culprit: Option<usize>,
    steps: Option<Vec<Step>>,
    above: Option<Span>,
}

impl DecodeError {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, culprit: None, steps: None, above: None }
    }

    /// The first place wins: it is the innermost.
    pub(super) fn at(mut self, node: &Node, link: &Link<'_, '_>) -> Self {
        if self.steps.is_none() {
            self.culprit = Some(address(node));
            self.steps = Some(link.steps());
            self.above = link.key_span();
        }
        self
    }

    /// What has to be gone so that the rest can be looked at. Of a key in two spellings, that is the first, which has
    /// been looked at.
    fn to_leave_out(&self, root: &Node, run: &Run) -> Option<usize> {
        let Fault::Duplicate(key) = self.fault else { return self.culprit };
        let node = follow(root, self.steps.as_deref().unwrap_or_default())?;
        let [first, _] = spelt(node, key, run)?;
        Some(address(&first.value))
    }

    fn into_problem(self, root: &Node, subject: &Subject, run: &Run) -> Option<Problem> {
        let steps = self.steps.unwrap_or_default();
        let node = follow(root, &steps)?;
        let place = match self.above.or(subject.place_of_whole()) {
            Some(above) if node.span.is_empty() => above,
            _ => node.span,
        };
        let whole = self.above.or(subject.place_of_whole()).unwrap_or(node.span);
        Some(match self.fault {
            Fault::Unknown { key, known } => {
                let (entry, parent) = (entry_at(root, &steps)?, steps.split_last()?.1);
                if let Some(near) = nearest(&key, known.iter().copied()) {
                    let map = address(follow(root, parent)?);
                    run.meant.borrow_mut().insert((map, folded(near)));
                }
                let above =
                    parent.split_last().and_then(|_| entry_at(root, parent)).map(|entry| entry.key_span);
                subject.unknown_key(entry, known, parent, above)
            }
            Fault::Missing(key) => {
                let meant = run.meant.borrow().contains(&(address(node), folded(key)));
                let skipped = run.skipped.borrow();
                let present = node.as_map().is_some_and(|map| {
                    map.iter().any(|entry| {
                        folded(&entry.key) == folded(key)
                            && (entry.value.is_unknown() || skipped.contains(&address(&entry.value)))
                    })
                });
                if meant || present || node.is_incomplete() {
                    return None;
                }
                subject.missing_key(key, whole, &steps)
            }
            Fault::Duplicate(key) => {
                // `serde` says so once it has met the second spelling.
                let [first, second] = spelt(node, key, run)?;
                let problem = Problem::error(format!(
                    "{} is given twice, in two spellings, in {}",
                    quoted(key),
                    subject.in_part(&steps)
                ))
                .at(second.key_span)
                .path(subject.path_of(&steps))
                .help(format!("keep `{key}`"));
                problem.context(first.key_span)
            }
            Fault::Expected(expected) => {
                subject.wrong_value(node, &wording::expected(&expected), place, &steps)
            }
            Fault::Variant(known) => subject.not_listed(node, known, place, &steps),
            Fault::Other(message) => {
                let secret = steps.iter().rev().find_map(Step::key).is_some_and(is_secret_key);
                let message = if secret { "this value is not accepted".to_owned() } else { message };
                Problem::error(format!("{}: {message}", subject.name_of(&steps)))
                    .at(place)
                    .path(subject.path_of(&steps))
            }
        })
    }
}

/// The two entries of a mapping that spell one key differently.
fn spelt<'a>(node: &'a Node, key: &str, run: &Run) -> Option<[&'a Entry; 2]> {
    let skipped = run.skipped.borrow();
    let mut spelt = node
        .as_map()
        .into_iter()
        .flatten()
        .filter(|entry| folded(&entry.key) == folded(key) && !skipped.contains(&address(&entry.value)));
    Some([spelt.next()?, spelt.next()?])
}

fn follow<'a>(root: &'a Node, steps: &[Step]) -> Option<&'a Node> {
    steps.iter().try_fold(root, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Index(index) => node.as_seq()?.get(*index),
    })
}

fn entry_at<'a>(root: &'a Node, steps: &[Step]) -> Option<&'a Entry> {
    let (last, parent) = steps.split_last()?;
    follow(root, parent)?.as_map()?.entry(last.key()?)
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Other(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Fault::Expected(expected.to_string()))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Fault::Expected(expected.to_string()))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fault::Variant(known))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fault::Unknown { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Fault::Missing(key))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::new(Fault::Duplicate(key))
    }
}
