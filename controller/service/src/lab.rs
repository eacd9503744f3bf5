//! The objects of a lab: what is read and written of them, and who waits for what. `work` is the task around leasing.

mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use jumpstarter_api::{Condition, CustomResourceExt, Lease, Resource, ResourceExt as _, validation};
use jumpstarter_core::selector::Selector;
use jumpstarter_leasing::{Leasing, Settings, census::Census};
use jumpstarter_store::{Durability, Key, New, Object, Query, Store, StoreError};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tonic::Status;

use crate::{
    metrics::Metrics,
    routers::Handed,
    stored::{self, Stored},
    time::Clock,
};

/// How often a change that meets another one is tried again.
const TRIES: usize = 20;

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
    /// Tunnels of leases that go on.
    handed: Handed,
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
            handed: Handed::default(),
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

    /// The tunnels that were handed out to its leases.
    pub(crate) fn handed(&self) -> &Handed {
        &self.0.handed
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

    /// Waits until a lease that is given back is over, or for a while.
    ///
    /// # Errors
    /// When it is gone, as `UNKNOWN`.
    pub async fn ended(&self, name: &str) -> Result<(), Status> {
        let mut changes = self.changes::<Lease>(name);
        let mut over = self.0.clock.sleep(DECISION);
        while !self.get::<Lease>(name).await?.is_ended() {
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = &mut over => break,
            }
        }
        Ok(())
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

    /// Somebody has asked about a lease. When that was its client, it is known to be there.
    pub fn asked_about(&self, lease: &Lease, by: &str) {
        if lease.spec.client_ref.name == by {
            self.leasing().asked_about(&lease.name_any(), self.now());
        }
    }

    /// An exporter is connected, as long as what this returns is kept.
    pub fn connected(&self, exporter: &str) -> Connected<S> {
        self.leasing().connected(exporter, self.now());
        self.0.told.notify_one();
        Connected { lab: self.clone(), exporter: exporter.to_owned() }
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
}

/// That an exporter is connected. Its end is the end of the connection.
pub struct Connected<S: Store> {
    lab: Lab<S>,
    exporter: String,
}

impl<S: Store> std::fmt::Debug for Connected<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("exporter", &self.exporter).finish_non_exhaustive()
    }
}

impl<S: Store> Drop for Connected<S> {
    fn drop(&mut self) {
        self.lab.leasing().parted(&self.exporter, self.lab.now());
        self.lab.0.told.notify_one();
    }
}
