//! The driver nodes below `export`.
//!
//! What a node is follows from the keys that are there (`type`, `ref`, `children`), and then that
//! form is read strictly. A node with a mistake stays in the tree as [`NodeKind::Broken`], so that
//! everything else can be checked and no second complaint follows from the first.

use indexmap::IndexMap;

use super::common::{COMMON_KEYS, CommonConfig, Isolation};
use super::decode::decode;
use super::document::{self, Entry, Map, Node, Value};
use super::problem::{Problem, Problems};
use super::source::{Span, Spanned};
use super::subject::Subject;
use super::suggest::{did_you_mean, harmless, nearest, quoted};
use super::wording;

/// The keys of a driver node.
pub const NODE_KEYS: &[&str] =
    &["type", "config", "children", "ref", "description", "methods_description", "isolation"];

/// What a node can be.
const NODE_FORMS: &str =
    "write `type:` with the name of a driver, `ref:` with another entry's name, or `children:` below it";

/// Longest name of a driver, in characters.
pub const MAX_NAME: usize = 100;

/// Most drivers of a file.
pub const MAX_DRIVERS: usize = 5_000;

/// One entry of `export` or of `children`.
#[derive(Clone, Debug)]
pub struct DriverNode {
    /// Its name among its siblings.
    pub name: String,
    /// Names from the root with dots between them: `board.console`, the form that `ref` takes.
    pub names: String,
    /// Where it is in the file: `export.board.children.console`.
    pub path: String,
    /// Where its name stands.
    pub key_span: Span,
    /// Where its value stands.
    pub span: Span,
    /// Help text of its command.
    pub description: Option<String>,
    /// What it is.
    pub kind: NodeKind,
    /// Whether it may have more children than could be read. The reason is among the problems of the file.
    pub incomplete: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// `type: …`
    Driver(Box<DriverInstance>),
    /// `children: …` alone: the built-in composite.
    Composite {
        /// In the order of the file.
        children: IndexMap<String, DriverNode>,
    },
    /// `ref: …`: another name for another node.
    Proxy {
        /// Dotted names from the root.
        target: Spanned<String>,
    },
    /// Wrong, and reported already. Occurs only together with an error.
    Broken {
        /// What could be read of its children.
        children: IndexMap<String, DriverNode>,
    },
}

/// A node with a `type`.
#[derive(Clone, Debug)]
pub struct DriverInstance {
    /// A driver's name or an alias of it, such as upstream's class path.
    pub driver: Spanned<String>,
    /// The driver's own configuration: always a mapping, empty when `config` is absent or empty.
    pub config: Node,
    /// Where the key `config` stands; the node's name when there is none.
    pub config_span: Span,
    /// What `config` says about every kind of driver.
    pub common: CommonConfig,
    /// In the order of the file.
    pub children: IndexMap<String, DriverNode>,
    /// Help texts of methods, by name.
    pub methods_description: IndexMap<String, String>,
    /// Where these names stand.
    pub method_spans: IndexMap<String, Span>,
    /// Where it runs.
    pub isolation: Isolation,
}

impl DriverNode {
    /// A node of which nothing is known but its name.
    fn broken(entry: &Entry, path: String, names: String) -> Self {
        let kind = NodeKind::Broken { children: IndexMap::new() };
        Self {
            name: entry.key.clone(),
            key_span: entry.key_span,
            span: entry.value.span,
            path,
            names,
            description: None,
            kind,
            incomplete: true,
        }
    }

    /// The children that the file names. A proxy has none of its own.
    pub fn children(&self) -> impl Iterator<Item = &DriverNode> {
        self.child_map().into_iter().flat_map(IndexMap::values)
    }

    /// The child of that name.
    pub fn child(&self, name: &str) -> Option<&DriverNode> {
        self.child_map()?.get(name)
    }

    fn child_map(&self) -> Option<&IndexMap<String, DriverNode>> {
        match &self.kind {
            NodeKind::Driver(driver) => Some(&driver.children),
            NodeKind::Composite { children } | NodeKind::Broken { children } => Some(children),
            NodeKind::Proxy { .. } => None,
        }
    }

    /// Whether its name, or one above it, was refused, so that nothing can refer to it.
    pub(super) fn is_nameless(&self) -> bool {
        self.names.contains(NAMELESS)
    }

