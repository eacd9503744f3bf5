//! What is left behind after many connections.

use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::{
    exporter::{Exporter, Program},
    ours, programs,
};

use super::{counterparts::SerialLine, file, port, soon};

/// Connections.
const CYCLES: usize = 10_000;

/// Connects, says something, and goes.
async fn use_it(serial: &SerialClient, times: usize) {
    for _ in 0..times {
        let mut io = serial.connect().await.expect("a stream");
        io.send("x").await.expect("sent");
        assert_eq!(io.recv().await.expect("an answer").as_deref(), Some(&b"x"[..]));
        io.finish().await.expect("the end");
    }
}

/// What a process holds: descriptors, and memory of its own in KiB.
fn held(id: u32) -> (usize, u64) {
    // `jmp shell` hosts the exporter itself; its child is the command.
    let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).expect("descriptors").count();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a status");
    let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("memory");
    (descriptors, memory.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_leave_descriptors_and_memory_flat() {
    let echo = SerialLine::new().echo();
    let devices = port("device", &echo.path.display().to_string(), "");
    let exporter =
        Exporter::local(&Program::Ours(programs::jmp()), &file(&devices)).await.expect("an exporter");
    let id = exporter.id().expect("it runs");
    let endpoint = Endpoint::parse(&exporter.host()).expect("an address");
    let client = Device::connect(&endpoint, &Options::default()).await.expect("a session");
    let device: SerialClient = client.client("device").expect("a port");
    // Whatever grows once, has grown then.
    use_it(&device, CYCLES / 5).await;
    let before = held(id);
    use_it(&device, CYCLES).await;
    soon(|| {
        let after = held(id);
        // 200 bytes for each connection would be two megabytes.
        let flat = after.0 <= before.0 + 2 && after.1 <= before.1 + 2048;
        if flat { Ok(()) } else { Err(format!("before: {before:?}, after: {after:?}")) }
    })
    .await;
    drop((device, client));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_no_tasks() {
    let echo = SerialLine::new().echo();
    let devices = port("device", &echo.path.display().to_string(), "") + &port("loop", "loop://", "");
    let exporter = ours::start_text(&file(&devices)).await;
    // Of this test's own run time.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for name in ["device", "loop"] {
        let device: SerialClient = exporter.bench().client(name).expect("a port");
        use_it(&device, 10).await;
        let before = tasks();
        use_it(&device, 500).await;
        soon(|| {
            let after = tasks();
            if after <= before + 10 { Ok(()) } else { Err(format!("{name}: {before} tasks, then {after}")) }
        })
        .await;
    }
    exporter.stop().await;
}
