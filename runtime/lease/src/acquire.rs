//! Asking for a lease, and waiting for it.
//!
//! The wire has no call that waits for a lease and no watch of one: a lab that has an exporter free answers the first call
//! with it, and whoever waits longer has to look again. The pauses grow with the time that has been waited already, from
//! [`SHORTEST`] to [`LONGEST`].
//!
//! The name of a lease is chosen here, so that one whose creation was never answered can be given back all the same.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use jumpstarter_core::{Error, Result};
use jumpstarter_protocol::client::v1 as wire;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::{
    background,
    controller::Controller,
    held::{self, Held},
    lease::{Lease, Standing, asks_for, to_duration, to_time},
    words,
};

/// How long a lease lasts where nobody says, as existing clients have it.
pub const DURATION: Duration = Duration::from_mins(30);

/// First pause between two looks at a lease that waits.
pub const SHORTEST: Duration = Duration::from_millis(250);

/// Longest pause between two looks, as existing clients have it.
pub const LONGEST: Duration = Duration::from_secs(5);

/// Pauses after looks that were not answered: doubling, between these two, and up to a second more by chance, so that not
/// everybody comes back at the same moment.
const LOST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(2));

/// How long until a lease is asked for again where an old controller says that no exporter is there.
const AGAIN: Duration = Duration::from_secs(5);

/// How often its creation is tried, while it is not answered.
const ATTEMPTS: u32 = 3;

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Labels that the exporter must have; empty for any.
    pub selector: String,
    /// The only exporter that will do.
    pub exporter: Option<String>,
    /// For how long; [`DURATION`] if nothing is said.
    pub duration: Option<Duration>,
    /// Not before.
    pub begin: Option<Timestamp>,
    /// To find it by.
    pub tags: BTreeMap<String, String>,
    /// What it is for.
    pub context: BTreeMap<String, String>,
    /// An exporter that is disabled will do.
    pub allow_disabled: bool,
    /// What it is to be called; a new name if nothing is said.
    pub name: Option<String>,
}

impl Wanted {
    /// As a controller is asked.
    pub fn to_wire(&self) -> wire::Lease {
        wire::Lease {
            selector: self.selector.clone(),
            exporter_name: self.exporter.clone().filter(|name| !name.is_empty()),
            duration: Some(to_duration(self.lasts())),
            begin_time: self.begin.map(to_time),
            tags: self.tags.clone().into_iter().collect(),
            context: self.context.clone().into_iter().collect(),
            allow_disabled: self.allow_disabled,
            ..wire::Lease::default()
        }
    }

    /// For how long.
    pub fn lasts(&self) -> Duration {
        self.duration.unwrap_or(DURATION)
    }

    /// Which exporter, in words.
    pub fn what(&self) -> String {
        asks_for(&self.selector, self.exporter.as_deref().unwrap_or_default())
    }
}

/// A name for a lease that nobody else has.
pub fn new_name() -> String {
    Uuid::now_v7().to_string()
}

/// How far it has come.
#[derive(Clone, Debug)]
pub enum Progress {
    /// It is being asked for.
    Asking {
        /// Its name.
        name: String,
        /// Which exporter, in words.
        what: String,
        /// For how long.
        lasts: Duration,
    },
    /// It waits.
    Waiting {
        /// Why, at which place, and for how long about: in the controller's words.
        why: String,
        /// How long it has waited.
        waited: Duration,
    },
    /// The controller does not answer; it will be asked again.
    Away {
        /// Why.
        why: String,
        /// When.
        again: Duration,
    },
    /// There it is.
    Got {
        /// Its name.
        name: String,
        /// Its exporter.
        exporter: String,
        /// How long it has waited.
        waited: Duration,
    },
}

/// Is told how far it has come.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Progress) + Send + Sync>);

