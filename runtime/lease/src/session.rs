//! The session behind a lease: when it is ready, and when it has cleaned up.
//!
//! An exporter tells its status when it is asked, and there is no call that waits for another one. So it is asked every
//! `PAUSE` while somebody waits for it, over the one connection that is there, and not at all otherwise.

use std::time::Duration;

use jumpstarter_client::{Connection, Credentials, Device, ExporterStatus, connection::Patience};
use jumpstarter_core::{Error, ErrorKind, Result};
use jumpstarter_transport::connect::connect_stream;
use tokio::time::{Instant, sleep, timeout};

use crate::{Tunnels, background};

/// How long an exporter may take to become ready, and to clean up: its hooks are given that much, as existing clients have
/// it.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Pause between two questions about its status.
const PAUSE: Duration = Duration::from_millis(100);

/// What a status message begins with that is a warning of a hook, as exporters have it.
const WARNING: &str = "[HOOK_WARNING] ";

/// A connection to the session of a lease, and its devices.
#[derive(Clone, Debug)]
pub struct Session {
    connection: Connection,
    device: Device,
}

impl Session {
    /// Connects through a tunnel of its own, and asks for the devices. `name` is what messages call the exporter.
    ///
    /// # Errors
    /// As [`Tunnels::open`], or when the exporter does not answer.
    pub async fn open(tunnels: &Tunnels, name: &str) -> Result<Self> {
        let tunnels = tunnels.clone();
        let channel = background::run(async move {
            let tunnel = tunnels.open_here().await?;
            connect_stream(tunnel, Credentials::none()).await
        })
        .await?;
        let connection = Connection::from_channel(channel, name, Patience::default());
        let device = timeout(PATIENCE, connection.device()).await;
        let device = device.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(Error::timeout(format!(
                "exporter {name} did not say within {seconds} s which devices it has"
            )))
        })?;
        Ok(Self { connection, device })
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The devices.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

fn warning(message: &str) -> Option<String> {
    message.strip_prefix(WARNING).map(str::to_owned)
}

/// Waits until an exporter takes calls, at most [`PATIENCE`]. `hook` is called once, when it runs its hook first. Answers
/// what the hook warns of.
///
/// # Errors
/// [`ErrorKind::NotReady`] when its hook failed or it is not ready in time, with its words.
pub async fn ready(connection: &Connection, mut hook: impl FnMut()) -> Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    let mut said = false;
    loop {
        let status = match connection.status().await {
            Ok(status) => status,
            // Exporters that have no status take calls at once.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            Err(error) => return Err(error),
        };
        match status.status {
            ExporterStatus::LeaseReady | ExporterStatus::Unspecified => return Ok(warning(&status.message)),
            ExporterStatus::BeforeLeaseHookFailed
            | ExporterStatus::AfterLeaseHookFailed
            | ExporterStatus::Offline => return Err(Error::not_ready(status.message)),
            ExporterStatus::BeforeLeaseHook if !said => {
                hook();
                said = true;
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            let message = format!("the exporter did not become ready in time: {}", status.message);
            return Err(Error::not_ready(message));
        }
        sleep(PAUSE).await;
    }
}

/// How an exporter has cleaned up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Whether a hook ran, as far as one can see.
    pub hook: bool,
    /// What it warns of.
    pub warning: Option<String>,
}

/// Asks an exporter to end the session, and waits until its hook is through, at most [`PATIENCE`]. `hook` is called once,
/// when that takes a while.
///
/// # Errors
/// [`ErrorKind::NotReady`] when the hook failed or did not end in time, with its words.
pub async fn clean_up(connection: &Connection, mut hook: impl FnMut()) -> Result<Cleaned> {
    // Whoever has gone away, or is too old to know the question, cleans up when the lease ends.
    match connection.status().await {
        Ok(status)
            if matches!(status.status, ExporterStatus::LeaseReady | ExporterStatus::AfterLeaseHook) => {}
        _ => return Ok(Cleaned::default()),
    }
    match connection.end_session().await {
        Ok(end) if end.begun => {}
        _ => return Ok(Cleaned::default()),
    }
    let deadline = Instant::now() + PATIENCE;
    let mut running = false;
    loop {
        let status = match connection.status().await {
            Ok(status) => status,
            Err(error) if running => {
                return Err(error.context("the afterLease hook was running").with_kind(ErrorKind::NotReady));
            }
            Err(_) => return Ok(Cleaned::default()),
        };
        let failed = |message: String| {
            let message = if message.is_empty() { "the afterLease hook failed".to_owned() } else { message };
            Err(Error::not_ready(message))
        };
        match status.status {
            ExporterStatus::Available => {
                // A short one is seen only by what came before.
                let hook = running || status.previous == Some(ExporterStatus::AfterLeaseHook);
                return Ok(Cleaned { hook, warning: warning(&status.message) });
            }
            ExporterStatus::AfterLeaseHookFailed => return failed(status.message),
            // It will not come back; what it was before is all that is left to know.
            ExporterStatus::Offline if status.previous == Some(ExporterStatus::AfterLeaseHookFailed) => {
                return failed(status.message);
            }
            ExporterStatus::Offline => return Ok(Cleaned { hook: running, warning: None }),
            ExporterStatus::AfterLeaseHook if !running => {
                hook();
                running = true;
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            return Err(Error::not_ready("the afterLease hook did not end in time"));
        }
        sleep(PAUSE).await;
    }
}
