//! Tunnels of one lease: from the controller's word that somebody dials to a connection of the session.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant},
};

use jumpstarter_core::{Error, Result, log::Severity};
use jumpstarter_protocol::v1::ListenResponse;
use jumpstarter_session::{LogBuffer, SessionService};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint},
    server::{Acceptor, Peer},
    status::innermost,
    tunnel::{self, Outcome},
};
use tokio::{
    sync::{Mutex, Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::{chance, controller::Controller};

/// How many tunnels one lease may have. A client that wants more waits at the controller.
const TUNNELS: usize = 1024;

/// How long a router may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a router is tried for one tunnel. Its client does not wait longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What tunnels lead to, once the session is served.
pub(crate) type Target = watch::Receiver<Option<Acceptor<SessionService>>>;

/// The tunnels of a lease.
pub(crate) struct Tunnels {
    pub(crate) controller: Arc<Controller>,
    pub(crate) lease: String,
    pub(crate) logs: Arc<LogBuffer>,
    pub(crate) target: Target,
    /// There are no new tunnels from then on.
    stop: CancellationToken,
    /// One connection per router, for all tunnels: a stalled one holds up nobody, since routers take what fits the stream.
    routers: Mutex<HashMap<String, Channel>>,
}

impl Tunnels {
    pub(crate) fn new(
        controller: Arc<Controller>,
        lease: String,
        logs: Arc<LogBuffer>,
        target: Target,
        stop: CancellationToken,
    ) -> Self {
        Self { controller, lease, logs, target, stop, routers: Mutex::default() }
    }

    /// Takes tunnels until it is told to stop, and carries them until `end`.
    pub(crate) async fn serve(self: Arc<Self>, end: CancellationToken) {
        let mut carried = JoinSet::new();
        tokio::select! {
            () = self.listen(&mut carried) => {}
            () = self.stop.cancelled() => {}
        }
        tokio::select! {
            () = async { while carried.join_next().await.is_some() {} } => {}
            () = end.cancelled() => {}
        }
        // Those that are left are dropped with the set, which resets their calls.
    }

    /// One call at a time: a second one would take the first one's place at the controller.
    async fn listen(self: &Arc<Self>, carried: &mut JoinSet<()>) {
        let room = Arc::new(Semaphore::new(TUNNELS));
        let mut failures = 0;
        loop {
            let lost = match self.controller.listen(&self.lease).await {
                Ok(mut calls) => loop {
                    let Ok(permit) = room.clone().acquire_owned().await else { return };
                    match calls.message().await {
                        Ok(Some(call)) => {
                            failures = 0;
                            let this = self.clone();
                            carried.spawn(async move {
                                this.carry(call).await;
                                drop(permit);
                            });
                        }
                        Ok(None) => break None,
                        Err(status) => break Some(super::controller::Failed::from(status)),
                    }
                    while carried.try_join_next().is_some() {}
                },
                Err(failed) => Some(failed),
            };
            let pause = jumpstarter_life::pause(failures, chance());
            failures += 1;
            if let Some(failed) = lost {
                tracing::debug!(
                    lease = self.lease,
                    "cannot hear of tunnels: {}; again in {pause:.1?}",
                    failed.error
                );
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Connects one tunnel, and serves the session on it until it ends.
    async fn carry(&self, call: ListenResponse) {
        let mut target = self.target.clone();
        let acceptor = match target.wait_for(Option::is_some).await {
            Ok(acceptor) => acceptor.clone(),
            Err(_) => return,
        };
        let Some(acceptor) = acceptor else { return };
        let place = &call.router_endpoint;
        let begun = Instant::now();
        let mut failures = 0;
        let why = loop {
            let why = match self.router(place).await {
                Ok(channel) => match self.attempt(&acceptor, channel, &call.router_token).await {
                    Ok(outcome) => match words(place, &outcome) {
                        None => return,
                        // Something has come through it: nothing can take its place.
                        Some(why) if outcome.has_spoken() => {
                            self.logs.system(Severity::Warning, &why);
                            tracing::warn!(lease = self.lease, "{why}");
                            return;
                        }
                        Some(why) => {
                            self.routers.lock().await.remove(place);
                            why
                        }
                    },
                    Err(error) => break error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            let pause = jumpstarter_life::pause(failures, chance());
            failures += 1;
            if begun.elapsed() + pause > PATIENCE {
                break why;
            }
            tracing::debug!(lease = self.lease, "{why}; again in {pause:.1?}");
            tokio::time::sleep(pause).await;
        };
        let why = format!("a client cannot be connected with: {why}");
        self.logs.system(Severity::Warning, &why);
        tracing::warn!(lease = self.lease, "{why}");
    }

    /// The connection to a router.
    async fn router(&self, place: &str) -> Result<Channel> {
        let mut routers = self.routers.lock().await;
        if let Some(channel) = routers.get(place) {
            return Ok(channel.clone());
        }
        let options = self.controller.to_router(CONNECT);
        let channel = connect::connect(&Endpoint::parse(place)?, &options)
            .await
            .map_err(|error| error.context("the router"))?;
        routers.insert(place.to_owned(), channel.clone());
        Ok(channel)
    }

    async fn attempt(
        &self,
        acceptor: &Acceptor<SessionService>,
        channel: Channel,
        token: &str,
    ) -> Result<Outcome> {
        let mut metadata = MetadataMap::new();
        let mut token = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Error::internal("the controller gave a token that cannot be sent"))?;
        token.set_sensitive(true);
        metadata.insert("authorization", token);
        let (tunnel, outcome) = tunnel::open(channel, metadata);
        // One that nobody has come through until then would only be waited for at the end.
        let unused = async {
            self.stop.cancelled().await;
            if outcome.has_spoken() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            // Clients that go, and tunnels that only probe, are everyday events.
            ended = acceptor.serve(tunnel, Peer::Tunnel) => if let Err(error) = ended {
                tracing::debug!(lease = self.lease, %error, "a tunnel ended");
            },
            () = unused => {}
        }
        Ok(outcome)
    }
}

/// What went wrong with a tunnel, unless it was its client, who may go as he likes.
fn words(place: &str, outcome: &Outcome) -> Option<String> {
    let status: Status = outcome.lost()?;
    let cause = innermost(status.source()?);
    // What is left of a connection that was given up for want of answers, and of one that the router has closed, is the
    // same to each of its calls.
    let vanished =
        cause.contains("broken pipe") || cause.contains("keep-alive") || cause.contains("timed out");
    let cause = if vanished { "it has gone, or does not answer any more" } else { &cause };
    Some(format!("the connection to the router at {place} is lost: {cause}"))
}
