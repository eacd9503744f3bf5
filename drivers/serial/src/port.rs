//! What an open port is.

use std::{io, sync::Arc};

use bytes::BytesMut;
use futures::future::BoxFuture;
use jumpstarter::{Result, log::Logger};

use crate::{
    address::Address,
    config::{Settings, Wanted},
    device, hwgrep,
    pace::Paced,
    rfc2217, socket, spy,
};

/// What the device says.
pub(crate) trait Input: Send {
    /// Appends what there is to `buffer`, and waits for something when there is nothing; 0 at the end. A future that is
    /// dropped before it is ready has lost nothing.
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>>;
}

/// What is said to the device.
pub(crate) trait Output: Send {
    /// Hands over all of `data`.
    fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>>;
}

/// A line beside the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Data terminal ready.
    Dtr,
    /// Request to send.
    Rts,
}

impl Line {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dtr => "DTR",
            Self::Rts => "RTS",
        }
    }
}

/// The lines beside the data.
pub(crate) trait Lines: Send + Sync {
    /// Sets or clears one. Where the answer comes with the data, somebody has to read that meanwhile.
    fn set(&self, line: Line, on: bool) -> BoxFuture<'_, Result<()>>;
}

/// Lines of something that has none: setting them changes nothing, as it is with upstream's kinds of ports.
pub(crate) struct NoLines;

impl Lines for NoLines {
    fn set(&self, _: Line, _: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// An open port.
pub(crate) struct Opened {
    pub(crate) input: Box<dyn Input>,
    pub(crate) output: Box<dyn Output>,
    pub(crate) lines: Arc<dyn Lines>,
}

impl Opened {
    /// Sets a line and closes the port.
    pub(crate) async fn set_and_close(mut self, line: Line, on: bool) -> Result<()> {
        let lines = self.lines.clone();
        let result = {
            let input = &mut self.input;
            let mut ignored = BytesMut::new();
            let reading = async {
                loop {
                    ignored.clear();
                    match input.read(&mut ignored).await {
                        Ok(0) | Err(_) => return std::future::pending::<()>().await,
                        Ok(_) => {}
                    }
                }
            };
            tokio::select! {
                biased;
                result = lines.set(line, on) => result,
                () = reading => Ok(()),
            }
        };
        drop(lines);
        self.close().await;
        result
    }

    /// Closes it. The kernel may wait for the last characters to leave, so not on a thread where others wait.
    pub(crate) async fn close(self) {
        give_back(self).await;
    }
}

/// Drops something on a thread where that may take a while.
pub(crate) async fn give_back(port: impl Send + 'static) {
    // It fails only when the program ends, and then nobody has to wait either.
    let _ = tokio::task::spawn_blocking(move || drop(port)).await;
}

/// Opens a port.
pub(crate) async fn open(wanted: &Wanted, logger: &Logger) -> Result<Opened> {
    let mut opened = open_address(&wanted.address, &wanted.settings, wanted.disable_hupcl, logger).await?;
    if let Some(pace) = wanted.pace {
        opened.output = Box::new(Paced::new(opened.output, pace));
    }
    Ok(opened)
}

/// Opens what an address leads to.
fn open_address<'a>(
    address: &'a Address,
    settings: &'a Settings,
    disable_hupcl: bool,
    logger: &'a Logger,
) -> BoxFuture<'a, Result<Opened>> {
    Box::pin(async move {
        match address {
            Address::Device(path) | Address::Alternative(path) => {
                device::open(path, settings, disable_hupcl, logger).await
            }
            Address::Search(search) => {
                let path = hwgrep::find(search).await?;
                logger.info(format!("{search} is {}", path.display()));
                device::open(&path, settings, disable_hupcl, logger).await
            }
            Address::Loop => Ok(socket::echo()),
            Address::Socket(place) => socket::open(place).await,
            Address::Rfc2217(remote) => rfc2217::open(remote, settings, logger).await,
            Address::Spy(options, inner) => {
                let log = spy::Log::open(options).await?;
                Ok(log.around(open_address(inner, settings, disable_hupcl, logger).await?))
            }
        }
    })
}
