//! A log of everything that goes over a port, in the format of pyserial's `spy://`.
//!
//! ```text
//! 000002.469 RTS  inactive
//! 000003.001 TX   0000  48 45 4C 4C 4F                                     HELLO
//! 000003.102 RX   0000  48 45 4C 4C 4F                                     HELLO
//! ```

use std::{fmt::Write as _, io, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use jumpstarter::{Context as _, Result, task::spawn, time::Instant};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use crate::{
    address::SpyOptions,
    port::{Input, Line, Lines, Opened, Output},
};

/// How many entries wait to be written.
const BACKLOG: usize = 1024;

/// Colours of a terminal: green, red, white.
const COLORS: [&str; 3] = ["\x1b[32m", "\x1b[31m", "\x1b[37m"];

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Received = 0,
    Sent = 1,
    Control = 2,
}

/// A log that entries are added to.
#[derive(Clone)]
pub(crate) struct Log {
    format: Format,
    begun: Instant,
    entries: mpsc::Sender<Bytes>,
    /// Entries for which there was no room.
    lost: Arc<std::sync::atomic::AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
struct Format {
    raw: bool,
    color: bool,
    all: bool,
}

impl Log {
    /// Begins a log; a file is emptied first.
    pub(crate) async fn open(options: &SpyOptions) -> Result<Self> {
        let output: Box<dyn AsyncWrite + Send + Unpin> = match &options.file {
            Some(path) => {
                let file = tokio::fs::File::create(path).await;
                Box::new(file.context(format_args!("opening the log {}", path.display()))?)
            }
            None => Box::new(tokio::io::stderr()),
        };
        let (entries, waiting) = mpsc::channel(BACKLOG);
        spawn(write(waiting, output));
        let format = Format { raw: options.raw, color: options.color, all: options.all };
        Ok(Self { format, begun: Instant::now(), entries, lost: Arc::default() })
    }

    /// The port with this log around it.
    pub(crate) fn around(self, inner: Opened) -> Opened {
        self.control("Q-RX", "reset_input_buffer");
        Opened {
            input: Box::new(Spied { inner: inner.input, log: self.clone() }),
            output: Box::new(Spied { inner: inner.output, log: self.clone() }),
            lines: Arc::new(Spied { inner: inner.lines, log: self }),
        }
    }

    fn data(&self, what: What, data: &[u8]) {
        self.add(self.format.data(what, self.begun.elapsed().as_secs_f64(), data));
    }

    fn control(&self, label: &str, value: &str) {
        self.add(self.format.control(self.begun.elapsed().as_secs_f64(), label, value));
    }

    /// A log that cannot keep up may not slow the port down: it says what it lost.
    fn add(&self, entry: Vec<u8>) {
        use std::sync::atomic::Ordering::Relaxed;
        if entry.is_empty() {
            return;
        }
        let lost = self.lost.swap(0, Relaxed);
        let entry = if lost > 0 {
            [format!("[{lost} entries were lost]\n").as_bytes(), &entry].concat()
        } else {
            entry
        };
        if self.entries.try_send(entry.into()).is_err() {
            self.lost.fetch_add(lost + 1, Relaxed);
        }
    }
}

async fn write(mut entries: mpsc::Receiver<Bytes>, mut output: Box<dyn AsyncWrite + Send + Unpin>) {
    while let Some(entry) = entries.recv().await {
        // The port goes on without its log when the disk is full.
        if output.write_all(&entry).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

impl Format {
    fn color(self, what: What) -> &'static str {
        if self.color { COLORS[what as usize] } else { "" }
    }

    fn data(self, what: What, seconds: f64, data: &[u8]) -> Vec<u8> {
        if data.is_empty() && !(self.all && what == What::Received) {
            return Vec::new();
        }
        let color = self.color(what);
        if self.raw {
            return [color.as_bytes(), data].concat();
        }
        let label = if what == What::Received { "RX" } else { "TX" };
        let mut text = color.to_owned();
        if data.is_empty() {
            let _ = writeln!(text, "{seconds:010.3} {label:4} <empty>");
        }
        for (row, bytes) in data.chunks(16).enumerate() {
            let _ = writeln!(text, "{seconds:010.3} {label:4} {:04X}  {}", row * 16, dump(bytes));
        }
        text.into_bytes()
    }

    fn control(self, seconds: f64, label: &str, value: &str) -> Vec<u8> {
        if self.raw {
            return Vec::new();
        }
        format!("{}{seconds:010.3} {label:4} {value}\n", self.color(What::Control)).into_bytes()
    }
}

/// Up to sixteen bytes in hexadecimal and as text, with a gap in the middle of both kinds of columns.
fn dump(bytes: &[u8]) -> String {
    let (mut numbers, mut text) = (String::new(), String::new());
    for column in 0..16 {
        if let Some(byte) = bytes.get(column) {
            let _ = write!(numbers, "{byte:02X} ");
            text.push(if (b' '..0x7f).contains(byte) { char::from(*byte) } else { '.' });
        } else {
            numbers.push_str("   ");
            text.push(' ');
        }
        if column == 7 {
            numbers.push(' ');
        }
    }
    format!("{numbers} {text}")
}

/// A part of a port with the log.
struct Spied<T> {
    inner: T,
    log: Log,
}

impl Input for Spied<Box<dyn Input>> {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            let before = buffer.len();
            let count = self.inner.read(buffer).await?;
            self.log.data(What::Received, &buffer[before..]);
            Ok(count)
        })
    }
}

