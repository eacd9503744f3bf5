//! A disk that stops at any write: what was answered is there, and nothing by half. A disk that is full for a while.

use std::collections::BTreeMap;

use jumpstarter_store::{Durability, Engine, File, Object, Store, StoreError};
use serde_json::json;

use crate::{Dice, all, key, new, number, platter::Platter};

type There = BTreeMap<String, u64>;

fn open(disk: &Platter) -> Result<Engine, StoreError> {
    let disk = disk.clone();
    File::on(move || disk.clone()).and_then(Engine::open)
}

/// What somebody knows of a store that he works with.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What was there when the last durable change was answered.
    safe: There,
    /// What is there, with what may be lost, and with the change that was refused.
    wished: There,
    /// The last revision that was seen.
    revision: u64,
    /// Whether all work was done.
    complete: bool,
}

/// Changes of every kind, until one is refused.
async fn work(store: &Engine, from: There) -> Known {
    let mut known = Known { safe: from.clone(), wished: from, ..Known::default() };
    for count in 0..4u32 {
        let name = format!("n{count}");
        for step in 0..4u32 {
            let value = u64::from(count * 10 + step);
            let durability = if step == 2 { Durability::Soon } else { Durability::Now };
            let outcome = match step {
                0 => {
                    known.wished.insert(name.clone(), value);
                    store.create(new(&name, count * 10)).await
                }
                1 => {
                    let object = store.get(&key(&name)).await.unwrap().expect("it was made");
                    let spec = json!({ "number": value, "much": "x".repeat(3000) });
                    known.wished.insert(name.clone(), value);
                    store.update(Object { spec, ..Object::clone(&object) }).await
                }
                // Something that may be lost, and something that may not: the first comes with the second.
                2 => store.patch_status(&key("base"), json!({ "beat": value }), durability).await,
                _ if count == 2 => {
                    known.wished.remove(&name);
                    store.delete(&key(&name), None).await
                }
                _ => continue,
            };
            let Ok(object) = outcome else { return known };
            known.revision = object.revision.number().unwrap();
            if durability == Durability::Now {
                known.safe = known.wished.clone();
            }
        }
    }
    known.complete = true;
    known
}

async fn there(store: &Engine) -> There {
    all(store).await.into_iter().collect()
}

#[tokio::test]
async fn a_disk_that_stops_at_any_write_has_everything_that_was_answered_and_nothing_by_half() {
    let mut dice = Dice::new();
    let whole = Platter::default();
    let store = open(&whole).unwrap();
    store.create(new("base", 7)).await.unwrap();
    store.close().await;
    let mut stops = 0;
    for left in 0.. {
        let disk = whole.copy();
        let store = open(&disk).unwrap();
        disk.takes(Some(left));
        let known = work(&store, There::from([("base".to_owned(), 7)])).await;
        for _ in 0..4 {
            let after = disk.after_power_cut(&mut dice);
            let context = format!("stopped after {left}, {dice:?}");
            let store = open(&after).unwrap_or_else(|error| panic!("{context}: {error}"));
            let found = there(&store).await;
            assert!(found == known.safe || found == known.wished, "{context}: {found:?} is not {known:?}");
            let revision = store.revision().number().unwrap();
            assert!(revision >= known.revision, "{context}: back to {revision} from {}", known.revision);
            // It is a store like any other: work can go on, and lasts.
            let object = store.create(new("later", 1)).await.unwrap();
            assert!(object.revision.number().unwrap() > known.revision, "{context}");
            store.close().await;
            let store = open(&after.after_power_cut(&mut dice)).unwrap();
            let later = There::from([("later".to_owned(), 1)]);
            assert_eq!(there(&store).await, found.into_iter().chain(later).collect(), "{context}");
        }
        if known.complete {
            break;
        }
        stops += 1;
    }
    assert!(stops > 50, "only {stops} writes were interrupted");
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_changes_and_takes_them_again_when_there_is_room() {
    let mut dice = Dice::new();
    let whole = Platter::default();
    let store = open(&whole).unwrap();
    store.create(new("before", 1)).await.unwrap();
    store.close().await;
    for left in 0.. {
        let disk = whole.copy();
        let store = open(&disk).unwrap();
        disk.takes(Some(left));
        let during = store.create(new("during", 2)).await;
        let Err(error) = during else {
            assert!(left > 5, "only {left} writes were refused");
            break;
        };
        let text = error.to_string();
        assert!(text.starts_with("the store cannot be written: storage: "), "{text}");
        assert!(text.contains("No space left on device"), "{text}");
        let again = store.create(new("during", 3)).await.unwrap_err();
        assert!(matches!(again, StoreError::Unavailable(_)), "{again}");
        // What was there is there, and nobody sees what was refused.
        assert_eq!(there(&store).await, There::from([("before".to_owned(), 1)]));
        assert_eq!(store.revision().number(), Some(1));
        let heartbeat = store.patch_status(&key("before"), json!({ "beat": 1 }), Durability::Soon).await;
        assert!(heartbeat.is_err(), "nothing was reserved for it");

        disk.takes(None);
        let after = store.create(new("after", 4)).await.unwrap();
        assert_eq!(after.revision.number(), Some(2), "{left}");
        let expected = There::from([("before".to_owned(), 1), ("after".to_owned(), 4)]);
        assert_eq!(there(&store).await, expected);
        let store = open(&disk.after_power_cut(&mut dice)).unwrap();
        assert_eq!(there(&store).await, expected, "what was refused has not come back ({left}, {dice:?})");
        assert_eq!(number(&store.get(&key("after")).await.unwrap().unwrap()), 4);
    }
}
