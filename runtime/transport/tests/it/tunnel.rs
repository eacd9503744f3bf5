//! A call as a connection.

use std::io::{ErrorKind, IoSlice};

use jumpstarter_transport::tunnel;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, metadata::MetadataMap};

use crate::{Echo, in_memory};

#[tokio::test]
async fn a_tunnel_carries_every_byte_and_the_end_of_each_direction() {
    let (service, mut ends) = Echo::watched();
    let (_server, channel) = in_memory(&service).await;
    let (tunnel, outcome) = tunnel::open(channel, MetadataMap::new());
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let (mut reading, mut writing) = tokio::io::split(tunnel);
    let sent = bytes.clone();
    let sending = async {
        writing.write_all(&sent).await.expect("sent");
        writing.shutdown().await.expect("ended");
        assert_eq!(writing.write_all(b"late").await.expect_err("it has ended").kind(), ErrorKind::BrokenPipe);
    };
    let mut come = Vec::new();
    let (come_length, ()) = tokio::join!(reading.read_to_end(&mut come), sending);
    assert_eq!(come_length.expect("an end"), bytes.len());
    assert!(come == bytes, "other bytes came");
    assert_eq!(ends.recv().await, Some(Ok(bytes.len())));
    assert!(outcome.has_spoken() && outcome.lost().is_none());
    assert_eq!(reading.read(&mut [0; 8]).await.expect("the end stays"), 0);
}

#[tokio::test]
async fn a_tunnel_that_is_dropped_is_cut_and_has_not_ended() {
    let (service, mut ends) = Echo::watched();
    let (_server, channel) = in_memory(&service).await;
    let (mut tunnel, _) = tunnel::open(channel, MetadataMap::new());
    tunnel.write_all(b"half").await.expect("sent");
    tunnel.read_exact(&mut [0; 4]).await.expect("echoed");
    drop(tunnel);
    assert_eq!(ends.recv().await, Some(Err(Code::Unavailable)));
}

#[tokio::test]
async fn what_was_written_before_the_end_arrives_although_the_tunnel_is_dropped() {
    let (service, mut ends) = Echo::watched();
    let (_server, channel) = in_memory(&service).await;
    let (mut tunnel, _) = tunnel::open(channel, MetadataMap::new());
    tunnel.write_all(b"x").await.expect("sent");
    tunnel.read_exact(&mut [0; 1]).await.expect("echoed");
    let last = vec![7; 3_000_000];
    tunnel.write_all(&last).await.expect("sent");
    tunnel.shutdown().await.expect("ended");
    drop(tunnel);
    assert_eq!(ends.recv().await, Some(Ok(last.len() + 1)));
}

#[tokio::test]
async fn a_router_that_goes_is_an_error_for_the_reader_and_no_end() {
    let (server, channel) = in_memory(&Echo::default()).await;
    let (mut tunnel, outcome) = tunnel::open(channel.clone(), MetadataMap::new());
    tunnel.write_all(b"half").await.expect("sent");
    tunnel.read_exact(&mut [0; 4]).await.expect("echoed");
    drop(server);
    tunnel.read(&mut [0; 8]).await.expect_err("lost");
    tunnel.read(&mut [0; 8]).await.expect_err("a loss stays a loss");
    assert!(outcome.lost().is_some());

    // One that is not there never opens.
    let (mut tunnel, outcome) = tunnel::open(channel, MetadataMap::new());
    tunnel.read(&mut [0; 8]).await.expect_err("nobody is there");
    assert!(outcome.lost().is_some() && !outcome.has_spoken());
}

#[tokio::test]
async fn what_is_written_at_once_is_one_frame() {
    let (_server, channel) = in_memory(&Echo::default()).await;
    let (mut tunnel, _) = tunnel::open(channel, MetadataMap::new());
    let slices = [IoSlice::new(b"a header "), IoSlice::new(b""), IoSlice::new(b"and its payload")];
    let count = tunnel.write_vectored(&slices).await.expect("sent");
    assert_eq!(count, 24);
    let mut buffer = [0; 100];
    assert_eq!(tunnel.read(&mut buffer).await.expect("echoed"), 24, "cut in two");
    assert_eq!(&buffer[..24], b"a header and its payload");
}
