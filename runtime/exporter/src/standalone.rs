//! A session on a TCP port, with hooks, until it is told to stop.
//!
//! ```text
//! start ─► reset ─► listen ─► beforeLease ─► LEASE_READY ─► (told to stop) ─► afterLease ─► close
//! ```
//!
//! Clients can connect while `beforeLease` runs and see BEFORE_LEASE_HOOK. EndSession brings the exporter back to
//! LEASE_READY: upstream's stays AVAILABLE for good, and every later client then waits in vain. The `afterLease` hook
//! is kept for the end of the process.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jumpstarter_core::{
    Context as _, Error, Result,
    config::{Hook, Hooks},
    log::Severity,
};
use jumpstarter_protocol::v1::ExporterStatus;
use jumpstarter_session::{Access, LogBuffer, Session, SessionService};
use jumpstarter_transport::{
    server::{Identity, Server},
    socket::{self, RuntimeDirectory},
};
use tokio::net::TcpListener;

use crate::{
    Plan,
    hook::{self, Moment, Surroundings, Verdict},
    memory, motd, open,
};

/// How long calls and streams may go on after the exporter was told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// The name of the lease that hooks see.
pub const LEASE: &str = "standalone";

/// How the exporter listens.
#[derive(Debug, Default)]
pub struct Options {
    /// Certificate and key; without them the port is plaintext.
    pub identity: Option<Identity>,
    /// What clients must know.
    pub passphrase: Option<String>,
    /// Folder with a `j` for hooks, in case `PATH` has none.
    pub tools: Option<PathBuf>,
}

/// A standalone exporter that listens.
pub struct Standalone {
    session: Arc<Session>,
    public: Server<SessionService>,
    hooks_only: Server<SessionService>,
    directory: RuntimeDirectory,
    address: SocketAddr,
    hooks: Hooks,
    around: Surroundings,
    /// Whether `afterLease` is still to run.
    after_lease: bool,
}

/// How a standalone exporter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Asked,
    /// A hook failed that says `onFailure: exit`.
    Hook,
}

impl Standalone {
    /// Opens the drivers of a plan, resets them, and listens. Hooks run in [`Standalone::run`].
    pub async fn start(plan: Plan, listener: TcpListener, options: Options) -> Result<Self> {
        let hooks = plan.file.hooks.clone();
        let words = plan.file.motd.clone().unwrap_or_default();
        let logs = LogBuffer::new();
        let root = open::open(plan, logs.clone()).await?;
        let ended = Arc::new(std::sync::OnceLock::<std::sync::Weak<Session>>::new());
        let board = ended.clone();
        let session = Session::builder(root)
            .logs(logs)
            .motd(words)
            .after_bursts(memory::give_back)
            .on_end_session(move || {
                let Some(session) = board.get().and_then(std::sync::Weak::upgrade) else { return false };
                let status = session.status();
                let now = status.get().status;
                status.report(ExporterStatus::Available, "Available for new lease");
                if now == ExporterStatus::LeaseReady || now == ExporterStatus::Available {
                    // Clients look for AVAILABLE every 0.1 s after EndSession; the next one needs LEASE_READY.
                    tokio::spawn(async move {
                        tokio::time::sleep(VISIBLE).await;
                        session.status().report(ExporterStatus::LeaseReady, "Ready for commands");
                    });
                }
                true
            })
            .build()?;
        let session = Arc::new(session);
        // Set once, here; the hand-over through a weak reference keeps the session from owning itself.
        let _ = ended.set(Arc::downgrade(&session));
        match Self::serve(&session, listener, &options).await {
            Ok((public, hooks_only, directory, socket, address)) => {
                // The first line that any reader gets: it tells the log of one exporter from that of another.
                let places = format!("Session server started on {address} and unix://{}", socket.display());
                session.logs().system(Severity::Info, places);
                let around = Surroundings {
                    socket,
                    lease: LEASE.to_owned(),
                    client: String::new(),
                    tools: options.tools,
                    motd: Some(directory.path().join(motd::FILE)),
                };
                let after_lease = hooks.after_lease.is_some();
                Ok(Self { session, public, hooks_only, directory, address, hooks, around, after_lease })
            }
            Err(error) => {
                session.end().await;
                Err(error)
            }
        }
    }

