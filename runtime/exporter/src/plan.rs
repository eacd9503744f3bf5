//! An exporter file checked against the drivers of this program. Nothing here touches hardware.

use std::collections::{BTreeMap, HashMap};

use jumpstarter_core::{
    config::{
        self, DriverInstance, DriverNode, ExporterFile, Isolation, LogLevel, NodeKind, Problem, Problems,
        References, Subject, nearest,
        suggest::{did_you_mean, quoted},
        tree::NODE_KEYS,
    },
    describe::Interface,
    driver::{DriverFactory, Need, Prepared},
};
use jumpstarter_transport::{connect::Endpoint, grpc_options::GrpcOptions};
use uuid::Uuid;

use crate::{Commands, Registry, unknown};

/// What a file asks for, ready to be opened.
pub struct Plan {
    /// The file.
    pub file: ExporterFile,
    /// The entries of `export`, in order.
    pub nodes: Vec<Planned>,
    /// What each `ref` stands for.
    pub references: References,
    /// What the author should know although the file works.
    pub warnings: Problems,
}

/// How a file is put to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In a shell of one person: `jmp shell`.
    Local,
    /// On a port, without a controller: `jmp run --tls-grpc-listener`.
    Standalone,
    /// Registered with a controller: `jmp run`.
    Registered,
}

impl Plan {
    /// What the file says and this mode makes nothing of, in sentences: nothing is ignored in silence.
    pub fn unused(&self, mode: Mode) -> Vec<String> {
        let written = |key: &str| self.file.spans.contains_key(key);
        let mut unused = Vec::new();
        let hooks = &self.file.hooks;
        if mode == Mode::Local && (hooks.before_lease.is_some() || hooks.after_lease.is_some()) {
            unused.push("the hooks of this file do not run in a local shell; `jmp run` runs them".to_owned());
        }
        let how = match mode {
            Mode::Local => "in a local shell",
            Mode::Standalone => "by a standalone exporter",
            Mode::Registered => "by a registered exporter",
        };
        let keys: &[_] = match mode {
            Mode::Local => &["endpoint", "token", "tls", "grpcOptions", "failureDetection", "exitOnLeaseEnd"],
            Mode::Standalone => &["endpoint", "token", "tls", "grpcOptions", "exitOnLeaseEnd"],
            Mode::Registered => &[],
        };
        let keys: Vec<_> = keys.iter().filter(|key| written(key)).map(|key| format!("`{key}`")).collect();
        if !keys.is_empty() {
            unused.push(format!("not used {how}: {}", keys.join(", ")));
        }
        // What makes no sense is an error when the exporter connects.
        if mode == Mode::Registered
            && let Ok(options) = GrpcOptions::read(&self.file.grpc_options)
        {
            unused.extend(options.unused().iter().map(|name| format!("`grpcOptions`: {name} has no effect")));
        }
        unused
    }

    /// Gives each driver an identity that has none yet; answers where each one is in the tree, with dots between the names,
    /// by its UUID.
    pub fn identify(&mut self) -> HashMap<String, String> {
        fn add(nodes: &mut [Planned], places: &mut HashMap<String, String>) {
            for node in nodes {
                match &mut node.kind {
                    PlannedKind::Driver { uuid, children, .. } => {
                        let uuid = uuid.get_or_insert_with(Uuid::new_v4);
                        places.insert(uuid.to_string(), node.names.clone());
                        add(children, places);
                    }
                    PlannedKind::Composite(children) => add(children, places),
                    PlannedKind::Proxy => {}
                }
            }
        }
        let mut places = HashMap::new();
        add(&mut self.nodes, &mut places);
        places
    }
}

/// One node of the tree.
pub struct Planned {
    /// Its name among its siblings.
    pub name: String,
    /// Names from the root with dots between them.
    pub names: String,
    /// Where it is in the file.
    pub path: String,
    /// Help text of its command.
    pub description: Option<String>,
    /// What it is.
    pub kind: PlannedKind,
}

/// What a node is.
pub enum PlannedKind {
    /// A driver with its configuration read.
    Driver {
        /// The driver.
        driver: Box<dyn Prepared>,
        /// A fixed identity, if the file gives one.
        uuid: Option<Uuid>,
        /// Labels from the file.
        labels: BTreeMap<String, String>,
        /// Help texts of methods.
        methods_description: BTreeMap<String, String>,
        /// The least important records that clients get.
        log_level: LogLevel,
        /// Children that the file names.
        children: Vec<Planned>,
    },
    /// A group.
    Composite(Vec<Planned>),
    /// Another name for another node.
    Proxy,
}

