//! A device's byte stream in somebody's terminal.
//!
//! [`interactive`] hands the terminal to the device: every key goes there, Ctrl-C included. Pressing Ctrl-B three times
//! leaves. The terminal is put back on every way out: the end of the stream, an error, a signal, a panic, and when the
//! future is dropped. [`attach`] is the same over any reader and writer, and [`pipe`] is for input that is no terminal.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    },
    path::PathBuf,
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use jumpstarter_core::{Context as _, Error, Io, Result};
use rustix::{
    fs::OFlags,
    io::Errno,
    termios::{self, OptionalActions, Termios},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::unix::pipe::{Receiver, Sender},
    signal::unix::{SignalKind, signal},
};

/// What leaves the console: Ctrl-B, three times in a row.
pub const ESCAPE: &[u8] = b"\x02\x02\x02";

/// How much is read from a terminal at once; a paste takes several turns.
const BUFFER: usize = 4 * 1024;

/// Why a console was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The person pressed the keys.
    Escape,
    /// The device ended the stream.
    Device,
    /// There is no more input.
    Input,
    /// A signal of this number wants the program to end.
    Signal(i32),
}

/// Hands the terminal of this program to a device, until somebody or something ends it.
///
/// # Errors
/// When standard input is no terminal, or the stream breaks.
pub async fn interactive(device: Io) -> Result<Left> {
    on_terminal(device, io::stdin().as_fd(), ESCAPE).await
}

/// The same for any terminal and other keys.
///
/// # Errors
/// When this is no terminal, or the stream breaks.
pub async fn on_terminal(device: Io, terminal: BorrowedFd<'_>, escape: &[u8]) -> Result<Left> {
    if !termios::isatty(terminal) {
        return Err(Error::usage(
            "a console needs a terminal; input from elsewhere can be piped to the device",
        ));
    }
    // A description of its own: not to wait for it is a property of the description, and others use this one.
    let reopened = reopen(terminal).context("cannot open the terminal")?;
    let raw = Raw::enter(&reopened).context("cannot prepare the terminal")?;
    // tokio can wait for anything that is not to be waited for otherwise; the check for pipes is what is left out.
    // Standard input's own reader would hold a thread that nobody can stop.
    let input = Receiver::from_file_unchecked(reopened.try_clone()?)?;
    let output = Sender::from_file_unchecked(reopened)?;
    let mut signals = Signals::new()?;
    let left = tokio::select! {
        left = attach(device, input, output, escape) => left,
        number = signals.next() => Ok(Left::Signal(number)),
    };
    raw.leave();
    left
}

/// Connects a reader and a writer to a device, until the reader's input holds `escape` or either side ends.
///
/// The bytes of `escape` reach the device, except for the last one: a key may not wait for the next.
///
/// # Errors
/// When the stream breaks, or reader or writer fail.
pub async fn attach(
    device: Io,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    escape: &[u8],
) -> Result<Left> {
    let (mut from_device, mut to_device) = device.split();
    let show = async {
        while let Some(piece) = from_device.recv().await? {
            output.write_all(&piece).await?;
            output.flush().await?;
        }
        Ok::<_, Error>(Left::Device)
    };
    let keys = async {
        let mut seen = 0;
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(BUFFER);
            let count = match input.read_buf(&mut buffer).await {
                // A terminal whose other end is gone.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => 0,
                count => count?,
            };
            if count == 0 {
                to_device.finish().await?;
                return Ok::<_, Error>(Left::Input);
            }
            let typed = buffer.split().freeze();
            match find_escape(&typed, escape, &mut seen) {
                Some(at) => {
                    if at > 0 {
                        to_device.send(typed.slice(..at)).await?;
                    }
                    to_device.finish().await?;
                    return Ok(Left::Escape);
                }
                None => to_device.send(typed).await?,
            }
        }
    };
    tokio::select! {
        left = show => left,
        left = keys => left,
    }
}

