//! From the parser's events to a tree.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ops::Range;
use std::sync::Arc;

use serde_yaml::granit_parser as granit;

use super::document::{
    Document, Entry, MAX_BYTES, MAX_DEPTH, MAX_EXPANDED_BYTES, MAX_NODES, Map, Node, Parsed, Style, Value,
};
use super::problem::{Problem, Problems};
use super::scalar;
use super::source::{Source, Span, is_secret_key};
use super::suggest::quoted;
use super::syntax;

/// Tags of the core schema, as the parser spells them out.
const CORE: &str = "tag:yaml.org,2002:";

pub(super) fn read(name: &str, text: &str) -> Parsed {
    if text.len() > MAX_BYTES {
        // The text itself is not kept: nobody wants to look at it.
        let source = Arc::new(Source::new(name, ""));
        let problem = Problem::error(format!("the file is {} bytes long", text.len()))
            .at(Span::START)
            .help(format!("at most {MAX_BYTES} bytes are read"))
            .in_source(&source);
        return Parsed { document: None, source, problems: problem.into() };
    }
    let mut reader = Reader::new(text);
    let complete = reader.run();
    let Reader { root, mut problems, secrets, .. } = reader;
    let mut source = Source::new(name, text);
    source.hide(secrets, complete);
    let source = Arc::new(source);
    problems.attach(&source);
    let document = complete.then(|| Document {
        source: Arc::clone(&source),
        root: root.unwrap_or_else(|| Node::new(Value::Null, Span::START)),
    });
    Parsed { document, source, problems }
}

/// A container whose end has not come yet.
struct Open {
    kind: Container,
    start: granit::Span,
    anchor: usize,
}

enum Container {
    Seq(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// Keys so far, for duplicates.
    keys: HashMap<String, Span>,
    /// What `<<` brings in, in order.
    merged: Vec<Map>,
    pending: Pending,
}

/// What the next node of a mapping is.
#[derive(Default)]
enum Pending {
    #[default]
    Key,
    Value(String, Span),
    Merge,
    /// The value of a key that was refused.
    Ignored,
}

/// How much a node weighs when it is repeated.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Reader<'t> {
    text: &'t str,
    parser: granit::Parser<'t, granit::StrInput<'t>>,
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, (Node, Weight)>,
    nodes: usize,
    /// What anchors keep and aliases repeat.
    copied: Weight,
    problems: Problems,
    secrets: Vec<Range<usize>>,
}

