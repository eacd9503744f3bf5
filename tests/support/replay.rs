//! A recording replayed as the client: its requests go to a live exporter, the answers are compared.
//!
//! The events of a connection are taken in recorded order. A request is sent once everything that the server had sent
//! before it in the recording has arrived; that is the only timing there is. Within a stream the order of the server's
//! events is compared, and between streams each answer has to come before the requests that followed it.
//!
//! Whatever differs is a [`Difference`], unless the test allows it by an [`Allowed`] that names its reason. An allowance
//! that turns out not to be needed is a difference as well, so that the lists stay true.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bindings::{Bindings, uuids};
use crate::compare::{Seen, Texts, compare};
use crate::http2::{Arrived, Connection, Headers, Io, Role, Sender};
use crate::message::{Direction, Tree};
use crate::recording::{Event, Recording, Side, Stream, What};
use crate::report;

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

/// A difference from the recording that is wanted.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// Why: the rule's mark or place.
    pub rule: &'static str,
    /// The connection on which it may differ.
    pub connection: usize,
    /// What may differ there.
    pub what: Deviation,
    /// Whether it may also be as recorded.
    pub optional: bool,
}

/// What may differ. `seq` is the recorded event's number, `stream` that of a stream, both on the allowance's connection.
#[derive(Debug, Clone)]
pub enum Deviation {
    /// This event of the server does not come.
    Omitted {
        /// The event.
        seq: u32,
    },
    /// These trailers carry another code; the text is not compared, headers may come first.
    Status {
        /// The trailers.
        seq: u32,
        /// The gRPC status code that has to come.
        code: u32,
    },
    /// These trailers carry another text, which contains this one.
    Text {
        /// The trailers.
        seq: u32,
        /// What the live text contains.
        contains: &'static str,
    },
    /// This message is another one, which satisfies the check.
    Message {
        /// The message.
        seq: u32,
        /// Says what is wrong with the live one.
        check: fn(&Tree) -> Result<(), String>,
    },
    /// At this event the server ends the call with a status instead of going on.
    Refused {
        /// The event.
        seq: u32,
        /// The gRPC status code.
        code: u32,
    },
    /// The recorded server never ends this call, the live one does.
    Ended {
        /// The stream.
        stream: u32,
        /// The gRPC status code.
        code: u32,
    },
    /// The stream carries other bytes: all payloads up to the end of the data together satisfy the check.
    Payload {
        /// The stream.
        stream: u32,
        /// Says what is wrong with the live bytes.
        check: PayloadCheck,
    },
    /// The stream carries other messages: all up to its end together satisfy the check.
    Messages {
        /// The stream.
        stream: u32,
        /// Says what is wrong with the live messages.
        check: fn(&[Tree]) -> Result<(), String>,
    },
    /// These streams share their messages, and chance decides which of them gets one.
    Shared {
        /// The streams.
        streams: &'static [u32],
    },
    /// The stream is answered in a way that is not compared.
    Otherwise {
        /// The stream.
        stream: u32,
    },
    /// Log lines carry the driver's UUID and no `[logger] ` prefix, and every reader gets every line.
    LogLines,
    /// This status text is cut; what is left is its beginning.
    Cut {
        /// The trailers.
        seq: u32,
    },
}

impl Allowed {
    /// A deviation that has to occur.
    pub fn always(rule: &'static str, what: Deviation) -> Self {
        Self { rule, connection: 0, what, optional: false }
    }

    /// A deviation that may occur.
    pub fn sometimes(rule: &'static str, what: Deviation) -> Self {
        Self { rule, connection: 0, what, optional: true }
    }

    /// The same on another connection than the first.
    #[must_use]
    pub fn on(mut self, connection: usize) -> Self {
        self.connection = connection;
        self
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

/// Looks at all bytes of a stream.
pub type PayloadCheck = fn(Vec<u8>) -> BoxFuture<'static, Result<(), String>>;

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
        let used = run.used.into_inner();
        for (at, allowed) in run.allowed.iter().enumerate() {
            if !allowed.optional && !used.contains(&at) {
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
                            .map(|node| node.uuid),
                    );
                }
            }
        }
        skipped
    }
}

