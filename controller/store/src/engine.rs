//! Any number of readers and watchers, and one writer behind them, around a disk.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    thread,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Revision, Store, StoreError, Watch,
    disk::Disk,
    file,
    object::{Durability, Event, Key, New, Object, Page, Patch, Query, Scope},
    state::{Memory, State, Wish},
    writer::{Task, Work, Writer, kinds},
};

/// How many wishes may wait for the writer before those who have more must.
const WAITING: usize = 1024;

/// How many changes a watcher gets at once, at most.
const AT_ONCE: usize = 1024;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How an engine works.
#[derive(Clone)]
pub struct Options {
    /// What time it is; for when objects were made.
    pub clock: Clock,
    /// How much is remembered for watchers.
    pub memory: Memory,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(Timestamp::now), memory: Memory::default() }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// Keeps objects in memory, and on a disk.
#[derive(Debug)]
pub struct Engine {
    tasks: mpsc::Sender<Task>,
    published: Arc<Published>,
    writer: Option<thread::JoinHandle<()>>,
}

/// What everybody may see.
#[derive(Debug)]
pub(crate) struct Published {
    state: RwLock<State>,
    kinds: Mutex<Kinds>,
}

/// The last change of each kind that somebody watches.
#[derive(Debug, Default)]
struct Kinds {
    changed: BTreeMap<String, watch::Sender<u64>>,
    closed: bool,
}

impl Published {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A writer that panicked left a whole state behind: changes are made one by one.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.read().clone()
    }

    pub(crate) fn publish(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            state.apply(event.clone());
        }
        drop(state);
        let watched = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, revision) in kinds(events) {
            if let Some(changed) = watched.changed.get(kind) {
                changed.send_replace(revision);
            }
        }
    }

    pub(crate) fn close(&self) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.closed = true;
        kinds.changed.clear();
    }

    fn subscribe(&self, kind: &str) -> Result<watch::Receiver<u64>, StoreError> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.closed {
            return Err(StoreError::Closed);
        }
        if let Some(changed) = kinds.changed.get(kind) {
            return Ok(changed.subscribe());
        }
        // A change that is published from now on finds this entry.
        let (changed, receiver) = watch::channel(self.read().revision());
        kinds.changed.insert(kind.to_owned(), changed);
        Ok(receiver)
    }
}

impl Engine {
    /// Begins with what the disk remembers.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    pub fn open(disk: impl Disk) -> Result<Self, StoreError> {
        Self::open_with(disk, Options::default())
    }

    /// The same, in another way.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(mut disk: impl Disk, options: Options) -> Result<Self, StoreError> {
        let Options { clock, memory } = options;
        let remembered = disk.load()?;
        let lost = remembered.reserved > remembered.revision;
        // Revisions in between may be known to somebody, with changes that were taken back.
        let log = if lost { Vec::new() } else { remembered.log };
        let state = State::restored(memory, remembered.objects, log, remembered.reserved);
        let published = Arc::new(Published { state: RwLock::new(state.clone()), kinds: Mutex::default() });
        let (tasks, source) = mpsc::channel(WAITING);
        let writer = Writer::new(disk, clock, Arc::clone(&published), state);
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(source))
            .map_err(|error| StoreError::File(error.to_string()))?;
        Ok(Self { tasks, published, writer: Some(writer) })
    }

    /// The last revision.
    pub fn revision(&self) -> Revision {
        Revision::from_number(self.published.read().revision())
    }

    /// Writes everything into a new file, while work goes on. The copy is of one moment.
    ///
    /// # Errors
    /// When there is such a file, or it cannot be written.
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        let (objects, revision) = {
            let state = self.published.read();
            (state.objects().cloned().collect::<Vec<_>>(), state.revision())
        };
        let path = path.to_owned();
        // A disk is no work for an executor's thread.
        let written = tokio::task::spawn_blocking(move || file::backup(&path, &objects, revision)).await;
        written.map_err(|error| StoreError::File(error.to_string()))?
    }

    /// Ends, when all that was wished before has been answered. What is wished later is refused; what is there can be read.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        // Without an answer it has been closed already.
        if self.tasks.send(Task::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn wish(&self, wish: Wish, durability: Durability) -> Result<Arc<Object>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(Work { wish, durability, answer });
        self.tasks.send(Task::Change(work)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Engine {
    /// Waits for the last transaction: whoever opens the file next finds it free and whole.
    fn drop(&mut self) {
        self.tasks = mpsc::channel(1).0;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store for Engine {
    type Watch = EngineWatch;

    async fn get(&self, key: &Key) -> Result<Option<Arc<Object>>, StoreError> {
        Ok(self.published.read().get(key).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.published.read().list(query)
    }

    async fn create(&self, new: New) -> Result<Arc<Object>, StoreError> {
        self.wish(Wish::Create(new), Durability::Now).await
    }

    async fn update(&self, object: Object) -> Result<Arc<Object>, StoreError> {
        self.wish(Wish::Update(object), Durability::Now).await
    }

    async fn update_status(&self, object: Object, durability: Durability) -> Result<Arc<Object>, StoreError> {
        self.wish(Wish::UpdateStatus(object), durability).await
    }

    async fn patch(&self, key: &Key, patch: Patch) -> Result<Arc<Object>, StoreError> {
        let durability = patch.durability;
        self.wish(Wish::Patch(key.clone(), patch), durability).await
    }

    async fn patch_status(
        &self,
        key: &Key,
        patch: Value,
        durability: Durability,
    ) -> Result<Arc<Object>, StoreError> {
        self.wish(Wish::PatchStatus(key.clone(), patch), durability).await
    }

    async fn delete(&self, key: &Key, revision: Option<Revision>) -> Result<Arc<Object>, StoreError> {
        self.wish(Wish::Delete(key.clone(), revision), Durability::Now).await
    }

    async fn watch(&self, scope: &Scope, after: &Revision) -> Result<EngineWatch, StoreError> {
        let after = after.number().ok_or_else(|| StoreError::TooOld(after.clone()))?;
        let changed = self.published.subscribe(&scope.kind)?;
        self.published.read().since(scope, after).map(drop)?;
        Ok(EngineWatch { published: Arc::clone(&self.published), changed, scope: scope.clone(), after })
    }
}

/// A place in the log of changes.
#[derive(Debug)]
pub struct EngineWatch {
    published: Arc<Published>,
    changed: watch::Receiver<u64>,
    scope: Scope,
    after: u64,
}

impl Watch for EngineWatch {
    async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        loop {
            let newest = *self.changed.borrow_and_update();
            if newest > self.after {
                let state = self.published.read();
                let mut events: Vec<_> =
                    state.since(&self.scope, self.after)?.take(AT_ONCE + 1).cloned().collect();
                let more = events.len() > AT_ONCE;
                events.truncate(AT_ONCE);
                let seen = events.last().filter(|_| more).and_then(|event| event.revision().number());
                self.after = seen.unwrap_or(state.revision());
                drop(state);
                if !events.is_empty() {
                    return Ok(events);
                }
            } else {
                self.changed.changed().await.map_err(|_| StoreError::Closed)?;
            }
        }
    }

    fn revision(&self) -> Revision {
        Revision::from_number(self.after)
    }
}
