//! A recording replayed as the exporter: a client under test talks to a server that gives the recorded answers.
//!
//! ```ignore
//! scripted("j_power_on").not_calling("get_methods").run(|socket| async move {
//!     // client code that uses `socket` and switches the power on
//! }).await?;
//! ```
//!
//! A call is recognised by its RPC and its first message (or its `request` header); recorded calls can be claimed in any
//! order, but each answer waits until everything has arrived that the recorded client had sent by then. So a client that
//! does less than the recorded one, or does it later, gets no answer, and [`Unfaithful`] says what was missing. How bytes
//! are cut into frames is the client's own business: payloads are compared end to end.

use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::compare::{Metadata, Seen};
use crate::http2::{Arrived, Connection, Headers, Io, Role, Sender};
use crate::message::{Direction, Tree};
use crate::recording::{Recording, Side, Stream, What};
use crate::replay::describe;

/// How long the client may take for the whole scenario.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long its connections may live on after it has finished.
const GRACE: Duration = Duration::from_secs(2);

/// The exporter of a recording, by name.
///
/// # Panics
///
/// When there is no such recording: that is a mistake in the test.
pub fn scripted(name: &str) -> Scripted {
    match Recording::load(name) {
        Ok(recording) => Scripted::of(recording),
        Err(problem) => panic!("{problem}"),
    }
}

/// A scripted exporter that is being prepared.
pub struct Scripted {
    recording: Recording,
    optional: Vec<String>,
    patience: Duration,
}

/// What a client did otherwise than the recorded one.
#[derive(Debug, Clone)]
pub struct Unfaithful {
    /// The scenario.
    pub scenario: String,
    /// What was wrong, in the order in which it was noticed.
    pub problems: Vec<String>,
}

impl fmt::Display for Unfaithful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: the client is not the recorded one:", self.scenario)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

impl std::error::Error for Unfaithful {}

impl Scripted {
    /// The exporter of a recording.
    pub fn of(recording: Recording) -> Self {
        Self { recording, optional: Vec::new(), patience: PATIENCE }
    }

    /// The client under test need not make these calls: a driver's method, or an RPC by its name (`GetStatus`).
    #[must_use]
    pub fn not_calling(mut self, name: &str) -> Self {
        self.optional.push(name.to_owned());
        self
    }

    /// How long the client may take for the whole scenario.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs a client against the exporter, which listens at the given unix socket until the client's future is done.
    pub async fn run<F, T>(self, client: impl FnOnce(PathBuf) -> F) -> Result<T, Unfaithful>
    where
        F: Future<Output = T>,
    {
        let failed = |error| self.fails(format!("no socket: {error}"));
        let folder = tempfile::Builder::new().prefix("jumpstarter-").tempdir().map_err(failed)?;
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        self.play(Listener::Unix(listener), client(socket)).await
    }

