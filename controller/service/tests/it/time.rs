//! What takes a lab minutes, hours and years, by a clock that is moved: nobody waits here.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jumpstarter_api::{Exporter, ExporterState, Lease as Stored};
use jumpstarter_protocol::{
    client::v1::{
        CreateLeaseRequest, GetLeaseRequest, Lease, ListExportersRequest, UpdateLeaseRequest,
        client_service_server::ClientService as _,
    },
    v1::{
        DialRequest, ExporterStatus, ReleaseLeaseRequest, ReportStatusRequest, StatusResponse,
        controller_service_server::ControllerService as _,
    },
};
use tokio::task::JoinHandle;
use tonic::Code;

use super::bench::{Bench, Caller, NAMESPACE, SOON, Told, short};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// An exporter that does its part: it says that it is ready for each lease, and free after it.
fn lives(bench: &Arc<Bench>, rig: &Caller, mut told: Told) -> JoinHandle<()> {
    let (bench, rig) = (bench.clone(), rig.clone());
    tokio::spawn(async move {
        loop {
            let state = told.whenever().await;
            bench
                .report(
                    &rig,
                    if state.leased { ExporterStatus::LeaseReady } else { ExporterStatus::Available },
                )
                .await;
        }
    })
}

/// Waits until an object is as it should be.
async fn until<K>(bench: &Bench, name: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: jumpstarter_service::stored::Stored,
{
    let mut changes = bench.lab.changes::<K>(name);
    let waiting = async {
        loop {
            let object: K = bench.lab.get(name).await.expect("it is there");
            if holds(&object) {
                return object;
            }
            changes.changed().await.expect("the lab goes on");
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{} {name} stays as it is", K::KIND))
}

async fn lease(bench: &Bench, client: &Caller, change: impl FnOnce(&mut Lease)) -> String {
    let mut lease = Lease {
        selector: "board=demo".to_owned(),
        duration: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        ..Lease::default()
    };
    change(&mut lease);
    let request = CreateLeaseRequest {
        parent: format!("namespaces/{NAMESPACE}"),
        lease_id: String::new(),
        lease: Some(lease),
    };
    let made = bench.clients.create_lease(client.asks(request)).await.expect("a lease").into_inner();
    short(&made.name).to_owned()
}

fn has(lease: &Stored) -> bool {
    lease.exporter().is_some()
}

fn reason(lease: &Stored) -> String {
    let conditions = lease.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.last().map(|last| last.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_lease_ends_at_its_time_and_the_exporter_goes_to_whoever_waits() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let (rig, told) = bench.rig("rig", &[("board", "demo")]).await;
    let life = lives(&bench, &rig, told);
    let (first, second) = (bench.client("first").await, bench.client("second").await);
    let one = lease(&bench, &first, |_| {}).await;
    until::<Stored>(&bench, &one, has).await;
    let two = lease(&bench, &second, |_| {}).await;
    clock.advance(59 * MINUTE).await;
    let waits: Stored = bench.lab.get(&two).await.expect("there");
    assert!(!has(&waits));
    let said = bench.lab.conditions(&waits).pop().expect("a condition").message;
    assert!(said.contains("it ends in 1 min") && said.contains("place 1 of 1"), "{said}");
    clock.advance(MINUTE).await;
    let ended = until::<Stored>(&bench, &one, Stored::is_ended).await;
    assert_eq!(reason(&ended), "Expired");
    until::<Stored>(&bench, &two, has).await;
    life.abort();
}

#[tokio::test]
async fn a_lease_that_begins_later_gets_its_exporter_then() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let (rig, told) = bench.rig("rig", &[("board", "demo")]).await;
    let life = lives(&bench, &rig, told);
    let me = bench.client("me").await;
    let begin = (clock.now() + jiff::SignedDuration::from_hours(5)).as_second();
    let later = lease(&bench, &me, |lease| {
        lease.begin_time = Some(prost_types::Timestamp { seconds: begin, nanos: 0 });
    })
    .await;
    // Others may have it until then.
    let before = lease(&bench, &me, |_| {}).await;
    until::<Stored>(&bench, &before, has).await;
    clock.advance(299 * MINUTE).await;
    assert!(!has(&bench.lab.get::<Stored>(&later).await.expect("there")));
    clock.advance(MINUTE).await;
    until::<Stored>(&bench, &later, has).await;
    clock.advance(HOUR).await;
    until::<Stored>(&bench, &later, Stored::is_ended).await;
    life.abort();
}

#[tokio::test]
async fn an_exporter_that_is_not_heard_of_is_offline_and_then_its_lease_is_lost() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let (rig, told) = bench.rig("rig", &[("board", "demo")]).await;
    let life = lives(&bench, &rig, told);
    let me = bench.client("me").await;
    let one = lease(&bench, &me, |_| {}).await;
    until::<Stored>(&bench, &one, has).await;
    clock.advance(10 * MINUTE).await;
    assert!(bench.lab.get::<Exporter>("rig").await.expect("there").is_online());
    // Its machine stops.
    life.abort();
    let _ = life.await;
    clock.advance(MINUTE + Duration::from_secs(15)).await;
    until::<Exporter>(&bench, "rig", |rig| !rig.is_online()).await;
    assert!(!bench.lab.get::<Stored>(&one).await.expect("there").is_ended());
    clock.advance(5 * MINUTE).await;
    let lost = until::<Stored>(&bench, &one, Stored::is_ended).await;
    assert_eq!(reason(&lost), "ExporterLost");
}

/// Looks at a lease.
async fn looks(bench: &Bench, client: &Caller, lease: &str) {
    let name = format!("namespaces/{NAMESPACE}/leases/{lease}");
    bench.clients.get_lease(client.asks(GetLeaseRequest { name })).await.expect("there");
}

#[tokio::test]
async fn a_client_that_holds_its_lease_and_is_gone_loses_it_and_no_other_does() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let mut lives_of = Vec::new();
    for name in ["one", "two", "three"] {
        let (rig, told) = bench.rig(name, &[("board", "demo")]).await;
        lives_of.push(lives(&bench, &rig, told));
    }
    let (me, you) = (bench.client("me").await, bench.client("you").await);
    let held = |lease: &mut Lease| lease.held = Some(true);
    let mine = lease(&bench, &me, held).await;
    let left = lease(&bench, &me, held).await;
    let free = lease(&bench, &me, |_| {}).await;
    let asks = |lease: &str| UpdateLeaseRequest {
        lease: Some(Lease {
            name: format!("namespaces/{NAMESPACE}/leases/{lease}"),
            held: Some(false),
            ..Lease::default()
        }),
        update_mask: None,
    };
    bench.clients.update_lease(me.asks(asks(&left))).await.expect("left");
    for _ in 0..4 {
        clock.advance(2 * MINUTE).await;
        looks(&bench, &me, &mine).await;
    }
    // That others look at it does not count, and neither does that its client looks at others.
    for _ in 0..2 {
        clock.advance(2 * MINUTE).await;
        looks(&bench, &you, &mine).await;
        looks(&bench, &me, &free).await;
    }
    assert!(!bench.lab.get::<Stored>(&mine).await.expect("there").is_ended());
    clock.advance(MINUTE).await;
    assert_eq!(reason(&until::<Stored>(&bench, &mine, Stored::is_ended).await), "ClientLost");
    clock.advance(45 * MINUTE).await;
    for lease in [&left, &free] {
        assert!(!bench.lab.get::<Stored>(lease).await.expect("there").is_ended());
    }
    lives_of.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn an_exporter_that_returns_late_does_nothing_to_the_lease_after_its_own() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let (rig, told) = bench.rig("rig", &[("board", "demo")]).await;
    let life = lives(&bench, &rig, told);
    let (first, second) = (bench.client("first").await, bench.client("second").await);
    let one = lease(&bench, &first, |_| {}).await;
    until::<Exporter>(&bench, "rig", |rig| rig.state().map(ExporterState::name) == Some("LeaseReady")).await;
    let two = lease(&bench, &second, |_| {}).await;
    // Its machine hangs.
    life.abort();
    let _ = life.await;
    clock.advance(7 * MINUTE).await;
    assert_eq!(reason(&until::<Stored>(&bench, &one, Stored::is_ended).await), "ExporterLost");
    assert!(!has(&bench.lab.get::<Stored>(&two).await.expect("there")));

    // It is back, and goes on where it was.
    let mut told = bench.told(&rig).await;
    until::<Stored>(&bench, &two, has).await;
    let gives_back = ReportStatusRequest {
        status: ExporterStatus::AfterLeaseHook.into(),
        release_lease: Some(true),
        ..ReportStatusRequest::default()
    };
    bench.exporters.report_status(rig.asks(gives_back.clone())).await.expect("what it does is written down");
    bench
        .exporters
        .release_lease(rig.asks(ReleaseLeaseRequest { name: one.clone() }))
        .await
        .expect("it is over");
    let refused = bench.exporters.dial(first.asks(DialRequest { lease_name: one })).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    // It hears that the old one is over before it hears of the next.
    assert_eq!(told.next().await, StatusResponse::default());
    bench.exporters.report_status(rig.asks(gives_back.clone())).await.expect("written down");
    assert_eq!(told.next().await.lease_name.as_ref(), Some(&two));
    let goes_on: Stored = bench.lab.get(&two).await.expect("there");
    assert!(!goes_on.spec.release && !goes_on.is_ended());
    // From now on it can mean that one.
    bench.exporters.report_status(rig.asks(gives_back)).await.expect("written down");
    assert_eq!(reason(&until::<Stored>(&bench, &two, Stored::is_ended).await), "Released");
}

#[tokio::test]
async fn an_exporter_that_is_heard_of_for_hours_costs_no_write() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let (rig, told) = bench.rig("rig", &[("board", "demo")]).await;
    let life = lives(&bench, &rig, told);
    until::<Exporter>(&bench, "rig", Exporter::is_online).await;
    clock.advance(MINUTE).await;
    let before = bench.lab.store().revision();
    clock.advance(6 * HOUR).await;
    assert!(bench.lab.get::<Exporter>("rig").await.expect("there").is_online());
    assert_eq!(bench.lab.store().revision(), before);
    life.abort();
}

