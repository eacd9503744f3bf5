//! The session behind a lease: when it is ready, and when it has cleaned up.
//!
//! An exporter tells its status when it is asked, and there is no call that waits for another one. So it is asked every
//! `PAUSE` while somebody waits for it, over the one connection that is there, and not at all otherwise.

use std::{convert::Infallible, error::Error as StdError, pin::pin, sync::Arc, time::Duration};

use jumpstarter_client::{Connection, Credentials, Device, ExporterStatus, connection::Patience};
use jumpstarter_core::{Error, ErrorKind, Result};
use jumpstarter_transport::connect::connect_stream;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::{Controller, Tunnels, background, controller::is_away, dial::is_offline, tunnel::Talk};

/// How long an exporter may take to become ready, and to clean up: its hooks are given that much, as existing clients have
/// it.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Pause between two questions about its status; shorter ones come first, because most exporters need but a moment.
const PAUSE: Duration = Duration::from_millis(100);

/// The first pause. The next ones are twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(3);

/// How long an exporter may take to answer that was connected before.
const ANSWER: Duration = Duration::from_secs(5);

/// Longest pause between two attempts to connect again while somebody waits, and while nobody does.
const LONGEST: Duration = Duration::from_secs(2);
/// See [`LONGEST`].
const RARELY: Duration = Duration::from_secs(15);

/// How long looking at the lease may take before a loss is told.
const GLANCE: Duration = Duration::from_secs(1);

/// What a status message begins with that is a warning of a hook, as exporters have it.
const WARNING: &str = "[HOOK_WARNING] ";

/// How often a connection may be lost while a hook runs, before that is taken for more than bad luck.
const LOSSES: u32 = 10;

/// A connection to the session of a lease, and its devices.
#[derive(Clone, Debug)]
pub struct Session {
    connection: Connection,
    device: Device,
    tunnels: Tunnels,
    name: String,
    router: String,
    talk: Arc<Talk>,
}

impl Session {
    /// Connects through a tunnel of its own, and asks for the devices. `name` is what messages call the exporter. Its first answer
    /// may take as long as a tunnel; longer, up to [`PATIENCE`], while the controller knows that its hook runs.
    ///
    /// # Errors
    /// As [`Tunnels::open`], or when the exporter does not answer.
    pub async fn open(tunnels: &Tunnels, name: &str) -> Result<Self> {
        Self::open_within(tunnels, name, tunnels.limit(), PATIENCE).await
    }

    /// Like [`open`](Self::open), with so long for the first answer, and so long at most.
    async fn open_within(tunnels: &Tunnels, name: &str, usual: Duration, longest: Duration) -> Result<Self> {
        let through = tunnels.clone();
        let (channel, talk, router) = background::run(async move {
            let tunnel = through.open_here().await?;
            let (talk, router) = (tunnel.talk(), tunnel.router().to_owned());
            Ok((connect_stream(tunnel, Credentials::none()).await?, talk, router))
        })
        .await?;
        let connection = Connection::from_channel(channel, name, Patience::default());
        let device = first_answer(&connection, tunnels, name, (usual, longest)).await?;
        Ok(Self { connection, device, tunnels: tunnels.clone(), name: name.to_owned(), router, talk })
    }