impl Output for Spied<Box<dyn Output>> {
    fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        self.log.data(What::Sent, data);
        self.inner.write(data)
    }
}

impl Lines for Spied<Arc<dyn Lines>> {
    fn set(&self, line: Line, on: bool) -> BoxFuture<'_, Result<()>> {
        self.log.control(line.name(), if on { "active" } else { "inactive" });
        self.inner.set(line, on)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Format = Format { raw: false, color: false, all: false };

    fn text(entry: Vec<u8>) -> String {
        String::from_utf8(entry).unwrap()
    }

    /// These lines were printed by pyserial 3.5 for the same bytes.
    #[test]
    fn dumps_are_those_of_pyserial() {
        let data: Vec<u8> = (b'A'..=b'R').chain([0, 255]).collect();
        let wanted = "\
000003.001 TX   0000  41 42 43 44 45 46 47 48  49 4A 4B 4C 4D 4E 4F 50  ABCDEFGHIJKLMNOP\n\
000003.001 TX   0010  51 52 00 FF                                       QR..            \n";
        assert_eq!(text(PLAIN.data(What::Sent, 3.001, &data)), wanted);
        assert_eq!(text(PLAIN.control(2.469, "RTS", "inactive")), "000002.469 RTS  inactive\n");
        assert_eq!(text(PLAIN.control(12345.6789, "Q-RX", "x")), "012345.679 Q-RX x\n");
    }

    #[test]
    fn reads_of_nothing_are_shown_only_when_everything_is_asked_for() {
        assert!(PLAIN.data(What::Received, 0.0, b"").is_empty());
        let all = Format { all: true, ..PLAIN };
        assert_eq!(text(all.data(What::Received, 0.0, b"")), "000000.000 RX   <empty>\n");
    }

    #[test]
    fn raw_logs_hold_the_bytes_and_colours_tell_directions_apart() {
        let raw = Format { raw: true, color: true, all: false };
        assert_eq!(raw.data(What::Sent, 1.0, b"\xff"), b"\x1b[31m\xff");
        assert_eq!(raw.data(What::Received, 1.0, b"x"), b"\x1b[32mx");
        assert!(raw.control(1.0, "DTR", "active").is_empty());
    }

    #[tokio::test]
    async fn a_log_that_cannot_keep_up_says_what_it_lost() {
        let (entries, mut waiting) = mpsc::channel(1);
        let log = Log { format: PLAIN, begun: Instant::now(), entries, lost: Arc::default() };
        for _ in 0..3 {
            log.control("DTR", "active");
        }
        waiting.recv().await.unwrap();
        log.control("RTS", "active");
        let entry = waiting.recv().await.unwrap();
        assert!(entry.starts_with(b"[2 entries were lost]\n"), "{entry:?}");
    }

    proptest! {
        #[test]
        fn every_byte_is_in_its_column(bytes in proptest::collection::vec(any::<u8>(), 1..17)) {
            let line = dump(&bytes);
            prop_assert_eq!(line.chars().count(), 16 * 3 + 1 + 1 + 16);
            let numbers: Vec<_> = line[..49].split_whitespace().collect();
            let wanted: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            prop_assert_eq!(numbers, wanted);
        }
    }
}
