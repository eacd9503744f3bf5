//! What users see when the other side refuses, resets, stops, is killed or is slow.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use jumpstarter::{Error, Io, Result};
use jumpstarter_client::Device;
use jumpstarter_interfaces::NetworkClient;
use jumpstarter_tests::{
    client::Client,
    exporter::{Exporter, Program},
    helpers::Helper,
    ours, programs,
    python::python,
};
use tokio::{
    io::AsyncReadExt,
    sync::{Notify, mpsc},
};

use super::{bus, connect, entry, file, peers, place};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One conversation that goes wrong.
struct Case {
    node: &'static str,
    what: &'static str,
    /// What is sent, one after the other, each after an answer to the one before.
    said: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { node: "refused", what: "TCP: nothing listens there", said: &[] },
    Case { node: "unknown", what: "TCP: the name cannot be resolved", said: &[] },
    Case { node: "reset", what: "TCP: a reset in the middle", said: &["go"] },
    Case { node: "ended", what: "TCP: an end in the middle", said: &["go"] },
    Case { node: "silent", what: "UDP: nothing listens there", said: &["anybody?"] },
    Case { node: "udp", what: "UDP: the peer goes away", said: &["quit", "still there?"] },
    Case { node: "missing", what: "unix: there is no socket", said: &[] },
    Case { node: "file", what: "unix: there is something else", said: &[] },
    Case { node: "no_server", what: "WebSocket: nothing listens there", said: &[] },
    Case { node: "web", what: "WebSocket: the server has none", said: &[] },
    Case { node: "websocket", what: "WebSocket: closed with 1000", said: &["close 1000"] },
    Case { node: "websocket", what: "WebSocket: closed with 1001", said: &["close 1001"] },
    Case { node: "websocket", what: "WebSocket: closed with 1011", said: &["close 1011"] },
    Case { node: "websocket", what: "WebSocket: closed with 4000", said: &["close 4000"] },
    Case { node: "websocket", what: "WebSocket: gone without a word", said: &["leave"] },
    Case { node: "websocket", what: "WebSocket: reset", said: &["vanish"] },
];

