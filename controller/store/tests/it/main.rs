//! The store, in memory and on a disk, beside a map; and what is left after the disk or the process stopped.
//!
//! | Module | What it shows |
//! |---|---|
//! | `model` | any sequence of wishes does to each store what it does to a map |
//! | `batch` | those who wait for the same disk share a transaction, and its end |
//! | `crash` | a disk that stops at any write: what was answered is there, and nothing by half |
//! | `watch` | watchers see every change once, in order; those who are too late are told |
//! | `kill` | a process that is killed, again and again |
//! | `file` | files of others, busy files, backups |
//!
//! `platter` is the disk that stops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod batch;
mod crash;
mod file;
mod kill;
mod model;
mod platter;
mod watch;

use jumpstarter_store::{Key, New, Object};
use serde_json::json;

pub(crate) fn key(name: &str) -> Key {
    Key::new("Lease", "lab", name)
}

pub(crate) fn new(name: &str, number: u32) -> New {
    New::with_spec(key(name), json!({ "number": number }))
}

pub(crate) fn number(object: &Object) -> u64 {
    object.spec["number"].as_u64().expect("a number")
}

/// What is there, by name.
pub(crate) async fn all(store: &impl jumpstarter_store::Store) -> Vec<(String, u64)> {
    let query = jumpstarter_store::Query { kind: "Lease".to_owned(), ..Default::default() };
    let page = store.list(&query).await.expect("a list");
    page.items.iter().map(|object| (object.key.name.clone(), number(object))).collect()
}

/// Chance that can be had again: the seed is in every message, and `JUMPSTARTER_SEED` sets it.
pub(crate) struct Dice {
    seed: u64,
    state: u64,
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JUMPSTARTER_SEED={}", self.seed)
    }
}

impl Dice {
    pub(crate) fn new() -> Self {
        let given = std::env::var("JUMPSTARTER_SEED").ok();
        let seed = given
            .map_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0, |text| text.parse().expect("a number"));
        Self { seed, state: seed }
    }

    /// Others of the same seed.
    pub(crate) fn split(&mut self) -> Self {
        Self { seed: self.seed, state: self.next() }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below")
    }
}
