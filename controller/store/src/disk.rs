//! What must be remembered, and nobody who does.

use std::sync::Arc;

use crate::{
    StoreError,
    object::{Event, Key, Object},
};

/// What a disk remembered.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// All objects.
    pub objects: Vec<Object>,
    /// The last changes, in order, without gaps.
    pub log: Vec<Event>,
    /// The revision of the last change.
    pub revision: u64,
    /// Revisions up to here may have been given to changes that were lost; never below `revision`.
    pub reserved: u64,
}

/// What is to be remembered: all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Objects as they are now; nothing where there is none any more.
    pub objects: Vec<(Key, Option<Arc<Object>>)>,
    /// Changes after this revision may stand there from a commit that failed, and have not been.
    pub since: u64,
    /// The changes since then, in order.
    pub log: Vec<Event>,
    /// Changes up to this revision may be forgotten. What they led to may not.
    pub compacted: u64,
    /// The revision of the last change.
    pub revision: u64,
    /// Revisions up to here may be given to changes that are not remembered at once.
    pub reserved: u64,
}

/// What remembers changes.
pub trait Disk: Send + 'static {
    /// What it remembers.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&mut self) -> Result<Remembered, StoreError>;

    /// Remembers, before it answers.
    ///
    /// # Errors
    /// When it cannot, in words. The next commit then holds the same objects, as they are then.
    fn commit(&mut self, commit: &Commit) -> Result<(), String>;
}

/// Remembers nothing; for tests, and for a lab that may be forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Disk for Nowhere {
    fn load(&mut self) -> Result<Remembered, StoreError> {
        Ok(Remembered::default())
    }

    fn commit(&mut self, _: &Commit) -> Result<(), String> {
        Ok(())
    }
}