/// Reading cannot go on; the reason is among the problems.
struct Stop {
    /// Whether what was read is a whole document nevertheless.
    complete: bool,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let mut options = granit::options! { emit_unresolved_aliases: true };
        options.set_emit_comments(false);
        Self {
            text,
            parser: granit::Parser::new_from_str_with_options(text, options),
            stack: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            copied: Weight::default(),
            problems: Problems::new(),
            secrets: Vec::new(),
        }
    }

    /// Whether the whole text was read.
    fn run(&mut self) -> bool {
        loop {
            let event = match self.parser.next_event() {
                None | Some(Ok((granit::Event::StreamEnd, _))) => return true,
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.syntax_error(&error);
                    return false;
                }
            };
            if let Err(stop) = self.event(event.0, event.1) {
                return stop.complete;
            }
        }
    }

    fn event(&mut self, event: granit::Event<'t>, at: granit::Span) -> Result<(), Stop> {
        use granit::Event;
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                self.problems.push(
                    Problem::error("a second document begins here")
                        .at(self.span(&at, &at))
                        .help("one file holds one document: remove the line `---` or use two files"),
                );
                // What follows belongs to nobody; what came before is complete.
                Err(Stop { complete: true })
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), &at);
                self.add(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", &at);
                self.open(Container::Seq(Vec::new()), at, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", &at);
                self.open(Container::Map(OpenMap::default()), at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&at),
            Event::Alias(id) => self.alias(id, &at),
            Event::UnresolvedAlias(name) => {
                let span = self.span(&at, &at);
                self.problems.push(
                    Problem::error(format!("{} stands for nothing", quoted(&format!("*{name}"))))
                        .at(span)
                        .help(format!(
                            "mark a value above with `&{name}`, or put text that begins with `*` in quotes"
                        )),
                );
                self.leave_out(span);
                Ok(())
            }
            // Beginnings, ends and whatever a later parser may add carry no values.
            _ => Ok(()),
        }
    }

    fn span(&self, start: &granit::Span, end: &granit::Span) -> Span {
        let byte = |marker: &granit::Marker| marker.byte_offset().unwrap_or(0).min(self.text.len());
        let (first, last) = (byte(&start.start), byte(&end.end));
        let covered = self.text.get(first..last).unwrap_or_default();
        Span {
            start: first,
            // A block ends where the next thing begins; the space between belongs to neither.
            end: first + covered.trim_end().len(),
            line: start.start.line().max(1),
            column: start.start.col() + 1,
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: granit::ScalarStyle,
        tag: Option<&granit::Tag>,
        at: &granit::Span,
    ) -> Node {
        let span = self.span(at, at);
        let style = match style {
            granit::ScalarStyle::Plain => Style::Plain,
            granit::ScalarStyle::SingleQuoted | granit::ScalarStyle::DoubleQuoted => Style::Quoted,
            _ => Style::Block,
        };
        let as_text = |style| Value::Str { text: text.to_owned(), style };
        let value = match tag.map(|tag| (tag.handle(), tag.suffix())) {
            None if style == Style::Plain => scalar::resolve(text),
            None => as_text(style),
            Some((CORE, "str") | ("" | "!", "")) => as_text(Style::Quoted),
            Some((CORE, wanted @ ("int" | "float" | "bool" | "null"))) => {
                let value = scalar::resolve(text);
                let fits = match &value {
                    Value::Int(_) => wanted == "int" || wanted == "float",
                    Value::Float(_) => wanted == "float",
                    Value::Bool(_) => wanted == "bool",
                    Value::Null => wanted == "null",
                    _ => false,
                };
                if !fits {
                    self.problems.push(
                        Problem::error(format!("{} is not what the tag `!!{wanted}` says", quoted(text)))
                            .at(span)
                            .help("remove the tag"),
                    );
                }
                value
            }
            Some(_) => {
                self.refuse_tag(tag, "", at);
                as_text(style)
            }
        };
        let raw = (style == Style::Plain && !span.is_empty() && !matches!(value, Value::Str { .. }))
            .then(|| Box::from(text));
        Node { value, span, raw }
    }

    /// Complains about a tag that gives a container or scalar a meaning of its own.
    fn refuse_tag(&mut self, tag: Option<&granit::Tag>, allowed: &str, at: &granit::Span) {
        let Some(tag) = tag else { return };
        if (tag.handle(), tag.suffix()) == (CORE, allowed) || tag.suffix().is_empty() {
            return;
        }
        let place = at.tag_span().unwrap_or(*at);
        let span = self.span(&place, &place);
        self.problems.push(
            Problem::error(format!("the tag {} has no meaning here", quoted(&tag.original())))
                .at(span)
                .help("remove it; put text that begins with `!` in quotes"),
        );
    }

    fn open(&mut self, kind: Container, start: granit::Span, anchor: usize) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(&start);
        }
        self.stack.push(Open { kind, start, anchor });
        Ok(())
    }

    fn close(&mut self, end: &granit::Span) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let span = self.span(&open.start, end);
        let value = match open.kind {
            Container::Seq(items) => Value::Seq(items),
            Container::Map(map) => Value::Map(finish(map)),
        };
        self.add(Node::new(value, span), open.anchor)
    }

    fn alias(&mut self, id: usize, at: &granit::Span) -> Result<(), Stop> {
        let span = self.span(at, at);
        let Some((node, weight)) = self.anchors.get(&id).cloned() else {
            // The parser knows the anchor, so it belongs to a container that is still open.
            let problem = Problem::error("this alias stands for a value that it is part of").at(span);
            self.problems.push(problem.help("write the value out; a value cannot contain itself"));
            self.leave_out(span);
            return Ok(());
        };
        self.expand(weight, span)?;
        if self.stack.len() + weight.depth > MAX_DEPTH {
            return self.too_deep(at);
        }
        self.nodes += weight.nodes.saturating_sub(1);
        self.add(node, 0)
    }

    /// Charges for a copy of nodes.
    fn expand(&mut self, weight: Weight, span: Span) -> Result<(), Stop> {
        self.copied.bytes = self.copied.bytes.saturating_add(weight.bytes);
        self.copied.nodes = self.copied.nodes.saturating_add(weight.nodes);
        if self.copied.bytes <= MAX_EXPANDED_BYTES && self.copied.nodes <= MAX_NODES {
            return Ok(());
        }
        self.problems.push(
            Problem::error("aliases repeat too much here")
                .at(span)
                .help(format!("a file may hold {MAX_NODES} values with all aliases written out")),
        );
        Err(Stop { complete: false })
    }

    fn too_deep(&mut self, at: &granit::Span) -> Result<(), Stop> {
        let span = self.span(at, at);
        self.problems.push(
            Problem::error("too many levels").at(span).help(format!("a file may be {MAX_DEPTH} levels deep")),
        );
        Err(Stop { complete: false })
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.problems.push(
                Problem::error("too many values")
                    .at(node.span)
                    .help(format!("a file may hold {MAX_NODES} values")),
            );
            return Err(Stop { complete: false });
        }
        if anchor != 0 {
            let weight = weigh(&node);
            self.expand(weight, node.span)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Container::Seq(items)) => items.push(node),
            Some(Container::Map(map)) => match std::mem::take(&mut map.pending) {
                Pending::Key => map.pending = begin_entry(map, node, &mut self.problems),
                Pending::Ignored => {}
                Pending::Value(key, key_span) => {
                    if is_secret_key(&key) {
                        self.secrets.push(node.span.start..node.span.end);
                    }
                    map.entries.push(Entry { key, key_span, value: node });
                }
                Pending::Merge => merge(map, node, &mut self.problems),
            },
        }
        Ok(())
    }

    /// Goes on as if a value that could not be had were not mentioned at all: the mistake was
    /// reported, and nothing should follow from it.
    fn leave_out(&mut self, span: Span) {
        match self.stack.last_mut().map(|open| &mut open.kind) {
            Some(Container::Map(map)) => {
                map.pending = match map.pending {
                    Pending::Key => Pending::Ignored,
                    _ => Pending::Key,
                };
            }
            Some(Container::Seq(_)) => {}
            None => self.root = Some(Node::new(Value::Null, span)),
        }
    }

    fn syntax_error(&mut self, error: &granit::ScanError) {
        let (message, help) = syntax::explain(error.kind());
        let marker = error.marker();
        let byte = marker.byte_offset().unwrap_or(0).min(self.text.len());
        let length = self.text.get(byte..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let span =
            Span { start: byte, end: byte + length, line: marker.line().max(1), column: marker.col() + 1 };
        if syntax::is_about_tabs(error.kind()) {
            let tabs = syntax::tabs(self.text, span.line);
            if !tabs.is_empty() {
                self.problems.append(tabs);
                return;
            }
        }
        let mut problem = Problem::error(message).at(span).help(help);
        // Where a bracket was opened says more than where its absence was noticed.
        let bracket = self
            .stack
            .iter()
            .rev()
            .map(|open| self.span(&open.start, &open.start))
            .find(|open| matches!(self.text.as_bytes().get(open.start), Some(b'{' | b'[')));
        if let Some(bracket) = bracket.filter(|bracket| bracket.line < span.line) {
            let which = if self.text[bracket.start..].starts_with('{') { '{' } else { '[' };
            problem =
                problem.context(bracket).label(format!("inside the `{which}` of line {}", bracket.line));
        }
        self.problems.push(problem);
    }
}