/// Copies input to a device and the device's output back. The end of the input is passed on and the output goes on, until
/// the device ends it.
///
/// # Errors
/// When the stream breaks, or reader or writer fail.
pub async fn pipe(
    device: Io,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> Result<()> {
    let (mut from_device, mut to_device) = device.split();
    let show = async {
        while let Some(piece) = from_device.recv().await? {
            output.write_all(&piece).await?;
            output.flush().await?;
        }
        Ok::<_, Error>(())
    };
    let feed = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(BUFFER);
            if input.read_buf(&mut buffer).await? == 0 {
                to_device.finish().await?;
                // The device's own end is what counts now.
                return std::future::pending::<Result<()>>().await;
            }
            to_device.send(Bytes::from(buffer.split())).await?;
        }
    };
    tokio::select! {
        result = show => result,
        result = feed => result,
    }
}

/// Where in `typed` the last byte of `escape` is, continued from what was `seen` of it before.
fn find_escape(typed: &[u8], escape: &[u8], seen: &mut usize) -> Option<usize> {
    for (at, key) in typed.iter().enumerate() {
        *seen = match escape.get(*seen) {
            Some(expected) if expected == key => *seen + 1,
            _ => usize::from(escape.first() == Some(key)),
        };
        if *seen == escape.len() && *seen > 0 {
            return Some(at);
        }
    }
    None
}

/// The same terminal, with a description of its own.
fn reopen(terminal: BorrowedFd<'_>) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |path: PathBuf| {
        OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path)
    };
    let named = termios::ttyname(terminal, Vec::new());
    let named = named.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes())));
    match named.map_err(io::Error::from).and_then(open) {
        Ok(file) => Ok(file),
        // In a container, the terminal's name can be one of the outside.
        Err(_) => open(PathBuf::from("/dev/tty")),
    }
}

/// A terminal in raw mode, until it is dropped.
struct Raw {
    terminal: File,
    before: Termios,
}