    /// An error at this node: its name is underlined, its path given.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::error(message).at(self.key_span).path(&self.path)
    }
}

impl DriverInstance {
    /// How messages speak of this driver's configuration. `path` is the node's.
    pub fn config_subject(&self, path: &str) -> Subject {
        Subject::new(format!("the configuration of driver {}", quoted(&self.driver)), path)
            .inside("config")
            .place(self.config_span)
            .outer_keys(NODE_KEYS)
    }

    /// An error about the driver's type: the word behind `type:` is underlined. `path` is the node's.
    pub fn type_problem(&self, path: &str, message: impl Into<String>) -> Problem {
        Problem::error(message).at(self.driver.span).path(path)
    }
}

/// All nodes, parents before their children, in the order of the file.
pub fn walk(roots: &IndexMap<String, DriverNode>) -> impl Iterator<Item = &DriverNode> {
    let mut waiting: Vec<&DriverNode> = roots.values().rev().collect();
    std::iter::from_fn(move || {
        let node = waiting.pop()?;
        let first = waiting.len();
        waiting.extend(node.children());
        waiting[first..].reverse();
        Some(node)
    })
}

/// Reads a mapping of names to driver nodes.
pub(super) fn read_nodes(
    entry: &Entry,
    path: &str,
    names: &str,
    problems: &mut Problems,
    read: &mut usize,
) -> IndexMap<String, DriverNode> {
    let Some(map) = entry.value.as_map() else {
        let what = wording::describe(&entry.value, None);
        let help = match entry.value.value {
            Value::Seq(_) => {
                "write a name in the place of each `-`: `power:` with an indented `type: …` below".to_owned()
            }
            _ => format!("write `{0}: {{}}` for none, or `{0}:` with an indented `name:` below", entry.key),
        };
        problems.push(
            Problem::error(format!(
                "{} must be a mapping of names to drivers, but it is {what}",
                quoted(&entry.key)
            ))
            .at(entry.place())
            .path(path)
            .help(help),
        );
        return IndexMap::new();
    };
    let mut above: Option<&Entry> = None;
    let mut nodes: IndexMap<String, DriverNode> = map
        .iter()
        .enumerate()
        .filter_map(|(index, child)| {
            *read += 1;
            // Keys that are not indented below the name of their driver look like drivers themselves.
            let outdented =
                |entry: &Entry| NODE_KEYS.contains(&entry.key.as_str()) && entry.value.as_map().is_none();
            if let Some(name) = above.filter(|_| NODE_KEYS.contains(&child.key.as_str())) {
                problems.push(
                    Problem::error(format!(
                        "{} is not indented below {}",
                        quoted(&child.key),
                        quoted(&name.key)
                    ))
                    .at(child.key_span)
                    .context(name.key_span)
                    .path(path)
                    .help(format!("indent this line further than `{}:`", name.key)),
                );
                return None;
            }
            let bare = child.value.is_null() && child.value.span.is_empty();
            above = Some(child).filter(|_| bare && map.entries.get(index + 1).is_some_and(outdented));

            if *read > MAX_DRIVERS {
                // Once is enough; the others would say the same.
                if *read == MAX_DRIVERS + 1 {
                    problems.push(
                        Problem::error("too many drivers")
                            .at(child.key_span)
                            .path(path)
                            .help(format!("a file may hold {MAX_DRIVERS} of them")),
                    );
                }
                return None;
            }
            let blank = child.key.trim().is_empty() || child.key.chars().any(char::is_control);
            if blank || child.key.chars().nth(MAX_NAME).is_some() {
                problems.push(
                    Problem::error(format!("{} is no name for a driver", quoted(&child.key)))
                        .at(child.key_span)
                        .path(path)
                        .help(format!("use letters, digits, `-` and `_`, {MAX_NAME} of them at most")),
                );
                return Some(nameless(child, path, names, problems, read));
            }
            let names = if names.is_empty() { child.key.clone() } else { format!("{names}.{}", child.key) };
            let path = format!("{path}.{}", child.key);
            let node = match above {
                // What it is follows from the next lines, where it is reported.
                Some(_) => DriverNode::broken(child, path, names),
                None => read_node(child.into(), path, names, problems, read),
            };
            Some((child.key.clone(), node))
        })
        .collect();
    for child in &map.nameless {
        *read += 1;
        if *read <= MAX_DRIVERS {
            nodes.extend([nameless(child, path, names, problems, read)]);
        }
    }
    nodes
}

