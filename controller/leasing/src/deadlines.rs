//! When something is due, at most once for each.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::object::Key;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    sorted: BTreeSet<(Timestamp, Key)>,
    of: HashMap<Key, Timestamp>,
}

impl Deadlines {
    /// Something is due then, and at no other time.
    pub(crate) fn set(&mut self, key: Key, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.of.insert(key.clone(), at),
            None => self.of.remove(&key),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.sorted.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.sorted.insert((at, key));
        }
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.sorted.first().map(|(at, _)| *at)
    }

    /// What is due by now.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.sorted.pop_first()?;
        self.of.remove(&key);
        Some(key)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
