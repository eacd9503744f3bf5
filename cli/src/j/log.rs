//! What a device says, in a file and with the time at which it was said.

use std::{
    fs::File,
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use jiff::Zoned;
use jumpstarter_core::{Context as _, Io, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Date, time with milliseconds, and the difference to UTC, as in RFC 3339.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z ";

/// How much is read at once.
const BUFFER: usize = 4096;

/// Puts the time in front of each line. A line gets the time of its first byte; nothing else is changed.
#[derive(Debug)]
struct Stamps {
    within: bool,
}

impl Stamps {
    fn new() -> Self {
        Self { within: false }
    }

    fn stamp(&mut self, piece: &[u8], now: impl Fn() -> String, into: &mut BytesMut) {
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            if !self.within {
                into.extend_from_slice(now().as_bytes());
            }
            into.extend_from_slice(line);
            self.within = line.last() != Some(&b'\n');
        }
    }
}

fn now() -> String {
    Zoned::now().strftime(TIME).to_string()
}

/// A file that grows with what the device says.
pub(super) struct Log {
    file: File,
    name: String,
    stamps: Option<Stamps>,
}

impl Log {
    /// Opens the file, behind what is in it.
    pub(super) fn open(name: &str, stamped: bool) -> Result<Self> {
        let file = File::options().create(true).append(true).open(name);
        let file = file.context(format_args!("cannot write {name}"))?;
        Ok(Self { file, name: name.to_owned(), stamps: stamped.then(Stamps::new) })
    }

    /// The stream, with everything that is read from it in the log. A log that cannot be written ends the stream: it would
    /// lack what the person believes to be in it.
    pub(super) fn of(self, io: Io) -> Io {
        Io::new(Logged { io, log: self })
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut stamped = BytesMut::new();
        let bytes = match &mut self.stamps {
            Some(stamps) => {
                stamps.stamp(piece, now, &mut stamped);
                &stamped[..]
            }
            None => piece,
        };
        self.file
            .write_all(bytes)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", self.name)))
    }
}

struct Logged {
    io: Io,
    log: Log,
}

impl AsyncRead for Logged {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        Poll::Ready(this.log.write(&buffer.filled()[before..]))
    }
}

/// The stream, with the time in front of each line.
pub(super) fn stamped(io: Io) -> Io {
    Io::new(Stamped { io, stamps: Stamps::new(), ready: BytesMut::new() })
}

struct Stamped {
    io: Io,
    stamps: Stamps,
    /// Read, and not taken yet.
    ready: BytesMut,
}

impl AsyncRead for Stamped {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ready.is_empty() {
            let mut room = [0; BUFFER];
            let mut piece = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
            this.stamps.stamp(piece.filled(), now, &mut this.ready);
        }
        let count = this.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.ready[..count]);
        this.ready.advance(count);
        Poll::Ready(Ok(()))
    }
}

macro_rules! writes_through {
    ($name:ident) => {
        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.get_mut().io).poll_write(cx, data)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().io).poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
            }
        }
    };
}

writes_through!(Logged);
writes_through!(Stamped);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_line_has_the_time_of_its_first_byte() {
        let (mut stamps, mut text) = (Stamps::new(), BytesMut::new());
        let clock = Cell::new(0);
        for piece in ["U-Boot 20", "26\r\nDRAM", ":  1 GiB\r\n", "", "\n=> "] {
            clock.set(clock.get() + 1);
            stamps.stamp(piece.as_bytes(), || format!("{} ", clock.get()), &mut text);
        }
        assert_eq!(text, "1 U-Boot 2026\r\n2 DRAM:  1 GiB\r\n5 \n5 => ");
    }

    #[tokio::test]
    async fn a_stamped_stream_loses_nothing_and_goes_both_ways() {
        let (near, mut far) = Io::pair();
        let mut near = stamped(near);
        let long = "x".repeat(10_000);
        far.send(format!("one\n{long}\n")).await.unwrap();
        far.finish().await.unwrap();
        near.send("answer").await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap(), "answer");
        let mut seen = Vec::new();
        while let Some(piece) = near.recv().await.unwrap() {
            seen.extend_from_slice(&piece);
        }
        let seen = String::from_utf8(seen).unwrap();
        let lines: Vec<_> = seen.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line.1).collect::<Vec<_>>(), ["one", long.as_str()]);
        let time: Result<jiff::Timestamp, _> = lines[0].0.parse();
        assert!(time.is_ok(), "{}", lines[0].0);
    }

    #[tokio::test]
    async fn a_log_grows_and_one_that_cannot_be_written_ends_the_stream() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("log").display().to_string();
        for text in ["first\n", "second\n"] {
            let (near, mut far) = Io::pair();
            let mut near = Log::open(&name, false).unwrap().of(near);
            far.send(text).await.unwrap();
            assert_eq!(near.recv().await.unwrap().unwrap(), text);
        }
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "first\nsecond\n");
        let (near, mut far) = Io::pair();
        let mut near = Log::open("/dev/full", false).unwrap().of(near);
        far.send("x").await.unwrap();
        let error = near.recv().await.unwrap_err();
        assert!(error.to_string().starts_with("cannot write /dev/full: No space left"), "{error}");
    }
}
