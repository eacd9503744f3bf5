//! The one who changes things.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    StoreError,
    disk::{Commit, Disk},
    engine::{Clock, Published},
    object::{Durability, Event, Key, Object},
    state::{State, Wish},
};

/// How many wishes share one transaction, at most.
const TOGETHER: usize = 256;

/// How many changes that are not written at once are between two transactions, at most.
const RESERVE: u64 = 16 * 1024;

/// What the writer is asked to do.
pub(crate) enum Task {
    /// Change something, and tell.
    Change(Box<Work>),
    /// End, and tell when nothing is open any more.
    Close(oneshot::Sender<()>),
}

/// One wish and whom to tell.
pub(crate) struct Work {
    pub(crate) wish: Wish,
    pub(crate) durability: Durability,
    pub(crate) answer: oneshot::Sender<Result<Arc<Object>, StoreError>>,
}

pub(crate) struct Writer<D> {
    disk: D,
    clock: Clock,
    published: Arc<Published>,
    /// What will be when all that is planned is published.
    ahead: State,
    /// Objects of which the disk may know another state than the published one.
    behind: BTreeSet<Key>,
    /// The disk knows all changes up to this revision.
    safe: u64,
    /// Revisions up to here can be given away without telling the disk.
    reserved: u64,
}

/// Tells the watchers of the end, also of one by a panic.
struct Closing(Arc<Published>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<D: Disk> Writer<D> {
    pub(crate) fn new(disk: D, clock: Clock, published: Arc<Published>, state: State) -> Self {
        let revision = state.revision();
        let behind = BTreeSet::new();
        Self { disk, clock, published, ahead: state, behind, safe: revision, reserved: revision }
    }

    pub(crate) fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        let closing = Closing(Arc::clone(&self.published));
        let mut batch = Vec::new();
        let mut closer = None;
        while closer.is_none()
            && let Some(first) = tasks.blocking_recv()
        {
            let mut next = Some(first);
            while let Some(task) = next.take() {
                match task {
                    Task::Change(work) => batch.push(*work),
                    Task::Close(answer) => closer = Some(answer),
                }
                if batch.len() < TOGETHER && closer.is_none() {
                    next = tasks.try_recv().ok();
                }
            }
            self.change(&mut batch);
        }
        if !self.behind.is_empty() || self.reserved > self.ahead.revision() {
            let revision = self.ahead.revision();
            if let Err(failure) = self.write(revision) {
                tracing::error!(error = failure, "the last changes are lost");
            }
        }
        // Whoever opens the file when he hears of the end finds it free.
        drop(self.disk);
        drop(closing);
        if let Some(closer) = closer {
            let _ = closer.send(());
        }
    }

    /// Plans all wishes one after the other, writes what they change in one transaction, and only then tells anybody.
    fn change(&mut self, batch: &mut Vec<Work>) {
        let now = (self.clock)();
        let mut events = Vec::new();
        let mut answers = Vec::with_capacity(batch.len());
        let (mut now_or_never, mut soon) = (false, false);
        for Work { wish, durability, answer } in batch.drain(..) {
            // Who has stopped waiting is asked for nothing: if he wishes it still, he will say so again.
            if answer.is_closed() {
                continue;
            }
            let key = wish.key().clone();
            let outcome = match self.ahead.plan(wish, now, Uuid::new_v4()) {
                Ok(Some(event)) => {
                    match durability {
                        Durability::Now => now_or_never = true,
                        Durability::Soon => soon = true,
                    }
                    self.ahead.apply(event.clone());
                    self.behind.insert(key);
                    let object = Arc::clone(&event.object);
                    events.push(event);
                    Ok(object)
                }
                // Nothing changed: the object is as it was wished. Perhaps only in memory.
                Ok(None) => {
                    now_or_never |= durability == Durability::Now && self.behind.contains(&key);
                    self.ahead.get(&key).cloned().ok_or(StoreError::NotFound(key))
                }
                Err(refused) => Err(refused),
            };
            answers.push((answer, outcome));
        }
        let revision = self.ahead.revision();
        let written = if now_or_never || revision > self.reserved {
            // Whoever says things that need not be safe will say more of them.
            let more = soon || self.reserved > self.safe;
            self.write(if more { revision + RESERVE } else { revision })
        } else {
            Ok(())
        };
        match written {
            Ok(()) => self.published.publish(&events),
            Err(failure) => {
                tracing::error!(error = failure, "changes are refused");
                // As if nothing had been wished. Refusals were made from what may not have been, so they go as well.
                self.ahead = self.published.state();
                for (_, outcome) in &mut answers {
                    *outcome = Err(StoreError::Unavailable(failure.clone()));
                }
            }
        }
        for (answer, outcome) in answers {
            // Whoever does not wait any more will read.
            let _ = answer.send(outcome);
        }
    }

    /// Writes everything that the disk does not know. When it fails, the disk may know it or not, so it is written again.
    fn write(&mut self, reserved: u64) -> Result<(), String> {
        let objects = self.behind.iter().map(|key| (key.clone(), self.ahead.get(key).cloned())).collect();
        let commit = Commit {
            objects,
            since: self.safe,
            log: self.ahead.log(self.safe).cloned().collect(),
            compacted: self.ahead.compacted(),
            revision: self.ahead.revision(),
            reserved,
        };
        self.disk.commit(&commit)?;
        self.behind.clear();
        self.safe = commit.revision;
        self.reserved = reserved;
        Ok(())
    }
}

/// The last revision of each kind among some changes.
pub(crate) fn kinds(events: &[Event]) -> BTreeMap<&str, u64> {
    let number = |event: &Event| event.revision().number().unwrap_or(0);
    events.iter().map(|event| (event.object.key.kind.as_str(), number(event))).collect()
}
