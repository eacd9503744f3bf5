//! Our side: an interface made for measuring, its driver, a server with it, and its clients.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use futures::Sink;
use jumpstarter::{DriverFactory, Io, Result, Stream, driver, interface, message};
use jumpstarter_client::{Device, Options};
use jumpstarter_exporter::{Registry, check, local::Local};
use tokio::sync::oneshot;

use crate::{Outcome, process};

/// What is served: the probe, and real drivers.
const FILE: &str = "export:\n  probe:\n    type: probe\n  board:\n    type: simulated-board\n";

/// One measurement.
#[message]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
}

/// What a driver can be like.
#[interface(name = "probe", version = 1, package = "bench")]
pub(crate) trait Probe {
    /// Answers at once.
    async fn sample(&self, channel: u32) -> Result<Reading>;

    /// Answers as often as asked, as fast as it can.
    async fn samples(&self, count: u32) -> Result<Stream<Reading>>;

    /// Sends what the first message orders, see [`order`]; without one it is idle.
    async fn source(&self) -> Result<Io>;

    /// Takes what comes, and says at its end how many bytes that were.
    async fn sink(&self) -> Result<Io>;
}

/// Answers without doing anything for it.
#[driver(type = "probe", provides(Probe), open = Default::default)]
#[derive(Debug, Default)]
pub(crate) struct Answering {}

impl Probe for Answering {
    async fn sample(&self, channel: u32) -> Result<Reading> {
        Ok(reading(channel))
    }

    async fn samples(&self, count: u32) -> Result<Stream<Reading>> {
        Ok(Stream::from_values((0..count).map(reading)))
    }

    async fn source(&self) -> Result<Io> {
        let (ordered, order) = oneshot::channel();
        Ok(Io::messages(Meter { seen: 0, tell: Some(ordered), told: order, sends: Sends::Ordered(None) }))
    }

    async fn sink(&self) -> Result<Io> {
        let (ended, total) = oneshot::channel();
        Ok(Io::messages(Meter { seen: 0, tell: Some(ended), told: total, sends: Sends::Total }))
    }
}

/// The reading of a channel.
pub(crate) fn reading(channel: u32) -> Reading {
    Reading { voltage: f64::from(channel), current: 0.5 }
}

/// Orders pieces of so many bytes, and how many of them.
pub(crate) fn order(size: usize, count: usize) -> Bytes {
    [size as u64, count as u64].into_iter().flat_map(u64::to_be_bytes).collect()
}

/// Reads an order.
pub(crate) fn ordered(mut order: Bytes) -> Option<(Bytes, u64)> {
    if order.len() != 16 {
        return None;
    }
    let size = usize::try_from(order.get_u64()).ok()?;
    Some((Bytes::from(vec![0x5a; size]), order.get_u64()))
}

/// The driver's end of a byte stream: no task, no queue, nothing that could be slow.
struct Meter {
    seen: u64,
    /// What the sending half learns from the receiving one.
    tell: Option<oneshot::Sender<Bytes>>,
    told: oneshot::Receiver<Bytes>,
    sends: Sends,
}

enum Sends {
    /// What was ordered, once it was.
    Ordered(Option<(Bytes, u64)>),
    /// How much has come, once that has ended.
    Total,
    Nothing,
}

impl futures::Stream for Meter {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.sends {
                Sends::Ordered(Some((_, 0))) | Sends::Nothing => return Poll::Ready(None),
                Sends::Ordered(Some((piece, left))) => {
                    *left -= 1;
                    return Poll::Ready(Some(Ok(piece.clone())));
                }
                Sends::Ordered(none) => {
                    match ready!(Pin::new(&mut this.told).poll(cx)).ok().and_then(ordered) {
                        Some(order) => *none = Some(order),
                        None => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
                    }
                }
                Sends::Total => {
                    let total = ready!(Pin::new(&mut this.told).poll(cx));
                    this.sends = Sends::Nothing;
                    return Poll::Ready(total.ok().map(Ok));
                }
            }
        }
    }
}

impl Sink<Bytes> for Meter {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, piece: Bytes) -> io::Result<()> {
        self.seen += piece.len() as u64;
        if matches!(self.sends, Sends::Ordered(_))
            && let Some(tell) = self.tell.take()
        {
            // Nobody to tell means that the stream is over.
            let _ = tell.send(piece);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(Bytes::copy_from_slice(&self.seen.to_be_bytes()));
        }
        Poll::Ready(Ok(()))
    }
}

const DRIVERS: &[&dyn DriverFactory] = &[Answering::DRIVER];

/// Serves on a socket of its own until standard input ends.
pub(crate) async fn serve() -> Outcome<()> {
    let registry = Registry::new(&[DRIVERS, jumpstarter_driver_board::DRIVERS]);
    let plan = check("figures.yaml", FILE, &registry, |_| None).map_err(|problems| problems.render())?;
    let local = Local::start(plan).await?;
    process::announce(local.socket());
    process::until_input_ends().await;
    local.stop().await;
    Ok(())
}

/// A new connection.
pub(crate) async fn connect(socket: &Path) -> Outcome<Device> {
    let endpoint = jumpstarter_transport::connect::Endpoint::Unix(socket.to_owned());
    Ok(Device::connect(&endpoint, &Options::default()).await?)
}

/// The probe behind a new connection.
pub(crate) async fn probe(socket: &Path) -> Outcome<ProbeClient> {
    Ok(connect(socket).await?.client("probe")?)
}

/// Has so many pieces sent, and counts their bytes.
pub(crate) async fn receive(probe: &ProbeClient, size: usize, count: usize) -> Outcome<u64> {
    let mut io = probe.source().await?;
    io.send(order(size, count)).await?;
    let mut bytes = 0;
    while let Some(piece) = io.recv().await? {
        bytes += piece.len() as u64;
    }
    io.finish().await?;
    Ok(bytes)
}

/// Sends so many pieces; how many bytes the driver has seen.
pub(crate) async fn send(probe: &ProbeClient, piece: &Bytes, count: usize) -> Outcome<u64> {
    let mut io = probe.sink().await?;
    for _ in 0..count {
        io.send(piece.clone()).await?;
    }
    io.finish().await?;
    let mut total = io.recv().await?.ok_or("the driver did not say how much it got")?;
    Ok(if total.len() == 8 { total.get_u64() } else { 0 })
}
