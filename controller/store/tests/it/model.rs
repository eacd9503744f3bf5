//! Any sequence of wishes does to each store what it does to a map.

use std::collections::BTreeMap;

use jumpstarter_core::Selector;
use jumpstarter_store::{
    Change, Durability, Engine, File, Key, New, Nowhere, Object, Patch, Query, Revision, Scope, Store,
    StoreError, Watch,
};
use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use serde_json::{Value, json};

/// One wish; names and revisions are few, so that they meet.
#[derive(Clone, Debug)]
enum Wish {
    Create { name: usize, spec: u8, label: u8 },
    Update { name: usize, spec: u8, label: u8, stale: bool },
    Status { name: usize, status: u8, stale: bool, soon: bool },
    Patch { name: usize, spec: u8, label: u8, soon: bool },
    PatchStatus { name: usize, status: u8, soon: bool },
    Delete { name: usize, stale: Option<bool> },
    Reopen,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let name = 0usize..6;
    let wish = prop_oneof![
        3 => (name.clone(), 0u8..3, 0u8..2).prop_map(|(name, spec, label)| Wish::Create { name, spec, label }),
        3 => (name.clone(), 0u8..3, 0u8..2, any::<bool>())
            .prop_map(|(name, spec, label, stale)| Wish::Update { name, spec, label, stale }),
        2 => (name.clone(), 0u8..3, any::<bool>(), any::<bool>())
            .prop_map(|(name, status, stale, soon)| Wish::Status { name, status, stale, soon }),
        2 => (name.clone(), 0u8..3, 0u8..2, any::<bool>())
            .prop_map(|(name, spec, label, soon)| Wish::Patch { name, spec, label, soon }),
        2 => (name.clone(), 0u8..3, any::<bool>())
            .prop_map(|(name, status, soon)| Wish::PatchStatus { name, status, soon }),
        2 => (name, prop::option::of(any::<bool>())).prop_map(|(name, stale)| Wish::Delete { name, stale }),
        1 => Just(Wish::Reopen),
    ];
    prop::collection::vec(wish, 1..40)
}

fn key(name: usize) -> Key {
    let (kind, namespace) = [("Lease", "a"), ("Lease", "b"), ("Exporter", "a")][name % 3];
    Key::new(kind, namespace, format!("n{name}"))
}

/// What a map knows of an object.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    revision: u64,
    generation: i64,
    spec: u8,
    status: Option<u8>,
    label: u8,
}

#[derive(Default)]
struct Model {
    map: BTreeMap<Key, Known>,
    revision: u64,
    /// What a watcher must see.
    history: Vec<(Change, Key, u64)>,
}

impl Model {
    /// The next revision, at which this happened.
    fn happened(&mut self, change: Change, key: Key) -> u64 {
        self.revision += 1;
        self.history.push((change, key, self.revision));
        self.revision
    }

    /// Changes what is known of an object, if it is not so already.
    fn modify(&mut self, key: &Key, spec: Option<u8>, label: Option<u8>, status: Option<u8>) -> Known {
        let known = self.map[key].clone();
        let mut new = Known {
            spec: spec.unwrap_or(known.spec),
            label: label.unwrap_or(known.label),
            status: status.or(known.status),
            ..known
        };
        if new != known {
            new.generation += i64::from(new.spec != known.spec);
            new.revision = self.happened(Change::Modified, key.clone());
            self.map.insert(key.clone(), new.clone());
        }
        new
    }
}

fn seen(object: &Object) -> Known {
    Known {
        revision: object.revision.number().unwrap(),
        generation: object.generation,
        spec: u8::try_from(object.spec.as_u64().unwrap()).unwrap(),
        status: object.status.as_u64().map(|status| u8::try_from(status).unwrap()),
        label: object.labels["l"].parse().unwrap(),
    }
}

