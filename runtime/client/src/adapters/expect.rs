//! [`Expect`]: a conversation with a device, for scripts and tests.
//!
//! ```no_run
//! # async fn example(console: jumpstarter_core::Io) -> jumpstarter_core::Result<()> {
//! use std::time::Duration;
//! use jumpstarter_client::adapters::{Expect, Pattern};
//!
//! let mut console = Expect::new(console).with_timeout(Duration::from_secs(60));
//! console.expect("login: ").await?;
//! console.send_line("root").await?;
//! let found = console.expect_any(["# ".into(), Pattern::regex("(?i)incorrect|denied")?]).await?;
//! assert_eq!(found.index, 0, "{}", console.transcript());
//! # Ok(())
//! # }
//! ```

use std::{collections::VecDeque, fmt, fmt::Write as _, io, time::Duration};

use bytes::{Bytes, BytesMut};
use jumpstarter_core::{Error, ErrorKind, Io, Result};
use regex::bytes::Regex;
use tokio::time::{Instant, timeout_at};

/// How long to wait, unless somebody says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How many bytes are searched; what is older is forgotten.
pub const BUFFER: usize = 256 * 1024;

/// How many bytes of the conversation an error shows.
pub const TRANSCRIPT: usize = 8 * 1024;

/// What to wait for.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Exactly these bytes.
    Text(Vec<u8>),
    /// A regular expression over bytes. It is tried whenever something arrives, so one that may end with any number of
    /// things ends early: let it say what follows.
    Regex(Regex),
}

impl Pattern {
    /// A regular expression.
    ///
    /// # Errors
    /// When it is none; says where it is wrong.
    pub fn regex(text: &str) -> Result<Self> {
        let regex =
            Regex::new(text).map_err(|error| Error::usage(format!("not a regular expression: {error}")))?;
        Ok(Self::Regex(regex))
    }

