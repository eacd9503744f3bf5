//! Holding a lease: when it ends, more time, and giving it back.
//!
//! A lease can be extended, handed to somebody else or ended by others, and nobody tells: the wire has no watch of a
//! lease. So it is looked at every `LOOK` at the latest, when its end is near, and when a tunnel was refused.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use jumpstarter_core::{Error, Result};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use crate::{
    background,
    controller::{Changes, Controller, is_away},
    lease::{Lease, Standing},
    words,
};

/// How often a lease is looked at: whoever has lost it to somebody else works on for as long at most. Existing clients look as
/// often at a lease that they wait for.
const LOOK: Duration = Duration::from_secs(5);

/// How long before its end a lease is said to be ending, as existing clients have it.
pub const NOTICE: Duration = Duration::from_mins(5);

/// How long a controller may take to end a lease whose time is over.
const SLACK: Duration = Duration::from_secs(5);

/// Pause between looks while it does.
const ENDING: Duration = Duration::from_millis(500);

/// How long one look may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How long giving a lease back may take altogether, as existing clients have it.
pub const RELEASE: Duration = Duration::from_secs(30);

/// First pause before a controller that is away is told once more.
const PAUSE: Duration = Duration::from_millis(250);

/// How long dropping a lease waits until it has been given back. Afterwards that goes on in the background.
pub(crate) const DROP: Duration = Duration::from_secs(10);

/// What is known about the end of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// It goes on.
    Held {
        /// Until then, by this machine's clock.
        ends: Option<Instant>,
        /// Whether that is soon.
        soon: bool,
    },
    /// It is over.
    Over(Over),
}

/// Why a lease is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Its time is.
    Expired,
    /// Somebody ended it, or the lab did; in the controller's words.
    Ended(String),
    /// It is another client's now.
    Transferred(String),
}

impl Over {
    /// For people.
    pub fn words(&self, lease: &str) -> String {
        match self {
            Self::Expired => format!("lease {lease} has expired"),
            Self::Ended(why) => format!("lease {lease} is over: {why}"),
            Self::Transferred(to) if to.is_empty() => {
                format!("lease {lease} was handed to another client; this session is no longer valid")
            }
            Self::Transferred(to) => {
                format!("lease {lease} was handed to client {to}; this session is no longer valid")
            }
        }
    }
}

/// A lease that is held. Dropping it gives it back, if it was made here, and waits for that for a while; so does a panic.
///
/// After `SIGKILL` and the like nobody gives it back: then the lab does, some minutes after it was last looked at; a lab that
/// knows no holders, at its end.
#[derive(Debug)]
pub struct Held {
    shared: Arc<Shared>,
    _watch: AbortOnDropHandle<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    controller: Controller,
    name: String,
    ours: bool,
    released: AtomicBool,
    lease: Mutex<Lease>,
    term: watch::Sender<Term>,
    look: Notify,
}

