//! Our exporter inside of the test: the drivers of this workspace, on a private socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jumpstarter_core::driver::DriverFactory;
use jumpstarter_exporter::standalone::{self, Options, Standalone};
use jumpstarter_exporter::{Plan, Registry, check, open};
use jumpstarter_protocol::v1::ExporterStatus;
use jumpstarter_session::{Access, LogBuffer, Session, SessionService};
use jumpstarter_testing::Bench;
use jumpstarter_transport::server::Server;
use jumpstarter_transport::socket::{self, RuntimeDirectory};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::recording::folder;
use crate::replay::{Action, Address};

/// All drivers of the workspace, and those that stand for upstream's.
pub const DRIVERS: &[&[&dyn DriverFactory]] = &[
    jumpstarter_driver_board::DRIVERS,
    jumpstarter_driver_composite::DRIVERS,
    jumpstarter_driver_network::DRIVERS,
    jumpstarter_driver_power::DRIVERS,
    jumpstarter_driver_serial::DRIVERS,
    jumpstarter_driver_shell::DRIVERS,
    jumpstarter_driver_storage::DRIVERS,
    crate::drivers::DRIVERS,
];

/// A served exporter.
pub struct Running {
    /// Where it listens.
    pub address: Address,
    bench: Bench,
}

/// Serves a configuration of `tests/compatibility`.
///
/// # Panics
///
/// When it cannot be served, with everything that is wrong.
pub async fn start(name: &str) -> Running {
    start_text(&crate::exporter::config(name, &[]).expect("a configuration")).await
}

/// Serves the text of a configuration.
///
/// # Panics
///
/// As [`start`].
pub async fn start_text(config: &str) -> Running {
    let bench = jumpstarter_testing::serve_text("exporter.yaml", config, DRIVERS)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", folder().display()));
    Running { address: Address::Unix(bench.socket()), bench }
}

fn plan(config: &str) -> Plan {
    check("exporter.yaml", config, &Registry::new(DRIVERS), |_| None)
        .unwrap_or_else(|problems| panic!("{}", problems.render()))
}

/// An exporter that listens on a TCP port, with its hooks.
pub struct Standing {
    /// Where it listens.
    pub address: Address,
    stop: oneshot::Sender<()>,
    task: JoinHandle<jumpstarter_core::Result<standalone::End>>,
}

/// Starts a standalone exporter at `address` (`127.0.0.1:port`), in clear text. Its hooks find the `j` in `tools`.
///
/// # Panics
///
/// When it cannot be started, with everything that is wrong.
pub async fn standalone(
    config: &str,
    address: &str,
    passphrase: Option<&str>,
    tools: Option<PathBuf>,
) -> Standing {
    let listener = standalone::listen(address).await.expect("a free port");
    let options = Options { passphrase: passphrase.map(str::to_owned), tools, ..Options::default() };
    let exporter = Standalone::start(plan(config), listener, options).await.expect("an exporter");
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(exporter.run(stopped.map(drop)));
    Standing { address: Address::Tcp(address.to_owned()), stop, task }
}

impl Standing {
    /// Ends it in the ordinary way: with its hook, then by closing its drivers.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub async fn stop(self) {
        self.stop.send(()).expect("it runs until it is told to stop");
        assert_eq!(self.task.await.expect("no panic").expect("an orderly end"), standalone::End::Asked);
    }
}

/// A session on a private socket whose status the test sets.
pub struct Bare {
    /// Where it listens.
    pub address: Address,
    session: Arc<Session>,
    server: Server<SessionService>,
    directory: RuntimeDirectory,
}

/// Serves the text of a configuration without having reported a status.
///
/// # Panics
///
/// When it cannot be served.
pub async fn bare(config: &str) -> Bare {
    let logs = LogBuffer::new();
    let root = open::open(plan(config), logs.clone()).await.expect("drivers that open");
    let session = Session::builder(root).logs(logs).build().expect("a session");
    session.start().await.expect("drivers that start");
    let directory = RuntimeDirectory::create().expect("a folder");
    let (listener, path) = directory.listen(socket::MAIN).expect("a socket");
    let server = Server::new(session.service(Access::open()));
    server.listen_unix(listener);
    Bare { address: Address::Unix(path), session: Arc::new(session), server, directory }
}

impl Bare {
    /// Reports a status by its name, such as `LEASE_READY`, with the message that the recorded session had.
    pub fn set_status(&self, name: &'static str) -> Action {
        let session = Arc::clone(&self.session);
        Arc::new(move || {
            let status = ExporterStatus::from_str_name(&format!("EXPORTER_STATUS_{name}"));
            session.status().report(status.expect("a status"), format!("message for {name}"));
            std::future::ready(Ok(())).boxed()
        })
    }

    /// Ends it; nothing may fail to close.
    ///
    /// # Panics
    ///
    /// When a driver could not be closed.
    pub async fn stop(self) {
        let failed = self.session.end().await;
        assert!(failed.is_empty(), "{failed:?}");
        self.server.shutdown(Duration::ZERO).await;
        self.directory.remove().expect("the folder can be removed");
    }
}

impl Running {
    /// The served exporter and its own client.
    pub fn bench(&self) -> &Bench {
        &self.bench
    }

    /// The same, to be ended by the caller.
    pub fn into_bench(self) -> Bench {
        self.bench
    }

    /// Ends it; nothing may fail to close.
    ///
    /// # Panics
    ///
    /// When a driver could not be closed.
    pub async fn stop(self) {
        let failed = self.bench.stop().await;
        assert!(failed.is_empty(), "{failed:?}");
    }
}
