//! Every method, both ways: the unmodified Python client at our exporter, and our client at the unmodified Python exporter.

use std::{process::Stdio, time::Duration};

use jumpstarter::{Error, ErrorKind, Result};
use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::{
    client::Client,
    exporter::{Exporter, Program},
    methods::{Methods, Pair},
    ours,
    python::{Python, python},
};
use pty_process::Pty;
use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time::timeout,
};

use super::{
    PATIENCE,
    counterparts::{Echo, Manner, Rfc2217, SerialLine, Server},
    echoes, file, j, port, soon,
};

const DRIVER: &str = "serial";

/// The same file for both exporters, and what is behind its ports.
struct Bench {
    config: String,
    remote: Rfc2217,
    _lines: [Echo; 3],
    _server: Server,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new(python: &Python) -> Self {
        let lines = [(); 3].map(|()| SerialLine::new().echo());
        let [device, alternative, spied] =
            [0, 1, 2].map(|index: usize| lines[index].path.display().to_string());
        let server = Server::start(Manner::Echo).await;
        let remote = Rfc2217::start(python, &[]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("spy.log");
        let config = file(
            &[
                port("loop", "loop://", ""),
                port("paced", "loop://", ", cps: 200"),
                port("device", &device, ", baudrate: 9600, disable_hupcl: true"),
                port("alternative", &format!("alt://{alternative}?class=PosixPollSerial"), ""),
                port("spied", &format!("spy://{spied}?file={}", log.display()), ""),
                port("socket", &format!("socket://{}", server.address), ""),
                port("remote", &format!("rfc2217://{}", remote.address), ""),
                port("absent", "/dev/ttyDoesNotExist0", ", check_present: false"),
                port("searched", "hwgrep://no such port", ", check_present: false"),
            ]
            .concat(),
        );
        Self { config, remote, _lines: lines, _server: server, folder }
    }

    fn spy_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("spy.log")).unwrap_or_default()
    }
}

