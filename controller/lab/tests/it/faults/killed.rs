//! Processes that are killed while others rely on them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jumpstarter_lab::{Data, LabConfig, Serving, Settings};
use jumpstarter_protocol::admin::v1::ListRequest;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use super::{
    Dice,
    people::{Lab, Person, World},
    process::{Process, data},
    soon,
};
use crate::{GRACE, admin, create, settings};

/// How often the lab is killed.
const KILLS: usize = 20;

/// One of them is used by the same client all the time.
const EXPORTERS: usize = 3;

/// More than there are exporters for: some wait.
const CLIENTS: usize = 4;

/// The end of a lease that does not matter here.
const LONG: Duration = Duration::from_mins(10);

/// A lab file with a router elsewhere, for exporters with the label that [`create`] gives them.
pub(crate) fn with_router(endpoint: &str) -> String {
    format!(
        "kind: LabConfig\nrouters:\n  near:\n    endpoint: {endpoint}\n    labels: {{board: demo}}\n    tls: {{clearText: true}}\n"
    )
}

/// The key that the lab and a router share, before either is there.
pub(crate) fn share_key(folder: &Path) {
    Data::open(&data(folder)).expect("a folder").router_key().expect("a key");
}

fn rest(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        handle.abort();
    }
}

/// How a lease ended, by its name.
type Ends = BTreeMap<String, &'static str>;

/// Leases one exporter after the other until it is told to stop.
async fn one_after_the_other(me: Person, world: World, mut dice: Dice, enough: Arc<AtomicBool>) -> Ends {
    let mut ends = Ends::new();
    while !enough.load(Ordering::Relaxed) {
        let name = format!("{}-{}", me.name, ends.len());
        // Some go without a word, and their time passes.
        let goes = dice.below(4) == 0;
        let duration = if goes { Duration::from_secs(1) } else { LONG };
        me.wish(&name, duration).await.unwrap_or_else(|status| panic!("{name} is not made: {status}"));
        let lease = me.until(&name, |lease| lease.exporter.is_some()).await;
        if goes {
            // It may be over before its client has seen it.
            if lease.effective_end_time.is_none() {
                world.takes(&lease);
            }
            me.until(&name, |lease| lease.effective_end_time.is_some()).await;
            ends.insert(name, "Expired");
            continue;
        }
        let exporter = world.takes(&lease);
        let mut tunnel = me.dial(&name, &world).await;
        for number in 0..=u8::try_from(dice.below(50)).expect("small") {
            let size = usize::try_from(1 + dice.below(32 * 1024)).expect("small");
            match tunnel.ask(Bytes::from(vec![number; size])).await {
                Ok(()) => world.answered(),
                Err(status) => return lost(&world, &me, &status, ends),
            }
        }
        if let Err(status) = tunnel.end().await {
            return lost(&world, &me, &status, ends);
        }
        world.gives_back(&exporter, &lease);
        me.release(&name).await.unwrap_or_else(|status| panic!("{name} is not released: {status}"));
        ends.insert(name, "Released");
    }
    ends
}

fn lost(world: &World, me: &Person, status: &tonic::Status, ends: Ends) -> Ends {
    world.broken(&me.name, status);
    ends
}