    /// The same with an exporter that listens at an address, in clear text.
    pub async fn run_at_address<F, T>(self, client: impl FnOnce(SocketAddr) -> F) -> Result<T, Unfaithful>
    where
        F: Future<Output = T>,
    {
        let failed = |error| self.fails(format!("no address: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        self.play(Listener::Tcp(listener), client(address)).await
    }

    fn fails(&self, problem: String) -> Unfaithful {
        Unfaithful { scenario: self.recording.scenario.clone(), problems: vec![problem] }
    }

    async fn play<T>(self, listener: Listener, client: impl Future<Output = T>) -> Result<T, Unfaithful> {
        let scenario = self.recording.scenario.clone();
        let fail = |problems| Unfaithful { scenario, problems };
        let stage = Arc::new(Stage::of(self.recording, &self.optional));
        let server = tokio::spawn(serve(listener, Arc::clone(&stage)));
        let outcome = timeout(self.patience, client).await;
        // The client has its answers; what it still has on the way belongs to the scenario as well.
        let mut changed = stage.changed.subscribe();
        timeout(GRACE, async {
            while !stage.missing().await.is_empty() && changed.changed().await.is_ok() {}
        })
        .await
        .ok();
        server.abort();
        let mut problems = stage.state.lock().await.problems.clone();
        problems.extend(stage.missing().await);
        match outcome {
            Ok(value) if problems.is_empty() => Ok(value),
            Ok(_) => Err(fail(problems)),
            Err(_) => {
                problems.insert(0, format!("the client was not done after {} s", self.patience.as_secs()));
                Err(fail(problems))
            }
        }
    }
}

/// Where clients come from.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

async fn serve(listener: Listener, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    while let Ok(io) = listener.accept().await {
        let stage = Arc::clone(&stage);
        connections.spawn(async move {
            if let Ok(connection) = Connection::open(io, Role::Server).await {
                Act { sender: connection.sender(), stage, calls: HashMap::new() }.play(connection).await;
            }
        });
    }
}

/// The scenario and how far it has come, shared by all connections.
struct Stage {
    recording: Recording,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

struct State {
    parts: Vec<Part>,
    problems: Vec<String>,
}

/// One recorded call.
struct Part {
    connection: usize,
    stream: usize,
    optional: bool,
    life: Life,
    /// Bytes of all DATA frames so far; for other RPCs, nothing.
    payload: Vec<u8>,
    /// Everything else that came, in order: messages, other frames.
    messages: Vec<Tree>,
}

/// How far a recorded call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    /// No live call is it yet.
    Waiting,
    /// A live call is.
    Playing,
    /// The client sends nothing more.
    Ended,
    /// The client has given the call up, or its connection.
    Over,
}

impl Stage {
    fn of(recording: Recording, optional: &[String]) -> Self {
        let mut parts = Vec::new();
        for (connection, recorded) in recording.connections.iter().enumerate() {
            for (stream, call) in recorded.streams.iter().enumerate() {
                let request =
                    call.request().map(|m| Tree::decode(&call.path, Direction::Request, &m.content()));
                let method = request.as_ref().and_then(|tree| tree.get("method")).and_then(Tree::as_text);
                let optional =
                    optional.iter().any(|name| name == call.rpc() || Some(name.as_str()) == method);
                parts.push(Part {
                    connection,
                    stream,
                    optional,
                    life: Life::Waiting,
                    payload: Vec::new(),
                    messages: Vec::new(),
                });
            }
        }
        let state = Mutex::new(State { parts, problems: Vec::new() });
        Self { recording, state, changed: watch::Sender::new(0) }
    }

    fn stream(&self, part: &Part) -> &Stream {
        &self.recording.connections[part.connection].streams[part.stream]
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    async fn complain(&self, problem: String) {
        self.state.lock().await.problems.push(problem);
    }

    /// What the recorded client sent and this one has not.
    async fn missing(&self) -> Vec<String> {
        let state = self.state.lock().await;
        let mut missing = Vec::new();
        for part in &state.parts {
            let stream = self.stream(part);
            let call = describe(part.connection, stream);
            if part.life == Life::Waiting {
                if !part.optional {
                    missing.push(format!("{call} was not called"));
                }
                continue;
            }
            missing.extend(self.lacks(part, u32::MAX).map(|what| format!("{call}: {what} did not come")));
        }
        missing
    }

    /// The first thing that the recorded client had sent before `seq` in a call, and this one has not.
    fn lacks(&self, part: &Part, seq: u32) -> Option<String> {
        let stream = self.stream(part);
        let router = is_router(&stream.path);
        let (mut payload, mut others) = (0, 0);
        for event in stream.events.iter().filter(|event| event.from == Side::Client && event.seq < seq) {
            match &event.what {
                What::Headers { .. } if part.life == Life::Waiting => return Some("the call".to_owned()),
                What::Message(message) => {
                    let tree = Tree::decode(&stream.path, Direction::Request, &message.content());
                    if router && is_data(&tree) {
                        payload += payload_of(&tree).len();
                        if part.payload.len() < payload {
                            return Some(format!("byte {} of the data", part.payload.len()));
                        }
                    } else {
                        others += 1;
                        if part.messages.len() < others && part.life < Life::Over {
                            return Some(tree.to_string());
                        }
                    }
                }
                // After the frame that ends the data, the end of the direction says nothing new.
                What::EndStream { .. } if part.life < Life::Ended && !(router && others > 0) => {
                    return Some("the end of the request".to_owned());
                }
                _ => {}
            }
        }
        None
    }
}

fn is_router(path: &str) -> bool {
    path.ends_with("RouterService/Stream")
}

/// Whether a frame of a byte stream carries data.
fn is_data(frame: &Tree) -> bool {
    frame.get("frame_type").is_none()
}

fn payload_of(frame: &Tree) -> &[u8] {
    match frame.get("payload") {
        Some(Tree::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

/// What a method of upstream's drivers takes for its last argument when there is none, and how many arguments there are with
/// it.
fn default_of(method: &str) -> Option<(usize, Tree)> {
    match method {
        "hash" => Some((2, Tree::Text("sha256".to_owned()))),
        "file_seek" => Some((3, Tree::Number(0.0))),
        _ => None,
    }
}

/// A request without what says nothing: missing arguments at the end of a driver call are null, or the default, for its
/// driver, too.
fn meaning(path: &str, mut request: Tree) -> Tree {
    let default = request.get("method").and_then(Tree::as_text).and_then(default_of);
    if path.ends_with("DriverCall")
        && let Tree::Map(fields) = &mut request
        && let Some(Tree::List(args)) = fields.get_mut("args")
    {
        if default.is_some_and(|(count, default)| args.len() == count && args.last() == Some(&default)) {
            args.pop();
        }
        while args.last() == Some(&Tree::Null) {
            args.pop();
        }
        if args.is_empty() {
            fields.remove("args");
        }
    }
    request
}

/// A live call.
enum Call {
    /// Its headers have come; which recorded call it is shows with its first message.
    Opened { path: String, metadata: Metadata },
    /// It plays this recorded call, whose events up to here have been sent.
    Playing { part: usize, next: usize },
    /// It is not in the recording, or it is over.
    Done,
}

/// One connection of the client.
struct Act {
    sender: Sender,
    stage: Arc<Stage>,
    calls: HashMap<u32, Call>,
}

impl Act {
    async fn play(mut self, mut connection: Connection) {
        let mut changed = self.stage.changed.subscribe();
        loop {
            self.answer().await;
            tokio::select! {
                arrival = connection.next() => match arrival {
                    Some(arrival) => {
                        if matches!(arrival.what, Arrived::Closed(_)) {
                            break;
                        }
                        self.on(arrival.stream, arrival.what).await;
                        self.stage.tell();
                    }
                    None => break,
                },
                outcome = changed.changed() => if outcome.is_err() { break },
            }
        }
        for call in self.calls.values() {
            if let Call::Playing { part, .. } = call {
                self.stage.state.lock().await.parts[*part].life = Life::Over;
            }
        }
        self.stage.tell();
    }

    async fn on(&mut self, id: u32, what: Arrived) {
        match what {
            Arrived::Headers(headers) => self.on_headers(id, &headers).await,
            Arrived::Message(bytes) => {
                let path = match self.calls.get(&id) {
                    Some(Call::Opened { path, .. }) => path.clone(),
                    Some(Call::Playing { part, .. }) => {
                        let state = self.stage.state.lock().await;
                        self.stage.stream(&state.parts[*part]).path.clone()
                    }
                    _ => return,
                };
                let tree = meaning(&path, Tree::decode(&path, Direction::Request, &bytes));
                if let Some(Call::Opened { .. }) = self.calls.get(&id) {
                    self.claim(id, Some(&tree)).await;
                }
                self.note(id, tree).await;
            }
            Arrived::End => {
                if let Some(Call::Opened { .. }) = self.calls.get(&id) {
                    self.claim(id, None).await;
                }
                if let Some(Call::Playing { part, .. }) = self.calls.get(&id) {
                    self.stage.state.lock().await.parts[*part].life = Life::Ended;
                }
            }
            Arrived::Reset(_) => {
                if let Some(Call::Playing { part, .. }) = self.calls.insert(id, Call::Done) {
                    self.stage.state.lock().await.parts[part].life = Life::Over;
                }
            }
            Arrived::Broken(problem) => self.stage.complain(format!("stream {id}: {problem}")).await,
            Arrived::Trailers { .. } | Arrived::Closed(_) => {}
        }
    }

    async fn on_headers(&mut self, id: u32, headers: &Headers) {
        let value =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let path = value(":path").unwrap_or_default().to_owned();
        for (name, wanted) in [(":method", "POST"), ("te", "trailers"), ("content-type", "application/grpc")]
        {
            if value(name) != Some(wanted) {
                self.stage
                    .complain(format!("{path}: header {name} is {:?}, not {wanted:?}", value(name)))
                    .await;
            }
        }
        let metadata = crate::compare::metadata(headers);
        let named_by_header = is_router(&path);
        self.calls.insert(id, Call::Opened { path, metadata });
        if named_by_header {
            self.claim(id, None).await;
        }
    }

    /// Finds the first recorded call, not played yet, that this one is.
    async fn claim(&mut self, id: u32, first: Option<&Tree>) {
        let Some(Call::Opened { path, metadata }) = self.calls.remove(&id) else { return };
        let mut state = self.stage.state.lock().await;
        let request = |metadata: &Metadata| metadata.get("request").cloned();
        let mut found = None;
        for (at, part) in state.parts.iter().enumerate() {
            let stream = self.stage.stream(part);
            if part.life > Life::Waiting || stream.path != path {
                continue;
            }
            let recorded = stream.events.iter().find_map(|event| match (&event.what, event.from) {
                (What::Headers { headers }, Side::Client) => Some(crate::compare::metadata(headers)),
                _ => None,
            });
            let recorded = recorded.unwrap_or_default();
            let same_message = is_router(&path)
                || stream
                    .request()
                    .map(|m| meaning(&path, Tree::decode(&path, Direction::Request, &m.content())))
                    .as_ref()
                    == first;
            if same_message && same_json(request(&recorded), request(&metadata)) {
                let others = |metadata: &Metadata| {
                    let mut metadata = metadata.clone();
                    metadata.remove("request");
                    metadata
                };
                found = Some((at, others(&recorded) == others(&metadata)));
                if others(&recorded) == others(&metadata) {
                    break;
                }
            }
        }
        if let Some((part, same_metadata)) = found {
            state.parts[part].life = Life::Playing;
            if !same_metadata {
                let call = describe(state.parts[part].connection, self.stage.stream(&state.parts[part]));
                state.problems.push(format!("{call}: the metadata is {metadata:?}"));
            }
            self.calls.insert(id, Call::Playing { part, next: 0 });
            return;
        }
        let what = first.map_or_else(|| format!("{:?}", request(&metadata)), Tree::to_string);
        state.problems.push(format!("{path} {what} is not in the recording (or was called once more)"));
        drop(state);
        self.calls.insert(id, Call::Done);
        let trailers = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "12"),
            ("grpc-message", "not in the recording"),
        ];
        let trailers: Headers = trailers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        self.sender.headers(id, &trailers, true).await.ok();
    }

    /// Compares a message of a call that is being played, and keeps it.
    async fn note(&self, id: u32, tree: Tree) {
        let Some(Call::Playing { part, .. }) = self.calls.get(&id) else { return };
        let mut state = self.stage.state.lock().await;
        let stream = self.stage.stream(&state.parts[*part]);
        let recorded: Vec<Tree> = stream
            .events
            .iter()
            .filter_map(|event| match (&event.what, event.from) {
                (What::Message(m), Side::Client) => {
                    Some(meaning(&stream.path, Tree::decode(&stream.path, Direction::Request, &m.content())))
                }
                _ => None,
            })
            .collect();
        let call = describe(state.parts[*part].connection, stream);
        let router = is_router(&stream.path);
        let State { parts, problems } = &mut *state;
        let live = &mut parts[*part];
        if router && is_data(&tree) {
            let all: Vec<u8> = recorded
                .iter()
                .filter(|frame| is_data(frame))
                .flat_map(|frame| payload_of(frame).to_vec())
                .collect();
            live.payload.extend_from_slice(payload_of(&tree));
            if !all.starts_with(&live.payload) {
                problems.push(format!("{call}: the data is not the recorded data ({tree})"));
            }
            return;
        }
        let mut others = recorded.iter().filter(|frame| !(router && is_data(frame)));
        let expected = others.nth(live.messages.len());
        if expected != Some(&tree) {
            let expected = expected.map_or_else(|| "nothing".to_owned(), Tree::to_string);
            problems.push(format!("{call}: {tree} instead of {expected}"));
        }
        live.messages.push(tree);
    }

    /// Sends all answers that are due on this connection.
    async fn answer(&mut self) {
        loop {
            let mut due = Vec::new();
            {
                let state = self.stage.state.lock().await;
                for (id, call) in &mut self.calls {
                    let Call::Playing { part, next } = call else { continue };
                    let stream = self.stage.stream(&state.parts[*part]);
                    let Some((at, event)) = stream
                        .events
                        .iter()
                        .enumerate()
                        .skip(*next)
                        .find(|(_, event)| event.from == Side::Server)
                    else {
                        continue;
                    };
                    let connection = state.parts[*part].connection;
                    let waits = state
                        .parts
                        .iter()
                        .filter(|other| {
                            other.connection == connection && (other.life > Life::Waiting || !other.optional)
                        })
                        .any(|other| self.stage.lacks(other, event.seq).is_some());
                    if !waits {
                        *next = at + 1;
                        due.push((*id, event.seq, event.what.clone()));
                    }
                }
            }
            if due.is_empty() {
                return;
            }
            due.sort_by_key(|(_, seq, _)| *seq);
            for (id, _, what) in due {
                let sent = match &what {
                    What::Headers { headers } => self.sender.headers(id, headers, false).await,
                    What::Message(message) => self.sender.message(id, &message.content(), false).await,
                    What::Trailers { headers, .. } => self.sender.headers(id, headers, true).await,
                    What::EndStream { .. } | What::RstStream { .. } => Ok(()),
                };
                if sent.is_err() {
                    // The client has gone; whether it may is decided by what it has not sent.
                    self.calls.insert(id, Call::Done);
                }
            }
        }
    }
}

fn same_json(recorded: Option<Vec<String>>, live: Option<Vec<String>>) -> bool {
    let parse = |values: Option<Vec<String>>| -> Vec<Result<Tree, String>> {
        let parse_one = |text: String| match serde_json::from_str(&text) {
            Ok(value) => Ok(Tree::of_json(&value)),
            Err(_) => Err(text),
        };
        values.unwrap_or_default().into_iter().map(parse_one).collect()
    };
    parse(recorded) == parse(live)
}

/// The bytes that the recorded client sent in its byte stream number `which`, counted from 0 over all connections.
///
/// # Panics
///
/// When there is no such stream: that is a mistake in the test.
pub fn payload(recording: &Recording, which: usize) -> Bytes {
    let streams = recording.connections.iter().flat_map(|connection| &connection.streams);
    let stream = streams.filter(|stream| is_router(&stream.path)).nth(which);
    let events = &stream.expect("a recorded byte stream").events;
    let mut bytes = Vec::new();
    for event in events.iter().filter(|event| event.from == Side::Client) {
        if let What::Message(message) = &event.what {
            let frame =
                Tree::decode("/jumpstarter.v1.RouterService/Stream", Direction::Request, &message.content());
            if is_data(&frame) {
                bytes.extend_from_slice(payload_of(&frame));
            }
        }
    }
    bytes.into()
}

/// A recorded event in words, for reports.
pub fn in_words(stream: &Stream, what: &What, from: Side) -> String {
    let direction = if from == Side::Client { Direction::Request } else { Direction::Response };
    Seen::recorded(&stream.path, direction, what).to_string()
}
