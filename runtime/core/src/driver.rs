//! What a driver is: configuration in, interfaces out, with a beginning and an end.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicBool},
};

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{
    Error, Result,
    client::Client,
    config,
    describe::Interface,
    dispatch::Provided,
    instance::{Instance, Lifecycle},
    log::{LogSink, Logger},
};

/// A driver's configuration: the type behind `config:` in the exporter file. Made by `#[config]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a driver configuration",
    label = "not a configuration",
    note = "add `#[config]` to `{Self}`"
)]
pub trait Config: DeserializeOwned + schemars::JsonSchema + Send + 'static {}

/// The configuration of a driver that has none.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "This driver has no configuration.")]
pub struct NoConfig {}

impl Config for NoConfig {}

/// The types that belong to a driver; written by `#[driver]`.
pub trait DriverTypes {
    /// Its configuration.
    type Config: Config;
    /// Its children.
    type Children: ChildSet;
}

/// A driver's life. Everything else is in the interfaces it provides.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it is opened",
    note = "write `impl Driver for {Self}`, or `open = …` in `#[driver]`"
)]
pub trait Driver: DriverTypes + Sized + Send + Sync + 'static {
    /// Takes hold of the device. Children are open by then.
    fn open(config: Self::Config, cx: &mut Open<Self::Children>)
    -> impl Future<Output = Result<Self>> + Send;

    /// What is wrong with a configuration that its type and its schema let pass, so that no device could be opened with it: said
    /// when a file is checked, on whatever machine that is, so this looks at nothing but the configuration. A message that begins
    /// with a key, such as "`url`: …" or "`power_on.method`: …", is shown at that key.
    fn check(_config: &Self::Config) -> Vec<Error> {
        Vec::new()
    }

    /// Brings the device back to where a new user expects it; called when a session starts.
    fn reset(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Gives the device back; called when a session ends, children last.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// What `#[driver]` says about a type: a constant.
#[derive(Debug)]
pub struct DriverSpec {
    /// The name in `type:`.
    pub type_name: &'static str,
    /// Further names, for example upstream's class path.
    pub aliases: &'static [&'static str],
    /// The struct's doc comment.
    pub doc: &'static str,
    /// The interfaces.
    pub provides: &'static [&'static Interface],
    /// Class path of the Python client, where it is not that of the first interface.
    pub client: Option<&'static str>,
    /// Labels for the report.
    pub labels: &'static [(&'static str, &'static str)],
}

/// Python module with the clients that are generated from our interfaces. It begins as upstream's own do, so that people's
/// allow lists (`jumpstarter_driver_*`) match.
pub const GENERATED_CLIENTS: &str = "jumpstarter_driver_x";

/// Python distribution that brings [`GENERATED_CLIENTS`].
pub const GENERATED_DISTRIBUTION: &str = "jumpstarter-driver-x";

/// Whether a class path leads into the package of generated clients.
pub fn is_generated_client(class: &str) -> bool {
    class.strip_prefix(GENERATED_CLIENTS).is_some_and(|rest| rest.starts_with('.'))
}

/// Class path of upstream's client for nodes that only have children.
pub const COMPOSITE_CLIENT: &str = "jumpstarter_driver_composite.client.CompositeClient";

impl DriverSpec {
    /// The client label: the one that was set, or the first interface's, or a composite's.
    pub fn client_label(&self) -> &'static str {
        self.client
            .or_else(|| self.provides.first().map(|interface| interface.python))
            .unwrap_or(COMPOSITE_CLIENT)
    }

    /// The client label of an instance with children. Python clients that cannot find a class lose everything below it, so
    /// a class that most of them do not have gives way to upstream's composite, unless the driver itself asks for it.
    pub fn client_label_with_children(&self) -> &'static str {
        match self.client_label() {
            label if self.client.is_none() && is_generated_client(label) => COMPOSITE_CLIENT,
            label => label,
        }
    }
}

/// A type with `#[driver]`.
pub trait Hostable: Driver {
    /// What the attribute says.
    const SPEC: DriverSpec;

    /// Its interfaces, ready to be called.
    fn provided(it: &Arc<Self>) -> Vec<Provided>;
}

/// A kind of driver, without its type: what lists of drivers hold.
pub trait DriverFactory: Send + Sync {
    /// What the driver says about itself.
    fn spec(&self) -> &'static DriverSpec;

    /// JSON Schema of its configuration.
    fn config_schema(&self) -> schemars::Schema;

    /// The children it wants.
    fn children(&self) -> &'static [ChildSpec];

    /// Reads the configuration, reporting every problem. Touches no hardware.
    fn prepare(
        &self,
        config: &config::Node,
        subject: &config::Subject,
    ) -> Result<Box<dyn Prepared>, config::Problems>;
}

/// A driver whose configuration was read: ready to be opened.
pub trait Prepared: Send {
    /// Opens it with these children.
    fn open(self: Box<Self>, node: Node, children: Children) -> BoxFuture<'static, Result<Instance>>;
}