/// One session from the beginning to the end.
async fn all_the_time(me: Person, world: World, enough: Arc<AtomicBool>) -> Ends {
    let name = format!("{}-0", me.name);
    me.wish(&name, LONG).await.expect("made");
    let lease = me.until(&name, |lease| lease.exporter.is_some()).await;
    let exporter = world.takes(&lease);
    let mut tunnel = me.dial(&name, &world).await;
    while !enough.load(Ordering::Relaxed) {
        if let Err(status) = tunnel.ask(Bytes::from_static(b"still there")).await {
            return lost(&world, &me, &status, Ends::new());
        }
        world.answered();
        // Something is always on its way, and the machine has other things to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tunnel.end().await.expect("it ends in order");
    world.gives_back(&exporter, &lease);
    me.release(&name).await.expect("released");
    Ends::from([(name, "Released")])
}

/// All objects of a kind, by name.
async fn all(folder: &Path, kind: &str) -> BTreeMap<String, Value> {
    let request = ListRequest { kind: kind.to_owned(), selector: String::new() };
    let objects = admin(&data(folder)).await.list(request).await.expect("a list").into_inner().objects;
    let read = |object: &jumpstarter_protocol::admin::v1::Object| {
        let object: Value = serde_json::from_str(&object.json).expect("JSON");
        (object["metadata"]["name"].as_str().expect("a name").to_owned(), object)
    };
    objects.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_killed_twenty_times_ends_no_session_and_forgets_no_lease() {
    let mut dice = Dice::new();
    println!("{dice:?}");
    let folder = tempfile::tempdir().expect("a folder");
    share_key(folder.path());
    let router = Process::start("router", folder.path()).await;
    std::fs::write(folder.path().join("lab.yaml"), with_router(&router.address)).expect("written");
    let mut lab = Process::start("lab", folder.path()).await;
    let (at, tell) = Lab::at(&lab.address);
    let world = World::new(Some(router.address.clone()));

    let mut owner = admin(&data(folder.path())).await;
    let mut exporters = Vec::new();
    for number in 0..EXPORTERS {
        let name = format!("rig-{number}");
        let rig = at.person("Exporter", &name, create(&mut owner, "Exporter", &name).await);
        exporters.push(tokio::spawn(rig.serve(world.clone())));
    }
    let enough = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..=CLIENTS {
        let name = format!("client-{number}");
        let me = at.person("Client", &name, create(&mut owner, "Client", &name).await);
        if number == 0 {
            clients.spawn(all_the_time(me, world.clone(), enough.clone()));
        } else {
            clients.spawn(one_after_the_other(me, world.clone(), dice.split(), enough.clone()));
        }
    }
    drop(owner);

    let (mut answers, mut leases) = (world.answers(), world.leases());
    let mut away = Vec::new();
    for _ in 0..KILLS {
        // After something that the lab has to do with, something that it has nothing to do with, or any time.
        match dice.below(4) {
            0 => tokio::time::sleep(Duration::from_millis(dice.below(50))).await,
            1 => {
                let next = *answers.borrow() + 1 + dice.below(200);
                soon("answers", answers.wait_for(|count| *count >= next)).await.expect("a world");
            }
            _ => {
                let next = *leases.borrow() + 1 + dice.below(4);
                soon("leases", leases.wait_for(|count| *count >= next)).await.expect("a world");
            }
        }
        tell.send_replace(None);
        lab.kill().await;
        let killed = Instant::now();
        if dice.below(4) == 0 {
            // Once more, before it is quite there.
            let after = Duration::from_millis(dice.below(200));
            Process::start_and_kill("lab", folder.path(), after).await;
        }
        lab = Process::start("lab", folder.path()).await;
        away.push(killed.elapsed());
        tell.send_replace(Some(lab.address.clone()));
    }
    // Everybody gets something done after the last time as well.
    for (count, more) in [(&mut answers, 100), (&mut leases, 2 * CLIENTS as u64)] {
        let next = *count.borrow() + more;
        soon("it goes on", count.wait_for(|count| *count >= next)).await.expect("a world");
    }
    enough.store(true, Ordering::Relaxed);
    let mut ends = Ends::new();
    while let Some(ended) = soon("all clients end", clients.join_next()).await {
        ends.extend(ended.expect("no panic"));
    }
    assert_eq!(world.all_broken(), Vec::<String>::new());
    println!("{} leases; the lab was away for {away:?}", ends.len());

    // The exporters are free again.
    let free = async {
        loop {
            let exporters = all(folder.path(), "Exporter").await;
            let free = |exporter: &Value| {
                exporter["status"]["leaseRef"].is_null()
                    && exporter["status"]["exporterStatus"] == "Available"
            };
            if exporters.values().all(free) {
                return exporters;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = soon("all exporters are free", free).await;
    let leases = all(folder.path(), "Lease").await;
    let reason = |lease: &Value| {
        let conditions = lease["status"]["conditions"].as_array().expect("conditions");
        let last = conditions.last().expect("a condition");
        assert_eq!((&last["type"], &last["status"]), (&"Ready".into(), &"False".into()), "{lease}");
        assert_eq!(lease["status"]["ended"], true, "{lease}");
        last["reason"].as_str().expect("a reason").to_owned()
    };
    let found: BTreeMap<_, _> = leases.iter().map(|(name, lease)| (name.clone(), reason(lease))).collect();
    let expected: BTreeMap<_, _> = ends.into_iter().map(|(name, end)| (name, end.to_owned())).collect();
    assert_eq!(found, expected);
    // Each was given away once for each lease that had it: the number is raised by the write that gives it.
    for (name, exporter) in &seen {
        let had = leases.values().filter(|lease| lease["status"]["exporterRef"]["name"] == **name).count();
        let epoch = exporter["metadata"]["annotations"]["jumpstarter.dev/lease-epoch"].as_str();
        assert_eq!(epoch, Some(&*had.to_string()), "{exporter}");
    }
    drop(tell);
    rest(exporters);
    lab.kill().await;
    router.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_router_is_killed_both_sides_learn_it_and_the_next_session_goes_another_way() {
    let folder = tempfile::tempdir().expect("a folder");
    share_key(folder.path());
    let router = Process::start("router", folder.path()).await;
    let config = LabConfig::read("lab.yaml", &with_router(&router.address)).expect("a file");
    let settings = Settings { config, ..settings() };
    let opened = Data::open(&data(folder.path())).expect("a folder");
    let serving = Serving::start(opened, &settings).await.expect("it starts");
    let (at, tell) = Lab::at(&serving.endpoint);
    let mut owner = admin(&data(folder.path())).await;
    let rig = at.person("Exporter", "rig", create(&mut owner, "Exporter", "rig").await);
    let me = at.person("Client", "me", create(&mut owner, "Client", "me").await);
    let world = World::new(Some(router.address.clone()));
    let exporter = tokio::spawn(rig.serve(world.clone()));
    me.wish("one", LONG).await.expect("made");
    me.until("one", |lease| lease.exporter.is_some()).await;
    let mut tunnel = me.dial("one", &world).await;
    tunnel.ask(Bytes::from_static(b"hello")).await.expect("an echo");

    let killed = Instant::now();
    router.kill().await;
    let status = soon("the client learns it", tunnel.lost()).await;
    let client = killed.elapsed();
    assert_ne!(status.code(), tonic::Code::Ok, "{status}");
    let told = async {
        while world.all_broken().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("the exporter learns it", told).await;
    println!("the client knew it after {client:?}, the exporter after {:?}", killed.elapsed());

    // The lease is what it was; the next session goes through the lab itself.
    world.uses(&serving.endpoint);
    let mut tunnel = me.dial("one", &world).await;
    tunnel.ask(Bytes::from_static(b"hello")).await.expect("an echo");
    tunnel.end().await.expect("an end");
    drop(tell);
    exporter.abort();
    serving.stop(GRACE).await;
}
