//! A lease with its devices, for a test in Rust.

use std::{future::IntoFuture, path::PathBuf, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use jumpstarter_client::Device;
use jumpstarter_core::{Error, Result, Selector, client::Client};
use tokio::time::Instant;

use crate::{
    Access, Acquiring, Choice, Controller, Held, Observer, Progress, Session, Socket, Tunnels, Wanted,
    choose, controller::is_away, lease::Lease, session,
};

/// A lease that is asked for. Awaiting it waits until the exporter is ready.
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for until it is awaited"]
pub struct Request {
    choice: Choice,
    wanted: Wanted,
    existing: Option<String>,
    limit: Option<Duration>,
    observer: Observer,
}

/// Asks for an exporter: any with these labels, or one by its name.
///
/// Which client asks is decided as for `jmp`: by the environment, else by the user's own choice ([`Choice::Default`]).
/// Inside of `jmp shell`, and wherever `JMP_LEASE` names a lease that fits, that one is used and not given back.
pub fn lease() -> Request {
    Request {
        choice: Choice::Default,
        wanted: Wanted::default(),
        existing: None,
        limit: None,
        observer: Observer::new(log),
    }
}

/// Without anybody who looks, it goes to the log.
fn log(progress: Progress) {
    match progress {
        Progress::Asking { name, what, lasts } => {
            tracing::info!("acquiring lease {name} for {what} for {} s", lasts.as_secs());
        }
        Progress::Waiting { why, waited } => {
            tracing::debug!("waiting for a lease for {} s: {why}", waited.as_secs());
        }
        Progress::Away { why, again } => {
            tracing::warn!("{why}; asking again in {} s", again.as_secs());
        }
        Progress::Got { name, exporter, .. } => tracing::info!("lease {name} has exporter {exporter}"),
    }
}

impl Request {
    /// Labels that the exporter must have: `board=rpi4`, `room in (1,2)`, `!reserved`.
    pub fn selector(mut self, selector: impl Into<String>) -> Self {
        self.wanted.selector = selector.into();
        self
    }

    /// The only exporter that will do.
    pub fn exporter(mut self, name: impl Into<String>) -> Self {
        self.wanted.exporter = Some(name.into());
        self
    }

    /// How long it lasts, from its begin; half an hour if nothing is said. It ends earlier when it is given back.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.wanted.duration = Some(duration);
        self
    }

    /// Not before.
    pub fn begin(mut self, begin: Timestamp) -> Self {
        self.wanted.begin = Some(begin);
        self
    }

    /// A tag to find it by.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.wanted.tags.insert(key.into(), value.into());
        self
    }

    /// What it is for; the exporter gets to know it.
    pub fn context(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.wanted.context.insert(key.into(), value.into());
        self
    }

    /// An exporter that is disabled will do, if it is named.
    pub fn allow_disabled(mut self) -> Self {
        self.wanted.allow_disabled = true;
        self
    }

    /// The client of this alias asks.
    pub fn client(mut self, alias: impl Into<String>) -> Self {
        self.choice = Choice::Alias(alias.into());
        self
    }

    /// The client in this file asks.
    pub fn client_config(mut self, file: impl Into<PathBuf>) -> Self {
        self.choice = Choice::File(file.into());
        self
    }

    /// Uses a lease that exists. It is not given back.
    pub fn existing(mut self, name: impl Into<String>) -> Self {
        self.existing = Some(name.into());
        self
    }

    /// How long to wait for it; what the client's configuration says, if nothing is said here.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Is told how far it has come.
    pub fn on_progress(mut self, told: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(told);
        self
    }

    async fn get(self) -> Result<Leased> {
        let lookup = |name: &str| std::env::var(name).ok();
        let chosen = choose(&self.choice, &lookup)?;
        let controller = Controller::connect(Access::new(&chosen, &lookup)?).await?;
        let limits = controller.limits();
        let limit = self.limit.unwrap_or(Duration::from_secs(limits.acquisition_timeout));
        let dial = seconds(limits.dial_timeout);
        let existing = self.existing.clone().or_else(|| lookup("JMP_LEASE").filter(|name| !name.is_empty()));
        let existing = match existing {
            Some(name) => {
                let held = Held::existing(&controller, &name).await?;
                if fits(&held.lease(), &self.wanted) {
                    held.ready(limit, &self.observer).await?;
                    Some(held)
                } else {
                    tracing::warn!("lease {name} is for {}; asking for another one", held.lease().asks_for());
                    None
                }
            }
            None => None,
        };
        if let Some(held) = existing {
            return Leased::connect(held, dial).await;
        }
        if self.wanted.selector.trim().is_empty() && self.wanted.exporter.is_none() {
            return Err(Error::usage(
                "a lease needs to know which exporter: say so with `selector`, `exporter` or `existing`",
            ));
        }
        let mut away: Option<Instant> = None;
        loop {
            let (controller, wanted) = (controller.clone(), self.wanted.clone());
            let held = Acquiring::start(controller, wanted, limit, self.observer.clone())?.wait().await?;
            match Leased::connect(held, dial).await {
                // Another exporter may answer.
                Err(error) if is_away(&error) => {
                    let since = *away.get_or_insert_with(Instant::now);
                    if since.elapsed() >= seconds(limits.retry_timeout) {
                        return Err(error);
                    }
                    tracing::warn!("{error}; asking for another lease");
                }
                other => return other,
            }
        }
    }
}

