//! Log lines of one session, for every reader.
//!
//! Lines are numbered and the last [`CAPACITY`] bytes of them are kept. A reader is a number: it gets everything from there on,
//! so there is no moment between backlog and live lines in which one could be lost or doubled, and readers do not take
//! lines from each other. A reader who falls behind is told how many lines it missed. What was told to others before a reader
//! came is marked: several share a session, and not each of them wants to read everything from its beginning; of those lines it
//! gets the last [`TOLD`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use jumpstarter_core::log::{LogRecord, LogSink, LogSource, Severity};
use jumpstarter_protocol::v1::{self, LogStreamResponse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many bytes of lines are kept for readers that come later or are slow: a hook may print a build log before its client has
/// come, and nobody who prints can be made to wait for somebody who may never come.
pub const CAPACITY: usize = 8 << 20;

/// What a line costs beside its text, in bytes, roughly: itself, and who says it in which operation.
const LINE: usize = 448;

/// How many lines that others were told already are told to a reader that comes later.
const TOLD: u64 = 256;

/// Most bytes of one line: a traceback fits.
const MAX_MESSAGE: usize = 16 * 1024;

struct Lines {
    kept: VecDeque<LogStreamResponse>,
    /// Bytes of all that are kept.
    bytes: usize,
    /// The last line of a hook that is not kept any more: its number and whose it was.
    lost: Option<(u64, i32)>,
    /// Number of the first line that is kept.
    first: u64,
    /// Number of the first line that nobody was told who is connected.
    told: u64,
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
            lines: Mutex::new(Lines {
                kept: VecDeque::with_capacity(16),
                bytes: 0,
                lost: None,
                first: 0,
                told: 0,
            }),
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
        LogReader { buffer: self.clone(), at: self.lock().first, next, told: None }
    }

    /// The same for somebody who is connected: what others were told who are connected, or were, is marked.
    pub(crate) fn stream(self: &Arc<Self>) -> LogReader {
        let mut reader = self.subscribe();
        let told = self.lock().told;
        // What nobody was told is missed, if it is not there any more.
        reader.at = if told < reader.at { told } else { reader.at.max(told.saturating_sub(TOLD)) };
        reader.told = Some(told);
        reader
    }
}

impl LogSink for LogBuffer {
    fn log(&self, record: LogRecord) {
        let line = line(record);
        let mut lines = self.lock();
        lines.bytes += size(&line);
        lines.kept.push_back(line);
        while lines.bytes > CAPACITY
            && let Some(oldest) = lines.kept.pop_front()
        {
            lines.bytes -= size(&oldest);
            let hooks = [v1::LogSource::BeforeLeaseHook, v1::LogSource::AfterLeaseHook];
            if hooks.contains(&oldest.source()) {
                lines.lost = Some((lines.first, oldest.source().into()));
            }
            lines.first += 1;
        }
        let next = lines.first + lines.kept.len() as u64;
        // Under the lock: numbers reach the readers in order.
        self.next.send_replace(next);
    }
}

impl std::fmt::Debug for LogBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogBuffer({} lines)", self.lock().kept.len())
    }
}

/// Somebody who reads the log of a session.
pub struct LogReader {
    buffer: Arc<LogBuffer>,
    at: u64,
    next: watch::Receiver<u64>,
    /// For somebody who is connected: the first line that nobody else had been told before.
    told: Option<u64>,
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
        let mut lines = self.buffer.lock();
        let missed = lines.first.saturating_sub(self.at);
        if missed > 0 {
            // Who reads only what hooks print has missed something if one of those is missing.
            let hook = lines.lost.filter(|(number, _)| *number >= self.at).map(|(_, source)| source);
            self.at = lines.first;
            drop(lines);
            let plural = if missed == 1 { "line" } else { "lines" };
            let mut missing = line(LogRecord {
                uuid: None,
                severity: Severity::Warning,
                source: LogSource::System,
                message: format!("{missed} {plural} dropped"),
                driver_type: String::new(),
                operation: String::new(),
                fields: Vec::new(),
            });
            missing.source = hook.or(missing.source);
            return Some(missing);
        }
        let index = usize::try_from(self.at - lines.first).ok()?;
        let mut line = lines.kept.get(index).cloned()?;
        if let Some(told) = self.told {
            line.told_before = (self.at < told).then_some(true);
            lines.told = lines.told.max(self.at + 1);
        }
        self.at += 1;
        Some(line)
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogReader(at line {})", self.at)
    }
}

