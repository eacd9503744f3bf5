//! [`Session`]: a tree of drivers, from reset to close.

use std::{
    collections::HashMap,
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use jumpstarter_core::{Error, Result, call::within, instance::Instance, log::Severity};
use jumpstarter_protocol::v1::{DriverInstanceReport, GetReportResponse};
use jumpstarter_transport::presigned::Http;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    access::Access,
    count::{self, Gauge},
    logs::LogBuffer,
    panics, report,
    resources::Resources,
    service::SessionService,
    status::StatusBoard,
    tree::{Node, Tree},
};

/// How long one driver may take to close.
const CLOSE: Duration = Duration::from_secs(10);

/// How long streams may take to notice that the session has ended. They wait for nothing, so this is never used up.
const DRAIN: Duration = Duration::from_secs(1);

/// Ends the lease that a session belongs to. Called by `EndSession`; must return at once.
pub trait EndLease: Send + Sync {
    /// Starts the end of the lease, if there is one; whether there is. May be called again.
    fn end(&self) -> bool;
}

impl<F: Fn() -> bool + Send + Sync> EndLease for F {
    fn end(&self) -> bool {
        self()
    }
}

/// How much is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Driver calls in progress, in any wire language; a call with many answers lasts until its last.
    pub calls: usize,
    /// Open byte streams and resources.
    pub streams: usize,
    /// Resources that no driver has opened yet.
    pub waiting_resources: usize,
    /// Tasks that move bytes.
    pub tasks: usize,
}

/// What all parts of a session share.
pub(crate) struct Shared {
    pub(crate) uuid: Uuid,
    pub(crate) tree: Tree,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) motd: Mutex<String>,
    pub(crate) entries: Vec<DriverInstanceReport>,
    pub(crate) status: StatusBoard,
    pub(crate) logs: Arc<LogBuffer>,
    pub(crate) end_lease: Option<Box<dyn EndLease>>,
    /// Cancelled when the session ends; everything that waits watches it.
    pub(crate) ended: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) calls: Arc<Gauge>,
    pub(crate) streams: Arc<Gauge>,
    after_bursts: Option<fn()>,
    closed: AtomicBool,
}

/// Builds a [`Session`].
pub struct Builder {
    root: Arc<Instance>,
    uuid: Uuid,
    labels: HashMap<String, String>,
    motd: String,
    logs: Option<Arc<LogBuffer>>,
    end_lease: Option<Box<dyn EndLease>>,
    after_bursts: Option<fn()>,
    http: Http,
}

impl Builder {
    /// The session's uuid; without it, a random one.
    #[must_use]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.uuid = uuid;
        self
    }

    /// Labels of the exporter.
    #[must_use]
    pub fn labels(mut self, labels: impl IntoIterator<Item = (String, String)>) -> Self {
        self.labels = labels.into_iter().collect();
        self
    }

    /// Text to show when an interactive shell starts.
    #[must_use]
    pub fn motd(mut self, motd: impl Into<String>) -> Self {
        self.motd = motd.into();
        self
    }

    /// The buffer that the drivers of the tree already speak to.
    #[must_use]
    pub fn logs(mut self, logs: Arc<LogBuffer>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// What `EndSession` does. Without it, it answers that there is no lease.
    #[must_use]
    pub fn on_end_session(mut self, end_lease: impl EndLease + 'static) -> Self {
        self.end_lease = Some(Box::new(end_lease));
        self
    }

    /// What to do a moment after the last of many streams that were open at once has closed, on a thread that may block:
    /// give memory back, for example.
    #[must_use]
    pub fn after_bursts(mut self, then: fn()) -> Self {
        self.after_bursts = Some(then);
        self
    }

    /// How presigned requests are made.
    #[must_use]
    pub fn http(mut self, http: Http) -> Self {
        self.http = http;
        self
    }

    /// The session. Nothing is served and no driver is touched yet.
    ///
    /// # Errors
    /// When two drivers have the same uuid, the tree is too large, or an interface cannot be described.
    pub fn build(self) -> Result<Session> {
        panics::watch();
        let ended = CancellationToken::new();
        // First, because it refuses a tree whose report would fill the memory.
        let tree = Tree::new(&self.root, &mut || Arc::new(Resources::new(self.http.clone())))?;
        let entries = report::entries(&tree.root)?;
        Ok(Session(Arc::new(Shared {
            uuid: self.uuid,
            tree,
            labels: self.labels,
            motd: Mutex::new(self.motd),
            entries,
            status: StatusBoard::new(),
            logs: self.logs.unwrap_or_else(LogBuffer::new),
            end_lease: self.end_lease,
            ended,
            tasks: TaskTracker::new(),
            calls: Arc::default(),
            streams: Arc::default(),
            after_bursts: self.after_bursts,
            closed: AtomicBool::new(false),
        })))
    }
}

/// A tree of open drivers and everything that clients can do with it.
///
/// The session owns no sockets. [`Session::service`] makes what a `jumpstarter_transport::server::Server` serves, as
/// often as there are ways in with conditions of their own.
///
/// Dropping the session ends its streams and logs, but closes no driver; [`Session::end`] does.
pub struct Session(Arc<Shared>);

