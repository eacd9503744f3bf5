//! What is left behind after many connections.

use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::{ours, python::python};

use super::{
    counterparts::{Manner, Rfc2217, SerialLine, Server},
    file, port,
};
use crate::steady::{Held, alone};

/// Connections.
const CYCLES: usize = 10_000;

/// Connects, says something, and goes.
pub(super) async fn use_it(serial: &SerialClient, times: usize) {
    for _ in 0..times {
        let mut io = serial.connect().await.expect("a stream");
        io.send("x").await.expect("sent");
        assert_eq!(io.recv().await.expect("an answer").as_deref(), Some(&b"x"[..]));
        io.finish().await.expect("the end");
    }
}

/// Every kind of port that needs no other program; the exporter is in this process, whose tasks are counted as well.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_to_each_kind_of_port_leave_nothing_behind() {
    if !alone("serial::cycles::ten_thousand_connections_to_each_kind_of_port_leave_nothing_behind") {
        return;
    }
    let (echo, spied) = (SerialLine::new().echo(), SerialLine::new().echo());
    let server = Server::start(Manner::Echo).await;
    let devices = port("device", &echo.path.display().to_string(), "")
        + &port("spied", &format!("spy://{}?file=/dev/null", spied.path.display()), "")
        + &port("socket", &format!("socket://{}", server.address), "")
        + &port("loop", "loop://", "");
    let exporter = ours::start_text(&file(&devices)).await;
    for name in ["device", "spied", "socket", "loop"] {
        let device: SerialClient = exporter.bench().client(name).expect("a port");
        use_it(&device, CYCLES / 10).await;
        let before = Held::now();
        use_it(&device, CYCLES).await;
        Held::is_what_it_was(before).await;
    }
    exporter.stop().await;
}

/// Each of these is a negotiation of some ten messages with a server in Python, which takes most of the time.
const NEGOTIATIONS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_negotiations_leave_nothing_behind() {
    if !alone("serial::cycles::hundreds_of_negotiations_leave_nothing_behind") {
        return;
    }
    let Some(python) = python() else { return };
    let mut server = Rfc2217::start(&python, &[]).await;
    let url = format!("rfc2217://{}", server.address);
    let exporter = ours::start_text(&file(&port("remote", &url, ", check_present: false"))).await;
    let device: SerialClient = exporter.bench().client("remote").expect("a port");
    let mut rounds = async |count: usize| {
        for _ in 0..count {
            use_it(&device, 1).await;
            server.until("connection ended").await;
        }
    };
    rounds(NEGOTIATIONS / 10).await;
    let before = Held::now();
    rounds(NEGOTIATIONS).await;
    Held::is_what_it_was(before).await;
    exporter.stop().await;
}
