//! A session on a private socket, for one person on this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jumpstarter_core::{
    Context as _, Error, Result,
    config::{NodeKind, Problem, Problems, tree::walk},
};
use jumpstarter_protocol::v1::ExporterStatus;
use jumpstarter_session::{Access, LogBuffer, Session, SessionService};
use jumpstarter_transport::{
    server::Server,
    socket::{self, RuntimeDirectory},
};

use crate::{Plan, memory, open};

/// An exporter that only this process and its children reach. No hooks run, every call is allowed.
pub struct Local {
    session: Session,
    server: Server<SessionService>,
    directory: RuntimeDirectory,
    socket: PathBuf,
}

impl Local {
    /// Opens the drivers of a plan, resets them, and serves them.
    pub async fn start(plan: Plan) -> Result<Self> {
        let motd = plan.file.motd.clone().unwrap_or_default();
        let logs = LogBuffer::new();
        let root = open::open(plan, logs.clone()).await?;
        let session = Session::builder(root).logs(logs).motd(motd).after_bursts(memory::give_back).build()?;
        match serve(&session).await {
            Ok((server, directory, socket)) => Ok(Self { session, server, directory, socket }),
            Err(error) => {
                session.end().await;
                Err(error)
            }
        }
    }

    /// The socket: what `JUMPSTARTER_HOST` says.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The folder that holds the socket; gone with the exporter.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends the session, closes the drivers and removes the socket. Answers what could not be closed.
    pub async fn stop(self) -> Vec<(String, Error)> {
        let failed = self.session.end().await;
        // Local clients are gone or about to go: there is nothing to wait for.
        self.server.shutdown(Duration::ZERO).await;
        if let Err(error) = self.directory.remove() {
            tracing::warn!("removing the runtime directory: {error}");
        }
        failed
    }
}

async fn serve(session: &Session) -> Result<(Server<SessionService>, RuntimeDirectory, PathBuf)> {
    session.start().await?;
    session.status().report(ExporterStatus::LeaseReady, "");
    let directory = RuntimeDirectory::create().context("creating a private directory for the socket")?;
    let (listener, socket) = directory.listen(socket::MAIN).context("listening on a socket")?;
    let server = Server::new(session.service(Access::open()));
    server.listen_unix(listener);
    Ok((server, directory, socket))
}

/// Opens the drivers of a plan and closes them again. Answers what went wrong, as problems of the file.
pub async fn open_and_close(plan: Plan) -> Problems {
    let source = plan.file.source.clone();
    // Where each driver stands, by its place in the file and by its name.
    let places: Vec<_> = walk(&plan.file.export)
        .map(|node| {
            let place = match &node.kind {
                NodeKind::Driver(driver) => driver.driver.span,
                _ => node.key_span,
            };
            (node.names.clone(), node.path.clone(), place)
        })
        .collect();
    let problem = |of: &str, what: &str, error: &Error| {
        let problem = Problem::error(format!("{what}: {}", error.message()));
        match places.iter().find(|(names, path, _)| names == of || path == of) {
            Some((_, path, place)) => problem.at(*place).path(path),
            // A child that its parent makes has no line of its own.
            None => problem.path(of),
        }
    };
    let logs: Arc<LogBuffer> = LogBuffer::new();
    let mut problems = Problems::new();
    match open::open_each(plan, logs.clone()).await {
        Ok(root) => match Session::builder(root).logs(logs).build() {
            Ok(session) => {
                for (name, error) in session.end().await {
                    problems.push(problem(&name, "cannot be closed", &error));
                }
            }
            Err(error) => problems.push(problem("", "cannot be offered", &error)),
        },
        Err(failures) => {
            for (path, error) in failures {
                problems.push(problem(&path, "cannot be opened", &error));
            }
        }
    }
    problems.attach(&source);
    problems
}
