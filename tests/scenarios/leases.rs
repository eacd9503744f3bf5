//! Leases: made, found, changed, handed on, ended.

use jumpstarter_tests::lab::{PATIENCE, log};
use serde_json::{Value, json};

use crate::{Mix, Scene, said, scenarios};

scenarios! {
    crate::CLIENTS:
        leases_are_made_filtered_changed_and_deleted
        lists_longer_than_a_page_are_read_to_the_end;
    crate::MIXES:
        an_exporter_is_leased_by_its_name_and_by_both_and_a_name_that_is_none_fails_at_once
        several_take_turns_on_one_exporter
        whoever_waits_gets_the_exporter_when_it_frees_and_a_lease_can_be_handed_on;
}

/// Names of what a list has, in its order.
fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list[key].as_array().unwrap_or_else(|| panic!("no {key} in {list}"));
    items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

async fn leases_are_made_filtered_changed_and_deleted(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let mut rig = scene.exporter("rig", json!({ "board": "demo", "site": "a" }), json!({})).await;
    scene.client("alice").await;

    let shown =
        scene.said("alice", &["get", "exporters", "-o", "json", "--with", "online,status"]).await.json();
    assert_eq!(names(&shown, "exporters"), ["rig"]);
    assert_eq!(shown["exporters"][0]["online"], true, "{shown}");
    for (selector, expected) in
        [("board=demo", 1), ("site!=a", 0), ("!site", 0), ("board in (demo,x),site", 1)]
    {
        let found = scene.said("alice", &["get", "exporters", "-o", "name", "-l", selector]).await.ok();
        assert_eq!(found.lines().count(), expected, "{selector}: {found}");
    }

    let make =
        ["create", "lease", "-l", "board=demo", "--duration", "1h", "--lease-id", "one", "--tag", "build=7"];
    scene.said("alice", &make).await.ok();
    // It is in nobody's way that a second one waits.
    scene
        .said("alice", &["create", "lease", "-l", "board=demo", "--duration", "1h", "--lease-id", "two"])
        .await
        .ok();
    let again = scene.said("alice", &make).await.failed();
    assert!(again.contains("already exists"), "{again}");
    let leases = scene.said("alice", &["get", "leases", "-o", "json"]).await.json();
    assert_eq!(names(&leases, "leases"), ["one", "two"]);
    assert_eq!(leases["leases"][0]["exporter"], "rig", "{leases}");
    assert_eq!(leases["leases"][0]["tags"]["build"], "7", "{leases}");
    let table = scene.said("alice", &["get", "leases"]).await.ok();
    assert!(table.contains("EXPIRES AT") && table.contains("REMAINING"), "{table}");
    for (filter, expected) in [("build=7", 1), ("build=8", 0), ("!build", 1)] {
        let found = scene.said("alice", &["get", "leases", "-o", "name", "--tag-filter", filter]).await.ok();
        assert_eq!(found.lines().filter(|line| !line.is_empty()).count(), expected, "{filter}: {found}");
    }

    let longer =
        scene.said("alice", &["update", "lease", "one", "--duration", "2h", "-o", "json"]).await.json();
    assert!(
        longer.to_string().contains("7200")
            || longer.to_string().contains("2:00:00")
            || longer.to_string().contains("PT2H"),
        "{longer}"
    );
    scene.said("alice", &["delete", "leases", "one"]).await.ok();
    // The one that waited has it now, without anybody asking.
    scene.lab.until("Lease", "two", |lease| lease["status"]["exporterRef"]["name"] == "rig").await;
    let ended = scene.said("alice", &["get", "leases", "-o", "name", "--all"]).await.ok();
    assert_eq!(ended.lines().count(), 2, "{ended}");
    scene.said("alice", &["delete", "leases", "--all"]).await.ok();
    let left = scene.said("alice", &["get", "leases", "-o", "name"]).await.ok();
    assert_eq!(left.trim(), "", "{left}");
    scene.free("rig").await;
    rig.start_kill().expect("a signal");
    scene.stop().await;
}

async fn lists_longer_than_a_page_are_read_to_the_end(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    scene.client("alice").await;
    let mut expected = Vec::new();
    // Upstream's client asks for 100 at a time.
    for number in 0..201 {
        let name = format!("rig-{number:03}");
        scene.lab.create("Exporter", &name, json!({})).await;
        expected.push(name);
    }
    let shown = scene.said("alice", &["get", "exporters", "-o", "json"]).await.json();
    assert_eq!(names(&shown, "exporters"), expected);
    scene.stop().await;
}