/// Begins what stands for a name that is none, in [`DriverNode::names`]; no name begins so.
const NAMELESS: char = '\0';

/// Reads a node whose name was refused, for what else is wrong with it.
fn nameless(
    entry: &Entry,
    path: &str,
    names: &str,
    problems: &mut Problems,
    read: &mut usize,
) -> (String, DriverNode) {
    let place = entry.key_span;
    let name = format!("{NAMELESS}{}", place.start);
    let names = if names.is_empty() { name.clone() } else { format!("{names}.{name}") };
    let named = Named { key: "?", key_span: place, value: &entry.value };
    let node = read_node(named, format!("{path}.?"), names, problems, read);
    (name, node)
}

/// A value with its name, which is not always that of the file.
#[derive(Clone, Copy)]
struct Named<'a> {
    key: &'a str,
    key_span: Span,
    value: &'a Node,
}

impl<'a> From<&'a Entry> for Named<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { key: &entry.key, key_span: entry.key_span, value: &entry.value }
    }
}

fn read_node(
    entry: Named<'_>,
    path: String,
    names: String,
    problems: &mut Problems,
    read: &mut usize,
) -> DriverNode {
    let mut reader = NodeReader {
        entry,
        path: &path,
        names: &names,
        problems: Problems::new(),
        read,
        lost_children: false,
    };
    let (description, kind) = reader.read();
    let incomplete = reader.lost_children;
    let found = reader.problems;
    problems.append(found);
    DriverNode {
        name: entry.key.to_owned(),
        key_span: entry.key_span,
        span: entry.value.span,
        path,
        names,
        description,
        kind,
        incomplete,
    }
}

struct NodeReader<'a> {
    entry: Named<'a>,
    path: &'a str,
    names: &'a str,
    problems: Problems,
    /// How many nodes of the file were read so far.
    read: &'a mut usize,
    /// Whether there may be children that could not be read.
    lost_children: bool,
}

