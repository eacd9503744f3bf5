//! Differences that a test allows.

use futures::future::BoxFuture;

use crate::message::Tree;
use crate::recording::Stream;

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

/// Looks at all bytes of a stream.
pub type PayloadCheck = fn(Vec<u8>) -> BoxFuture<'static, Result<(), String>>;

impl Deviation {
    /// Whether it is about this stream.
    pub fn concerns(&self, stream: &Stream) -> bool {
        match self {
            Self::Omitted { seq }
            | Self::Status { seq, .. }
            | Self::Text { seq, .. }
            | Self::Message { seq, .. }
            | Self::Refused { seq, .. }
            | Self::Cut { seq } => stream.events.iter().any(|event| event.seq == *seq),
            Self::Ended { stream: id, .. }
            | Self::Payload { stream: id, .. }
            | Self::Messages { stream: id, .. }
            | Self::Otherwise { stream: id } => stream.id == *id,
            Self::Shared { streams } => streams.contains(&stream.id),
            Self::LogLines => stream.rpc() == "LogStream",
        }
    }
}
