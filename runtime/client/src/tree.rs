//! [`Device`]: a session's report as a tree of devices.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use jumpstarter_core::{
    Error, Result,
    client::{Client, Target},
    config::nearest,
    describe::Interface,
};
use jumpstarter_protocol::v1::{DriverInstanceReport, GetReportResponse};
use jumpstarter_transport::connect::Endpoint;

use crate::{
    Connection, Options, classes,
    remote::{Instance, Shared},
};

/// Label with a device's name below its parent.
const NAME: &str = "jumpstarter.dev/name";

/// Label with the class path of a device's Python client.
const CLASS: &str = "jumpstarter.dev/client";

/// How many devices a message lists.
const LISTED: usize = 24;

/// One device of a session, and the way to all others. Cheap to clone.
///
/// The tree is the one that was reported when it was asked for. Devices keep their connection.
#[derive(Clone)]
pub struct Device {
    tree: Arc<Tree>,
    at: usize,
}

struct Tree {
    connection: Connection,
    session: String,
    labels: BTreeMap<String, String>,
    motd: String,
    nodes: Vec<Node>,
    root: usize,
}

struct Node {
    instance: Arc<Instance>,
    /// Names from the root's children down; empty for the root.
    path: String,
    name: String,
    parent: Option<usize>,
    /// In the report's order.
    children: Vec<usize>,
    labels: BTreeMap<String, String>,
    description: Option<String>,
    methods_description: BTreeMap<String, String>,
    descriptors: Vec<Bytes>,
}

impl Device {
    /// The devices of the session that the environment points to, see [`from_env`](crate::from_env).
    ///
    /// # Errors
    /// When a variable is missing or wrong, or the session does not answer.
    pub async fn from_env() -> Result<Self> {
        Connection::from_env(|name| std::env::var(name).ok()).await?.device().await
    }

    /// The devices of the session at this place.
    ///
    /// # Errors
    /// When the session does not answer.
    pub async fn connect(endpoint: &Endpoint, options: &Options) -> Result<Self> {
        Connection::open(endpoint, options).await?.device().await
    }

    /// The tree that a report describes; the root of it.
    ///
    /// A device's parent is the *last* one before it with the uuid it names: a device that is reachable in several places
    /// is reported in each of them, with everything below it.
    ///
    /// # Errors
    /// When the report describes no tree.
    pub fn from_report(connection: &Connection, report: GetReportResponse) -> Result<Self> {
        let wrong = |why: String| {
            Err(Error::internal(format!("the report of {} makes no sense: {why}", connection.place())))
        };
        let mut nodes: Vec<Node> = Vec::with_capacity(report.reports.len());
        let mut last_with = HashMap::with_capacity(report.reports.len());
        let mut root = None;
        for device in report.reports {
            let at = nodes.len();
            let uuid = device.uuid.clone();
            // An empty parent is none: some peers set every field.
            let parent = match device.parent_uuid.as_deref().filter(|uuid| !uuid.is_empty()) {
                None => None,
                Some(parent) => match last_with.get(parent) {
                    Some(parent) => Some(*parent),
                    None => return wrong(format!("device {uuid} comes before its parent {parent}")),
                },
            };
            let node = match parent {
                Some(parent) => child(connection, &nodes, parent, device),
                None if root.is_none() => {
                    root = Some(at);
                    Ok(node(connection, device, None, String::new(), String::new()))
                }
                None => Err(format!("device {uuid} is a second root")),
            };
            match node {
                Ok(node) => nodes.push(node),
                Err(why) => return wrong(why),
            }
            if let Some(parent) = parent {
                adopt(&mut nodes, parent, at);
            }
            last_with.insert(uuid, at);
        }
        let Some(root) = root else { return wrong("it has no devices".to_owned()) };
        let labels = report.labels.into_iter().collect();
        let tree = Tree {
            connection: connection.clone(),
            session: report.uuid,
            labels,
            motd: report.motd,
            nodes,
            root,
        };
        Ok(Self { tree: Arc::new(tree), at: root })
    }

    /// The device above all others.
    pub fn root(&self) -> Self {
        self.beside(self.tree.root)
    }

    /// Its name below its parent; empty for the root.
    pub fn name(&self) -> &str {
        &self.node().name
    }

    /// Names from the root's children down, for example `board.power`; empty for the root.
    pub fn path(&self) -> &str {
        &self.node().path
    }

    /// Its identity within the session, as the exporter spells it.
    pub fn uuid(&self) -> &str {
        &self.node().instance.uuid
    }

