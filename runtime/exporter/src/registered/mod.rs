//! An exporter that is registered with a controller, until it is told to stop.
//!
//! What happens in which order is decided by the state machine of [`jumpstarter_life`]; here is what it wants done, and what
//! tells it what has happened.
//!
//! ```text
//!   controller ──► who has it ──►┐            ┌──► open, hooks, close ──► `serving`
//!   drivers, hooks ── done ─────►│  the machine├──► register, report ────► `controller`
//!   signals, time ──────────────►┘            └──► listen ──────────────► `tunnels` ──► session
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | `perform` | each effect of the machine, and the event that comes of it |
//! | `controller` | calls to the controller |
//! | `serving` | what serves one lease |
//! | `tunnels` | connections of its clients, through routers |

mod controller;
mod perform;
mod serving;
mod tunnels;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use jumpstarter_core::{
    Context as _, Error, Result,
    config::{ExporterFile, Problems},
};
use jumpstarter_life::{Effect, End, Event, Life, Now, Report, Settings};
use jumpstarter_protocol::v1::{DriverInstanceReport, ExporterStatus, LogStreamResponse};
use jumpstarter_session::{LogBuffer, Session, status_name};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Plan, open};
use controller::{Controller, Failed};
use serving::Serving;

pub use jumpstarter_life::{End as Ended, Lease, Stop};

/// How long telling the controller that the exporter goes may take.
const FAREWELL: Duration = Duration::from_secs(10);

/// How many events may wait. Each comes from a task that waits for its turn.
const EVENTS: usize = 16;

/// What somebody wants from an exporter that runs.
#[derive(Debug)]
pub enum Wish {
    /// Stop.
    Stop(Stop),
    /// Say that you are alive.
    Answer(oneshot::Sender<()>),
}

/// Who follows what an exporter does.
pub trait Watcher: Send + Sync + 'static {
    /// A line of the log of a session.
    fn line(&self, line: &LogStreamResponse) {
        let _ = line;
    }

    /// Somebody has the exporter now, or nobody any more. What is said between the two is said about this lease.
    fn lease(&self, lease: Option<&Lease>) {
        let _ = lease;
    }

    /// The drivers of a lease are about to be opened: where in the tree each one is, by its UUID.
    fn drivers(&self, places: HashMap<String, String>) {
        let _ = places;
    }

    /// What the exporter is doing, in words, and whether it is connected with its controller.
    fn state(&self, words: &str, linked: bool) {
        let _ = (words, linked);
    }
}

/// Nobody.
impl Watcher for () {}

/// How the exporter is run.
pub struct Options {
    /// Makes the plan anew: each lease gets drivers of its own.
    pub plan: Box<dyn Fn() -> Result<Plan, Problems> + Send + Sync>,
    /// Folder with a `j` for hooks, in case `PATH` has none.
    pub tools: Option<PathBuf>,
    /// End after the first lease, whatever the file says.
    pub exit_on_lease_end: bool,
    /// Who follows what it does.
    pub watcher: Arc<dyn Watcher>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("tools", &self.tools).finish_non_exhaustive()
    }
}

/// A number from 0 to 1.
fn chance() -> f32 {
    let [byte, ..] = Uuid::new_v4().into_bytes();
    f32::from(byte) / 255.0
}

/// How long to wait after so many failures in a row, none of them being 0, before something is tried again: less than a second
/// at first, some seconds at last, and never as long as another exporter does.
pub fn pause(failures: u32) -> Duration {
    jumpstarter_life::pause(failures, chance())
}

/// Tells the controller in place of an exporter that has crashed that it is gone, within ten seconds.
///
/// # Errors
/// When its file lacks something, or the controller cannot be told.
pub async fn farewell(file: &ExporterFile, message: &str) -> Result<()> {
    let controller = Controller::new(file, Vec::new())?;
    let report = Report { status: ExporterStatus::Offline, message: message.to_owned(), release: false };
    let told = async {
        controller.connect().await?;
        controller.leave(report, message).await
    };
    match timeout(FAREWELL, told).await {
        Ok(told) => told.map_err(|failed| failed.error),
        Err(_) => Err(Error::timeout(format!("no answer within {} s", FAREWELL.as_secs()))),
    }
    .context("cannot unregister")?;
    tracing::info!("unregistered from {}", controller.place());
    Ok(())
}

/// Runs an exporter until it is told to stop, or ends by itself.
///
/// # Errors
/// When its drivers cannot be opened at the beginning, its file lacks something, or the controller does not let it in.
pub async fn run(options: Options, wishes: mpsc::Receiver<Wish>) -> Result<End> {
    let plan = planned(&options)?;
    let file = plan.file.clone();
    let settings = Settings {
        before: file.hooks.before_lease.is_some(),
        after: file.hooks.after_lease.is_some(),
        exit_on_lease_end: file.exit_on_lease_end || options.exit_on_lease_end,
    };
    // What is wrong with the file is told before any device is touched.
    Controller::new(&file, Vec::new())?;
    let reports = devices(plan).await?;
    let controller = Arc::new(Controller::new(&file, reports)?);
    let (events, inbox) = mpsc::channel(EVENTS);
    let exporter = Exporter {
        options: Arc::new(options),
        controller,
        life: Life::new(settings),
        begun: Instant::now(),
        events,
        serving: None,
        leased: None,
        reporting: None,
        watching: None,
        refusal: None,
        said: None,
    };
    exporter.live(inbox, wishes).await
}

