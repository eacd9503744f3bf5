//! A port that is a TCP connection, and one that leads back to itself.

use std::io;

use bytes::BytesMut;
use futures::future::BoxFuture;
use jumpstarter::{
    Context as _, Error, Result,
    time::{Duration, timeout},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, SimplexStream, WriteHalf, simplex},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    address::Place,
    port::{Input, NoLines, Opened, Output},
};

/// How long a connection may take; the same as upstream's.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// How much an echo holds until somebody reads it: upstream's 32 pieces of the size of a terminal's buffer.
const ECHO: usize = 32 * 4096;

/// Connects to a place, or says why not.
pub(crate) async fn connect(place: &Place) -> Result<TcpStream> {
    let stream = match timeout(CONNECT, TcpStream::connect((place.host.as_str(), place.port))).await {
        Ok(stream) => stream.context(format_args!("connecting to {place}"))?,
        Err(_) => {
            return Err(Error::timeout(format!("connecting to {place} took longer than {CONNECT:?}")));
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A port that is a TCP connection. It has no settings and no control lines.
pub(crate) async fn open(place: &Place) -> Result<Opened> {
    let (input, output) = connect(place).await?.into_split();
    Ok(Opened {
        input: Box::new(Half { half: input, place: place.clone() }),
        output: Box::new(Half { half: output, place: place.clone() }),
        lines: std::sync::Arc::new(NoLines),
    })
}

/// One direction of a connection, and where it leads, for messages.
struct Half<T> {
    half: T,
    place: Place,
}

impl<T> Half<T> {
    fn explain(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("the connection to {} broke: {error}", self.place))
    }
}

impl Input for Half<OwnedReadHalf> {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move { self.half.read_buf(buffer).await.map_err(|error| self.explain(&error)) })
    }
}

impl Output for Half<OwnedWriteHalf> {
    fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.half.write_all(data).await.map_err(|error| self.explain(&error)) })
    }
}

/// A port whose output is its input.
pub(crate) fn echo() -> Opened {
    let (input, output) = simplex(ECHO);
    Opened { input: Box::new(input), output: Box::new(output), lines: std::sync::Arc::new(NoLines) }
}

impl Input for ReadHalf<SimplexStream> {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(self.read_buf(buffer))
    }
}

impl Output for WriteHalf<SimplexStream> {
    fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(self.write_all(data))
    }
}
