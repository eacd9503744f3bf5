//! Files as arguments: a path, an address that the exporter fetches, or `-` for the standard streams; with progress where
//! somebody watches.

use std::{io::IsTerminal as _, path::Path};

use indicatif::{ProgressBar, ProgressStyle};
use jumpstarter_client::files;
use jumpstarter_core::{Result, Sink, Source};

/// The transfers of one command; its bars go away with it.
#[derive(Default)]
pub(super) struct Transfers(Vec<ProgressBar>);

impl Transfers {
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
            "-" => Sink::to_writer(tokio::io::stdout()),
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
        self.0.push(bar.clone());
        Some(bar)
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        for bar in &self.0 {
            bar.finish_and_clear();
        }
    }
}
