//! Reports and the trees they make.

use jumpstarter_client::{Device, ExporterStatus, Status};
use jumpstarter_core::ErrorKind;
use jumpstarter_protocol::v1::{DriverInstanceReport, GetStatusResponse};

use crate::{
    gadget::{ALIAS, CLASS, GADGET, GadgetClient, SERVICE},
    peer::{Peer, report},
};

async fn tree(reports: Vec<DriverInstanceReport>) -> jumpstarter_core::Result<Device> {
    let (connection, _server) = Peer::with(reports).connect().await;
    connection.device().await
}

fn paths(device: &Device) -> Vec<String> {
    device.devices().map(|device| format!("{}={}", device.path(), device.uuid())).collect()
}

#[tokio::test]
async fn a_report_becomes_a_tree_in_the_exporters_order() {
    let mut lamp = report("3", Some("2"), "lamp", CLASS);
    lamp.description = Some("a lamp".to_owned());
    lamp.methods_description.insert("on".to_owned(), "lights it".to_owned());
    let root = tree(vec![
        report("1", None, "", "some.Composite"),
        report("2", Some("1"), "board", "some.Composite"),
        lamp,
        report("4", Some("2"), "alarm", CLASS),
        report("5", Some("1"), "aux", CLASS),
    ])
    .await
    .unwrap();
    assert_eq!(paths(&root), ["=1", "board=2", "board.lamp=3", "board.alarm=4", "aux=5"]);
    let lamp = root.find("board.lamp").unwrap();
    assert_eq!((lamp.name(), lamp.description(), lamp.client_class()), ("lamp", Some("a lamp"), CLASS));
    assert_eq!(lamp.methods_description()["on"], "lights it");
    assert_eq!(lamp.parent().unwrap().path(), "board");
    assert_eq!(lamp.root().uuid(), "1");
    assert!(root.parent().is_none());
    assert_eq!(root.find("").unwrap().uuid(), "1");
}

#[tokio::test]
async fn pitfall_d1_a_parent_is_the_last_report_before_with_its_uuid() {
    let root = tree(vec![
        report("1", None, "", "c"),
        report("2", Some("1"), "board", "c"),
        report("3", Some("2"), "power", "c"),
        report("2", Some("1"), "again", "c"),
        report("3", Some("2"), "power", "c"),
    ])
    .await
    .unwrap();
    assert_eq!(paths(&root), ["=1", "board=2", "board.power=3", "again=2", "again.power=3"]);
}

#[tokio::test]
async fn pitfall_d2_an_empty_parent_or_description_is_none() {
    let mut root = report("1", Some(""), "", "c");
    root.description = Some(String::new());
    let root = tree(vec![root]).await.unwrap();
    assert!(root.parent().is_none());
    assert_eq!(root.description(), None);
}

#[tokio::test]
async fn pitfall_d3_a_device_in_several_places_is_found_in_each() {
    let root = tree(vec![
        report("1", None, "", "c"),
        report("2", Some("1"), "power", CLASS),
        report("3", Some("1"), "board", "c"),
        report("2", Some("3"), "supply", CLASS),
    ])
    .await
    .unwrap();
    assert_eq!(root.find("power").unwrap().uuid(), root.find("board.supply").unwrap().uuid());
    assert!(root.client::<GadgetClient>("board.supply").is_ok());
}

#[tokio::test]
async fn of_two_children_with_one_name_the_later_counts() {
    let reports =
        vec![report("1", None, "", "c"), report("2", Some("1"), "x", "c"), report("3", Some("1"), "x", "c")];
    assert_eq!(paths(&tree(reports).await.unwrap()), ["=1", "x=3"]);
}

#[tokio::test]
async fn reports_that_describe_no_tree_are_refused_with_the_reason() {
    for (reports, reason) in [
        (vec![], "no devices"),
        (vec![report("1", None, "", "c"), report("2", Some("9"), "x", "c")], "comes before its parent 9"),
        (vec![report("1", None, "", "c"), report("2", None, "", "c")], "second root"),
        (vec![report("1", None, "", "c"), report("2", Some("1"), "", "c")], "no name"),
        (vec![report("1", Some("1"), "", "c")], "comes before its parent 1"),
    ] {
        let error = tree(reports).await.unwrap_err();
        assert!(error.message().contains(reason), "{reason}: {error}");
        assert!(error.message().contains("the peer"), "{error}");
    }
}

#[tokio::test]
async fn a_very_deep_report_does_not_exhaust_the_stack() {
    let mut reports = vec![report("0", None, "", "c")];
    for depth in 1..3000 {
        reports.push(report(&depth.to_string(), Some(&(depth - 1).to_string()), "x", "c"));
    }
    assert_eq!(tree(reports).await.unwrap().devices().count(), 3000);
}

#[tokio::test]
async fn an_unknown_device_is_answered_with_those_that_are_there() {
    let root = tree(vec![
        report("1", None, "", "c"),
        report("2", Some("1"), "board", "c"),
        report("3", Some("2"), "power", CLASS),
        report("4", Some("2"), "console", "some.Serial"),
    ])
    .await
    .unwrap();
    let error = root.find("board.powr").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let expected = "`board` has no device `powr`: there is `power`, `console`; did you mean `power`?";
    assert_eq!(error.message(), expected);
    let error = root.find("board.power.x").unwrap_err();
    assert_eq!(error.message(), "`board.power` has no device `x`: it has no devices below it");
    let error = root.find("bord").unwrap_err();
    assert_eq!(error.message(), "the exporter has no device `bord`: there is `board`; did you mean `board`?");

    let error = root.client::<GadgetClient>("board.console").unwrap_err();
    let expected =
        "`board.console` does not provide gadget: it is of class some.Serial; these do: `board.power`";
    assert_eq!(error.message(), expected);
}

#[tokio::test]
async fn a_device_provides_what_its_services_or_its_class_say() {
    let mut by_service = report("2", Some("1"), "a", "another.Class");
    by_service.native_services = vec![SERVICE.to_owned()];
    let mut by_alias = report("3", Some("1"), "b", "another.Class");
    by_alias.native_services = vec![ALIAS.to_owned()];
    let by_class = report("4", Some("1"), "c", CLASS);
    let other = report("5", Some("1"), "d", "another.Class");
    let root = tree(vec![report("1", None, "", "c"), by_service, by_alias, by_class, other]).await.unwrap();
    let provides: Vec<_> = root.children().map(|child| child.provides(&GADGET)).collect();
    assert_eq!(provides, [true, true, true, false]);
}

#[tokio::test]
async fn status_and_end_of_a_session_are_told() {
    let answer = GetStatusResponse {
        status: ExporterStatus::LeaseReady.into(),
        message: Some("ready".to_owned()),
        status_version: 3,
        previous_status: Some(ExporterStatus::Available.into()),
    };
    let (connection, _server) = Peer::legacy().with_status(answer).connect().await;
    let expected = Status {
        status: ExporterStatus::LeaseReady,
        message: "ready".to_owned(),
        version: 3,
        previous: Some(ExporterStatus::Available),
    };
    assert_eq!(connection.status().await.unwrap(), expected);
    let ended = connection.end_session().await.unwrap();
    assert_eq!((ended.begun, ended.message.as_str()), (false, "No active lease context"));

    // An exporter that is too old to have a status.
    let (connection, _server) = Peer::legacy().connect().await;
    assert_eq!(connection.status().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_closed_connection_refuses_calls_and_says_so() {
    let (device, _server) = Peer::legacy().device().await;
    let gadget = GadgetClient::of(&device);
    device.close();
    let error = gadget.on().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Disconnected, "the connection to the peer was closed")
    );
}
