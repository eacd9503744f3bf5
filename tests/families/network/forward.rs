//! Local ports that lead to a device's network.

use std::{process::Stdio, time::Duration};

use jumpstarter::ErrorKind;
use jumpstarter_client::adapters::{TcpForward, UdpForward, UnixForward};
use jumpstarter_tests::{
    exporter::{Exporter, Program},
    ours, programs,
    python::python,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UdpSocket, UnixStream},
    process::Command,
};

use super::{connect, entry, file, peers, place};

/// Sends a datagram and waits for its answer.
async fn ask(socket: &UdpSocket, question: &[u8]) -> Vec<u8> {
    socket.send(question).await.expect("sent");
    let mut buffer = vec![0; 65_536];
    let size = socket.recv(&mut buffer).await.expect("an answer");
    buffer.truncate(size);
    buffer
}

async fn source(forward: &UdpForward) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(forward.address()).await.expect("a target");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn each_source_of_datagrams_has_a_conversation_of_its_own() {
    let peer = peers::udp().await;
    let mut programs = vec![Program::Ours(programs::jmp())];
    programs.extend(python().map(Program::Upstream));
    for program in programs {
        let ours = matches!(program, Program::Ours(_));
        let text = file(&[entry("udp", "UdpNetwork", &place(peer.address))]);
        let exporter = Exporter::local(&program, &text).await.expect("an exporter");
        let device = connect(&exporter.address).await;
        let forward = UdpForward::local(&device.find("udp").expect("a network")).await.expect("a port");
        let (one, two) = (source(&forward).await, source(&forward).await);
        for round in 0..3 {
            for (socket, name) in [(&one, "one"), (&two, "two")] {
                let question = format!("{name} {round}");
                assert_eq!(ask(socket, question.as_bytes()).await, question.as_bytes());
            }
        }
        // Neither glued nor split.
        let large = vec![7; 9000];
        assert_eq!(ask(&one, &large).await, large);
        if ours {
            // Python sends no empty datagrams.
            assert_eq!(ask(&one, b"").await, b"");
        }
        drop((forward, device));
        exporter.stop().await.expect("an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_conversation_is_over_and_the_next_datagram_begins_another() {
    let peer = peers::udp().await;
    let exporter = ours::start_text(&file(&[entry("udp", "UdpNetwork", &place(peer.address))])).await;
    let device = exporter.bench().device().find("udp").expect("a network");
    let idle = Duration::from_millis(100);
    let forward = UdpForward::bind_with(&device, "connect", ("127.0.0.1", 0), idle).await.expect("a port");
    let socket = source(&forward).await;
    assert_eq!(ask(&socket, b"first").await, b"first");
    // The exporter's side is given back, and comes again.
    let streams = async |wanted: usize| {
        while exporter.bench().exporter().session().activity().streams != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    streams(1).await;
    streams(0).await;
    assert_eq!(ask(&socket, b"second").await, b"second");
    streams(1).await;
    drop((forward, device));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_datagram_is_told_with_its_source() {
    let nobody = peers::nobody().await;
    let exporter = ours::start_text(&file(&[entry("udp", "UdpNetwork", &place(nobody))])).await;
    let device = exporter.bench().device().find("udp").expect("a network");
    let mut forward = UdpForward::local(&device).await.expect("a port");
    let socket = source(&forward).await;
    socket.send(b"anybody?").await.expect("sent");
    let failure = forward.failure().await.expect("a failure");
    assert_eq!(failure.peer, socket.local_addr().expect("an address").to_string());
    let said = format!("{nobody} refuses datagrams: nothing listens there");
    assert!(failure.error.message().ends_with(&said), "{failure}");
    drop((forward, device));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_s2_half_close_goes_through_ports_and_sockets() {
    let peer = peers::tcp(peers::echo).await;
    let mut programs = vec![Program::Ours(programs::jmp())];
    programs.extend(python().map(Program::Upstream));
    for program in programs {
        let text = file(&[entry("tcp", "TcpNetwork", &place(peer.address))]);
        let exporter = Exporter::local(&program, &text).await.expect("an exporter");
        let device = connect(&exporter.address).await;
        let tcp = device.find("tcp").expect("a network");
        let port = TcpForward::local(&tcp).await.expect("a port");
        let socket = UnixForward::local(&tcp).expect("a socket");
        let mut answers = [Vec::new(), Vec::new()];
        let mut stream = TcpStream::connect(port.address()).await.expect("a connection");
        stream.write_all(b"hello").await.expect("sent");
        stream.shutdown().await.expect("the end");
        stream.read_to_end(&mut answers[0]).await.expect("all of the answer");
        let mut stream = UnixStream::connect(socket.path()).await.expect("a connection");
        stream.write_all(b"hello").await.expect("sent");
        stream.shutdown().await.expect("the end");
        stream.read_to_end(&mut answers[1]).await.expect("all of the answer");
        assert_eq!(answers, [b"hellobye", b"hellobye"]);
        drop((port, socket, device));
        exporter.stop().await.expect("an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_is_a_reset_at_the_local_port() {
    let nobody = peers::nobody().await;
    let exporter = ours::start_text(&file(&[entry("tcp", "TcpNetwork", &place(nobody))])).await;
    let device = exporter.bench().device().find("tcp").expect("a network");
    let mut forward = TcpForward::local(&device).await.expect("a port");
    // It may come before `connect` has noticed that it had succeeded.
    let reached = async { TcpStream::connect(forward.address()).await?.read(&mut [0; 1]).await };
    let error = reached.await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let failure = forward.failure().await.expect("a failure").error;
    assert!(failure.message().ends_with("nothing listens there"), "{failure}");
    assert_ne!(failure.kind(), ErrorKind::Internal);
    drop((forward, device));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_programs_forward_with_the_same_words() {
    let Some(python) = python() else { return };
    let peer = peers::tcp(peers::echo).await;
    let datagrams = peers::udp().await;
    let text = file(&[
        entry("tcp", "TcpNetwork", &place(peer.address)),
        entry("udp", "UdpNetwork", &place(datagrams.address)),
    ]);
    let jmp = programs::jmp();
    let exporter = Exporter::local(&Program::Ours(jmp.clone()), &text).await.expect("an exporter");
    let start = async |ours: bool, words: &[&str]| {
        let mut command = if ours { Command::new(jmp.with_file_name("j")) } else { python.process("j") };
        command
            .args(words)
            .env("JUMPSTARTER_HOST", exporter.host())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("j runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = lines.next_line().await.expect("its output").expect("where it listens");
        (child, line)
    };
    let folder = tempfile::Builder::new().prefix("jumpstarter-").tempdir().expect("a folder");
    for ours in [true, false] {
        for words in
            [&["tcp", "forward-tcp", "0"][..], &["tcp", "forward-tcp", "--address", "127.0.0.1", "0"]]
        {
            let (_child, address) = start(ours, words).await;
            let mut stream = TcpStream::connect(&address).await.expect("a connection");
            stream.write_all(b"hello").await.expect("sent");
            stream.shutdown().await.expect("the end");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            assert_eq!(answer, "hellobye", "{address}");
        }
        let path = folder.path().join(if ours { "ours" } else { "python" });
        let (_child, printed) = start(ours, &["tcp", "forward-unix", &path.display().to_string()]).await;
        assert_eq!(printed, path.display().to_string());
        UnixStream::connect(&path).await.expect("a connection");
        let (_child, printed) = start(ours, &["tcp", "forward-unix"]).await;
        UnixStream::connect(&printed).await.expect("a connection");
    }
    let (_child, address) = start(true, &["udp", "forward-udp", "--address", "127.0.0.1", "0"]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(&address).await.expect("a target");
    assert_eq!(ask(&socket, b"hello").await, b"hello");
    exporter.stop().await.expect("an orderly end");
}
