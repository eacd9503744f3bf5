//! What holds for every cut and every order.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use jumpstarter_protocol::v1::StreamingDriverCallRequest;
use jumpstarter_transport::codec::{self, Encoding};
use proptest::{prelude::*, test_runner::TestRunner};
use tonic::Code;

use crate::{
    driver::{digest, image},
    host::{Cut, Host, call, number, open, text},
};

/// Sends `sent` in pieces and cuts the call, or ends it; answers what the call that reads it says.
async fn flash(
    host: &Host,
    encoding: Encoding,
    sent: &[u8],
    piece: usize,
    cut: Option<Cut>,
) -> Result<prost_types::Value, tonic::Status> {
    let raw = host.raw().await;
    let request = host.resource_request(Some(encoding.name()));
    let mut stream = raw.open("/jumpstarter.v1.RouterService/Stream", &[("request", &request)]).await;
    let response = (&mut stream.response).await.unwrap();
    let handle = serde_json::from_slice(response.headers()["resource"].as_bytes()).unwrap();
    let handle = jumpstarter_protocol::value::from_json(handle).unwrap();
    let (mut client, uuid) = (host.exporter().await, host.uuid());
    let flashing = tokio::spawn(async move { call(&mut client, &uuid, "flash", vec![handle]).await });
    for piece in sent.chunks(piece.max(1)) {
        stream.data(piece);
    }
    host.has_taken_files().await;
    if let Some(cut) = cut {
        stream.cut(raw, cut);
        return flashing.await.unwrap();
    }
    stream.goaway();
    let result = flashing.await.unwrap();
    drop((stream, raw));
    result
}

#[tokio::test]
async fn pitfall_s1_r6_a_small_packed_transfer_is_whole_or_an_error_wherever_it_is_cut() {
    let data = image(150);
    let host = Host::new();
    for encoding in Encoding::ALL {
        let input = futures::stream::iter([Ok::<_, codec::Error>(data.clone())]);
        let pieces: Vec<Bytes> = codec::pack(Some(encoding), input).try_collect().await.unwrap();
        let sent = pieces.concat();
        for length in 0..=sent.len() {
            // An announced end at the wrong place, and no end at all. Nothing sent at all is an empty image, though.
            let ended = flash(&host, encoding, &sent[..length], 100, None).await;
            let whole = [0, sent.len()].contains(&length);
            assert_eq!(ended.is_ok(), whole, "{encoding} ended at {length} of {}: {ended:?}", sent.len());
        }
        for (i, length) in (0..=sent.len()).enumerate() {
            let cut = flash(&host, encoding, &sent[..length], 64, Some(Cut::ALL[i % Cut::ALL.len()])).await;
            assert_eq!(
                cut.unwrap_err().code(),
                Code::Unknown,
                "{encoding} cut at {length} of {}",
                sent.len()
            );
        }
        let whole = flash(&host, encoding, &sent, 1, None).await.unwrap();
        assert_eq!(whole, text(&digest(&data)));
    }
    host.is_idle().await;
}

#[test]
fn any_upload_in_any_pieces_arrives_as_it_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let strategy = (proptest::collection::vec(any::<u8>(), 0..5000), 1_usize..700, 0_usize..4);
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&strategy, |(data, piece, encoding)| {
            let encoding = Encoding::ALL[encoding];
            let result = runtime.block_on(async {
                let host = Host::new();
                let input = futures::stream::iter([Ok::<_, codec::Error>(Bytes::from(data.clone()))]);
                let pieces: Vec<Bytes> = codec::pack(Some(encoding), input).try_collect().await.unwrap();
                flash(&host, encoding, &pieces.concat(), piece, None).await.unwrap()
            });
            prop_assert_eq!(result, text(&digest(&data)));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_with_random_cancellation_leave_nothing_behind() {
    let host = Arc::new(Host::new());
    let channel = host.channel().await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut calls = tokio::task::JoinSet::new();
    let mut random = 12_345_u32;
    for i in 0..1000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (delay, host, channel) = (random >> 20, host.clone(), channel.clone());
        calls.spawn(async move {
            let work = async {
                let mut client =
                    jumpstarter_protocol::v1::exporter_service_client::ExporterServiceClient::new(
                        channel.clone(),
                    );
                let uuid = host.uuid();
                match i % 5 {
                    0 => drop(call(&mut client, &uuid, "echo", vec![text("x")]).await.unwrap()),
                    1 => drop(call(&mut client, &uuid, "forever", vec![]).await),
                    2 => {
                        let request = StreamingDriverCallRequest {
                            uuid,
                            method: "count".to_owned(),
                            args: vec![number(50.0)],
                        };
                        let mut items = client.streaming_driver_call(request).await.unwrap().into_inner();
                        while items.message().await.unwrap().is_some() {
                            tokio::task::yield_now().await;
                        }
                    }
                    3 => {
                        let request = format!(r#"{{"kind":"driver","uuid":"{uuid}","method":"connect"}}"#);
                        let mut stream = open(channel, &request).await.unwrap();
                        for _ in 0..20 {
                            stream.send("ping").await;
                            assert_eq!(stream.data().await, "ping");
                        }
                    }
                    _ => {
                        let request = host.resource_request(Some("gzip"));
                        let stream = open(channel, &request).await.unwrap();
                        stream.send("rubbish").await;
                        drop(call(&mut client, &uuid, "flash", vec![stream.handle()]).await);
                    }
                }
            };
            // After so many turns of the scheduler, the client loses interest.
            let patience = async {
                for _ in 0..delay % 400 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = work => {}
                () = patience => {}
            }
        });
    }
    while let Some(result) = calls.join_next().await {
        result.unwrap();
    }
    host.is_idle().await;
    // The test driver's own echo tasks end with their streams.
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..2000 {
        if metrics.num_alive_tasks() <= before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(metrics.num_alive_tasks() <= before, "{} tasks instead of {before}", metrics.num_alive_tasks());
    assert_eq!(host.call("echo", vec![text("fine")]).await.unwrap(), text("fine"));
}
