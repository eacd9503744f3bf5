//! Byte streams, in both dialects, from exporters that end them in every possible way.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use jumpstarter_core::{Error, ErrorKind, Io};
use jumpstarter_protocol::v1::{StreamRequest, StreamResponse};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Code, Response, Status, Streaming};

use crate::{
    gadget::GadgetClient,
    peer::{Frames, Peer, Received, data, frames_of, goaway, odd, open_frames},
};

/// Sends every frame back.
fn echo(frames: Streaming<StreamRequest>) -> Response<Frames> {
    let back = frames.map(|frame| {
        frame.map(|frame| StreamResponse { payload: frame.payload, frame_type: frame.frame_type })
    });
    Response::new(back.chain(stream::pending()).boxed())
}

/// The message of native streams.
#[derive(Clone, PartialEq, prost::Message)]
struct StreamData {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

/// Everything up to the end, and how it ended.
async fn read(io: &mut Io) -> (Vec<Bytes>, Result<(), Error>) {
    let mut pieces = Vec::new();
    loop {
        match io.recv().await {
            Ok(Some(piece)) => pieces.push(piece),
            Ok(None) => return (pieces, Ok(())),
            Err(error) => return (pieces, Err(error.into())),
        }
    }
}

#[tokio::test]
async fn a_stream_says_what_it_is_for_and_carries_both_directions() {
    let peer = Peer::legacy().on_stream(|metadata, frames| async move {
        let request: serde_json::Value =
            serde_json::from_str(metadata.get("request").unwrap().to_str().unwrap()).unwrap();
        assert_eq!(request, serde_json::json!({"kind": "driver", "uuid": "g", "method": "connect"}));
        Ok(echo(frames))
    });
    let (device, _server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    for text in ["a", "bc", ""] {
        io.send(text).await.unwrap();
        assert_eq!(io.recv().await.unwrap().unwrap(), text);
    }
    io.finish().await.unwrap();
    assert_eq!(io.recv().await.unwrap(), None);
    assert!(io.send("late").await.is_err(), "the direction is finished");
}

#[tokio::test]
async fn pitfall_s2_the_end_of_our_direction_leaves_the_other_running() {
    let peer = Peer::legacy().on_stream(|_, frames| async move {
        let answer = stream::once(async move {
            let received = Received::all(frames).await;
            assert_eq!(received.note, Some(Bytes::new()), "the end was announced, with nothing in it");
            data(received.bytes())
        });
        Ok(Response::new(answer.chain(stream::iter([goaway()])).chain(stream::pending()).boxed()))
    });
    let (device, _server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    io.send("que").await.unwrap();
    io.send("stion").await.unwrap();
    io.finish().await.unwrap();
    let (pieces, end) = read(&mut io).await;
    end.unwrap();
    assert_eq!(pieces, ["question"]);
}

#[tokio::test]
async fn pitfall_s1_a_stream_that_is_cut_after_any_frame_is_an_error_and_never_an_end() {
    let codes = [Code::Cancelled, Code::Unavailable, Code::Unknown, Code::Internal, Code::Aborted];
    for code in codes {
        for count in 0..4_usize {
            let peer = Peer::legacy().on_stream(move |_, _| async move {
                let mut frames = vec![data("0"), data("1"), data("2"), data("3")];
                frames.truncate(count);
                frames.push(Err(Status::new(code, "cut")));
                Ok(frames_of(frames))
            });
            let (device, _server) = peer.device().await;
            let mut io = GadgetClient::of(&device).connect().await.unwrap();
            let (pieces, end) = read(&mut io).await;
            assert_eq!(pieces.len(), count);
            let error = end.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated);
            assert!(error.message().ends_with("cut"), "{error}");
            assert!(io.recv().await.is_err(), "and stays one");
        }
    }
}

#[tokio::test]
async fn pitfall_s1_a_native_stream_that_is_cut_is_an_error_and_an_ended_one_is_not() {
    for cut in [true, false] {
        let peer = Peer::native().on_native(move |call| async move {
            assert_eq!(call.rpc, "Connect");
            let piece = StreamData { payload: "piece".into() }.encode_to_vec();
            let mut messages = vec![Ok(Bytes::from(piece))];
            messages.extend(cut.then(|| Err(Status::unavailable("cut"))));
            Ok(stream::iter(messages).boxed())
        });
        let (device, _server) = peer.device().await;
        let mut io = GadgetClient::of(&device).connect().await.unwrap();
        let (pieces, end) = read(&mut io).await;
        assert_eq!(pieces, ["piece"]);
        assert_eq!(end.is_err(), cut);
        assert_eq!(io.recv().await.is_err(), cut);
    }
}

#[tokio::test]
async fn pitfall_s3_a_python_servers_farewell_is_a_clean_end_after_its_goaway_only() {
    let farewell = || Err(Status::aborted("RouterStream: aclose"));
    for (frames, clean) in [
        (vec![data("a"), goaway(), farewell()], true),
        (vec![data("a"), farewell()], false),
        (vec![data("a"), goaway()], true),
        (vec![data("a")], true),
    ] {
        let frames = std::sync::Arc::new(frames);
        let peer = Peer::legacy().on_stream(move |_, _| {
            let frames = frames.clone();
            async move { Ok(frames_of(frames.to_vec())) }
        });
        let (device, _server) = peer.device().await;
        let mut io = GadgetClient::of(&device).connect().await.unwrap();
        let (pieces, end) = read(&mut io).await;
        assert_eq!((pieces, end.is_ok()), (vec![Bytes::from("a")], clean));
    }
}

#[tokio::test]
async fn pitfall_s5_empty_data_arrives_and_other_frames_do_not() {
    let peer = Peer::legacy().on_stream(|_, _| async {
        // A reset, a ping, and types of other versions.
        Ok(open_frames(vec![odd(3), data(""), odd(6), odd(99), odd(-1), data("x"), goaway()]))
    });
    let (device, _server) = peer.device().await;
    let (pieces, end) = read(&mut GadgetClient::of(&device).connect().await.unwrap()).await;
    end.unwrap();
    assert_eq!(pieces, ["", "x"]);
}

#[tokio::test]
async fn pitfall_s6_messages_are_neither_joined_nor_cut() {
    let (sender, mut sizes) = mpsc::channel(4);
    let peer = Peer::legacy().on_stream(move |_, frames| {
        let sender = sender.clone();
        async move {
            tokio::spawn(async move {
                let received = Received::all(frames).await;
                let sizes: Vec<_> = received.pieces.iter().map(Bytes::len).collect();
                sender.send(sizes).await.unwrap();
            });
            Ok(open_frames(vec![data(vec![1; 200_000]), data(""), data("a"), goaway()]))
        }
    });
    let (device, _server) = peer.device().await;
    let gadget = GadgetClient::of(&device);
    let pieces = [0, 1, 65_537, 300_000, 2];

    let mut io = gadget.frames().await.unwrap();
    for size in pieces {
        io.send(vec![7; size]).await.unwrap();
    }
    io.finish().await.unwrap();
    assert_eq!(sizes.recv().await.unwrap(), pieces);
    let (received, end) = read(&mut io).await;
    end.unwrap();
    assert_eq!(received.iter().map(Bytes::len).collect::<Vec<_>>(), [200_000, 0, 1]);
    let error = gadget.frames().await.unwrap().send(vec![0; 5 * 1024 * 1024]).await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");

    assert_eq!(sizes.recv().await.unwrap(), [] as [usize; 0]);

    // A byte stream has no borders to keep; its pieces fit every peer.
    let mut io = gadget.connect().await.unwrap();
    io.send(vec![7; 300_000]).await.unwrap();
    io.finish().await.unwrap();
    let sizes = sizes.recv().await.unwrap();
    assert_eq!(sizes.iter().sum::<usize>(), 300_000);
    assert!(sizes.iter().all(|size| *size <= 65_536), "{sizes:?}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_fails_when_it_is_opened() {
    let peer =
        Peer::legacy().on_stream(|_, _| async { Err(Status::unknown("All connection attempts failed")) });
    let (device, _server) = peer.device().await;
    let error = GadgetClient::of(&device).connect().await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Device, "All connection attempts failed"));
    let peer =
        Peer::legacy().on_stream(|_, _| async { Err(Status::not_found("method x not found on driver")) });
    let (device, _server) = peer.device().await;
    let error = device.find("gadget").unwrap().open_stream("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MethodNotFound);
}

#[tokio::test]
async fn a_stream_that_fails_after_its_headers_fails_at_the_first_read() {
    let peer =
        Peer::legacy().on_stream(|_, _| async { Ok(frames_of(vec![Err(Status::unknown("no such port"))])) });
    let (device, _server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    assert!(io.recv().await.unwrap_err().to_string().contains("no such port"));
}

#[tokio::test(start_paused = true)]
async fn pitfall_t2_a_stream_whose_headers_wait_for_our_first_byte_still_works() {
    let peer = Peer::legacy().on_stream(|_, mut frames| async move {
        let first = frames.message().await?;
        assert_eq!(first.unwrap().payload, "hello");
        Ok(open_frames(vec![data("answer"), goaway()]))
    });
    let (device, _server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    io.send("hello").await.unwrap();
    assert_eq!(io.recv().await.unwrap().unwrap(), "answer");
    assert_eq!(io.recv().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_comes_after_our_patience_has_ended_comes_with_the_first_read() {
    let peer = Peer::legacy().on_stream(|_, mut frames| async move {
        frames.message().await?;
        Err(Status::unknown("refused after all"))
    });
    let (device, _server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    io.send("hello").await.unwrap();
    let error = Error::from(io.recv().await.unwrap_err());
    assert_eq!((error.kind(), error.message()), (ErrorKind::Device, "refused after all"));
    assert!(io.send("more").await.is_err());
}

#[tokio::test]
async fn pitfall_s1_a_stream_that_is_dropped_is_a_cut_for_the_exporter_and_a_finished_one_is_an_end() {
    for native in [false, true] {
        let (sender, mut ends) = mpsc::channel::<(usize, bool)>(4);
        let other = sender.clone();
        let peer = if native { Peer::native() } else { Peer::legacy() }
            .on_stream(move |_, frames| {
                let sender = sender.clone();
                async move {
                    tokio::spawn(async move {
                        let received = Received::all(frames).await;
                        sender.send((received.bytes().len(), received.lost.is_none())).await.unwrap();
                    });
                    Ok(open_frames(vec![]))
                }
            })
            .on_native(move |mut call| {
                let sender = other.clone();
                async move {
                    tokio::spawn(async move {
                        let (mut size, mut ended) = (0, true);
                        while let Some(message) = call.messages.next().await {
                            match message {
                                Ok(message) => size += StreamData::decode(message).unwrap().payload.len(),
                                Err(_) => ended = false,
                            }
                        }
                        sender.send((size, ended)).await.unwrap();
                    });
                    Ok(stream::pending().boxed())
                }
            });
        let (device, _server) = peer.device().await;
        let gadget = GadgetClient::of(&device);
        let mut io = gadget.connect().await.unwrap();
        io.send("abc").await.unwrap();
        io.finish().await.unwrap();
        assert_eq!(ends.recv().await.unwrap(), (3, true), "native: {native}");
        let mut io = gadget.connect().await.unwrap();
        io.send("abc").await.unwrap();
        drop(io);
        let (_, ended) = ends.recv().await.unwrap();
        assert!(!ended, "what was dropped may not look complete; native: {native}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_a_lost_stream() {
    let peer = Peer::legacy().on_stream(|_, _| async { Ok(open_frames(vec![data("a")])) });
    let (device, server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    assert_eq!(io.recv().await.unwrap().unwrap(), "a");
    drop(server);
    assert_eq!(Error::from(io.recv().await.unwrap_err()).kind(), ErrorKind::Truncated);
}

#[tokio::test(start_paused = true)]
async fn pitfall_s7_a_slow_exporter_stops_the_writer() {
    let (sender, mut opened) = mpsc::channel(1);
    let peer = Peer::legacy().on_stream(move |_, frames| {
        let sender = sender.clone();
        async move {
            sender.send(frames).await.unwrap();
            Ok(open_frames(vec![]))
        }
    });
    let (device, _server) = peer.device().await;
    let mut io = GadgetClient::of(&device).connect().await.unwrap();
    let frames = opened.recv().await.unwrap();
    // More than all windows and buffers together: somebody has to wait.
    let total = 24 * 1024 * 1024;
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let mut sent = 0;
    let stuck = async {
        while sent < total {
            io.send(piece.clone()).await.unwrap();
            sent += piece.len();
        }
        io.finish().await.unwrap();
    };
    let mut stuck = std::pin::pin!(stuck);
    // The clock stands still until nothing can go on any more.
    let waited = tokio::time::timeout(std::time::Duration::from_secs(1), &mut stuck).await;
    assert!(waited.is_err(), "everything was taken although nobody reads");
    let (received, ()) = tokio::join!(Received::all(frames), stuck);
    assert_eq!(received.bytes().len(), total);
}
