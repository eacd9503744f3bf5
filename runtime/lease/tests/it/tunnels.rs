//! What comes through a tunnel, and what is said when nothing does.

use std::{path::PathBuf, time::Duration};

use jumpstarter_core::ErrorKind;
use jumpstarter_lease::{Held, Socket, Tunnels};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use crate::{
    lab::{Lab, Passage, soon},
    rig::Rig,
};

/// A lab whose exporter leads to a socket of the test, and a lease of it.
struct Line {
    lab: Lab,
    rig: Rig,
    held: Held,
    listener: UnixListener,
}

impl Line {
    async fn new() -> Self {
        let mut lab = Lab::start().await;
        let target: PathBuf = lab.path().join("target");
        let listener = UnixListener::bind(&target).unwrap();
        let rig = lab.rig("rig", &target).await;
        let me = lab.client("me").await;
        let held = lab.held(&me).await;
        Self { lab, rig, held, listener }
    }

    fn tunnels(&self) -> Tunnels {
        Tunnels::new(&self.held, Duration::from_secs(20))
    }

    async fn accept(&self) -> UnixStream {
        soon(self.listener.accept()).await.unwrap().0
    }

    async fn end(self) {
        let _ = soon(self.held.release()).await;
        self.lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_on_its_own() {
    let line = Line::new().await;
    let socket = Socket::open(line.tunnels()).await.unwrap();
    let mut near = UnixStream::connect(socket.path()).await.unwrap();
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut far = line.accept().await;
    let mut heard = String::new();
    soon(far.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "question");
    // The other direction goes on, for as long as it likes.
    let answer = vec![7; 3_000_000];
    let send = async {
        far.write_all(&answer).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let ((), read) = soon(async { tokio::join!(send, near.read_to_end(&mut got)) }).await;
    read.unwrap();
    assert!(got == answer);
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_last_arrives_although_nobody_is_there_any_more() {
    let line = Line::new().await;
    let socket = Socket::open(line.tunnels()).await.unwrap();
    let mut near = UnixStream::connect(socket.path()).await.unwrap();
    near.write_all(b"x").await.unwrap();
    let mut far = line.accept().await;
    // The exporter has said all it had to say; the program goes as soon as its last byte is with the system.
    far.shutdown().await.unwrap();
    let mut nothing = Vec::new();
    soon(near.read_to_end(&mut nothing)).await.unwrap();
    let last = vec![7; 3_000_000];
    let send = async {
        near.write_all(&last).await.unwrap();
        drop(near);
    };
    let mut got = Vec::new();
    let ((), read) = soon(async { tokio::join!(send, far.read_to_end(&mut got)) }).await;
    read.unwrap();
    assert!(got[1..] == last, "{} of {} bytes came", got.len() - 1, last.len());
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_goes_away_is_gone_at_the_exporter_and_the_other_way_round() {
    let line = Line::new().await;
    let socket = Socket::open(line.tunnels()).await.unwrap();
    let mut near = UnixStream::connect(socket.path()).await.unwrap();
    near.write_all(b"x").await.unwrap();
    let mut far = line.accept().await;
    let mut byte = [0];
    soon(far.read_exact(&mut byte)).await.unwrap();
    drop(near);
    assert_eq!(soon(far.read(&mut byte)).await.unwrap_or(0), 0);

    let mut near = UnixStream::connect(socket.path()).await.unwrap();
    near.write_all(b"x").await.unwrap();
    drop(line.accept().await);
    assert_eq!(soon(near.read(&mut byte)).await.unwrap_or(0), 0);

    // Everything ends with the socket, and nothing of it is left.
    let mut near = UnixStream::connect(socket.path()).await.unwrap();
    let path = socket.path();
    drop(socket);
    assert_eq!(soon(near.read(&mut byte)).await.unwrap_or(0), 0);
    assert!(!path.exists() && !path.parent().unwrap().exists());
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_k3_an_exporter_that_does_not_listen_yet_is_waited_for() {
    let mut lab = Lab::start().await;
    let target = lab.path().join("target");
    let listener = UnixListener::bind(&target).unwrap();
    let rig = lab.rig("rig", &target).await;
    rig.listens(false);
    let me = lab.client("me").await;
    let held = lab.held(&me).await;
    // Longer than the lab itself waits for it.
    let impatient = soon(Tunnels::new(&held, Duration::from_secs(1)).open()).await.unwrap_err();
    assert_eq!(impatient.kind(), ErrorKind::Disconnected);
    assert!(impatient.message().contains("not listening on lease"), "{impatient}");

    let patient = Tunnels::new(&held, Duration::from_secs(30));
    let opening = tokio::spawn(async move { patient.open().await });
    rig.listens(true);
    let mut tunnel = soon(opening).await.unwrap().unwrap();
    tunnel.write_all(b"x").await.unwrap();
    tunnel.flush().await.unwrap();
    let mut far = soon(listener.accept()).await.unwrap().0;
    let mut byte = [0];
    soon(far.read_exact(&mut byte)).await.unwrap();
    held.release().await.unwrap();
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_does_not_answer_any_more_is_noticed_and_told_in_words() {
    let line = Line::new().await;
    let mut tunnel = soon(line.tunnels().open()).await.unwrap();
    tunnel.write_all(b"x").await.unwrap();
    tunnel.flush().await.unwrap();
    let _far = line.accept().await;
    line.lab.way.set(Passage::Frozen);
    // Nobody writes: it is noticed all the same.
    let mut byte = [0];
    let lost = tokio::time::timeout(Duration::from_secs(20), tunnel.read(&mut byte)).await;
    let lost = lost.expect("a vanished router is noticed").unwrap_err();
    let router = tunnel.router().to_owned();
    assert_eq!(
        lost.to_string(),
        format!("the connection to the router at {router} was lost: it does not answer any more")
    );
    line.lab.way.set(Passage::Open);
    line.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_gone_is_told_in_words_and_so_is_an_exporter_that_vanished() {
    let line = Line::new().await;
    let mut tunnel = soon(line.tunnels().open()).await.unwrap();
    tunnel.write_all(b"x").await.unwrap();
    tunnel.flush().await.unwrap();
    let _far = line.accept().await;
    let router = tunnel.router().to_owned();
    line.lab.way.set(Passage::Cut);
    let mut byte = [0];
    let lost = soon(tunnel.read(&mut byte)).await.unwrap_err().to_string();
    assert!(lost.starts_with(&format!("the connection to the router at {router} was lost")), "{lost}");
    line.lab.way.set(Passage::Open);
    line.end().await;

    let line = Line::new().await;
    let mut tunnel = soon(line.tunnels().open()).await.unwrap();
    tunnel.write_all(b"x").await.unwrap();
    tunnel.flush().await.unwrap();
    let mut far = line.accept().await;
    soon(far.read_exact(&mut byte)).await.unwrap();
    let Line { lab, rig, held, .. } = line;
    drop(rig);
    assert_eq!(soon(far.read(&mut byte)).await.unwrap_or(0), 0);
    let lost = soon(tunnel.read(&mut byte)).await.unwrap_err().to_string();
    assert!(lost.contains("has lost the exporter"), "{lost}");
    soon(held.release()).await.unwrap();
    lab.stop().await;
}