async fn compare(store: &Engine, model: &Model) {
    assert_eq!(store.revision(), Revision::from_number(model.revision));
    for kind in ["Lease", "Exporter"] {
        for after in 0..model.revision {
            let mut watch = store.watch(&Scope::all(kind), &Revision::from_number(after)).await.unwrap();
            let wanted: Vec<_> = model
                .history
                .iter()
                .filter(|(_, key, at)| key.kind == kind && *at > after)
                .cloned()
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let events = watch.next().await.unwrap();
            let number = |revision: &Revision| revision.number().unwrap();
            let seen: Vec<_> = events
                .iter()
                .map(|event| (event.change, event.object.key.clone(), number(event.revision())))
                .collect();
            assert_eq!(seen, wanted);
        }
    }
    for kind in ["Lease", "Exporter", "Nothing"] {
        for namespace in [None, Some("a"), Some("b")] {
            for selector in ["", "l=1", "l!=1,l"] {
                let selector: Selector = selector.parse().unwrap();
                let wanted: Vec<_> = model
                    .map
                    .iter()
                    .filter(|(key, known)| {
                        key.kind == kind
                            && namespace.is_none_or(|namespace| key.namespace == namespace)
                            && selector.matches(&[("l".to_owned(), known.label.to_string())].into())
                    })
                    .map(|(key, known)| (key.clone(), known.clone()))
                    .collect();
                for limit in [0, 1, 2] {
                    let mut query = Query {
                        kind: kind.to_owned(),
                        namespace: namespace.map(str::to_owned),
                        selector: selector.clone(),
                        limit,
                        page: None,
                    };
                    let mut found = Vec::new();
                    loop {
                        let page = store.list(&query).await.unwrap();
                        assert_eq!(page.revision, Revision::from_number(model.revision));
                        assert!(limit == 0 || page.items.len() <= limit);
                        found.extend(page.items.iter().map(|object| (object.key.clone(), seen(object))));
                        query.page = page.next;
                        if query.page.is_none() {
                            break;
                        }
                    }
                    assert_eq!(found, wanted);
                }
            }
        }
    }
}

/// The object with a revision that is not the present one, if that is wished.
async fn present(store: &Engine, key: &Key, stale: bool) -> Option<Object> {
    let object = store.get(key).await.unwrap()?;
    let mut object = Object::clone(&object);
    if stale {
        object.revision = Revision::from_number(object.revision.number().unwrap() - 1);
    }
    Some(object)
}

fn durability(soon: bool) -> Durability {
    if soon { Durability::Soon } else { Durability::Now }
}

