//! What the records of an exporter are about: which exporter, whose lease, which driver.
//!
//! A process serves one exporter, and one lease at a time, so this belongs to the process: whatever is said in it, by whichever
//! part, is said about them.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
};

/// What is known now; empty is unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) exporter: String,
    pub(crate) namespace: String,
    pub(crate) lease: String,
    pub(crate) client: String,
    /// Where each driver of the lease is in the tree, by its UUID.
    pub(crate) drivers: HashMap<String, String>,
}

static ABOUT: RwLock<Option<About>> = RwLock::new(None);

fn change(how: impl FnOnce(&mut About)) {
    let mut about: RwLockWriteGuard<'_, _> = ABOUT.write().unwrap_or_else(PoisonError::into_inner);
    how(about.get_or_insert_default());
}

/// From now on it is about this exporter.
pub(crate) fn exporter(name: String, namespace: String) {
    change(|about| (about.exporter, about.namespace) = (name, namespace));
}

/// From now on it is about this lease and its client, or about none.
pub(crate) fn lease(lease: Option<(&str, &str)>) {
    let (name, client) = lease.unwrap_or_default();
    change(|about| {
        if lease.is_none() {
            about.drivers = HashMap::new();
        }
        (about.lease, about.client) = (name.to_owned(), client.to_owned());
    });
}

/// The drivers of the lease: where each one is, by its UUID.
pub(crate) fn drivers(places: HashMap<String, String>) {
    change(|about| about.drivers = places);
}

/// Looks at what is known.
pub(crate) fn look<T>(at: impl FnOnce(&About) -> T) -> T {
    match &*ABOUT.read().unwrap_or_else(PoisonError::into_inner) {
        Some(about) => at(about),
        None => at(&About::default()),
    }
}
