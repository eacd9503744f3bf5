//! Hosts and ports: how they are found, reached and named, and how what goes wrong on the way is worded.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use jumpstarter::{Error, ErrorKind, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// How long a peer may take to accept a connection. Without a limit it is the kernel's, which is over two minutes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A host and a port, as people write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') && !self.host.starts_with('[') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Place {
    /// All addresses of the host, in the system's order.
    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>> {
        let failed = |why: &str| {
            let text = format!("connecting to {self}: the name {} cannot be resolved{why}", self.host);
            Error::new(ErrorKind::Absent, text)
        };
        let addresses: Vec<_> = match lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => return Err(failed(&format!(": {error}")).caused_by(error)),
        };
        if addresses.is_empty() { Err(failed("")) } else { Ok(addresses) }
    }

    /// The address to tell clients: the host resolved to its first address. A name that does not resolve here may resolve
    /// for the caller, so it is passed on as it is.
    pub(crate) async fn address(&self) -> Self {
        let host = match self.host.parse::<IpAddr>() {
            Ok(_) => self.host.clone(),
            Err(_) => match self.resolve().await {
                Ok(found) => found.first().map_or_else(|| self.host.clone(), |first| first.ip().to_string()),
                Err(_) => self.host.clone(),
            },
        };
        Self { host, port: self.port }
    }

    /// Connects, trying one address after the other.
    pub(crate) async fn connect(&self) -> Result<TcpStream> {
        let addresses = self.resolve().await?;
        let stream = within(self, async {
            let mut last = None;
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
        });
        let stream = stream.await?;
        // What comes from a console is small and should not wait.
        stream.set_nodelay(true).map_err(|error| failed(self, error))?;
        Ok(stream)
    }
}

/// Waits for a connection, but not for ever.
pub(crate) async fn within<T>(
    place: &impl fmt::Display,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T> {
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(|error| failed(place, error)),
        Err(_) => Err(Error::timeout(format!(
            "connecting to {place}: nobody answered within {} seconds",
            PATIENCE.as_secs()
        ))),
    }
}

/// Why there is no connection.
pub(crate) fn failed(place: &impl fmt::Display, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused => ": nothing listens there",
        _ => "",
    };
    let mut error = Error::from(error);
    if !hint.is_empty() {
        error = Error::new(error.kind(), format!("{}{hint}", error.message())).caused_by(error);
    }
    error.context(format_args!("connecting to {place}"))
}

/// Why a connection that there was is no more.
pub(crate) fn broken(place: &str, error: io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::ConnectionReset => format!("{place} has reset the connection"),
        io::ErrorKind::BrokenPipe => format!("{place} has closed the connection"),
        io::ErrorKind::TimedOut => format!("{place} does not answer any more"),
        _ => format!("the connection to {place} has failed: {error}"),
    };
    let kind = Error::from(io::Error::from(error.kind())).kind();
    Error::new(kind, text).caused_by(error).into()
}

/// What a connection is made of.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Called instead of an end when whoever used the connection was cut off, so that the peer does not take it for one.
    fn abort(&mut self) {}
}

impl Transport for TcpStream {
    fn abort(&mut self) {
        // A reset instead of an end.
        let _ = self.set_zero_linger();
    }
}

impl Transport for tokio::net::UnixStream {}

/// A connection that knows where it leads: its errors say so.
pub(crate) struct Wire<S: Transport> {
    stream: S,
    place: String,
    /// Whether the user has announced the end of the data, or the peer has ended the connection.
    ended: bool,
}

impl<S: Transport> Wire<S> {
    pub(crate) fn new(stream: S, place: &impl fmt::Display) -> Self {
        Self { stream, place: place.to_string(), ended: false }
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            self.ended = true;
            broken(&self.place, error)
        })
    }
}

impl<S: Transport> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        Poll::Ready(this.note(result))
    }
}

impl<S: Transport> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.stream).poll_write(cx, data));
        Poll::Ready(this.note(result))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.stream).poll_flush(cx));
        Poll::Ready(this.note(result))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A peer that is gone already has no use for the end: the caller knows this error by its kind.
        let result = ready!(Pin::new(&mut this.stream).poll_shutdown(cx));
        this.ended = true;
        Poll::Ready(result)
    }
}

impl<S: Transport> Drop for Wire<S> {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.abort();
        }
    }
}

/// What all drivers with an address say when they may not tell it.
pub(crate) fn hidden() -> Error {
    Error::invalid_argument("this exporter does not tell its address (`enable_address` is false)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> Place {
        Place { host: host.to_owned(), port: 80 }
    }

    #[jumpstarter::test]
    async fn addresses_are_told_as_the_existing_clients_read_them() {
        for (host, told) in [
            ("192.0.2.7", "192.0.2.7:80"),
            ("2001:db8::1", "[2001:db8::1]:80"),
            // Kept as it was written.
            ("0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]:80"),
            ("no-such-host.invalid", "no-such-host.invalid:80"),
        ] {
            assert_eq!(place(host).address().await.to_string(), told);
        }
        let told = place("localhost").address().await;
        assert!(told.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()), "{told}");
    }

    #[jumpstarter::test]
    async fn a_name_that_is_not_there_is_no_refusal() {
        let unknown = place("no-such-host.invalid").connect().await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Absent);
        let start =
            "connecting to no-such-host.invalid:80: the name no-such-host.invalid cannot be resolved: ";
        assert!(unknown.message().starts_with(start), "{unknown}");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = Place { host: "127.0.0.1".to_owned(), port }.connect().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Disconnected);
        let text = format!(
            "connecting to 127.0.0.1:{port}: Connection refused (os error 111): nothing listens there"
        );
        assert_eq!(refused.message(), text);
    }
}
