//! A VNC server, seen by a page's WebSocket through both implementations.

use std::{net::SocketAddr, path::Path, process::Stdio};

use futures::{SinkExt, StreamExt};
use jumpstarter_client::{Device, adapters::VncPage};
use jumpstarter_tests::{
    counterparts::{SKIP, counterpart},
    exporter::{Exporter, Program},
    programs,
    python::python,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{connect, entry, file, peers, place};

/// A display of this size.
const SIZE: (u16, u16) = (320, 240);

struct Server {
    address: SocketAddr,
    _child: Child,
    _home: TempDir,
}

impl Server {
    async fn start() -> Option<Self> {
        let program = counterpart("Xtigervnc", "tigervnc-standalone-server")?;
        let address = peers::nobody().await;
        let home = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program)
            .args(["-displayfd", "1", "-localhost", "-SecurityTypes", "None", "-depth", "24"])
            .args(["-rfbport", &address.port().to_string(), "-geometry", &format!("{}x{}", SIZE.0, SIZE.1)])
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a server");
        // It says which display it is when it is ready.
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        lines.next_line().await.expect("its output").expect("its display");
        Some(Self { address, _child: child, _home: home })
    }

    fn file(&self) -> String {
        file(&[format!(
            "screen: {{type: jumpstarter_driver_vnc.driver.Vnc, children: {{{}}}}}",
            entry("tcp", "TcpNetwork", &place(self.address))
        )])
    }
}

/// The beginning of a session (RFC 6143, 7.1 to 7.3.2), as the page's script does it.
async fn shake_hands(bridge: SocketAddr, protocol: Option<&'static str>) {
    let stream = TcpStream::connect(bridge).await.expect("a bridge");
    let mut request = format!("ws://{bridge}/websockify").into_client_request().expect("a request");
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    }
    let (mut socket, _) = client_async(request, stream).await.expect("a WebSocket");
    let mut seen = Vec::new();
    let mut read = async |socket: &mut tokio_tungstenite::WebSocketStream<TcpStream>, size: usize| {
        while seen.len() < size {
            match socket.next().await.expect("more").expect("a message") {
                Message::Binary(data) => seen.extend_from_slice(&data),
                other => panic!("{other:?}"),
            }
        }
        seen.drain(..size).collect::<Vec<u8>>()
    };
    assert_eq!(read(&mut socket, 12).await, b"RFB 003.008\n");
    socket.send(Message::Binary("RFB 003.008\n".into())).await.expect("sent");
    // One kind of security: none.
    assert_eq!(read(&mut socket, 2).await, [1, 1]);
    socket.send(Message::Binary(vec![1].into())).await.expect("sent");
    assert_eq!(read(&mut socket, 4).await, [0; 4]);
    // Shared.
    socket.send(Message::Binary(vec![1].into())).await.expect("sent");
    let display = read(&mut socket, 24).await;
    let number = |at: usize| u16::from_be_bytes([display[at], display[at + 1]]);
    assert_eq!((number(0), number(2)), SIZE);
    socket.close(None).await.expect("closed");
}

async fn page(device: &Device, folder: Option<&Path>) -> VncPage {
    let tcp = device.find("screen.tcp").expect("a connection");
    VncPage::start(&tcp, "connect", folder).await.expect("a page")
}

