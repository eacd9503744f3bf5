//! Where a lab keeps its objects: clients, exporters, leases, policies.
//!
//! An object has a name within a namespace and a kind, labels, a *spec* (what somebody wants) and a *status* (what is so).
//! Every change gives it a new **revision**, and is refused when it was made from an older one; so two who change the same
//! object at once cannot both succeed. That is all that assignment of an exporter needs.
//!
//! The model is that of Kubernetes, whose objects will be a third body of [`Store`]: a revision is its `resourceVersion`, a
//! patch its merge patch, [`StoreError::TooOld`] its `410 Gone`. The two bodies here are one [`Engine`] on two [`Disk`]s.
//!
//! ```text
//!  create, update, delete ──► one writer ──► planned against what the writer knows
//!                                   │
//!                                   ├──► disk: one transaction for all that waited (durable when it answers)
//!                                   │
//!                                   └──► published ──► get, list, watch
//! ```
//!
//! What has been answered is on the disk; what is on the disk is whole. Two exceptions, both by wish: a change of
//! [`Durability::Soon`] is written with the next other one, so that a heartbeat costs no disk; and with [`Nowhere`] there is
//! no disk.
//!
//! A watcher is no queue: it has a place in the log of changes, which is bounded, and when it falls so far behind that its
//! place is no longer in the log, it is told so and lists again. So nobody can hold up the writer, or another watcher.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`object`] | objects, their names and what may be changed |
//! | [`revision`] | marks in time |
//! | [`state`] | pure: what a change does to what is there, or why not |
//! | [`engine`] | readers and watchers, and the writer behind them, around a [`Disk`] |
//! | [`disk`] | what must be remembered, and nobody who does |
//! | [`file`](mod@file) | one file that does; its lock, backups of it |

#![forbid(unsafe_code)]

pub mod disk;
pub mod engine;
pub mod file;
mod lock;
pub mod object;
pub mod revision;
pub mod state;
mod writer;

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;

pub use disk::{Disk, Nowhere};
pub use engine::{Engine, EngineWatch, Options};
pub use file::{File, restore};
pub use object::{Change, Durability, Event, Key, New, Object, Page, Patch, Query, Scope};
pub use revision::Revision;

/// Why the store does not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(Key),
    /// There is one already.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// It has changed since it was read, or was replaced by another of the same name.
    #[error("{key} has been changed since revision {was}: read it again, and change that")]
    Conflict {
        /// Which object.
        key: Key,
        /// The revision that the change was made from.
        was: Revision,
    },
    /// Changes since then are no longer known, or that revision is still to come. List, and watch from there.
    #[error("changes since revision {0} are no longer known: list again")]
    TooOld(Revision),
    /// A list cannot be continued from there.
    #[error("the page token is not one of this list's")]
    PageToken,
    /// An object cannot be like that.
    #[error("{0}")]
    Invalid(String),
    /// A file cannot be the store's.
    #[error("{0}")]
    File(String),
    /// Another process has the file.
    #[error("{} is in use by {}", .file.display(), holder(*.pid))]
    InUse {
        /// Which file.
        file: PathBuf,
        /// Who has it, if it said so.
        pid: Option<u32>,
    },
    /// The change could not be written, and nobody sees it. It works again as soon as writing works.
    #[error("the store cannot be written: {0}")]
    Unavailable(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Keeps objects.
///
/// All futures can be dropped: a change that was under way then happens or not, and the next read tells.
pub trait Store: Send + Sync + 'static {
    /// What [`Store::watch`] answers.
    type Watch: Watch;

    /// One object.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Arc<Object>>, StoreError>> + Send;

    /// Objects of one kind, sorted by namespace and name, a page at a time. A later page shows what is there by then.
    fn list(&self, query: &Query) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// A new object.
    fn create(&self, new: New) -> impl Future<Output = Result<Arc<Object>, StoreError>> + Send;

    /// Replaces spec, labels and annotations; the status stays. Uid and revision must be the present ones.
    fn update(&self, object: Object) -> impl Future<Output = Result<Arc<Object>, StoreError>> + Send;

    /// Replaces the status and nothing else. Uid and revision must be the present ones.
    fn update_status(
        &self,
        object: Object,
        durability: Durability,
    ) -> impl Future<Output = Result<Arc<Object>, StoreError>> + Send;

    /// Changes those parts of spec, labels and annotations that the patch names, whatever the others are by now.
    fn patch(&self, key: &Key, patch: Patch) -> impl Future<Output = Result<Arc<Object>, StoreError>> + Send;

    /// Changes parts of the status (RFC 7396: null removes, a list is replaced as a whole), whatever the others are by now.
    fn patch_status(
        &self,
        key: &Key,
        patch: Value,
        durability: Durability,
    ) -> impl Future<Output = Result<Arc<Object>, StoreError>> + Send;

    /// Removes an object; with a revision, only if it is the present one.
    fn delete(
        &self,
        key: &Key,
        revision: Option<Revision>,
    ) -> impl Future<Output = Result<Arc<Object>, StoreError>> + Send;

    /// All changes of a kind after a revision, those that have happened first.
    ///
    /// Meant for one watch per kind and process, whose owner tells the others.
    fn watch(
        &self,
        scope: &Scope,
        after: &Revision,
    ) -> impl Future<Output = Result<Self::Watch, StoreError>> + Send;
}

/// A place in the history of a store.
pub trait Watch: Send + 'static {
    /// The next changes, in order, at least one. Can be dropped and asked again without losing any.
    ///
    /// # Errors
    /// [`StoreError::TooOld`] when this watch has fallen too far behind, [`StoreError::Closed`] when there will be none.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Event>, StoreError>> + Send;

    /// Where it is: another watch could go on from there.
    fn revision(&self) -> Revision;
}

impl<S: Store> Store for Arc<S> {
    type Watch = S::Watch;

    async fn get(&self, key: &Key) -> Result<Option<Arc<Object>>, StoreError> {
        S::get(self, key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        S::list(self, query).await
    }

    async fn create(&self, new: New) -> Result<Arc<Object>, StoreError> {
        S::create(self, new).await
    }

    async fn update(&self, object: Object) -> Result<Arc<Object>, StoreError> {
        S::update(self, object).await
    }

    async fn update_status(&self, object: Object, durability: Durability) -> Result<Arc<Object>, StoreError> {
        S::update_status(self, object, durability).await
    }

    async fn patch(&self, key: &Key, patch: Patch) -> Result<Arc<Object>, StoreError> {
        S::patch(self, key, patch).await
    }

    async fn patch_status(
        &self,
        key: &Key,
        patch: Value,
        durability: Durability,
    ) -> Result<Arc<Object>, StoreError> {
        S::patch_status(self, key, patch, durability).await
    }

    async fn delete(&self, key: &Key, revision: Option<Revision>) -> Result<Arc<Object>, StoreError> {
        S::delete(self, key, revision).await
    }

    async fn watch(&self, scope: &Scope, after: &Revision) -> Result<S::Watch, StoreError> {
        S::watch(self, scope, after).await
    }
}
