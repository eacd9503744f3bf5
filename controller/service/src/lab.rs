//! The store, the task around leasing, and who waits for what.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use jumpstarter_api::{
    Client, Condition, CustomResourceExt, Exporter, ExporterAccessPolicy, Lease, Resource, validation,
};
use jumpstarter_core::selector::Selector;
use jumpstarter_leasing::{
    Effect, Key as LeasingKey, Leasing, Note, Object as Known, Outcome, Part, Settings, Snapshot, Ticket,
    Write, census::Census,
};
use jumpstarter_store::{
    Change, Durability, Event, Key, New, Object, Patch, Query, Revision, Scope, Store, StoreError, Watch,
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tonic::Status;

use crate::{
    metrics::Metrics,
    stored::{self, Stored},
    time::Clock,
};

/// How often a change that meets another one is tried again.
const TRIES: usize = 20;

/// How long to wait before an object that could not be read is read again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// From so many objects on that somebody has waited for, those that nobody waits for any more are looked for.
const SWEEP: usize = 1024;

/// How long a new lease may take to be decided on, for whoever made it. It goes on afterwards.
const DECISION: Duration = Duration::from_secs(1);

/// One namespace of a store, with everything that happens in it. Clones are the same lab.
pub struct Lab<S>(Arc<Inner<S>>);

struct Inner<S> {
    store: S,
    namespace: String,
    leasing: Mutex<Leasing>,
    /// Leasing was told something.
    told: Notify,
    /// Who waits for changes of an object: a number that grows with each.
    waiting: Mutex<HashMap<Key, watch::Sender<u64>>>,
    /// Everything has been read, and what happens is being followed.
    at_work: watch::Sender<bool>,
    metrics: Metrics,
    clock: Clock,
}

impl<S> Clone for Lab<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> std::fmt::Debug for Lab<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("namespace", &self.0.namespace).finish_non_exhaustive()
    }
}

/// An error of the store as clients of upstream's controller know it: the words of an API server, as `UNKNOWN`.
pub fn status(error: &StoreError) -> Status {
    match error {
        StoreError::NotFound(key) => not_found(key),
        StoreError::AlreadyExists(key) => Status::unknown(format!(
            "{}.jumpstarter.dev \"{}\" already exists",
            stored::plural(&key.kind),
            key.name
        )),
        other => Status::unknown(other.to_string()),
    }
}

fn not_found(key: &Key) -> Status {
    Status::unknown(format!("{}.jumpstarter.dev \"{}\" not found", stored::plural(&key.kind), key.name))
}

fn internal(problem: impl std::fmt::Display) -> Status {
    Status::unknown(problem.to_string())
}

impl<S: Store> Lab<S> {
    /// The lab of this namespace. Nothing happens in it until [`Lab::run`] does.
    pub fn new(store: S, namespace: impl Into<String>, settings: Settings) -> Self {
        Self::at(store, namespace, settings, Clock::default())
    }