impl NodeReader<'_> {
    fn read(&mut self) -> (Option<String>, NodeKind) {
        let Some(map) = self.entry.value.as_map() else {
            let what = wording::describe(self.entry.value, None);
            let help = match wording::glued(self.entry.value) {
                Some((key, value)) => format!("a space is missing: write `{key}: {value}`"),
                None => NODE_FORMS.to_owned(),
            };
            let problem =
                Problem::error(format!("{} must be a mapping, but it is {what}", quoted(self.entry.key)))
                    .help(help);
            let place = document::place(self.entry.key_span, self.entry.value);
            self.problems.push(problem.at(place).path(self.path));
            return (None, NodeKind::Broken { children: IndexMap::new() });
        };
        let mut children = IndexMap::new();
        let mut of_children = Problems::new();
        // Null stands for "not given" next to `ref`, in files that a program wrote.
        let given = |entry: &&Entry| !(entry.value.is_null() && map.get("ref").is_some());
        if let Some(entry) = map.entry("children").filter(given) {
            let path = format!("{}.children", self.path);
            children = read_nodes(entry, &path, self.names, &mut of_children, self.read);
            self.lost_children = entry.value.as_map().is_none_or(Map::is_incomplete);
            // A mapping of the wrong shape is this node's mistake; the rest is its children's.
            if entry.value.as_map().is_none() {
                self.problems.append(std::mem::take(&mut of_children));
            }
        } else {
            self.lost_children = map.is_incomplete() || meant(map, "children");
        }
        self.unknown_keys(map);
        let description =
            map.entry("description").and_then(|entry| self.part::<Option<String>>(entry).flatten());
        let kind = match self.form(map) {
            Some(Form::Driver(entry)) => self.driver(map, entry),
            Some(Form::Composite) => Some(NodeKind::Composite { children: IndexMap::new() }),
            Some(Form::Proxy(entry)) => self.proxy(entry),
            None => None,
        };
        let sound = !self.problems.has_errors();
        self.problems.append(of_children);
        let kind = match kind {
            Some(NodeKind::Driver(mut driver)) => {
                driver.children = children;
                NodeKind::Driver(driver)
            }
            Some(NodeKind::Composite { .. }) if sound => NodeKind::Composite { children },
            Some(NodeKind::Proxy { target }) => NodeKind::Proxy { target },
            _ => NodeKind::Broken { children },
        };
        (description, kind)
    }

    fn unknown_keys(&mut self, map: &Map) {
        for entry in map.iter().filter(|entry| !NODE_KEYS.contains(&entry.key.as_str())) {
            let help = match nearest(&entry.key, NODE_KEYS.iter().copied()) {
                None if map.get("type").is_some() => {
                    let of_driver = format!(
                        "settings of the driver belong inside `config`, not next to `type`: `config: {{{}: …}}`",
                        entry.key
                    );
                    Some(format!("{of_driver}\nknown keys here: {}", NODE_KEYS.join(", ")))
                }
                _ => did_you_mean(&entry.key, NODE_KEYS.iter().copied(), "known keys"),
            };
            let problem =
                Problem::error(format!("unknown key {} in {}", quoted(&entry.key), quoted(self.entry.key)))
                    .at(entry.key_span)
                    .context(self.entry.key_span)
                    .path(self.path)
                    .maybe_help(help);
            self.problems.push(problem);
        }
    }

    /// Decides by the keys that are there.
    fn form<'m>(&mut self, map: &'m Map) -> Option<Form<'m>> {
        let (driver, proxy, children) = (map.entry("type"), map.entry("ref"), map.entry("children"));
        if let Some(proxy) = proxy {
            if let Some(driver) = driver {
                let (earlier, later) =
                    if driver.key_span < proxy.key_span { (driver, proxy) } else { (proxy, driver) };
                self.problems.push(
                    Problem::error(format!("{} has both `type` and `ref`", quoted(self.entry.key)))
                        .at(later.key_span)
                        .context(earlier.key_span)
                        .path(self.path)
                        .help("`type` is a driver of its own, `ref` another name for an existing one: remove one of them"),
                );
                return Some(Form::Driver(driver));
            }
            for surplus in
                map.iter().filter(|entry| entry.key != "ref" && NODE_KEYS.contains(&entry.key.as_str()))
            {
                // Null stands for "not given" in files that a program wrote.
                if surplus.value.is_null() {
                    continue;
                }
                let problem = Problem::error(format!("{} next to `ref` has no effect", quoted(&surplus.key)))
                    .at(surplus.key_span)
                    .context(self.entry.key_span)
                    .path(self.path);
                let target = proxy.value.as_str().map_or_else(|| "the entry it names".to_owned(), quoted);
                self.problems.push(problem.help(format!("remove it, or write it at {target}")));
            }
            return Some(Form::Proxy(proxy));
        }
        if let Some(driver) = driver {
            return Some(Form::Driver(driver));
        }
        // A misspelt `type` was reported; that it is missing would only repeat it.
        if map.is_incomplete()
            || meant(map, "type")
            || meant(map, "ref")
            || (children.is_none() && meant(map, "children"))
        {
            return None;
        }
        for surplus in ["config", "methods_description", "isolation"] {
            if let Some(entry) = map.entry(surplus).filter(|entry| !entry.value.is_null()) {
                self.problems.push(
                    Problem::error(format!("{} without `type`", quoted(surplus)))
                        .at(entry.key_span)
                        .context(self.entry.key_span)
                        .path(self.path)
                        .help("add `type:` with the name of a driver"),
                );
                return None;
            }
        }
        if children.is_some() {
            return Some(Form::Composite);
        }
        self.problems.push(
            Problem::error(format!("{} says neither `type`, `ref` nor `children`", quoted(self.entry.key)))
                .at(self.entry.key_span)
                .path(self.path)
                .help(NODE_FORMS),
        );
        None
    }

    fn driver(&mut self, map: &Map, entry: &Entry) -> Option<NodeKind> {
        let driver = self.word(entry, "the name of a driver");
        let (config, config_span, common) = self.config(map);
        let described = map.entry("methods_description");
        let method_spans = described.and_then(|entry| entry.value.as_map()).into_iter();
        let method_spans =
            method_spans.flat_map(Map::iter).map(|entry| (entry.key.clone(), entry.key_span)).collect();
        let methods_description = described
            .and_then(|entry| self.part::<Option<IndexMap<String, String>>>(entry).flatten())
            .unwrap_or_default();
        let isolation = map
            .entry("isolation")
            .and_then(|entry| self.part::<Option<Isolation>>(entry).flatten())
            .unwrap_or_default();
        Some(NodeKind::Driver(Box::new(DriverInstance {
            driver: driver?,
            config,
            config_span,
            common,
            children: IndexMap::new(),
            methods_description,
            method_spans,
            isolation,
        })))
    }

    /// The driver's own configuration, and what every driver has.
    fn config(&mut self, map: &Map) -> (Node, Span, CommonConfig) {
        // A setting next to `config` instead of inside, or lost with a part of the file, is not missing as well.
        let lost = map.is_incomplete() || map.iter().any(|entry| !NODE_KEYS.contains(&entry.key.as_str()));
        let Some(entry) = map.entry("config") else {
            let key = self.entry.key_span;
            return (Node::incomplete_map(key, lost), key, CommonConfig::default());
        };
        let mut own = match &entry.value.value {
            Value::Null => {
                let empty = Node::incomplete_map(entry.key_span, lost);
                return (empty, entry.key_span, CommonConfig::default());
            }
            Value::Map(map) => map.clone(),
            _ => {
                let what = wording::describe(&entry.value, None);
                self.problems.push(
                    Problem::error(format!("`config` must be a mapping, but it is {what}"))
                        .at(entry.place())
                        .path(format!("{}.config", self.path))
                        .help("write `config: {key: value}`, or one indented `key: value` per line"),
                );
                let unknown = Node::incomplete_map(entry.key_span, true);
                return (unknown, entry.key_span, CommonConfig::default());
            }
        };
        own.incomplete |= lost;
        let common = COMMON_KEYS.iter().filter_map(|key| own.take(key)).collect();
        let common = Map { entries: common, incomplete: true, nameless: Vec::new() };
        let subject = Subject::new("`config`", self.path).inside("config").place(entry.key_span);
        let common = match decode::<CommonConfig>(&Node::new(Value::Map(common), entry.value.span), &subject)
        {
            Ok(common) => common,
            Err(problems) => {
                self.problems.append(problems);
                CommonConfig::default()
            }
        };
        (Node::new(Value::Map(own), entry.value.span), entry.key_span, common)
    }

    fn proxy(&mut self, entry: &Entry) -> Option<NodeKind> {
        let target = self.word(entry, "the name of another entry, such as `board.power`")?;
        Some(NodeKind::Proxy { target })
    }

    /// A word that must not be empty.
    fn word(&mut self, entry: &Entry, expected: &str) -> Option<Spanned<String>> {
        if let Some(text) = entry.value.as_str().filter(|text| !text.trim().is_empty()) {
            // The only way to such blanks is by quotes, and no name has any.
            if text.trim() != text {
                self.problems.push(
                    Problem::error(format!("{} begins or ends with blanks", quoted(&entry.key)))
                        .at(entry.place())
                        .path(format!("{}.{}", self.path, entry.key))
                        .help(format!("write `{}: {}`", harmless(&entry.key), harmless(text.trim()))),
                );
                return None;
            }
            return Some(Spanned { value: text.to_owned(), span: entry.value.span });
        }
        if entry.value.is_unknown() {
            return None;
        }
        let what = if entry.value.as_str().is_some() {
            "empty".to_owned()
        } else {
            wording::describe(&entry.value, None)
        };
        self.problems.push(
            Problem::error(format!("{} must be {expected}, but it is {what}", quoted(&entry.key)))
                .at(entry.place())
                .path(format!("{}.{}", self.path, entry.key)),
        );
        None
    }

    /// Decodes the value of one key.
    fn part<T: serde::de::DeserializeOwned>(&mut self, entry: &Entry) -> Option<T> {
        let subject =
            Subject::new(quoted(&entry.key), format!("{}.{}", self.path, entry.key)).place(entry.key_span);
        decode(&entry.value, &subject).map_err(|problems| self.problems.append(problems)).ok()
    }
}

/// Whether an unknown key is there that was probably meant to be this one.
fn meant(map: &Map, key: &str) -> bool {
    map.iter().any(|entry| {
        !NODE_KEYS.contains(&entry.key.as_str())
            && nearest(&entry.key, NODE_KEYS.iter().copied()).is_some_and(|near| near == key)
    })
}

/// What the keys of a node say that it is.
enum Form<'a> {
    Driver(&'a Entry),
    Composite,
    Proxy(&'a Entry),
}