async fn an_exporter_is_leased_by_its_name_and_by_both_and_a_name_that_is_none_fails_at_once(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let mut rigs = Vec::new();
    for (name, site) in [("east", "a"), ("west", "b")] {
        let labels = json!({ "board": "demo", "site": site });
        rigs.push(scene.exporter(name, labels, json!({})).await);
    }
    scene.client("alice").await;
    for choice in [&["--name", "west"][..], &["--name", "west", "--selector", "board=demo"]] {
        let words = [&["shell"], choice, &["--", "j", "power", "on"]].concat();
        scene.said("alice", &words).await.ok();
        scene.free("west").await;
    }
    assert!(log(&scene.lab, "west").contains("power on"));
    assert!(!log(&scene.lab, "east").contains("power on"));
    for (choice, why) in [
        (&["--name", "north"][..], "north"),
        (&["--name", "west", "--selector", "site=a"], "west"),
        (&["--selector", "board=none"], "match"),
    ] {
        // Waiting would take as long as somebody's lease, and nobody here has so much patience.
        let words = [&["shell"], choice, &["--", "true"]].concat();
        let refused = scene.said("alice", &words).await.failed();
        assert!(refused.contains(why), "{choice:?}: {refused}");
    }
    drop(rigs);
    scene.stop().await;
}

async fn several_take_turns_on_one_exporter(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let hooks = json!({ "hooks": {
        "beforeLease": { "script": "echo begins-$LEASE_NAME" }, "afterLease": { "script": "echo ends-$LEASE_NAME" },
    } });
    let rig = scene.rig(hooks).await;
    let names = ["alice", "bob", "carol"];
    for name in names {
        scene.client(name).await;
    }
    let words = ["shell", "--selector", "board=demo", "--", "j", "power", "on"];
    for said in futures::future::join_all(names.map(|name| scene.said(name, &words))).await {
        said.ok();
    }
    scene.free("rig").await;
    let exporter = scene.lab.object("Exporter", "rig").await;
    assert_eq!(exporter["metadata"]["annotations"]["jumpstarter.dev/lease-epoch"], "3", "{exporter}");
    // One after the other, and nobody's hook ran twice or in another's time.
    let log = scene.log();
    let marks: Vec<_> = log
        .split(|char: char| char.is_whitespace() || "\":".contains(char))
        .filter(|word| word.starts_with("begins-0") || word.starts_with("ends-0"))
        .collect();
    assert_eq!(marks.len(), 6, "{marks:?}\n{log}");
    for pair in marks.chunks(2) {
        assert_eq!(pair[0].strip_prefix("begins-"), pair[1].strip_prefix("ends-"), "{marks:?}");
    }
    scene.end(rig).await;
}

async fn whoever_waits_gets_the_exporter_when_it_frees_and_a_lease_can_be_handed_on(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let rig = scene.rig(json!({})).await;
    for name in ["alice", "bob"] {
        scene.client(name).await;
    }
    scene
        .said("alice", &["create", "lease", "-l", "board=demo", "--duration", "1h", "--lease-id", "one"])
        .await
        .ok();
    let waiting = tokio::spawn(said(
        scene.jmp("bob", &["shell", "--selector", "board=demo", "--", "j", "power", "on"]),
    ));
    // There is one that waits, and it says why: a lease is written first and decided on right after, so that
    // whoever asks in between finds one that nothing has been said about.
    let found = async {
        loop {
            let leases = scene.said("bob", &["get", "leases", "-o", "json", "--all-clients"]).await.json();
            let mut waits = leases["leases"].as_array().expect("a list").iter();
            let decided = |lease: &&Value| lease["conditions"].as_array().is_some_and(|all| !all.is_empty());
            if let Some(one) = waits.find(|lease| lease["client"] == "bob" && decided(lease)) {
                return one.clone();
            }
        }
    };
    let one = tokio::time::timeout(PATIENCE, found).await.expect("it is there");
    assert!(one["exporter"].is_null() || one["exporter"] == "", "{one}");
    assert!(one.to_string().contains("leased to another; it ends in 1 h; place 1 of 1"), "{one}");

    // It is Alice's, until she gives it to Bob; a third one may not.
    let moved =
        scene.said("alice", &["update", "lease", "one", "--to-client", "bob", "-o", "json"]).await.json();
    assert_eq!(moved["client"], "bob", "{moved}");
    let denied = scene.said("alice", &["delete", "leases", "one"]).await.failed();
    let words = ["permission denied", "lease \"one\" belongs to another client"];
    assert!(words.iter().any(|words| denied.contains(words)), "{denied}");
    scene.said("bob", &["shell", "--lease", "one", "--", "j", "power", "on"]).await.ok();
    let refused = scene.said("alice", &["shell", "--lease", "one", "--", "j", "power", "on"]).await.failed();
    assert!(refused.contains("bob"), "{refused}");
    scene.said("bob", &["delete", "leases", "one"]).await.ok();
    waiting.await.expect("it went on").ok();
    scene.free("rig").await;
    drop(rig);
    scene.stop().await;
}
