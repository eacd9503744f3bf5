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
//! | `controller` | calls to the controller |
//! | `serving` | what serves one lease |
//! | `tunnels` | connections of its clients, through routers |

mod controller;
mod serving;
mod tunnels;

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use jumpstarter_core::{Context as _, Error, Result, config::Problems};
use jumpstarter_life::{Effect, End, Event, Lease, Life, Moment, Now, Release, Report, Settings, Verdict};
use jumpstarter_protocol::v1::{DriverInstanceReport, LogStreamResponse};
use jumpstarter_session::{LogBuffer, Session, status_name};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Plan, open};
use controller::{Controller, Failed};
use serving::{Around, Serving};
use tunnels::{Target, Tunnels};

pub use jumpstarter_life::{End as Ended, Stop};

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

    /// Runs something that ends with an event: with this one if it panics, since the machine waits for it.
    fn begin(&self, or: Event, work: impl Future<Output = Happened> + Send + 'static) -> JoinHandle<()> {
        let events = self.events.clone();
        tokio::spawn(async move {
            let happened = AssertUnwindSafe(work).catch_unwind().await;
            let _ = events.send(happened.unwrap_or(Happened::Event(or))).await;
        })
    }

    fn perform(&mut self, effect: Effect) {
        let controller = self.controller.clone();
        match effect {
            Effect::Register => {
                self.watching = Some(self.begin(Event::Lost { refused: false }, async move {
                    match controller.register().await {
                        Ok(()) => {
                            tracing::info!("registered with {}", controller.place());
                            Happened::Event(Event::Registered)
                        }
                        Err(failed) => Happened::Lost(failed),
                    }
                }));
            }
            Effect::Watch => self.watch(),
            Effect::Report { number, report } => {
                self.reporting = Some(self.begin(Event::ReportFailed { number, never: false }, async move {
                    Happened::Event(match controller.report(report).await {
                        Ok(()) => Event::Reported(number),
                        Err(failed) => {
                            tracing::warn!("a status could not be reported: {}", failed.error);
                            Event::ReportFailed { number, never: failed.unknown }
                        }
                    })
                }));
            }
            Effect::Open(lease) => self.open(lease),
            Effect::Show(report) => {
                if let Some(serving) = &self.serving {
                    serving.show(&report);
                }
            }
            Effect::Admit(admit) => {
                if let Some(serving) = &self.serving {
                    serving.admit(admit);
                }
            }
            Effect::Client(client) => {
                tracing::info!(client, "the lease is another client's now");
                if let Some(serving) = &mut self.serving {
                    serving.set_client(client);
                }
            }
            Effect::RunHook(moment) => self.hook(moment),
            Effect::CancelHook => {
                if let Some(serving) = &self.serving {
                    serving.stop_hook.cancel();
                }
            }
            Effect::StopListening => {
                if let Some(leased) = &self.leased {
                    leased.stop_listening.cancel();
                }
            }
            Effect::Release(name) => {
                tracing::info!(lease = name, "releasing the lease");
                self.begin(Event::Released(name.clone(), Release::Failed), async move {
                    let release = controller.release(&name).await;
                    Happened::Event(Event::Released(name, release))
                });
            }
            Effect::Close => self.close(),
            Effect::Leave(report) => self.leave(report),
            // Taken before.
            Effect::Exit(_) => {}
        }
    }

    /// Hears who has the exporter until the connection is lost.
    fn watch(&mut self) {
        let (controller, events) = (self.controller.clone(), self.events.clone());
        self.watching = Some(tokio::spawn(async move {
            let lost = async {
                let (first, mut stream) = controller.watch().await?;
                let mut said = first;
                loop {
                    if events.send(Happened::Event(Event::Said(said))).await.is_err() {
                        return Ok(());
                    }
                    let Some(next) = stream.message().await? else {
                        let ended = tonic::Status::unavailable("the controller ended the connection");
                        return Err(Failed::from(ended));
                    };
                    said = controller::lease(next);
                }
            };
            if let Err(failed) = lost.await {
                let _ = events.send(Happened::Lost(failed)).await;
            }
        }));
    }

    fn open(&mut self, lease: Lease) {
        tracing::info!(lease = lease.name, client = lease.client, "leased");
        let logs = LogBuffer::new();
        let (target, tunnels): (_, Target) = watch::channel(None);
        let end = CancellationToken::new();
        let mut leased = Leased {
            name: lease.name.clone(),
            logs: logs.clone(),
            stop_listening: CancellationToken::new(),
            end: end.clone(),
            target,
            tasks: JoinSet::new(),
        };
        // The controller answers this call with the first tunnel, so nobody waits for it.
        let tunnels = Arc::new(Tunnels::new(
            self.controller.clone(),
            lease.name.clone(),
            logs.clone(),
            tunnels,
            leased.stop_listening.clone(),
        ));
        leased.tasks.spawn(tunnels.serve(end.clone()));

        let watcher = self.options.watcher.clone();
        let mut reader = logs.subscribe();
        let ended = end.clone();
        leased.tasks.spawn(async move {
            while let Some(line) = reader.next(&ended).await {
                watcher.line(&line);
            }
        });

        let asked = Arc::new(Notify::new());
        let (events, ask) = (self.events.clone(), asked.clone());
        leased.tasks.spawn(async move {
            tokio::select! {
                () = ask.notified() => {
                    let _ = events.send(Happened::Event(Event::EndSession)).await;
                }
                () = end.cancelled() => {}
            }
        });
        self.leased = Some(leased);

        let options = self.options.clone();
        let around = Around { logs, tools: options.tools.clone(), end: asked };
        self.begin(Event::OpenFailed("a driver panicked".to_owned()), async move {
            let opened = async { Serving::open(planned(&options)?, &lease, around).await };
            match opened.await {
                Ok(serving) => Happened::Opened(Box::new(serving)),
                Err(error) => {
                    tracing::error!(lease = lease.name, "the devices cannot be opened: {error}");
                    Happened::Event(Event::OpenFailed(error.to_string()))
                }
            }
        });
    }

    fn hook(&mut self, moment: Moment) {
        let running = self.serving.as_ref().map(|serving| serving.hook(moment));
        let failed = Event::HookEnded {
            moment,
            verdict: Verdict::Failed,
            message: format!("{} hook failed: the exporter has a bug", moment.name()),
        };
        self.begin(failed, async move {
            let (verdict, message) = match running {
                Some(running) => running.await,
                None => (Verdict::Proceed, String::new()),
            };
            Happened::Event(Event::HookEnded { moment, verdict, message })
        });
    }

    fn close(&mut self) {
        let serving = self.serving.take();
        let leased = self.leased.take();
        self.begin(Event::Closed, async move {
            if let Some(serving) = serving {
                serving.close().await;
            }
            if let Some(mut leased) = leased {
                leased.end.cancel();
                while leased.tasks.join_next().await.is_some() {}
                tracing::info!(lease = leased.name, "the lease is over");
                drop(leased.logs);
            }
            Happened::Event(Event::Closed)
        });
    }

    fn leave(&mut self, report: Report) {
        // A connection that says "alive" must not outlive the word that it goes.
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        let (controller, reporting) = (self.controller.clone(), self.reporting.take());
        self.begin(Event::Left, async move {
            let leaving = async {
                // One after the other: what was said before must not arrive later.
                if let Some(reporting) = reporting {
                    let _ = reporting.await;
                }
                controller.leave(report).await
            };
            match timeout(FAREWELL, leaving).await {
                Ok(Ok(())) => tracing::info!("unregistered from {}", controller.place()),
                Ok(Err(failed)) => tracing::warn!("cannot unregister: {}", failed.error),
                Err(_) => tracing::warn!("cannot unregister: no answer within {} s", FAREWELL.as_secs()),
            }
            Happened::Event(Event::Left)
        });
    }
}