#[tokio::test]
async fn whoever_dials_an_exporter_that_does_not_get_ready_is_told_so_after_half_a_minute() {
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let (_rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let me = bench.client("me").await;
    let one = lease(&bench, &me, |_| {}).await;
    until::<Stored>(&bench, &one, has).await;
    let dialling = tokio::spawn({
        let (bench, me) = (bench.clone(), me.clone());
        async move { bench.exporters.dial(me.asks(DialRequest { lease_name: one })).await }
    });
    clock.advance(Duration::from_secs(29)).await;
    assert!(!dialling.is_finished());
    clock.advance(Duration::from_secs(2)).await;
    let refused =
        tokio::time::timeout(SOON, dialling).await.expect("in time").expect("no panic").unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "exporter is not ready (status: Available)")
    );
}

#[tokio::test]
async fn a_token_is_good_for_a_year() {
    let (bench, clock) = Bench::standing();
    let me = bench.client("me").await;
    let list = || ListExportersRequest { parent: format!("namespaces/{NAMESPACE}"), ..Default::default() };
    clock.advance(364 * 24 * HOUR).await;
    bench.clients.list_exporters(me.asks(list())).await.expect("it is good");
    clock.advance(24 * HOUR).await;
    let refused = bench.clients.list_exporters(me.asks(list())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown);
    assert!(refused.message().starts_with("oidc: verify token: oidc: token is expired"), "{refused}");
}