impl Observer {
    /// Something that is told.
    pub fn new(told: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    fn tell(&self, progress: Progress) {
        (self.0)(progress);
    }
}

impl Default for Observer {
    /// Who does not want to know.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// A lease that is being waited for. When it is dropped, the lease is given back, and that is waited for for a while.
#[derive(Debug)]
pub struct Acquiring {
    task: JoinHandle<Result<Held>>,
    cancel: CancellationToken,
    /// Closed when the task has ended.
    ended: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Acquiring {
    /// Asks. `limit` is how long it may take.
    ///
    /// # Errors
    /// When there are no threads for it.
    pub fn start(
        controller: Controller,
        wanted: Wanted,
        limit: Duration,
        observer: Observer,
    ) -> Result<Self> {
        let cancel = CancellationToken::new();
        let (running, ended) = std::sync::mpsc::sync_channel(1);
        let acquire = acquire(controller, wanted, limit, observer, cancel.clone());
        let task = background::spawn(async move {
            let _running = running;
            acquire.await
        })?;
        Ok(Self { task, cancel, ended: Mutex::new(ended) })
    }

    /// Waits for it. May be cancelled, and then be waited for again.
    ///
    /// # Errors
    /// Why there is none, and will not be. What was made on the way has been given back.
    pub async fn wait(&mut self) -> Result<Held> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => Err(Error::internal(format!("waiting for a lease ended early: {error}"))),
        }
    }

    /// Gives up, and waits until what was made has been given back.
    pub async fn cancel(mut self) {
        self.cancel.cancel();
        if let Ok(held) = self.wait().await {
            let _ = held.release().await;
        }
    }
}

impl Drop for Acquiring {
    fn drop(&mut self) {
        // The task goes on until nothing is left of the lease; the process may be about to end.
        self.cancel.cancel();
        if !background::is_here() {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(held::DROP);
        }
    }
}

/// How long it may still take, and who may give up.
struct Patience {
    since: Instant,
    limit: Duration,
    cancel: CancellationToken,
}

impl Patience {
    fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.waited())
    }

    /// Waits, unless somebody gives up first.
    async fn pause(&self, pause: Duration) -> Result<()> {
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = self.cancel.cancelled() => Err(given_up()),
        }
    }
}

fn given_up() -> Error {
    Error::cancelled("nobody waits for the lease any more")
}

/// What came of waiting.
enum Waited {
    Ready(Box<Lease>),
    Again(String),
}

