//! The demultiplexer: a program of ours that speaks as NVIDIA's does stands for it.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use jumpstarter::ErrorKind;
use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::{
    client::Client,
    exporter::{Exporter, Program},
    methods::{Methods, Pair},
    ours, programs,
    python::{Python, python},
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{PATIENCE, echoes, file, methods::run};
use crate::steady::{Held, alone};

/// All consoles of a process share one demultiplexer, so these tests wait for each other.
static ONE: Mutex<()> = Mutex::const_new(());

/// A folder with a device, and a demultiplexer that echoes on two consoles. It notes its starts and its arguments in `starts`,
/// and its end in `ends`; while there is a file `locked`, it finds the device locked.
struct Demultiplexer {
    folder: TempDir,
    program: PathBuf,
}

impl Demultiplexer {
    fn new(python: &Python) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("nv_tcu_demuxer");
        let text = format!(
            "#!{}\n{}",
            python.program("python").display(),
            r#"
import os, pty, select, signal, sys, tty
folder = os.path.dirname(os.path.abspath(__file__))
def note(name, text):
    with open(os.path.join(folder, name), "a") as file:
        file.write(text + "\n")
def end(*_):
    note("ends", str(os.getpid()))
    os._exit(0)
signal.signal(signal.SIGTERM, end)
note("starts", " ".join([str(os.getpid())] + sys.argv[1:]))
if os.path.exists(os.path.join(folder, "locked")):
    print("ERROR: unable to obtain file lock", file=sys.stderr, flush=True)
    sys.exit(1)
masters, kept = [], []
for target in ["CCPLEX: 0", "BPMP: 1"]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    masters.append(master); kept.append(slave)
    print(os.ttyname(slave) + "\t" + target, flush=True)
while True:
    for master in select.select(masters, [], [])[0]:
        data = os.read(master, 1024)
        if b"die" in data:
            sys.exit(7)
        os.write(master, data)
"#
        );
        std::fs::write(&program, text).expect("a program");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
        std::fs::write(folder.path().join("tegra-if01"), "").expect("a device");
        Self { folder, program }
    }

    fn node(&self, name: &str, more: &str) -> String {
        format!(
            "  {name}:\n    type: jumpstarter_driver_pyserial.nvdemux.driver.NVDemuxSerial\n    config:\n      \
             demuxer_path: {}\n      device: {}\n      poll_interval: 0.05\n{more}",
            self.program.display(),
            self.folder.path().join("tegra-*").display()
        )
    }

    fn noted(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

const OTHER: &str = "      target: 'BPMP: 1'\n";

pub(super) async fn both_ways(methods: &mut Methods, python: &Python) {
    const DRIVER: &str = "nvdemux-serial";
    let _one = ONE.lock().await;
    let demultiplexer = Demultiplexer::new(python);
    let config = file(&(demultiplexer.node("main", "") + &demultiplexer.node("other", OTHER)));
    let exporter = ours::start_text(&config).await;
    let client = Client::new(python, &exporter.address.to_string());
    let code = "for name in ['main', 'other']:\n    with node(name).pexpect() as session:\n        session.sendline('ping')\n        session.expect('ping', timeout=20)\n";
    methods.works(Pair::PythonOnOurs, DRIVER, "connect", run(&client, code).await);
    methods.works(Pair::PythonOnOurs, DRIVER, "close", run(&client, "node('main').call('close')").await);
    for line in ["set_dtr", "set_rts"] {
        let error = run(&client, &format!("node('main').call('{line}', True)")).await.expect_err("no line");
        let text = format!("this console has no line {}", line[4..].to_uppercase());
        assert!(error.contains("DriverMethodNotImplemented") && error.contains(&text), "{error}");
        methods.otherwise(
            Pair::PythonOnOurs,
            DRIVER,
            line,
            "not implemented: such a console has no such line",
        );
    }
    exporter.stop().await;
    let exporter = Exporter::local(&Program::Upstream(python.clone()), &config).await.expect("an exporter");
    let endpoint = Endpoint::parse(&exporter.host()).expect("an address");
    let device = Device::connect(&endpoint, &Options::default()).await.expect("a session");
    let serial: SerialClient = device.client("main").expect("a console");
    methods.works(Pair::OursOnPython, DRIVER, "connect", echoes(&serial).await);
    let error = serial.close().await.expect_err("it has no such method");
    assert!(matches!(error.kind(), ErrorKind::MethodNotFound | ErrorKind::Unsupported), "{error:?}");
    methods.otherwise(Pair::OursOnPython, DRIVER, "close", "0.9.0 does not have it");
    for (line, done) in [("set_dtr", serial.set_dtr(true).await), ("set_rts", serial.set_rts(true).await)] {
        let error = done.expect_err("it has no such method");
        assert!(matches!(error.kind(), ErrorKind::MethodNotFound | ErrorKind::Unsupported), "{error:?}");
        methods.otherwise(Pair::OursOnPython, DRIVER, line, "0.9.0 does not have it");
    }
    drop((serial, device));
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn consoles_share_one_process_which_is_started_again_and_ends_with_the_session() {
    let Some(python) = python() else { return };
    let _one = ONE.lock().await;
    let demultiplexer = Demultiplexer::new(&python);
    let config = file(&(demultiplexer.node("main", "") + &demultiplexer.node("other", OTHER)));
    let exporter = ours::start_text(&config).await;
    let main: SerialClient = exporter.bench().client("main").expect("a console");
    let other: SerialClient = exporter.bench().client("other").expect("a console");
    echoes(&main).await.expect("the first");
    echoes(&other).await.expect("the second");
    let starts = demultiplexer.noted("starts");
    let [start] = starts.as_slice() else { panic!("one process for both: {starts:?}") };
    let device = demultiplexer.folder.path().join("tegra-if01");
    assert!(start.ends_with(&format!(" -m T264 -d {}", device.display())), "{start}");
    // It dies in the middle of a conversation: that is an error, and the next connection finds the new one.
    let mut io = main.connect().await.expect("a stream");
    io.send("die").await.expect("sent");
    let error = loop {
        match io.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a console that dies does not end"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("is gone"), "{error}");
    // The other console comes back as well. The old one's name may still be known for a moment.
    let back = async { while echoes(&other).await.is_err() {} };
    tokio::time::timeout(PATIENCE, back).await.expect("it comes back");
    echoes(&main).await.expect("so does this one");
    assert_eq!(demultiplexer.noted("starts").len(), 2);
    assert!(demultiplexer.noted("ends").is_empty());
    exporter.stop().await;
    assert_eq!(demultiplexer.noted("ends").len(), 1, "the end of the session is the end of the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_device_is_told_and_the_exporter_goes_on() {
    let Some(python) = python() else { return };
    let _one = ONE.lock().await;
    let demultiplexer = Demultiplexer::new(&python);
    std::fs::write(demultiplexer.folder.path().join("locked"), "").expect("a file");
    let more = "      timeout: 20\n";
    let exporter = ours::start_text(&file(&demultiplexer.node("main", more))).await;
    let main: SerialClient = exporter.bench().client("main").expect("a console");
    let error = main.connect().await.expect_err("another one has it");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.message().contains("another demultiplexer has "), "{error}");
    std::fs::remove_file(demultiplexer.folder.path().join("locked")).expect("the lock is gone");
    let back = async { while echoes(&main).await.is_err() {} };
    tokio::time::timeout(PATIENCE, back).await.expect("it comes back");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_when_the_time_is_over() {
    let Some(python) = python() else { return };
    let _one = ONE.lock().await;
    let demultiplexer = Demultiplexer::new(&python);
    let devices = demultiplexer.node("main", "      timeout: 5\n      target: 'NOPE: 9'\n");
    let exporter = ours::start_text(&file(&devices)).await;
    let main: SerialClient = exporter.bench().client("main").expect("a console");
    // A call that takes this long is told by its stream.
    let error = echoes(&main).await.expect_err("there is none of this name");
    let wanted = "the demultiplexer did not offer `NOPE: 9` within 5s: it offers `BPMP: 1`, `CCPLEX: 0`";
    assert!(error.message().contains(wanted), "{error}");
    exporter.stop().await;
    std::fs::remove_file(demultiplexer.folder.path().join("tegra-if01")).expect("unplugged");
    let exporter = ours::start_text(&file(&demultiplexer.node("main", "      timeout: 0.3\n"))).await;
    let main: SerialClient = exporter.bench().client("main").expect("a console");
    let error = main.connect().await.expect_err("there is no device");
    assert!(error.message().contains("within 300ms: there is no /"), "{error}");
    // Plugged in later, it is found.
    std::fs::write(demultiplexer.folder.path().join("tegra-if01"), "").expect("a device");
    let back = async { while echoes(&main).await.is_err() {} };
    tokio::time::timeout(PATIENCE, back).await.expect("it comes");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consoles_that_disagree_are_refused_at_the_start() {
    let Some(python) = python() else { return };
    let _one = ONE.lock().await;
    let demultiplexer = Demultiplexer::new(&python);
    for (more, text) in [
        ("", "`target`: another device of this exporter is `CCPLEX: 0` already"),
        (
            "      target: 'BPMP: 1'\n      chip: T234\n",
            "`chip`: all consoles of an exporter share one demultiplexer: expected `T264`",
        ),
    ] {
        let devices = demultiplexer.node("main", "") + &demultiplexer.node("other", more);
        let served = jumpstarter_testing::serve_text("exporter.yaml", &file(&devices), ours::DRIVERS).await;
        let error = served.err().expect("refused");
        assert!(error.message().contains(text), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_p5_the_process_ends_when_the_exporter_is_killed() {
    let Some(python) = python() else { return };
    let _one = ONE.lock().await;
    let demultiplexer = Demultiplexer::new(&python);
    let config = file(&demultiplexer.node("main", ""));
    let exporter = Exporter::local(&Program::Ours(programs::jmp()), &config).await.expect("an exporter");
    let endpoint = Endpoint::parse(&exporter.host()).expect("an address");
    let device = Device::connect(&endpoint, &Options::default()).await.expect("a session");
    echoes(&device.client("main").expect("a console")).await.expect("it works");
    // Dropped, it is killed without a chance to do anything.
    drop(exporter);
    let ended = async {
        while demultiplexer.noted("ends").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the process hears of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_leave_nothing_behind() {
    if !alone("serial::nvdemux::ten_thousand_connections_leave_nothing_behind") {
        return;
    }
    let Some(python) = python() else { return };
    let demultiplexer = Demultiplexer::new(&python);
    let exporter = ours::start_text(&file(&demultiplexer.node("main", ""))).await;
    let serial: SerialClient = exporter.bench().client("main").expect("a console");
    super::cycles::use_it(&serial, 1_000).await;
    let before = Held::now();
    super::cycles::use_it(&serial, 10_000).await;
    Held::is_what_it_was(before).await;
    exporter.stop().await;
}