#[tokio::test]
async fn many_who_wait_for_few_are_served_in_the_order_in_which_they_came() {
    const EXPORTERS: usize = 5;
    const LEASES: usize = 60;
    let (bench, clock) = Bench::standing();
    let bench = Arc::new(bench);
    let mut lives_of = Vec::new();
    for number in 0..EXPORTERS {
        let (rig, told) = bench.rig(&format!("rig-{number}"), &[("board", "demo")]).await;
        lives_of.push(lives(&bench, &rig, told));
    }
    let me = bench.client("me").await;
    let mut names = Vec::new();
    for _ in 0..LEASES {
        names.push(lease(&bench, &me, |_| {}).await);
        clock.advance(Duration::from_secs(1)).await;
    }
    let served = Arc::new(Mutex::new(Vec::new()));
    let watching: Vec<_> = names
        .iter()
        .map(|name| {
            let (bench, name, served) = (bench.clone(), name.clone(), served.clone());
            tokio::spawn(async move {
                let mut changes = bench.lab.changes::<Stored>(&name);
                while !has(&bench.lab.get::<Stored>(&name).await.expect("there")) {
                    changes.changed().await.expect("the lab goes on");
                }
                let lease: Stored = bench.lab.get(&name).await.expect("there");
                let begin = lease.status.and_then(|status| status.begin_time).expect("it has begun").0;
                served.lock().expect("no panic").push((begin, name));
            })
        })
        .collect();
    let all = async {
        // As long as everybody needs, and some for what happens in between.
        while served.lock().expect("no panic").len() < LEASES {
            clock.advance(MINUTE).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), all).await.expect("everybody is served");
    drop(watching);
    let mut order = served.lock().expect("no panic").clone();
    order.sort();
    // Of those that begin at the same moment, any may come first.
    let place = |name: &String| names.iter().position(|known| known == name).expect("it is one of them");
    for pair in order.windows(2) {
        assert!(pair[0].0 == pair[1].0 || place(&pair[0].1) < place(&pair[1].1), "{order:?}");
    }
    for life in lives_of {
        life.abort();
    }
}