struct Run {
    recording: Recording,
    allowed: Vec<Allowed>,
    without: Vec<String>,
    skipped: HashSet<String>,
    texts: Texts,
    before: HashMap<u32, Action>,
    patience: Duration,
    bindings: Mutex<Bindings>,
    used: Mutex<HashSet<usize>>,
}

/// What is going on in one stream.
#[derive(Default)]
struct Progress {
    queue: VecDeque<Seen>,
    /// Nothing more is compared or sent.
    abandoned: bool,
    /// The client has reset it.
    reset: bool,
    /// The server has ended it.
    ended: bool,
    /// All its messages have been checked together.
    collected: bool,
}

struct Live<'a> {
    run: &'a Run,
    index: usize,
    connection: Connection,
    sender: Sender,
    streams: HashMap<u32, Progress>,
    paths: HashMap<u32, String>,
    closed: Option<String>,
    differences: Vec<Difference>,
}

impl Run {
    async fn connection(&self, index: usize, address: &Address) -> Vec<Difference> {
        let opened = match address.connect().await {
            Ok(io) => Connection::open(io, Role::Client).await,
            Err(error) => Err(error),
        };
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                return vec![Difference {
                    call: format!("connection {index}"),
                    seq: 0,
                    recorded: "a connection".to_owned(),
                    live: format!("{address}: {error}"),
                    how: "the exporter cannot be reached".to_owned(),
                }];
            }
        };
        let recorded = &self.recording.connections[index];
        let live = Live {
            run: self,
            index,
            sender: connection.sender(),
            connection,
            streams: HashMap::new(),
            paths: recorded.streams.iter().map(|stream| (stream.id, stream.path.clone())).collect(),
            closed: None,
            differences: Vec::new(),
        };
        live.play().await
    }

    fn is_skipped(&self, stream: &Stream) -> bool {
        addressed(stream).is_some_and(|uuid| self.skipped.contains(&uuid))
    }

    /// The first allowance for a connection that `select` takes. Taking it does not use it up.
    fn allowance<T>(
        &self,
        connection: usize,
        select: impl Fn(&Deviation) -> Option<T>,
    ) -> Option<(usize, T)> {
        let mut here =
            self.allowed.iter().enumerate().filter(|(_, allowed)| allowed.connection == connection);
        here.find_map(|(at, allowed)| Some((at, select(&allowed.what)?)))
    }

    async fn use_up(&self, at: usize) {
        self.used.lock().await.insert(at);
    }
}

/// The recorded instance that a call is for, in canonical spelling.
pub fn addressed(stream: &Stream) -> Option<String> {
    if let Some(request) = stream.request_header("request") {
        return uuids(request).first().map(|(start, end)| request[*start..*end].to_ascii_lowercase());
    }
    let request = Tree::decode(&stream.path, Direction::Request, &stream.request()?.content());
    request.get("uuid").and_then(Tree::as_text).map(str::to_ascii_lowercase)
}

/// A call in words: which RPC, which method, which stream.
pub fn describe(connection: usize, stream: &Stream) -> String {
    let request =
        stream.request().map(|message| Tree::decode(&stream.path, Direction::Request, &message.content()));
    let method =
        request.as_ref().and_then(|tree| tree.get("method")).and_then(Tree::as_text).unwrap_or_default();
    let detail = stream.request_header("request").unwrap_or(method);
    format!("connection {connection}, stream {}, {} {detail}", stream.id, stream.rpc()).trim_end().to_owned()
}