/// Reads and checks a file: everything that is wrong with it, or a plan.
///
/// `name` stands in messages; `environment` looks up a variable.
pub fn check(
    name: &str,
    text: &str,
    registry: &Registry,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Plan, Problems> {
    let config::Reading { file, source, mut problems } = config::exporter::read(name, text, environment);
    let Some(file) = file else { return Err(problems) };
    let mut checker = Checker { registry, file: &file, problems: Problems::new() };
    let nodes: Vec<_> = file.export.values().filter_map(|node| checker.node(node)).collect();
    let mut found = checker.problems;
    if let Some(endpoint) = &file.endpoint
        && let Err(error) = Endpoint::parse(endpoint)
    {
        found.push(
            Problem::error(format!("`endpoint`: {}", error.message())).at(endpoint.span).path("endpoint"),
        );
    }
    let makes = |node: &DriverNode| makes(registry, node);
    let references = match config::references::resolve(&file, &makes) {
        Ok(references) => references,
        Err(unresolved) => {
            found.append(unresolved);
            References::default()
        }
    };
    found.attach(&source);
    problems.append(found);
    if problems.has_errors() {
        return Err(problems);
    }
    Ok(Plan { file, nodes, references, warnings: problems })
}

/// The children that a driver makes itself; `None` for a driver that is not known.
fn makes(registry: &Registry, node: &DriverNode) -> Option<Vec<&'static str>> {
    let NodeKind::Driver(instance) = &node.kind else { return Some(Vec::new()) };
    let specs = registry.get(&instance.driver.value)?.children();
    Some(specs.iter().filter(|spec| spec.need == Need::Made).map(|spec| spec.name).collect())
}

struct Checker<'a> {
    registry: &'a Registry,
    file: &'a ExporterFile,
    problems: Problems,
}

