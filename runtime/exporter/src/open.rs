//! A plan turned into a tree of open drivers.
//!
//! Siblings open concurrently, children before parents, the target of a reference before whoever refers to it. When
//! one fails, the others still finish, all failures are reported together, and whatever did open is closed again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use jumpstarter_core::{
    Error, ErrorKind, Result,
    config::{LogLevel, References},
    driver::{COMPOSITE_CLIENT, Children, Node},
    instance::{Instance, Lifecycle},
    log::{LogRecord, LogSink, Logger, Severity},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::plan::{Plan, Planned, PlannedKind};

/// How long one driver may take to close.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Opens everything that a plan asks for and answers the root: a group without a name that holds the entries of
/// `export`.
pub async fn open(plan: Plan, log: Arc<dyn LogSink>) -> Result<Arc<Instance>> {
    open_each(plan, log).await.map_err(|failures| together(&failures))
}

/// The same; of drivers that cannot be opened it answers where in the file they stand, each with its reason.
pub async fn open_each(plan: Plan, log: Arc<dyn LogSink>) -> Result<Arc<Instance>, Vec<(String, Error)>> {
    let Plan { file, nodes, references, .. } = plan;
    let opener = Arc::new(Opener {
        slots: slots(&nodes),
        references,
        log,
        opened: Mutex::default(),
        failures: Mutex::default(),
    });
    let children = opener.clone().all(nodes).await;
    let mut failures = std::mem::take(&mut *opener.failures.lock().unwrap_or_else(PoisonError::into_inner));
    if failures.is_empty() {
        let description = file.description.filter(|text| !text.is_empty());
        return Ok(Arc::new(group(children, description)));
    }
    let opened = std::mem::take(&mut *opener.opened.lock().unwrap_or_else(PoisonError::into_inner));
    for instance in opened.iter().rev() {
        if let Err(error) = close(instance).await {
            tracing::warn!("closing {} after another driver failed to open: {error}", instance.type_name);
        }
    }
    failures.sort_by(|(a, _), (b, _)| a.cmp(b));
    Err(failures)
}

/// Closes one driver, within [`CLOSE_LIMIT`].
async fn close(instance: &Instance) -> Result<()> {
    jumpstarter_core::call::within(CLOSE_LIMIT, "closing", instance.lifecycle.close()).await
}

fn together(failures: &[(String, Error)]) -> Error {
    let kind = failures.first().map_or(ErrorKind::Internal, |(_, error)| error.kind());
    match failures {
        [(path, error)] => error.clone().context(path),
        several => {
            let lines: Vec<_> = several.iter().map(|(path, error)| format!("  {path}: {error}")).collect();
            Error::new(kind, format!("{} drivers cannot be opened:\n{}", lines.len(), lines.join("\n")))
        }
    }
}

/// A group: no interface of its own, only children.
fn group(children: Vec<(String, Arc<Instance>)>, description: Option<String>) -> Instance {
    struct Nothing;
    impl Lifecycle for Nothing {
        fn reset(&self) -> BoxFuture<'_, Result<()>> {
            std::future::ready(Ok(())).boxed()
        }

        fn close(&self) -> BoxFuture<'_, Result<()>> {
            std::future::ready(Ok(())).boxed()
        }
    }
    Instance {
        uuid: Uuid::new_v4(),
        type_name: "composite".to_owned(),
        client: COMPOSITE_CLIENT.to_owned(),
        labels: BTreeMap::new(),
        description,
        methods_description: BTreeMap::new(),
        provides: Vec::new(),
        children,
        lifecycle: Arc::new(Nothing),
        logger: Logger::default(),
        suspect: AtomicBool::new(false),
    }
}

/// Where a node's instance appears once it is open; `Some(None)` when it failed.
type Slot = watch::Sender<Option<Option<Arc<Instance>>>>;

