//! Groups and references beside the unmodified Python implementation.

mod faults;

use jumpstarter::Result;
use jumpstarter_interfaces::{NetworkClient, PowerClient};
use jumpstarter_tests::client::Client;
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::methods::{Methods, Pair};
use jumpstarter_tests::ours;
use jumpstarter_tests::python::python;

use crate::shell::{connect, j, seen};
use crate::steady::{Held, alone};

/// Groups in groups; references across, into groups, to groups, and forwards: to what stands further down in the file.
const CONFIG: &str = "
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata: {namespace: default, name: composite}
export:
  first: {ref: rack.shelf.board.power}
  rack:
    type: jumpstarter_driver_composite.driver.Composite
    description: Everything
    children:
      shelf:
        children:
          board:
            children:
              power: {type: jumpstarter_driver_power.driver.MockPower}
              echo: {type: jumpstarter_driver_network.driver.EchoNetwork}
          across: {ref: spare.power}
  spare:
    children:
      power: {type: jumpstarter_driver_power.driver.SyncMockPower}
      neighbour: {ref: rack.shelf.board}
  whole: {ref: rack.shelf}
";

/// Every place of a supply, and those that are the same one.
const SUPPLIES: [&[&str]; 2] = [
    &["first", "rack.shelf.board.power", "spare.neighbour.power", "whole.board.power"],
    &["spare.power", "rack.shelf.across", "whole.across"],
];

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_references_are_the_same_tree_both_ways() {
    let Some(python) = python() else { return };
    let mut methods = Methods::new("composite");
    let exporter = ours::start_text(CONFIG).await;
    let client = Client::new(&python, &exporter.address.to_string());
    let tree = client.check("tree", &[]).await.expect("the check runs").success();
    let code = format!(
        "for places in {SUPPLIES:?}:\n    \
             assert len({{node(place).uuid for place in places}}) == 1, places\n    \
             for place in places:\n        node(place).on()\n        node(place).off()"
    )
    .replace("&[", "[");
    let used = client.python(&code).await.expect("a client");
    let outcome = |used: jumpstarter_tests::client::Outcome| {
        if used.code == Some(0) { Ok(()) } else { Err(used.stderr) }
    };
    methods.works(Pair::PythonOnOurs, "composite", "children", outcome(used.clone()));
    methods.works(Pair::PythonOnOurs, "ref", "children", outcome(used));
    let typed = client.j(&["whole", "across", "on"]).await.expect("j runs");
    methods.works(Pair::PythonOnOurs, "ref", "j CHILD … on", outcome(typed));
    exporter.stop().await;

    let upstream = Exporter::local(&Program::Upstream(python.clone()), CONFIG).await.expect("an exporter");
    let theirs =
        Client::new(&python, &upstream.host()).check("tree", &[]).await.expect("the check runs").success();
    assert_eq!(tree, theirs);
    let device = connect(&upstream.host()).await;
    let used: Result<()> = async {
        for places in SUPPLIES {
            let mut uuids = Vec::new();
            for place in places {
                let power: PowerClient = device.client(place)?;
                power.on().await?;
                power.off().await?;
                uuids.push(device.find(place)?.uuid().to_owned());
            }
            assert!(uuids.windows(2).all(|two| two[0] == two[1]), "{places:?}");
        }
        Ok(())
    }
    .await;
    methods.works(Pair::OursOnPython, "composite", "children", used.clone());
    methods.works(Pair::OursOnPython, "ref", "children", used);
    let typed = j(&upstream.host(), &["whole", "across", "on"]).output().await.expect("j runs");
    methods.works(Pair::OursOnPython, "ref", "j CHILD … on", outcome(typed.into()));
    upstream.stop().await.expect("an orderly end");
    methods.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_nest_on_the_command_line() {
    let exporter = ours::start_text(CONFIG).await;
    let host = exporter.address.to_string();
    let mut text = String::new();
    for words in [
        &["--help"][..],
        &["rack", "--help"],
        &["rack", "shelf", "board", "power", "read"],
        &["whole", "across", "read"],
        &["spare", "neighbour", "nosuch"],
        &["rack", "shelf", "bord"],
    ] {
        text.push_str(&seen(&host, words).await);
    }
    insta::assert_snapshot!("j_composite", text);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_open_and_close_leave_nothing_behind() {
    if !alone("composite::sessions_that_open_and_close_leave_nothing_behind") {
        return;
    }
    for _ in 0..20 {
        ours::start_text(CONFIG).await.stop().await;
    }
    let before = Held::now();
    // A session is a server, a client, seven drivers and a folder: fewer rounds than for calls are enough to see one of them.
    for _ in 0..500 {
        ours::start_text(CONFIG).await.stop().await;
    }
    Held::is_what_it_was(before).await;
}

/// Streams to a device in a group, each by another of its names.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_through_references_leave_nothing_behind() -> Result<()> {
    if !alone("composite::ten_thousand_streams_through_references_leave_nothing_behind") {
        return Ok(());
    }
    let exporter = ours::start_text(CONFIG).await;
    let places = ["rack.shelf.board.echo", "spare.neighbour.echo", "whole.board.echo"];
    let clients = places.map(|place| exporter.bench().client::<NetworkClient>(place).expect("an echo"));
    let rounds = async |count: usize| -> Result<()> {
        for round in 0..count {
            let mut io = clients[round % clients.len()].connect().await?;
            io.send("x").await?;
            assert_eq!(io.recv().await?.as_deref(), Some(&b"x"[..]));
            io.finish().await?;
        }
        Ok(())
    };
    rounds(1_000).await?;
    let before = Held::now();
    rounds(10_000).await?;
    Held::is_what_it_was(before).await;
    exporter.stop().await;
    Ok(())
}
