//! [`Logs`]: what an exporter and its drivers say.
//!
//! A task of its own reads the stream, because the answer to the call may not begin before there is something to say. When
//! the stream ends or fails it is opened again, until it was in vain too often. At most [`WAITING`] lines wait for the
//! reader; then the exporter waits, or drops lines by its own rules.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures::Stream;
use jumpstarter_core::log::{LogSource, Severity};
use jumpstarter_protocol::v1::{LogSource as WireSource, LogStreamResponse};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::Connection;

/// How many lines wait for their reader.
pub const WAITING: usize = 64;

/// When a stream that was lost is opened again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// So many times in a row without a single line, and no more.
    pub(crate) attempts: u32,
}

/// As existing clients do it.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2), attempts: 10 };

/// One line, or a few that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Who speaks.
    pub source: LogSource,
    /// How important it is.
    pub severity: Severity,
    /// What is said.
    pub message: String,
    /// The driver instance, if the exporter says so.
    pub uuid: Option<Uuid>,
    /// The driver's public name or kind; empty if the exporter does not say.
    pub driver_type: String,
    /// The method being carried out; empty if none.
    pub operation: String,
    /// When it was said, if the exporter says so.
    pub time: Option<SystemTime>,
    /// Further facts, for example `progress.done` and `progress.total`.
    pub fields: BTreeMap<String, String>,
    /// Whether somebody else was told this before this subscription began, if the exporter says so.
    pub told_before: bool,
}

impl LogLine {
    /// The name under which existing clients show lines of this source.
    pub fn origin(&self) -> &'static str {
        match self.source {
            LogSource::Driver => "exporter:driver",
            LogSource::BeforeLeaseHook => "exporter:beforeLease",
            LogSource::AfterLeaseHook => "exporter:afterLease",
            LogSource::System => "exporter:system",
        }
    }

    /// Whether it is output of a hook, which people want to see in any case.
    pub fn is_hook(&self) -> bool {
        matches!(self.source, LogSource::BeforeLeaseHook | LogSource::AfterLeaseHook)
    }

    /// From the wire. `None` for a line that says nothing: a Python server's complaint about a call that it does not have.
    fn from_wire(line: LogStreamResponse) -> Option<Self> {
        if line.message.contains("raised by servicer method") && line.message.contains("NotImplementedError")
        {
            return None;
        }
        let source = match line.source() {
            WireSource::Driver => LogSource::Driver,
            WireSource::BeforeLeaseHook => LogSource::BeforeLeaseHook,
            WireSource::AfterLeaseHook => LogSource::AfterLeaseHook,
            WireSource::System | WireSource::Unspecified => LogSource::System,
        };
        let time = line.timestamp.and_then(|time| SystemTime::try_from(time).ok());
        Some(Self {
            source,
            severity: severity(&line.severity),
            uuid: line.uuid.parse().ok(),
            message: line.message,
            driver_type: line.driver_type.unwrap_or_default(),
            operation: line.operation.unwrap_or_default(),
            time,
            told_before: line.told_before.unwrap_or_default(),
            fields: line.structured_fields.into_iter().collect(),
        })
    }
}

/// Peers are meant to send capitals and these five words; others exist.
fn severity(text: &str) -> Severity {
    match text.to_ascii_uppercase().as_str() {
        "DEBUG" | "TRACE" | "NOTSET" => Severity::Debug,
        "WARNING" | "WARN" => Severity::Warning,
        "ERROR" => Severity::Error,
        "CRITICAL" | "FATAL" => Severity::Critical,
        _ => Severity::Info,
    }
}

/// A subscription. Dropping it ends it.
///
/// As a [`Stream`] it yields lines; it ends when the exporter does not have a log, has ended the stream for good, or could
/// not be reached any more.
#[derive(Debug)]
pub struct Logs {
    lines: mpsc::Receiver<LogLine>,
    _reader: AbortOnDropHandle<()>,
}

impl Logs {
    pub(crate) fn subscribe(connection: Connection) -> Self {
        Self::subscribe_with(connection, BACKOFF)
    }

    pub(crate) fn subscribe_with(connection: Connection, backoff: Backoff) -> Self {
        let (sender, lines) = mpsc::channel(WAITING);
        let reader = tokio::spawn(async move {
            tokio::select! {
                () = read(&connection, &sender, backoff) => {}
                () = connection.closed() => {}
            }
        });
        Self { lines, _reader: AbortOnDropHandle::new(reader) }
    }

    /// The next line; `None` once there will be no more.
    pub async fn next(&mut self) -> Option<LogLine> {
        self.lines.recv().await
    }
}

impl Stream for Logs {
    type Item = LogLine;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LogLine>> {
        self.lines.poll_recv(cx)
    }
}

async fn read(connection: &Connection, lines: &mpsc::Sender<LogLine>, backoff: Backoff) {
    let mut in_vain = 0;
    let mut pause = backoff.first;
    loop {
        let before = in_vain;
        let end = read_once(connection, lines, &mut in_vain).await;
        match end {
            End::Over => return,
            End::Failed(status) if matches!(status.code(), Code::Cancelled | Code::Unimplemented) => {
                tracing::debug!(%status, "the exporter's log has ended");
                return;
            }
            End::Failed(status) => tracing::debug!(%status, "the exporter's log was lost"),
            End::Closed => tracing::debug!("the exporter closed its log"),
        }
        if in_vain < before || in_vain == 0 {
            pause = backoff.first;
        }
        in_vain += 1;
        if in_vain > backoff.attempts {
            tracing::warn!("giving up on the log of the exporter at {}", connection.place());
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(backoff.longest);
    }
}

enum End {
    /// Nobody listens, or nobody can.
    Over,
    /// The exporter ended the stream well.
    Closed,
    /// The stream failed.
    Failed(Status),
}

async fn read_once(connection: &Connection, lines: &mpsc::Sender<LogLine>, in_vain: &mut u32) -> End {
    let Ok(mut exporter) = connection.exporter() else { return End::Over };
    let mut stream = match exporter.log_stream(()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return End::Failed(status),
    };
    loop {
        match stream.message().await {
            Ok(Some(line)) => {
                *in_vain = 0;
                if let Some(line) = LogLine::from_wire(line)
                    && lines.send(line).await.is_err()
                {
                    return End::Over;
                }
            }
            Ok(None) => return End::Closed,
            Err(status) => return End::Failed(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_of_all_peers_are_understood() {
        for (text, expected) in [
            ("DEBUG", Severity::Debug),
            ("warning", Severity::Warning),
            ("WARN", Severity::Warning),
            ("FATAL", Severity::Critical),
            ("ERROR", Severity::Error),
            ("something else", Severity::Info),
        ] {
            assert_eq!(severity(text), expected, "{text}");
        }
    }

    #[test]
    fn pitfall_d15_fields_that_only_newer_exporters_send_may_be_missing() {
        let line = LogStreamResponse {
            message: "hello".to_owned(),
            severity: "INFO".to_owned(),
            ..Default::default()
        };
        let line = LogLine::from_wire(line).unwrap();
        assert_eq!((line.source, line.uuid, line.time), (LogSource::System, None, None));
        assert_eq!(line.origin(), "exporter:system");
    }

    #[test]
    fn complaints_about_calls_that_a_python_server_lacks_are_left_out() {
        let message = "NotImplementedError raised by servicer method [/x/Y]".to_owned();
        assert_eq!(LogLine::from_wire(LogStreamResponse { message, ..Default::default() }), None);
    }
}
