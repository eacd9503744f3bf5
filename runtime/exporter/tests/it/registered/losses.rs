//! Controllers and routers that go, and come back.

use std::sync::Arc;

use jumpstarter_client::ExporterStatus as S;
use jumpstarter_exporter::registered::Ended;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    bench::{Lab, Rig, soon, until},
    leases::PROBE,
};
use crate::drivers::NamedClient;

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_waits_for_a_lab_that_is_started_later_and_for_one_that_is_started_anew() {
    let mut lab = Lab::start().await;
    let text = lab.file(PROBE).await;
    lab.end().await;
    let rig = Rig::start(text);
    rig.linked(false).await;
    lab.begin().await;
    rig.linked(true).await;
    lab.free().await;

    lab.end().await;
    rig.linked(false).await;
    lab.begin().await;
    rig.linked(true).await;
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    until(device.connection(), S::LeaseReady).await;
    assert_eq!(device.client::<NamedClient>("a").unwrap().name().await.unwrap(), "a");
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_the_lab_and_its_client_finds_it_again() {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(PROBE).await);
    lab.free().await;
    let mut me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    until(device.connection(), S::LeaseReady).await;
    lab.end().await;
    rig.linked(false).await;
    soon("the tunnel is cut", async { while device.connection().status().await.is_ok() {} }).await;

    lab.begin().await;
    rig.linked(true).await;
    // What it was told before, and may have forgotten.
    lab.until("Exporter", "rig", |exporter| exporter["status"]["exporterStatus"] == "LeaseReady").await;
    me.channel = lab.client("somebody").await.channel;
    let again = me.device("one").await;
    assert_eq!(again.find("a").unwrap().uuid(), device.find("a").unwrap().uuid(), "it is the same session");
    assert_eq!(again.client::<NamedClient>("a").unwrap().name().await.unwrap(), "a");
    me.give_back("one").await;
    lab.free().await;
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_l16_an_exporter_whose_controller_is_away_ends_all_the_same() {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(PROBE).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    until(&me.connect("one").await, S::LeaseReady).await;
    lab.end().await;
    rig.linked(false).await;
    assert_eq!(rig.stop().await, Ended::Stopped);
}

/// A way to the lab that can be made to swallow everything, without ending a connection.
struct Swallowing {
    open: watch::Sender<bool>,
}

impl Swallowing {
    async fn start(listener: TcpListener, to: Arc<std::sync::OnceLock<std::net::SocketAddr>>) -> Self {
        let open = watch::Sender::new(true);
        let gate = open.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Some(to) = to.get().copied() else { continue };
                let gate = gate.clone();
                tokio::spawn(async move {
                    let far = TcpStream::connect(to).await.expect("the lab");
                    let ((near_read, near_write), (far_read, far_write)) =
                        (near.into_split(), far.into_split());
                    tokio::join!(
                        carry(near_read, far_write, gate.subscribe()),
                        carry(far_read, near_write, gate.subscribe())
                    );
                });
            }
        });
        Self { open }
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_does_not_answer_any_more_is_noticed_and_told_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("localhost:{}", listener.local_addr().unwrap().port());
    let to = Arc::new(std::sync::OnceLock::new());
    let way = Swallowing::start(listener, to.clone()).await;
    let mut lab = Lab::start_behind(Some(place.clone())).await;
    to.set(lab.address).unwrap();
    let rig = Rig::start(lab.file(PROBE).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    until(device.connection(), S::LeaseReady).await;
    way.open.send_replace(false);
    let words =
        format!("the connection to the router at {place} is lost: it has gone, or does not answer any more");
    rig.says(&words).await;
    way.open.send_replace(true);
    let again = me.device("one").await;
    assert_eq!(again.client::<NamedClient>("a").unwrap().name().await.unwrap(), "a");
    rig.stop().await;
    lab.end().await;
}
