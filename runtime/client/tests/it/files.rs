//! Files beside calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex},
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jumpstarter_client::Encoding;
use jumpstarter_core::{Error, ErrorKind, Sink, Source, resource::hex, wire::value};
use jumpstarter_protocol::v1::{StreamRequest, StreamResponse};
use jumpstarter_transport::codec;
use prost_types::Value;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, mpsc, oneshot};
use tonic::{Response, Status, Streaming, metadata::MetadataMap};

use crate::{
    gadget::GadgetClient,
    peer::{Frames, Peer, Received, data, frames_of, goaway, open_frames},
};

const HANDLE: &str =
    r#"{"kind":"client_stream","uuid":"6f2d7b1e-3a54-4c8b-9d42-0123456789ab","x_jmp_content_encoding":null}"#;

/// A response with the two keys of a file's stream, as far as they are given.
fn answer(frames: Response<Frames>, handle: Option<&str>, accepted: Option<&str>) -> Response<Frames> {
    let mut response = frames;
    if let Some(handle) = handle {
        response.metadata_mut().insert("resource", handle.parse().unwrap());
    }
    if let Some(accepted) = accepted {
        response.metadata_mut().insert("x_jmp_accept_encoding", accepted.parse().unwrap());
    }
    response
}

fn request_of(metadata: &MetadataMap) -> serde_json::Value {
    serde_json::from_str(metadata.get("request").unwrap().to_str().unwrap()).unwrap()
}

fn json_of(value: &Value) -> serde_json::Value {
    jumpstarter_protocol::value::to_json(value.clone()).unwrap()
}

/// What a stream was opened with, and its frames.
type Request = (serde_json::Value, Streaming<StreamRequest>);

/// What arrived at an exporter that reads a file.
struct Uploaded {
    request: serde_json::Value,
    args: Vec<Value>,
    received: Received,
}

/// An exporter whose `flash` reads the file to its end while the call runs, and then answers as told.
fn flasher(
    peer: Peer,
    accepted: Option<&'static str>,
    result: Result<Value, Status>,
) -> (Peer, mpsc::Receiver<Uploaded>) {
    let (done, uploaded) = mpsc::channel(1);
    let opened: Arc<Mutex<Option<Request>>> = Arc::default();
    let taken = opened.clone();
    let flash = move |args: Vec<Value>| {
        let (taken, done, result) = (taken.clone(), done.clone(), result.clone());
        async move {
            let (request, frames) =
                taken.lock().await.take().expect("the stream is open before the call is made");
            let received = Received::all(frames).await;
            let _ = done.send(Uploaded { request, args, received }).await;
            result
        }
    };
    let native_flash = flash.clone();
    let peer = peer
        .on_stream(move |metadata, frames| {
            let opened = opened.clone();
            async move {
                *opened.lock().await = Some((request_of(&metadata), frames));
                Ok(answer(open_frames(vec![]), Some(HANDLE), accepted))
            }
        })
        .on_call(move |call| flash(call.args))
        .on_native(move |_| {
            let flash = native_flash(Vec::new());
            async move {
                flash.await?;
                Ok(stream::iter([Ok(Bytes::new())]).boxed())
            }
        });
    (peer, uploaded)
}

/// An exporter whose `dump` sends these frames.
fn dumper(peer: Peer, accepted: Option<&'static str>, frames: Vec<Result<StreamResponse, Status>>) -> Peer {
    let frames = Arc::new(frames);
    peer.on_stream(move |_, _| {
        let frames = open_frames(frames.to_vec());
        async move { Ok(answer(frames, Some(HANDLE), accepted)) }
    })
    .on_call(|_| async { Ok(value::null()) })
    .on_native(|_| async { Ok(stream::iter([Ok(Bytes::new())]).boxed()) })
}