/// What an HTTP server answers, as it is on the wire.
async fn get(address: SocketAddr, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.expect("a server");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).expect("text"), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_the_screen_behind_either_exporter() {
    let Some(server) = Server::start().await else { return };
    let mut exporters = vec![Program::Ours(programs::jmp())];
    exporters.extend(python().map(Program::Upstream));
    for program in exporters {
        let exporter = Exporter::local(&program, &server.file()).await.expect("an exporter");
        let device = connect(&exporter.address).await;
        let page = page(&device, None).await;
        shake_hands(page.address(), Some("binary")).await;
        // A second one at the same time gets a connection of its own.
        futures::join!(shake_hands(page.address(), None), shake_hands(page.address(), None));
        drop((page, device));
        exporter.stop().await.expect("an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_programs_print_the_same_address() {
    let Some(python) = python() else { return };
    let Some(server) = Server::start().await else { return };
    let jmp = programs::jmp();
    let exporter = Exporter::local(&Program::Ours(jmp.clone()), &server.file()).await.expect("an exporter");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("vnc.html"), "the page").expect("a page");
    for (ours, mut command) in [(true, Command::new(jmp.with_file_name("j"))), (false, python.process("j"))] {
        command.args(["screen", "session", "--no-browser"]);
        if ours {
            command.arg("--novnc").arg(folder.path());
        }
        command.env("JUMPSTARTER_HOST", exporter.host()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("j runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = lines.next_line().await.expect("its output").expect("an address");
        let address = line.split_whitespace().last().expect("an address");
        let (place, query) = address.split_once('?').expect("what the page has to know");
        let parts: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["encrypt", "autoconnect", "reconnect", "host", "port"], "{line}");
        assert_eq!((parts[0].1, parts[1].1, parts[2].1), ("0", "1", "1"), "{line}");
        let bridge: SocketAddr = format!("{}:{}", parts[3].1, parts[4].1).parse().expect("an address");
        if ours {
            assert_eq!(place, format!("http://{bridge}/vnc.html"));
            assert_eq!(get(bridge, "/vnc.html").await.1, b"the page");
        } else {
            assert_eq!(place, "https://novnc.com/noVNC/vnc.html");
        }
        shake_hands(bridge, None).await;
        child.kill().await.expect("stopped");
    }
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_that_of_the_systems_package() {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        return;
    }
    let folder = VncPage::installed().unwrap_or_else(|| {
        panic!("noVNC is needed for this test: apt-get install novnc, or leave these tests out with {SKIP}=1")
    });
    let peer = peers::tcp(peers::echo).await;
    let text = file(&[format!(
        "screen: {{type: vnc, children: {{{}}}}}",
        entry("tcp", "TcpNetwork", &place(peer.address))
    )]);
    let exporter = jumpstarter_tests::ours::start_text(&text).await;
    let page = page(exporter.bench().device(), None).await;
    let address = page.address();
    assert!(page.url(false).starts_with(&format!("http://{address}/vnc.html?")), "{}", page.url(false));
    let (head, _) = get(address, "/").await;
    assert!(head.starts_with("HTTP/1.1 302 ") && head.contains(&page.url(false)), "{head}");
    for (name, kind) in [
        ("vnc.html", "text/html; charset=utf-8"),
        ("core/rfb.js", "text/javascript"),
        ("app/styles/base.css", "text/css"),
    ] {
        let (head, body) = get(address, &format!("/{name}")).await;
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("content-type: {kind}")),
            "{head}"
        );
        assert_eq!(body, std::fs::read(folder.join(name)).expect("a file"), "{name}");
    }
    for path in ["/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/nothing"] {
        let (head, _) = get(address, path).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
    }
    drop(page);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_server_cannot_connect_and_a_failure_is_told() {
    let nobody = peers::nobody().await;
    let text = file(&[format!(
        "screen: {{type: vnc, children: {{{}}}}}",
        entry("tcp", "TcpNetwork", &place(nobody))
    )]);
    let exporter = jumpstarter_tests::ours::start_text(&text).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("vnc.html"), "the page").expect("a page");
    let mut page = page(exporter.bench().device(), Some(folder.path())).await;
    let attempt = async |origin: Option<&'static str>| {
        let mut request = format!("ws://{}/", page.address()).into_client_request().expect("a request");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", HeaderValue::from_static(origin));
        }
        let stream = TcpStream::connect(page.address()).await.expect("a bridge");
        match client_async(request, stream).await {
            Err(tungstenite::Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                (answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(attempt(Some("https://example.com")).await.0, 403);
    let (status, text) = attempt(Some("https://novnc.com")).await;
    assert_eq!(status, 502);
    let said = format!("connecting to {nobody}: Connection refused (os error 111): nothing listens there");
    assert_eq!(text.trim_end(), said);
    assert_eq!(page.failure().await.expect("a failure").error.message(), said);
    let missing = VncPage::start(
        &exporter.bench().device().find("screen.tcp").expect("a connection"),
        "connect",
        Some(Path::new("/nowhere")),
    )
    .await;
    let missing = missing.expect_err("no page is there");
    assert_eq!(missing.message(), "there is no vnc.html in /nowhere: this is no copy of noVNC");
    drop(page);
    exporter.stop().await;
}
