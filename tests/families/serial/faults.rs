//! What a user reads when the device goes away, stands still, is slow, or is in use.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use jumpstarter_tests::{ours, python::python};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use super::{
    PATIENCE,
    counterparts::{Manner, Rfc2217, SerialLine, Server, hold},
    file, j, port,
};

/// What it said, and how it ended.
fn told(what: &str, output: &std::process::Output) -> String {
    let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{what}\n{}{}[{code}]\n\n", text(&output.stdout), text(&output.stderr))
}

async fn all(what: &str, command: &mut Command) -> String {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");
    told(what, &output)
}

/// Until it has printed this on standard output.
async fn until(child: &mut Child, text: &str) {
    let output = child.stdout.as_mut().expect("its output");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let count = tokio::time::timeout(PATIENCE, output.read_buf(&mut seen))
            .await
            .expect("in time")
            .expect("output");
        assert!(count > 0, "it ended after {seen:?}");
    }
}

async fn rest(what: &str, child: Child) -> String {
    let output =
        tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it runs");
    told(what, &output)
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots");
    settings.add_filter(r"/dev/pts/\d+", "/dev/pts/[N]");
    settings.add_filter(r"127\.0\.0\.1:\d+", "[address]");
    settings.add_filter(r"\((\d+)\)", "([pid])");
    settings.add_filter(r"python\S* \(", "python (");
    settings.add_filter(r"/\S+/adapter", "[folder]/adapter");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A name for a line that can go away and lead to another one, as a rule of the system's makes them for adapters.
fn adapter(folder: &Path, line: &Path) -> PathBuf {
    let name = folder.join("adapter");
    let _ = std::fs::remove_file(&name);
    std::os::unix::fs::symlink(line, &name).expect("a link");
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_unplugged_in_the_middle_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut line = SerialLine::new();
    let name = adapter(folder.path(), &line.path);
    let exporter = ours::start_text(&file(&port("console", &name.display().to_string(), ""))).await;
    let host = exporter.address.to_string();
    let mut pipe = j(&host, &["console", "pipe", "--no-input"]).spawn().expect("j starts");
    line.device.write_all(b"booting\r\n").await.expect("sent");
    until(&mut pipe, "booting").await;
    drop(line);
    std::fs::remove_file(&name).expect("the name goes as well");
    let mut text = rest("unplugged in the middle of `pipe`:", pipe).await;
    text += &all("`pipe` while it is unplugged:", &mut j(&host, &["console", "pipe", "--no-input"])).await;
    text += &all("`set-dtr` while it is unplugged:", &mut j(&host, &["console", "set-dtr", "true"])).await;
    let line = SerialLine::new().echo();
    adapter(folder.path(), &line.path);
    let words = ["console", "expect", "--send", "hello", "hello"];
    text += &all("`expect` after it came back:", &mut j(&host, &words)).await;
    snapshot("unplugged", &text);
    line.unplug().await;
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_others_use_or_that_is_none_is_named() {
    let Some(python) = python() else { return };
    let line = SerialLine::new();
    let path = line.path.display().to_string();
    let devices = port("console", &path, ", check_present: false")
        + &port("file", "/dev/null", ", check_present: false")
        + &port("twice", &path, ", check_present: false");
    let exporter = ours::start_text(&file(&devices)).await;
    let host = exporter.address.to_string();
    let mut holder = hold(&python, &line.path).await;
    let mut text = all("in use by another program:", &mut j(&host, &["console", "pipe", "--no-input"])).await;
    holder.kill().await.expect("it can be killed");
    let first = exporter.bench().client::<jumpstarter_interfaces::SerialClient>("twice").expect("a port");
    let io = first.connect().await.expect("the other program has let go");
    text += &all("in use by another device:", &mut j(&host, &["console", "pipe", "--no-input"])).await;
    drop(io);
    text += &all("no port at all:", &mut j(&host, &["file", "pipe", "--no-input"])).await;
    snapshot("busy", &text);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_refuse_end_or_tear_down_are_told_apart() {
    let (greeter, breaker) = (Server::start(Manner::Greet).await, Server::start(Manner::Reset).await);
    let devices = port("ends", &format!("socket://{}", greeter.address), "")
        + &port("breaks", &format!("socket://{}", breaker.address), "")
        + &port("refuses", "socket://127.0.0.1:1", ", check_present: false")
        + &port("nowhere", "socket://no-such-host.invalid:1", ", check_present: false");
    let exporter = ours::start_text(&file(&devices)).await;
    let host = exporter.address.to_string();
    let mut text = all("the server ends:", &mut j(&host, &["ends", "pipe", "--no-input"])).await;
    let mut command = j(&host, &["breaks", "pipe"]);
    let mut pipe = command.stdin(Stdio::piped()).spawn().expect("j starts");
    until(&mut pipe, "welcome").await;
    pipe.stdin.as_mut().expect("its input").write_all(b"x\n").await.expect("sent");
    text += &rest("the server tears the connection down:", pipe).await;
    text += &all("the server refuses:", &mut j(&host, &["refuses", "pipe", "--no-input"])).await;
    let nowhere = all("there is no such server:", &mut j(&host, &["nowhere", "pipe", "--no-input"])).await;
    assert!(
        nowhere.contains("connecting to no-such-host.invalid:1: ") && nowhere.ends_with("[1]\n\n"),
        "{nowhere}"
    );
    snapshot("sockets", &text);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_rfc2217_is_killed_stopped_silent_or_none() {
    let Some(python) = python() else { return };
    let mut server = Rfc2217::start(&python, &[]).await;
    let silent = Rfc2217::start(&python, &["unanswered"]).await;
    let echo = Server::start(Manner::Echo).await;
    let url = |address: &str| format!("rfc2217://{address}?timeout=2");
    let devices = port("remote", &url(&server.address), ", check_present: false")
        + &port("silent", &url(&silent.address), ", check_present: false")
        + &port("other", &url(&echo.address), ", check_present: false");
    let exporter = ours::start_text(&file(&devices)).await;
    let host = exporter.address.to_string();
    let mut text =
        all("a server that never answers:", &mut j(&host, &["silent", "pipe", "--no-input"])).await;
    text += &all("a server that knows only bytes:", &mut j(&host, &["other", "pipe", "--no-input"])).await;
    let pid = |id: u32| Pid::from_raw(id.cast_signed()).expect("a process");
    kill_process(pid(server.id()), Signal::STOP).expect("stopped");
    text += &all("a server that was stopped:", &mut j(&host, &["remote", "pipe", "--no-input"])).await;
    kill_process(pid(server.id()), Signal::CONT).expect("it goes on");
    let mut command = j(&host, &["remote", "pipe"]);
    let mut pipe = command.stdin(Stdio::piped()).spawn().expect("j starts");
    pipe.stdin.as_mut().expect("its input").write_all(b"hello\n").await.expect("sent");
    until(&mut pipe, "hello").await;
    kill_process(pid(server.id()), Signal::STOP).expect("stopped");
    text +=
        &all("`set-dtr` while the server is stopped:", &mut j(&host, &["remote", "set-dtr", "false"])).await;
    server.kill().await;
    text += &rest("killed in the middle of `pipe`:", pipe).await;
    snapshot("rfc2217", &text);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_device_and_one_that_takes_nothing_do_not_hold_the_user() {
    let line = SerialLine::new();
    let exporter = ours::start_text(&file(&port("console", &line.path.display().to_string(), ""))).await;
    let host = exporter.address.to_string();
    let words = ["console", "expect", "--timeout", "200ms", "--send", "root", "login:"];
    let mut text = all("a device that says nothing:", &mut j(&host, &words)).await;
    // More than the line holds, to a device that reads nothing: waits, until Ctrl-C.
    let mut command = j(&host, &["console", "pipe", "--no-output"]);
    let mut pipe = command.stdin(Stdio::piped()).spawn().expect("j starts");
    let mut input = pipe.stdin.take().expect("its input");
    let feeding = tokio::spawn(async move { while input.write_all(&[b'x'; 4096]).await.is_ok() {} });
    let mut first = String::new();
    let errors = pipe.stderr.as_mut().expect("its messages");
    BufReader::new(errors).read_line(&mut first).await.expect("a line");
    assert_eq!(first, "Sending standard input.\n");
    kill_process(Pid::from_raw(pipe.id().expect("it runs").cast_signed()).expect("a process"), Signal::INT)
        .expect("Ctrl-C");
    text += &rest("Ctrl-C while the device takes nothing:", pipe).await;
    feeding.abort();
    snapshot("silent", &text);
    exporter.stop().await;
}