/// Ports that answer with what they are sent, and what stands in the table.
const ECHOES: [(&str, &str); 6] = [
    ("loop", "connect (loop://)"),
    ("paced", "connect (cps)"),
    ("device", "connect (device file, disable_hupcl)"),
    ("alternative", "connect (alt://)"),
    ("spied", "connect (spy://)"),
    ("socket", "connect (socket://)"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_method_both_ways() {
    let Some(python) = python() else { return };
    let mut methods = Methods::new("serial");
    {
        let mut bench = Bench::new(&python).await;
        let exporter = ours::start_text(&bench.config).await;
        python_on_ours(&mut methods, &mut bench, &python, &exporter.address.to_string()).await;
        exporter.stop().await;
    }
    let mut bench = Bench::new(&python).await;
    let exporter =
        Exporter::local(&Program::Upstream(python.clone()), &bench.config).await.expect("an exporter");
    let endpoint = Endpoint::parse(&exporter.host()).expect("an address");
    let device = Device::connect(&endpoint, &Options::default()).await.expect("a session");
    ours_on_python(&mut methods, &mut bench, &device, &exporter.host()).await;
    drop(device);
    exporter.stop().await.expect("an orderly end");
    super::nvdemux::both_ways(&mut methods, &python).await;
    let classes = [
        ("jumpstarter_driver_pyserial.driver.PySerial", DRIVER),
        ("jumpstarter_driver_pyserial.nvdemux.driver.NVDemuxSerial", "nvdemux-serial"),
    ];
    methods.covers(&python, &classes);
    methods.finish();
}

/// Runs Python code; what it complains about is the error.
pub(super) async fn run(client: &Client, code: &str) -> Result<String, String> {
    let outcome = client.python(code).await.map_err(|error| error.to_string())?;
    if outcome.code == Some(0) {
        Ok(outcome.stdout)
    } else {
        Err(format!("{}{}", outcome.stdout, outcome.stderr))
    }
}

async fn python_on_ours(methods: &mut Methods, bench: &mut Bench, python: &Python, host: &str) {
    const PAIR: Pair = Pair::PythonOnOurs;
    let client = Client::new(python, host);
    for (name, shown) in ECHOES.into_iter().chain([("remote", "connect (rfc2217://)")]) {
        let code = format!(
            "with node('{name}').pexpect() as session:\n    session.sendline('ping')\n    session.expect('ping', timeout=20)\n"
        );
        methods.works(PAIR, DRIVER, shown, run(&client, &code).await);
    }
    soon(|| {
        let log = bench.spy_log();
        let all = ["TX   0000  70 69 6E 67 0A ", "RX   0000  70 69 6E 67 0A "]
            .iter()
            .all(|text| log.contains(text));
        if all { Ok(()) } else { Err(log) }
    })
    .await;
    for (name, shown, text) in [
        ("absent", "connect (no such device)", "there is no /dev/ttyDoesNotExist0"),
        ("searched", "connect (hwgrep:// without a match)", "no port matches hwgrep://no such port"),
    ] {
        let code = format!("with node('{name}').stream() as stream:\n    stream.receive()\n");
        let error = run(&client, &code).await.expect_err("there is no such port");
        assert!(error.contains(text), "{error}");
        methods.otherwise(PAIR, DRIVER, shown, "an error that names it");
    }
    let twice = "session = node('device').open()\nsession.sendline('one')\nsession.expect('one', timeout=20)\n\
                 with node('device').stream() as stream:\n    stream.send(b'two')\n    got = b''\n    while b'two' not in got:\n        got += stream.receive()\nnode('device').stack.close()\n";
    methods.works(PAIR, DRIVER, "open and stream at once", run(&client, twice).await);
    let close = "from anyio import EndOfStream\nwith node('device').stream() as stream:\n    stream.send(b'x')\n    stream.receive()\n    node('device').call('close')\n    \
                 try:\n        while True: stream.receive()\n    except EndOfStream:\n        pass\nnode('device').call('close')\n";
    methods.works(PAIR, DRIVER, "close", run(&client, close).await);
    let lines = "node('remote').call('set_dtr', False)\nnode('remote').call('set_rts', False)\nnode('loop').call('set_dtr', True)\n";
    let result = run(&client, lines).await;
    bench.remote.until("changed DTR to inactive").await;
    bench.remote.until("changed RTS to inactive").await;
    methods.works(PAIR, DRIVER, "set_dtr", result.clone());
    methods.works(PAIR, DRIVER, "set_rts", result);
    methods.works(PAIR, DRIVER, "j pipe --no-output", piped(python.process("j"), host, bench).await);
    let mut command = python.process("j");
    command.env("JUMPSTARTER_HOST", host);
    methods.works(PAIR, DRIVER, "j pipe", bidirectional(command).await);
    let mut command = python.process("j");
    command.env("JUMPSTARTER_HOST", host);
    methods.works(PAIR, DRIVER, "j pipe -o", logged(command, &bench.folder).await);
    let mut console = python.command("j");
    console.args(["device", "start-console"]).env("JUMPSTARTER_HOST", host);
    methods.works(PAIR, DRIVER, "j start-console", started(&console, "exit with CTRL+B").await);
}

/// What is piped into `j` arrives: whoever watches the port has seen it go out.
async fn piped(mut command: Command, host: &str, bench: &Bench) -> Result<(), String> {
    command.args(["spied", "pipe", "--no-output"]).env("JUMPSTARTER_HOST", host);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().ok_or("no input")?;
    input.write_all(b"by a pipe\n").await.map_err(|error| error.to_string())?;
    drop(input);
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    soon(|| {
        let log = bench.spy_log();
        if log.contains("TX   0000  62 79 20 61 20 70 69 70  65 0A ") { Ok(()) } else { Err(log) }
    })
    .await;
    Ok(())
}

/// A pipe in both directions: what is written comes back, it goes on after the input's end, and Ctrl-C ends it.
async fn bidirectional(mut command: Command) -> Result<(), String> {
    command.args(["device", "pipe"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut output = child.stdout.take().ok_or("no output")?;
    child.stdin.take().ok_or("no input")?.write_all(b"through a pipe\n").await.map_err(|e| e.to_string())?;
    let mut seen = Vec::new();
    let look = async {
        while !seen.ends_with(b"through a pipe\n") {
            if output.read_buf(&mut seen).await.map_or(true, |count| count == 0) {
                return Err(format!("it ended after {:?}", String::from_utf8_lossy(&seen)));
            }
        }
        Ok(())
    };
    timeout(PATIENCE, look).await.map_err(|_| "nothing comes back".to_owned())??;
    interrupted(child).await
}

/// What the port says goes to a file, and after what is there already if that is wanted.
async fn logged(command: Command, folder: &tempfile::TempDir) -> Result<(), String> {
    let log = folder.path().join("piped.log");
    std::fs::write(&log, "before\n").map_err(|error| error.to_string())?;
    let mut command = command;
    let path = log.display().to_string();
    command.args(["device", "pipe", "-o", &path, "--append"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child.stdin.take().ok_or("no input")?.write_all(b"into a file\n").await.map_err(|e| e.to_string())?;
    soon(|| match std::fs::read_to_string(&log) {
        Ok(text) if text == "before\ninto a file\n" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut said = Vec::new();
    let mut output = child.stdout.take().ok_or("no output")?;
    interrupted(child).await?;
    output.read_to_end(&mut said).await.map_err(|error| error.to_string())?;
    if said.is_empty() {
        Ok(())
    } else {
        Err(format!("on standard output: {:?}", String::from_utf8_lossy(&said)))
    }
}

/// Presses Ctrl-C.
async fn interrupted(mut child: Child) -> Result<(), String> {
    let process =
        child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).ok_or("it has ended by itself")?;
    kill_process(process, Signal::INT).map_err(|error| error.to_string())?;
    let ended = timeout(PATIENCE, child.wait()).await.map_err(|_| "Ctrl-C does not end it".to_owned())?;
    ended.map(drop).map_err(|error| error.to_string())
}

/// A console in a terminal: what is typed comes back, and Ctrl-B three times leaves.
async fn started(plain: &std::process::Command, hello: &str) -> Result<(), String> {
    let (mut terminal, pts) = pty_process::open().map_err(|error| error.to_string())?;
    let mut command =
        pty_process::Command::new(plain.get_program()).args(plain.get_args()).kill_on_drop(true);
    for (name, value) in plain.get_envs() {
        command = match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command.spawn(pts).map_err(|error| error.to_string())?;
    shown(&mut terminal, hello).await?;
    // What is typed before the terminal is raw is thrown away.
    let raw = || !tcgetattr(&terminal).is_ok_and(|mode| mode.local_modes.contains(LocalModes::ICANON));
    crate::until("the terminal is raw", raw).await;
    terminal.write_all(b"typed").await.map_err(|error| error.to_string())?;
    shown(&mut terminal, "typed").await?;
    terminal.write_all(b"\x02\x02\x02").await.map_err(|error| error.to_string())?;
    let ended = timeout(PATIENCE, child.wait()).await.map_err(|_| "it does not leave".to_owned())?;
    let status = ended.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

async fn shown(terminal: &mut Pty, text: &str) -> Result<(), String> {
    let mut seen = Vec::new();
    let look = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            if terminal.read_buf(&mut seen).await.map_or(true, |count| count == 0) {
                return;
            }
        }
    };
    let _ = timeout(PATIENCE, look).await;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    if seen.contains(text) { Ok(()) } else { Err(format!("{text:?} was not shown: {seen:?}")) }
}

async fn ours_on_python(methods: &mut Methods, bench: &mut Bench, device: &Device, host: &str) {
    const PAIR: Pair = Pair::OursOnPython;
    let client = |name: &str| device.client::<SerialClient>(name).expect("a port");
    for (name, shown) in ECHOES {
        methods.works(PAIR, DRIVER, shown, echoes(&client(name)).await);
    }
    let error = echoes(&client("remote")).await.expect_err("its event loop does not take such a port");
    assert!(error.to_string().contains("write_timeout"), "{error}");
    methods.otherwise(
        PAIR,
        DRIVER,
        "connect (rfc2217://)",
        "0.9.0 fails: ports of this kind lack what its event loop needs (`write_timeout`)",
    );
    for (name, shown, text) in [
        ("absent", "connect (no such device)", "/dev/ttyDoesNotExist0"),
        ("searched", "connect (hwgrep:// without a match)", "no such port"),
    ] {
        let error = echoes(&client(name)).await.expect_err("there is no such port");
        assert!(error.to_string().contains(text), "{error}");
        methods.otherwise(PAIR, DRIVER, shown, "an error that names it");
    }
    methods.otherwise(PAIR, DRIVER, "open and stream at once", two_at_once(&client("device")).await);
    methods.works(PAIR, DRIVER, "close", closed(&client("socket")).await);
    let remote = client("remote");
    let result = remote.set_dtr(false).await;
    bench.remote.until("changed DTR to inactive").await;
    methods.works(PAIR, DRIVER, "set_dtr", result);
    let result = remote.set_rts(false).await;
    bench.remote.until("changed RTS to inactive").await;
    methods.works(PAIR, DRIVER, "set_rts", result);
    methods.works(PAIR, DRIVER, "j pipe --no-output", piped(j(host, &[]), host, bench).await);
    methods.works(PAIR, DRIVER, "j pipe", bidirectional(j(host, &[])).await);
    methods.works(PAIR, DRIVER, "j pipe -o", logged(j(host, &[]), &bench.folder).await);
    let console = j(host, &["alternative", "start-console"]);
    methods.works(
        PAIR,
        DRIVER,
        "j start-console",
        started(console.as_std(), "Ctrl-B three times leaves").await,
    );
}

/// Two connections of 0.9.0 open the port twice, and what the device says goes to either of them.
async fn two_at_once(serial: &SerialClient) -> &'static str {
    let mut one = serial.connect().await.expect("a stream");
    let mut two = serial.connect().await.expect("another stream");
    one.send("0123456789").await.expect("sent");
    let both = async {
        let (mut first, mut second) = (0, 0);
        while first + second < 10 {
            tokio::select! {
                piece = one.recv() => first += piece.expect("data").map_or(0, |piece| piece.len()),
                piece = two.recv() => second += piece.expect("data").map_or(0, |piece| piece.len()),
            }
        }
        first + second
    };
    assert_eq!(timeout(PATIENCE, both).await.expect("an answer"), 10, "each byte went to one of them");
    "0.9.0 gives each byte to one of them"
}

async fn closed(serial: &SerialClient) -> Result<()> {
    let mut io = serial.connect().await?;
    io.send("x").await?;
    io.recv().await?;
    serial.close().await?;
    match timeout(Duration::from_secs(10), io.recv()).await {
        Ok(Ok(None)) => Ok(()),
        Ok(other) => Err(Error::device(format!("{other:?} came behind the end"))),
        Err(_) => Err(Error::new(ErrorKind::Timeout, "the connection goes on")),
    }
}