    /// The same, by another clock.
    pub fn at(store: S, namespace: impl Into<String>, settings: Settings, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            store,
            namespace: namespace.into(),
            leasing: Mutex::new(Leasing::new(settings)),
            told: Notify::new(),
            waiting: Mutex::default(),
            at_work: watch::Sender::new(false),
            metrics: Metrics::default(),
            clock,
        }))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Its store.
    pub fn store(&self) -> &S {
        &self.0.store
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// How many there are of what.
    pub fn census(&self) -> Census {
        self.leasing().census()
    }

    fn leasing(&self) -> MutexGuard<'_, Leasing> {
        self.0.leasing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key<K: Stored>(&self, name: &str) -> Key {
        stored::key::<K>(&self.0.namespace, name)
    }

    /// An object, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read, as `UNKNOWN`.
    pub async fn find<K: Stored>(&self, name: &str) -> Result<Option<K>, Status> {
        let object = self.0.store.get(&self.key::<K>(name)).await.map_err(|error| status(&error))?;
        object.map(|object| stored::typed(&object)).transpose().map_err(internal)
    }

    /// An object.
    ///
    /// # Errors
    /// When there is none, or the store cannot be read, as `UNKNOWN`.
    pub async fn get<K: Stored>(&self, name: &str) -> Result<K, Status> {
        self.find(name).await?.ok_or_else(|| not_found(&self.key::<K>(name)))
    }

    /// Objects of a kind with these labels, a page at a time; and where the next page begins.
    ///
    /// # Errors
    /// When the store cannot be read, or the page is none, as `UNKNOWN`.
    pub async fn list<K: Stored>(
        &self,
        selector: Selector,
        limit: usize,
        page: &str,
    ) -> Result<(Vec<K>, String), Status> {
        let query = Query {
            kind: K::KIND.to_owned(),
            namespace: Some(self.0.namespace.clone()),
            selector,
            limit,
            page: Some(page.to_owned()).filter(|page| !page.is_empty()),
        };
        let page = self.0.store.list(&query).await.map_err(|error| status(&error))?;
        let objects = page.items.iter().map(|object| stored::typed(object)).collect::<Result<_, _>>();
        Ok((objects.map_err(internal)?, page.next.unwrap_or_default()))
    }

    /// Makes an object, if its definition allows it.
    ///
    /// # Errors
    /// Why not, in the words of an API server, as `UNKNOWN`.
    pub async fn create<K>(&self, object: &K) -> Result<Arc<Object>, Status>
    where
        K: Stored + Resource<DynamicType = ()> + CustomResourceExt + Serialize,
    {
        validation::check_new(object).map_err(internal)?;
        let mut value = serde_json::to_value(object).map_err(internal)?;
        let meta = object.meta();
        let new = New {
            key: self.key::<K>(meta.name.as_deref().unwrap_or_default()),
            labels: meta.labels.clone().unwrap_or_default(),
            annotations: meta.annotations.clone().unwrap_or_default(),
            spec: value["spec"].take(),
            status: value["status"].take(),
        };
        self.0.store.create(new).await.map_err(|error| status(&error))
    }

    /// Changes an object, if its definition allows it. When it has changed meanwhile, `change` is asked again.
    ///
    /// # Errors
    /// Those of `change`; when there is no such object, or it must not become what it would, as `UNKNOWN`.
    pub async fn change<K>(
        &self,
        name: &str,
        durability: Durability,
        mut change: impl FnMut(&K) -> Result<Option<K>, Status>,
    ) -> Result<K, Status>
    where
        K: Stored + Resource<DynamicType = ()> + CustomResourceExt + Serialize + Clone,
    {
        let key = self.key::<K>(name);
        for _ in 0..TRIES {
            let object = self.0.store.get(&key).await.map_err(|error| status(&error))?;
            let object = object.ok_or_else(|| not_found(&key))?;
            let old: K = stored::typed(&object).map_err(internal)?;
            let Some(new) = change(&old)? else { return Ok(old) };
            validation::check_change(&old, &new).map_err(internal)?;
            match self.replace(&object, &old, &new, durability).await {
                Ok(()) => return self.get(name).await,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(status(&error)),
            }
        }
        Err(Status::unknown(format!("{key} is changed by others all the time: try again")))
    }

    async fn replace<K>(
        &self,
        object: &Arc<Object>,
        old: &K,
        new: &K,
        durability: Durability,
    ) -> Result<(), StoreError>
    where
        K: Serialize + Resource<DynamicType = ()>,
    {
        let invalid = |error: serde_json::Error| StoreError::Invalid(error.to_string());
        let before = serde_json::to_value(old).map_err(invalid)?;
        let mut after = serde_json::to_value(new).map_err(invalid)?;
        let mut next = object.as_ref().clone();
        next.labels = new.meta().labels.clone().unwrap_or_default();
        next.annotations = new.meta().annotations.clone().unwrap_or_default();
        if before["spec"] != after["spec"]
            || next.labels != object.labels
            || next.annotations != object.annotations
        {
            next.spec = after["spec"].take();
            next = self.0.store.update(next).await?.as_ref().clone();
        }
        if before["status"] != after["status"] {
            next.status = after["status"].take();
            self.0.store.update_status(next, durability).await?;
        }
        Ok(())
    }

    /// Tells of every change of an object from now on.
    pub fn changes<K: Stored>(&self, name: &str) -> watch::Receiver<u64> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Now and then: each time that there are twice as many.
        if waiting.len() >= SWEEP && waiting.len().is_power_of_two() {
            waiting.retain(|_, sender| sender.receiver_count() > 0);
        }
        waiting.entry(self.key::<K>(name)).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    fn everything_changed(&self) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, sender| sender.receiver_count() > 0);
        for sender in waiting.values() {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn changed(&self, kind: &str, name: &str) {
        let key = Key::new(kind, &self.0.namespace, name);
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(&key) {
            if sender.receiver_count() == 0 {
                waiting.remove(&key);
            } else {
                sender.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    /// A lease as soon as it has been decided whether it gets an exporter now, or as it is after a while.
    ///
    /// # Errors
    /// When it is gone, as `UNKNOWN`.
    pub async fn decided(&self, name: &str) -> Result<Lease, Status> {
        let mut changes = self.changes::<Lease>(name);
        let mut over = self.0.clock.sleep(DECISION);
        loop {
            let lease: Lease = self.get(name).await?;
            // That an exporter is just being written about is not worth telling: it will be free in a moment.
            let conditions = self.conditions(&lease);
            let decided = conditions.last().is_some_and(|last| last.reason != "NotReady");
            let later = lease.spec.begin_time.as_ref().is_some_and(|begin| begin.0 > self.now());
            if decided || later {
                return Ok(lease);
            }
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = &mut over => return Ok(lease),
            }
        }
    }

    /// What to say about a lease now: its conditions, with its place in the queue.
    pub fn conditions(&self, lease: &Lease) -> Vec<Condition> {
        self.leasing().conditions(lease, self.now())
    }

    /// An exporter has been heard of. Nothing is written for that.
    pub fn seen(&self, exporter: &str) {
        self.leasing().seen(exporter, self.now());
        self.0.told.notify_one();
    }

    /// Whether what happens is being followed: leases are decided, and whoever waits is woken.
    pub fn is_at_work(&self) -> bool {
        *self.0.at_work.borrow()
    }

    /// Returns when that is so.
    pub async fn begun(&self) {
        // The sender is this lab's: it is not gone before this ends.
        let _ = self.0.at_work.subscribe().wait_for(|at_work| *at_work).await;
    }

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
        self.leasing().load(Snapshot { clients, policies, exporters, leases }, now);
        // What happened before these watches, nobody has been told of.
        self.everything_changed();
        self.0.at_work.send_replace(true);
        loop {
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
        for Event { object, .. } in events {
            self.changed(&object.key.kind, &object.key.name);
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
                    tell(&note);
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
            Part::Main => self.0.store.patch(&key, main_patch(&write.patch, version)).await,
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
    }
}

async fn at(clock: &Clock, deadline: Option<Timestamp>) {
    match deadline {
        None => std::future::pending().await,
        Some(deadline) => clock.until(deadline).await,
    }
}

fn tell(note: &Note) {
    match note {
        Note::Acquired { lease, exporter, epoch, waited } => {
            tracing::info!(
                lease = &**lease,
                exporter = &**exporter,
                epoch,
                ?waited,
                "a lease has its exporter"
            );
        }
        Note::Ended { lease, reason, refused } => {
            tracing::info!(lease = &**lease, reason, refused, "a lease is over");
        }
        Note::Online { exporter, online: true } => {
            tracing::info!(exporter = &**exporter, "an exporter is online");
        }
        Note::Online { exporter, online: false } => {
            tracing::warn!(exporter = &**exporter, "an exporter is offline");
        }
    }
}
