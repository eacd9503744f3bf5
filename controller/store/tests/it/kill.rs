//! A process that is killed, again and again: what it said it had done is done.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use jumpstarter_store::{Durability, Engine, File, Key, New, Object, Patch, Store};
use serde_json::json;

use crate::{Dice, number};

/// Set for the process that is killed: where its file is.
const FILE: &str = "JUMPSTARTER_STORE_KILL_FILE";

/// How often, over all batches.
const KILLS: usize = 1_000;

/// Processes that live at once, each with a file of its own: a process mostly waits for its disk.
const BATCH: usize = 8;

/// Objects that are changed at the same time, so that transactions have several changes in them.
const OBJECTS: usize = 3;

fn say(text: &str) {
    // In one piece: the last line may be cut by the end, but not mixed with another one.
    let mut out = std::io::stdout();
    out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody reads");
}

/// Several pages of the file, so that half of it would show.
fn spec(number: u64) -> serde_json::Value {
    json!({ "number": number, "copies": vec![number; 500] })
}

fn whole(object: &Object) -> bool {
    object.spec == spec(number(object))
}

async fn count(store: &Engine, index: usize) {
    let key = Key::new("Lease", "lab", format!("c{index}"));
    let mut next = match store.get(&key).await.expect("an answer") {
        Some(object) if !whole(&object) => return say("half"),
        Some(object) => number(&object) + 1,
        None => 0,
    };
    say(&format!("found {index} {next} {}", store.revision()));
    loop {
        let patch = Patch { spec: spec(next), ..Patch::default() };
        let object = match store.patch(&key, patch).await {
            Err(_) if next == 0 => store.create(New::with_spec(key.clone(), spec(0))).await.expect("made"),
            other => other.expect("done"),
        };
        next += 1;
        say(&format!("did {index} {next} {}", object.revision));
        // What may be lost is no danger to what may not.
        store.patch_status(&key, json!({ "beat": next }), Durability::Soon).await.expect("said");
    }
}

/// What runs in the process of its own; does nothing in an ordinary run.
#[test]
fn the_process_that_is_killed() {
    let Ok(path) = env::var(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a run time");
    runtime.block_on(async {
        let store = Engine::open(File::open(Path::new(&path)).expect("the file")).expect("the store");
        // The harness has begun a line.
        say("");
        tokio::join!(count(&store, 0), count(&store, 1), count(&store, 2));
    });
}

/// What is known of one file: the counts and the revision that were answered.
#[derive(Default)]
struct Answered {
    counts: BTreeMap<String, u64>,
    revision: u64,
}

impl Answered {
    fn hear(&mut self, line: &str, context: &str) {
        let mut words = line.split_whitespace();
        let (Some(what @ ("found" | "did")), Some(index), Some(count), Some(revision)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            assert_ne!(line, "half", "{context}");
            return;
        };
        let (count, revision): (u64, u64) = (count.parse().expect(line), revision.parse().expect(line));
        let last = self.counts.insert(index.to_owned(), count).unwrap_or(0);
        match what {
            // One more may have been done than was said.
            "found" => assert!(count == last || count == last + 1, "{context}: {line}, {last} were answered"),
            _ => assert_eq!(count, last + 1, "{context}: {line}"),
        }
        // Those who wait for the same transaction hear of it in any order.
        let back = what == "found" && revision < self.revision;
        assert!(!back, "{context}: {line}, {} was answered", self.revision);
        self.revision = self.revision.max(revision);
    }
}

/// Where nothing has to reach a real disk: a process that is killed leaves to the system what it wrote.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn kill_again_and_again(kills: usize, mut dice: Dice) {
    let folder = folder();
    let path = folder.path().join("lab.db");
    let mut answered = Answered::default();
    for kill in 0..kills {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "kill::the_process_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(FILE, &path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let context = format!("kill {kill}, {dice:?}");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        if dice.below(2) == 0 {
            // At work.
            for _ in 0..OBJECTS + 6 + dice.below(12) {
                line.clear();
                out.read_line(&mut line).expect("text");
                assert!(!line.is_empty(), "{context}: it ended by itself");
                answered.hear(line.trim_end(), &context);
            }
        } else {
            // At any moment, also before it has opened anything.
            #[expect(clippy::disallowed_methods, reason = "any moment is the point")]
            thread::sleep(Duration::from_micros(dice.below(8_000) as u64));
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        // What it said between the last line that was read and its end. A line that was cut says nothing.
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("text");
        for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            answered.hear(line.trim_end(), &context);
        }
    }
    assert_eq!(answered.counts.len(), OBJECTS, "it was left alone long enough to do something");
}

#[test]
fn a_thousand_kills_lose_nothing_that_was_answered() {
    let mut dice = Dice::new();
    thread::scope(|scope| {
        for _ in 0..BATCH {
            let dice = dice.split();
            scope.spawn(move || kill_again_and_again(KILLS / BATCH, dice));
        }
    });
}

#[test]
fn a_count_that_goes_back_is_noticed() {
    let mut answered = Answered::default();
    answered.hear("did 0 1 5", "");
    answered.hear("did 0 2 6", "");
    answered.hear("found 0 3 7", "");
    for wrong in ["found 0 2 8", "found 0 5 8", "found 0 3 6", "half"] {
        let counts = answered.counts.clone();
        let mut copy = Answered { counts, ..answered };
        let noticed = std::panic::catch_unwind(move || copy.hear(wrong, ""));
        assert!(noticed.is_err(), "{wrong}");
    }
}