async fn acquire(
    controller: Controller,
    wanted: Wanted,
    limit: Duration,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<Held> {
    let patience = Patience { since: Instant::now(), limit, cancel };
    let mut name = wanted.name.clone().unwrap_or_else(new_name);
    loop {
        observer.tell(Progress::Asking { name: name.clone(), what: wanted.what(), lasts: wanted.lasts() });
        // Never given up in the middle: it would not be known whether there is a lease.
        let lease = create(&controller, &mut name, &wanted).await?;
        let held = Held::new(controller.clone(), lease.clone(), true)?;
        let waited = until_ready(&controller, lease, &patience, &observer).await;
        match waited {
            Ok(Waited::Ready(lease)) if !patience.cancel.is_cancelled() => {
                observer.tell(Progress::Got {
                    name: lease.name.clone(),
                    exporter: lease.exporter.clone(),
                    waited: patience.waited(),
                });
                held.renew(*lease);
                return Ok(held);
            }
            Ok(Waited::Ready(_)) => {
                let _ = held.release().await;
                return Err(given_up());
            }
            Ok(Waited::Again(why)) => {
                let _ = held.release().await;
                observer.tell(Progress::Waiting { why, waited: patience.waited() });
                patience.pause(AGAIN.min(patience.left())).await?;
                if patience.left().is_zero() {
                    return Err(too_late(&name, limit));
                }
            }
            Err(error) => {
                // What is over needs no release, and the reason is more than that one failed.
                let _ = held.release().await;
                return Err(error);
            }
        }
    }
}

/// Makes it. Without an answer it may be there or not, so it is asked for under the same name again.
async fn create(controller: &Controller, name: &mut String, wanted: &Wanted) -> Result<Lease> {
    let mut attempt = 1;
    // Should this process be killed, nobody gives it back: then the controller notices that nobody looks at it any more.
    let wanted_and_held = wire::Lease { held: Some(true), ..wanted.to_wire() };
    loop {
        let status = match controller.ask(name, wanted_and_held.clone()).await {
            Ok(lease) => return Ok(lease),
            Err(status) => status,
        };
        // Somebody made it, and nobody else knows the name that was chosen here.
        let ours = wanted.name.is_none() || attempt > 1;
        if words::is_taken(&status) && ours {
            match controller.look(name, LOOK).await {
                // An old controller keeps the name of a lease that is over.
                Ok(lease) if lease.over().is_some() && wanted.name.is_none() => *name = new_name(),
                Ok(lease) if lease.client == controller.access().name => return Ok(lease),
                Ok(_) => return Err(controller.error(&status)),
                Err(status) => return Err(controller.error(&status)),
            }
        } else if !words::passes(&status) || attempt >= ATTEMPTS {
            if words::passes(&status) {
                // Perhaps it came through after all, and would wait for nobody.
                let _ = controller.end(name, LOOK).await;
            }
            return Err(controller.error(&status));
        }
        attempt += 1;
        sleep(LOST.0).await;
    }
}

/// Waits for a lease that is there already.
pub(crate) async fn wait_for(
    controller: Controller,
    lease: Lease,
    limit: Duration,
    observer: Observer,
) -> Result<Lease> {
    let patience = Patience { since: Instant::now(), limit, cancel: CancellationToken::new() };
    match until_ready(&controller, lease, &patience, &observer).await? {
        Waited::Ready(lease) => Ok(*lease),
        Waited::Again(why) => Err(Error::usage(format!("the lease cannot be satisfied: {why}"))),
    }
}

async fn until_ready(
    controller: &Controller,
    mut lease: Lease,
    patience: &Patience,
    observer: &Observer,
) -> Result<Waited> {
    loop {
        match lease.standing() {
            Standing::Ready => return Ok(Waited::Ready(Box::new(lease))),
            Standing::Again(why) => return Ok(Waited::Again(why)),
            Standing::Unsatisfiable(why) => {
                return Err(Error::usage(format!("the lease cannot be satisfied: {why}")));
            }
            Standing::Invalid(why) => return Err(Error::usage(format!("the lease is invalid: {why}"))),
            Standing::Over(why) => {
                return Err(Error::cancelled(format!(
                    "lease {} ended while it was waited for: {why}",
                    lease.name
                )));
            }
            Standing::Waiting(why) => observer.tell(Progress::Waiting { why, waited: patience.waited() }),
        }
        if patience.left().is_zero() {
            return Err(too_late(&lease.name, patience.limit));
        }
        patience.pause(pause(patience.waited()).min(patience.left())).await?;
        lease = look(controller, &lease.name, patience, observer).await?;
    }
}

/// The pause after so much waiting.
fn pause(waited: Duration) -> Duration {
    (waited / 8).clamp(SHORTEST, LONGEST)
}

fn too_late(name: &str, limit: Duration) -> Error {
    let message = format!("lease {name} acquisition timed out after {} seconds", limit.as_secs());
    // Of the lab, which had no exporter to give: no device has taken too long.
    Error::not_ready(message)
}

/// Looks at it, until the controller answers.
async fn look(
    controller: &Controller,
    name: &str,
    patience: &Patience,
    observer: &Observer,
) -> Result<Lease> {
    let mut pause = LOST.0;
    loop {
        let status = tokio::select! {
            found = controller.look(name, LOOK) => match found {
                Ok(lease) => return Ok(lease),
                Err(status) => status,
            },
            () = patience.cancel.cancelled() => return Err(given_up()),
        };
        if !transient(&status) {
            return Err(controller.error(&status));
        }
        if patience.left().is_zero() {
            return Err(too_late(name, patience.limit));
        }
        let again = (pause + chance()).min(patience.left());
        observer.tell(Progress::Away { why: controller.error(&status).message().to_owned(), again });
        patience.pause(again).await?;
        pause = (pause * 2).min(LOST.1);
    }
}

fn transient(status: &Status) -> bool {
    words::passes(status)
}

/// Up to a second.
fn chance() -> Duration {
    let bits = Uuid::new_v4().as_u64_pair().1;
    Duration::from_millis(bits % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_the_wait_and_have_an_end() {
        assert_eq!(pause(Duration::ZERO), SHORTEST);
        assert_eq!(pause(Duration::from_secs(16)), Duration::from_secs(2));
        assert_eq!(pause(Duration::from_hours(1)), LONGEST);
    }

    #[test]
    fn what_is_asked_for_is_said_in_words_and_lasts_half_an_hour_by_default() {
        let wanted = Wanted { selector: "board=x".to_owned(), ..Wanted::default() };
        assert_eq!(wanted.what(), "selector board=x");
        assert_eq!(wanted.to_wire().duration.map(|lasts| lasts.seconds), Some(1800));
        let wanted = Wanted { exporter: Some("rig".to_owned()), ..wanted };
        assert_eq!(wanted.what(), "exporter rig with board=x");
    }
}