impl Live<'_> {
    async fn play(mut self) -> Vec<Difference> {
        let run = self.run;
        let recorded = &run.recording.connections[self.index];
        let events = recorded.events();
        for (at, (stream, event)) in events.iter().enumerate() {
            if run.is_skipped(stream) || self.stream(stream.id).abandoned {
                continue;
            }
            match event.from {
                Side::Server => self.expect(stream, event).await,
                Side::Client => {
                    let ends_here = events[at + 1..]
                        .iter()
                        .find(|(other, next)| other.id == stream.id && next.from == Side::Client)
                        .is_some_and(
                            |(_, next)| matches!(&next.what, What::EndStream { on } if on == "DATA"),
                        );
                    self.send(stream, event, ends_here).await;
                }
            }
        }
        self.finish(recorded).await;
        self.sender.close().await.ok();
        self.differences.sort_by_key(|difference| difference.seq);
        self.differences
    }

    fn stream(&mut self, id: u32) -> &mut Progress {
        self.streams.entry(id).or_default()
    }

    fn differ(&mut self, stream: &Stream, seq: u32, recorded: String, live: String, how: String) {
        let call = describe(self.index, stream);
        self.differences.push(Difference { call, seq, recorded, live, how });
    }

    fn sort_in(&mut self, arrival: crate::http2::Arrival) {
        if let Arrived::Closed(reason) = arrival.what {
            self.closed = Some(reason);
            return;
        }
        let path = self.paths.get(&arrival.stream).cloned().unwrap_or_default();
        let seen = Seen::live(&path, Direction::Response, &arrival.what);
        let progress = self.stream(arrival.stream);
        // A server that has answered says with a reset that it will not read the rest of the request.
        let after_the_end = progress.ended || matches!(progress.queue.back(), Some(Seen::Trailers { .. }));
        if !(after_the_end && seen == Seen::Reset(0)) {
            progress.queue.push_back(seen);
        }
    }

    /// The next event of a stream, waiting until `until`.
    async fn next(&mut self, id: u32, until: Instant) -> Option<Seen> {
        loop {
            if let Some(seen) = self.stream(id).queue.pop_front() {
                let last = seen.is_last();
                self.stream(id).ended |= last;
                return Some(seen);
            }
            if let Some(reason) = &self.closed {
                return Some(Seen::Closed(reason.clone()));
            }
            match timeout_at(until, self.connection.next()).await {
                Ok(Some(arrival)) => self.sort_in(arrival),
                Ok(None) => self.closed = Some("closed by the peer".to_owned()),
                Err(_) => return None,
            }
        }
    }

    async fn expect(&mut self, stream: &Stream, event: &Event) {
        let run = self.run;
        if self.stream(stream.id).reset
            || matches!(event.what, What::EndStream { .. } | What::RstStream { .. })
        {
            // In flight when the client reset the stream; or said together with the trailers.
            return;
        }
        let omitted =
            |what: &Deviation| matches!(what, Deviation::Omitted { seq } if *seq == event.seq).then_some(());
        let otherwise = |what: &Deviation| {
            matches!(what, Deviation::Otherwise { stream: id } if *id == stream.id).then_some(())
        };
        if let Some((at, ())) = run.allowance(self.index, omitted) {
            run.use_up(at).await;
            return;
        }
        if let Some((at, ())) = run.allowance(self.index, otherwise) {
            run.use_up(at).await;
            self.stream(stream.id).abandoned = true;
            self.next(stream.id, Instant::now() + self.run.patience).await;
            return;
        }
        let recorded = Seen::recorded(&stream.path, Direction::Response, &event.what);
        if self.expect_together(stream, event.seq, &recorded).await {
            return;
        }
        let until = Instant::now() + self.run.patience;
        loop {
            let Some(live) = self.next(stream.id, until).await else {
                self.stream(stream.id).abandoned = true;
                let how = format!("nothing came within {} s", self.run.patience.as_secs());
                self.differ(stream, event.seq, recorded.to_string(), "nothing".to_owned(), how);
                return;
            };
            let is_report = stream.rpc() == "GetReport"
                && matches!((&recorded, &live), (Seen::Message(_), Seen::Message(_)));
            let problems =
                if let (true, Seen::Message(recorded), Seen::Message(live)) = (is_report, &recorded, &live) {
                    report::compare(recorded, live, &run.without, &mut *run.bindings.lock().await)
                } else {
                    let mut bindings = run.bindings.lock().await;
                    compare(&stream.path, &recorded, &live, &mut bindings, run.texts).into_iter().collect()
                };
            if problems.is_empty() {
                return;
            }
            match self.excuse(stream, event, &recorded, &live).await {
                Excuse::Enough => return,
                Excuse::Next => continue,
                Excuse::None => {}
            }
            let gone = live.is_last() && !recorded.is_last();
            self.stream(stream.id).abandoned |= gone || matches!(live, Seen::Closed(_));
            for how in problems {
                self.differ(stream, event.seq, recorded.to_string(), live.to_string(), how);
            }
            return;
        }
    }

    /// Whether an allowance covers that `live` came instead of `recorded`.
    async fn excuse(&mut self, stream: &Stream, event: &Event, recorded: &Seen, live: &Seen) -> Excuse {
        let run = self.run;
        let seq_of_event = event.seq;
        let fits = |what: &Deviation| match (what, recorded, live) {
            (Deviation::Status { seq, code }, Seen::Trailers { .. }, Seen::Trailers { code: live, .. })
                if *seq == seq_of_event && code == live =>
            {
                Some(Excuse::Enough)
            }
            (Deviation::Status { seq, .. }, Seen::Trailers { .. }, Seen::Headers(_))
                if *seq == seq_of_event =>
            {
                Some(Excuse::Next)
            }
            (
                Deviation::Text { seq, contains },
                Seen::Trailers { code, .. },
                Seen::Trailers { code: live_code, text, .. },
            ) if *seq == seq_of_event && code == live_code && text.contains(contains) => Some(Excuse::Enough),
            (
                Deviation::Cut { seq },
                Seen::Trailers { code, text: whole, .. },
                Seen::Trailers { code: live_code, text, .. },
            ) if *seq == seq_of_event
                && code == live_code
                && text.len() < whole.len()
                && whole.as_bytes().iter().zip(text.as_bytes()).filter(|(a, b)| a == b).count() * 10
                    > text.len() * 9 =>
            {
                Some(Excuse::Enough)
            }
            (Deviation::Message { seq, check }, Seen::Message(_), Seen::Message(live))
                if *seq == seq_of_event && check(live).is_ok() =>
            {
                Some(Excuse::Enough)
            }
            (Deviation::Refused { seq, code }, _, Seen::Trailers { code: live, .. })
                if *seq == seq_of_event && code == live =>
            {
                Some(Excuse::Enough)
            }
            (Deviation::LogLines, Seen::Message(recorded), Seen::Message(live))
                if stream.rpc() == "LogStream" =>
            {
                Some(if same_line(recorded, live) { Excuse::Enough } else { Excuse::Next })
            }
            _ => None,
        };
        let Some((at, excuse)) = run.allowance(self.index, fits) else { return Excuse::None };
        run.use_up(at).await;
        if matches!(run.allowed[at].what, Deviation::Refused { .. }) {
            self.stream(stream.id).abandoned = true;
        }
        excuse
    }

    /// Handles events that an allowance wants to be looked at together with others. `false` when there is none.
    async fn expect_together(&mut self, stream: &Stream, seq: u32, recorded: &Seen) -> bool {
        let run = self.run;
        let shared = |what: &Deviation| match what {
            Deviation::Shared { streams } if streams.contains(&stream.id) => Some(*streams),
            _ => None,
        };
        if let Some((at, streams)) = run.allowance(self.index, shared) {
            run.use_up(at).await;
            if matches!(recorded, Seen::Message(_)) {
                self.expect_shared(stream, seq, recorded, streams).await;
            }
            return true;
        }
        if !matches!(recorded, Seen::Message(_)) {
            return false;
        }
        let payload = |what: &Deviation| match what {
            Deviation::Payload { stream: id, check } if *id == stream.id => Some(*check),
            _ => None,
        };
        if let Some((at, check)) = run.allowance(self.index, payload) {
            run.use_up(at).await;
            if !std::mem::replace(&mut self.stream(stream.id).collected, true) {
                self.expect_payload(stream, seq, check).await;
            }
            // What ends the data is compared as usual.
            return !is_goaway(recorded);
        }
        if self.stream(stream.id).collected {
            return true;
        }
        let messages = |what: &Deviation| match what {
            Deviation::Messages { stream: id, check } if *id == stream.id => Some(*check),
            _ => None,
        };
        if let Some((at, check)) = run.allowance(self.index, messages) {
            run.use_up(at).await;
            self.expect_messages(stream, seq, check).await;
            return true;
        }
        false
    }

    /// Takes the next message from whichever of the streams has one.
    async fn expect_shared(&mut self, stream: &Stream, seq: u32, recorded: &Seen, streams: &[u32]) {
        let until = Instant::now() + self.run.patience;
        loop {
            let ready = streams.iter().copied().find(|id| !self.stream(*id).queue.is_empty());
            let live = match ready {
                Some(id) => self.next(id, until).await,
                None => match timeout_at(until, self.connection.next()).await {
                    Ok(Some(arrival)) => {
                        self.sort_in(arrival);
                        continue;
                    }
                    _ => None,
                },
            };
            if matches!(live, Some(Seen::Headers(_))) {
                continue;
            }
            let how = match &live {
                Some(live) => {
                    let mut bindings = self.run.bindings.lock().await;
                    compare(&stream.path, recorded, live, &mut bindings, self.run.texts)
                }
                None => Some(format!("nothing came within {} s", self.run.patience.as_secs())),
            };
            if let Some(how) = how {
                let live = live.map_or_else(|| "nothing".to_owned(), |live| live.to_string());
                self.differ(stream, seq, recorded.to_string(), live, how);
            }
            return;
        }
    }

    /// Collects the messages of a stream; what ends them is compared next.
    async fn expect_messages(&mut self, stream: &Stream, seq: u32, check: fn(&[Tree]) -> Result<(), String>) {
        let until = Instant::now() + self.run.patience;
        let mut messages = Vec::new();
        self.stream(stream.id).collected = true;
        while let Some(seen) = self.next(stream.id, until).await {
            match seen {
                Seen::Message(message) => messages.push(message),
                other => {
                    self.stream(stream.id).queue.push_front(other);
                    break;
                }
            }
        }
        if let Err(problem) = check(&messages) {
            let live = Tree::List(messages).to_string();
            self.differ(stream, seq, "(other messages)".to_owned(), live, problem);
        }
    }

    /// Collects the payloads of a byte stream up to its GOAWAY, which is given back to be compared.
    async fn expect_payload(&mut self, stream: &Stream, seq: u32, check: PayloadCheck) {
        let until = Instant::now() + self.run.patience;
        let mut bytes = Vec::new();
        let outcome = loop {
            match self.next(stream.id, until).await {
                Some(Seen::Message(message)) if message.get("frame_type").is_none() => {
                    if let Some(Tree::Bytes(payload)) = message.get("payload") {
                        bytes.extend_from_slice(payload);
                    }
                }
                Some(other) => {
                    let ended = matches!(&other, Seen::Message(_));
                    let text = other.to_string();
                    self.stream(stream.id).queue.push_front(other);
                    break if ended {
                        check(bytes.clone()).await
                    } else {
                        Err(format!("the data ends with {text}"))
                    };
                }
                None => break Err("the data has no end".to_owned()),
            }
        };
        if let Err(problem) = outcome {
            self.differ(stream, seq, "(other bytes)".to_owned(), format!("{} bytes", bytes.len()), problem);
        }
    }

    async fn send(&mut self, stream: &Stream, event: &Event, ends_here: bool) {
        let run = self.run;
        if self.index == 0
            && let Some(action) = run.before.get(&event.seq)
            && let Err(error) = action().await
        {
            self.differ(
                stream,
                event.seq,
                "a request".to_owned(),
                "nothing sent".to_owned(),
                error.to_string(),
            );
        }
        let id = stream.id;
        let outcome = match &event.what {
            What::Headers { headers } => {
                let headers: Headers = {
                    let mut bindings = run.bindings.lock().await;
                    headers
                        .iter()
                        .map(|(name, value)| {
                            let value =
                                String::from_utf8_lossy(&bindings.rewrite(value.as_bytes())).into_owned();
                            (name.clone(), value)
                        })
                        .collect()
                };
                self.sender.headers(id, &headers, false).await
            }
            What::Message(message) => {
                let content: Bytes = run.bindings.lock().await.rewrite(&message.content()).into();
                self.sender.message(id, &content, ends_here).await
            }
            What::EndStream { on } if on == "DATA" => Ok(()),
            What::EndStream { .. } => self.sender.end(id).await,
            What::RstStream { error_code } => {
                self.before_reset(stream, event).await;
                self.stream(id).reset = true;
                self.sender.reset(id, *error_code).await
            }
            What::Trailers { .. } => Ok(()),
        };
        // A peer that has answered need not read the rest.
        if let Err(error) = outcome
            && !self.stream(id).ended
        {
            self.drain().await;
            let over = self.closed.is_some() || !self.stream(id).queue.iter().any(Seen::is_last);
            if over {
                self.stream(id).abandoned = true;
                self.differ(
                    stream,
                    event.seq,
                    "a request".to_owned(),
                    error.to_string(),
                    "it cannot be sent".to_owned(),
                );
            }
        }
    }

    /// Takes in what arrives during a short silence.
    async fn drain(&mut self) {
        while self.closed.is_none() {
            match timeout(QUIET, self.connection.next()).await {
                Ok(Some(arrival)) => self.sort_in(arrival),
                Ok(None) => self.closed = Some("closed by the peer".to_owned()),
                Err(_) => break,
            }
        }
    }

    /// The client gives a call up: until then, everything that came has to be in the recording, and the call is open.
    async fn before_reset(&mut self, stream: &Stream, event: &Event) {
        if self.stream(stream.id).ended {
            return;
        }
        // A server in full flow sends more before the reset reaches it; the recording shows such messages after it.
        let flowing = stream.events.iter().any(|e| e.seq > event.seq && e.from == Side::Server);
        if flowing {
            return;
        }
        self.drain().await;
        let mut before = stream.events.iter().rev().filter(|e| e.seq < event.seq);
        let closing = before.next().is_some_and(|e| e.from == Side::Client && ends_data(stream, e));
        if closing && self.stream(stream.id).queue.front().is_some_and(is_goaway) {
            // The recorded client did not wait for the answer to its own.
            self.stream(stream.id).queue.pop_front();
        }
        self.check_rest(stream, event.seq).await;
    }

    async fn check_rest(&mut self, stream: &Stream, seq: u32) {
        let run = self.run;
        let rest: Vec<Seen> = self.stream(stream.id).queue.drain(..).collect();
        for seen in rest {
            let fits = |what: &Deviation| match (what, &seen) {
                (Deviation::Ended { stream: id, code }, Seen::Trailers { code: live, .. }) => {
                    (*id == stream.id && code == live).then_some(())
                }
                (Deviation::LogLines, Seen::Message(_)) => (stream.rpc() == "LogStream").then_some(()),
                _ => None,
            };
            if let Some((at, ())) = run.allowance(self.index, fits) {
                run.use_up(at).await;
            } else {
                self.differ(
                    stream,
                    seq,
                    "nothing more".to_owned(),
                    seen.to_string(),
                    "not in the recording".to_owned(),
                );
            }
        }
    }

    /// After the last event nothing may be left.
    async fn finish(&mut self, recorded: &crate::recording::Connection) {
        self.drain().await;
        for stream in &recorded.streams {
            let progress = self.stream(stream.id);
            if progress.abandoned || progress.reset {
                continue;
            }
            let seq = stream.events.last().map_or(0, |event| event.seq);
            self.check_rest(stream, seq).await;
        }
        if let Some(reason) = self.closed.take() {
            self.differences.push(Difference {
                call: format!("connection {}", self.index),
                seq: u32::MAX,
                recorded: "a connection that the client closes".to_owned(),
                live: reason,
                how: "the exporter closed the connection".to_owned(),
            });
        }
    }
}