async fn carry_out(store: &Engine, model: &mut Model, wish: Wish) {
    match wish {
        Wish::Create { name, spec, label } => {
            let new = New {
                labels: [("l".to_owned(), label.to_string())].into(),
                ..New::with_spec(key(name), json!(spec))
            };
            let made = store.create(new).await;
            if model.map.contains_key(&key(name)) {
                assert_eq!(made.unwrap_err(), StoreError::AlreadyExists(key(name)));
            } else {
                let revision = model.happened(Change::Added, key(name));
                let known = Known { revision, generation: 1, spec, status: None, label };
                assert_eq!(seen(&made.unwrap()), known);
                model.map.insert(key(name), known);
            }
        }
        Wish::Update { name, spec, label, stale } => {
            let Some(mut object) = present(store, &key(name), stale).await else { return };
            object.spec = json!(spec);
            object.labels = [("l".to_owned(), label.to_string())].into();
            // Must not count: this is no update of the status.
            object.status = json!(99);
            let was = object.revision.clone();
            let updated = store.update(object).await;
            if stale {
                assert_eq!(updated.unwrap_err(), StoreError::Conflict { key: key(name), was });
            } else {
                assert_eq!(seen(&updated.unwrap()), model.modify(&key(name), Some(spec), Some(label), None));
            }
        }
        Wish::Status { name, status, stale, soon } => {
            let Some(mut object) = present(store, &key(name), stale).await else { return };
            object.status = json!(status);
            // Must not count: this is an update of the status.
            object.spec = json!(99);
            let updated = store.update_status(object, durability(soon)).await;
            if stale {
                assert!(matches!(updated, Err(StoreError::Conflict { .. })));
            } else {
                assert_eq!(seen(&updated.unwrap()), model.modify(&key(name), None, None, Some(status)));
            }
        }
        Wish::Patch { name, spec, label: new, soon } => {
            let labels = [("l".to_owned(), Some(new.to_string())), ("absent".to_owned(), None)].into();
            let patch = Patch { labels, spec: json!(spec), durability: durability(soon), ..Patch::default() };
            let patched = store.patch(&key(name), patch).await;
            if model.map.contains_key(&key(name)) {
                assert_eq!(seen(&patched.unwrap()), model.modify(&key(name), Some(spec), Some(new), None));
            } else {
                assert_eq!(patched.unwrap_err(), StoreError::NotFound(key(name)));
            }
        }
        Wish::PatchStatus { name, status, soon } => {
            let patched = store.patch_status(&key(name), json!(status), durability(soon)).await;
            if model.map.contains_key(&key(name)) {
                assert_eq!(seen(&patched.unwrap()), model.modify(&key(name), None, None, Some(status)));
            } else {
                assert_eq!(patched.unwrap_err(), StoreError::NotFound(key(name)));
            }
        }
        Wish::Delete { name, stale } => {
            let known = model.map.get(&key(name)).cloned();
            let revision = stale.and_then(|stale| Some(known.as_ref()?.revision - u64::from(stale)));
            let deleted = store.delete(&key(name), revision.map(Revision::from_number)).await;
            match known {
                None => assert_eq!(deleted.unwrap_err(), StoreError::NotFound(key(name))),
                Some(_) if stale == Some(true) => {
                    assert!(matches!(deleted, Err(StoreError::Conflict { .. })));
                }
                Some(_) => {
                    let revision = model.happened(Change::Deleted, key(name));
                    assert_eq!(deleted.unwrap().revision, Revision::from_number(revision));
                    model.map.remove(&key(name));
                }
            }
        }
        Wish::Reopen => {}
    }
}

async fn check(wishes: Vec<Wish>, folder: &std::path::Path) {
    let memory = Engine::open(Nowhere).unwrap();
    let path = folder.join("lab.db");
    let mut file = Engine::open(File::open(&path).unwrap()).unwrap();
    let (mut of_memory, mut of_file) = (Model::default(), Model::default());
    for wish in wishes {
        if matches!(wish, Wish::Reopen) {
            drop(file);
            file = Engine::open(File::open(&path).unwrap()).unwrap();
        }
        carry_out(&memory, &mut of_memory, wish.clone()).await;
        carry_out(&file, &mut of_file, wish).await;
    }
    compare(&memory, &of_memory).await;
    compare(&file, &of_file).await;
    file.close().await;
    compare(&Engine::open(File::open(&path).unwrap()).unwrap(), &of_file).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_do_what_a_map_does(wishes in wishes()) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(wishes, folder.path()));
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_with_the_reason() {
    let store = Engine::open(File::on(InMemoryBackend::new).unwrap()).unwrap();
    let refused = async |new: New| store.create(new).await.unwrap_err().to_string();
    for (kind, namespace, name, part) in [
        ("Lease", "lab", "", "`` cannot be a name"),
        ("Lease", "lab", "Upper", "`Upper` cannot be a name"),
        ("Lease", "lab", "a/b", "`a/b` cannot be a name"),
        ("Lease", "lab", "a\0b", "cannot be a name"),
        ("Lease", "a.b", "x", "`a.b` cannot be a namespace"),
        ("", "lab", "x", "`` is not a kind of object"),
    ] {
        let text = refused(New::with_spec(Key::new(kind, namespace, name), Value::Null)).await;
        assert!(text.contains(part), "{text}");
    }
    let mut new = crate::new("x", 1);
    new.labels.insert("a b".to_owned(), String::new());
    assert_eq!(refused(new).await, "`a b` is not the key of a label");
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let store = Engine::open(Nowhere).unwrap();
    for name in ["a", "b"] {
        store.create(crate::new(name, 1)).await.unwrap();
    }
    let query = Query { kind: "Lease".to_owned(), limit: 1, ..Query::default() };
    let token = store.list(&query).await.unwrap().next.expect("there are two");
    // What has been read may go: the next page begins where it would have.
    store.delete(&crate::key("a"), None).await.unwrap();
    let next = store.list(&Query { page: Some(token.clone()), ..query.clone() }).await.unwrap();
    assert_eq!((next.items[0].key.name.as_str(), next.next), ("b", None));
    let elsewhere = Query { namespace: Some("elsewhere".to_owned()), ..query.clone() };
    let other = Query { kind: "Exporter".to_owned(), ..query.clone() };
    for (query, token) in [
        (&elsewhere, token.as_str()),
        (&other, &token),
        (&query, ""),
        (&query, "!"),
        (&query, &token[..token.len() - 3]),
    ] {
        let query = Query { page: Some(token.to_owned()), ..query.clone() };
        assert_eq!(store.list(&query).await.unwrap_err(), StoreError::PageToken, "{token}");
    }
}