/// Who a driver is in the tree, besides its configuration.
#[derive(Clone)]
pub struct Node {
    /// Identity within the session.
    pub uuid: Uuid,
    /// Where it stands, for example `export.board.power`.
    pub path: String,
    /// Labels from the configuration.
    pub labels: BTreeMap<String, String>,
    /// Description from the configuration.
    pub description: Option<String>,
    /// Help texts for commands, from the configuration.
    pub methods_description: BTreeMap<String, String>,
    /// Where it speaks to.
    pub log: Arc<dyn LogSink>,
}

/// The factory of a type with `#[driver]`.
pub struct Factory<T>(PhantomData<fn() -> T>);

impl<T> Factory<T> {
    /// The one value.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Factory<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Hostable> Factory<T> {
    const SPEC: &'static DriverSpec = &T::SPEC;
}

impl<T: Hostable> DriverFactory for Factory<T> {
    fn spec(&self) -> &'static DriverSpec {
        Self::SPEC
    }

    fn config_schema(&self) -> schemars::Schema {
        schemars::schema_for!(T::Config)
    }

    fn children(&self) -> &'static [ChildSpec] {
        T::Children::SPECS
    }

    fn prepare(
        &self,
        config: &config::Node,
        subject: &config::Subject,
    ) -> Result<Box<dyn Prepared>, config::Problems> {
        let schema = self.config_schema().to_value();
        let decoded = config::decode_checked(config, &schema, subject).and_then(|decoded| {
            let refused = T::check(&decoded).into_iter();
            let refused: config::Problems =
                refused.map(|error| subject.refused(config, error.message())).collect();
            refused.into_result(decoded)
        });
        let decoded = decoded.map_err(|mut problems| {
            // What the driver has to say about the rest is not kept back until these are mended.
            problems.append(config::refused_rest(config, &problems, subject, T::check));
            problems
        })?;
        Ok(Box::new(Ready::<T>(decoded)))
    }
}

struct Ready<T: Hostable>(T::Config);

impl<T: Hostable> Prepared for Ready<T> {
    fn open(self: Box<Self>, node: Node, children: Children) -> BoxFuture<'static, Result<Instance>> {
        Box::pin(async move {
            let mut cx = Open::new(node, children, T::SPEC.type_name);
            let driver = Arc::new(T::open(self.0, &mut cx).await?);
            cx.check_made()?;
            Ok(cx.instance(&driver))
        })
    }
}

struct Living<T>(Arc<T>);

impl<T: Driver> Lifecycle for Living<T> {
    fn reset(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.reset())
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.close())
    }
}

/// What a driver gets while it opens.
pub struct Open<C = NoChildren> {
    node: Node,
    /// The public name of the driver.
    type_name: &'static str,
    logger: Option<Logger>,
    /// Configured children, in order; drivers take clients of them, they stay in the tree.
    children: Children,
    made: Vec<(String, Arc<Instance>)>,
    types: PhantomData<fn() -> C>,
}

impl<C: ChildSet> Open<C> {
    fn new(node: Node, children: Children, type_name: &'static str) -> Self {
        Self { node, type_name, logger: None, children, made: Vec::new(), types: PhantomData }
    }

    /// Clients of the children, as the driver declared them. Children that it makes itself are made before.
    pub fn children(&mut self) -> Result<C> {
        let mut children = self.children.clone();
        children.0.extend(self.made.iter().cloned());
        C::take(&children).map_err(|e| e.context(&self.node.path))
    }

    /// Makes a child of its own, which the exporter file does not mention.
    pub fn make<T: Hostable>(&mut self, name: &str, driver: T) -> Arc<T> {
        let driver = Arc::new(driver);
        let node = Node {
            uuid: Uuid::new_v4(),
            path: format!("{}.{name}", self.node.path),
            labels: BTreeMap::new(),
            description: None,
            methods_description: BTreeMap::new(),
            log: self.node.log.clone(),
        };
        let instance =
            Open::<NoChildren>::new(node, Children::default(), T::SPEC.type_name).instance(&driver);
        self.made.push((name.to_owned(), Arc::new(instance)));
        driver
    }

    /// The tree that was announced without opening hardware has to be the tree that there is.
    fn check_made(&self) -> Result<()> {
        let promised = C::SPECS.iter().filter(|spec| spec.need == Need::Made);
        let mut missing = promised.filter(|spec| !self.made.iter().any(|(name, _)| name == spec.name));
        match missing.next() {
            Some(spec) => Err(Error::internal(format!(
                "{}: the driver declares that it makes the child `{}`, but did not",
                self.node.path, spec.name
            ))),
            None => Ok(()),
        }
    }

    /// Where the driver stands in the tree, for messages.
    pub fn path(&self) -> &str {
        &self.node.path
    }

    /// Describes a command in help texts: for commands that the driver's configuration makes. What stands in
    /// `methods_description` in the file under the same name is replaced.
    pub fn describe_method(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.node.methods_description.insert(name.into(), text.into());
    }

    /// Puts a label into the report that depends on the configuration. Those that never change stand in `#[driver(labels(…))]`.
    pub fn label(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.node.labels.insert(key.into(), value.into());
    }