fn is_goaway(seen: &Seen) -> bool {
    let kind = |tree: &Tree| tree.get("frame_type").and_then(Tree::as_text) == Some("FRAME_TYPE_GOAWAY");
    matches!(seen, Seen::Message(tree) if kind(tree))
}

/// Whether with this event the client ends the data of a byte stream.
fn ends_data(stream: &Stream, event: &Event) -> bool {
    stream.path.ends_with("RouterService/Stream")
        && (matches!(event.what, What::EndStream { .. })
            || is_goaway(&Seen::recorded(&stream.path, Direction::Request, &event.what)))
}

enum Excuse {
    None,
    /// The live event stands for the recorded one.
    Enough,
    /// The live event is additional: the recorded one may come next.
    Next,
}

/// Whether two log lines say the same, apart from the prefix that upstream adds when the logger changes and the UUID
/// that it leaves empty.
fn same_line(recorded: &Tree, live: &Tree) -> bool {
    let text = |tree: &Tree, key: &str| tree.get(key).and_then(Tree::as_text).unwrap_or_default().to_owned();
    let message = text(recorded, "message");
    let bare = message
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .map_or(message.as_str(), |(_, rest)| rest);
    let live_message = text(live, "message");
    (live_message == message || live_message == bare)
        && ["severity", "source"].iter().all(|key| text(recorded, key) == text(live, key))
}
