//! Watchers see every change once, in order; those who are too late are told; nobody holds anybody up.

use std::sync::Arc;

use jumpstarter_store::{
    Change, Engine, Nowhere, Object, Options, Revision, Scope, Store, StoreError, Watch, state::Memory,
};
use serde_json::json;

use crate::{key, new, number};

const LEASES: fn() -> Scope = || Scope::all("Lease");

fn at(number: u64) -> Revision {
    Revision::from_number(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_seen_once_and_in_order() {
    let store = Arc::new(Engine::open(Nowhere).unwrap());
    store.create(new("before", 0)).await.unwrap();
    let mut watch = store.watch(&LEASES(), &at(1)).await.unwrap();
    let mut early = store.watch(&LEASES(), &at(0)).await.unwrap();
    let mut others = store.watch(&Scope::all("Exporter"), &at(0)).await.unwrap();
    let elsewhere = Scope { namespace: Some("elsewhere".to_owned()), ..LEASES() };
    let mut elsewhere = store.watch(&elsewhere, &at(0)).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..4u32 {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            for count in 0..50 {
                store.create(new(&format!("w{writer}-{count}"), count)).await.unwrap();
            }
        }));
    }
    let mut revisions = Vec::new();
    while revisions.len() < 200 {
        for event in watch.next().await.unwrap() {
            assert_eq!(event.change, Change::Added);
            revisions.push(event.revision().number().unwrap());
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(revisions, (2..=201).collect::<Vec<_>>());
    assert_eq!(watch.revision(), at(201));
    assert_eq!(early.next().await.unwrap()[0].object.key, key("before"));
    // Of another kind, or elsewhere, there is nothing; the end is heard by all.
    let waiting = [
        tokio::spawn(async move { others.next().await }),
        tokio::spawn(async move { elsewhere.next().await }),
    ];
    store.close().await;
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap_err(), StoreError::Closed);
    }
    assert_eq!(store.watch(&LEASES(), &at(0)).await.map(drop), Err(StoreError::Closed));
}

fn small(changes: usize, bytes: usize) -> Engine {
    Engine::open_with(Nowhere, Options { memory: Memory { changes, bytes }, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn a_dead_watcher_holds_nobody_up_and_begins_again_with_a_list() {
    let store = small(10, usize::MAX);
    let mut object = Object::clone(&*store.create(new("x", 0)).await.unwrap());
    let mut dead = store.watch(&LEASES(), &at(0)).await.unwrap();
    for number in 1..=100 {
        object.spec = json!({ "number": number });
        object = Object::clone(&*store.update(object).await.unwrap());
    }
    assert_eq!(dead.next().await.unwrap_err(), StoreError::TooOld(at(0)));
    for (after, there) in [(0, false), (90, false), (91, true), (101, true), (102, false)] {
        let watch = store.watch(&LEASES(), &at(after)).await.map(drop);
        assert_eq!(watch, if there { Ok(()) } else { Err(StoreError::TooOld(at(after))) });
    }
    let foreign = Revision::from("opaque");
    assert_eq!(store.watch(&LEASES(), &foreign).await.map(drop), Err(StoreError::TooOld(foreign)));
    let query = jumpstarter_store::Query { kind: "Lease".to_owned(), ..Default::default() };
    let listed = store.list(&query).await.unwrap().revision;
    let mut again = store.watch(&LEASES(), &listed).await.unwrap();
    store.delete(&key("x"), None).await.unwrap();
    let events = again.next().await.unwrap();
    assert_eq!((events.len(), events[0].change), (1, Change::Deleted));
    assert_eq!(number(&events[0].object), 100, "as it was");
    assert!(events[0].object.deleted.is_some());
}

#[tokio::test]
async fn who_watches_a_quiet_kind_is_not_late_because_of_a_busy_one() {
    let store = small(10, usize::MAX);
    let exporter = jumpstarter_store::Key::new("Exporter", "lab", "e");
    store.create(jumpstarter_store::New::with_spec(exporter.clone(), json!({}))).await.unwrap();
    let mut quiet = store.watch(&Scope::all("Exporter"), &at(1)).await.unwrap();
    for count in 0..100 {
        store.create(new(&format!("n{count}"), count)).await.unwrap();
    }
    store.delete(&exporter, None).await.unwrap();
    let events = quiet.next().await.unwrap();
    assert_eq!((events.len(), events[0].change), (1, Change::Deleted));
    assert!(store.watch(&Scope::all("Exporter"), &at(0)).await.is_err(), "its making is forgotten");
}

#[tokio::test]
async fn what_is_remembered_is_bounded_by_its_size_as_well() {
    let store = small(usize::MAX, 100_000);
    for count in 0..10 {
        let mut new = new(&format!("n{count}"), count);
        new.status = json!("x".repeat(30_000));
        store.create(new).await.unwrap();
    }
    assert!(store.watch(&LEASES(), &at(6)).await.is_err());
    assert!(store.watch(&LEASES(), &at(7)).await.is_ok());
    // One that is larger than everything is there for those who are quick.
    let mut new = new("large", 0);
    new.status = json!("x".repeat(300_000));
    store.create(new).await.unwrap();
    assert_eq!(store.watch(&LEASES(), &at(10)).await.unwrap().next().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_watcher_that_is_behind_gets_a_bounded_part_at_a_time() {
    let store = Engine::open(Nowhere).unwrap();
    let mut object = Object::clone(&*store.create(new("x", 0)).await.unwrap());
    for number in 1..2_500 {
        object.spec = json!({ "number": number });
        object = Object::clone(&*store.update(object).await.unwrap());
    }
    let mut watch = store.watch(&LEASES(), &at(0)).await.unwrap();
    let mut seen = Vec::new();
    let mut parts = 0;
    while seen.len() < 2_500 {
        let part = watch.next().await.unwrap();
        assert!(part.len() <= 1024);
        seen.extend(part.iter().map(|event| number(&event.object)));
        parts += 1;
    }
    assert_eq!((parts, seen), (3, (0..2_500).collect::<Vec<_>>()));
}