/// What to do with the value that follows a key.
fn begin_entry(map: &mut OpenMap, node: Node, problems: &mut Problems) -> Pending {
    let span = node.span;
    if node.plain_text() == Some("<<") {
        return Pending::Merge;
    }
    let key = match node.value {
        Value::Str { text, .. } => text,
        Value::Seq(_) | Value::Map(_) => {
            problems.push(
                Problem::error("a key must be a word")
                    .at(span)
                    .help("put quotes around text that begins with a bracket"),
            );
            return Pending::Ignored;
        }
        _ => node.raw.map(String::from).unwrap_or_default(),
    };
    if key.is_empty() {
        problems.push(Problem::error("a key is missing before `:`").at(span).help("write `key: value`"));
        return Pending::Ignored;
    }
    match map.keys.entry(key) {
        Slot::Vacant(slot) => {
            let key = slot.key().clone();
            slot.insert(span);
            Pending::Value(key, span)
        }
        Slot::Occupied(slot) => {
            problems.push(
                Problem::error(format!("the key {} occurs twice", quoted(slot.key())))
                    .at(span)
                    .context(*slot.get())
                    .label(format!("first on line {}", slot.get().line))
                    .help("keep one of the two, or give them different names"),
            );
            Pending::Ignored
        }
    }
}

/// Takes what `<<` names.
fn merge(map: &mut OpenMap, node: Node, problems: &mut Problems) {
    let mut refuse = |span: Span| {
        problems.push(
            Problem::error("`<<` takes a mapping, or a list of mappings").at(span).help("write `<<: *name`"),
        );
    };
    match node.value {
        Value::Map(other) => map.merged.push(other),
        Value::Seq(items) => {
            for item in items {
                match item.value {
                    Value::Map(other) => map.merged.push(other),
                    _ => refuse(item.span),
                }
            }
        }
        _ => refuse(node.span),
    }
}

/// A mapping's own keys, then what it merges: own keys win, then the earlier of two merged ones.
fn finish(map: OpenMap) -> Map {
    let OpenMap { mut entries, mut keys, merged, .. } = map;
    for entry in merged.into_iter().flat_map(|other| other.entries) {
        if let Slot::Vacant(slot) = keys.entry(entry.key.clone()) {
            slot.insert(entry.key_span);
            entries.push(entry);
        }
    }
    Map { entries }
}

fn weigh(node: &Node) -> Weight {
    let mut weight = Weight { nodes: 1, bytes: node.as_written().map_or(0, str::len), depth: 0 };
    let mut add = |child: &Node, key: usize| {
        let child = weigh(child);
        weight.nodes += child.nodes;
        weight.bytes += child.bytes + key;
        weight.depth = weight.depth.max(child.depth);
    };
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| add(item, 0)),
        Value::Map(map) => map.iter().for_each(|entry| add(&entry.value, entry.key.len())),
        _ => return weight,
    }
    weight.depth += 1;
    weight
}
