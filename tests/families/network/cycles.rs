//! What ten thousand connections leave behind: nothing.
//!
//! Exporter and client run in a process of their own, this same program, where no other test opens files or starts tasks.

use std::{process::Command, time::Duration};

use jumpstarter_client::Device;
use jumpstarter_interfaces::NetworkClient;
use jumpstarter_tests::ours;
use tokio::time::{Instant, sleep};

use super::{entry, file, peers, place};

/// Connections of each kind in the warm-up, and afterwards.
const WARM: usize = 500;
const CYCLES: usize = 10_000;

/// How many are open at the same time.
const AT_ONCE: usize = 8;

/// How much more memory the process may have afterwards: the allocator keeps a little, a leak of only 1 KiB for each
/// connection of one kind would be more.
const SLACK: u64 = 6 << 20;

/// In which time everything that is closed in the background is gone: streams are kept for up to five seconds.
const GRACE: Duration = Duration::from_secs(8);

/// Tells the child that it is one.
const CHILD: &str = "JUMPSTARTER_TEST_CYCLES";

#[test]
fn ten_thousand_connections_leave_descriptors_memory_and_tasks_as_they_were() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("a run time").block_on(cycles());
    }
    let program = std::env::current_exe().expect("this program");
    // The bus is where the environment says; what answers there need not be one.
    let folder = tempfile::Builder::new().prefix("jumpstarter-").tempdir().expect("a folder");
    let bus = folder.path().join("bus");
    let name = "network::cycles::ten_thousand_connections_leave_descriptors_memory_and_tasks_as_they_were";
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture"]).env(CHILD, &bus);
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()));
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[derive(Debug)]
struct Held {
    descriptors: usize,
    tasks: usize,
    resident: u64,
}

fn held() -> Held {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let resident: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    Held { descriptors, tasks, resident: resident << 10 }
}

/// Waits until descriptors and tasks are no more than before.
async fn settled(before: Option<&Held>) -> Held {
    let begun = Instant::now();
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = held();
        let done = match before {
            Some(before) => now.descriptors <= before.descriptors && now.tasks <= before.tasks,
            None => begun.elapsed() > GRACE,
        };
        if done || begun.elapsed() > 4 * GRACE {
            return now;
        }
    }
}

async fn open_and_close(device: &Device, name: &str, count: usize) {
    let workers = (0..AT_ONCE).map(|worker| {
        let network: NetworkClient = device.client(name).expect("a network");
        let device = device.find(name).expect("a network");
        async move {
            for round in (worker..count).step_by(AT_ONCE) {
                // Both wire languages; every third is cut off instead of ended.
                let mut io = if round % 2 == 0 {
                    network.connect().await
                } else {
                    device.open_stream("connect").await
                }
                .unwrap_or_else(|error| panic!("{name}, number {round}: {error}"));
                io.send("hello").await.expect("sent");
                assert_eq!(io.recv().await.expect("an answer").as_deref(), Some(&b"hello"[..]));
                if round % 3 != 0 {
                    io.finish().await.expect("the end");
                }
            }
        }
    });
    futures::future::join_all(workers).await;
}

async fn cycles() {
    let (tcp, udp, websocket) = (peers::tcp(peers::echo).await, peers::udp().await, peers::websocket().await);
    let (unix, bus) = (peers::unix(), std::env::var_os(CHILD).expect("the bus"));
    let _bus = peers::unix_at(bus.as_ref());
    let text = file(&[
        entry("tcp", "TcpNetwork", &place(tcp.address)),
        entry("udp", "UdpNetwork", &place(udp.address)),
        entry("unix", "UnixNetwork", &format!("path: {}", unix.path.display())),
        entry("websocket", "WebsocketNetwork", &format!("url: 'ws://{}/'", websocket.address)),
        entry("echo", "EchoNetwork", ""),
        entry("bus", "DbusNetwork", "kind: session"),
        format!(
            "screen: {{type: jumpstarter_driver_vnc.driver.Vnc, children: {{{}}}}}",
            entry("tcp", "TcpNetwork", &place(tcp.address))
        ),
    ]);
    let exporter = ours::start_text(&text).await;
    let device = exporter.bench().device();
    let names = ["tcp", "udp", "unix", "websocket", "echo", "bus", "screen.tcp"];
    for name in names {
        open_and_close(device, name, WARM).await;
    }
    let before = settled(None).await;
    for name in names {
        open_and_close(device, name, CYCLES).await;
    }
    let after = settled(Some(&before)).await;
    assert!(after.descriptors <= before.descriptors && after.tasks <= before.tasks, "{before:?} {after:?}");
    assert!(after.resident < before.resident + SLACK, "{before:?} {after:?}");
    exporter.stop().await;
}
