//! A UDP port that the exporter can reach.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures::{Sink, Stream};
use jumpstarter::{Error, ErrorKind, Io, Result, config, driver};
use jumpstarter_interfaces::{Network, NetworkAddress};
use tokio::{
    io::{Interest, Ready},
    net::UdpSocket,
};
use tokio_util::sync::ReusableBoxFuture;

use crate::place::{Place, failed, hidden};

/// Room for the largest datagram: the length field of UDP has 16 bits (RFC 768).
const LARGEST: usize = 65_536;

/// Where to send datagrams.
#[config]
#[derive(Clone, Debug)]
pub struct UdpNetworkConfig {
    /// Name or address of the host.
    #[schemars(length(min = 1), extend("examples" = ["192.0.2.7"]))]
    pub host: String,
    /// Port.
    #[unit = "UDP port"]
    #[schemars(extend("examples" = [69]))]
    pub port: u16,
    /// Tell clients the address, for those that can reach it directly.
    #[default = true]
    pub enable_address: bool,
}

/// A UDP socket for each caller, connected to one peer.
///
/// One message is one datagram, in both directions, also an empty one. Nothing announces the end of datagrams, so none
/// comes; when the peer's host says that nothing listens on the port (ICMP), the connection ends with an error.
#[driver(
    type = "udp-network",
    provides(Network, NetworkAddress),
    config = UdpNetworkConfig,
    open = UdpNetwork::new,
    aliases("jumpstarter_driver_network.driver.UdpNetwork")
)]
#[derive(Debug)]
pub struct UdpNetwork {
    place: Place,
    enable_address: bool,
}

impl UdpNetwork {
    /// Sends datagrams to this place.
    pub fn new(config: UdpNetworkConfig) -> Self {
        let UdpNetworkConfig { host, port, enable_address } = config;
        Self { place: Place { host, port }, enable_address }
    }
}

