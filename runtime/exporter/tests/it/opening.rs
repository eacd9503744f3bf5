//! Order, failure and end of a tree of drivers.

use std::sync::Arc;

use jumpstarter::{Client as _, Result};
use jumpstarter_core::instance::Instance;
use jumpstarter_exporter::{check, local::Local, open};
use jumpstarter_session::LogBuffer;

use crate::drivers::{NamedClient, registry, story, told};

fn plan(export: &str) -> jumpstarter_exporter::Plan {
    match check("rig.yaml", &format!("export:\n{export}"), &registry(), |_| None) {
        Ok(plan) => plan,
        Err(problems) => panic!("{}", problems.render()),
    }
}

async fn opened(export: &str) -> Result<Arc<Instance>> {
    open::open(plan(export), LogBuffer::new()).await
}

#[tokio::test]
async fn children_open_before_parents_and_targets_before_references() -> Result<()> {
    let _turn = story().await;
    let root = opened(
        "  pair:\n    type: pair\n    children:\n      first: {ref: box.one}\n      other: {type: probe, config: {name: two}}\n  box:\n    children:\n      one: {type: probe, config: {name: one}}\n",
    )
    .await?;
    let told = told();
    let at = |what: &str| {
        told.iter().position(|step| step == what).unwrap_or_else(|| panic!("{what} in {told:?}"))
    };
    assert!(at("open pair of one+two") > at("open one") && at("open pair of one+two") > at("open two"));
    let pair = NamedClient::from_instance(root.child("pair").expect("pair"))?;
    assert_eq!(pair.name().await?, "one+two");
    // The reference is the same instance under another name.
    let first = root.find("pair.first").expect("a child");
    assert_eq!(first.uuid, root.find("box.one").expect("the target").uuid);
    Ok(())
}

#[tokio::test]
async fn pitfall_d4_children_keep_the_order_of_the_file() -> Result<()> {
    let _turn = story().await;
    let root = opened("  zebra: {type: mute}\n  ant: {type: mute}\n  mole: {type: mute}\n").await?;
    let names: Vec<_> = root.children.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["zebra", "ant", "mole"]);
    Ok(())
}

#[tokio::test]
async fn all_failures_are_reported_and_whatever_opened_is_closed() {
    let _turn = story().await;
    let error = opened(
        "  good: {type: probe, config: {name: good}}\n  bad: {type: probe, config: {name: bad, fail: no cable}}\n  worse: {type: probe, config: {name: worse, fail: no board}}\n",
    )
    .await
    .expect_err("two drivers fail");
    assert!(error.message().contains("2 drivers cannot be opened"), "{error}");
    assert!(
        error.message().contains("export.bad: no cable")
            && error.message().contains("export.worse: no board")
    );
    assert_eq!(told(), ["open good", "close good"]);
}

#[tokio::test]
async fn a_parent_of_a_failed_child_is_not_opened() {
    let _turn = story().await;
    let file = "  pair:\n    type: pair\n    children:\n      first: {type: probe, config: {name: x, fail: no cable}}\n";
    let error = opened(file).await.expect_err("the child fails");
    assert_eq!(error.message(), "export.pair.children.first: no cable");
    assert!(told().is_empty());
}

#[tokio::test]
async fn a_local_exporter_resets_at_the_start_closes_at_the_end_and_leaves_nothing() -> Result<()> {
    let _turn = story().await;
    let local =
        Local::start(plan("  a: {type: probe, config: {name: a}}\n  b: {type: probe, config: {name: b}}\n"))
            .await?;
    let (socket, directory) = (local.socket().to_owned(), local.directory().to_owned());
    assert!(socket.exists());
    assert_eq!(socket.file_name().and_then(|name| name.to_str()), Some("socket@localhost"));
    assert!(local.stop().await.is_empty());
    let told = told();
    assert_eq!(&told[2..4], ["reset a", "reset b"]);
    assert_eq!(&told[4..], ["close b", "close a"]);
    assert!(!directory.exists());
    Ok(())
}