/// The end of a conversation.
async fn outcome(opened: Result<Io>, said: &[&str]) -> String {
    let mut got = String::new();
    let ending = async {
        let mut io = opened?;
        for words in said {
            // A peer that is gone is for the reader to tell.
            let _ = io.send(Bytes::copy_from_slice(words.as_bytes())).await;
            if said.len() > 1
                && let Some(piece) = io.recv().await?
            {
                write!(got, "{} · ", String::from_utf8_lossy(&piece)).expect("a string");
            }
        }
        while let Some(piece) = io.recv().await? {
            write!(got, "{} · ", String::from_utf8_lossy(&piece)).expect("a string");
        }
        Ok::<_, Error>(())
    };
    let ending = tokio::time::timeout(PATIENCE, ending).await.expect("it ends");
    match ending {
        Ok(()) => format!("{got}end"),
        Err(error) => format!("{got}{:?}: {error}", error.kind()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_is_told_apart() {
    let (reset, nobody) = (peers::tcp(peers::reset).await, peers::nobody().await);
    let ended = peers::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"half of ").await;
    })
    .await;
    let (udp, websocket) = (peers::udp().await, peers::websocket().await);
    let web = Helper::web(b"a page").await.expect("a helper");
    let folder = tempfile::Builder::new().prefix("jumpstarter-").tempdir().expect("a folder");
    let there = folder.path().join("file");
    std::fs::write(&there, "").expect("a file");
    let text = file(&[
        entry("refused", "TcpNetwork", &place(nobody)),
        entry("unknown", "TcpNetwork", "host: no-such-host.invalid, port: 22"),
        entry("reset", "TcpNetwork", &place(reset.address)),
        entry("ended", "TcpNetwork", &place(ended.address)),
        entry("silent", "UdpNetwork", &place(nobody)),
        entry("udp", "UdpNetwork", &place(udp.address)),
        entry("missing", "UnixNetwork", &format!("path: {}", folder.path().join("missing").display())),
        entry("file", "UnixNetwork", &format!("path: {}", there.display())),
        entry("no_server", "WebsocketNetwork", &format!("url: 'ws://{nobody}/'")),
        entry("web", "WebsocketNetwork", &format!("url: 'ws://{}/'", web.address)),
        entry("websocket", "WebsocketNetwork", &format!("url: 'ws://{}/'", websocket.address)),
    ]);
    let exporter = ours::start_text(&text).await;
    let device: &Device = exporter.bench().device();
    // Ports and folders are others each time.
    let settled = |text: String| {
        let ports = regex::Regex::new(r"127\.0\.0\.1:\d+").expect("a pattern");
        let text = text.replace(&folder.path().display().to_string(), "…");
        // Resolvers of different systems have different words.
        let text = match text.split_once("cannot be resolved: ") {
            Some((before, _)) => format!("{before}cannot be resolved: …"),
            None => text,
        };
        ports.replace_all(&text, "127.0.0.1:…").into_owned()
    };
    let mut seen = String::new();
    let python = python();
    for case in CASES {
        // This peer goes away only once.
        let once = case.said.first() == Some(&"quit");
        let network: NetworkClient = device.client(case.node).expect("a network");
        let native = settled(outcome(network.connect().await, case.said).await);
        writeln!(seen, "{}\n  native:   {native}", case.what).expect("a string");
        if once {
            continue;
        }
        let opened = device.find(case.node).expect("a network").open_stream("connect").await;
        let upstream = settled(outcome(opened, case.said).await);
        writeln!(seen, "  upstream: {upstream}").expect("a string");
        // The words reach users of the Python client, too.
        if let Some(python) = &python
            && case.said.len() < 2
        {
            let client = Client::new(python, &exporter.address.to_string());
            let send: Vec<_> = case.said.iter().map(|words| format!("send:{words}")).collect();
            let mut words = vec![case.node];
            words.extend(send.iter().map(String::as_str));
            words.push("broken");
            let told = client.check("stream", &words).await.expect("python runs").success();
            let wanted = upstream.rsplit(" · ").next().unwrap_or_default();
            // Ours says of a stream that had begun that it was lost.
            let told = settled(told);
            assert!(wanted.ends_with(&told), "{}: {told:?} and {wanted:?}", case.what);
        }
    }
    insta::assert_snapshot!("every_way_to_fail", seen);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_s1_a_caller_that_is_cut_off_is_a_reset_for_the_peer_and_no_end() {
    let (report, mut reports) = mpsc::channel(4);
    let peer = peers::tcp(move |mut stream| {
        let report = report.clone();
        async move {
            let mut content = Vec::new();
            let result = stream.read_to_end(&mut content).await;
            let told = result.map(|_| content).map_err(|error| error.kind());
            let _ = report.send(told).await;
        }
    })
    .await;
    let exporter = ours::start_text(&file(&[entry("tcp", "TcpNetwork", &place(peer.address))])).await;
    let device = exporter.bench().device();
    let network: NetworkClient = device.client("tcp").expect("a network");
    for native in [true, false] {
        let open = async || {
            if native {
                network.connect().await
            } else {
                device.find("tcp").expect("a network").open_stream("connect").await
            }
        };
        let mut whole = open().await.expect("a stream");
        whole.send("all of it").await.expect("sent");
        whole.finish().await.expect("the end");
        assert_eq!(reports.recv().await.expect("a report"), Ok(b"all of it".to_vec()));
        let mut cut = open().await.expect("a stream");
        cut.send("half").await.expect("sent");
        drop(cut);
        assert_eq!(reports.recv().await.expect("a report"), Err(std::io::ErrorKind::ConnectionReset));
    }
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_s7_a_slow_peer_stalls_its_own_stream_and_nothing_is_lost() {
    /// More than all queues on the way can hold.
    const PIECES: usize = 2048;
    const PIECE: usize = 64 * 1024;
    let go = Arc::new(Notify::new());
    let (count, mut counted) = mpsc::channel(1);
    let waiting = go.clone();
    let slow = peers::tcp(move |mut stream| {
        let (go, count) = (waiting.clone(), count.clone());
        async move {
            go.notified().await;
            let mut sink = tokio::io::sink();
            let _ = count.send(tokio::io::copy(&mut stream, &mut sink).await).await;
        }
    })
    .await;
    let quick = peers::tcp(peers::echo).await;
    let text = file(&[
        entry("slow", "TcpNetwork", &place(slow.address)),
        entry("quick", "TcpNetwork", &place(quick.address)),
    ]);
    let exporter = ours::start_text(&text).await;
    let device = exporter.bench().device();
    let network: NetworkClient = device.client("slow").expect("a network");
    let mut io = network.connect().await.expect("a stream");
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = tokio::spawn({
        let sent = sent.clone();
        async move {
            let piece = Bytes::from(vec![7; PIECE]);
            for _ in 0..PIECES {
                io.send(piece.clone()).await?;
                sent.fetch_add(1, SeqCst);
            }
            io.finish().await?;
            Ok::<_, std::io::Error>(io)
        }
    });
    // Until the sender waits.
    let waits = async {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = sent.load(SeqCst);
            if now > 0 && now == before {
                return;
            }
            before = now;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("it has to wait");
    let stalled = sent.load(SeqCst);
    assert!(stalled < PIECES / 2, "{stalled} of {PIECES} pieces went somewhere");
    // Others on the same connection go on.
    let network: NetworkClient = device.client("quick").expect("a network");
    let mut other = network.connect().await.expect("a stream");
    other.send("hello").await.expect("sent");
    assert_eq!(other.recv().await.expect("an answer").as_deref(), Some(&b"hello"[..]));
    go.notify_one();
    let arrived = counted.recv().await.expect("a count").expect("a clean end");
    assert_eq!(arrived, (PIECES * PIECE) as u64);
    drop(sender.await.expect("no panic").expect("everything is sent"));
    drop(other);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_stopped_goes_on_and_one_that_is_killed_ends() {
    let Some(mut daemon) = bus::Daemon::start().await else { return };
    let path = daemon.environment()[0].1.trim_start_matches("unix:path=").to_owned();
    let text = file(&[
        entry("unix", "UnixNetwork", &format!("path: {path}")),
        entry("bus", "DbusNetwork", "kind: session"),
    ]);
    let program = Program::Ours(programs::jmp());
    let exporter = Exporter::local_with(&program, &text, &daemon.environment()).await.expect("an exporter");
    let device = connect(&exporter.address).await;
    let id = daemon.child.id().expect("it runs").to_string();
    // The bus says how one can introduce oneself (D-Bus specification, "Authentication Protocol").
    let mut streams = Vec::new();
    for node in ["unix", "bus"] {
        let network: NetworkClient = device.client(node).expect("a network");
        let mut io = network.connect().await.expect("a stream");
        io.send("\0AUTH\r\n").await.expect("sent");
        let answer = io.recv().await.expect("an answer").expect("no end");
        assert!(answer.starts_with(b"REJECTED EXTERNAL"), "{answer:?}");
        streams.push((node, network, io));
    }
    let mut told = String::new();
    crate::shell::stop(&id).await;
    for (node, _, io) in &mut streams {
        io.send("AUTH\r\n").await.expect("sent all the same");
        let nothing = tokio::time::timeout(Duration::from_millis(200), io.recv()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        writeln!(told, "{node}, stopped: nothing comes").expect("a string");
    }
    crate::shell::signal(&id, "CONT");
    for (node, _, io) in &mut streams {
        let answer = io.recv().await.expect("an answer").expect("no end");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let word = answer.split_whitespace().next().unwrap_or_default();
        writeln!(told, "{node}, going on: {word}").expect("a string");
    }
    crate::shell::signal(&id, "KILL");
    daemon.child.wait().await.expect("it has ended");
    for (node, network, mut io) in streams {
        // The kernel closes what a process leaves behind: an end, and the next connection is refused.
        assert_eq!(io.recv().await.expect("an end"), None);
        let error = network.connect().await.expect_err("nobody listens");
        let text = error.to_string().replace(&path, "PATH");
        writeln!(told, "{node}, killed: the stream ends; then {:?}: {text}", error.kind()).expect("a string");
    }
    insta::assert_snapshot!("stopped_and_killed", told);
    exporter.stop().await.expect("an orderly end");
}
