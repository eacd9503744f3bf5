//! Who meets whom, what passes between them, and how it ends.

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use jumpstarter_protocol::v1::{FrameType, StreamRequest};
use jumpstarter_router::Limits;
use prost::Message as _;
use tonic::Code;
use tower::ServiceExt as _;

use crate::{Caller, aside, frame, start};

#[tokio::test]
async fn pitfall_o1_callers_with_the_same_stream_meet() {
    let router = start(Limits::default());
    let mut first = router.caller("one").await;
    let mut other = router.caller("another").await;
    let mut second = router.caller("one").await;
    first.say("from the first").await;
    second.say("from the second").await;
    assert_eq!(second.hear().await.unwrap().as_deref(), Some(&b"from the first"[..]));
    assert_eq!(first.hear().await.unwrap().as_deref(), Some(&b"from the second"[..]));
    let fourth = router.caller("another").await;
    fourth.say("hello").await;
    assert_eq!(other.hear().await.unwrap().as_deref(), Some(&b"hello"[..]));
}

#[tokio::test]
async fn pitfall_o8_what_the_first_says_before_anybody_is_there_is_not_lost() {
    let router = start(Limits::default());
    let first = router.caller("one").await;
    for number in 0..3 {
        first.say(format!("early {number}")).await;
    }
    router.until_waiting(1).await;
    let mut second = router.caller("one").await;
    for number in 0..3 {
        assert_eq!(second.hear().await.unwrap().unwrap(), format!("early {number}"));
    }
}

#[tokio::test]
async fn what_waits_together_arrives_in_order_and_cut_as_it_was() {
    let router = start(Limits::default());
    let first = router.caller("one").await;
    // From nothing to more than goes together, in an order that mixes them.
    let sizes = (0..400usize).map(|number| number * number * 7919 % 100_003);
    let messages: Vec<_> = sizes.zip(0u8..=255).map(|(size, content)| vec![content; size]).collect();
    let say = async {
        for message in &messages {
            first.say(message.clone()).await;
        }
    };
    let mut second = router.caller("one").await;
    let hear = async {
        for message in &messages {
            assert!(
                second.hear().await.unwrap().as_deref() == Some(message),
                "a message of {} bytes",
                message.len()
            );
        }
    };
    tokio::join!(say, hear);
}

