//! The task around leasing: it hears of everything that happens in the store, lets leasing decide, and writes what it wants.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use jumpstarter_api::{Client, Exporter, ExporterAccessPolicy, Lease};
use jumpstarter_core::selector::Selector;
use jumpstarter_leasing::{
    Effect, Key as LeasingKey, Kind, Object as Known, Outcome, Part, Snapshot, Ticket, Write,
};
use jumpstarter_store::{
    Change, Durability, Event, Key, Object, Patch, Query, Revision, Scope, Store, StoreError, Watch as _,
};
use serde_json::Value;

use super::Lab;
use crate::{
    journal,
    stored::{self, Stored},
    time::Clock,
};

/// How long to wait before an object that could not be read is read again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<S: Store> Lab<S> {
    /// Does what has to be done, until the store is closed.
    ///
    /// # Errors
    /// When the store cannot be read any more.
    pub async fn run(&self) -> Result<(), StoreError> {
        let mut work = FuturesUnordered::new();
        loop {
            let ended = self.follow(&mut work).await;
            self.0.at_work.send_replace(false);
            match ended {
                // A watch fell behind: everything is read anew.
                Err(StoreError::TooOld(_)) => {
                    tracing::warn!("the lab fell behind its store, and reads everything anew");
                }
                Err(StoreError::Closed) => return Ok(()),
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
    }

    async fn watch<K: Stored>(&self, selector: Selector) -> Result<(Vec<Arc<K>>, S::Watch), StoreError> {
        let namespace = Some(self.0.namespace.clone());
        let query =
            Query { kind: K::KIND.to_owned(), namespace: namespace.clone(), selector, ..Query::default() };
        let page = self.0.store.list(&query).await?;
        let read = |object: &Arc<Object>| {
            let read = stored::typed(object)
                .inspect_err(|problem| tracing::error!(problem, "an object is left out"));
            read.ok().map(Arc::new)
        };
        let objects = page.items.iter().filter_map(read).collect();
        let watch =
            self.0.store.watch(&Scope { kind: K::KIND.to_owned(), namespace }, &page.revision).await?;
        Ok((objects, watch))
    }

    async fn follow(
        &self,
        work: &mut FuturesUnordered<BoxFuture<'static, Answer>>,
    ) -> Result<(), StoreError> {
        let (policies, mut of_policies) = self.watch::<ExporterAccessPolicy>(Selector::everything()).await?;
        let (clients, mut of_clients) = self.watch::<Client>(Selector::everything()).await?;
        let (exporters, mut of_exporters) = self.watch::<Exporter>(Selector::everything()).await?;
        let active = crate::exporters::active();
        let (leases, mut of_leases) = self.watch::<Lease>(active).await?;
        let now = self.now();
        self.0.handed.keep(leases.iter().filter_map(|lease| lease.metadata.name.as_deref()));
        self.leasing().load(Snapshot { clients, policies, exporters, leases }, now);
        // What happened before these watches, nobody has been told of.
        self.everything_changed();
        self.0.at_work.send_replace(true);
        let mut mark = self.0.clock.mark();
        loop {
            if self.0.clock.has_jumped(&mut mark) {
                tracing::warn!(
                    "the clock was set, or this machine was asleep: clients have their time again"
                );
                self.leasing().was_away(self.now());
            }
            let deadline = self.step(work);
            tokio::select! {
                events = of_policies.next() => self.tell(&events?),
                events = of_clients.next() => self.tell(&events?),
                events = of_exporters.next() => self.tell(&events?),
                events = of_leases.next() => {
                    let events = events?;
                    // Each kind has a watch of its own. What was there before a lease has to be known before it: a lease must
                    // not be refused because the exporter that it is for has not been heard of.
                    while let Some(events) = of_policies.next().now_or_never() { self.tell(&events?); }
                    while let Some(events) = of_clients.next().now_or_never() { self.tell(&events?); }
                    while let Some(events) = of_exporters.next().now_or_never() { self.tell(&events?); }
                    while let Some(Some(answer)) = work.next().now_or_never() { self.answered(answer); }
                    self.tell(&events);
                }
                Some(answer) = work.next() => self.answered(answer),
                () = self.0.told.notified() => {}
                () = at(&self.0.clock, deadline) => {}
            }
        }
    }

    fn tell(&self, events: &[Event]) {
        {
            let mut leasing = self.leasing();
            for event in events {
                let Some(kind) = stored::leasing_kind(&event.object.key.kind) else { continue };
                match event.change {
                    Change::Deleted => leasing.remove(&LeasingKey::new(kind, event.object.key.name.as_str())),
                    Change::Added | Change::Modified => {
                        if let Some(object) = stored::known(&event.object) {
                            leasing.apply(object);
                        }
                    }
                }
            }
        }
        for Event { object, change, .. } in events {
            self.changed(&object.key.kind, &object.key.name);
            if object.key.kind == Lease::KIND
                && (*change == Change::Deleted || object.status["ended"] == true)
            {
                self.0.handed.forget(&object.key.name);
            }
            // An exporter hears of its lease by the same way.
            if object.key.kind == Lease::KIND
                && let Some(exporter) = object.status["exporterRef"]["name"].as_str()
            {
                self.changed(Exporter::KIND, exporter);
            }
        }
    }

    /// Lets leasing decide, begins what it wants to be done, and answers when it wants to be asked again.
    fn step(&self, work: &mut FuturesUnordered<BoxFuture<'static, Answer>>) -> Option<Timestamp> {
        let mut leasing = self.leasing();
        for effect in leasing.step(self.now()) {
            let lab = self.clone();
            match effect {
                Effect::Write(write) => work.push(Box::pin(async move {
                    let ticket = write.ticket;
                    Answer::Written(ticket, lab.write(write).await)
                })),
                Effect::Look(key) => work.push(Box::pin(async move {
                    let found = lab.look(&key).await;
                    Answer::Looked(key, found)
                })),
                Effect::Note(note) => {
                    self.0.metrics.note(&note);
                    journal::note(&note);
                }
            }
        }
        leasing.next_deadline()
    }

    fn answered(&self, answer: Answer) {
        let mut leasing = self.leasing();
        match answer {
            Answer::Written(ticket, outcome) => leasing.written(ticket, outcome, self.now()),
            Answer::Looked(key, found) => leasing.looked(&key, found),
        }
    }

    /// An object as it is. Whether it is there must be known before anything is decided, so this waits until it is.
    async fn look(&self, key: &LeasingKey) -> Option<Known> {
        let key = Key::new(stored::kind(key.kind), &self.0.namespace, &*key.name);
        loop {
            match self.0.store.get(&key).await {
                Ok(None) => return None,
                Ok(Some(object)) => {
                    // One that cannot be understood is there all the same.
                    if let Some(known) = stored::known(&object) {
                        return Some(known);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, object = %key, "an object could not be read; it is tried again");
                }
            }
            self.0.clock.sleep(LOOK_AGAIN).await;
        }
    }

    async fn write(&self, write: Write) -> Outcome {
        let key = Key::new(stored::kind(write.key.kind), &self.0.namespace, &*write.key.name);
        let version = Revision::from(write.version.as_str());
        let written = match write.part {
            Part::Main => {
                let mut patch = main_patch(&write.patch, version);
                // That an exporter is being given to a lease nobody is told before the lease says so, which is written for
                // good, and everything before it too.
                if write.key.kind == Kind::Exporter {
                    patch.durability = Durability::Soon;
                }
                self.0.store.patch(&key, patch).await
            }
            Part::Status => self.write_status(&key, version, &write.patch).await,
        };
        match written {
            Ok(object) => stored::known(&object).map_or(Outcome::Failed, Outcome::Written),
            Err(StoreError::NotFound(_)) => Outcome::Conflict(None),
            Err(StoreError::Conflict { .. }) => match self.0.store.get(&key).await {
                Ok(None) => Outcome::Conflict(None),
                Ok(Some(object)) => {
                    stored::known(&object).map_or(Outcome::Failed, |known| Outcome::Conflict(Some(known)))
                }
                Err(_) => Outcome::Failed,
            },
            Err(error) => {
                tracing::error!(%error, object = %key, "a decision could not be written; it is tried again");
                Outcome::Failed
            }
        }
    }

    async fn write_status(
        &self,
        key: &Key,
        version: Revision,
        patch: &Value,
    ) -> Result<Arc<Object>, StoreError> {
        let Some(object) = self.0.store.get(key).await? else {
            return Err(StoreError::NotFound(key.clone()));
        };
        if object.revision != version {
            return Err(StoreError::Conflict { key: key.clone(), was: version });
        }
        let mut next = object.as_ref().clone();
        jumpstarter_api::patch::apply(&mut next.status, &patch["status"]);
        self.0.store.update_status(next, Durability::Now).await
    }
}

/// What came of something that leasing wanted.
enum Answer {
    Written(Ticket, Outcome),
    Looked(LeasingKey, Option<Known>),
}

/// The part of a patch that this store has a place for. Owners are a matter of Kubernetes: here, whoever deletes an exporter
/// deletes its leases.
fn main_patch(patch: &Value, revision: Revision) -> Patch {
    let texts = |of: &str| {
        let map = patch["metadata"][of].as_object();
        map.into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned)))
            .collect()
    };
    Patch {
        labels: texts("labels"),
        annotations: texts("annotations"),
        spec: patch["spec"].clone(),
        uid: None,
        revision: Some(revision),
        durability: Durability::Now,
    }
}

async fn at(clock: &Clock, deadline: Option<Timestamp>) {
    match deadline {
        None => std::future::pending().await,
        Some(deadline) => clock.until(deadline).await,
    }
}
