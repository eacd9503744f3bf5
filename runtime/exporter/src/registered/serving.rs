//! What serves one lease: a tree of open drivers, a session around it, the ways in, and its hooks.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jumpstarter_core::{Context as _, Result, config::Hooks, log::Severity};
use jumpstarter_life::{Lease, Moment, Report, Verdict};
use jumpstarter_session::{Access, LogBuffer, Session, SessionService};
use jumpstarter_transport::{
    server::{Acceptor, Server},
    socket::{self, RuntimeDirectory},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Plan, hook, hook::Surroundings, memory, motd, open};

/// How long calls may go on when the session ends. Whoever waits for it to end needs a moment to hear so.
const GRACE: Duration = Duration::from_secs(1);

/// One lease that is served.
pub(crate) struct Serving {
    session: Arc<Session>,
    public: Server<SessionService>,
    hooks_only: Server<SessionService>,
    directory: RuntimeDirectory,
    hooks: Hooks,
    around: Surroundings,
    admitted: Arc<AtomicBool>,
    /// The hook that runs.
    pub(crate) stop_hook: CancellationToken,
}

/// What a lease needs besides its drivers.
pub(crate) struct Around {
    pub(crate) logs: Arc<LogBuffer>,
    pub(crate) tools: Option<PathBuf>,
    /// Told when the client asks for the end.
    pub(crate) end: Arc<Notify>,
}

impl Serving {
    /// Opens the drivers of a plan, resets them, and listens for hooks. Clients come through [`Serving::acceptor`].
    pub(crate) async fn open(plan: Plan, lease: &Lease, around: Around) -> Result<Self> {
        let Around { logs, tools, end } = around;
        let hooks = plan.file.hooks.clone();
        let words = plan.file.motd.clone().unwrap_or_default();
        let root = open::open(plan, logs.clone()).await?;
        let session = Session::builder(root)
            .logs(logs)
            .motd(words)
            .after_bursts(memory::give_back)
            .on_end_session(move || {
                end.notify_one();
                true
            })
            .build()?;
        let session = Arc::new(session);
        let admitted = Arc::new(AtomicBool::new(false));
        match Self::serve(&session, &admitted).await {
            Ok((public, hooks_only, directory, socket)) => {
                session.logs().system(Severity::Info, format!("Session started for lease {}", lease.name));
                let around = Surroundings {
                    socket,
                    lease: lease.name.clone(),
                    client: lease.client.clone(),
                    tools,
                    motd: Some(directory.path().join(motd::FILE)),
                };
                let stop_hook = CancellationToken::new();
                Ok(Self { session, public, hooks_only, directory, hooks, around, admitted, stop_hook })
            }
            Err(error) => {
                session.end().await;
                Err(error)
            }
        }
    }

    async fn serve(
        session: &Arc<Session>,
        admitted: &Arc<AtomicBool>,
    ) -> Result<(Server<SessionService>, Server<SessionService>, RuntimeDirectory, PathBuf)> {
        session.start().await?;
        let admitted = admitted.clone();
        // Whoever waits for a hook may look, and must not touch.
        let access = Access::open().with_gate(move |_| admitted.load(Ordering::SeqCst));
        let public = Server::new(session.service(access));
        let hooks_only = Server::new(session.service(Access::open()));
        let directory =
            RuntimeDirectory::create().context("creating a private directory for the hook socket")?;
        let (listener, socket) = directory.listen(socket::HOOK).context("listening on the hook socket")?;
        hooks_only.listen_unix(listener);
        Ok((public, hooks_only, directory, socket))
    }

    /// Takes the connections of clients.
    pub(crate) fn acceptor(&self) -> Acceptor<SessionService> {
        self.public.acceptor()
    }

    /// Tells those who are connected.
    pub(crate) fn show(&self, report: &Report) {
        self.session.status().report(report.status, &report.message);
    }

    /// Waits until somebody has seen what is shown now.
    pub(crate) fn seen(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.session.status().seen()
    }

    /// Whether clients may call drivers.
    pub(crate) fn admit(&self, admit: bool) {
        self.admitted.store(admit, Ordering::SeqCst);
    }

    /// The client is another one, or known now.
    pub(crate) fn set_client(&mut self, client: String) {
        self.around.client = client;
    }

    /// Runs a hook, to be awaited elsewhere; it ends when the machine has no such hook.
    pub(crate) fn hook(&self, moment: Moment) -> impl Future<Output = (Verdict, String)> + Send + 'static {
        let hook = match moment {
            Moment::Before => self.hooks.before_lease.clone(),
            Moment::After => self.hooks.after_lease.clone(),
        };
        let (around, session) = (self.around.clone(), self.session.clone());
        let stop = match moment {
            Moment::Before => self.stop_hook.clone(),
            // Nothing stops what brings the devices in order but its own limit.
            Moment::After => CancellationToken::new(),
        };
        async move {
            match hook {
                Some(hook) => {
                    hook::run_in_session(&hook, moment, &around, &session, stop.cancelled_owned()).await
                }
                None => (Verdict::Proceed, String::new()),
            }
        }
    }

    /// Ends the session, closes the drivers, and removes what is on the disk. Failures are in the log.
    pub(crate) async fn close(self) {
        for (name, error) in self.session.end().await {
            tracing::error!("closing {name}: {error}");
        }
        self.public.shutdown(GRACE).await;
        self.hooks_only.shutdown(Duration::ZERO).await;
        if let Err(error) = self.directory.remove() {
            tracing::warn!("removing the runtime directory: {error}");
        }
    }
}
