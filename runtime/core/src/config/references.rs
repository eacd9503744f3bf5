//! `ref` nodes, resolved over the whole tree before anything is opened.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::exporter::ExporterFile;
use super::problem::{Problem, Problems};
use super::source::Spanned;
use super::suggest::{listed, nearest, quoted};
use super::tree::{DriverNode, NodeKind, walk};

/// Most drivers that clients see, each reference counted with all that is below its target.
pub const MAX_REPORTED: usize = 10_000;

/// Deepest tree that clients see, references followed.
pub const MAX_REPORTED_DEPTH: usize = 64;

/// Most names of a `ref`, those of the references on its way included. No tree is that deep ([`super::document::MAX_DEPTH`]),
/// and without a bound, a file could make each step as long as itself.
const LONGEST_WAY: usize = 256;

/// Most proxies on the way from a `ref` to a driver.
const MAX_HOPS: usize = 64;

/// What each `ref` of a file stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Dotted names of the proxy to what it stands for, in the order of the file.
    pub targets: IndexMap<String, Target>,
}

/// What a `ref` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Dotted names of a node of the file that is no proxy.
    pub node: String,
    /// Names below it, of a child that the driver makes itself.
    pub made: Vec<String>,
}

/// Resolves every `ref` of a file.
///
/// `makes` names the children that a driver makes itself, which the file does not list and which have no children; it is `None`
/// where that is not known, and any name may be one of them. Problems: a target that is not there (with candidates), circles
/// (with the way round), references that multiply, and one `uuid` given to two drivers.
pub fn resolve(
    file: &ExporterFile,
    makes: &dyn Fn(&DriverNode) -> Option<Vec<&'static str>>,
) -> Result<References, Problems> {
    let mut resolver = Resolver { file, makes, problems: Problems::new(), edges: HashMap::new() };
    let nodes: Vec<&DriverNode> = walk(&file.export).collect();
    let mut references = References::default();
    for node in &nodes {
        let NodeKind::Proxy { target } = &node.kind else { continue };
        match resolver.target(target) {
            Ok((found, made)) => {
                resolver.edges.insert(&node.names, found);
                references.targets.insert(node.names.clone(), Target { node: found.names.clone(), made });
            }
            Err(lost) => resolver.unresolved(node, target, lost),
        }
    }
    resolver.circles_and_size(&nodes);
    same_uuid(&nodes, &mut resolver.problems);
    resolver.problems.attach(&file.source);
    resolver.problems.into_result(references)
}

/// The node that one `ref` stands for, proxies followed, and the name of a child that this node makes; `None` if it leads
/// nowhere.
pub fn find<'a>(
    file: &'a ExporterFile,
    makes: &'a dyn Fn(&DriverNode) -> Option<Vec<&'static str>>,
    target: &str,
) -> Option<(&'a DriverNode, Option<String>)> {
    let resolver = Resolver { file, makes, problems: Problems::new(), edges: HashMap::new() };
    let (node, made) = resolver.target(target).ok()?;
    Some((node, made.into_iter().next()))
}

struct Resolver<'a> {
    file: &'a ExporterFile,
    makes: &'a dyn Fn(&DriverNode) -> Option<Vec<&'static str>>,
    problems: Problems,
    /// From a proxy's dotted names to the node that it stands for.
    edges: HashMap<&'a str, &'a DriverNode>,
}

/// Why a `ref` leads nowhere.
enum Lost<'a> {
    /// The nearest node on the way that is there has no child of that name.
    NoChild(Option<&'a DriverNode>, String),
    /// The way leads through a node that is broken, or back to where it began; said elsewhere.
    Said,
    /// The `ref` leads, from proxy to proxy, back to one of them.
    Circle(Vec<String>),
    /// The `ref` leads below a child that a driver makes.
    NothingBelow(String),
    /// The `ref` leads through too many proxies.
    TooFar,
}

