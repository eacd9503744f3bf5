//! Routers on other machines: whether they are there.
//!
//! A router of this project says so itself, for as long as the lab listens (`grpc.health.v1.Health/Watch`), and says that it
//! is going when it is. One that knows no health service, such as upstream's, is connected to now and then: nothing else
//! tells.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jumpstarter_service::{Route, routers::Load};
use jumpstarter_transport::connect::{self, Endpoint, Liveness, Options, Security};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::config::RouterEntry;

/// How long to wait after a router was not reached; doubled each time, up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(1);

/// See [`PAUSE`]. Also how often a router that cannot say whether it is well is connected to.
const LONGEST: Duration = Duration::from_secs(20);

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// These routers, and the tasks that look whether they are there.
///
/// # Errors
/// What is wrong with one of them, in words.
pub(crate) fn watch_all(
    routers: &BTreeMap<String, RouterEntry>,
) -> Result<(Vec<Route>, Vec<JoinHandle<()>>), String> {
    let watched =
        routers.iter().map(|(name, entry)| watch(name, entry).map_err(|why| format!("router {name}: {why}")));
    Ok(watched.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

/// A router, and the task that looks whether it is there. Until that is known it is not used.
fn watch(name: &str, entry: &RouterEntry) -> Result<(Route, JoinHandle<()>), String> {
    let tls = &entry.tls;
    let security = match &tls.ca {
        _ if tls.clear_text => Security::ClearText,
        _ if tls.insecure => Security::Unverified,
        None => Security::Verified,
        Some(path) => {
            let pem = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
            Security::VerifiedBy(connect::authority(path, pem).map_err(|error| error.message().to_owned())?)
        }
    };
    let endpoint = Endpoint::parse(&entry.endpoint).map_err(|error| error.message().to_owned())?;
    let usable = Arc::new(AtomicBool::new(false));
    let asked = usable.clone();
    let route = Route {
        endpoint: entry.endpoint.clone(),
        labels: entry.labels.clone(),
        // How much it carries it does not say: what was handed out tells. That it is there, is known.
        load: Load::asked(move || asked.load(Ordering::Relaxed).then_some(0)),
    };
    let watched = Watched { name: name.to_owned(), endpoint, security, usable, told: AtomicBool::new(false) };
    Ok((route, tokio::spawn(watched.run())))
}

struct Watched {
    name: String,
    endpoint: Endpoint,
    security: Security,
    usable: Arc<AtomicBool>,
    /// Whether anybody was told of it.
    told: AtomicBool,
}

impl Watched {
    async fn run(self) {
        let mut pause = PAUSE;
        loop {
            match self.look().await {
                Look::Blind => {
                    self.set(true, "it is there");
                    pause = LONGEST;
                }
                Look::Lost(why) => {
                    // One that was there may be back at once.
                    pause = if self.set(false, &why) { PAUSE } else { (pause * 2).min(LONGEST) };
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Follows the router's health until it is lost.
    async fn look(&self) -> Look {
        let options = Options {
            security: self.security.clone(),
            timeout: PATIENCE,
            // Clients that are sent to a router which has vanished lose as much time again.
            liveness: Liveness::WATCHED,
            ..Options::default()
        };
        let channel = match connect::connect(&self.endpoint, &options).await {
            Ok(channel) => channel,
            Err(error) => return Look::Lost(error.message().to_owned()),
        };
        let mut client = HealthClient::new(channel);
        let mut states = match client.watch(HealthCheckRequest::default()).await {
            Ok(states) => states.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => return Look::Blind,
            Err(status) => return Look::Lost(status.message().to_owned()),
        };
        loop {
            match states.message().await {
                Ok(Some(state)) => {
                    let serving = state.status() == ServingStatus::Serving;
                    self.set(serving, if serving { "it is there" } else { "it says that it takes no more" });
                }
                Ok(None) => return Look::Lost("it has ended".to_owned()),
                Err(status) if status.code() == Code::Unimplemented => return Look::Blind,
                Err(status) => return Look::Lost(status.message().to_owned()),
            }
        }
    }

    /// Whether that is news.
    fn set(&self, usable: bool, why: &str) -> bool {
        let before = self.usable.swap(usable, Ordering::Relaxed);
        let told = self.told.swap(true, Ordering::Relaxed);
        if before != usable {
            if usable {
                tracing::info!(router = self.name, "a router is used");
            } else {
                tracing::warn!(router = self.name, why, "a router is not used any more");
            }
        } else if !usable && !told {
            tracing::warn!(router = self.name, why, "a router is not there; it is used once it is");
        } else if !usable {
            tracing::debug!(router = self.name, why, "a router is not there");
        }
        before != usable
    }
}

/// How looking at a router ended.
enum Look {
    /// It is there and cannot say for how long.
    Blind,
    /// It is not there, or not any more.
    Lost(String),
}
