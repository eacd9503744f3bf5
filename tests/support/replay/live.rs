//! One replay under way: what is sent, awaited and compared.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::allowed::{Allowed, Deviation};
use super::call::{addressed, describe, ends_data, is_goaway, same_line};
use super::{Action, Address, Difference, QUIET};
use crate::bindings::Bindings;
use crate::compare::{Seen, Texts, compare};
use crate::http2::{Arrived, Connection, Headers, Role, Sender};
use crate::message::Direction;
use crate::recording::{Event, Recording, Side, Stream, What};
use crate::report;
pub(super) struct Run {
    pub(super) recording: Recording,
    pub(super) allowed: Vec<Allowed>,
    pub(super) without: Vec<String>,
    pub(super) skipped: HashSet<String>,
    pub(super) texts: Texts,
    pub(super) before: HashMap<u32, Action>,
    pub(super) patience: Duration,
    pub(super) bindings: Mutex<Bindings>,
    pub(super) used: Mutex<HashSet<usize>>,
}

/// What is going on in one stream.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) queue: VecDeque<Seen>,
    pub(super) life: Life,
    /// All its messages have been checked together.
    pub(super) collected: bool,
}

/// How far a stream has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    #[default]
    Open,
    /// The server has ended it.
    Ended,
    /// The client has reset it.
    Reset,
    /// Nothing more is compared or sent.
    Abandoned,
}

impl Progress {
    fn becomes(&mut self, life: Life) {
        self.life = self.life.max(life);
    }
}

pub(super) struct Live<'a> {
    pub(super) run: &'a Run,
    pub(super) index: usize,
    pub(super) connection: Connection,
    pub(super) sender: Sender,
    pub(super) streams: HashMap<u32, Progress>,
    pub(super) paths: HashMap<u32, String>,
    pub(super) closed: Option<String>,
    pub(super) differences: Vec<Difference>,
}

impl Run {
    pub(super) async fn connection(&self, index: usize, address: &Address) -> Vec<Difference> {
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

    /// Whether a call that the allowance is about is made at all.
    pub(super) fn is_played(&self, allowed: &Allowed) -> bool {
        let streams = self.recording.connections.get(allowed.connection).map_or(&[][..], |c| &c.streams);
        let mut concerned = streams.iter().filter(|stream| allowed.what.concerns(stream)).peekable();
        concerned.peek().is_none() || concerned.any(|stream| !self.is_skipped(stream))
    }

    fn is_skipped(&self, stream: &Stream) -> bool {
        addressed(stream).is_some_and(|uuid| self.skipped.contains(&uuid))
    }

    /// The first allowance for a connection that `select` takes. Taking it does not use it up.
    pub(super) fn allowance<T>(
        &self,
        connection: usize,
        select: impl Fn(&Deviation) -> Option<T>,
    ) -> Option<(usize, T)> {
        let mut here =
            self.allowed.iter().enumerate().filter(|(_, allowed)| allowed.connection == connection);
        here.find_map(|(at, allowed)| Some((at, select(&allowed.what)?)))
    }

    pub(super) async fn use_up(&self, at: usize) {
        self.used.lock().await.insert(at);
    }
}

impl Live<'_> {
    async fn play(mut self) -> Vec<Difference> {
        let run = self.run;
        let recorded = &run.recording.connections[self.index];
        let events = recorded.events();
        for (at, (stream, event)) in events.iter().enumerate() {
            if run.is_skipped(stream) || self.stream(stream.id).life == Life::Abandoned {
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

    pub(super) fn stream(&mut self, id: u32) -> &mut Progress {
        self.streams.entry(id).or_default()
    }

    pub(super) fn differ(&mut self, stream: &Stream, seq: u32, recorded: String, live: String, how: String) {
        let call = describe(self.index, stream);
        self.differences.push(Difference { call, seq, recorded, live, how });
    }

    pub(super) fn sort_in(&mut self, arrival: crate::http2::Arrival) {
        if let Arrived::Closed(reason) = arrival.what {
            self.closed = Some(reason);
            return;
        }
        let path = self.paths.get(&arrival.stream).cloned().unwrap_or_default();
        let seen = Seen::live(&path, Direction::Response, &arrival.what);
        let progress = self.stream(arrival.stream);
        // A server that has answered says with a reset that it will not read the rest of the request.
        let after_the_end =
            progress.life >= Life::Ended || matches!(progress.queue.back(), Some(Seen::Trailers { .. }));
        if !(after_the_end && seen == Seen::Reset(0)) {
            progress.queue.push_back(seen);
        }
    }

    /// The next event of a stream, waiting until `until`.
    pub(super) async fn next(&mut self, id: u32, until: Instant) -> Option<Seen> {
        loop {
            if let Some(seen) = self.stream(id).queue.pop_front() {
                if seen.is_last() {
                    self.stream(id).becomes(Life::Ended);
                }
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
        if self.stream(stream.id).life >= Life::Reset
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
            self.stream(stream.id).becomes(Life::Abandoned);
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
                self.stream(stream.id).becomes(Life::Abandoned);
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
            if gone || matches!(live, Seen::Closed(_)) {
                self.stream(stream.id).becomes(Life::Abandoned);
            }
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
        let same_log_line = match (recorded, live) {
            (Seen::Message(recorded), Seen::Message(live)) if stream.rpc() == "LogStream" => {
                same_line(recorded, live, &mut *run.bindings.lock().await)
            }
            _ => false,
        };
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
            (Deviation::LogLines, Seen::Message(_), Seen::Message(_)) if stream.rpc() == "LogStream" => {
                Some(if same_log_line { Excuse::Enough } else { Excuse::Next })
            }
            _ => None,
        };
        let Some((at, excuse)) = run.allowance(self.index, fits) else { return Excuse::None };
        run.use_up(at).await;
        if matches!(run.allowed[at].what, Deviation::Refused { .. }) {
            self.stream(stream.id).becomes(Life::Abandoned);
        }
        excuse
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
                self.stream(id).becomes(Life::Reset);
                self.sender.reset(id, *error_code).await
            }
            What::Trailers { .. } => Ok(()),
        };
        // A peer that has answered need not read the rest.
        if let Err(error) = outcome
            && self.stream(id).life == Life::Open
        {
            self.drain().await;
            let over = self.closed.is_some() || !self.stream(id).queue.iter().any(Seen::is_last);
            if over {
                self.stream(id).becomes(Life::Abandoned);
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
        if self.stream(stream.id).life >= Life::Ended {
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
                (Deviation::Otherwise { stream: id }, _) => (*id == stream.id).then_some(()),
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
            if progress.life >= Life::Reset {
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

enum Excuse {
    None,
    /// The live event stands for the recorded one.
    Enough,
    /// The live event is additional: the recorded one may come next.
    Next,
}