impl<'a> Resolver<'a> {
    /// The node that dotted names stand for, proxies followed.
    fn target(&self, target: &str) -> Result<(&'a DriverNode, Vec<String>), Lost<'a>> {
        let mut followed: Vec<String> = Vec::new();
        let mut names: Vec<String> = target.split('.').take(LONGEST_WAY + 1).map(str::to_owned).collect();
        'again: loop {
            if names.len() > LONGEST_WAY {
                return Err(Lost::TooFar);
            }
            let mut at: Option<&'a DriverNode> = None;
            for (index, name) in names.iter().enumerate() {
                let next = match at {
                    None => self.file.export.get(name),
                    Some(node) => node.child(name),
                };
                let Some(node) = next else {
                    return match at {
                        Some(node) if matches!(node.kind, NodeKind::Broken { .. }) => Err(Lost::Said),
                        Some(node) if node.incomplete => Err(Lost::Said),
                        None if self.file.incomplete => Err(Lost::Said),
                        Some(node) => match (self.makes)(node) {
                            Some(made) if !made.contains(&name.as_str()) => {
                                Err(Lost::NoChild(at, name.clone()))
                            }
                            // What a driver makes has no children.
                            Some(_) if names.len() > index + 1 => {
                                Err(Lost::NothingBelow(format!("{}.{name}", node.names)))
                            }
                            _ => Ok((node, names[index..].to_vec())),
                        },
                        None => Err(Lost::NoChild(at, name.clone())),
                    };
                };
                if let NodeKind::Proxy { target } = &node.kind {
                    followed.push(node.names.clone());
                    if followed.len() > MAX_HOPS {
                        // Meeting a proxy twice is no circle yet: `p.y` may lead to `p.z`.
                        let earlier = followed[..MAX_HOPS].iter().rposition(|names| *names == node.names);
                        return Err(
                            earlier.map_or(Lost::TooFar, |from| Lost::Circle(followed.split_off(from)))
                        );
                    }
                    let rest = names[index + 1..].iter().cloned();
                    names = target.split('.').take(LONGEST_WAY).map(str::to_owned).chain(rest).collect();
                    continue 'again;
                }
                at = Some(node);
            }
            return at.map(|node| (node, Vec::new())).ok_or(Lost::Said);
        }
    }

    fn unresolved(&mut self, node: &DriverNode, target: &Spanned<String>, lost: Lost<'_>) {
        if self.problems.is_full() {
            self.problems.push(node.problem(format!("{} leads nowhere", quoted(target))));
            return;
        }
        let problem = match lost {
            Lost::Said => return,
            Lost::NothingBelow(made) => Problem::error(absent(node, target))
                .at(target.span)
                .path(&node.path)
                .help(format!("{} has no children: write `ref: {made}`", quoted(&made))),
            Lost::Circle(way) => {
                // Every proxy of the circle leads round it, and so do those that lead into it: the
                // first member in the file speaks for all.
                let members = way.iter().filter_map(|names| self.file.node(names));
                let first = members.min_by_key(|member| (member.key_span.start, &member.names));
                if first.is_none_or(|first| first.names != node.names) {
                    return;
                }
                circle(node, target, &rotated(&way, &node.names))
            }
            Lost::TooFar => {
                Problem::error(format!("{} leads through more than {MAX_HOPS} references", quoted(target)))
                    .at(target.span)
                    .path(&node.path)
                    .help("refer to the driver itself")
            }
            Lost::NoChild(at, name) => {
                let missing = match at {
                    None => absent(node, target),
                    Some(at) => format!(
                        "{} refers to {}, but {} has no child {}",
                        quoted(&node.name),
                        quoted(target),
                        quoted(&at.names),
                        quoted(&name)
                    ),
                };
                // A name with a dot in it reads like two.
                if walk(&self.file.export).any(|node| node.names == **target) {
                    let problem = Problem::error(missing).at(target.span).path(&node.path);
                    self.problems.push(problem.help(format!(
                        "a name with a dot cannot be referred to, because dots stand between names: rename {}",
                        quoted(target)
                    )));
                    return;
                }
                let candidates: Vec<String> = walk(&self.file.export)
                    .filter(|candidate| {
                        candidate.names != node.names
                            && !candidate.is_nameless()
                            && !candidate.name.contains('.')
                            && !matches!(candidate.kind, NodeKind::Proxy { .. })
                    })
                    .flat_map(|candidate| {
                        // One that the file lists as well is a mistake of its own, and named already.
                        let made = (self.makes)(candidate).unwrap_or_default().into_iter();
                        let below = made
                            .map(|name| format!("{}.{name}", candidate.names))
                            .filter(|names| self.file.node(names).is_none());
                        std::iter::once(candidate.names.clone()).chain(below)
                    })
                    .collect();
                let own_name = target.rsplit('.').next().unwrap_or_default();
                let names = || candidates.iter().map(String::as_str);
                let near = names()
                    .find(|candidate| candidate.rsplit('.').next() == Some(own_name))
                    .or_else(|| nearest(target, names()));
                let problem = Problem::error(missing).at(target.span).path(&node.path);
                match (near, candidates.is_empty()) {
                    (_, true) => problem.help("there is no other driver in this file"),
                    (None, false) => problem.help(format!("drivers of this file: {}", listed(&candidates))),
                    (Some(near), false) => problem.help(format!(
                        "did you mean `{near}`? drivers of this file: {}",
                        listed(&candidates)
                    )),
                }
            }
        };
        self.problems.push(problem);
    }