    /// The driver's voice. What it says while one of its methods is carried out is about that method.
    pub fn logger(&mut self) -> Logger {
        let node = &self.node;
        self.logger
            .get_or_insert_with(|| Logger::for_driver(node.log.clone(), node.uuid, self.type_name))
            .clone()
    }

    fn instance<T: Hostable>(self, driver: &Arc<T>) -> Instance {
        let spec = T::SPEC;
        let logger = Logger::for_driver(self.node.log, self.node.uuid, spec.type_name);
        let mut labels = self.node.labels;
        labels.extend(spec.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let children: Vec<_> = self.children.0.into_iter().chain(self.made).collect();
        let client =
            if children.is_empty() { spec.client_label() } else { spec.client_label_with_children() };
        Instance {
            uuid: self.node.uuid,
            type_name: spec.type_name.to_owned(),
            client: client.to_owned(),
            labels,
            description: self.node.description,
            methods_description: self.node.methods_description,
            provides: T::provided(driver),
            children,
            lifecycle: Arc::new(Living(driver.clone())),
            logger,
            suspect: AtomicBool::new(false),
        }
    }
}

/// Children by name, in the file's order.
#[derive(Clone, Debug, Default)]
pub struct Children(Vec<(String, Arc<Instance>)>);

impl Children {
    /// These children.
    pub fn new(children: Vec<(String, Arc<Instance>)>) -> Self {
        Self(children)
    }

    /// The child with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Instance>> {
        self.0.iter().find(|(child, _)| child == name).map(|(_, instance)| instance)
    }

    /// A client of the child with this name.
    pub fn client<T: Client>(&self, name: &str) -> Result<T> {
        match self.get(name) {
            Some(instance) => T::from_instance(instance).map_err(|e| e.context(format!("child `{name}`"))),
            None => Err(Error::configuration(format!("there is no child `{name}`"))),
        }
    }

    /// Names and children in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Instance>)> {
        self.0.iter().map(|(name, instance)| (name.as_str(), instance))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One child that a driver declares.
#[derive(Clone, Copy, Debug)]
pub struct ChildSpec {
    /// Its name in the exporter file.
    pub name: &'static str,
    /// Further accepted names.
    pub also: &'static [&'static str],
    /// What it must provide; `None` for any.
    pub interface: Option<&'static Interface>,
    /// Whether it must be there.
    pub need: Need,
    /// Doc comment.
    pub doc: &'static str,
}

/// Whether a child must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Yes.
    Required,
    /// No.
    Optional,
    /// The driver makes it; the file must not mention it.
    Made,
    /// All children that nothing else names.
    Rest,
}

/// The children of a driver. Made by `#[children]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not describe a driver's children",
    note = "add `#[children]` to `{Self}`"
)]
pub trait ChildSet: Sized + Send + 'static {
    /// What is wanted.
    const SPECS: &'static [ChildSpec];

    /// Takes clients of them.
    fn take(children: &Children) -> Result<Self>;
}

/// For drivers without children.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoChildren;

impl ChildSet for NoChildren {
    const SPECS: &'static [ChildSpec] = &[];

    fn take(_: &Children) -> Result<Self> {
        Ok(Self)
    }
}

/// A field of a `#[children]` struct: a client, or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a child",
    label = "expected a client such as `PowerClient`, or an `Option` of one",
    note = "`#[child(rest)]` takes `Children`"
)]
pub trait Child: Sized {
    /// What it must provide.
    const INTERFACE: &'static Interface;
    /// Whether it must be there.
    const NEED: Need;

    /// Takes a client of the first child with one of these names.
    fn take(children: &Children, names: &[&str]) -> Result<Self>;
}

impl<T: Client> Child for T {
    const INTERFACE: &'static Interface = T::INTERFACE;
    const NEED: Need = Need::Required;

    fn take(children: &Children, names: &[&str]) -> Result<Self> {
        let found = names.iter().copied().find(|name| children.get(name).is_some());
        children.client(found.or(names.first().copied()).unwrap_or_default())
    }
}

impl<T: Client> Child for Option<T> {
    const INTERFACE: &'static Interface = T::INTERFACE;
    const NEED: Need = Need::Optional;

    fn take(children: &Children, names: &[&str]) -> Result<Self> {
        names
            .iter()
            .copied()
            .find(|name| children.get(name).is_some())
            .map(|name| children.client(name))
            .transpose()
    }
}

/// A field of a `#[children]` struct with `#[child(rest)]`.
#[diagnostic::on_unimplemented(
    message = "`#[child(rest)]` takes `Children`, not `{Self}`",
    label = "write `Children`"
)]
pub trait Others: Sized {
    /// Takes the children that no other field names.
    fn take(children: &Children, specs: &[ChildSpec]) -> Self;
}

impl Others for Children {
    fn take(children: &Children, specs: &[ChildSpec]) -> Self {
        rest(children, specs)
    }
}

/// Children that no field of a `#[children]` struct names.
pub fn rest(children: &Children, specs: &[ChildSpec]) -> Children {
    let named = |name: &str| {
        specs.iter().any(|spec| spec.need != Need::Rest && (spec.name == name || spec.also.contains(&name)))
    };
    Children(children.0.iter().filter(|(name, _)| !named(name)).cloned().collect())
}
