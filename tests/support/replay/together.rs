//! Events that an allowance wants to be looked at together.

use tokio::time::{Instant, timeout_at};

use super::allowed::{Deviation, PayloadCheck};
use super::call::is_goaway;
use super::live::Live;
use crate::compare::{Seen, compare};
use crate::message::Tree;
use crate::recording::Stream;

impl Live<'_> {
    /// Handles events that an allowance wants to be looked at together with others. `false` when there is none.
    pub(super) async fn expect_together(&mut self, stream: &Stream, seq: u32, recorded: &Seen) -> bool {
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
}