    /// Walks the tree as clients see it, where a proxy has all that its target has.
    ///
    /// A node that contains itself that way never ends; one that contains many others many times
    /// grows without need. Both are found without building that tree: a node's size is computed once.
    fn circles_and_size(&mut self, nodes: &[&'a DriverNode]) {
        let mut sizes: HashMap<&str, Size> = HashMap::new();
        for root in nodes {
            self.measure(root, &mut sizes);
        }
        let mut total = Size::default();
        for root in self.file.export.values() {
            if let Some(size) = sizes.get(root.names.as_str()) {
                total.add(*size);
            }
        }
        let worst =
            nodes.iter().filter(|node| matches!(node.kind, NodeKind::Proxy { .. })).max_by_key(|node| {
                sizes.get(node.names.as_str()).map_or((0, 0), |size| (size.nodes, size.depth))
            });
        let Some(worst) = worst else { return };
        let (limit, what) = if total.nodes > MAX_REPORTED {
            (MAX_REPORTED, "drivers")
        } else if total.depth > MAX_REPORTED_DEPTH {
            (MAX_REPORTED_DEPTH, "levels")
        } else {
            return;
        };
        self.problems.push(
            worst
                .problem(format!("with all references followed, clients would see more than {limit} {what}"))
                .help("refer to single drivers instead of composites that refer to others"),
        );
    }

    fn measure(&mut self, root: &'a DriverNode, sizes: &mut HashMap<&'a str, Size>) {
        if sizes.contains_key(root.names.as_str()) {
            return;
        }
        // Not recursive: references can be chained as long as the file is.
        let mut open: Vec<Visit<'a>> = vec![Visit::new(root, &self.edges)];
        let mut within: HashSet<&str> = HashSet::from([root.names.as_str()]);
        while let Some(visit) = open.last_mut() {
            let Some(next) = visit.parts.pop() else {
                let (names, size) = (visit.node.names.as_str(), visit.size);
                open.pop();
                within.remove(names);
                sizes.insert(names, size);
                if let Some(above) = open.last_mut() {
                    above.size.add(size);
                }
                continue;
            };
            if let Some(size) = sizes.get(next.names.as_str()) {
                visit.size.add(*size);
            } else if within.contains(next.names.as_str()) {
                if self.problems.is_full() {
                    self.problems.push(next.problem("a circle of references"));
                    continue;
                }
                let at = open.iter().position(|earlier| earlier.node.names == next.names).unwrap_or(0);
                let mut way: Vec<String> = open[at..].iter().map(|visit| visit.node.names.clone()).collect();
                way.push(next.names.clone());
                // Containment alone is no circle, so one of them is a proxy; the last of those closes it.
                let closing = open[at..].iter().rev().find_map(|visit| match &visit.node.kind {
                    NodeKind::Proxy { target } => Some((visit.node, target)),
                    _ => None,
                });
                if let Some((node, target)) = closing {
                    self.problems.push(circle(node, target, &way));
                }
            } else {
                let visit = Visit::new(next, &self.edges);
                within.insert(next.names.as_str());
                open.push(visit);
            }
        }
    }
}

/// How much of a tree is below a node, itself included.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    depth: usize,
}

impl Size {
    fn add(&mut self, child: Self) {
        self.nodes = self.nodes.saturating_add(child.nodes);
        self.depth = self.depth.max(child.depth.saturating_add(1));
    }
}

struct Visit<'a> {
    node: &'a DriverNode,
    parts: Vec<&'a DriverNode>,
    size: Size,
}

impl<'a> Visit<'a> {
    fn new(node: &'a DriverNode, edges: &HashMap<&str, &'a DriverNode>) -> Self {
        let mut parts: Vec<&DriverNode> = node.children().collect();
        parts.extend(edges.get(node.names.as_str()).copied());
        parts.reverse();
        Self { node, parts, size: Size { nodes: 1, depth: 1 } }
    }
}

fn circle(node: &DriverNode, target: &Spanned<String>, way: &[String]) -> Problem {
    let mut way: Vec<String> = way.iter().map(|names| quoted(names)).collect();
    if way.len() > 12 {
        way.splice(6..way.len() - 5, ["…".to_owned()]);
    }
    Problem::error(format!("{} refers back to itself", quoted(&node.name)))
        .at(target.span)
        .path(&node.path)
        .label(way.join(" → "))
        .help("let one of them be a driver with a `type`")
}

/// A circle, told from one of its members on.
fn rotated(ring: &[String], from: &str) -> Vec<String> {
    let Some((_, members)) = ring.split_last() else { return Vec::new() };
    let start = members.iter().position(|names| names == from).unwrap_or(0);
    let mut way: Vec<String> = members[start..].iter().chain(&members[..start]).cloned().collect();
    way.extend(members.get(start).cloned());
    way
}

fn same_uuid(nodes: &[&DriverNode], problems: &mut Problems) {
    let mut seen = HashMap::new();
    for node in nodes {
        let NodeKind::Driver(driver) = &node.kind else { continue };
        let Some(uuid) = driver.common.uuid else { continue };
        let Some(first) = seen.insert(uuid, *node) else { continue };
        problems.push(
            node.problem(format!(
                "{} and {} have the same `uuid`",
                quoted(&first.names),
                quoted(&node.names)
            ))
            .context(first.key_span)
            .help("a uuid belongs to one driver: remove it from one of them"),
        );
    }
}

/// That a target is not there.
fn absent(node: &DriverNode, target: &str) -> String {
    format!("{} refers to {}, which is not there", quoted(&node.name), quoted(target))
}
