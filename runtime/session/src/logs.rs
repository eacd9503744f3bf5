//! Log lines of one session, for every reader.
//!
//! Lines are numbered and the last [`CAPACITY`] are kept. A reader is a number: it gets everything from there on, so
//! there is no moment between backlog and live lines in which one could be lost or doubled, and readers do not take
//! lines from each other. A reader who falls behind is told how many lines it missed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use jumpstarter_core::log::{LogRecord, LogSink, LogSource, Severity};
use jumpstarter_protocol::v1::{self, LogStreamResponse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many lines are kept for readers that come later or are slow.
pub const CAPACITY: usize = 256;

/// Most bytes of one line: a traceback fits, and the whole buffer stays at a few MiB.
const MAX_MESSAGE: usize = 16 * 1024;

struct Lines {
    lines: VecDeque<LogStreamResponse>,
    /// Number of the first line that is kept.
    first: u64,
}

/// The buffer. Drivers get it as their [`LogSink`] when they are opened, before there is a session.
pub struct LogBuffer {
    lines: Mutex<Lines>,
    /// Number of the next line.
    next: watch::Sender<u64>,
}

impl LogBuffer {
    /// An empty buffer. Each session needs its own: nobody may see what an earlier user did.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            lines: Mutex::new(Lines { lines: VecDeque::with_capacity(16), first: 0 }),
            next: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something on behalf of the exporter itself.
    pub fn system(&self, severity: Severity, message: impl Into<String>) {
        self.say(LogSource::System, severity, message);
    }

    /// Says something on behalf of this source.
    pub fn say(&self, source: LogSource, severity: Severity, message: impl Into<String>) {
        self.log(LogRecord {
            uuid: None,
            severity,
            source,
            message: message.into(),
            driver_type: String::new(),
            operation: String::new(),
            fields: Vec::new(),
        });
    }

    /// A reader who gets what is kept, and then everything that comes.
    pub fn subscribe(self: &Arc<Self>) -> LogReader {
        let next = self.next.subscribe();
        LogReader { buffer: self.clone(), at: self.lock().first, next }
    }
}

impl LogSink for LogBuffer {
    fn log(&self, record: LogRecord) {
        let line = line(record);
        let mut lines = self.lock();
        if lines.lines.len() == CAPACITY {
            lines.lines.pop_front();
            lines.first += 1;
        }
        lines.lines.push_back(line);
        let next = lines.first + lines.lines.len() as u64;
        // Under the lock: numbers reach the readers in order.
        self.next.send_replace(next);
    }
}

impl std::fmt::Debug for LogBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogBuffer({} lines)", self.lock().lines.len())
    }
}

/// Somebody who reads the log of a session.
pub struct LogReader {
    buffer: Arc<LogBuffer>,
    at: u64,
    next: watch::Receiver<u64>,
}

impl LogReader {
    /// The next line; waits for one. `None` once `ended` is cancelled and everything was read.
    pub async fn next(&mut self, ended: &CancellationToken) -> Option<LogStreamResponse> {
        loop {
            let over = ended.is_cancelled();
            if let Some(line) = self.take() {
                return Some(line);
            }
            if over {
                return None;
            }
            tokio::select! {
                changed = self.next.changed() => changed.ok()?,
                () = ended.cancelled() => {}
            }
        }
    }

    fn take(&mut self) -> Option<LogStreamResponse> {
        self.next.borrow_and_update();
        let lines = self.buffer.lock();
        let missed = lines.first.saturating_sub(self.at);
        if missed > 0 {
            self.at = lines.first;
            drop(lines);
            let plural = if missed == 1 { "line" } else { "lines" };
            return Some(line(LogRecord {
                uuid: None,
                severity: Severity::Warning,
                source: LogSource::System,
                message: format!("{missed} {plural} dropped"),
                driver_type: String::new(),
                operation: String::new(),
                fields: Vec::new(),
            }));
        }
        let line =
            usize::try_from(self.at - lines.first).ok().and_then(|index| lines.lines.get(index)).cloned()?;
        self.at += 1;
        Some(line)
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogReader(at line {})", self.at)
    }
}

fn line(mut record: LogRecord) -> LogStreamResponse {
    if record.message.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE;
        while !record.message.is_char_boundary(end) {
            end -= 1;
        }
        record.message.truncate(end);
        record.message.push_str("… (cut)");
    }
    let source = match record.source {
        LogSource::Driver => v1::LogSource::Driver,
        LogSource::BeforeLeaseHook => v1::LogSource::BeforeLeaseHook,
        LogSource::AfterLeaseHook => v1::LogSource::AfterLeaseHook,
        LogSource::System => v1::LogSource::System,
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    LogStreamResponse {
        uuid: record.uuid.map_or_else(String::new, |uuid| uuid.to_string()),
        severity: record.severity.as_str().to_owned(),
        message: record.message,
        source: Some(source.into()),
        driver_type: some(record.driver_type),
        operation: some(record.operation),
        timestamp: now(),
        structured_fields: record.fields.into_iter().collect(),
    }
}

fn now() -> Option<prost_types::Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(prost_types::Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rest(reader: &mut LogReader) -> Vec<String> {
        let ended = CancellationToken::new();
        ended.cancel();
        let mut messages = Vec::new();
        while let Some(line) = reader.next(&ended).await {
            messages.push(line.message);
        }
        messages
    }

    #[tokio::test]
    async fn pitfall_g2_backlog_and_live_lines_are_one_sequence() {
        let buffer = LogBuffer::new();
        buffer.system(Severity::Info, "before");
        let mut reader = buffer.subscribe();
        buffer.system(Severity::Info, "after");
        assert_eq!(rest(&mut reader).await, ["before", "after"]);
        buffer.system(Severity::Info, "later");
        assert_eq!(rest(&mut reader).await, ["later"]);
    }

    #[tokio::test]
    async fn pitfall_g4_a_slow_reader_is_told_how_many_lines_it_missed() {
        let buffer = LogBuffer::new();
        let mut reader = buffer.subscribe();
        for i in 0..CAPACITY + 7 {
            buffer.system(Severity::Info, i.to_string());
        }
        let messages = rest(&mut reader).await;
        assert_eq!(messages[0], "7 lines dropped");
        assert_eq!(messages[1], "7");
        assert_eq!(messages.len(), 1 + CAPACITY);
    }

    #[tokio::test]
    async fn pitfall_g7_a_traceback_is_one_record_and_a_novel_is_cut() {
        let buffer = LogBuffer::new();
        let mut reader = buffer.subscribe();
        buffer.system(Severity::Error, "first line\n  second line\n");
        buffer.system(Severity::Error, "ä".repeat(MAX_MESSAGE));
        let messages = rest(&mut reader).await;
        assert_eq!(messages[0], "first line\n  second line\n");
        assert!(messages[1].len() < MAX_MESSAGE + 20 && messages[1].ends_with("(cut)"));
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let buffer = LogBuffer::new();
        let mut reader = buffer.subscribe();
        let ended = CancellationToken::new();
        let task = tokio::spawn(async move { reader.next(&ended).await });
        tokio::task::yield_now().await;
        buffer.system(Severity::Warning, "hello");
        let line = task.await.unwrap().unwrap();
        assert_eq!(
            (line.severity.as_str(), line.message.as_str(), line.uuid.as_str()),
            ("WARNING", "hello", "")
        );
    }
}
