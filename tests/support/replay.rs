//! A recording replayed as the client: its requests go to a live exporter, the answers are compared.
//!
//! The events of a connection are taken in recorded order. A request is sent once everything that the server had sent
//! before it in the recording has arrived; that is the only timing there is. Within a stream the order of the server's
//! events is compared, and between streams each answer has to come before the requests that followed it.
//!
//! Whatever differs is a [`Difference`], unless the test allows it by an [`Allowed`] that names its reason. An allowance
//! that turns out not to be needed is a difference as well, so that the lists stay true.

mod allowed;
mod call;
mod live;
mod together;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use crate::bindings::{Bindings, canonical};
use crate::compare::Texts;
use crate::http2::Io;
use crate::message::{Direction, Tree};
use crate::recording::{Recording, Side, What};
use crate::report;

pub use allowed::{Allowed, Deviation, PayloadCheck};
pub use call::{addressed, describe};
use live::Run;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to look for events that should not come.
const QUIET: Duration = Duration::from_millis(60);

/// Where a live exporter listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`, in clear text.
    Tcp(String),
}

impl Address {
    /// Connects.
    pub async fn connect(&self) -> std::io::Result<Box<dyn Io>> {
        Ok(match self {
            Self::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
            Self::Tcp(address) => Box::new(tokio::net::TcpStream::connect(address).await?),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// A place where the live conversation is not the recorded one.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Connection and stream, and what was called.
    pub call: String,
    /// Number of the recorded event; 0 when there is none.
    pub seq: u32,
    /// What was recorded.
    pub recorded: String,
    /// What came instead.
    pub live: String,
    /// In a few words.
    pub how: String,
}

/// The outcome of a replay that was not equal.
#[derive(Debug, Clone)]
pub struct Differences {
    /// The scenario.
    pub scenario: String,
    /// All differences, in recorded order.
    pub all: Vec<Difference>,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} difference(s) from the recording", self.scenario, self.all.len())?;
        for difference in &self.all {
            writeln!(f, "\n  {}, seq {}: {}", difference.call, difference.seq, difference.how)?;
            writeln!(f, "    recorded: {}", difference.recorded)?;
            writeln!(f, "    live:     {}", difference.live)?;
        }
        Ok(())
    }
}

impl std::error::Error for Differences {}

/// Something to do before a request is sent.
pub type Action = Arc<dyn Fn() -> BoxFuture<'static, std::io::Result<()>> + Send + Sync>;

/// A replay that is being prepared.
pub struct Replay {
    recording: Recording,
    allowed: Vec<Allowed>,
    without: Vec<String>,
    bindings: Bindings,
    texts: Texts,
    before: HashMap<u32, Action>,
    together: Vec<Vec<usize>>,
    patience: Duration,
}

impl Replay {
    /// Of a recording. Nothing may differ, and its connections are made one after the other.
    pub fn of(recording: Recording) -> Self {
        let together = (0..recording.connections.len()).map(|connection| vec![connection]).collect();
        Self {
            recording,
            allowed: Vec::new(),
            without: Vec::new(),
            bindings: Bindings::default(),
            texts: Texts::Exact,
            before: HashMap::new(),
            together,
            patience: PATIENCE,
        }
    }

    /// How long one answer may take.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Allows differences.
    #[must_use]
    pub fn allowing(mut self, allowed: impl IntoIterator<Item = Allowed>) -> Self {
        self.allowed.extend(allowed);
        self
    }

    /// The live tree need not have this node (a dotted path). Calls to it and below it are left out.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.without.push(path.to_owned());
        self
    }

    /// Replaces text of the recording by text of this run, of the same length.
    #[must_use]
    pub fn replacing(mut self, recorded: &str, live: &str) -> Self {
        self.bindings = self.bindings.replacing(recorded, live);
        self
    }

    /// How status texts are compared; exactly unless said otherwise.
    #[must_use]
    pub fn texts(mut self, texts: Texts) -> Self {
        self.texts = texts;
        self
    }

    /// Does something before the client's event with this number is sent on connection 0.
    #[must_use]
    pub fn before(mut self, seq: u32, action: Action) -> Self {
        self.before.insert(seq, action);
        self
    }

    /// Makes these connections at the same time.
    #[must_use]
    pub fn together(mut self, connections: &[usize]) -> Self {
        self.together.retain(|group| !group.iter().any(|connection| connections.contains(connection)));
        self.together.push(connections.to_vec());
        self.together.sort();
        self
    }

    /// Talks to the exporter at an address.
    pub async fn run(self, address: &Address) -> Result<(), Differences> {
        let scenario = self.recording.scenario.clone();
        let run = Run {
            skipped: self.skipped_instances(),
            bindings: Mutex::new(self.bindings),
            used: Mutex::new(HashSet::new()),
            recording: self.recording,
            allowed: self.allowed,
            without: self.without,
            texts: self.texts,
            before: self.before,
            patience: self.patience,
        };
        let mut all = Vec::new();
        for group in &self.together {
            let connections = group.iter().map(|connection| run.connection(*connection, address));
            all.extend(futures::future::join_all(connections).await.into_iter().flatten());
        }
        let used = run.used.lock().await.clone();
        for (at, allowed) in run.allowed.iter().enumerate() {
            if !allowed.optional && !used.contains(&at) && run.is_played(allowed) {
                all.push(Difference {
                    call: format!("allowed by {}", allowed.rule),
                    seq: 0,
                    recorded: format!("{:?}", allowed.what),
                    live: "as recorded".to_owned(),
                    how: "this difference was to be expected but did not occur".to_owned(),
                });
            }
        }
        if all.is_empty() { Ok(()) } else { Err(Differences { scenario, all }) }
    }

    /// UUIDs of the recorded instances that the live tree need not have.
    fn skipped_instances(&self) -> HashSet<String> {
        let mut skipped = HashSet::new();
        for stream in self.recording.connections.iter().flat_map(|connection| &connection.streams) {
            if stream.rpc() != "GetReport" {
                continue;
            }
            for event in &stream.events {
                if let (What::Message(message), Side::Server) = (&event.what, event.from) {
                    let tree = Tree::decode(&stream.path, Direction::Response, &message.content());
                    let nodes = report::nodes(&tree).unwrap_or_default();
                    skipped.extend(
                        nodes
                            .into_iter()
                            .filter(|n| report::is_below(&n.path, &self.without))
                            .map(|node| canonical(&node.uuid)),
                    );
                }
            }
        }
        skipped
    }
}