/// A socket with this peer only.
async fn connected(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

impl Network for UdpNetwork {
    async fn connect(&self) -> Result<Io> {
        let mut last = None;
        for peer in self.place.resolve().await? {
            match connected(peer).await {
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    return Ok(Io::messages(Datagrams {
                        event: ReusableBoxFuture::new(event(socket.clone())),
                        socket,
                        place: self.place.to_string(),
                        buffer: Vec::new(),
                        outgoing: None,
                        finished: false,
                        failed: None,
                        reader: None,
                    }));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(failed(&self.place, last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
    }
}

impl NetworkAddress for UdpNetwork {
    async fn address(&self) -> Result<String> {
        if !self.enable_address {
            return Err(hidden());
        }
        Ok(format!("udp://{}", self.place.address().await))
    }
}

/// Waits for a datagram or for bad news: what the peer's host says arrives as the socket's error and nothing else.
async fn event(socket: Arc<UdpSocket>) -> io::Result<Ready> {
    socket.ready(Interest::READABLE | Interest::ERROR).await
}

/// Datagrams as messages.
struct Datagrams {
    socket: Arc<UdpSocket>,
    event: ReusableBoxFuture<'static, io::Result<Ready>>,
    place: String,
    /// Where datagrams arrive; empty as long as there was none.
    buffer: Vec<u8>,
    outgoing: Option<Bytes>,
    finished: bool,
    /// What was heard while sending, for the reader: it is the one that tells the user.
    failed: Option<io::Error>,
    reader: Option<Waker>,
}

impl Datagrams {
    fn worded(&self, error: io::Error) -> io::Error {
        let text = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("{} refuses datagrams: nothing listens there", self.place)
            }
            _ => format!("datagrams to {} have failed: {error}", self.place),
        };
        let kind = Error::from(io::Error::from(error.kind())).kind();
        Error::new(kind, text).caused_by(error).into()
    }

    /// What has arrived.
    fn take(&mut self, ready: Ready) -> io::Result<Option<Bytes>> {
        if ready.is_readable() {
            if self.buffer.is_empty() {
                self.buffer = vec![0; LARGEST];
            }
            match self.socket.try_recv(&mut self.buffer) {
                Ok(size) => return Ok(Some(Bytes::copy_from_slice(&self.buffer[..size]))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if ready.is_error() {
            let news = || match self.socket.take_error()? {
                Some(error) => Ok(error),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
            match self.socket.try_io(Interest::ERROR, news) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(error) | Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(datagram) = &self.outgoing else { return Poll::Ready(Ok(())) };
        let sent = ready!(self.socket.poll_send(cx, datagram));
        let size = datagram.len();
        self.outgoing = None;
        Poll::Ready(match sent {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                let text = format!("a message of {size} bytes is too large for a datagram to {}", self.place);
                Err(Error::new(ErrorKind::InvalidArgument, text).caused_by(error).into())
            }
            // It is the answer to an earlier datagram. The reader ends the connection with it.
            Err(error) => {
                self.failed = Some(self.worded(error));
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
                Ok(())
            }
        })
    }
}

impl Stream for Datagrams {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(error) = this.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            let ready = match this.event.poll(cx) {
                Poll::Pending => {
                    this.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(ready) => ready,
            };
            this.event.set(event(this.socket.clone()));
            match ready.and_then(|ready| this.take(ready)) {
                Ok(Some(datagram)) => return Poll::Ready(Some(Ok(datagram))),
                // It was announced and is gone, for example because its checksum was wrong.
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(this.worded(error)))),
            }
        }
    }
}

impl Sink<Bytes> for Datagrams {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            let text = "this direction of the connection is finished";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, text)));
        }
        self.poll_outgoing(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, datagram: Bytes) -> io::Result<()> {
        self.outgoing = Some(datagram);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_outgoing(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outgoing(cx))?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use jumpstarter_interfaces::NetworkClient;

    use super::*;

    async fn open(port: u16) -> Io {
        let config = UdpNetworkConfig { host: "127.0.0.1".to_owned(), port, enable_address: true };
        NetworkClient::local(UdpNetwork::new(config)).connect().await.unwrap()
    }

    #[jumpstarter::test]
    async fn pitfall_s6_one_message_is_one_datagram() {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut io = open(peer.local_addr().unwrap().port()).await;
        let mut buffer = vec![0; LARGEST];
        let large = vec![7; 60_000];
        for message in [&b"one"[..], b"", b"two", &large] {
            io.send(Bytes::copy_from_slice(message)).await.unwrap();
            let (size, caller) = peer.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..size], message);
            peer.send_to(message, caller).await.unwrap();
        }
        for message in [&b"one"[..], b"", b"two", &large] {
            assert_eq!(io.recv().await.unwrap().unwrap(), message, "an empty datagram is one, too");
        }
    }

    #[jumpstarter::test]
    async fn a_refusal_by_the_peers_host_is_told() {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = peer.local_addr().unwrap().port();
        drop(peer);
        let mut io = open(port).await;
        io.send("anybody?").await.unwrap();
        let error = Error::from(io.recv().await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert_eq!(error.message(), format!("127.0.0.1:{port} refuses datagrams: nothing listens there"));
    }

    #[jumpstarter::test]
    async fn a_refusal_that_the_sender_meets_is_told_by_the_reader() {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = peer.local_addr().unwrap().port();
        drop(peer);
        let (mut reader, mut writer) = open(port).await.split();
        writer.send("anybody?".into()).await.unwrap();
        // The loopback interface answers at once, so this one meets the refusal.
        writer.send("anybody else?".into()).await.unwrap();
        let error = Error::from(reader.recv().await.unwrap_err());
        assert!(error.message().ends_with("nothing listens there"), "{error}");
    }

    #[jumpstarter::test]
    async fn a_message_that_no_datagram_holds_is_refused_with_its_size() {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = peer.local_addr().unwrap().port();
        let error = Error::from(open(port).await.send(vec![0; 70_000]).await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = format!("a message of 70000 bytes is too large for a datagram to 127.0.0.1:{port}");
        assert_eq!(error.message(), text);
    }
}
