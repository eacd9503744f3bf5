//! What to run, and what comes of it.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use jumpstarter_core::{Context as _, Error, ErrorKind, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    select,
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    group::{GRACE, Group},
    guard,
};

/// Largest piece of output.
const PIECE: usize = 8 * 1024;
/// How many pieces wait for their reader; then the command does.
const DEPTH: usize = 16;
/// How long the end of the output is waited for once the command has ended: something that it left in the background may
/// hold its output open for ever.
const LINGER: Duration = Duration::from_secs(1);

/// A command to be run.
#[derive(Clone, Debug)]
pub struct Job {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    limit: Option<Duration>,
}

impl Job {
    /// This program, in the environment of the exporter.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            limit: None,
        }
    }

    /// With these arguments behind those that are there.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With this variable beside the exporter's own.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// In this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// For so long at most.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(&self.program).chain(&self.arguments).map(OsString::as_os_str)
    }

    /// What the operating system cannot pass on.
    fn check(&self) -> Result<()> {
        let zero = |text: &OsStr| text.as_bytes().contains(&0);
        if let Some(at) = self.arguments.iter().position(|argument| zero(argument)) {
            let message = format!("argument {} of the command contains a NUL character", at + 1);
            return Err(Error::invalid_argument(message));
        }
        match self.environment.iter().find(|(name, value)| zero(name) || zero(value)) {
            Some((name, _)) => {
                Err(Error::invalid_argument(format!("variable {} contains a NUL character", name.display())))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn spawn(&self) -> Result<Started> {
        self.check()?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let watched = guard::watch(&mut command)?;
        let child = command.spawn().map_err(|error| self.not_started(error))?;
        let group = Group::led_by(child.id(), watched)?;
        Ok(Started { child, group, limit: self.limit })
    }

    /// A folder that is not there looks like a program that is not there.
    fn not_started(&self, error: std::io::Error) -> Error {
        let missing = self.folder.as_deref().filter(|folder| !Path::is_dir(folder));
        match missing {
            Some(folder) => Error::new(ErrorKind::Absent, format!("there is no folder {}", folder.display())),
            None => Error::from(error).context(format_args!("starting {}", self.program.display())),
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this code.
    Code(i32),
    /// By this signal, which did not come from here.
    Signal(i32),
    /// Its time was over.
    Limit(Duration),
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }

    /// Whether it did what it was for.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Limit(limit) => write!(f, "did not end within {limit:?}"),
        }
    }
}

/// Something that a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It printed this.
    Output(Bytes),
    /// It complained like this.
    Complaint(Bytes),
    /// It ended; nothing else comes.
    Ended(End),
}

/// A command that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running(pub(crate) mpsc::Receiver<Event>);

impl Running {
    /// What it does next. After [`Event::Ended`], or when the driver was closed, there is nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

/// All that a command printed, up to a bound, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub end: End,
    /// What it printed.
    pub output: Vec<u8>,
    /// What it complained about: the end of it.
    pub complaint: Vec<u8>,
}

/// A command that was started.
pub(crate) struct Started {
    child: Child,
    group: Group,
    limit: Option<Duration>,
}

impl Started {
    /// Attends to a command until its end; the channel hears what it does. Answers its group, if somebody is left in it
    /// who may stay.
    pub(crate) async fn attend(
        self,
        events: mpsc::Sender<Event>,
        closing: CancellationToken,
    ) -> Option<Group> {
        let Self { mut child, group, limit } = self;
        let drained = CancellationToken::new();
        let (output, complaint) = (child.stdout.take(), child.stderr.take());
        let pumps = async {
            tokio::join!(
                pump(output, Event::Output, &events, &drained),
                pump(complaint, Event::Complaint, &events, &drained)
            );
        };
        tokio::pin!(pumps);
        let mut flowing = true;
        let end = {
            let ending = ending(&mut child, &group, limit, &events, &closing);
            tokio::pin!(ending);
            loop {
                select! {
                    end = &mut ending => break end,
                    () = &mut pumps, if flowing => flowing = false,
                }
            }
        };
        if let Some(end) = end {
            if flowing && timeout(LINGER, &mut pumps).await.is_err() {
                drained.cancel();
                pumps.await;
            }
            // It fails when nobody listens any more.
            let _ = events.send(Event::Ended(end)).await;
        }
        let by_itself = matches!(end, Some(End::Code(_) | End::Signal(_)));
        (by_itself && group.is_alive()).then_some(group)
    }
}

/// Waits for the end of a command, or brings it about. `None`: nobody listens any more.
async fn ending(
    child: &mut Child,
    group: &Group,
    limit: Option<Duration>,
    events: &mpsc::Sender<Event>,
    closing: &CancellationToken,
) -> Option<End> {
    let over = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    select! {
        status = child.wait() => return Some(status.map_or(End::Code(-1), End::of)),
        () = over => {}
        () = events.closed() => {
            terminate(child, group).await;
            return None;
        }
        () = closing.cancelled() => {
            terminate(child, group).await;
            return None;
        }
    }
    terminate(child, group).await;
    limit.map(End::Limit)
}

async fn terminate(child: &mut Child, group: &Group) {
    let deadline = Instant::now() + GRACE;
    group.ask();
    if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
        group.kill();
        // The kernel lets nobody survive that; an error means that somebody else has waited for it.
        let _ = child.wait().await;
    }
    group.gone_by(deadline).await;
}

/// Passes output on until it ends; after `drained`, only what is there already.
async fn pump(
    from: Option<impl AsyncRead + Unpin>,
    event: fn(Bytes) -> Event,
    events: &mpsc::Sender<Event>,
    drained: &CancellationToken,
) {
    let Some(mut from) = from else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        // Unconstrained, so that "nothing there" never means "it is somebody else's turn".
        let read = tokio::task::unconstrained(from.read_buf(&mut buffer));
        let read = select! {
            biased;
            read = read => read,
            () = drained.cancelled() => return,
        };
        if !matches!(read, Ok(1..)) || events.send(event(buffer.split().freeze())).await.is_err() {
            return;
        }
    }
}

/// The channel of a command.
pub(crate) fn channel() -> (mpsc::Sender<Event>, Running) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (sender, Running(receiver))
}

impl Running {
    /// Waits for the end and keeps what was printed, which must not be more than `most` bytes; of complaints, the last
    /// so many bytes are kept.
    pub async fn collect(mut self, most: usize) -> Result<Output> {
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        while let Some(event) = self.next().await {
            match event {
                Event::Output(piece) if output.len() + piece.len() > most => {
                    return Err(Error::device(format!("the command printed more than {most} bytes")));
                }
                Event::Output(piece) => output.extend_from_slice(&piece),
                Event::Complaint(piece) => {
                    complaint.extend_from_slice(&piece);
                    complaint.drain(..complaint.len().saturating_sub(most));
                }
                Event::Ended(end) => return Ok(Output { end, output, complaint }),
            }
        }
        Err(Error::cancelled("the driver was closed")).context("waiting for the command")
    }
}
