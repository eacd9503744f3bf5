//! From the parser's events to a tree.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ops::Range;
use std::sync::Arc;

use serde_yaml::granit_parser as granit;

use super::document::{
    Document, Entry, MAX_BYTES, MAX_DEPTH, MAX_EXPANDED_BYTES, MAX_NODES, Map, Node, Parsed, Style, Value,
};
use super::encoding;
use super::hints;
use super::problem::{Problem, Problems};
use super::recover::{self, Broken, Damage, Repair};
use super::scalar;
use super::source::{Source, Span, is_secret_key};
use super::suggest::quoted;
use super::syntax;

/// Tags of the core schema, as the parser spells them out.
const CORE: &str = "tag:yaml.org,2002:";

pub(super) fn read(name: &str, text: &str) -> Parsed {
    if text.len() > MAX_BYTES {
        let problem = encoding::too_long(name, u64::try_from(text.len()).ok()).at(Span::START);
        let source = problem.source_text().cloned().unwrap_or_else(|| Arc::new(Source::new(name, "")));
        return Parsed { document: None, source, problems: problem.into() };
    }
    let mut repair = Repair::new();
    let mut problems = Problems::new();
    let (complete, read) = loop {
        let mut reader = Reader::new(repair.text(text), repair.damage());
        let end = reader.run();
        let Reader { root, problems: found, secrets, .. } = reader;
        let complete = match end {
            Ok(()) | Err(Stop::Complete) => true,
            Err(Stop::Refused) => false,
            Err(Stop::Syntax(broken)) if repair.mend(text, &broken) => {
                problems.append(broken.problems);
                continue;
            }
            Err(Stop::Syntax(broken)) => {
                problems.extend(broken.problems.into_iter().map(|problem| {
                    let help = problem.help_text().map(|help| format!("{help}\n")).unwrap_or_default();
                    problem.help(format!("{help}what is wrong with the rest is said when this is right"))
                }));
                false
            }
        };
        problems.append(found);
        break (complete, (root, secrets));
    };
    let (root, secrets) = read;
    let damaged = !repair.damage().is_empty();
    let mut source = Source::new(name, text);
    source.hide(secrets, complete && !damaged);
    let source = Arc::new(source);
    problems.attach(&source);
    let root = match root {
        // Of what was left, nobody can say what it was meant to be.
        Some(root) if damaged && root.as_map().is_none() => None,
        None if damaged => None,
        root => Some(root.unwrap_or_else(|| Node::new(Value::Null, Span::START))),
    };
    let document = root.filter(|_| complete).map(|root| Document { source: Arc::clone(&source), root });
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
    /// What stands behind keys that are none.
    nameless: Vec<Entry>,
    pending: Pending,
    /// Whether something of it was left out.
    incomplete: bool,
}

/// What the next node of a mapping is.
#[derive(Default)]
enum Pending {
    #[default]
    Key,
    Value(String, Span),
    Merge,
    /// The value behind something that is no key.
    Nameless(Span),
    /// The value of a key that was refused; empty if that could not be read.
    Ignored(String),
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
    /// What was blanked and has not been missed yet.
    damage: Vec<Damage>,
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

/// Reading cannot go on.
enum Stop {
    /// What was read is a whole document nevertheless; the reason is among the problems.
    Complete,
    /// What was read must not be used; the reason is among the problems.
    Refused,
    /// The text is no YAML from here on.
    Syntax(Box<Broken>),
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, damage: &[Damage]) -> Self {
        Self {
            text,
            damage: damage.to_vec(),
            parser: granit::Parser::new_from_str_with_options(text, recover::options()),
            stack: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            copied: Weight::default(),
            problems: Problems::new(),
            secrets: Vec::new(),
        }
    }