fn planned(options: &Options) -> Result<Plan> {
    (options.plan)().map_err(|problems| Error::configuration(problems.render()))
}

/// What the controller is told about the devices. They are opened for it, and closed again: each lease has its own.
async fn devices(plan: Plan) -> Result<Vec<DriverInstanceReport>> {
    let logs = LogBuffer::new();
    let root = open::open(plan, logs.clone()).await.context("opening the devices")?;
    let session = Session::builder(root).logs(logs).build()?;
    let reports = session.report().reports;
    for (name, error) in session.end().await {
        tracing::warn!("closing {name}: {error}");
    }
    Ok(reports)
}

/// What has happened.
enum Happened {
    Event(Event),
    /// The devices of a lease are open.
    Opened(Box<Serving>),
    /// The controller cannot be reached.
    Lost(Failed),
}

/// A lease from its begin to its end.
struct Leased {
    name: String,
    logs: Arc<LogBuffer>,
    stop_listening: CancellationToken,
    /// Ends its tunnels and everything else that belongs to it.
    end: CancellationToken,
    target:
        watch::Sender<Option<jumpstarter_transport::server::Acceptor<jumpstarter_session::SessionService>>>,
    /// Its tasks, but for the one that closes it.
    tasks: JoinSet<()>,
}

struct Exporter {
    options: Arc<Options>,
    controller: Arc<Controller>,
    life: Life,
    begun: Instant,
    events: mpsc::Sender<Happened>,
    serving: Option<Box<Serving>>,
    leased: Option<Leased>,
    reporting: Option<JoinHandle<()>>,
    watching: Option<JoinHandle<()>>,
    /// Why the controller cannot be reached.
    refusal: Option<Error>,
    /// What the watcher was told last.
    said: Option<(String, bool)>,
}

impl Exporter {
    async fn live(
        mut self,
        mut inbox: mpsc::Receiver<Happened>,
        mut wishes: mpsc::Receiver<Wish>,
    ) -> Result<End> {
        let mut event = Event::Begin;
        let mut wishing = true;
        loop {
            let now = Now { at: self.begun.elapsed(), chance: chance() };
            for effect in self.life.step(event, now) {
                if let Effect::Exit(end) = effect {
                    return match (end, self.refusal.take()) {
                        (End::Refused, Some(error)) => {
                            Err(error.context(format!("cannot register with {}", self.controller.place())))
                        }
                        (end, _) => Ok(end),
                    };
                }
                self.perform(effect);
            }
            self.tell();
            let deadline = self.life.deadline().map(|at| tokio::time::Instant::from_std(self.begun + at));
            let tick = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            event = tokio::select! {
                Some(happened) = inbox.recv() => self.happened(happened),
                wish = wishes.recv(), if wishing => match wish {
                    Some(Wish::Stop(stop)) => Event::Stop(stop),
                    Some(Wish::Answer(answer)) => {
                        let _ = answer.send(());
                        Event::Tick
                    }
                    None => {
                        wishing = false;
                        Event::Tick
                    }
                },
                () = tick => Event::Tick,
            };
        }
    }

    /// Tells whoever follows.
    fn tell(&mut self) {
        let report = self.life.last_report();
        let linked = self.life.is_linked();
        let words = match self.life.lease() {
            Some(lease) => format!("{}, lease {}", status_name(report.status), lease.name),
            None => status_name(report.status).to_owned(),
        };
        let words = if linked { words } else { format!("{words}; waiting for the controller") };
        if self.said.as_ref().is_none_or(|(said, was)| *said != words || *was != linked) {
            self.options.watcher.state(&words, linked);
            self.said = Some((words, linked));
        }
    }

    fn happened(&mut self, happened: Happened) -> Event {
        match happened {
            Happened::Opened(serving) => {
                if let Some(leased) = &self.leased {
                    leased.target.send_replace(Some(serving.acceptor()));
                }
                self.serving = Some(serving);
                Event::Opened
            }
            Happened::Lost(Failed { error, refused, .. }) => {
                // An outage of a night is one line, not thousands.
                let known = self.refusal.as_ref().is_some_and(|last| last.message() == error.message());
                if known {
                    tracing::debug!("{}: {error}", self.controller.place());
                } else {
                    let again = if refused { "" } else { "; trying again" };
                    tracing::warn!("{}: {error}{again}", self.controller.place());
                }
                self.refusal = Some(error);
                Event::Lost { refused }
            }
            Happened::Event(event) => {
                if matches!(event, Event::Said(_)) {
                    self.refusal = None;
                }
                event
            }
        }
    }
}