    /// Connects once more: a tunnel was lost, and the session is where it was.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn again(&self) -> Result<Self> {
        self.connection.close();
        // It was dialled while it was lost itself, perhaps, and does not know of this tunnel; it will of the next one.
        Self::open_within(&self.tunnels, &self.name, ANSWER, ANSWER).await
    }

    /// Waits until the exporter takes calls, as [`ready`] does. A connection that is lost meanwhile is made again: the hook runs
    /// at the exporter, and the lease is the same. Answers the session as it is then, and what the hook warns of.
    ///
    /// # Errors
    /// As [`ready`], and as [`Session::open`] when the connection is lost and there is no other.
    pub async fn ready(mut self, mut seen: impl FnMut(Seen<'_>)) -> Result<(Self, Option<String>)> {
        let mut losses = 0;
        loop {
            match ready(&self.connection, || seen(Seen::Hook)).await {
                Ok(warning) => return Ok((self, warning)),
                Err(error) => self = after(error, &mut losses, &self, PATIENCE, &mut seen).await?,
            }
        }
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

/// The devices. That takes `usual` at most, and `longest` while the hook of the exporter runs.
async fn first_answer(
    connection: &Connection,
    tunnels: &Tunnels,
    name: &str,
    (usual, longest): (Duration, Duration),
) -> Result<Device> {
    let begun = Instant::now();
    let mut answer = pin!(connection.device());
    loop {
        if let Ok(device) = timeout(usual, &mut answer).await {
            return device;
        }
        let waited = begun.elapsed();
        if waited >= longest || !is_in_hook(tunnels.lease().controller(), name).await {
            let seconds = waited.as_secs();
            return Err(Error::disconnected(format!(
                "exporter {name} has not answered for {seconds} s; its own log may say why"
            )));
        }
    }
}

/// Whether the controller knows that an exporter runs its hook before a lease: existing ones answer nobody meanwhile.
pub async fn is_in_hook(controller: &Controller, exporter: &str) -> bool {
    let found = controller.exporter(exporter).await;
    found.is_ok_and(|found| found.status() == ExporterStatus::BeforeLeaseHook)
}

/// Whether it is this side that has lost the router. What the router says of the other side comes without a cause.
fn is_router(lost: &Error) -> bool {
    let status = StdError::source(lost).and_then(|cause| cause.downcast_ref::<Status>());
    status.is_some_and(|status| StdError::source(status).is_some())
}

fn warning(message: &str) -> Option<String> {
    message.strip_prefix(WARNING).map(str::to_owned)
}

/// What somebody who waits for a hook, or keeps a session, gets to know.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// It runs, and that takes a while.
    Hook,
    /// The connection is lost; another one is made.
    Lost(&'a Error),
    /// That does not succeed, and is tried on.
    Away(&'a Error),
    /// There it is. What the exporter has logged is told anew on it.
    Back(&'a Session),
}

/// Connects again after a loss that passes, within so long. `losses` is how many there were.
async fn after(
    mut error: Error,
    losses: &mut u32,
    session: &Session,
    limit: Duration,
    seen: &mut impl FnMut(Seen<'_>),
) -> Result<Session> {
    *losses += 1;
    let mut is_news = true;
    if let Some(why) = session.talk.lost() {
        error = why;
        is_news = session.tunnels.is_news(&session.router);
    }
    if !is_away(&error) || *losses > LOSSES {
        return Err(error);
    }
    if is_news {
        seen(Seen::Lost(&error));
    }
    let connecting = async {
        let mut pause = PAUSE;
        loop {
            match session.again().await {
                Err(failed) if is_away(&failed) && !is_offline(&failed) => error = failed,
                other => return other,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    };
    match timeout(limit, connecting).await {
        Ok(connected) => {
            let again = connected?;
            seen(Seen::Back(&again));
            Ok(again)
        }
        Err(_) => Err(error),
    }
}

/// Keeps a session connected while nobody asks it for anything: a tunnel that is lost is told and made again, for as long as the
/// lease lasts. Stopping this leaves the session that there is.
pub async fn keep(session: &mut Session, mut seen: impl FnMut(Seen<'_>)) -> Infallible {
    loop {
        let lost = session.talk.over().await;
        let tunnels = session.tunnels.clone();
        let lease = tunnels.lease();
        // When it was the exporter that hung up, the end of the lease may be the reason; that is told elsewhere.
        if !lost.as_ref().is_some_and(is_router) {
            lease.look(GLANCE).await;
        }
        if lease.why_over().is_some() {
            std::future::pending::<()>().await;
        }
        let error = lost.unwrap_or_else(|| {
            Error::disconnected(format!("exporter {} has ended the connection", session.name))
        });
        if tunnels.is_news(&session.router) {
            seen(Seen::Lost(&error));
        }
        let again = tokio::select! {
            again = insist(session, &mut seen) => again,
            _ = lease.ended() => std::future::pending().await,
        };
        *session = again;
        seen(Seen::Back(session));
    }
}

/// Connects again, however long that takes.
async fn insist(session: &Session, seen: &mut impl FnMut(Seen<'_>)) -> Session {
    let (mut pause, mut told) = (PAUSE, false);
    loop {
        match session.again().await {
            Ok(again) => return again,
            Err(error) if told => tracing::debug!("trying again: {error}"),
            Err(error) => {
                seen(Seen::Away(&error));
                told = true;
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RARELY);
    }
}

/// Waits until an exporter takes calls, at most [`PATIENCE`]. `hook` is called once, when it runs its hook first. Answers
/// what the hook warns of.
///
/// # Errors
/// [`ErrorKind::NotReady`] when its hook failed or it is not ready in time, with its words.
pub async fn ready(connection: &Connection, mut hook: impl FnMut()) -> Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
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
        sleep(pause).await;
        pause = PAUSE.min(2 * pause);
    }
}

/// How an exporter has cleaned up.
#[derive(Clone, Debug, Default)]
pub struct Cleaned {
    /// Whether a hook ran, as far as one can see.
    pub hook: bool,
    /// What it warns of.
    pub warning: Option<String>,
    /// Why it was not seen how that ended, or whether it has begun.
    pub unseen: Option<Error>,
}

/// Asks an exporter to end the session, and waits until its hook is through, at most [`PATIENCE`]. A connection that is lost is made
/// again: within [`PATIENCE`] while a hook runs, else within `limit`.
///
/// # Errors
/// [`ErrorKind::NotReady`] when the hook failed or did not end in time, with its words.
pub async fn clean_up(session: &Session, limit: Duration, mut seen: impl FnMut(Seen<'_>)) -> Result<Cleaned> {
    let mut session = session.clone();
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    let (mut running, mut losses, mut asked) = (false, 0, false);
    loop {
        let lost = match step(&session, &mut asked, losses > 0).await {
            Ok(Step::Nothing) => return Ok(Cleaned { hook: running, ..Cleaned::default() }),
            Ok(Step::Done { hook, message }) => {
                // A short one is seen only by what came before.
                return Ok(Cleaned { hook: running || hook, warning: warning(&message), unseen: None });
            }
            Ok(Step::Failed(message)) if message.is_empty() => {
                return Err(Error::not_ready("the afterLease hook failed"));
            }
            Ok(Step::Failed(message)) => return Err(Error::not_ready(message)),
            Ok(Step::Running) => {
                if !running {
                    seen(Seen::Hook);
                }
                running = true;
                None
            }
            Ok(Step::Waiting) => None,
            // Whoever is too old to know the question cleans up when the lease ends.
            Err(error) if !running && !is_away(&error) => return Ok(Cleaned::default()),
            Err(error) => Some(error),
        };
        if let Some(error) = lost {
            let limit = if running { PATIENCE } else { limit };
            match after(error, &mut losses, &session, limit, &mut seen).await {
                Ok(again) => {
                    session = again;
                    asked = false;
                }
                Err(error) => return Ok(Cleaned { hook: running, warning: None, unseen: Some(error) }),
            }
            continue;
        }
        if Instant::now() >= deadline {
            return Err(Error::not_ready("the afterLease hook did not end in time"));
        }
        sleep(pause).await;
        pause = PAUSE.min(2 * pause);
    }
}

/// How far an exporter has come with cleaning up.
enum Step {
    /// It has not begun.
    Waiting,
    /// Its hook runs.
    Running,
    /// It is through; whether a hook ran before, and what is said of it.
    Done { hook: bool, message: String },
    /// Its hook failed.
    Failed(String),
    /// There is nothing to wait for.
    Nothing,
}

/// Looks how far it has come, and asks it to begin. `asked` is whether it was; `again` is whether there was another connection before.
async fn step(session: &Session, asked: &mut bool, again: bool) -> Result<Step> {
    let status = session.connection.status().await?;
    match status.status {
        ExporterStatus::LeaseReady | ExporterStatus::AfterLeaseHook if !*asked => {
            *asked = session.connection.end_session().await?.begun;
            // One that was started anew may not be so far yet.
            Ok(if *asked || again { Step::Waiting } else { Step::Nothing })
        }
        ExporterStatus::AfterLeaseHook => Ok(Step::Running),
        ExporterStatus::Available if *asked || again => Ok(Step::Done {
            hook: status.previous == Some(ExporterStatus::AfterLeaseHook),
            message: status.message,
        }),
        ExporterStatus::AfterLeaseHookFailed if *asked || again => Ok(Step::Failed(status.message)),
        // It will not come back; what it was before is all that is left to know.
        ExporterStatus::Offline
            if *asked && status.previous == Some(ExporterStatus::AfterLeaseHookFailed) =>
        {
            Ok(Step::Failed(status.message))
        }
        ExporterStatus::Offline => Ok(Step::Nothing),
        // It was started anew while nobody looked, and begins with the lease from the front.
        ExporterStatus::BeforeLeaseHook => Ok(Step::Waiting),
        _ if *asked => Ok(Step::Waiting),
        _ => Ok(Step::Nothing),
    }
}
