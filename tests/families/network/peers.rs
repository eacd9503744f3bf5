//! What stands on the other side of a connection: small servers of the test, stopped when dropped.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, UnixListener},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// What is said when everything has been heard.
pub(super) const FAREWELL: &[u8] = b"bye";

/// A task that ends with its handle.
pub(super) struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A server at a port.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    _task: Running,
}

/// A server at a path.
pub(super) struct UnixPeer {
    pub(super) path: PathBuf,
    _folder: TempDir,
    _task: Running,
}

/// Answers what it hears; after the end of that, says good-bye and ends as well.
pub(super) async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.write_all(FAREWELL).await;
        let _ = writer.shutdown().await;
    }
}

/// Serves each connection to a new port.
pub(super) async fn tcp<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Peer
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
            while connections.try_join_next().is_some() {}
        }
    });
    Peer { address, _task: Running(task) }
}

/// A port where nothing listens.
pub(super) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

/// The same as [`echo`] at a path.
pub(super) fn unix() -> UnixPeer {
    let folder = tempfile::Builder::new().prefix("jumpstarter-").tempdir().expect("a folder");
    let path = folder.path().join("peer");
    let task = unix_at(&path);
    UnixPeer { path, _folder: folder, _task: task }
}

/// The same at this path, until the answer is dropped.
pub(super) fn unix_at(path: &Path) -> Running {
    let listener = UnixListener::bind(path).expect("a socket");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    Running(task)
}

/// Answers each datagram with the same; after `quit` it is gone.
pub(super) async fn udp() -> Peer {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..size], from).await;
            if buffer[..size] == *b"quit" {
                break;
            }
        }
    });
    Peer { address, _task: Running(task) }
}

/// What a WebSocket runs over.
pub(super) trait Server: AsyncRead + AsyncWrite + Unpin {
    /// Makes its end a reset.
    fn cut(&self);
}

impl Server for TcpStream {
    fn cut(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Server for tokio_rustls::server::TlsStream<TcpStream> {
    fn cut(&self) {
        self.get_ref().0.cut();
    }
}

/// A WebSocket server that answers each message with the same, apart from `close CODE`, `text` and `vanish`.
pub(super) async fn websocket() -> Peer {
    tcp(|stream| async move {
        if let Ok(socket) = accept_async(stream).await {
            converse(socket).await;
        }
    })
    .await
}

/// The conversation of [`websocket`].
pub(super) async fn converse<S: Server>(mut socket: WebSocketStream<S>) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(data) = message else { continue };
        let text = String::from_utf8_lossy(&data).into_owned();
        let answer = match text.split_once(' ') {
            Some(("close", code)) => {
                let code: u16 = code.parse().expect("a code");
                Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: "as told".into() }))
            }
            _ if text == "text" => Message::Text("grüße".into()),
            _ if text == "ping" => {
                let _ = socket.send(Message::Ping("nobody's data".into())).await;
                Message::Binary(data)
            }
            _ if text == "vanish" => {
                socket.get_ref().cut();
                return;
            }
            _ if text == "leave" => return,
            _ => Message::Binary(data),
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

/// Hears one piece, says half of what it has to say, and resets the connection.
pub(super) async fn reset(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    let _ = stream.read(&mut buffer).await;
    let _ = stream.write_all(b"half of ").await;
    // Its last words have to be on their way before it goes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _ = stream.set_zero_linger();
}
