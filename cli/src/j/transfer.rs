//! Files as arguments: a path, an address that the exporter fetches, or `-` for the standard streams; with progress where
//! somebody watches.

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use indicatif::{ProgressBar, ProgressStyle};
use jumpstarter_client::files;
use jumpstarter_core::{Result, Sink, Source};
use tokio::io::{AsyncWrite, Stdout};

/// The transfers of one command; its bars go away with it.
#[derive(Default)]
pub(super) struct Transfers {
    bars: Vec<ProgressBar>,
    unread: Arc<AtomicBool>,
}

/// Standard output. An error of a transfer says what has happened, and not on which of its ends.
struct Output {
    inner: Stdout,
    /// Nobody reads it any more.
    unread: Arc<AtomicBool>,
}

impl Output {
    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.unread.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Output {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        Poll::Ready(self.watch(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        Poll::Ready(self.watch(flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = ready!(Pin::new(&mut self.inner).poll_shutdown(cx));
        Poll::Ready(self.watch(closed))
    }
}

impl Transfers {
    /// Whether one has failed because nobody reads standard output any more.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// A file to read. One that is packed is fetched here in any case: an exporter does not unpack what it fetches.
    pub(super) async fn source(&mut self, name: &str, packed: bool) -> Result<Source> {
        let source = match name {
            "-" => Source::from_reader(tokio::io::stdin()),
            name if files::is_url(name) && packed => files::fetch(name).await?,
            name if files::is_url(name) => files::source(name, None).await?,
            name => files::read(Path::new(name)).await?,
        };
        let Some(bar) = self.bar(source.len(), source.handle().is_none()) else { return Ok(source) };
        Ok(files::watch_source(source, move |done, _| bar.set_position(done)))
    }

    /// A file to write.
    pub(super) async fn sink(&mut self, name: &str) -> Result<Sink> {
        let sink = match name {
            "-" => {
                let output = Output { inner: tokio::io::stdout(), unread: self.unread.clone() };
                Sink::to_writer(output)
            }
            name => files::sink(name, None).await?,
        };
        let Some(bar) = self.bar(None, name != "-" && sink.handle().is_none()) else { return Ok(sink) };
        Ok(files::watch_sink(sink, move |done| bar.set_position(done)))
    }

    fn bar(&mut self, len: Option<u64>, through_here: bool) -> Option<ProgressBar> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !through_here || dumb || !std::io::stderr().is_terminal() {
            return None;
        }
        let (bar, template) = match len {
            Some(len) => (
                ProgressBar::new(len),
                "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} Elapsed: {elapsed} Remaining: {eta}",
            ),
            None => (ProgressBar::no_length(), "{msg} {spinner} {bytes} {bytes_per_sec} Elapsed: {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style).with_message("transfer");
        self.bars.push(bar.clone());
        Some(bar)
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
    }
}