    /// The device above; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.node().parent.map(|at| self.beside(at))
    }

    /// The devices below, in the exporter's order.
    pub fn children(&self) -> impl Iterator<Item = Self> + '_ {
        self.node().children.iter().map(|at| self.beside(*at))
    }

    /// The device below with this name.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.children().find(|child| child.name() == name)
    }

    /// The device at the end of a path of names, for example `board.power`; the empty path leads to the device itself.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](jumpstarter_core::ErrorKind::Usage), which says what is there.
    pub fn find(&self, path: &str) -> Result<Self> {
        let mut at = self.clone();
        for name in path.split('.').filter(|name| !name.is_empty()) {
            at = match at.child(name) {
                Some(child) => child,
                None => return Err(at.no_child(name)),
            };
        }
        Ok(at)
    }

    fn no_child(&self, name: &str) -> Error {
        let place =
            if self.path().is_empty() { "the exporter".to_owned() } else { format!("`{}`", self.path()) };
        let names: Vec<_> = self.children().map(|child| child.name().to_owned()).collect();
        let there = match names.as_slice() {
            [] => "it has no devices below it".to_owned(),
            names => format!("there is {}", list(names)),
        };
        let near = nearest(name, names.iter().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Error::usage(format!("{place} has no device `{name}`: {there}{hint}"))
    }

    /// Labels of the device.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.node().labels
    }

    /// What the exporter's configuration says about the device.
    pub fn description(&self) -> Option<&str> {
        self.node().description.as_deref()
    }

    /// What the exporter's configuration says about commands, by command.
    pub fn methods_description(&self) -> &BTreeMap<String, String> {
        &self.node().methods_description
    }

    /// Class path of the device's Python client; empty if the exporter names none.
    pub fn client_class(&self) -> &str {
        self.labels().get(CLASS).map_or("", String::as_str)
    }

    /// Full names of the device's gRPC services; none from exporters that only know upstream's calls.
    pub fn services(&self) -> &[String] {
        self.instance().services()
    }

    /// Descriptors of these services, each an encoded `FileDescriptorProto`.
    pub fn descriptors(&self) -> &[Bytes] {
        &self.node().descriptors
    }

    /// Whether the device can be called through this interface: it has announced the interface's service, or its Python
    /// client makes the same calls.
    pub fn provides(&self, interface: &Interface) -> bool {
        self.instance().service_of(interface).is_some()
            || classes::answers(self.client_class(), interface.python)
    }

    /// A typed client of the device at the end of `path`.
    ///
    /// # Errors
    /// When there is no such device, or it is not of that kind; says what is there, and where the kind is.
    pub fn client<T: Client>(&self, path: &str) -> Result<T> {
        self.find(path)?.as_client()
    }

    /// A typed client of this device.
    ///
    /// # Errors
    /// When it is not of that kind; says what it is, and where the kind is.
    pub fn as_client<T: Client>(&self) -> Result<T> {
        if self.provides(T::INTERFACE) {
            return Ok(T::from_target(self.target()));
        }
        let place = if self.path().is_empty() { "the root" } else { self.path() };
        let what = match (self.services(), self.client_class()) {
            ([], "") => "says nothing about what it is".to_owned(),
            ([], class) => format!("is of class {class}"),
            (services, _) => format!("is {}", services.join(", ")),
        };
        let others: Vec<_> = self
            .devices()
            .filter(|device| device.provides(T::INTERFACE))
            .map(|device| device.path().to_owned())
            .collect();
        let hint = match others.as_slice() {
            [] => format!("no device of this exporter provides {}", T::INTERFACE.name),
            others => format!("these do: {}", list(others)),
        };
        Err(Error::usage(format!("`{place}` does not provide {}: it {what}; {hint}", T::INTERFACE.name)))
    }

    /// What a typed client stands on, whatever the device says it provides.
    pub fn target(&self) -> Target {
        Target::Remote(Arc::new(Shared(self.node().instance.clone())))
    }

    /// All devices of the session in the exporter's order, the root first.
    pub fn devices(&self) -> impl Iterator<Item = Self> + '_ {
        // A child that another one of the same name has displaced is not in the tree.
        let mut waiting = vec![self.tree.root];
        std::iter::from_fn(move || {
            let at = waiting.pop()?;
            waiting.extend(self.tree.nodes[at].children.iter().rev());
            Some(self.beside(at))
        })
    }

    /// Identity of the session.
    pub fn session(&self) -> &str {
        &self.tree.session
    }

    /// Labels of the exporter.
    pub fn exporter_labels(&self) -> &BTreeMap<String, String> {
        &self.tree.labels
    }

    /// What the exporter wants to have said when somebody starts to work with it; empty if nothing.
    pub fn motd(&self) -> &str {
        &self.tree.motd
    }

    /// The connection that all devices of the tree share.
    pub fn connection(&self) -> &Connection {
        &self.tree.connection
    }

    /// Closes the connection, for all devices of the tree; see [`Connection::close`].
    pub fn close(self) {
        self.tree.connection.close();
    }

    fn beside(&self, at: usize) -> Self {
        Self { tree: self.tree.clone(), at }
    }

    fn node(&self) -> &Node {
        &self.tree.nodes[self.at]
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.node().instance
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({:?}, {})", self.path(), self.uuid())
    }
}

fn child(
    connection: &Connection,
    nodes: &[Node],
    parent: usize,
    device: DriverInstanceReport,
) -> Result<Node, String> {
    let name = match device.labels.get(NAME) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => return Err(format!("device {} has a parent, but no name (label {NAME})", device.uuid)),
    };
    let path = match nodes[parent].path.as_str() {
        "" => name.clone(),
        above => format!("{above}.{name}"),
    };
    Ok(node(connection, device, Some(parent), name, path))
}

fn node(
    connection: &Connection,
    device: DriverInstanceReport,
    parent: Option<usize>,
    name: String,
    path: String,
) -> Node {
    Node {
        instance: Arc::new(Instance::new(connection.clone(), device.uuid, device.native_services)),
        path,
        name,
        parent,
        children: Vec::new(),
        labels: device.labels.into_iter().collect(),
        description: device.description.filter(|text| !text.is_empty()),
        methods_description: device.methods_description.into_iter().collect(),
        descriptors: device.file_descriptor_proto,
    }
}

/// Makes `at` a child of `parent`. Of two with the same name, the later one counts, as for existing clients.
fn adopt(nodes: &mut [Node], parent: usize, at: usize) {
    let same = nodes[parent].children.iter().position(|other| nodes[*other].name == nodes[at].name);
    match same {
        Some(same) => nodes[parent].children[same] = at,
        None => nodes[parent].children.push(at),
    }
}

/// "`a`, `b` and 3 more".
fn list(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text = format!("{text} and {} more", names.len() - LISTED);
    }
    text
}
