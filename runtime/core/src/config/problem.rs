//! What is wrong with a file, where, and what to write instead.
//!
//! A [`Problem`] is built where it is found, collected in [`Problems`] (sorted by place, without
//! duplicates, bounded) and shown as text ([`Problems::render`]) or as JSON (`serde`).

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::document::Node;
use super::render;
use super::source::{Source, Span};
use super::suggest::harmless;

/// Longest message, path, label or line of help: a file decides how long its words are.
const LONGEST: usize = 1_000;

/// More problems than this are counted, not kept.
const KEPT: usize = 100;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but its author should know.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong.
///
/// ```
/// use jumpstarter_core::config::{Problem, Span};
///
/// let problem = Problem::error("unknown key `baud`")
///     .at(Span { start: 4, end: 8, line: 1, column: 5 })
///     .path("export.console")
///     .help("did you mean `baudrate`?");
/// assert_eq!(problem.to_string(), "1:5: unknown key `baud`");
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    severity: Severity,
    source: Option<Arc<Source>>,
    span: Option<Span>,
    context: Option<Span>,
    path: String,
    message: String,
    label: Option<String>,
    help: Option<String>,
}

impl Problem {
    /// Something that makes the file unusable. The message is a fragment without a full stop.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    /// Something that the author should know.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            source: None,
            span: None,
            context: None,
            path: String::new(),
            message: bounded(&message.into()),
            label: None,
            help: None,
        }
    }

    /// Where it is: a span, or a node.
    #[must_use]
    pub fn at(mut self, place: impl Into<Span>) -> Self {
        self.span = Some(place.into());
        self
    }

    /// An earlier place that explains this one: the key above it, or the first of two. Its line is
    /// shown as well.
    #[must_use]
    pub fn context(mut self, place: impl Into<Span>) -> Self {
        self.context = Some(place.into());
        self
    }

    /// Where it is in the tree: `export.board.children.console`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = bounded(&path.into());
        self
    }

    /// What stands behind the underline and the path.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(bounded(&label.into()));
        self
    }

    /// What to write instead. Several lines are allowed.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let help: String = help.into();
        self.help = Some(help.lines().take(20).map(bounded).collect::<Vec<_>>().join("\n"));
        self
    }

    /// [`Problem::help`], when there is something to say.
    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// The text that the spans belong to.
    #[must_use]
    pub fn in_source(mut self, source: &Arc<Source>) -> Self {
        self.source = Some(Arc::clone(source));
        self
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The name of the file, when one is known.
    pub fn file(&self) -> Option<&str> {
        self.source.as_deref().map(Source::name)
    }

    /// The text that the spans belong to.
    pub fn source_text(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }

    /// Where it is in the file.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// The place given to [`Problem::context`].
    pub fn context_span(&self) -> Option<Span> {
        self.context
    }

    /// Where it is in the tree; empty for the file as a whole.
    pub fn tree_path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The words behind the underline and the path, if there are any.
    pub fn label_text(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// What to write instead.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    fn order(&self) -> (&str, usize, Severity) {
        (self.file().unwrap_or_default(), self.span.map_or(0, |span| span.start), self.severity)
    }

    fn same_as(&self, other: &Self) -> bool {
        self.span == other.span && self.message == other.message && self.file() == other.file()
    }
}

/// The text without what disturbs a terminal, and not too long.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => harmless(text),
        Some((end, _)) => format!("{}…", harmless(&text[..end])),
    }
}

impl fmt::Display for Problem {
    /// One line, `file:line:column: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = self.file() {
            write!(f, "{}:", harmless(file))?;
        }
        match self.span {
            Some(span) => write!(f, "{}:{}: ", span.line, span.column)?,
            None if self.source.is_some() => f.write_str(" ")?,
            None => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// The JSON form: what an editor or another front end needs.
#[derive(Serialize)]
struct View<'a> {
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(flatten)]
    span: Option<Span>,
    path: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        View {
            severity: self.severity,
            file: self.file(),
            span: self.span,
            path: &self.path,
            message: &self.message,
            label: self.label.as_deref(),
            help: self.help.as_deref(),
        }
        .serialize(serializer)
    }
}

/// All problems found, sorted by file and place.
///
/// The same problem twice is kept once. At most 100 are kept; the rest is counted.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    items: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.items.len() >= KEPT {
            self.omitted += 1;
            return;
        }
        let at = self.items.partition_point(|item| item.order() <= problem.order());
        let known = self.items[..at]
            .iter()
            .rev()
            .take_while(|item| item.order() == problem.order())
            .any(|item| item.same_as(&problem));
        if !known {
            self.items.insert(at, problem);
        }
    }

    /// Adds all of another list.
    pub fn append(&mut self, other: Self) {
        self.omitted += other.omitted;
        for problem in other.items {
            self.push(problem);
        }
    }

    /// Counts so many more than are told.
    pub(crate) fn omit(&mut self, more: usize) {
        self.omitted += more;
    }

    /// Says which text the problems without a file belong to.
    pub fn attach(&mut self, source: &Arc<Source>) {
        let items = std::mem::take(&mut self.items);
        for mut problem in items {
            if problem.source.is_none() {
                problem.source = Some(Arc::clone(source));
            }
            // Sorted by file first, so the place in the list may change.
            self.push(problem);
        }
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many were found, those included that were only counted.
    pub fn len(&self) -> usize {
        self.items.len() + self.omitted
    }

    /// How many were found but not kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether further problems are only counted, so that no effort need be put into them.
    pub fn is_full(&self) -> bool {
        self.items.len() >= KEPT
    }

    /// Whether one of them makes the file unusable.
    pub fn has_errors(&self) -> bool {
        self.omitted > 0 || self.items.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The problems, sorted.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.items.iter()
    }

    /// The value when nothing makes the file unusable; warnings are dropped then.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }

    /// Plain text for people: a headline per file, then each problem with an excerpt.
    pub fn render(&self) -> String {
        render::render(self)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { items: vec![problem], omitted: 0 }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        for problem in problems {
            self.push(problem);
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut all = Self::new();
        all.extend(problems);
        all
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for Problems {}

impl Serialize for Problems {
    /// A list of objects: `severity`, `file`, `line`, `column`, `start`, `end`, `path`, `message`,
    /// `label`, `help`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.items.len()))?;
        for problem in &self.items {
            list.serialize_element(problem)?;
        }
        list.end()
    }
}

impl From<&Node> for Span {
    fn from(node: &Node) -> Self {
        node.span
    }
}
