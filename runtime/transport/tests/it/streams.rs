//! Byte streams over real connections: what becomes of a transfer that is cut.

use bytes::Bytes;
use futures::{StreamExt, stream};
use jumpstarter_protocol::v1::{StreamRequest, router_service_client::RouterServiceClient};
use jumpstarter_transport::{
    connect::{self, Credentials},
    frames::{self, FrameReader, Role},
    server::Peer,
    stream as transport_stream,
};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tonic::{Code, metadata::MetadataMap};

use crate::{
    Echo, echo,
    http2::{
        END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, call, frame, literals, message,
        read_frame,
    },
    in_memory,
};

/// A call that sends two chunks and announces their end.
fn upload() -> Vec<Vec<u8>> {
    let text = |payload| StreamRequest { payload, frame_type: 0 }.encode_to_vec();
    let goaway: StreamRequest = frames::goaway();
    vec![
        [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat(),
        frame(
            HEADERS,
            END_HEADERS,
            1,
            &literals(&call("/jumpstarter.v1.RouterService/Stream", b"localhost")),
        ),
        message(1, 0, &text("one".into())),
        message(1, 0, &text("two".into())),
        message(1, 0, &goaway.encode_to_vec()),
    ]
}

/// How the service saw a call end whose client sent these bytes after its headers, and then vanished or not.
async fn outcome(bytes: &[u8], vanish: bool) -> Result<usize, Code> {
    let (service, mut ends) = Echo::watched();
    let server = service.server();
    let (mut client, theirs) = tokio::io::duplex(64 * 1024);
    server.connection(theirs, Peer::Tunnel);
    client.write_all(&upload()[..2].concat()).await.expect("sent");
    // The service is at work when its headers arrive.
    while read_frame(&mut client).await.expect("a connection").expect("a frame").kind != HEADERS {}
    client.write_all(bytes).await.expect("sent");
    let _client = (!vanish).then_some(client);
    ends.recv().await.expect("the service ends with the call")
}

#[tokio::test]
async fn pitfall_s1_an_upload_that_is_cut_at_any_byte_is_never_complete() {
    let bytes = upload()[2..].concat();
    for length in 0..bytes.len() {
        let outcome = outcome(&bytes[..length], true).await;
        assert!(outcome.is_err(), "complete although only {length} of {} bytes came", bytes.len());
    }
    assert_eq!(outcome(&bytes, false).await, Ok(6));
}

#[tokio::test]
async fn pitfall_s1_an_upload_that_is_cut_after_any_frame_is_never_complete() {
    let parts = upload();
    // CANCEL is what clients send that go away; others come from proxies and failures.
    for reason in [0_u32, 2, 7, 8, 11] {
        for length in 2..parts.len() {
            let bytes = [parts[2..length].concat(), frame(RST_STREAM, 0, 1, &reason.to_be_bytes())].concat();
            let outcome = outcome(&bytes, false).await;
            assert!(outcome.is_err(), "complete after {length} frames and reset {reason}");
        }
    }
}

#[tokio::test]
async fn pitfall_s1_a_client_that_ends_its_request_cleanly_has_sent_everything() {
    let mut parts = upload();
    parts.pop();
    parts.push(frame(crate::http2::DATA, END_STREAM, 1, b""));
    assert_eq!(outcome(&parts[2..].concat(), false).await, Ok(6));
}

#[tokio::test]
async fn pitfall_s1_a_writer_that_is_dropped_cuts_its_request() {
    let (service, mut ends) = Echo::watched();
    let (_server, channel) = in_memory(&service).await;
    let (writer, call) = transport_stream::open(channel.clone(), MetadataMap::new());
    writer.send("x".into()).await.expect("sent");
    let mut reader = call.await.expect("a stream").into_inner();
    assert_eq!(reader.chunk().await.expect("an echo"), Some("x".into()));
    drop(writer);
    assert_eq!(ends.recv().await, Some(Err(Code::Unavailable)));
    reader.chunk().await.expect_err("the call is lost for the client as well");

    // Said, the end is the end.
    let (writer, call) = transport_stream::open(channel, MetadataMap::new());
    writer.send("x".into()).await.expect("sent");
    writer.finish().await.expect("sent");
    let (ended, mut reader) = tokio::join!(ends.recv(), async { call.await.expect("a stream").into_inner() });
    assert_eq!(ended, Some(Ok(1)));
    assert_eq!(reader.chunk().await.expect("an echo"), Some("x".into()));
    assert_eq!(reader.chunk().await.expect("no loss"), None);
    reader.finish().await.expect("a clean end");
}

#[tokio::test]
async fn pitfall_s1_a_lost_connection_is_a_loss_for_the_client_as_well() {
    let server = Echo::default().server();
    let (mut near, theirs) = tokio::io::duplex(64 * 1024);
    let (ours, mut far) = tokio::io::duplex(64 * 1024);
    server.connection(theirs, Peer::Tunnel);
    let tunnel = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    let channel = connect::connect_stream(ours, Credentials::none()).await.expect("a channel");
    let mut client = RouterServiceClient::new(channel);
    let endless = stream::iter([frames::data::<StreamRequest>("x".into())]).chain(stream::pending());
    let answers = client.stream(endless).await.expect("a stream").into_inner();
    let mut reader = FrameReader::new(answers, Role::Client);
    assert_eq!(reader.chunk().await.expect("an echo"), Some("x".into()));
    tunnel.abort();
    reader.chunk().await.expect_err("a loss, not an end");
}

#[tokio::test]
async fn pitfall_t2_a_stream_opens_before_anything_was_sent_in_it() {
    let (_server, channel) = in_memory(&Echo::default()).await;
    let mut client = RouterServiceClient::new(channel);
    // Resolves with the response's headers, although this request never sends a frame.
    client.stream(stream::pending::<StreamRequest>()).await.expect("headers");
}

#[tokio::test]
async fn pitfall_s2_answers_go_on_after_the_request_has_ended() {
    let (_server, channel) = in_memory(&Echo::default()).await;
    let mut client = RouterServiceClient::new(channel);
    let many = (0..200).map(|number: u8| frames::data::<StreamRequest>(vec![number; 10_000].into()));
    let request = stream::iter(many.chain([frames::goaway()]));
    let mut reader =
        FrameReader::new(client.stream(request).await.expect("a stream").into_inner(), Role::Client);
    for number in 0..200_u8 {
        let chunk = reader.chunk().await.expect("no loss").expect("a chunk");
        assert_eq!(chunk, vec![number; 10_000], "frames keep their boundaries");
    }
    assert_eq!(reader.chunk().await.expect("no loss"), None);
    reader.finish().await.expect("a clean end");
}

#[tokio::test]
async fn empty_chunks_travel_as_data() {
    let (_server, channel) = in_memory(&Echo::default()).await;
    assert_eq!(echo(&channel, Bytes::new()).await.expect("an echo"), b"");
}

/// What a client makes of a call whose server answers with these frames after the headers.
async fn answer(frames: &[Vec<u8>]) -> Result<Vec<u8>, Code> {
    let (ours, mut server) = tokio::io::duplex(64 * 1024);
    let channel = connect::connect_stream(ours, Credentials::none()).await.expect("a channel");
    let (_writer, call) = transport_stream::open(channel, MetadataMap::new());
    let serve = async {
        tokio::io::AsyncReadExt::read_exact(&mut server, &mut [0; 24]).await.expect("a preface");
        server.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("sent");
        while read_frame(&mut server).await.expect("a connection").expect("a frame").kind != HEADERS {}
        let headers = [
            (b":status".to_vec(), b"200".to_vec()),
            (b"content-type".to_vec(), b"application/grpc".to_vec()),
        ];
        let headers = frame(HEADERS, END_HEADERS, 1, &literals(&headers.to_vec()));
        server.write_all(&[headers, frames.concat()].concat()).await.expect("sent");
        server
    };
    let (call, _server) = tokio::join!(call, serve);
    let mut reader = call.expect("headers").into_inner();
    let mut all = Vec::new();
    loop {
        match reader.chunk().await {
            Ok(Some(chunk)) => all.extend(chunk),
            Ok(None) => return Ok(all),
            Err(lost) => return Err(lost.status().code()),
        }
    }
}

#[tokio::test]
async fn pitfall_s1_an_answer_that_ceases_without_a_status_is_never_complete() {
    let text = |payload| message(1, 0, &StreamRequest { payload, frame_type: 0 }.encode_to_vec());
    let goaway = message(1, 0, &frames::goaway::<StreamRequest>().encode_to_vec());
    let trailers = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &literals(&fields.collect()))
    };
    for cut in [
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 0]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 2]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        frame(crate::http2::DATA, END_STREAM, 1, b""),
        trailers(&[("x-other", "1")]),
    ] {
        assert!(answer(&[text("one".into()), cut]).await.is_err());
    }
    assert_eq!(answer(&[text("one".into()), trailers(&[("grpc-status", "0")])]).await, Ok(b"one".to_vec()));
    assert_eq!(answer(&[text("one".into()), goaway]).await, Ok(b"one".to_vec()));
    // Details that are no base64 must not bring a client down.
    let odd = trailers(&[("grpc-status", "5"), ("grpc-status-details-bin", "***")]);
    assert_eq!(answer(&[text("one".into()), odd]).await, Err(Code::NotFound));
}
