//! Files of others, busy files, backups and what is made of them.

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, sync::Arc};

use jumpstarter_store::{Durability, Engine, File, Store, StoreError, restore};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

use crate::{all, key, new};

fn open(path: &Path) -> Result<Engine, StoreError> {
    File::open(path).and_then(Engine::open)
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_by_name_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.db");
    fs::write(&path, "apiVersion: jumpstarter.dev/v1alpha1\n".repeat(300)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let error = open(&folder.path().join("nowhere/lab.db")).unwrap_err().to_string();
    assert!(error.contains("nowhere/lab.db.lock: No such file"), "{error}");
}

#[tokio::test]
async fn a_second_opener_is_refused_with_the_process_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.db");
    let store = open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = open(&path).unwrap_err();
    assert_eq!(error, StoreError::InUse { file: path.clone(), pid: Some(std::process::id()) });
    let text = format!("{} is in use by process {}", path.display(), std::process::id());
    assert_eq!(error.to_string(), text);
    assert!(matches!(restore(&path, &path), Err(StoreError::InUse { .. })));
    store.close().await;
    let again = open(&path).expect("free as soon as it is closed");
    drop(again);
    open(&path).expect("free as soon as it is gone");
}

#[tokio::test]
async fn what_a_start_that_was_killed_left_behind_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.db");
    // A new file has this name until it is whole.
    fs::write(folder.path().join("lab.db.partial"), [0; 4096]).unwrap();
    let store = open(&path).unwrap();
    store.create(new("x", 1)).await.unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lab.db", "lab.db.lock"]);
}

#[tokio::test]
async fn a_closed_store_refuses_changes_and_shows_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("lab.db")).unwrap();
    store.create(new("x", 1)).await.unwrap();
    store.close().await;
    store.close().await;
    assert_eq!(store.create(new("y", 1)).await.unwrap_err(), StoreError::Closed);
    assert_eq!(all(&store).await, [("x".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_while_work_goes_on_and_can_be_put_in_the_place_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.db");
    let store = Arc::new(open(&path).unwrap());
    let busy = Arc::clone(&store);
    let working = tokio::spawn(async move {
        for count in 0..100u32 {
            busy.create(new(&format!("n{count:03}"), count)).await.unwrap();
        }
    });
    let copy = folder.path().join("copy.db");
    while store.revision().number() < Some(20) {
        tokio::task::yield_now().await;
    }
    store.backup(&copy).await.unwrap();
    working.await.unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let error = store.backup(&copy).await.unwrap_err();
    assert_eq!(error, StoreError::File(format!("{} exists already: name a new file", copy.display())));
    let after = all(&store).await;
    store.close().await;
    drop(store);

    let size = fs::metadata(&copy).unwrap().len();
    let replaced = restore(&copy, &path).unwrap().expect("there was one");
    assert_eq!(fs::metadata(&copy).unwrap().len(), size);
    let restored = open(&path).unwrap();
    let there = all(&restored).await;
    assert!((20..=100).contains(&there.len()), "{}", there.len());
    assert_eq!(there, after[..there.len()], "the first so many, without a gap");
    // Nothing is lost by it, and nobody takes a revision for one that he has seen.
    assert_eq!(all(&open(&replaced).unwrap()).await, after);
    assert!(restored.revision().number() > Some(100), "{}", restored.revision());
    restored.create(new("later", 1)).await.unwrap();

    let elsewhere = folder.path().join("elsewhere.db");
    assert_eq!(restore(&copy, &elsewhere).unwrap(), None);
    assert_eq!(all(&open(&elsewhere).unwrap()).await, there);
    let no_backup = folder.path().join("text");
    fs::write(&no_backup, "not a backup").unwrap();
    let error = restore(&no_backup, &elsewhere).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: ", no_backup.display())), "{error}");
    assert_eq!(all(&open(&elsewhere).unwrap()).await, there, "a bad backup replaces nothing");
}

#[tokio::test]
async fn a_heartbeat_writes_nothing_until_something_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.db");
    let store = open(&path).unwrap();
    store.create(new("x", 1)).await.unwrap();
    let beat = async |beat: u32| {
        let status = json!({ "beat": beat });
        store.patch_status(&key("x"), status, Durability::Soon).await.unwrap();
    };
    // The first of a life says how many may follow.
    beat(0).await;
    let written = || fs::read(&path).unwrap();
    let before = written();
    for count in 1..500 {
        beat(count).await;
    }
    assert!(written() == before, "heartbeats were written");
    assert_eq!(
        store.get(&key("x")).await.unwrap().unwrap().status,
        json!({ "beat": 499 }),
        "everybody sees it"
    );
    store.create(new("y", 1)).await.unwrap();
    assert!(written() != before);
    beat(500).await;
    // A crash takes back the last beat, the ones before it came with the other change.
    let crashed = folder.path().join("crashed.db");
    fs::copy(&path, &crashed).unwrap();
    let (last, revision) = (store.revision(), store.revision().number().unwrap());
    let after = open(&crashed).unwrap();
    assert_eq!(after.get(&key("x")).await.unwrap().unwrap().status, json!({ "beat": 499 }));
    assert!(after.revision().number().unwrap() > revision, "revisions do not go back");
    let lost = after.watch(&jumpstarter_store::Scope::all("Lease"), &last).await.map(drop);
    assert_eq!(lost.unwrap_err(), StoreError::TooOld(last), "somebody has seen what was taken back");
    // An orderly end keeps it, and leaves no gap.
    store.close().await;
    let orderly = open(&path).unwrap();
    assert_eq!(orderly.get(&key("x")).await.unwrap().unwrap().status, json!({ "beat": 500 }));
    assert_eq!(orderly.revision().number(), Some(revision));
}

/// Set for the process whose files may not grow: where its file is.
const NO_ROOM: &str = "JUMPSTARTER_STORE_NO_ROOM_FILE";

/// What runs in the process of its own; does nothing in an ordinary run.
#[tokio::test]
async fn the_process_that_has_no_room() {
    let Ok(path) = env::var(NO_ROOM) else { return };
    let path = Path::new(&path);
    let store = open(path).unwrap();
    let room = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    room(Some(fs::metadata(path).unwrap().len() + 100_000));
    let many = |count: u32| {
        let mut new = new(&format!("n{count:04}"), count);
        new.status = json!("x".repeat(20_000));
        new
    };
    let mut count = 0;
    let error = loop {
        match store.create(many(count)).await {
            Ok(_) => count += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(
        error,
        format!("the store cannot be written: {}: I/O error: File too large (os error 27)", path.display())
    );
    for _ in 0..3 {
        assert!(matches!(store.create(many(count)).await, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(all(&store).await.len(), usize::try_from(count).unwrap());
    assert!(matches!(open(path), Err(StoreError::InUse { .. })), "it is still ours");
    room(None);
    store.create(many(count)).await.expect("there is room again");
    store.close().await;
    let again = open(path).unwrap();
    assert_eq!(again.revision().number(), Some(u64::from(count) + 1));
    assert_eq!(all(&again).await.len(), usize::try_from(count).unwrap() + 1);
    println!("recovered after {count}");
}

#[test]
fn a_file_that_cannot_grow_refuses_changes_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    // Without the signal that ends a process whose file is too large.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "file::the_process_that_has_no_room", "--nocapture"])
        .env(NO_ROOM, folder.path().join("lab.db"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("recovered after"), "{text}{errors}");
}