#[tokio::test]
async fn what_was_said_before_a_mistake_arrives_before_the_news_of_it() {
    let router = start(Limits { message: 1000, ..Limits::default() });
    let first = router.caller("one").await;
    for number in 0..3 {
        first.say(format!("good {number}")).await;
    }
    first.say(vec![0; 2000]).await;
    router.until_waiting(1).await;
    let mut second = router.caller("one").await;
    for number in 0..3 {
        assert_eq!(second.hear().await.unwrap().unwrap(), format!("good {number}"));
    }
    assert_eq!(second.hear().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn every_kind_of_frame_passes_as_it_is_and_in_order() {
    let router = start(Limits::default());
    let first = router.caller("one").await;
    let mut second = router.caller("one").await;
    let frames = [
        frame(FrameType::Data, ""),
        frame(FrameType::Ping, "ping"),
        frame(FrameType::RstStream, ""),
        StreamRequest { payload: Bytes::from_static(b"of a later version"), frame_type: 77 },
        frame(FrameType::Goaway, ""),
        frame(FrameType::Data, vec![9; 3_000_000]),
    ];
    for frame in &frames {
        first.frame(frame.clone()).await;
        let seen = second.receive.message().await.unwrap().expect("a frame");
        assert_eq!((seen.frame_type, seen.payload), (frame.frame_type, frame.payload.clone()));
    }
}

#[tokio::test]
async fn the_other_direction_goes_on_after_one_has_ended_and_both_ends_are_ok() {
    let router = start(Limits::default());
    let mut first = router.caller("one").await;
    let mut second = router.caller("one").await;
    first.say("all I have").await;
    first.end();
    assert_eq!(second.hear().await.unwrap().as_deref(), Some(&b"all I have"[..]));
    second.say("and here is the answer").await;
    assert_eq!(first.hear().await.unwrap().as_deref(), Some(&b"and here is the answer"[..]));
    second.end();
    assert_eq!(first.hear().await.unwrap(), None);
    assert_eq!(second.hear().await.unwrap(), None);
    router.until_calls(0).await;
}

#[tokio::test]
async fn pitfall_o3_o4_who_is_left_is_told_at_once_also_when_nothing_is_sent() {
    let router = start(Limits::default());
    for first_goes in [true, false] {
        let first = router.caller("one").await;
        let second = router.caller("one").await;
        let (goes, mut stays) = if first_goes { (first, second) } else { (second, first) };
        drop(goes);
        let status = stays.hear().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().starts_with("the other side of the stream"), "{status:?}");
        // Both calls are over, although the one who stayed has not left.
        router.until_calls(0).await;
    }
}

#[tokio::test]
async fn who_has_ended_its_sending_and_goes_is_missed_as_well() {
    let router = start(Limits::default());
    let mut first = router.caller("one").await;
    let mut second = router.caller("one").await;
    first.say("x").await;
    first.end();
    assert!(second.hear().await.unwrap().is_some());
    drop(first);
    assert_eq!(second.hear().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn pitfall_o2_a_stream_can_be_used_again_and_nobody_takes_anothers_place() {
    let router = start(Limits::default());
    for round in 0..20 {
        let left = router.caller("one").await;
        router.until_waiting(1).await;
        let mut first = if round % 2 == 0 {
            drop(left);
            router.until_waiting(0).await;
            router.caller("one").await
        } else {
            left
        };
        let second = router.caller("one").await;
        // A third one waits under the name that the first two had.
        let mut third = router.caller("one").await;
        router.until_waiting(1).await;
        second.say("still here").await;
        assert_eq!(first.hear().await.unwrap().as_deref(), Some(&b"still here"[..]));
        drop((first, second));
        router.until_calls(1).await;
        let fourth = router.caller("one").await;
        fourth.say("at last").await;
        assert_eq!(third.hear().await.unwrap().as_deref(), Some(&b"at last"[..]));
        drop((third, fourth));
        router.until_calls(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_let_go_without_an_error() {
    let router = start(Limits { patience: Duration::from_mins(30), ..Limits::default() });
    let mut first = router.caller("one").await;
    assert_eq!(first.hear().await.unwrap(), None);
    router.until_calls(0).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_call_of_its_sender_before_it_has_come() {
    let router = start(Limits { message: 1000, ..Limits::default() });
    let mut first = router.caller("one").await;
    let mut second = router.caller("one").await;
    first.say("small").await;
    assert!(second.hear().await.unwrap().is_some());
    first.say(vec![0; 2000]).await;
    let told = first.hear().await.unwrap_err();
    assert_eq!(told.code(), Code::ResourceExhausted, "{told:?}");
    assert!(told.message().contains("1000 bytes"), "{told:?}");
    let left = second.hear().await.unwrap_err();
    assert_eq!(left.code(), Code::Unavailable, "{left:?}");
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_up_its_own_peer_and_nobody_else() {
    let router = start(Limits::default());
    // All exporters on one connection, as they are behind one proxy.
    let shared = router.connect().await;
    let mut stalled = Vec::new();
    for number in 0..40 {
        let name = format!("stalled {number}");
        let sleeper = router.caller(&name).await;
        let writer = Caller::on(shared.clone(), &router.token(&name)).await.unwrap();
        let send = writer.send.clone().unwrap();
        let writing = aside(async move {
            // Far more than all windows together.
            for _ in 0..40_000 {
                if send.send(frame(FrameType::Data, vec![1; 64 * 1024])).await.is_err() {
                    return;
                }
            }
        });
        stalled.push((sleeper, writer, writing));
    }
    let mut awake = router.caller("awake").await;
    let talker = Caller::on(shared, &router.token("awake")).await.unwrap();
    let talking = aside(async move {
        for _ in 0..64 {
            talker.say(vec![2; 64 * 1024]).await;
        }
        talker
    });
    let mut heard = 0;
    while heard < 64 * 64 * 1024 {
        heard += awake.hear().await.unwrap().expect("more").len();
    }
    drop(talking.await.unwrap());
    assert!(stalled.iter().all(|(_, _, writing)| !writing.is_finished()), "windows are bounded");
    for (_, _, writing) in &stalled {
        writing.abort();
    }
}

#[tokio::test]
async fn pitfall_o10_packed_messages_arrive_plain() {
    let router = start(Limits::default());
    let mut second = router.caller("one").await;
    let mut plain = Vec::new();
    frame(FrameType::Data, vec![5; 10_000]).encode(&mut plain).unwrap();
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&plain).unwrap();
    let packed = packer.finish().unwrap();
    let mut body = vec![1];
    body.extend(u32::try_from(packed.len()).unwrap().to_be_bytes());
    body.extend(packed);
    let request = |encoding: &str| {
        http::Request::post("http://router/jumpstarter.v1.RouterService/Stream")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", encoding)
            .header("authorization", format!("Bearer {}", router.token("one")))
            .body(tonic::body::Body::new(Full::new(Bytes::from(body.clone()))))
            .unwrap()
    };
    let response = router.connect().await.oneshot(request("br")).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12", "UNIMPLEMENTED");
    let _answer = router.connect().await.oneshot(request("gzip")).await.unwrap();
    assert_eq!(second.hear().await.unwrap().unwrap(), vec![5; 10_000]);
}

#[tokio::test]
async fn a_router_that_ends_tells_everybody() {
    let router = start(Limits::default());
    let mut first = router.caller("one").await;
    let mut second = router.caller("one").await;
    let mut waiting = router.caller("another").await;
    assert!(!router.stop().await, "streams go on until they are ended");
    for caller in [&mut first, &mut second, &mut waiting] {
        let status = caller.hear().await.expect_err("no clean end");
        assert!(
            matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
            "{status:?}"
        );
    }
}