async fn packed(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    let plain = Bytes::copy_from_slice(plain);
    let input = stream::iter([Ok::<_, codec::Error>(plain)]);
    let pieces: Vec<Bytes> = codec::pack(Some(encoding), input).try_collect().await.unwrap();
    pieces.concat()
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

#[tokio::test]
async fn pitfall_r1_a_file_travels_while_the_call_that_reads_it_runs() {
    let (peer, mut uploaded) = flasher(Peer::legacy(), Some(""), Ok(value::null()));
    let (device, _server) = peer.device().await;
    // More than all windows together: it cannot be sent before the call is made.
    let image = noise(20 * 1024 * 1024);
    GadgetClient::of(&device).flash(Source::from_bytes(image.clone()), Some("root")).await.unwrap();
    let Uploaded { request, args, received } = uploaded.recv().await.unwrap();
    // To an exporter of the other implementation, exactly what its own clients say.
    assert_eq!(request, json!({"kind": "resource", "uuid": "g", "x_jmp_content_encoding": null}));
    let args: Vec<_> = args.iter().map(json_of).collect();
    assert_eq!(args, [serde_json::from_str(HANDLE).unwrap(), json!("root")]);
    assert!(received.bytes() == image);
    assert_eq!(received.note, Some(Bytes::new()));
    assert!(received.lost.is_none());
    assert!(received.pieces.iter().all(|piece| piece.len() <= 65_536));
}

#[tokio::test]
async fn towards_our_own_exporters_length_and_digest_travel_along() {
    let (peer, mut uploaded) = flasher(Peer::native(), Some(""), Ok(value::null()));
    let (device, _server) = peer.device().await;
    let image = noise(100_000);
    GadgetClient::of(&device).flash(Source::from_bytes(image.clone()), None).await.unwrap();
    let Uploaded { request, received, .. } = uploaded.recv().await.unwrap();
    assert_eq!(request["length"], 100_000);
    let note: serde_json::Value = serde_json::from_slice(&received.note.unwrap()).unwrap();
    assert_eq!(note, json!({"length": 100_000, "sha256": hex(&Sha256::digest(&image))}));
}

#[tokio::test]
async fn pitfall_r4_the_exporter_unpacks_unless_it_says_nothing_at_all_about_it() {
    let plain = noise(200_000);
    for encoding in Encoding::ALL {
        let file = packed(encoding, &plain).await;
        for (accepted, expected) in [(Some(encoding.name()), &file), (Some(""), &file), (None, &plain)] {
            let (peer, mut uploaded) = flasher(Peer::legacy(), accepted, Ok(value::null()));
            let (device, _server) = peer.device().await;
            let source = Source::from_bytes(file.clone()).packed_as(Some(encoding.name()));
            GadgetClient::of(&device).flash(source, None).await.unwrap();
            let Uploaded { request, received, .. } = uploaded.recv().await.unwrap();
            assert_eq!(request["x_jmp_content_encoding"], encoding.name());
            assert!(received.bytes() == *expected, "{encoding}, {accepted:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_packing_is_refused_before_anything_is_sent() {
    let (device, _server) = Peer::legacy().device().await;
    let source = Source::from_bytes("x").packed_as(Some("rar"));
    let error = GadgetClient::of(&device).flash(source, None).await.unwrap_err();
    assert!(
        error.message().contains("`rar`") && error.message().contains("gzip, xz, bz2 or zstd"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_the_call_even_if_the_driver_is_content() {
    // A driver that takes the cut for the end reports success.
    for result in [Ok(value::null()), Err(Status::unknown("short image"))] {
        let (peer, mut uploaded) = flasher(Peer::legacy(), Some(""), result);
        let (device, _server) = peer.device().await;
        let pieces = [Ok(Bytes::from(vec![1; 70_000])), Err(Error::new(ErrorKind::Io, "the disk has gone"))];
        let error =
            GadgetClient::of(&device).flash(Source::new(stream::iter(pieces)), None).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "the disk has gone"));
        let received = uploaded.recv().await.unwrap().received;
        assert!(received.lost.is_some() && received.note.is_none(), "the exporter sees a cut");
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_announced_is_not_sent_as_a_whole() {
    let (peer, mut uploaded) = flasher(Peer::legacy(), Some(""), Ok(value::null()));
    let (device, _server) = peer.device().await;
    let source = Source::new(stream::iter([Ok(Bytes::from("ab"))])).with_len(3);
    let error = GadgetClient::of(&device).flash(source, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(uploaded.recv().await.unwrap().received.lost.is_some());
}

#[tokio::test]
async fn the_drivers_own_error_is_reported_when_nothing_was_wrong_here() {
    let (peer, _uploaded) = flasher(Peer::legacy(), Some(""), Err(Status::unknown("verification failed")));
    let (device, _server) = peer.device().await;
    let error = GadgetClient::of(&device).flash(Source::from_bytes("image"), None).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Device, "verification failed"));
}

#[tokio::test]
async fn a_driver_need_not_read_everything() {
    // It answers without having looked at the file, which would never end.
    let peer = Peer::legacy()
        .on_stream(|_, _frames| async { Ok(answer(open_frames(vec![goaway()]), Some(HANDLE), Some(""))) })
        .on_call(|_| async { Ok(value::null()) });
    let (device, _server) = peer.device().await;
    let endless = Source::new(stream::repeat_with(|| Ok(Bytes::from_static(&[0; 4096]))));
    GadgetClient::of(&device).flash(endless, None).await.unwrap();
}

#[tokio::test]
async fn pitfall_r13_a_dropped_call_cuts_its_file() {
    let (sender, mut ended) = mpsc::channel(1);
    let peer = Peer::legacy()
        .on_stream(move |_, frames| {
            let sender = sender.clone();
            async move {
                tokio::spawn(async move {
                    let received = Received::all(frames).await;
                    sender.send((received.bytes().len(), received.lost.is_some())).await.unwrap();
                });
                Ok(answer(open_frames(vec![]), Some(HANDLE), Some("")))
            }
        })
        .on_call(|_| std::future::pending());
    let (device, _server) = peer.device().await;
    let gadget = GadgetClient::of(&device);
    let (reached, waits) = oneshot::channel();
    let mut reached = Some(reached);
    let pieces = stream::iter([Ok(Bytes::from("half"))]).chain(stream::poll_fn(move |_| {
        if let Some(reached) = reached.take() {
            let _ = reached.send(());
        }
        std::task::Poll::Pending
    }));
    let flash = tokio::spawn(async move { gadget.flash(Source::new(pieces), None).await });
    waits.await.unwrap();
    flash.abort();
    assert_eq!(ended.recv().await.unwrap(), (4, true));
}

#[tokio::test]
async fn pitfall_t3_a_stream_for_a_file_that_is_not_accepted_fails_the_call_with_the_reason() {
    for (stream, reason) in [
        (Err(Status::invalid_argument("unknown encoding")), "unknown encoding"),
        // A trailers-only failure that looks open at first.
        (Ok((vec![Err(Status::unknown("no such driver"))], None)), "no such driver"),
        (Ok((vec![goaway()], None)), "sent no handle"),
        (Ok((vec![], Some("{\"kind\":\"client_stream\"}"))), "makes no sense"),
        (
            Ok((vec![], Some(r#"{"kind":"presigned_request","headers":{},"url":"u","method":"GET"}"#))),
            "not one for a stream",
        ),
    ] {
        let stream = Arc::new(StdMutex::new(Some(stream)));
        let peer = Peer::legacy()
            .on_stream(move |_, _| {
                let stream = stream.lock().unwrap().take().unwrap();
                async move { stream.map(|(frames, handle)| answer(frames_of(frames), handle, Some(""))) }
            })
            .on_call(|_| async { panic!("called although there is no file") });
        let (device, _server) = peer.device().await;
        let error = GadgetClient::of(&device).flash(Source::from_bytes("x"), None).await.unwrap_err();
        assert!(error.message().contains(reason), "{reason}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_never_accepts_a_file_does_not_keep_the_call_for_ever() {
    let (device, _server) = Peer::legacy().on_stream(|_, _| std::future::pending()).device().await;
    let error = GadgetClient::of(&device).flash(Source::from_bytes("x"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_dump_arrives_completely() {
    let (device, _server) =
        dumper(Peer::legacy(), Some(""), vec![data("ab"), data(""), data("c"), goaway()]).device().await;
    assert_eq!(GadgetClient::of(&device).dump_bytes(None).await.unwrap(), "abc");
}

#[tokio::test]
async fn a_dump_may_arrive_after_its_call_has_returned() {
    let (called, calls) = oneshot::channel();
    let called = Arc::new(StdMutex::new(Some(called)));
    let calls = Arc::new(StdMutex::new(Some(calls)));
    let peer = Peer::legacy()
        .on_stream(move |_, _| {
            let calls = calls.lock().unwrap().take().unwrap();
            let late = stream::once(async move {
                calls.await.unwrap();
                data("late")
            });
            async move {
                let frames = Response::new(late.chain(stream::iter([goaway()])).boxed());
                Ok(answer(frames, Some(HANDLE), Some("")))
            }
        })
        .on_call(move |_| {
            called.lock().unwrap().take().unwrap().send(()).unwrap();
            async { Ok(value::null()) }
        });
    let (device, _server) = peer.device().await;
    assert_eq!(GadgetClient::of(&device).dump_bytes(None).await.unwrap(), "late");
}

#[tokio::test]
async fn pitfall_s1_a_dump_that_is_cut_after_any_frame_is_an_error_and_leaves_no_complete_file() {
    let whole = [data("ab"), data("cd"), goaway()];
    for count in 0..whole.len() {
        for end in [Some(Status::unavailable("lost")), Some(Status::aborted("RouterStream: aclose")), None] {
            let peer_end = end.clone();
            let frames = whole[..count].to_vec();
            let peer = Peer::legacy()
                .on_stream(move |_, _| {
                    let mut frames = frames.clone();
                    frames.extend(peer_end.clone().map(Err));
                    async move { Ok(answer(frames_of(frames), Some(HANDLE), Some(""))) }
                })
                .on_call(|_| async { Ok(value::null()) });
            let (device, _server) = peer.device().await;
            let (sink, bytes) = Sink::to_memory();
            let gadget = GadgetClient::of(&device);
            let (dumped, bytes) = tokio::join!(gadget.dump(sink), bytes);
            assert_eq!(dumped.unwrap_err().kind(), ErrorKind::Truncated, "{count}, {end:?}");
            assert!(bytes.is_err(), "{count}, {end:?}");
        }
    }
}

/// What is left when a connection is cut after so many bytes: whether the call said that all went well, and the file, if
/// it was finished.
async fn dump_over(bytes: usize) -> (bool, Option<Bytes>) {
    let frames = vec![data("0123456789"), data("abcdef"), goaway()];
    let (device, _server) =
        dumper(Peer::legacy(), Some(""), frames).device_cut_after(usize::MAX, bytes).await;
    let gadget = GadgetClient::of(&device);
    let (sink, file) = Sink::to_memory();
    let (dumped, file) = tokio::join!(gadget.dump(sink), file);
    (dumped.is_ok(), file.ok())
}

#[tokio::test]
async fn pitfall_s1_a_connection_that_is_cut_at_any_byte_of_a_dump_never_makes_it_look_complete() {
    for bytes in 0.. {
        let (dumped, file) = dump_over(bytes).await;
        if let Some(file) = &file {
            assert_eq!(file, "0123456789abcdef", "cut after {bytes} bytes");
        }
        if dumped {
            assert!(file.is_some() && bytes > 50, "cut after {bytes} bytes");
            break;
        }
    }
}

#[tokio::test]
async fn pitfall_s1_a_connection_that_is_cut_at_any_byte_of_an_upload_never_makes_it_look_complete() {
    let image = noise(100);
    for bytes in 0.. {
        let (peer, mut uploaded) = flasher(Peer::native(), Some(""), Ok(value::null()));
        let (device, _server) = peer.device_cut_after(bytes, usize::MAX).await;
        let pieces: Vec<_> = image.chunks(30).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let result = GadgetClient::of(&device).flash(Source::new(stream::iter(pieces)), None).await;
        if let Ok(Uploaded { received, .. }) = uploaded.try_recv() {
            let complete = received.lost.is_none();
            assert_eq!(
                complete,
                received.bytes() == image && received.note.is_some(),
                "cut after {bytes} bytes"
            );
        }
        if result.is_ok() {
            assert!(bytes > 300, "cut after {bytes} bytes");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dump_whose_end_never_comes_is_an_error_once_the_call_has_returned() {
    let (device, _server) = dumper(Peer::legacy(), Some(""), vec![data("ab")]).device().await;
    let error = GadgetClient::of(&device).dump_bytes(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.message().contains("has not sent the end"), "{error}");
}

#[tokio::test]
async fn a_dump_that_cannot_be_written_here_fails_with_that_reason() {
    struct Full;
    impl jumpstarter_core::resource::SinkBody for Full {
        fn write(&mut self, _: Bytes) -> futures::future::BoxFuture<'_, jumpstarter_core::Result<()>> {
            Box::pin(async { Err(Error::new(ErrorKind::Io, "no space left")) })
        }

        fn finish(self: Box<Self>) -> futures::future::BoxFuture<'static, jumpstarter_core::Result<()>> {
            Box::pin(async { Ok(()) })
        }

        fn abort(self: Box<Self>, _: Error) {}
    }
    // The driver fails as well, because its stream was cut; that is not the reason anybody wants to hear.
    for result in [Ok(value::null()), Err(Status::unknown("broken resource"))] {
        let peer = dumper(Peer::legacy(), Some(""), vec![data("ab"), goaway()]).on_call(move |_| {
            let result = result.clone();
            async move {
                tokio::task::yield_now().await;
                result
            }
        });
        let (device, _server) = peer.device().await;
        let error = GadgetClient::of(&device).dump(Sink::new(Full)).await.unwrap_err();
        assert_eq!(error.message(), "no space left");
    }
}

#[tokio::test]
async fn pitfall_r8_a_packed_dump_without_its_end_is_an_error_that_says_what_to_do() {
    let plain = noise(300_000);
    for encoding in Encoding::ALL {
        let file = packed(encoding, &plain).await;
        // Complete, without its last bytes, and without anything: the last two are what 0.9.0 sends.
        for (length, complete) in [(file.len(), true), (file.len() - 4, false), (0, false)] {
            let frames = vec![data(file[..length].to_vec()), goaway()];
            let (device, _server) = dumper(Peer::legacy(), Some(encoding.name()), frames).device().await;
            let dumped = GadgetClient::of(&device).dump_bytes(Some(encoding.name())).await;
            match dumped {
                Ok(bytes) => assert!(complete && bytes == file, "{encoding}, {length}"),
                Err(error) => {
                    assert!(!complete, "{encoding}, {length}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Truncated);
                    assert!(error.message().ends_with("leave out the compression"), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_very_old_exporter_leaves_packing_to_us() {
    let plain = noise(100_000);
    let frames = vec![data(plain.clone()), goaway()];
    let (device, _server) = dumper(Peer::legacy(), None, frames).device().await;
    let file = GadgetClient::of(&device).dump_bytes(Some("zstd")).await.unwrap();
    let input = stream::iter([Ok::<_, codec::Error>(file)]);
    let unpacked: Vec<Bytes> = codec::unpack(Some(Encoding::Zstd), input).try_collect().await.unwrap();
    assert!(unpacked.concat() == plain);
}

#[tokio::test]
async fn what_came_of_a_dump_that_is_packed_here_stays_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (file, part) = (folder.path().join("dump"), folder.path().join("dump.part"));
    // The stream is cut, or the call fails while it is open.
    for result in [Ok(value::null()), Err(Status::unknown("the device has gone"))] {
        let cut = result.is_ok().then(|| Err(Status::unavailable("lost")));
        // Files are written in steps of 1 MiB.
        let noise = noise(3_000_000);
        let frames = noise.chunks(1_000_000).map(|piece| data(piece.to_vec())).chain(cut).collect();
        let (failing, part_there) = (result.clone(), part.clone());
        let peer = dumper(Peer::legacy(), None, frames).on_call(move |_| {
            let (result, part) = (failing.clone(), part_there.clone());
            async move {
                while std::fs::metadata(&part).map_or(0, |file| file.len()) == 0 {
                    tokio::task::yield_now().await;
                }
                result
            }
        });
        let (device, _server) = peer.device().await;
        let sink = jumpstarter_client::files::write(&file).await.unwrap().packed_as(Some("zstd"));
        let client = GadgetClient::of(&device);
        let dumped = tokio::time::timeout(std::time::Duration::from_mins(1), client.dump(sink)).await;
        dumped.expect("something is written").unwrap_err();
        assert!(std::fs::metadata(&part).unwrap().len() > 0 && !file.exists(), "{result:?}");
        std::fs::remove_file(&part).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_does_not_wait_for_a_file_that_nobody_takes() {
    /// A pipe that is full.
    struct Full(Option<oneshot::Sender<()>>, Option<oneshot::Sender<Error>>);
    impl jumpstarter_core::resource::SinkBody for Full {
        fn write(&mut self, _: Bytes) -> futures::future::BoxFuture<'_, jumpstarter_core::Result<()>> {
            self.0.take().unwrap().send(()).unwrap();
            Box::pin(std::future::pending())
        }

        fn finish(self: Box<Self>) -> futures::future::BoxFuture<'static, jumpstarter_core::Result<()>> {
            Box::pin(std::future::pending())
        }

        fn abort(mut self: Box<Self>, reason: Error) {
            self.1.take().unwrap().send(reason).unwrap();
        }
    }
    let (writing, written) = oneshot::channel();
    let (told, reason) = oneshot::channel();
    let written = Arc::new(Mutex::new(Some(written)));
    let peer = dumper(Peer::legacy(), Some(""), vec![data("ab")]).on_call(move |_| {
        let written = written.clone();
        async move {
            written.lock().await.take().unwrap().await.unwrap();
            Err(Status::unknown("the device has gone"))
        }
    });
    let (device, _server) = peer.device().await;
    let sink = Sink::new(Full(Some(writing), Some(told)));
    let error = GadgetClient::of(&device).dump(sink).await.unwrap_err();
    assert_eq!(error.message(), "the device has gone");
    // Otherwise it is only dropped, when all patience is at an end.
    assert_eq!(reason.await.unwrap().message(), "the call has failed");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_does_not_wait_long_for_a_file_that_never_ends() {
    /// Something that has everything and does not say so.
    struct Endless(Option<oneshot::Sender<()>>);
    impl jumpstarter_core::resource::SinkBody for Endless {
        fn write(&mut self, _: Bytes) -> futures::future::BoxFuture<'_, jumpstarter_core::Result<()>> {
            Box::pin(async { Ok(()) })
        }

        fn finish(mut self: Box<Self>) -> futures::future::BoxFuture<'static, jumpstarter_core::Result<()>> {
            self.0.take().unwrap().send(()).unwrap();
            Box::pin(std::future::pending())
        }

        fn abort(self: Box<Self>, _: Error) {}
    }
    let (finishing, finished) = oneshot::channel();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let peer = dumper(Peer::legacy(), Some(""), vec![data("ab"), goaway()]).on_call(move |_| {
        let finished = finished.clone();
        async move {
            finished.lock().await.take().unwrap().await.unwrap();
            Err(Status::unknown("the device has gone"))
        }
    });
    let (device, _server) = peer.device().await;
    let begun = tokio::time::Instant::now();
    let sink = Sink::new(Endless(Some(finishing)));
    let error = GadgetClient::of(&device).dump(sink).await.unwrap_err();
    assert_eq!(error.message(), "the device has gone");
    // The clock of this test stands still unless everybody waits.
    assert!(begun.elapsed() < jumpstarter_client::connection::Patience::default().stall);
}

#[tokio::test]
async fn a_note_about_a_dump_is_verified() {
    let digest = hex(&Sha256::digest(b"abc"));
    for (note, complete) in [
        (json!({"length": 3, "sha256": digest}).to_string(), true),
        (json!({"length": 4}).to_string(), false),
        (json!({"length": 3, "sha256": hex(&[0; 32])}).to_string(), false),
        (String::new(), true),
    ] {
        let end = StreamResponse { payload: note.clone().into(), frame_type: 7 };
        let (device, _server) = dumper(Peer::native(), Some(""), vec![data("abc"), Ok(end)]).device().await;
        let dumped = GadgetClient::of(&device).dump_bytes(None).await;
        assert_eq!(dumped.is_ok(), complete, "{note}");
    }
}

#[tokio::test]
async fn an_address_is_handed_on_and_no_stream_is_opened() {
    let (sender, mut seen) = mpsc::channel(1);
    let peer = Peer::legacy().on_stream(|_, _| async { panic!("there is nothing to stream") }).on_call(
        move |call| {
            let sender = sender.clone();
            async move {
                sender.send(call.args).await.unwrap();
                Ok(value::null())
            }
        },
    );
    let (device, _server) = peer.device().await;
    let url = "https://example.com/a%2Fb?x=%7e";
    GadgetClient::of(&device).flash(Source::from_url(url, BTreeMap::new()), None).await.unwrap();
    let expected = json!({"kind": "presigned_request", "headers": {}, "url": url, "method": "GET"});
    assert_eq!(seen.recv().await.unwrap().iter().map(json_of).collect::<Vec<_>>(), [expected]);
}

#[tokio::test]
async fn a_call_by_name_takes_files_as_well() {
    let (peer, mut uploaded) = flasher(Peer::legacy(), Some(""), Ok(value::text("done")));
    let (device, _server) = peer.device().await;
    let gadget = device.find("gadget").unwrap();
    let files = vec![(1, jumpstarter_core::dispatch::Attached::Source(Source::from_bytes("image")))];
    let kind = jumpstarter_core::describe::Kind::Unary;
    let reply = gadget.call_with_files("flash", kind, vec![value::text("first")], files).await.unwrap();
    let jumpstarter_core::dispatch::Reply::Unary(answer) = reply else { panic!("not unary") };
    assert_eq!(answer.into_value().unwrap(), value::text("done"));
    let Uploaded { args, received, .. } = uploaded.recv().await.unwrap();
    assert_eq!(
        args.iter().map(json_of).collect::<Vec<_>>(),
        [json!("first"), serde_json::from_str(HANDLE).unwrap()]
    );
    assert_eq!(received.bytes(), b"image");
}