fn slots(nodes: &[Planned]) -> HashMap<String, Slot> {
    fn add(node: &Planned, slots: &mut HashMap<String, Slot>) {
        slots.insert(node.names.clone(), watch::Sender::new(None));
        match &node.kind {
            PlannedKind::Driver { children, .. } | PlannedKind::Composite(children) => {
                for child in children {
                    add(child, slots);
                }
            }
            PlannedKind::Proxy => {}
        }
    }
    let mut slots = HashMap::new();
    for node in nodes {
        add(node, &mut slots);
    }
    slots
}

struct Opener {
    slots: HashMap<String, Slot>,
    references: References,
    log: Arc<dyn LogSink>,
    /// In the order in which they opened.
    opened: Mutex<Vec<Arc<Instance>>>,
    failures: Mutex<Vec<(String, Error)>>,
}

impl Opener {
    /// Opens siblings; those that fail are missing from the answer and reported in `failures`.
    fn all(self: Arc<Self>, nodes: Vec<Planned>) -> BoxFuture<'static, Vec<(String, Arc<Instance>)>> {
        async move {
            let siblings = nodes.into_iter().map(|node| {
                let opener = self.clone();
                async move {
                    let (name, names) = (node.name.clone(), node.names.clone());
                    let instance = opener.clone().one(node).await;
                    if let Some(slot) = opener.slots.get(&names) {
                        slot.send_replace(Some(instance.clone()));
                    }
                    instance.map(|instance| (name, instance))
                }
            });
            join_all(siblings).await.into_iter().flatten().collect()
        }
        .boxed()
    }

    async fn one(self: Arc<Self>, node: Planned) -> Option<Arc<Instance>> {
        let Planned { names, path, description, kind, .. } = node;
        match kind {
            PlannedKind::Proxy => self.target(&names, &path).await,
            PlannedKind::Composite(children) => {
                let wanted = children.len();
                let children = self.clone().all(children).await;
                (children.len() == wanted).then(|| Arc::new(group(children, description)))
            }
            PlannedKind::Driver { driver, uuid, labels, methods_description, log_level, children } => {
                let wanted = children.len();
                let children = self.clone().all(children).await;
                if children.len() != wanted {
                    // The failure of the child is what counts.
                    return None;
                }
                let log = Arc::new(Threshold { least: severity(log_level), log: self.log.clone() });
                let uuid = uuid.unwrap_or_else(Uuid::new_v4);
                let node = Node { uuid, path: path.clone(), labels, description, methods_description, log };
                match driver.open(node, Children::new(children)).await {
                    Ok(instance) => {
                        let instance = Arc::new(instance);
                        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(instance.clone());
                        Some(instance)
                    }
                    Err(error) => {
                        self.fail(path, error);
                        None
                    }
                }
            }
        }
    }

    async fn target(&self, names: &str, path: &str) -> Option<Arc<Instance>> {
        let lost = || self.fail(path.to_owned(), Error::configuration("this reference leads nowhere"));
        let Some(target) = self.references.targets.get(names) else {
            lost();
            return None;
        };
        let mut slot = self.slots.get(&target.node)?.subscribe();
        let start = slot.wait_for(Option::is_some).await.ok()?.clone().flatten()?;
        let found = target.made.iter().try_fold(start, |at, name| at.child(name).cloned());
        if found.is_none() {
            lost();
        }
        found
    }

    fn fail(&self, path: String, error: Error) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push((path, error));
    }
}

fn severity(level: LogLevel) -> Severity {
    match level {
        LogLevel::Debug => Severity::Debug,
        LogLevel::Info => Severity::Info,
        LogLevel::Warning => Severity::Warning,
        LogLevel::Error => Severity::Error,
        LogLevel::Critical => Severity::Critical,
    }
}

/// Lets only important records of one driver through.
struct Threshold {
    least: Severity,
    log: Arc<dyn LogSink>,
}

impl LogSink for Threshold {
    fn log(&self, record: LogRecord) {
        if record.severity >= self.least {
            self.log.log(record);
        }
    }
}