impl Raw {
    fn enter(terminal: &File) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        let guard = Self { terminal: terminal.try_clone()?, before };
        termios::tcsetattr(&guard.terminal, OptionalActions::Flush, &raw)?;
        Ok(guard)
    }

    /// Back to how it was.
    fn leave(self) {
        drop(self);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What the device still prints comes out first. A terminal that is gone needs nothing.
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// The signals that want a program to end; in raw mode, no key sends them.
struct Signals([(tokio::signal::unix::Signal, i32); 4]);

impl Signals {
    fn new() -> io::Result<Self> {
        let listen = |kind: SignalKind| Ok::<_, io::Error>((signal(kind)?, kind.as_raw_value()));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::quit())?,
        ]))
    }

    async fn next(&mut self) -> i32 {
        std::future::poll_fn(|cx| {
            for (signal, number) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn the_escape_is_found_across_reads_and_only_in_a_row() {
        let mut seen = 0;
        assert_eq!(find_escape(b"a\x02\x02", ESCAPE, &mut seen), None);
        assert_eq!(find_escape(b"b\x02", ESCAPE, &mut seen), None);
        assert_eq!(find_escape(b"\x02", ESCAPE, &mut seen), None);
        assert_eq!(find_escape(b"\x02rest", ESCAPE, &mut seen), Some(0));
        let mut seen = 0;
        assert_eq!(find_escape(b"xy", b"", &mut seen), None, "no escape, no way out");
    }

    #[tokio::test]
    async fn keys_go_to_the_device_and_its_output_comes_back() {
        let (near, mut far) = Io::pair();
        let (mut keyboard, input) = tokio::io::duplex(64);
        let (output, mut screen) = tokio::io::duplex(64);
        let console = tokio::spawn(attach(near, input, output, ESCAPE));
        keyboard.write_all(b"ls\r").await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap(), "ls\r");
        far.send("files\r\n").await.unwrap();
        let mut shown = [0; 7];
        screen.read_exact(&mut shown).await.unwrap();
        assert_eq!(&shown, b"files\r\n");
        keyboard.write_all(b"\x02\x02\x02never").await.unwrap();
        assert_eq!(console.await.unwrap().unwrap(), Left::Escape);
        assert_eq!(far.recv().await.unwrap().unwrap(), "\x02\x02");
        assert_eq!(far.recv().await.unwrap(), None, "leaving is an end, not a cut");
    }

    #[tokio::test]
    async fn the_devices_end_leaves_the_console() {
        let (near, mut far) = Io::pair();
        let (_keyboard, input) = tokio::io::duplex(64);
        far.finish().await.unwrap();
        assert_eq!(attach(near, input, tokio::io::sink(), ESCAPE).await.unwrap(), Left::Device);
    }

    #[tokio::test]
    async fn pitfall_s2_the_end_of_piped_input_leaves_the_output_running() {
        let (near, mut far) = Io::pair();
        let mut shown = Vec::new();
        let device = async {
            assert_eq!(far.recv().await.unwrap().unwrap(), "question");
            assert_eq!(far.recv().await.unwrap(), None);
            far.send("answer").await.unwrap();
            far.finish().await.unwrap();
        };
        let (piped, ()) = tokio::join!(pipe(near, &b"question"[..], &mut shown), device);
        piped.unwrap();
        assert_eq!(shown, b"answer");
    }

    #[tokio::test]
    async fn something_else_than_a_terminal_is_refused_with_a_remedy() {
        let (near, _far) = Io::pair();
        let file = File::open("/dev/null").unwrap();
        let error = on_terminal(near, file.as_fd(), ESCAPE).await.unwrap_err();
        assert!(error.message().contains("piped"), "{error}");
    }

    /// A pseudo-terminal: the side of the person, and the side of the program.
    fn terminal() -> (File, File) {
        let person =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&person).unwrap();
        rustix::pty::unlockpt(&person).unwrap();
        let name = rustix::pty::ptsname(&person, Vec::new()).unwrap();
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let program = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name);
        (File::from(person), program.unwrap())
    }

    #[tokio::test]
    async fn the_terminal_is_put_back_after_the_escape_and_when_the_console_is_dropped() {
        let (mut person, program) = terminal();
        let settings = |file: &File| {
            let settings = termios::tcgetattr(file).unwrap();
            (settings.local_modes, settings.input_modes, settings.output_modes)
        };
        let before = settings(&program);

        let (near, mut far) = Io::pair();
        let terminal = program.try_clone().unwrap();
        let console = tokio::spawn(async move { on_terminal(near, terminal.as_fd(), ESCAPE).await });
        // What the device says can be seen once the terminal is raw.
        far.send("hi\n").await.unwrap();
        let mut shown = [0; 3];
        let mut person = tokio::task::spawn_blocking(move || {
            person.read_exact(&mut shown).unwrap();
            assert_eq!(&shown, b"hi\n", "in raw mode, no carriage return is added");
            person
        })
        .await
        .unwrap();
        assert_ne!(settings(&program), before);
        // Ctrl-C is a key like any other.
        person.write_all(b"\x03").unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap(), "\x03");
        person.write_all(ESCAPE).unwrap();
        assert_eq!(console.await.unwrap().unwrap(), Left::Escape);
        assert_eq!(settings(&program), before);

        let (near, mut far) = Io::pair();
        let mut console = Box::pin(on_terminal(near, program.as_fd(), ESCAPE));
        assert!(futures::poll!(console.as_mut()).is_pending());
        assert_ne!(settings(&program), before);
        drop(console);
        assert_eq!(settings(&program), before);
        assert!(far.recv().await.is_err(), "dropping a console cuts the stream");
    }

    /// A stream that panics when it is read.
    struct Panicking;

    impl AsyncRead for Panicking {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            panic!("as a mistake would")
        }
    }

    #[tokio::test]
    async fn the_terminal_is_put_back_after_a_panic_and_a_broken_stream() {
        use futures::FutureExt as _;

        let (_person, program) = terminal();
        let settings = || {
            let settings = termios::tcgetattr(&program).unwrap();
            (settings.local_modes, settings.input_modes, settings.output_modes)
        };
        let before = settings();
        let device = Io::join(Panicking, tokio::io::sink());
        let console = on_terminal(device, program.as_fd(), ESCAPE);
        assert!(std::panic::AssertUnwindSafe(console).catch_unwind().await.is_err());
        assert_eq!(settings(), before);

        let (near, far) = Io::pair();
        drop(far);
        assert!(on_terminal(near, program.as_fd(), ESCAPE).await.is_err());
        assert_eq!(settings(), before);
    }
}