fn size(line: &LogStreamResponse) -> usize {
    LINE + line.message.len()
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
        told_before: None,
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
    async fn who_comes_later_knows_what_others_were_told_and_nobody_takes_from_another() {
        let buffer = LogBuffer::new();
        buffer.system(Severity::Info, "one");
        // The exporter's own reader is nobody who is connected.
        rest(&mut buffer.subscribe()).await;
        let (mut first, mut beside) = (buffer.stream(), buffer.stream());
        let marks = async |reader: &mut LogReader| {
            let ended = CancellationToken::new();
            ended.cancel();
            let mut marks = Vec::new();
            while let Some(line) = reader.next(&ended).await {
                marks.push((line.message, line.told_before.unwrap_or_default()));
            }
            marks
        };
        let line = |text: &str, told: bool| (text.to_owned(), told);
        assert_eq!(marks(&mut first).await, [line("one", false)]);
        // It was there when the other one was told.
        assert_eq!(marks(&mut beside).await, [line("one", false)]);
        buffer.system(Severity::Info, "two");
        let mut later = buffer.stream();
        assert_eq!(marks(&mut later).await, [line("one", true), line("two", false)]);
        buffer.system(Severity::Info, "three");
        assert_eq!(marks(&mut later).await, [line("three", false)]);
        assert_eq!(marks(&mut first).await, [line("two", false), line("three", false)]);
    }

    #[tokio::test]
    async fn pitfall_g4_a_slow_reader_is_told_how_many_lines_it_missed() {
        let buffer = LogBuffer::new();
        let mut reader = buffer.subscribe();
        // All of the same length, so that it is known how many are kept.
        let kept = CAPACITY / (LINE + 10);
        for i in 0..kept + 7 {
            buffer.system(Severity::Info, format!("{i:010}"));
        }
        let messages = rest(&mut reader).await;
        assert_eq!(messages[0], "7 lines dropped");
        assert_eq!(messages[1], "0000000007");
        assert_eq!(messages.len(), 1 + kept);
    }

    #[tokio::test]
    async fn pitfall_g4_lines_of_hooks_are_missed_by_those_who_read_only_these_also_if_they_come_later() {
        let buffer = LogBuffer::new();
        let long = "x".repeat(MAX_MESSAGE);
        for _ in 0..2 * CAPACITY / MAX_MESSAGE {
            buffer.say(LogSource::BeforeLeaseHook, Severity::Info, long.clone());
        }
        let ended = CancellationToken::new();
        ended.cancel();
        let first = buffer.stream().next(&ended).await.unwrap();
        assert!(first.message.ends_with(" lines dropped"), "{}", first.message);
        assert_eq!(first.source(), v1::LogSource::BeforeLeaseHook);
    }

    #[tokio::test]
    async fn who_comes_later_is_told_the_last_of_what_others_were_told_and_all_that_nobody_was() {
        let buffer = LogBuffer::new();
        let mut first = buffer.stream();
        for i in 0..1000 {
            buffer.system(Severity::Info, i.to_string());
        }
        rest(&mut first).await;
        buffer.system(Severity::Info, "new");
        let messages = rest(&mut buffer.stream()).await;
        assert_eq!((messages.len(), messages[0].as_str()), (257, "744"));
        assert_eq!(messages[256], "new");
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