#[tokio::test]
async fn pitfall_x4_two_who_patch_different_fields_keep_each_others() {
    let store = std::sync::Arc::new(Engine::open(Nowhere).unwrap());
    let exporter = store.create(crate::new("e", 1)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = std::sync::Arc::clone(&store);
        writers.spawn(async move {
            for count in 0..20 {
                let status =
                    json!({ format!("field{writer}"): count, "nested": { format!("n{writer}"): count } });
                store.patch_status(&crate::key("e"), status, Durability::Now).await.unwrap();
                let labels = [(format!("l{writer}"), Some(count.to_string()))].into();
                store.patch(&crate::key("e"), Patch { labels, ..Patch::default() }).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let object = store.get(&crate::key("e")).await.unwrap().unwrap();
    for writer in 0..8 {
        assert_eq!(object.status[format!("field{writer}")], 19);
        assert_eq!(object.status["nested"][format!("n{writer}")], 19);
        assert_eq!(object.labels[&format!("l{writer}")], "19");
    }
    assert_eq!(object.generation, exporter.generation, "the spec was not changed");
    // Not another object of the same name.
    store.delete(&crate::key("e"), None).await.unwrap();
    store.create(crate::new("e", 1)).await.unwrap();
    let patch = Patch { uid: Some(exporter.uid), spec: json!({ "number": 2 }), ..Patch::default() };
    assert!(matches!(store.patch(&crate::key("e"), patch).await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn times_are_those_of_the_clock_that_was_given() {
    let clock = std::sync::Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
    let options = jumpstarter_store::Options { clock, ..Default::default() };
    let store = Engine::open_with(Nowhere, options).unwrap();
    assert_eq!(store.create(crate::new("x", 1)).await.unwrap().created, jiff::Timestamp::UNIX_EPOCH);
    let deleted = store.delete(&crate::key("x"), None).await.unwrap();
    assert_eq!(deleted.deleted, Some(jiff::Timestamp::UNIX_EPOCH));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_the_same_object_at_once_one_succeeds() {
    let store = std::sync::Arc::new(Engine::open(Nowhere).unwrap());
    let object = store.create(crate::new("e", 0)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 1..=16 {
        let store = std::sync::Arc::clone(&store);
        let wanted = Object { spec: json!({ "number": writer }), ..Object::clone(&object) };
        writers.spawn(async move { store.update(wanted).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 15));
    for error in refused {
        let was = object.revision.clone();
        assert_eq!(error.unwrap_err(), StoreError::Conflict { key: crate::key("e"), was });
    }
}

#[tokio::test]
async fn an_object_of_the_same_name_is_another_one() {
    let store = Engine::open(Nowhere).unwrap();
    let first = store.create(crate::new("x", 1)).await.unwrap();
    store.delete(&first.key, None).await.unwrap();
    let second = store.create(crate::new("x", 2)).await.unwrap();
    let mistaken = Object { revision: second.revision.clone(), ..Object::clone(&first) };
    assert!(matches!(store.update(mistaken).await, Err(StoreError::Conflict { .. })));
}
