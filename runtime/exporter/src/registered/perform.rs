//! Each effect of the machine, and the event that comes of it.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use jumpstarter_life::{Effect, Event, Lease, Moment, Release, Report, Verdict};
use jumpstarter_protocol::v1::ExporterStatus;
use jumpstarter_session::LogBuffer;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Exporter, FAREWELL, Happened, Leased,
    controller::{self, Failed},
    planned,
    serving::{Around, Serving},
    tunnels::{Target, Tunnels},
};

/// Why an exporter goes, in the words of upstream.
const SHUTDOWN: &str = "Exporter shutdown";

impl Exporter {
    /// Runs something that ends with an event: with this one if it panics, since the machine waits for it.
    fn begin(&self, or: Event, work: impl Future<Output = Happened> + Send + 'static) -> JoinHandle<()> {
        let events = self.events.clone();
        tokio::spawn(async move {
            let happened = AssertUnwindSafe(work).catch_unwind().await;
            let _ = events.send(happened.unwrap_or(Happened::Event(or))).await;
        })
    }

    pub(super) fn perform(&mut self, effect: Effect) {
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
            Effect::Show(report) => self.show(&report),
            Effect::Admit(admit) => {
                if let Some(serving) = &self.serving {
                    serving.admit(admit);
                }
            }
            Effect::Client(client) => {
                if let Some(leased) = &self.leased {
                    let lease = Lease { name: leased.name.clone(), client: client.clone() };
                    self.options.watcher.lease(Some(&lease));
                }
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

    fn show(&mut self, report: &Report) {
        let Some(serving) = &self.serving else { return };
        serving.show(report);
        if report.status == ExporterStatus::BeforeLeaseHookFailed
            && let Some(leased) = &mut self.leased
        {
            let (seen, events, end) = (serving.seen(), self.events.clone(), leased.end.clone());
            leased.tasks.spawn(async move {
                tokio::select! {
                    () = seen => {
                        let _ = events.send(Happened::Event(Event::Seen)).await;
                    }
                    () = end.cancelled() => {}
                }
            });
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
        self.options.watcher.lease(Some(&lease));
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
            let opened = async {
                let mut plan = planned(&options)?;
                options.watcher.drivers(plan.identify());
                Serving::open(plan, &lease, around).await
            };
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
        let watcher = self.options.watcher.clone();
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
            watcher.lease(None);
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
                controller.leave(report, SHUTDOWN).await
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