impl Session {
    /// Begins to build a session around an open tree. The same instance may stand in several places.
    pub fn builder(root: Arc<Instance>) -> Builder {
        Builder {
            root,
            uuid: Uuid::new_v4(),
            labels: HashMap::new(),
            motd: String::new(),
            logs: None,
            end_lease: None,
            after_bursts: None,
            http: Http::new(),
        }
    }

    /// Brings every device back to where a new user expects it: children before their parents, in the order of the
    /// configuration. All of them, whatever happens to one.
    ///
    /// # Errors
    /// The first failure, with the names of all drivers that failed. They stay marked as suspect.
    pub async fn start(&self) -> Result<()> {
        if let Some(then) = self.0.after_bursts {
            // Not among the tasks that the end waits for: it is not part of what clients do.
            tokio::spawn(count::after_bursts(self.0.streams.clone(), self.0.ended.clone(), then));
        }
        let mut failed: Vec<(String, Error)> = Vec::new();
        for node in self.0.tree.in_order_of_opening() {
            match guarded(node, "reset", node.instance.lifecycle.reset()).await {
                Ok(()) => node.instance.set_suspect(false),
                Err(error) => {
                    node.instance.set_suspect(true);
                    self.0.logs.system(Severity::Error, format!("resetting {} failed: {error}", node.name()));
                    failed.push((node.name().to_owned(), error));
                }
            }
        }
        let names = failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        match failed.into_iter().next() {
            Some((_, error)) => Err(error.context(format!("resetting {names} failed"))),
            None => Ok(()),
        }
    }

    /// Ends the session: streams, logs and calls first, then the drivers, each within ten seconds, in the reverse order
    /// of opening. Answers what went wrong, by the driver's place. A second call does nothing.
    pub async fn end(&self) -> Vec<(String, Error)> {
        let shared = &self.0;
        shared.ended.cancel();
        if shared.closed.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        shared.tasks.close();
        if tokio::time::timeout(DRAIN, shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = shared.tasks.len(), "streams go on although their session has ended");
        }
        let mut failed = Vec::new();
        for node in shared.tree.in_order_of_opening().iter().rev() {
            let closing = within(CLOSE, "closing", node.instance.lifecycle.close());
            if let Err(error) = guarded(node, "close", Box::pin(closing)).await {
                tracing::error!(driver = node.name(), %error, "a driver could not be closed");
                failed.push((node.name().to_owned(), error));
            }
        }
        failed
    }

    /// What serves the session under these conditions.
    pub fn service(&self, access: Access) -> SessionService {
        SessionService::new(self.0.clone(), access)
    }

    /// The same as [`Session::service`], for servers of tonic's own kind.
    pub fn routes(&self, access: Access) -> tonic::service::Routes {
        self.service(access).into_routes()
    }

    /// The session's uuid.
    pub fn uuid(&self) -> Uuid {
        self.0.uuid
    }

    /// The root of the tree.
    pub fn root(&self) -> &Arc<Instance> {
        &self.0.tree.root
    }

    /// The session's status; the exporter reports to it.
    pub fn status(&self) -> &StatusBoard {
        &self.0.status
    }

    /// The session's log.
    pub fn logs(&self) -> &Arc<LogBuffer> {
        &self.0.logs
    }

    /// Changes the text that interactive shells show.
    pub fn set_motd(&self, motd: impl Into<String>) {
        *self.0.motd.lock().unwrap_or_else(PoisonError::into_inner) = motd.into();
    }

    /// Adds lines to the text that interactive shells show.
    pub fn add_motd(&self, lines: &str) {
        let mut motd = self.0.motd.lock().unwrap_or_else(PoisonError::into_inner);
        let end = motd.trim_end().len();
        motd.truncate(end);
        if end > 0 {
            motd.push('\n');
        }
        motd.push_str(lines);
    }

    /// What `GetReport` answers.
    pub fn report(&self) -> GetReportResponse {
        self.0.report()
    }

    /// How much is going on now.
    pub fn activity(&self) -> Activity {
        Activity {
            calls: self.0.calls.now(),
            streams: self.0.streams.now(),
            waiting_resources: self
                .0
                .tree
                .in_order_of_opening()
                .iter()
                .map(|node| node.resources.waiting())
                .sum(),
            tasks: self.0.tasks.len(),
        }
    }

    /// Resolves when the session has begun to end.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }
}

impl Shared {
    pub(crate) fn report(&self) -> GetReportResponse {
        GetReportResponse {
            uuid: self.uuid.to_string(),
            labels: self.labels.clone(),
            reports: self.entries.clone(),
            alternative_endpoints: Vec::new(),
            motd: self.motd.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.ended.cancel();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("uuid", &self.0.uuid)
            .field("activity", &self.activity())
            .finish_non_exhaustive()
    }
}

/// A panic in a driver's life cycle is that driver's failure and nobody else's.
async fn guarded(node: &Node, what: &str, step: BoxFuture<'_, Result<()>>) -> Result<()> {
    match AssertUnwindSafe(step).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(panics::report(node, what, &*panic)),
    }
}
