//! From the wish for an exporter to its end.

use futures::StreamExt as _;
use jumpstarter_protocol::{
    client::v1::{
        CreateLeaseRequest, DeleteLeaseRequest, GetLeaseRequest, Lease, ListExportersRequest,
        ListLeasesRequest, UpdateLeaseRequest, client_service_server::ClientService as _,
    },
    v1::{
        DialRequest, ExporterStatus, ListenRequest, ReleaseLeaseRequest, ReportStatusRequest, StatusResponse,
        UnregisterRequest, controller_service_server::ControllerService as _,
    },
};
use tonic::Code;

use super::bench::{Bench, NAMESPACE, SOON, short};

fn conditions(lease: &Lease) -> Vec<(String, String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    lease
        .conditions
        .iter()
        .map(|condition| (text(&condition.r#type), text(&condition.status), text(&condition.reason)))
        .collect()
}

fn condition(kind: &str, status: &str, reason: &str) -> (String, String, String) {
    (kind.to_owned(), status.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_lease_of_a_free_exporter_is_ready_when_it_is_made_and_a_tunnel_reaches_both_ends() {
    let bench = Bench::new();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    assert_eq!(told.next().await, StatusResponse::default());
    let me = bench.client("me").await;

    let lease = bench.lease(&me, "board=demo").await.expect("a lease");
    assert_eq!(conditions(&lease), [condition("Ready", "True", "Ready")]);
    assert!(lease.conditions[0].observed_generation.is_some());
    assert_eq!(lease.exporter.as_deref(), Some("namespaces/default/exporters/rig"));
    assert_eq!(
        (lease.selector.as_str(), lease.client.as_deref()),
        ("board=demo", Some("namespaces/default/clients/me"))
    );
    assert!(lease.effective_begin_time.is_some() && lease.effective_end_time.is_none());
    let name = short(&lease.name).to_owned();
    assert_eq!(uuid::Uuid::parse_str(&name).expect("a UUID").get_version_num(), 7);

    let leased = told.next().await;
    assert_eq!(
        (leased.leased, leased.lease_name.as_deref(), leased.client_name.as_deref()),
        (true, Some(&*name), Some("me"))
    );
    let mut listening = bench
        .exporters
        .listen(rig.asks(ListenRequest { lease_name: name.clone() }))
        .await
        .expect("it listens")
        .into_inner();
    bench.report(&rig, ExporterStatus::LeaseReady).await;
    let dialled = bench
        .exporters
        .dial(me.asks(DialRequest { lease_name: name.clone() }))
        .await
        .expect("a tunnel")
        .into_inner();
    let heard =
        tokio::time::timeout(SOON, listening.next()).await.expect("in time").expect("one").expect("no error");
    assert_eq!((heard.router_endpoint, heard.router_token), (dialled.router_endpoint, dialled.router_token));

    bench
        .clients
        .delete_lease(me.asks(DeleteLeaseRequest { name: lease.name.clone() }))
        .await
        .expect("deleted");
    // Whoever was answered finds it over.
    let over = bench
        .clients
        .get_lease(me.asks(GetLeaseRequest { name: lease.name.clone() }))
        .await
        .expect("found")
        .into_inner();
    assert_eq!(conditions(&over), [condition("Ready", "False", "Released")]);
    assert!(over.effective_end_time.is_some());
    assert_eq!(told.next().await, StatusResponse::default());
    let again = bench
        .clients
        .delete_lease(me.asks(DeleteLeaseRequest { name: lease.name.clone() }))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert_eq!(again.message(), format!("lease \"{}\" has already been released", lease.name));
}

#[tokio::test]
async fn whoever_waits_is_told_why_and_comes_next() {
    let bench = Bench::new();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let (first, second) = (bench.client("first").await, bench.client("second").await);
    let held = bench.lease(&first, "board=demo").await.expect("a lease");
    told.next().await;
    bench.report(&rig, ExporterStatus::LeaseReady).await;

    let waits = bench.lease(&second, "board=demo").await.expect("a lease");
    assert_eq!(conditions(&waits), [condition("Pending", "True", "NotAvailable")]);
    let message = waits.conditions[0].message.clone().unwrap_or_default();
    assert!(
        message.starts_with("1 exporter matches")
            && message.contains("ends in 10 min")
            && message.contains("place 1 of 1"),
        "{message}"
    );

    bench.clients.delete_lease(first.asks(DeleteLeaseRequest { name: held.name })).await.expect("deleted");
    // The exporter is told that it is free before it is leased again.
    assert_eq!(told.next().await, StatusResponse::default());
    bench.report(&rig, ExporterStatus::Available).await;
    let leased = told.next().await;
    assert_eq!(leased.lease_name.as_deref(), Some(short(&waits.name)));
    let ready = bench
        .clients
        .get_lease(second.asks(GetLeaseRequest { name: waits.name }))
        .await
        .expect("found")
        .into_inner();
    assert_eq!(
        conditions(&ready),
        [condition("Pending", "True", "NotAvailable"), condition("Ready", "True", "Ready")]
    );
}

#[tokio::test]
async fn of_two_that_wait_since_the_same_second_the_first_comes_first_whatever_it_is_called() {
    let (bench, clock) = Bench::standing();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let me = bench.client("me").await;
    let held = bench.lease(&me, "board=demo").await.expect("a lease");
    told.next().await;
    bench.report(&rig, ExporterStatus::LeaseReady).await;
    for (lease_id, position) in [("z", 1), ("y", 2), ("a", 3)] {
        let lease = Lease {
            selector: "board=demo".to_owned(),
            duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            ..Lease::default()
        };
        let request = CreateLeaseRequest {
            parent: format!("namespaces/{NAMESPACE}"),
            lease_id: lease_id.to_owned(),
            lease: Some(lease),
        };
        let waits = bench.clients.create_lease(me.asks(request)).await.expect("a lease").into_inner();
        let message = waits.conditions.last().and_then(|last| last.message.clone()).unwrap_or_default();
        assert!(message.contains(&format!("place {position} of {position}")), "{lease_id}: {message}");
        clock.advance(std::time::Duration::from_millis(1)).await;
    }
    let mut before = held.name;
    for next in ["z", "y", "a"] {
        bench.clients.delete_lease(me.asks(DeleteLeaseRequest { name: before })).await.expect("released");
        assert!(!told.next().await.leased);
        bench.report(&rig, ExporterStatus::Available).await;
        assert_eq!(told.next().await.lease_name.as_deref(), Some(next));
        bench.report(&rig, ExporterStatus::LeaseReady).await;
        before = format!("namespaces/{NAMESPACE}/leases/{next}");
    }
}

#[tokio::test]
async fn what_is_impossible_is_refused_at_once_with_the_reason() {
    let bench = Bench::new();
    let (_rig, _told) = bench.rig("rig", &[("board", "demo")]).await;
    let me = bench.client("me").await;
    let lease = bench.lease(&me, "board=other").await.expect("a lease");
    assert_eq!(conditions(&lease), [condition("Unsatisfiable", "True", "NoAccess")]);
    // It never began, so it has no end: clients would take it for one that was had.
    assert!(lease.effective_end_time.is_none());
    let nothing = bench.lease(&me, "").await.unwrap_err();
    assert_eq!(
        (nothing.code(), nothing.message()),
        (Code::InvalidArgument, "one of selector or exporter_name is required")
    );
    let nonsense = bench.lease(&me, "board==demo").await.unwrap_err();
    assert_eq!(
        (nonsense.code(), nonsense.message()),
        (Code::Unknown, "unsupported label selector operator: ==")
    );
}

#[tokio::test]
async fn an_exporter_gives_its_lease_back_and_says_so_in_both_ways() {
    let bench = Bench::new();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let me = bench.client("me").await;
    for by_report in [false, true] {
        let lease = bench.lease(&me, "board=demo").await.expect("a lease");
        let name = short(&lease.name).to_owned();
        assert!(told.next().await.leased);
        if by_report {
            let status = ExporterStatus::BeforeLeaseHookFailed.into();
            let request = ReportStatusRequest {
                status,
                message: Some("the hook failed".to_owned()),
                release_lease: Some(true),
            };
            bench.exporters.report_status(rig.asks(request)).await.expect("written down");
        } else {
            bench
                .exporters
                .release_lease(rig.asks(ReleaseLeaseRequest { name: name.clone() }))
                .await
                .expect("released");
            // Twice is no error.
            bench.exporters.release_lease(rig.asks(ReleaseLeaseRequest { name })).await.expect("released");
        }
        assert!(!told.next().await.leased);
        bench.report(&rig, ExporterStatus::Available).await;
    }
    let gone = bench
        .exporters
        .release_lease(rig.asks(ReleaseLeaseRequest { name: "none".to_owned() }))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_lease_is_handed_over_and_the_first_client_learns_it_when_it_dials() {
    let bench = Bench::new();
    let (_rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let (first, second) = (bench.client("first").await, bench.client("second").await);
    let lease = bench.lease(&first, "board=demo").await.expect("a lease");
    assert_eq!(told.next().await.client_name.as_deref(), Some("first"));
    let to = |client: &str| UpdateLeaseRequest {
        lease: Some(Lease { name: lease.name.clone(), client: Some(client.to_owned()), ..Lease::default() }),
        update_mask: None,
    };
    let nobody =
        bench.clients.update_lease(first.asks(to("namespaces/default/clients/nobody"))).await.unwrap_err();
    assert!(nobody.message().starts_with("target client not found: "), "{nobody}");
    let theft =
        bench.clients.update_lease(second.asks(to("namespaces/default/clients/second"))).await.unwrap_err();
    assert_eq!((theft.code(), theft.message()), (Code::Unknown, "UpdateLease permission denied"));
    bench
        .clients
        .update_lease(first.asks(to("namespaces/default/clients/second")))
        .await
        .expect("handed over");
    assert_eq!(told.next().await.client_name.as_deref(), Some("second"));
    let name = short(&lease.name).to_owned();
    let lost = bench.exporters.dial(first.asks(DialRequest { lease_name: name })).await.unwrap_err();
    assert_eq!((lost.code(), lost.message()), (Code::Unknown, "permission denied"));
}

#[tokio::test]
async fn an_exporter_that_leaves_in_order_is_offline_at_once() {
    let bench = Bench::new();
    let (rig, _told) = bench.rig("rig", &[("board", "demo")]).await;
    let me = bench.client("me").await;
    bench.report(&rig, ExporterStatus::Offline).await;
    bench
        .exporters
        .unregister(rig.asks(UnregisterRequest { reason: "maintenance".to_owned() }))
        .await
        .expect("gone");
    let list =
        ListExportersRequest { parent: format!("namespaces/{NAMESPACE}"), ..ListExportersRequest::default() };
    let seen = bench.clients.list_exporters(me.asks(list)).await.expect("a list").into_inner().exporters;
    assert_eq!(
        (seen[0].online, seen[0].status_message.as_str(), seen[0].enabled),
        (false, "maintenance", Some(true))
    );
    let lease = bench.lease(&me, "board=demo").await.expect("a lease");
    assert_eq!(conditions(&lease), [condition("Pending", "True", "Offline")]);
}

#[tokio::test]
async fn lists_are_paged_and_filtered_and_hide_what_is_over() {
    let bench = Bench::new();
    let me = bench.client("me").await;
    for number in 0..10 {
        let (board, slot) = (if number < 5 { "a" } else { "b" }, number.to_string());
        bench.exporter(&format!("rig-{number}"), &[("board", board), ("slot", &slot)]).await;
    }
    let list = |filter: &str, page: String| ListExportersRequest {
        parent: format!("namespaces/{NAMESPACE}"),
        page_size: 4,
        page_token: page,
        filter: filter.to_owned(),
        show_hidden_labels: false,
    };
    let (mut names, mut page) = (Vec::new(), String::new());
    loop {
        let answer =
            bench.clients.list_exporters(me.asks(list("", page))).await.expect("a page").into_inner();
        assert!(answer.exporters.len() <= 4);
        names.extend(answer.exporters.into_iter().map(|exporter| short(&exporter.name).to_owned()));
        page = answer.next_page_token;
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..10).map(|number| format!("rig-{number}")).collect::<Vec<_>>());
    let b = bench
        .clients
        .list_exporters(me.asks(list("board=b", String::new())))
        .await
        .expect("a page")
        .into_inner();
    assert_eq!(b.exporters.len(), 4);
    for (filter, wanted) in [
        ("slot>8", &["rig-9"][..]),
        ("slot<1", &["rig-0"]),
        ("board=b,slot<7", &["rig-5", "rig-6"]),
        ("board>1", &[]),
        ("board<1", &[]),
    ] {
        let some = bench.clients.list_exporters(me.asks(list(filter, String::new()))).await;
        let some = some.expect("a page").into_inner().exporters;
        assert_eq!(some.iter().map(|some| short(&some.name)).collect::<Vec<_>>(), wanted, "{filter}");
    }
    let wrong = bench.clients.list_exporters(me.asks(list("slot>x", String::new()))).await.unwrap_err();
    assert_eq!(
        (wrong.code(), wrong.message()),
        (Code::Unknown, "invalid selector: `slot>x`: `x` is not a whole number")
    );
    let wrong = bench.lease(&me, "slot>8").await.unwrap_err();
    assert_eq!((wrong.code(), wrong.message()), (Code::Unknown, "unsupported label selector operator: >"));

    let over = bench.lease(&me, "board=none").await.expect("a lease");
    let pending = bench.lease(&me, "board=a").await.expect("a lease");
    let list = |only_active, filter: &str| ListLeasesRequest {
        parent: format!("namespaces/{NAMESPACE}"),
        only_active,
        filter: filter.to_owned(),
        ..ListLeasesRequest::default()
    };
    // The label follows the end at once, but not in the same write.
    tokio::time::timeout(SOON, async {
        loop {
            let active =
                bench.clients.list_leases(me.asks(list(None, ""))).await.expect("a list").into_inner().leases;
            if active.iter().map(|lease| &lease.name).eq([&pending.name]) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("in time");
    let all =
        bench.clients.list_leases(me.asks(list(Some(false), ""))).await.expect("a list").into_inner().leases;
    assert_eq!(all.len(), 2);
    let none = bench
        .clients
        .list_leases(me.asks(list(Some(false), "board=none")))
        .await
        .expect("a list")
        .into_inner()
        .leases;
    assert_eq!(none.iter().map(|lease| &lease.name).collect::<Vec<_>>(), [&over.name]);
    let tagged = CreateLeaseRequest {
        parent: format!("namespaces/{NAMESPACE}"),
        lease_id: "tagged".to_owned(),
        lease: Some(Lease {
            selector: "board=a".to_owned(),
            duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            tags: [("build".to_owned(), "12".to_owned())].into(),
            ..Lease::default()
        }),
    };
    let tagged = bench.clients.create_lease(me.asks(tagged)).await.expect("a lease").into_inner();
    for (tags, found) in [("build>9", true), ("build>12", false), ("build<100", true), ("other<100", false)] {
        let list = ListLeasesRequest { tag_filter: tags.to_owned(), ..list(Some(false), "") };
        let leases = bench.clients.list_leases(me.asks(list)).await.expect("a list").into_inner().leases;
        let found = if found { vec![&tagged.name] } else { Vec::new() };
        assert_eq!(leases.iter().map(|lease| &lease.name).collect::<Vec<_>>(), found, "{tags}");
    }
    let sized = bench.clients.list_leases(me.asks(list(Some(false), "board>1"))).await.expect("a list");
    assert_eq!(sized.into_inner().leases, []);
}

/// A lease by this client that an exporter with this board listens for, which is never read.
async fn listened(
    bench: &Bench,
    board: &str,
    labels: &[(&str, &str)],
) -> (super::bench::Caller, Lease, impl Sized) {
    let labels = [&[("board", board)], labels].concat();
    let (rig, told) = bench.rig(board, &labels).await;
    let client = bench.client(&format!("of-{board}")).await;
    let lease = bench.lease(&client, &format!("board={board}")).await.expect("a lease");
    assert_eq!(conditions(&lease), [condition("Ready", "True", "Ready")]);
    let listen = ListenRequest { lease_name: short(&lease.name).to_owned() };
    let listening = bench.exporters.listen(rig.asks(listen)).await.expect("it listens").into_inner();
    bench.report(&rig, ExporterStatus::LeaseReady).await;
    (client, lease, (told, listening))
}

#[tokio::test]
async fn tunnels_count_at_their_router_until_their_lease_is_over() {
    let bench = Bench::with_routers(&[("any:1", &[]), ("north:1", &[("site", "north")])]);
    let dialled = async |client: &super::bench::Caller, lease: &Lease| {
        let mut routers = Vec::new();
        for _ in 0..4 {
            let dial = DialRequest { lease_name: short(&lease.name).to_owned() };
            let tunnel = bench.exporters.dial(client.asks(dial)).await.expect("a tunnel").into_inner();
            routers.push(tunnel.router_endpoint);
        }
        routers
    };
    let (one, first, _first) = listened(&bench, "one", &[("site", "north")]).await;
    assert_eq!(dialled(&one, &first).await, ["north:1"; 4]);
    let (two, second, _second) = listened(&bench, "two", &[]).await;
    assert_eq!(dialled(&two, &second).await, ["any:1"; 4]);
    bench
        .clients
        .delete_lease(one.asks(DeleteLeaseRequest { name: first.name.clone() }))
        .await
        .expect("over");
    bench.ended(short(&first.name)).await;
    // What is told of the third one is told after that.
    let (three, third, _third) = listened(&bench, "three", &[]).await;
    assert_eq!(dialled(&three, &third).await, ["north:1"; 4]);
    let refused = bench.exporters.dial(one.asks(DialRequest { lease_name: short(&first.name).to_owned() }));
    let refused = refused.await.expect_err("it is over");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}

#[tokio::test]
async fn an_exporter_that_is_deleted_is_told_so() {
    let bench = Bench::new();
    let (_rig, mut told) = bench.rig("rig", &[]).await;
    told.next().await;
    let key = jumpstarter_store::Key::new("Exporter", NAMESPACE, "rig");
    jumpstarter_store::Store::delete(bench.lab.store(), &key, None).await.expect("deleted");
    let status = told.fails().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unknown, "exporters.jumpstarter.dev \"rig\" not found")
    );
}

#[tokio::test]
async fn a_lease_right_behind_its_exporter_is_never_refused_for_lack_of_it() {
    for _ in 0..50 {
        let bench = Bench::new();
        let me = bench.client("me").await;
        // Nobody waits for the lab here: the lease follows in the same breath.
        bench.exporter("rig", &[("board", "demo")]).await;
        let lease = bench.lease(&me, "board=demo").await.expect("a lease");
        assert_eq!(conditions(&lease), [condition("Pending", "True", "Offline")]);
    }
}

#[tokio::test]
async fn whoever_waits_is_woken_when_the_lab_has_missed_something() {
    // A lab that nobody has begun to follow: what happens in it, no watch sees.
    let bench = Bench::idle();
    bench.client("me").await;
    // Of a client, the lab itself changes nothing.
    let mut changes = bench.lab.changes::<jumpstarter_api::Client>("me");
    assert!(!bench.lab.is_at_work());
    let running = bench.lab.clone();
    let work = tokio::spawn(async move { running.run().await });
    tokio::time::timeout(SOON, changes.changed()).await.expect("in time").expect("the lab goes on");
    assert!(bench.lab.is_at_work());
    work.abort();
}

#[tokio::test]
async fn an_exporter_is_told_that_it_is_free_between_two_leases_however_late_it_listens() {
    let bench = Bench::new();
    let (_rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    assert!(!told.next().await.leased);
    let me = bench.client("me").await;
    let first = bench.lease(&me, "board=demo").await.expect("a lease");
    assert_eq!(told.next().await.lease_name.as_deref(), Some(short(&first.name)));
    bench.clients.delete_lease(me.asks(DeleteLeaseRequest { name: first.name })).await.expect("deleted");
    // It has said nothing but that it is available, so it is given away at once, and has heard nothing yet.
    let second = bench.lease(&me, "board=demo").await.expect("a lease");
    assert_eq!(conditions(&second).last(), Some(&condition("Ready", "True", "Ready")));
    assert_eq!(told.next().await, StatusResponse::default());
    assert_eq!(told.next().await.lease_name.as_deref(), Some(short(&second.name)));
}

#[tokio::test]
async fn calls_that_go_on_end_with_the_token_that_began_them() {
    let bench = Bench::new();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let me = bench.client("me").await;
    let lease = bench.lease(&me, "board=demo").await.expect("a lease");
    told.next().await;
    let listen = ListenRequest { lease_name: short(&lease.name).to_owned() };
    let mut listening = bench.exporters.listen(rig.asks(listen)).await.expect("it listens").into_inner();
    bench
        .lab
        .change::<jumpstarter_api::Exporter>("rig", jumpstarter_store::Durability::Now, |exporter| {
            let mut new = exporter.clone();
            let annotations = new.metadata.annotations.get_or_insert_default();
            annotations.insert(jumpstarter_identity::subject::GENERATION.to_owned(), "1".to_owned());
            Ok(Some(new))
        })
        .await
        .expect("rotated");
    let refused = told.fails().await;
    let heard = tokio::time::timeout(SOON, listening.next()).await.expect("in time").expect("it goes on");
    for status in [refused, heard.expect_err("an error")] {
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().ends_with("the token of this call has been replaced"), "{status}");
    }
    assert!(listening.next().await.is_none());
}

#[tokio::test]
async fn a_good_token_reaches_no_namespace_but_its_own() {
    let bench = Bench::new();
    let (_rig, _told) = bench.rig("rig", &[("board", "demo")]).await;
    let (me, _you) = (bench.client("me").await, bench.client("you").await);
    let lease = bench.lease(&me, "board=demo").await.expect("a lease");
    let elsewhere = |kind: &str, name: &str| format!("namespaces/elsewhere/{kind}/{name}");
    let name = elsewhere("leases", short(&lease.name));
    let parent = "namespaces/elsewhere".to_owned();
    let wish = Lease { selector: "board=demo".to_owned(), ..lease.clone() };
    let update = Lease { name: name.clone(), ..Lease::default() };
    let Bench { clients, .. } = &bench;
    for refused in [
        clients.get_lease(me.asks(GetLeaseRequest { name: name.clone() })).await.err(),
        clients.delete_lease(me.asks(DeleteLeaseRequest { name })).await.err(),
        clients
            .update_lease(me.asks(UpdateLeaseRequest { lease: Some(update), update_mask: None }))
            .await
            .err(),
        clients
            .list_leases(me.asks(ListLeasesRequest { parent: parent.clone(), ..Default::default() }))
            .await
            .err(),
        clients
            .list_exporters(me.asks(ListExportersRequest { parent: parent.clone(), ..Default::default() }))
            .await
            .err(),
        clients
            .create_lease(me.asks(CreateLeaseRequest { parent, lease_id: String::new(), lease: Some(wish) }))
            .await
            .err(),
    ] {
        let refused = refused.expect("a refusal");
        assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "namespace mismatch"));
    }
    // Nor can a lease be handed over to there.
    let there =
        Lease { name: lease.name.clone(), client: Some(elsewhere("clients", "you")), ..Lease::default() };
    let update = UpdateLeaseRequest { lease: Some(there), update_mask: None };
    let refused = clients.update_lease(me.asks(update)).await.expect_err("another namespace");
    let says = "cannot transfer lease to client in different namespace";
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, says));
    let still = clients.get_lease(me.asks(GetLeaseRequest { name: lease.name })).await.expect("there");
    assert_eq!(still.into_inner().client, lease.client);
}