    async fn serve(
        session: &Arc<Session>,
        listener: TcpListener,
        options: &Options,
    ) -> Result<(Server<SessionService>, Server<SessionService>, RuntimeDirectory, PathBuf, SocketAddr)> {
        session.start().await?;
        let address = listener.local_addr().context("listening")?;
        let access = match &options.passphrase {
            Some(passphrase) => Access::open().with_passphrase(passphrase),
            None => Access::open(),
        };
        let public = Server::new(session.service(access));
        // Hooks need no passphrase: only this user's processes reach their socket.
        let hooks_only = Server::new(session.service(Access::open()));
        let directory =
            RuntimeDirectory::create().context("creating a private directory for the hook socket")?;
        let (hook_listener, socket) =
            directory.listen(socket::HOOK).context("listening on the hook socket")?;
        public.listen_tcp(listener, options.identity.clone());
        hooks_only.listen_unix(hook_listener);
        Ok((public, hooks_only, directory, socket, address))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Runs the hooks and serves until `stop` resolves, then ends everything.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) -> Result<End> {
        tokio::pin!(stop);
        let mut end = End::Asked;
        let mut asked = false;
        if let Some(before) = self.hooks.before_lease.clone() {
            let verdict = {
                let running = self.hook(&before, Moment::Before);
                tokio::pin!(running);
                tokio::select! {
                    verdict = &mut running => Some(verdict),
                    () = &mut stop => None,
                }
            };
            match verdict {
                Some(Verdict::Proceed) => {}
                Some(Verdict::Failed) => self.after_lease = false,
                Some(Verdict::FailedAndExit) => {
                    self.after_lease = false;
                    end = End::Hook;
                    self.leave("Exporter shutting down due to beforeLease hook failure").await;
                }
                None => asked = true,
            }
        } else {
            self.session.status().report(ExporterStatus::LeaseReady, "Ready for commands");
        }
        if end == End::Asked && !asked {
            stop.await;
        }
        if self.after_lease
            && let Some(after) = self.hooks.after_lease.clone()
            && self.hook(&after, Moment::After).await == Verdict::FailedAndExit
        {
            end = End::Hook;
            self.leave("Exporter shutting down due to afterLease hook failure").await;
        }
        self.stop().await.map(|()| end)
    }

    /// Clients get the time to see that a hook failed before they see that the exporter goes.
    async fn leave(&self, message: &str) {
        tokio::time::sleep(VISIBLE).await;
        self.session.status().report(ExporterStatus::Offline, message);
    }

    async fn hook(&self, hook: &Hook, moment: Moment) -> Verdict {
        let status = self.session.status();
        let (running, message, good, bad) = match moment {
            Moment::Before => (
                ExporterStatus::BeforeLeaseHook,
                "Running beforeLease hook",
                ExporterStatus::LeaseReady,
                ExporterStatus::BeforeLeaseHookFailed,
            ),
            Moment::After => (
                ExporterStatus::AfterLeaseHook,
                "Running afterLease hooks",
                ExporterStatus::Available,
                ExporterStatus::AfterLeaseHookFailed,
            ),
        };
        status.report(running, message);
        let (verdict, message) =
            hook::run_in_session(hook, moment, &self.around, &self.session, std::future::pending()).await;
        status.report(if verdict == Verdict::Proceed { good } else { bad }, message);
        verdict
    }

    async fn stop(self) -> Result<()> {
        let failed = self.session.end().await;
        self.public.shutdown(GRACE).await;
        self.hooks_only.shutdown(Duration::ZERO).await;
        if let Err(error) = self.directory.remove() {
            tracing::warn!("removing the runtime directory: {error}");
        }
        match failed.into_iter().next() {
            Some((name, error)) => Err(error.context(format!("closing {name}"))),
            None => Ok(()),
        }
    }
}

/// How long a status stays visible before the next one hides it; clients look every 0.1 to 0.3 s.
const VISIBLE: Duration = Duration::from_secs(1);

/// Listens on `[HOST:]PORT`; without a host, on all addresses.
pub async fn listen(place: &str) -> Result<TcpListener> {
    let place = match place.rsplit_once(':') {
        Some(_) => place.to_owned(),
        None => format!("0.0.0.0:{place}"),
    };
    let port = place.rsplit_once(':').map_or("", |(_, port)| port);
    if port.parse::<u16>().is_err() {
        return Err(Error::usage(format!(
            "`{place}` is no place to listen: write [HOST:]PORT, for example 0.0.0.0:8082"
        )));
    }
    TcpListener::bind(&place).await.context(format_args!("listening on {place}"))
}