impl Checker<'_> {
    fn node(&mut self, node: &DriverNode) -> Option<Planned> {
        let kind = match &node.kind {
            NodeKind::Driver(instance) => self.driver(node, instance)?,
            NodeKind::Composite { children } => {
                PlannedKind::Composite(children.values().filter_map(|child| self.node(child)).collect())
            }
            NodeKind::Proxy { .. } => PlannedKind::Proxy,
            NodeKind::Broken { children } => {
                // Reported already; its children may still have something to say.
                for child in children.values() {
                    self.node(child);
                }
                return None;
            }
        };
        Some(Planned {
            name: node.name.clone(),
            names: node.names.clone(),
            path: node.path.clone(),
            description: node.description.clone().filter(|text| !text.is_empty()),
            kind,
        })
    }

    fn driver(&mut self, node: &DriverNode, instance: &DriverInstance) -> Option<PlannedKind> {
        let children: Vec<_> = instance.children.values().filter_map(|child| self.node(child)).collect();
        if instance.isolation == Isolation::Process {
            let problem = Problem::error("`isolation: process` is not available in this version");
            self.problems.push(
                problem
                    .at(node)
                    .path(&node.path)
                    .help("leave it out: the driver then runs in the exporter's process"),
            );
        }
        let Some(factory) = self.registry.get(&instance.driver.value) else {
            self.unknown(node, instance);
            return None;
        };
        self.children(node, instance, factory);
        self.described(node, instance, factory);
        let type_name = factory.spec().type_name;
        let subject = Subject::new(format!("the configuration of driver `{type_name}`"), &node.path)
            .inside("config")
            .place(instance.config_span)
            .outer_keys(NODE_KEYS);
        let driver = match factory.prepare(&instance.config, &subject) {
            Ok(driver) => driver,
            Err(problems) => {
                self.problems.append(problems);
                return None;
            }
        };
        Some(PlannedKind::Driver {
            driver,
            uuid: instance.common.uuid,
            labels: instance.common.labels.clone().into_iter().collect(),
            methods_description: instance.methods_description.clone().into_iter().collect(),
            log_level: instance.common.log_level,
            children,
        })
    }

    fn unknown(&mut self, node: &DriverNode, instance: &DriverInstance) {
        let wanted = instance.driver.value.as_str();
        let problem = Problem::error(format!("unknown driver type {}", quoted(wanted)))
            .at(instance.driver.span)
            .path(&node.path);
        self.problems.push(problem.help(unknown::help(wanted, self.registry)));
    }

    /// Help texts for commands that the driver does not have. The existing implementation takes them without a word, and
    /// they harm nobody, so this is a warning.
    fn described(
        &mut self,
        node: &DriverNode,
        instance: &DriverInstance,
        factory: &'static dyn DriverFactory,
    ) {
        if instance.method_spans.is_empty() {
            return;
        }
        let Some(Commands { mut names, configured }) = self.registry.commands(factory) else { return };
        if let Some(key) = configured {
            let of_config = instance.config.as_map().and_then(|config| config.entry(key));
            // Which ones there are, is unknown then.
            let Some(methods) = of_config.and_then(|entry| entry.value.as_map()) else { return };
            names.extend(methods.iter().map(|entry| entry.key.clone()));
        }
        let type_name = factory.spec().type_name;
        for (name, place) in instance.method_spans.iter().filter(|(name, _)| !names.contains(name)) {
            let problem = Problem::warning(format!("driver `{type_name}` has no command {}", quoted(name)));
            let help =
                did_you_mean(name, names.iter().map(String::as_str), "its commands").unwrap_or_else(|| {
                    "it has no commands of its own; a device below it is described by its own `description`"
                        .to_owned()
                });
            let path = format!("{}.methods_description", node.path);
            self.problems.push(problem.at(*place).path(path).help(help));
        }
    }

    /// Children that are missing, superfluous, or of the wrong kind.
    fn children(
        &mut self,
        node: &DriverNode,
        instance: &DriverInstance,
        factory: &'static dyn DriverFactory,
    ) {
        let type_name = factory.spec().type_name;
        let specs = factory.children();
        let open_ended = specs.iter().any(|spec| spec.need == Need::Rest);
        for spec in specs {
            let given =
                std::iter::once(&spec.name).chain(spec.also).find_map(|name| instance.children.get(*name));
            match (spec.need, given) {
                // It may be in what could not be read.
                (Need::Required, None) if node.incomplete => {}
                (Need::Required, None) => {
                    let problem =
                        Problem::error(format!("driver `{type_name}` needs a child `{}`", spec.name));
                    let help = spec.interface.map_or_else(String::new, |interface| self.providers(interface));
                    self.problems.push(problem.at(instance.driver.span).path(&node.path).help(help));
                }
                (Need::Made, Some(child)) => {
                    let problem = Problem::error(format!(
                        "driver `{type_name}` makes its child `{}` itself",
                        spec.name
                    ));
                    self.problems.push(problem.at(child).path(&child.path).help("remove it from the file"));
                }
                (_, Some(child)) => {
                    if let Some(interface) = spec.interface {
                        self.right_kind(type_name, child, interface);
                    }
                }
                _ => {}
            }
        }
        if open_ended {
            return;
        }
        let named = |name: &str| specs.iter().any(|spec| spec.name == name || spec.also.contains(&name));
        for child in instance.children.values().filter(|child| !named(&child.name)) {
            let known: Vec<_> =
                specs.iter().filter(|spec| spec.need != Need::Made).map(|spec| spec.name).collect();
            let problem = Problem::error(format!("driver `{type_name}` takes no child `{}`", child.name));
            let help = match (nearest(&child.name, known.iter().copied()), known.is_empty()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, true) if !specs.is_empty() => {
                    let made: Vec<_> = specs.iter().map(|spec| spec.name).collect();
                    format!(
                        "it makes its children itself ({}); put the device next to it, not below it",
                        made.join(", ")
                    )
                }
                (None, true) => "it has no children; put the device next to it, not below it".to_owned(),
                (None, false) => format!("its children: {}", known.join(", ")),
            };
            self.problems.push(problem.at(child).path(&child.path).help(help));
        }
    }

    fn right_kind(&mut self, parent: &str, child: &DriverNode, wanted: &'static Interface) {
        let Some(provided) = self.provided_by(child) else { return };
        if provided.iter().any(|interface| interface.full_service() == wanted.full_service()) {
            return;
        }
        let name = &child.name;
        let provides = match provided.as_slice() {
            [] => "nothing".to_owned(),
            some => some.iter().map(|interface| interface.name).collect::<Vec<_>>().join(", "),
        };
        let (place, what) = match &child.kind {
            NodeKind::Driver(instance) => (instance.driver.span, quoted(&instance.driver.value)),
            NodeKind::Proxy { target } => (target.span, quoted(&target.value)),
            _ => (child.key_span, "a group".to_owned()),
        };
        let problem = Problem::error(format!(
            "child `{name}` of driver `{parent}` must provide {}, but {what} provides {provides}",
            wanted.name
        ));
        let problem = problem.at(place).path(&child.path).label(format!("provides {provides}"));
        let help = self.providers(wanted);
        self.problems.push(problem.help(help));
    }

    /// What a child provides, references followed; `None` when that is unknown (and reported elsewhere).
    fn provided_by(&self, node: &DriverNode) -> Option<Vec<&'static Interface>> {
        match &node.kind {
            NodeKind::Driver(instance) => {
                Some(self.registry.get(&instance.driver.value)?.spec().provides.to_vec())
            }
            NodeKind::Composite { .. } => Some(Vec::new()),
            NodeKind::Proxy { target } => {
                let makes = |node: &DriverNode| makes(self.registry, node);
                match config::references::find(self.file, &makes, target)? {
                    (node, None) => self.provided_by(node),
                    (node, Some(made)) => self.made(node, &made),
                }
            }
            NodeKind::Broken { .. } => None,
        }
    }

    /// What a child provides that its driver makes itself.
    fn made(&self, node: &DriverNode, name: &str) -> Option<Vec<&'static Interface>> {
        let NodeKind::Driver(instance) = &node.kind else { return None };
        let specs = self.registry.get(&instance.driver.value)?.children();
        let spec = specs.iter().find(|spec| spec.need == Need::Made && spec.name == name)?;
        Some(vec![spec.interface?])
    }

    fn providers(&self, interface: &Interface) -> String {
        let names = self.registry.providing(interface);
        if names.is_empty() {
            format!("no driver of this program provides {}", interface.name)
        } else {
            format!("drivers that provide {}: {}", interface.name, names.join(", "))
        }
    }
}
