//! Those who wait for the same disk share a transaction, and its end.

use std::sync::{Arc, mpsc};

use jumpstarter_store::{
    Disk, Engine, Revision, Scope, Store, StoreError, Watch,
    disk::{Commit, Remembered},
};

use crate::new;

/// A disk that is slow: each commit is announced, and ends when that is wished.
struct Slow {
    begun: mpsc::SyncSender<usize>,
    go: mpsc::Receiver<()>,
}

impl Disk for Slow {
    fn load(&mut self) -> Result<Remembered, StoreError> {
        Ok(Remembered::default())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), String> {
        self.begun.send(commit.log.len()).expect("somebody looks");
        self.go.recv().expect("somebody is there");
        Ok(())
    }
}

#[tokio::test]
async fn those_who_wait_for_the_same_disk_share_a_transaction() {
    let (begun, commits) = mpsc::sync_channel(8);
    let (go_on, go) = mpsc::sync_channel(8);
    let store = Arc::new(Engine::open(Slow { begun, go }).unwrap());
    let create = |name: String| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.create(new(&name, 1)).await })
    };
    let first = create("first".to_owned());
    tokio::task::yield_now().await;
    assert_eq!(commits.recv(), Ok(1));
    let others: Vec<_> = (0..200).map(|count| create(format!("n{count}"))).collect();
    // Each has its turn, and then waits.
    for _ in 0..others.len() {
        tokio::task::yield_now().await;
    }
    // Nobody sees what is not safe, and reading waits for nothing.
    assert_eq!(store.revision().number(), Some(0));
    go_on.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(commits.recv(), Ok(200), "one transaction for all");
    go_on.send(()).unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(store.revision().number(), Some(201));
}

/// A mistake of ours.
struct Broken;

impl Disk for Broken {
    fn load(&mut self) -> Result<Remembered, StoreError> {
        Ok(Remembered::default())
    }

    fn commit(&mut self, _: &Commit) -> Result<(), String> {
        panic!("a mistake")
    }
}

#[tokio::test]
async fn nobody_waits_for_a_writer_that_is_gone() {
    let store = Engine::open(Broken).unwrap();
    let mut watch = store.watch(&Scope::all("Lease"), &Revision::ZERO).await.unwrap();
    assert_eq!(store.create(new("x", 1)).await.unwrap_err(), StoreError::Closed);
    assert_eq!(watch.next().await.unwrap_err(), StoreError::Closed);
    assert_eq!(store.create(new("x", 1)).await.unwrap_err(), StoreError::Closed);
    store.close().await;
}
