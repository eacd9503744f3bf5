//! What stands for the device.

use std::{
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use jumpstarter_tests::python::{Python, scripts};
use pty_process::{OwnedReadPty, OwnedWritePty, Pts, Pty};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, copy},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

/// A serial line: a pseudo-terminal. Its device file is what the driver opens; the other side is the device's.
pub(crate) struct SerialLine {
    /// The device file.
    pub(crate) path: PathBuf,
    /// The device's side.
    pub(crate) device: Pty,
    /// Keeps the line up while nobody has the device file open.
    kept: Pts,
}

impl SerialLine {
    pub(crate) fn new() -> Self {
        let (device, kept) = pty_process::open().expect("a pseudo-terminal");
        let name = rustix::pty::ptsname(device.as_fd(), Vec::new()).expect("its name");
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
        // As a real line, which has no echo of its own before somebody opens it.
        let file = std::fs::File::options().read(true).write(true).open(&path).expect("the device file");
        let mut raw = tcgetattr(&file).expect("its settings");
        raw.make_raw();
        tcsetattr(&file, OptionalActions::Now, &raw).expect("raw mode");
        Self { path, device, kept }
    }

    /// A device that answers with what it is sent.
    pub(crate) fn echo(self) -> Echo {
        let Self { path, device, kept } = self;
        let (mut from, mut to) = device.into_split();
        let task = tokio::spawn(async move {
            let _kept = kept;
            let _ = copy(&mut from, &mut to).await;
        });
        Echo { path, task }
    }

    /// A program at the far end of a cable.
    pub(crate) fn program(self, program: &str, arguments: &[&str]) -> Terminal {
        let Self { path, device, kept } = self;
        let (pty, pts) = pty_process::open().expect("a pseudo-terminal");
        let command =
            pty_process::Command::new(program).args(arguments).env("PS1", "device> ").kill_on_drop(true);
        let child = command.spawn(pts).expect("the program starts");
        let (mut from_program, mut to_program): (OwnedReadPty, OwnedWritePty) = pty.into_split();
        let (mut from_line, mut to_line) = device.into_split();
        let tasks = [
            tokio::spawn(async move {
                let _kept = kept;
                let _ = copy(&mut from_program, &mut to_line).await;
            }),
            tokio::spawn(async move {
                let _ = copy(&mut from_line, &mut to_program).await;
            }),
        ];
        Terminal { path, _child: child, tasks }
    }
}

/// Two device files with a cable between them, as a null modem is one, until this is dropped.
pub(crate) struct Cable {
    pub(crate) ends: [PathBuf; 2],
    tasks: [JoinHandle<()>; 2],
}

impl Cable {
    pub(crate) fn new() -> Self {
        let [one, two] = [SerialLine::new(), SerialLine::new()];
        let ends = [one.path, two.path];
        let ((mut from_one, mut to_one), (mut from_two, mut to_two)) =
            (one.device.into_split(), two.device.into_split());
        let kept = [one.kept, two.kept];
        let tasks = [
            tokio::spawn(async move {
                let _kept = kept;
                let _ = copy(&mut from_one, &mut to_two).await;
            }),
            tokio::spawn(async move {
                let _ = copy(&mut from_two, &mut to_one).await;
            }),
        ];
        Self { ends, tasks }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A device that answers with what it is sent, until this is dropped.
pub(crate) struct Echo {
    pub(crate) path: PathBuf,
    task: JoinHandle<()>,
}

impl Echo {
    /// Unplugs it: the line is gone when this returns.
    pub(crate) async fn unplug(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A program behind a line.
pub(crate) struct Terminal {
    pub(crate) path: PathBuf,
    _child: Child,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What a TCP server does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Answers with what it is sent.
    Echo,
    /// Says one line and ends.
    Greet,
    /// Says one line and, after having read something, tears the connection down.
    Reset,
}

/// A server that is stopped when it is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    match manner {
                        Manner::Echo => {
                            let (mut from, mut to) = stream.split();
                            let _ = copy(&mut from, &mut to).await;
                        }
                        Manner::Greet => {
                            let _ = stream.write_all(b"welcome\n").await;
                            let _ = stream.shutdown().await;
                            let _ = stream.read_to_end(&mut Vec::new()).await;
                        }
                        Manner::Reset => {
                            let _ = stream.write_all(b"welcome\n").await;
                            let _ = stream.read(&mut [0; 16]).await;
                            let _ = stream.set_zero_linger();
                        }
                    }
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// pyserial's own server for RFC 2217.
pub(crate) struct Rfc2217 {
    pub(crate) address: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Rfc2217 {
    pub(crate) async fn start(python: &Python, arguments: &[&str]) -> Self {
        let mut command = python.process("python");
        command.arg(scripts().join("rfc2217_server.py")).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("python starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = lines.next_line().await.expect("output").unwrap_or_default();
        let address = first.strip_prefix("listening: ").expect("its address").to_owned();
        Self { address, child, lines }
    }

    /// What it says until this, which has to come.
    pub(crate) async fn until(&mut self, last: &str) -> Vec<String> {
        let mut said = Vec::new();
        while said.last().is_none_or(|line: &String| line != last) {
            let line = tokio::time::timeout(super::PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("it never said {last:?}, but {said:?}"));
            said.push(
                line.expect("output").unwrap_or_else(|| panic!("it never said {last:?}, but {said:?}")),
            );
        }
        said
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }
}

/// Python that holds a device file as `exclusive=True` does, until it is dropped.
pub(crate) async fn hold(python: &Python, path: &Path) -> Child {
    let mut command: Command = python.process("python");
    command.args(["-c", "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); sys.stdin.read()"]);
    command.arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).await.expect("a line");
    assert_eq!(line, "held\n");
    child
}
