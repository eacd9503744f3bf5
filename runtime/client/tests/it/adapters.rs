//! Port forwards.

use futures::{StreamExt as _, stream};
use jumpstarter_client::adapters::{TcpForward, UnixForward};
use jumpstarter_protocol::v1::StreamResponse;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};
use tonic::{Response, Status};

use crate::peer::{Peer, Received, data, frames_of, goaway};

/// Sends everything back, and ends when the client does.
fn echo() -> Peer {
    Peer::legacy().on_stream(|_, frames| async {
        let back = frames.map(|frame| {
            frame.map(|frame| StreamResponse { payload: frame.payload, frame_type: frame.frame_type })
        });
        Ok(Response::new(back.chain(stream::pending()).boxed()))
    })
}

#[tokio::test]
async fn each_connection_to_a_forwarded_port_gets_a_stream_of_its_own() {
    let (device, _server) = echo().device().await;
    let forward = TcpForward::local(&device.find("gadget").unwrap()).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(TcpStream::connect(forward.address()).await.unwrap());
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.write_all(format!("hello {number}").as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, format!("hello {number}"));
    }
}

#[tokio::test]
async fn pitfall_s2_a_forwarded_connection_half_closes() {
    let peer = Peer::legacy().on_stream(|_, frames| async {
        let answer = stream::once(async { data(Received::all(frames).await.bytes().len().to_string()) });
        Ok(Response::new(answer.chain(stream::iter([goaway()])).chain(stream::pending()).boxed()))
    });
    let (device, _server) = peer.device().await;
    let forward = UnixForward::local(&device.find("gadget").unwrap()).unwrap();
    let mut connection = UnixStream::connect(forward.path()).await.unwrap();
    connection.write_all(&vec![1; 300_000]).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "300000");
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_or_breaks_is_seen_by_both_sides() {
    for open in [false, true] {
        let peer = Peer::legacy().on_stream(move |_, _| async move {
            let refused = Status::unknown("All connection attempts failed");
            if open { Ok(frames_of(vec![Err(refused)])) } else { Err(refused) }
        });
        let (device, _server) = peer.device().await;
        let mut forward = TcpForward::local(&device.find("gadget").unwrap()).await.unwrap();
        let mut connection = TcpStream::connect(forward.address()).await.unwrap();
        let error = connection.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let failure = forward.failure().await.unwrap();
        assert!(failure.to_string().contains("All connection attempts failed"), "{failure}");
        assert!(failure.to_string().starts_with("127.0.0.1:"), "{failure}");
    }
}

#[tokio::test]
async fn a_forward_ends_with_its_value_and_with_the_connection() {
    let (device, _server) = echo().device().await;
    let gadget = device.find("gadget").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("port");
    let forward = UnixForward::bind(&gadget, "connect", &path).unwrap();
    let mut connection = UnixStream::connect(&path).await.unwrap();
    connection.write_all(b"x").await.unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), b'x');
    let taken = UnixForward::bind(&gadget, "connect", &path).unwrap_err();
    assert!(taken.message().contains(path.to_str().unwrap()), "{taken}");
    drop(forward);
    assert!(!path.exists());
    assert!(connection.read_u8().await.is_err());

    let mut forward = TcpForward::local(&gadget).await.unwrap();
    gadget.close();
    assert!(forward.failure().await.is_none());
    assert!(TcpStream::connect(forward.address()).await.is_err(), "nobody listens any more");
}