    /// Where it is in `data`.
    fn find(&self, data: &[u8]) -> Option<(usize, usize)> {
        match self {
            Self::Text(text) if text.is_empty() => Some((0, 0)),
            Self::Text(text) => {
                let at = data.windows(text.len()).position(|window| window == text)?;
                Some((at, at + text.len()))
            }
            Self::Regex(regex) => regex.find(data).map(|found| (found.start(), found.end())),
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

impl From<&[u8]> for Pattern {
    fn from(bytes: &[u8]) -> Self {
        Self::Text(bytes.to_vec())
    }
}

impl From<Regex> for Pattern {
    fn from(regex: Regex) -> Self {
        Self::Regex(regex)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// What was found. Text that is not UTF-8 is shown with replacement characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which of the patterns, from 0.
    pub index: usize,
    /// What came before it, since the last find.
    pub before: String,
    /// What matched.
    pub text: String,
    /// The groups of a regular expression, the first group first; `None` for one that took no part.
    pub groups: Vec<Option<String>>,
}

/// A conversation.
#[derive(Debug)]
pub struct Expect {
    io: Io,
    /// Received, and not consumed by a find.
    buffer: BytesMut,
    transcript: Transcript,
    timeout: Duration,
    line_end: String,
    ended: bool,
}

impl Expect {
    /// Over this stream, with lines that end in `\n` and a limit of [`TIMEOUT`].
    pub fn new(io: Io) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            transcript: Transcript::default(),
            timeout: TIMEOUT,
            line_end: "\n".to_owned(),
            ended: false,
        }
    }

    /// With another limit for each [`expect`](Self::expect).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With lines that are sent with another end, for example `\r`.
    #[must_use]
    pub fn with_line_end(mut self, line_end: impl Into<String>) -> Self {
        self.line_end = line_end.into();
        self
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the stream is broken; shows the conversation.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Result<()> {
        let data = data.into();
        self.transcript.add(Speaker::Us, &data);
        let sent = self.io.send(data).await;
        sent.map_err(|error| self.broken(&error))
    }

    /// Sends a line.
    ///
    /// # Errors
    /// When the stream is broken; shows the conversation.
    pub async fn send_line(&mut self, line: &str) -> Result<()> {
        self.send(format!("{line}{}", self.line_end)).await
    }

    /// Sends a key with Ctrl, for example `c`.
    ///
    /// # Errors
    /// When there is no such key, or the stream is broken.
    pub async fn send_control(&mut self, key: char) -> Result<()> {
        let key = key.to_ascii_uppercase();
        match u8::try_from(key) {
            Ok(code @ b'@'..=b'_') => self.send(vec![code & 0x1f]).await,
            _ => {
                Err(Error::usage(format!("there is no Ctrl-{key}: expected a letter or one of @ [ \\ ] ^ _")))
            }
        }
    }

    /// Waits for a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when it does not come in time, [`ErrorKind::Disconnected`] when it can no longer come; both
    /// show the conversation.
    pub async fn expect(&mut self, pattern: impl Into<Pattern>) -> Result<Found> {
        self.expect_within(self.timeout, [pattern.into()]).await
    }

    /// Waits for any of several patterns. The one that is found first in the data wins; among those found at the same
    /// place, the first in the list.
    ///
    /// # Errors
    /// As [`expect`](Self::expect).
    pub async fn expect_any(&mut self, patterns: impl IntoIterator<Item = Pattern>) -> Result<Found> {
        self.expect_within(self.timeout, patterns).await
    }

    /// Waits for any of several patterns, but not longer than this.
    ///
    /// # Errors
    /// As [`expect`](Self::expect).
    pub async fn expect_within(
        &mut self,
        limit: Duration,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> Result<Found> {
        let patterns: Vec<Pattern> = patterns.into_iter().collect();
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = self.take(&patterns) {
                return Ok(found);
            }
            match timeout_at(deadline, self.receive()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    let text = format!("the device ended the stream before it said {}", names(&patterns));
                    return Err(self.error(ErrorKind::Disconnected, &text));
                }
                Ok(Err(error)) => return Err(self.broken(&error)),
                Err(_) => {
                    let text = format!("the device did not say {} within {limit:?}", names(&patterns));
                    return Err(self.error(ErrorKind::Timeout, &text));
                }
            }
        }
    }

    /// Waits for the end of the stream, and returns what came since the last find.
    ///
    /// # Errors
    /// When the end does not come in time, or the stream breaks; shows the conversation.
    pub async fn expect_end(&mut self) -> Result<String> {
        let deadline = Instant::now() + self.timeout;
        loop {
            match timeout_at(deadline, self.receive()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(text(&self.buffer.split())),
                Ok(Err(error)) => return Err(self.broken(&error)),
                Err(_) => {
                    let text = format!("the device did not end the stream within {:?}", self.timeout);
                    return Err(self.error(ErrorKind::Timeout, &text));
                }
            }
        }
    }

    /// The end of the conversation so far: what was received behind `|`, what was sent behind `>`.
    pub fn transcript(&self) -> String {
        self.transcript.to_string()
    }

    /// The stream again, and what was received from it but not consumed by a find.
    pub fn into_inner(self) -> (Io, Bytes) {
        (self.io, self.buffer.freeze())
    }

    /// Receives something; false at the end.
    async fn receive(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let Some(piece) = self.io.recv().await? else {
            self.ended = true;
            return Ok(false);
        };
        self.transcript.add(Speaker::Device, &piece);
        self.buffer.extend_from_slice(&piece);
        if self.buffer.len() > BUFFER {
            // Half of it, so that this is not done for every piece.
            let old = self.buffer.len() - BUFFER / 2;
            let _ = self.buffer.split_to(old);
        }
        Ok(true)
    }

    fn take(&mut self, patterns: &[Pattern]) -> Option<Found> {
        let found = patterns.iter().enumerate().filter_map(|(index, pattern)| {
            let (start, end) = pattern.find(&self.buffer)?;
            Some((start, index, end))
        });
        let (start, index, end) = found.min_by_key(|(start, index, _)| (*start, *index))?;
        let groups = match &patterns[index] {
            Pattern::Regex(regex) => regex.captures(&self.buffer).map_or_else(Vec::new, |captures| {
                captures.iter().skip(1).map(|group| group.map(|group| text(group.as_bytes()))).collect()
            }),
            Pattern::Text(_) => Vec::new(),
        };
        let consumed = self.buffer.split_to(end);
        Some(Found { index, before: text(&consumed[..start]), text: text(&consumed[start..]), groups })
    }

    fn broken(&self, error: &io::Error) -> Error {
        self.error(ErrorKind::Disconnected, &format!("the stream to the device broke: {error}"))
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        let transcript = self.transcript();
        let conversation = if transcript.is_empty() {
            "nothing was said so far".to_owned()
        } else {
            format!("this was said so far (| received, > sent):\n{transcript}")
        };
        Error::new(kind, format!("{what}; {conversation}"))
    }
}

fn names(patterns: &[Pattern]) -> String {
    let names: Vec<_> = patterns.iter().map(ToString::to_string).collect();
    if names.is_empty() { "anything, because nothing was asked for".to_owned() } else { names.join(" or ") }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Us,
    Device,
}

/// The end of a conversation.
#[derive(Debug, Default)]
struct Transcript {
    said: VecDeque<(Speaker, Vec<u8>)>,
    length: usize,
    cut: bool,
}

impl Transcript {
    fn add(&mut self, speaker: Speaker, data: &[u8]) {
        match self.said.back_mut() {
            Some((last, said)) if *last == speaker => said.extend_from_slice(data),
            _ => self.said.push_back((speaker, data.to_vec())),
        }
        self.length += data.len();
        while self.length > TRANSCRIPT {
            self.cut = true;
            let over = self.length - TRANSCRIPT;
            let Some((_, said)) = self.said.front_mut() else { break };
            let dropped = over.min(said.len());
            said.drain(..dropped);
            self.length -= dropped;
            if said.is_empty() {
                self.said.pop_front();
            }
        }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cut {
            writeln!(f, "… (earlier lines are left out)")?;
        }
        for (speaker, said) in &self.said {
            let mark = if *speaker == Speaker::Us { '>' } else { '|' };
            let said = text(said);
            for line in said.strip_suffix('\n').unwrap_or(&said).split('\n') {
                write!(f, "{mark} ")?;
                // A terminal must not obey what a device printed earlier.
                for character in line.strip_suffix('\r').unwrap_or(line).chars() {
                    if character.is_control() && character != '\t' {
                        write!(f, "{}", character.escape_default())?;
                    } else {
                        f.write_char(character)?;
                    }
                }
                f.write_char('\n')?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> (Expect, Io) {
        let (near, far) = Io::pair();
        (Expect::new(near), far)
    }

    #[tokio::test]
    async fn text_is_found_across_pieces_and_consumed() {
        let (mut expect, mut device) = conversation();
        for piece in ["boot…\nlog", "in: ", "rest"] {
            device.send(piece).await.unwrap();
        }
        let found = expect.expect("login: ").await.unwrap();
        assert_eq!((found.before.as_str(), found.text.as_str()), ("boot…\n", "login: "));
        expect.send_line("root").await.unwrap();
        assert_eq!(device.recv().await.unwrap().unwrap(), "root\n");
        device.finish().await.unwrap();
        assert_eq!(expect.expect_end().await.unwrap(), "rest");
    }

    #[tokio::test]
    async fn the_earliest_of_several_patterns_wins_and_groups_are_returned() {
        let (mut expect, mut device) = conversation();
        device.send("size 512 sha256 abc\n").await.unwrap();
        let found = expect
            .expect_any(["sha256".into(), Pattern::regex(r"size (\d+)( kB)? ").unwrap()])
            .await
            .unwrap();
        assert_eq!(found.index, 1);
        assert_eq!(found.groups, [Some("512".to_owned()), None]);
        assert_eq!(expect.expect("sha256").await.unwrap().before, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pattern_that_does_not_come_is_an_error_with_the_conversation() {
        let (mut expect, mut device) = conversation();
        expect.send_line("reboot").await.unwrap();
        device.send("ok\r\n\x1b[2Jpanic!").await.unwrap();
        let error = expect.expect("login: ").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let expected = "the device did not say \"login: \" within 30s; this was said so far (| received, > sent):\n\
                        > reboot\n| ok\n| \\u{1b}[2Jpanic!\n";
        assert_eq!(error.message(), expected);
    }

    #[tokio::test]
    async fn an_ended_and_a_broken_stream_are_told_apart() {
        let (mut expect, mut device) = conversation();
        device.finish().await.unwrap();
        let error = expect.expect("x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert!(error.message().starts_with("the device ended the stream before it said \"x\""), "{error}");

        let (mut expect, device) = conversation();
        drop(device);
        let error = expect.expect("x").await.unwrap_err();
        assert!(error.message().starts_with("the stream to the device broke"), "{error}");
    }

    #[tokio::test]
    async fn buffer_and_transcript_stay_bounded() {
        let (mut expect, mut device) = conversation();
        let flood = tokio::spawn(async move {
            for _ in 0..40 {
                device.send(vec![b'x'; 16 * 1024]).await.unwrap();
            }
            device.send("end").await.unwrap();
            device
        });
        let found = expect.expect("end").await.unwrap();
        assert!(found.before.len() <= BUFFER, "{}", found.before.len());
        assert!(expect.transcript().len() <= TRANSCRIPT + 100);
        assert!(expect.transcript().starts_with('…'));
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn control_keys_are_sent_as_their_codes() {
        let (mut expect, mut device) = conversation();
        expect.send_control('c').await.unwrap();
        assert_eq!(device.recv().await.unwrap().unwrap(), "\x03");
        assert!(expect.send_control('ä').await.is_err());
    }
}
