//! An exporter that is registered with a controller.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jumpstarter_core::{ErrorKind, config::Problems};
use jumpstarter_exporter::{
    Plan,
    registered::{self, Ended, Lease, Options, Watcher, Wish},
};
use jumpstarter_protocol::v1::LogStreamResponse;
use tokio::sync::{mpsc, oneshot};

use crate::{
    about,
    child::Tools,
    notify, relay,
    report::{FAILURE, Outcome, Signalled, Stop},
    signals::Signals,
};

/// Hands on what the exporter says and does.
#[derive(Default)]
struct Follower {
    ready: AtomicBool,
}

impl Watcher for Follower {
    fn line(&self, line: &LogStreamResponse) {
        relay::line(line, true);
    }

    fn lease(&self, lease: Option<&Lease>) {
        about::lease(lease.map(|lease| (lease.name.as_str(), lease.client.as_str())));
    }

    fn drivers(&self, places: HashMap<String, String>) {
        about::drivers(places);
    }

    fn state(&self, words: &str, linked: bool) {
        if linked {
            tracing::info!("{words}");
        }
        // It is ready when it is at work. A controller that is away at the moment is waited for, and no reason to start anew.
        if !self.ready.swap(true, Ordering::Relaxed) {
            notify::tell("READY=1");
        }
        notify::tell(&format!("STATUS={words}"));
    }
}

pub(super) async fn serve(
    plan: Box<dyn Fn() -> Result<Plan, Problems> + Send + Sync>,
    exit_on_lease_end: bool,
) -> Outcome {
    let mut signals = Signals::listen()?;
    let tools = Tools::find()?;
    let options =
        Options { plan, tools: tools.folder(), exit_on_lease_end, watcher: Arc::new(Follower::default()) };
    let (wishes, inbox) = mpsc::channel(4);
    let watchdog = notify::watchdog().map(|limit| tokio::spawn(live(limit, wishes.clone())));
    let running = registered::run(options, inbox);
    tokio::pin!(running);
    let mut asked: Option<Signalled> = None;
    let mut stopping = false;
    let end = loop {
        tokio::select! {
            end = &mut running => break end,
            signal = signals.next() => {
                let stop = match signal {
                    Signalled::Hangup => registered::Stop::AfterLease,
                    _ => registered::Stop::Now,
                };
                if stopping && stop == registered::Stop::Now {
                    // Somebody insists: neither hooks nor drivers are waited for.
                    tracing::warn!("stopping at once");
                    return Ok(signal.code());
                }
                match stop {
                    registered::Stop::AfterLease => tracing::info!("SIGHUP received, ending when nobody has a lease"),
                    registered::Stop::Now => tracing::info!("{signal}"),
                }
                stopping |= stop == registered::Stop::Now;
                asked = Some(signal);
                notify::tell("STOPPING=1");
                let _ = wishes.try_send(Wish::Stop(stop));
            }
        }
    };
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    let end = match end {
        // Neither is going to change by itself.
        Err(error) if error.kind() == ErrorKind::Unauthenticated => {
            let refused = Stop::from(error);
            refused.print();
            return Ok(refused.code());
        }
        end => end?,
    };
    match (end, asked) {
        (Ended::Hook | Ended::Refused, _) => Ok(FAILURE),
        (Ended::Stopped, Some(signal)) => Ok(signal.code()),
        (Ended::Stopped | Ended::LeaseOver, _) => Ok(0),
    }
}

/// Tells the service manager that the exporter is alive, as long as the exporter says so itself.
async fn live(limit: Duration, wishes: mpsc::Sender<Wish>) {
    // Twice as often as is asked for, which is what the manual of systemd recommends.
    let mut due = tokio::time::interval(limit / 2);
    loop {
        due.tick().await;
        let (answer, answered) = oneshot::channel();
        if wishes.send(Wish::Answer(answer)).await.is_err() || answered.await.is_err() {
            return;
        }
        notify::tell("WATCHDOG=1");
    }
}