impl IntoFuture for Request {
    type Output = Result<Leased>;
    type IntoFuture = BoxFuture<'static, Result<Leased>>;

    fn into_future(self) -> Self::IntoFuture {
        self.get().boxed()
    }
}

/// Whether a lease is for what is wanted; who wants nothing in particular takes any.
pub fn fits(lease: &Lease, wanted: &Wanted) -> bool {
    let same = |one: &str, other: &str| match (one.parse::<Selector>(), other.parse::<Selector>()) {
        (Ok(one), Ok(other)) => one == other || one.to_string() == other.to_string(),
        _ => one == other,
    };
    let selector = wanted.selector.trim();
    let named = wanted.exporter.as_deref().unwrap_or_default();
    (selector.is_empty() || same(selector, &lease.selector))
        && (named.is_empty() || named == lease.exporter_name || named == lease.exporter)
}

/// A number of seconds as a configuration has it.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// An exporter that is yours until this is dropped.
///
/// Dropping it, also by a panic, gives the lease back and waits for that, at most 10 s. [`release`](Self::release) waits
/// without holding up other work of the runtime, and for the exporter's hook as well. A lease that existed before stays.
#[derive(Debug)]
pub struct Leased {
    // The devices first: what is dropped last gives the lease back.
    session: Session,
    tunnels: Tunnels,
    held: Held,
}

impl Leased {
    /// Connects to the exporter of a lease, and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be reached, or its hook failed. The lease is given back, if it was made here.
    pub async fn connect(held: Held, dial: Duration) -> Result<Self> {
        let tunnels = Tunnels::new(&held, dial);
        let opened = async {
            let session = Session::open(&tunnels, &held.exporter()).await?;
            let (session, warning) = session.ready(say).await?;
            if let Some(warning) = warning {
                tracing::warn!("{warning}");
            }
            Ok(session)
        };
        match opened.await {
            Ok(session) => Ok(Self { session, tunnels, held }),
            Err(error) => {
                if let Err(unreleased) = held.release().await {
                    tracing::warn!("{unreleased}");
                }
                Err(error)
            }
        }
    }

    /// The exporter's devices.
    pub fn device(&self) -> &Device {
        self.session.device()
    }

    /// A typed client of the device with this name, for example `board.power`.
    ///
    /// # Errors
    /// When there is no such device, or it does not provide the interface.
    pub fn client<T: Client>(&self, name: &str) -> Result<T> {
        self.device().client(name)
    }

    /// The lease.
    pub fn lease(&self) -> &Held {
        &self.held
    }

    /// A socket for other programs, which find the exporter there: what `JUMPSTARTER_HOST` says.
    ///
    /// # Errors
    /// When there is no place for one.
    pub async fn socket(&self) -> Result<Socket> {
        Socket::open(self.tunnels.clone()).await
    }

    /// Ends the session and gives the lease back, if it was made here.
    ///
    /// # Errors
    /// When the exporter's hook failed, or the controller was not told.
    pub async fn release(self) -> Result<()> {
        let cleaned = if self.held.is_ours() && !self.held.is_over() {
            session::clean_up(&self.session, self.tunnels.patience(), say).await.and_then(|cleaned| {
                match cleaned.unseen {
                    Some(error) if cleaned.hook => Err(error.context("the afterLease hook was running")),
                    Some(error) => {
                        tracing::warn!("the exporter was not asked to clean up: {error}");
                        Ok(())
                    }
                    None => Ok(()),
                }
            })
        } else {
            Ok(())
        };
        self.session.connection().close();
        self.held.release().await?;
        cleaned
    }
}

/// For whoever reads logs.
fn say(seen: session::Seen<'_>) {
    if let session::Seen::Lost(error) = seen {
        tracing::warn!("{error}; connecting again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_fits_whoever_asks_for_the_same_or_for_nothing() {
        let lease =
            Lease { selector: "a=1,b in (x,y)".to_owned(), exporter: "rig".to_owned(), ..Lease::default() };
        let wanted = |selector: &str, exporter: Option<&str>| Wanted {
            selector: selector.to_owned(),
            exporter: exporter.map(str::to_owned),
            ..Wanted::default()
        };
        assert!(fits(&lease, &wanted("", None)));
        assert!(fits(&lease, &wanted("b in (y, x), a=1", None)));
        assert!(fits(&lease, &wanted("", Some("rig"))));
        assert!(!fits(&lease, &wanted("a=1", None)));
        assert!(!fits(&lease, &wanted("", Some("other"))));
    }
}