    /// Reads the whole text, unless something stops it.
    fn run(&mut self) -> Result<(), Stop> {
        loop {
            match self.parser.next_event() {
                None | Some(Ok((granit::Event::StreamEnd, _))) => return Ok(()),
                Some(Ok((event, at))) => self.event(event, at)?,
                Some(Err(error)) => return Err(Stop::Syntax(Box::new(self.syntax_error(&error)))),
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
                Err(Stop::Complete)
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
                // Its anchor may be in what could not be read.
                if self.damage.is_empty() {
                    self.problems.push(
                        Problem::error(format!("{} stands for nothing", quoted(&format!("*{name}"))))
                            .at(span)
                            .help(format!(
                                "mark a value above with `&{name}`, or put text that begins with `*` in quotes"
                            )),
                    );
                }
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
                // What it would stand for is anybody's guess.
                self.refuse_tag(tag, "", at);
                return Node::incomplete_map(span, true);
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
                .path(path_of(&self.stack))
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
        let lost = !self.damage.is_empty() && self.lost(&open.start, end);
        let value = match open.kind {
            Container::Seq(items) => Value::Seq(items),
            Container::Map(mut map) => {
                map.incomplete |= lost;
                Value::Map(finish(map))
            }
        };
        self.add(Node::new(value, span), open.anchor)
    }

    /// Whether something was blanked in a container that ends here. The innermost one that it can have
    /// belonged to lost it.
    fn lost(&mut self, start: &granit::Span, end: &granit::Span) -> bool {
        let byte = |marker: &granit::Marker| marker.byte_offset().unwrap_or(0);
        let (first, last) = (byte(&start.start), byte(&end.end));
        // Inside of brackets, indentation means nothing.
        let brackets = matches!(self.text.as_bytes().get(first), Some(b'{' | b'['));
        let column = if brackets { 0 } else { start.start.col() };
        let mut lost = false;
        self.damage.retain(|damage| {
            let inside = damage.bytes.start >= first && damage.bytes.start <= last;
            let here = inside && damage.indent.is_none_or(|indent| indent >= column);
            lost |= here;
            !here || damage.indent.is_none()
        });
        lost
    }

    /// Whether what was blanked stood between a key and this value.
    fn lost_before(&mut self, key: Span, node: &Node) -> bool {
        let text = self.text;
        let mut lost = false;
        self.damage.retain(|damage| {
            let between = damage.bytes.start >= key.end
                && (node.span.is_empty() || damage.bytes.start <= node.span.start)
                && damage.indent.is_none_or(|indent| indent + 1 >= key.column)
                && text.get(key.end..damage.bytes.start).is_some_and(|between| {
                    between.lines().skip(1).all(|line| line.trim().is_empty() || line.trim().starts_with('#'))
                });
            lost |= between;
            // With the indentation of the key, it may as well have been the next one.
            !between || damage.indent.is_none_or(|indent| indent + 1 == key.column)
        });
        lost
    }

    fn alias(&mut self, id: usize, at: &granit::Span) -> Result<(), Stop> {
        let span = self.span(at, at);
        let Some((node, weight)) = self.anchors.get(&id).cloned() else {
            // The parser knows the anchor, so it belongs to a container that is still open.
            let problem = Problem::error("this alias stands for a value that it is part of").at(span);
            let problem = problem.path(path_of(&self.stack));
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
                .path(path_of(&self.stack))
                .help(format!("a file may hold {MAX_NODES} values with all aliases written out")),
        );
        Err(Stop::Refused)
    }

    fn too_deep(&mut self, at: &granit::Span) -> Result<(), Stop> {
        let span = self.span(at, at);
        self.problems.push(
            Problem::error("too many levels")
                .at(span)
                .path(path_of(&self.stack))
                .help(format!("a file may be {MAX_DEPTH} levels deep")),
        );
        Err(Stop::Refused)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.problems.push(
                Problem::error("too many values")
                    .at(node.span)
                    .path(path_of(&self.stack))
                    .help(format!("a file may hold {MAX_NODES} values")),
            );
            return Err(Stop::Refused);
        }
        if anchor != 0 {
            let weight = weigh(&node);
            self.expand(weight, node.span)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        let mut node = node;
        if let Some(key) = self.pending_key().filter(|_| !self.damage.is_empty())
            && self.lost_before(key, &node)
        {
            match &mut node.value {
                Value::Map(map) => map.incomplete = true,
                // A value of which nothing is left is not empty: it is unknown.
                _ => node = Node::incomplete_map(node.span, true),
            }
        }
        let (last, above) = match self.stack.split_last_mut() {
            Some((last, above)) => (Some(&mut last.kind), &*above),
            None => (None, &[][..]),
        };
        match last {
            None => self.root = Some(node),
            Some(Container::Seq(items)) => items.push(node),
            Some(Container::Map(map)) => match std::mem::take(&mut map.pending) {
                Pending::Key => map.pending = begin_entry(map, above, node, &mut self.problems),
                Pending::Ignored(_) => {}
                Pending::Value(key, key_span) => {
                    if is_secret_key(&key) {
                        self.secrets.push(node.span.start..node.span.end);
                    }
                    map.entries.push(Entry { key, key_span, value: node });
                }
                Pending::Nameless(key_span) => {
                    map.nameless.push(Entry { key: String::new(), key_span, value: node });
                }
                Pending::Merge => merge(map, above, node, &mut self.problems),
            },
        }
        Ok(())
    }

    /// Where the key stands whose value comes next.
    fn pending_key(&self) -> Option<Span> {
        match self.stack.last().map(|open| &open.kind) {
            Some(Container::Map(OpenMap { pending: Pending::Value(_, key), .. })) => Some(*key),
            _ => None,
        }
    }

    /// Goes on as if a value that could not be had were not mentioned at all: the mistake was
    /// reported, and nothing should follow from it.
    fn leave_out(&mut self, span: Span) {
        match self.stack.last_mut().map(|open| &mut open.kind) {
            Some(Container::Map(map)) => {
                map.incomplete = true;
                map.pending = match map.pending {
                    Pending::Key => Pending::Ignored(String::new()),
                    _ => Pending::Key,
                };
            }
            Some(Container::Seq(_)) => {}
            None => self.root = Some(Node::new(Value::Null, span)),
        }
    }

    fn syntax_error(&self, error: &granit::ScanError) -> Broken {
        let marker = error.marker();
        let byte = marker.byte_offset().unwrap_or(0).min(self.text.len());
        let length = self.text.get(byte..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let span =
            Span { start: byte, end: byte + length, line: marker.line().max(1), column: marker.col() + 1 };
        // Where a bracket was opened says more than where its absence was noticed.
        let mut brackets = self
            .stack
            .iter()
            .map(|open| self.span(&open.start, &open.start))
            .filter(|open| matches!(self.text.as_bytes().get(open.start), Some(b'{' | b'[')));
        let outermost = brackets.next();
        let bracket = brackets.next_back().or(outermost);
        let broken = |problems| Broken {
            problems,
            kind: error.kind().clone(),
            line: span.line,
            bracket: outermost.map(|bracket| bracket.line),
        };
        if syntax::is_about_tabs(error.kind()) {
            let tabs = syntax::tabs(self.text, span.line);
            if !tabs.is_empty() {
                return broken(tabs);
            }
        }
        if outermost.is_none()
            && let Some(problem) = hints::explain(error.kind(), self.text, span.line - 1, byte)
        {
            return broken(problem.path(path_of(&self.stack)).into());
        }
        let (message, help) = syntax::explain(error.kind());
        let mut problem = Problem::error(message).at(span).path(path_of(&self.stack)).help(help);
        if let Some(bracket) = bracket.filter(|bracket| bracket.line < span.line) {
            let which = if self.text[bracket.start..].starts_with('{') { '{' } else { '[' };
            problem =
                problem.context(bracket).label(format!("inside the `{which}` of line {}", bracket.line));
        }
        broken(problem.into())
    }
}

/// Where in the tree a key stands whose mapping is open below these.
fn path_below(above: &[Open], key: &str) -> String {
    let path = path_of(above);
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Where in the tree the value stands that comes next in the innermost of these.
fn path_of(above: &[Open]) -> String {
    let mut path = String::new();
    for open in above {
        match &open.kind {
            Container::Seq(items) => {
                path.push('[');
                path.push_str(&items.len().to_string());
                path.push(']');
            }
            Container::Map(map) => {
                if let Pending::Value(name, _) | Pending::Ignored(name) = &map.pending
                    && !name.is_empty()
                {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name);
                }
            }
        }
    }
    path
}

/// What to do with the value that follows a key.
fn begin_entry(map: &mut OpenMap, above: &[Open], node: Node, problems: &mut Problems) -> Pending {
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
                    .path(path_of(above))
                    .help("put quotes around text that begins with a bracket"),
            );
            return Pending::Nameless(span);
        }
        _ => node.raw.map(String::from).unwrap_or_default(),
    };
    if key.is_empty() {
        // Two quotes with nothing between them are something that somebody wrote.
        let quotes = span.end > span.start + 1;
        let problem = if quotes {
            Problem::error("a key cannot be empty").help("write a name between the quotes")
        } else {
            Problem::error("a key is missing before `:`").help("write `key: value`")
        };
        problems.push(problem.at(span).path(path_of(above)));
        // A name that was forgotten may be one that something else refers to.
        map.incomplete |= !quotes;
        return Pending::Nameless(span);
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
                    .path(path_below(above, slot.key()))
                    .context(*slot.get())
                    .label(format!("first on line {}", slot.get().line))
                    .help("keep one of the two, or give them different names"),
            );
            Pending::Ignored(slot.key().clone())
        }
    }
}

/// Takes what `<<` names.
fn merge(map: &mut OpenMap, above: &[Open], node: Node, problems: &mut Problems) {
    let mut refuse = |span: Span| {
        problems.push(
            Problem::error("`<<` takes a mapping, or a list of mappings")
                .at(span)
                .path(path_of(above))
                .help("write `<<: *name`"),
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
    let OpenMap { mut entries, mut keys, merged, mut incomplete, nameless, .. } = map;
    incomplete |= merged.iter().any(Map::is_incomplete);
    for entry in merged.into_iter().flat_map(|other| other.entries) {
        if let Slot::Vacant(slot) = keys.entry(entry.key.clone()) {
            slot.insert(entry.key_span);
            entries.push(entry);
        }
    }
    Map { entries, incomplete, nameless }
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
        // What has no key is copied like everything else.
        Value::Map(map) => {
            map.iter().chain(&map.nameless).for_each(|entry| add(&entry.value, entry.key.len()));
        }
        _ => return weight,
    }
    weight.depth += 1;
    weight
}
