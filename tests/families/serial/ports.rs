//! What our driver does with each kind of port.

use std::{process::Stdio, time::Duration};

use jumpstarter::ErrorKind;
use jumpstarter_client::adapters::{Expect, Pattern};
use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::{counterparts::counterpart, ours, python::python};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    PATIENCE,
    counterparts::{Cable, Manner, Rfc2217, SerialLine, Server},
    echoes, file, j, port, soon,
};

/// Reads until this has come.
async fn until(from: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let count = tokio::time::timeout(PATIENCE, from.read_buf(&mut seen)).await.expect("in time");
        assert!(count.expect("more") > 0, "{text:?} did not come: {:?}", String::from_utf8_lossy(&seen));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_program_at_the_far_end_of_a_cable_and_j_talk_to_each_other() {
    let Some(picocom) = counterpart("picocom", "picocom") else { return };
    let cable = Cable::new();
    let [near, far] = [0, 1].map(|end: usize| cable.ends[end].display().to_string());
    let exporter = ours::start_text(&file(&port("console", &near, ""))).await;
    let host = exporter.address.to_string();
    // Its user sits at a terminal, too.
    let (mut screen, pts) = pty_process::open().expect("a pseudo-terminal");
    let program = pty_process::Command::new(picocom).args(["--nolock", "--baud", "115200", &far]);
    let mut program = program.kill_on_drop(true).spawn(pts).expect("picocom starts");
    until(&mut screen, "Terminal ready").await;
    let mut pipe = j(&host, &["console", "pipe"]).stdin(Stdio::piped()).spawn().expect("j starts");
    let (mut keys, mut output) =
        (pipe.stdin.take().expect("its input"), pipe.stdout.take().expect("its output"));
    keys.write_all(b"from j\r\n").await.expect("typed");
    until(&mut screen, "from j").await;
    screen.write_all(b"from picocom\r").await.expect("typed");
    until(&mut output, "from picocom").await;
    // Its own keys: Ctrl-A, then Ctrl-X leaves.
    screen.write_all(b"\x01\x18").await.expect("typed");
    until(&mut screen, "Thanks for using picocom").await;
    let status = tokio::time::timeout(PATIENCE, program.wait()).await.expect("it ends").expect("a status");
    assert!(status.success(), "{status}");
    pipe.kill().await.expect("stopped");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_at_the_far_end_of_a_line_is_used_at_its_prompt() {
    let shell = SerialLine::new().program("sh", &["-i"]);
    let exporter = ours::start_text(&file(&port("console", &shell.path.display().to_string(), ""))).await;
    let serial: SerialClient = exporter.bench().client("console").expect("a port");
    let mut console = Expect::new(serial.connect().await.expect("a stream")).with_timeout(PATIENCE);
    console.send_line("").await.expect("sent");
    console.expect("device> ").await.expect("a prompt");
    console.send_line("echo $((6 * 7)); tty").await.expect("sent");
    let found = console
        .expect(Pattern::regex(r"42\r\n(/dev/pts/\d+)\r\n").expect("a pattern"))
        .await
        .expect("answers");
    assert_ne!(found.groups[0].as_deref(), shell.path.to_str(), "the program has a terminal of its own");
    // Ctrl-D reaches the program's terminal, and ends the input of what runs there.
    console.send_line("sh -c 'echo be''gun; exec cat'").await.expect("sent");
    console.expect("begun\r\n").await.expect("it runs");
    console.send_control('d').await.expect("sent");
    console.expect("device> ").await.expect("the prompt again");
    console.send_line("echo $((40 + 2)) is still right").await.expect("sent");
    console.expect("42 is still right").await.expect("an answer");
    drop(console);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_goes_through_a_device_file_as_it_is() {
    let echo = SerialLine::new().echo();
    let exporter = ours::start_text(&file(&port("console", &echo.path.display().to_string(), ""))).await;
    let serial: SerialClient = exporter.bench().client("console").expect("a port");
    let mut io = serial.connect().await.expect("a stream");
    // Everything that a terminal would change: ends of lines, XON and XOFF, Ctrl-C, bytes with the eighth bit.
    let sent: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    io.send(sent.clone()).await.expect("sent");
    let mut came = vec![0; sent.len()];
    io.read_exact(&mut came).await.expect("all of it");
    assert_eq!(came, sent);
    drop(io);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_connections_share_a_port_and_closing_ends_all_of_them() {
    let mut line = SerialLine::new();
    let exporter = ours::start_text(&file(&port("console", &line.path.display().to_string(), ""))).await;
    let serial: SerialClient = exporter.bench().client("console").expect("a port");
    let mut log = serial.connect().await.expect("a stream");
    let mut person = serial.connect().await.expect("another stream");
    line.device.write_all(b"login: ").await.expect("sent");
    for io in [&mut log, &mut person] {
        let mut came = [0; 7];
        io.read_exact(&mut came).await.expect("both hear it");
        assert_eq!(&came, b"login: ");
    }
    person.send("root\r").await.expect("sent");
    let mut typed = [0; 5];
    line.device.read_exact(&mut typed).await.expect("the device hears it");
    assert_eq!(&typed, b"root\r");
    serial.close().await.expect("closed");
    for io in [&mut log, &mut person] {
        assert_eq!(io.recv().await.expect("an end"), None, "closing on demand is an end, not a failure");
    }
    serial.close().await.expect("nothing to close is no error");
    // It can be opened again at once.
    let mut again = serial.connect().await.expect("a stream");
    line.device.write_all(b"x").await.expect("sent");
    assert_eq!(again.recv().await.expect("data").as_deref(), Some(&b"x"[..]));
    drop((log, person, again));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_the_file_are_those_of_the_line() {
    let line = SerialLine::new();
    let path = line.path.display().to_string();
    let more = ", baudrate: 3000000, stopbits: 2, xonxoff: true, disable_hupcl: true";
    let exporter = ours::start_text(&file(&port("console", &path, more))).await;
    let serial: SerialClient = exporter.bench().client("console").expect("a port");
    let io = serial.connect().await.expect("a stream");
    let settings =
        rustix::termios::tcgetattr(std::fs::File::open(&path).expect("the device file")).expect("settings");
    assert_eq!((settings.output_speed(), settings.input_speed()), (3_000_000, 3_000_000));
    let output =
        tokio::process::Command::new("stty").args(["-a", "-F", &path]).output().await.expect("stty runs");
    let settings = String::from_utf8_lossy(&output.stdout).replace('\n', " ");
    for wanted in
        ["cstopb", "cs8", "ixon", "ixoff", "-hupcl", "-icanon", "-echo", "-crtscts", "clocal", "cread"]
    {
        assert!(
            settings.split_whitespace().any(|word| word.trim_end_matches(';') == wanted),
            "{wanted}: {settings}"
        );
    }
    // A pseudo-terminal has no control lines, which is told.
    let error = serial.set_dtr(true).await.expect_err("no such line");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.message().contains("has no line DTR to set"), "{error}");
    drop(io);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_go_out_one_by_one_where_the_device_is_slow_and_nobody_else_waits() {
    let echo = SerialLine::new().echo();
    let devices = port("slow", &echo.path.display().to_string(), ", cps: 50") + &port("quick", "loop://", "");
    let exporter = ours::start_text(&file(&devices)).await;
    let slow: SerialClient = exporter.bench().client("slow").expect("a port");
    let quick: SerialClient = exporter.bench().client("quick").expect("a port");
    let mut io = slow.connect().await.expect("a stream");
    let begun = std::time::Instant::now();
    io.send("eleven char").await.expect("sent");
    echoes(&quick).await.expect("the other port answers meanwhile");
    let mut pieces = 0;
    let mut came = 0;
    while came < 11 {
        came += io.recv().await.expect("data").expect("no end").len();
        pieces += 1;
    }
    // Ten pauses of 20 ms can only take longer, never shorter.
    assert!(begun.elapsed() >= Duration::from_millis(195), "{:?}", begun.elapsed());
    assert!(pieces > 3, "they came {pieces} times");
    drop(io);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_spies_carry_bytes_and_the_spy_writes_them_down() {
    let server = Server::start(Manner::Echo).await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("spy.log");
    let spied = format!("spy://socket://{}?file={}", server.address, log.display());
    let devices = port("socket", &format!("socket://{}", server.address), "")
        + &port("spied", &spied, ", check_present: false");
    let exporter = ours::start_text(&file(&devices)).await;
    for name in ["socket", "spied"] {
        let serial: SerialClient = exporter.bench().client(name).expect("a port");
        echoes(&serial).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        serial.set_rts(true).await.expect("a socket has no lines, which upstream takes for done");
    }
    exporter.stop().await;
    // The last connection was for the line; a file is begun anew each time, as upstream does.
    soon(|| {
        let log = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if log.contains(" RTS  active\n") { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_behind_rfc2217_gets_its_settings_and_lines() {
    let Some(python) = python() else { return };
    let mut server = Rfc2217::start(&python, &[]).await;
    let url = format!("rfc2217://{}", server.address);
    let more =
        ", baudrate: 3000000, bytesize: 7, parity: even, stopbits: 2, rtscts: true, check_present: false";
    let exporter = ours::start_text(&file(&port("remote", &url, more))).await;
    let serial: SerialClient = exporter.bench().client("remote").expect("a port");
    let mut io = serial.connect().await.expect("a stream");
    let said = server.until("purge both").await;
    for wanted in [
        "set baud rate: 3000000",
        "set data size: 7",
        "set parity: E",
        "set stop bits: 2",
        "changed flow control to RTS/CTS",
        "changed DTR to active",
    ] {
        assert!(said.iter().any(|line| line == wanted), "{wanted}: {said:?}");
    }
    // 255 is the protocol's own byte.
    let sent: Vec<u8> = (0..=255).chain([255, 255, 0, 255]).collect();
    io.send(sent.clone()).await.expect("sent");
    let mut came = vec![0; sent.len()];
    io.read_exact(&mut came).await.expect("all of it");
    assert_eq!(came, sent);
    // While it is open, the lines are those of the open port.
    serial.set_dtr(false).await.expect("a line");
    server.until("changed DTR to inactive").await;
    serial.set_rts(false).await.expect("a line");
    server.until("changed RTS to inactive").await;
    drop(io);
    server.until("connection ended").await;
    // And otherwise it is opened for that.
    serial.set_dtr(true).await.expect("a line");
    let said = server.until("connection ended").await;
    assert_eq!(said.iter().filter(|line| *line == "changed DTR to active").count(), 2, "{said:?}");
    exporter.stop().await;
}