impl Shared {
    pub(crate) fn controller(&self) -> &Controller {
        &self.controller
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has the lease looked at now.
    pub(crate) fn suspect(&self) {
        self.look.notify_one();
    }

    /// Looks at the lease, at most so long, and takes over what is found.
    pub(crate) async fn look(&self, limit: Duration) {
        let found = self.controller.look(&self.name, limit).await;
        let Term::Held { ends, .. } = self.term.borrow().clone() else { return };
        let clock = Clock::now(Instant::now());
        let past = |ends: Option<Instant>| ends.is_some_and(|ends| clock.steady >= ends + SLACK);
        let new = match found {
            Ok(lease) => {
                let new = term(&lease, &self.controller.access().name, &clock);
                *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
                // An end that has passed stays where it was, or it would pass for ever.
                match new {
                    Term::Held { ends: Some(new), .. }
                        if new <= clock.steady && ends.is_some_and(|ends| ends <= new) =>
                    {
                        if past(ends) {
                            Term::Over(Over::Expired)
                        } else {
                            Term::Held { ends, soon: true }
                        }
                    }
                    other => other,
                }
            }
            Err(status) if words::is_missing(&status) => {
                Term::Over(Over::Ended("the controller does not know it any more".to_owned()))
            }
            // Without an answer, what was known holds.
            Err(_) if past(ends) => Term::Over(Over::Expired),
            Err(_) => {
                let soon = ends.is_some_and(|ends| ends <= clock.steady + NOTICE);
                Term::Held { ends, soon }
            }
        };
        match new {
            Term::Over(over) => self.over(over),
            term @ Term::Held { .. } => self.goes_on(term),
        }
    }

    /// Why nobody can use it any more, if that is so.
    pub(crate) fn why_over(&self) -> Option<Over> {
        match &*self.term.borrow() {
            Term::Over(over) => Some(over.clone()),
            Term::Held { .. } => None,
        }
    }

    /// It goes on, and this is known about its end.
    fn goes_on(&self, new: Term) {
        self.term.send_if_modified(|known| {
            let differs = matches!(known, Term::Held { .. }) && *known != new;
            if differs {
                *known = new;
            }
            differs
        });
    }

    /// Nobody can use it any more.
    pub(crate) fn over(&self, over: Over) {
        self.term.send_if_modified(|term| {
            let goes_on = matches!(term, Term::Held { .. });
            if goes_on {
                *term = Term::Over(over);
            }
            goes_on
        });
    }

    /// Waits until it is over, and says why.
    pub(crate) async fn ended(&self) -> Over {
        let mut term = self.term.subscribe();
        loop {
            if let Term::Over(over) = &*term.borrow_and_update() {
                return over.clone();
            }
            if term.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Held {
    /// Holds it. `ours` says whether it was made here, and so has to be given back here.
    pub(crate) fn new(controller: Controller, lease: Lease, ours: bool) -> Result<Self> {
        let now = Instant::now();
        let term = match term(&lease, &controller.access().name, &Clock::now(now)) {
            Term::Over(_) => Term::Held { ends: None, soon: false },
            term @ Term::Held { .. } => term,
        };
        let shared = Arc::new(Shared {
            controller,
            name: lease.name.clone(),
            ours,
            released: AtomicBool::new(false),
            lease: Mutex::new(lease),
            term: watch::Sender::new(term),
            look: Notify::new(),
        });
        let watch = background::spawn(watch(shared.clone()))?;
        Ok(Self { shared, _watch: AbortOnDropHandle::new(watch) })
    }

    /// Holds a lease that somebody else has made, for the same client. It is not given back here.
    ///
    /// # Errors
    /// When there is none of this name, it is over, or another client's.
    pub async fn existing(controller: &Controller, name: &str) -> Result<Self> {
        let lease = controller.lease(name).await?;
        let me = &controller.access().name;
        if lease.client != *me {
            return Err(Error::usage(format!(
                "lease {name} belongs to client '{}', not the current client '{me}'",
                lease.client
            )));
        }
        match lease.standing() {
            Standing::Over(_) => Err(Error::usage(format!("lease {name} has already ended"))),
            Standing::Unsatisfiable(why) => {
                Err(Error::usage(format!("lease {name} cannot be satisfied: {why}")))
            }
            Standing::Invalid(why) => Err(Error::usage(format!("lease {name} is invalid: {why}"))),
            Standing::Ready | Standing::Waiting(_) | Standing::Again(_) => {
                Self::new(controller.clone(), lease, false)
            }
        }
    }

    /// Waits until it has its exporter.
    ///
    /// # Errors
    /// When it will not, or not within the limit.
    pub async fn ready(&self, limit: Duration, observer: &crate::Observer) -> Result<()> {
        let (controller, lease) = (self.shared.controller.clone(), self.lease());
        let ready = crate::acquire::wait_for(controller, lease, limit, observer.clone());
        let lease = background::run(ready).await?;
        self.renew(lease);
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether it was made here, and so is given back here.
    pub fn is_ours(&self) -> bool {
        self.shared.ours
    }

    /// What it said when it was last looked at.
    pub fn lease(&self) -> Lease {
        self.shared.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The exporter that it is for.
    pub fn exporter(&self) -> String {
        self.lease().exporter
    }

    /// The controller that it is from.
    pub fn controller(&self) -> &Controller {
        &self.shared.controller
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes over what somebody has just been told about it.
    pub(crate) fn renew(&self, lease: Lease) {
        let new = term(&lease, &self.shared.controller.access().name, &Clock::now(Instant::now()));
        *self.shared.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
        match new {
            // Whether it is over, is for whoever watches it to find out.
            Term::Over(_) => self.shared.suspect(),
            new @ Term::Held { .. } => self.shared.goes_on(new),
        }
    }

    /// What is known about its end, now and whenever that changes.
    pub fn term(&self) -> watch::Receiver<Term> {
        self.shared.term.subscribe()
    }

    /// Waits until it is over, and says why.
    pub async fn ended(&self) -> Over {
        self.shared.ended().await
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(*self.shared.term.borrow(), Term::Over(_))
    }

    /// Gives it so much time from its begin on.
    ///
    /// # Errors
    /// Why it does not get it.
    pub async fn extend_to(&self, duration: Duration) -> Result<()> {
        let changes = Changes { duration: Some(duration), ..Changes::default() };
        let lease = self.shared.controller.update_lease(&self.shared.name, changes).await?;
        self.renew(lease);
        Ok(())
    }

    /// Gives it so much more time.
    ///
    /// # Errors
    /// Why it does not get it.
    pub async fn extend(&self, more: Duration) -> Result<()> {
        let lease = self.shared.controller.lease(&self.shared.name).await?;
        let lasts = lease.duration.and_then(|lasts| Duration::try_from(lasts).ok()).unwrap_or_default();
        self.extend_to(lasts.saturating_add(more)).await
    }

    /// Leaves it to whoever asks for it by its name: it is not given back here, and lasts to its end.
    ///
    /// # Errors
    /// When it is over, or the controller was not told within [`RELEASE`]; then it is given back.
    pub async fn keep(self) -> Result<Lease> {
        if self.shared.ours {
            let leave = leave(self.shared.clone());
            self.renew(background::run(leave).await?);
        }
        self.shared.released.store(true, Ordering::SeqCst);
        Ok(self.lease())
    }

    /// Gives it back, if it was made here and is not over. A second time does nothing.
    ///
    /// # Errors
    /// When the controller was not told within [`RELEASE`]; says when the lease ends by itself.
    pub async fn release(&self) -> Result<()> {
        if !self.shared.ours || self.shared.released.swap(true, Ordering::SeqCst) || self.is_over() {
            return Ok(());
        }
        // On threads of its own: whoever waits may be cancelled, and it is given back all the same.
        background::run(release(self.shared.clone())).await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.shared.ours || self.shared.released.swap(true, Ordering::SeqCst) || self.is_over() {
            return;
        }
        let (done, over) = std::sync::mpsc::sync_channel(1);
        let shared = self.shared.clone();
        let started = background::spawn(async move {
            if let Err(error) = release(shared).await {
                tracing::warn!("{error}");
            }
            let _ = done.send(());
        });
        if started.is_ok() && !background::is_here() {
            // The process may be about to end.
            let _ = over.recv_timeout(DROP);
        }
    }
}

/// Says that nobody holds it any more. Whoever has waited for it does not lose it because a controller is starting again.
async fn leave(shared: Arc<Shared>) -> Result<Lease> {
    let deadline = Instant::now() + RELEASE;
    loop {
        let changes = Changes { left: true, ..Changes::default() };
        match shared.controller.update_lease(&shared.name, changes).await {
            Ok(lease) => match lease.standing() {
                Standing::Over(why) => {
                    let message = format!("lease {} ended before it could be left: {why}", shared.name);
                    return Err(Error::cancelled(message));
                }
                _ => return Ok(lease),
            },
            Err(error) if is_away(&error) && Instant::now() < deadline => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

async fn release(shared: Arc<Shared>) -> Result<()> {
    let deadline = Instant::now() + RELEASE;
    let mut pause = PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let status = match shared.controller.end(&shared.name, left.min(ANSWER)).await {
            Ok(()) => return Ok(()),
            Err(status) => status,
        };
        if is_given_back(&status) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if !words::passes(&status) || left.is_zero() {
            let error = shared.controller.error(&status);
            let lease = shared.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let until =
                lease.ends().map_or(String::new(), |ends| format!("; it ends by itself at {ends:.0}"));
            return Err(error.context(format_args!("cannot give back lease {}{until}", shared.name)));
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Whether there is nothing left to give back: the exporter may have been first, or it is another client's now.
fn is_given_back(status: &Status) -> bool {
    let said = status.message();
    words::is_missing(status)
        || (status.code() == Code::FailedPrecondition && said.contains("already been released"))
        || (status.code() == Code::Unknown && said.to_lowercase().contains("permission denied"))
}

/// Both clocks at one moment.
struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    fn now(steady: Instant) -> Self {
        Self { wall: Timestamp::now(), steady }
    }
}

/// What a lease says about its end.
fn term(lease: &Lease, me: &str, now: &Clock) -> Term {
    if !lease.client.is_empty() && lease.client != me {
        return Term::Over(Over::Transferred(lease.client.clone()));
    }
    let left = lease.remaining(now.wall);
    if let Some(why) = lease.over() {
        let expired = lease.conditions.iter().any(|condition| {
            condition.kind == "Ready" && condition.status == "False" && condition.reason == "Expired"
        });
        return Term::Over(if expired { Over::Expired } else { Over::Ended(why) });
    }
    Term::Held {
        ends: left.and_then(|left| now.steady.checked_add(left)),
        soon: left.is_some_and(|left| left <= NOTICE),
    }
}

/// Looks at a lease until it is over.
async fn watch(shared: Arc<Shared>) {
    let mut known = shared.term.subscribe();
    loop {
        let now = Instant::now();
        let Term::Held { ends, soon } = known.borrow_and_update().clone() else { return };
        let mut next = now + LOOK;
        if let Some(ends) = ends {
            if !soon {
                next = next.min(ends.checked_sub(NOTICE).unwrap_or(now));
            }
            // Once its time is over, the controller has a moment to say so.
            next = next.min(if ends > now { ends } else { now + ENDING });
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = shared.look.notified() => {}
            // Somebody was told more about it elsewhere.
            changed = known.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        shared.look(ANSWER).await;
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::lease::Condition;

    fn lease(lasted: i64) -> Lease {
        Lease {
            client: "me".to_owned(),
            effective_begin: Some(Timestamp::UNIX_EPOCH),
            effective_duration: Some(SignedDuration::from_secs(lasted)),
            duration: Some(SignedDuration::from_secs(1000)),
            conditions: vec![Condition {
                kind: "Ready".to_owned(),
                status: "True".to_owned(),
                ..Condition::default()
            }],
            ..Lease::default()
        }
    }

    #[tokio::test]
    async fn pitfall_k13_the_end_of_a_lease_is_announced_five_minutes_before() {
        let now = Clock::now(Instant::now());
        let at = |seconds| Some(now.steady + Duration::from_secs(seconds));
        assert_eq!(term(&lease(100), "me", &now), Term::Held { ends: at(900), soon: false });
        assert_eq!(term(&lease(700), "me", &now), Term::Held { ends: at(300), soon: true });
        assert_eq!(term(&lease(100), "you", &now), Term::Over(Over::Transferred("me".to_owned())));
        let mut over = lease(1000);
        over.effective_end = Some(Timestamp::UNIX_EPOCH);
        over.conditions.clear();
        assert_eq!(term(&over, "me", &now), Term::Over(Over::Ended("it has ended".to_owned())));
        over.conditions.push(Condition {
            kind: "Ready".to_owned(),
            status: "False".to_owned(),
            reason: "Expired".to_owned(),
            message: String::new(),
            since: None,
        });
        assert_eq!(term(&over, "me", &now), Term::Over(Over::Expired));
    }

    #[test]
    fn pitfall_k6_a_lease_that_is_released_already_needs_no_release() {
        for status in [
            Status::failed_precondition("lease \"namespaces/a/leases/b\" has already been released"),
            Status::unknown("leases.jumpstarter.dev \"b\" not found"),
            Status::unknown("DeleteLease permission denied"),
        ] {
            assert!(is_given_back(&status), "{status}");
        }
        for status in [Status::unavailable("away"), Status::failed_precondition("no"), Status::unknown("x")] {
            assert!(!is_given_back(&status), "{status}");
        }
    }
}
