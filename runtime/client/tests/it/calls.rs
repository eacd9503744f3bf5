//! Calls, in both languages.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use jumpstarter_core::{ErrorKind, client::Target, dispatch::Language, wire::value};
use jumpstarter_protocol::v1::StreamingDriverCallResponse;
use tokio::sync::{Notify, mpsc};
use tonic::{Code, Status};

use crate::{
    gadget::{ALIAS, GADGET, GadgetClient, SERVICE},
    peer::Peer,
};

fn item(number: f64) -> Result<StreamingDriverCallResponse, Status> {
    Ok(StreamingDriverCallResponse { uuid: String::new(), result: Some(value::number(number)) })
}

#[tokio::test]
async fn a_call_carries_its_arguments_by_position_and_leaves_out_what_says_nothing() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let peer = Peer::legacy().on_call(move |call| {
        log.lock().unwrap().push((call.uuid, call.method, call.args));
        async { Ok(value::text("set")) }
    });
    let (device, _server) = peer.device().await;
    let gadget = GadgetClient::of(&device);
    assert_eq!(gadget.set_limit(1.5, None).await.unwrap(), "set");
    assert_eq!(gadget.set_limit(2.0, Some("a")).await.unwrap(), "set");
    let call = |args| ("g".to_owned(), "set_limit".to_owned(), args);
    let expected = [call(vec![value::number(1.5)]), call(vec![value::number(2.0), value::text("a")])];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_native_call_goes_to_the_interfaces_service_and_names_the_instance() {
    let peer = Peer::native().on_native(|mut call| async move {
        assert_eq!(call.rpc, "SetLimit");
        assert_eq!(call.metadata.get("x-jumpstarter-driver-uuid").unwrap(), "g");
        let message = call.messages.next().await.unwrap()?;
        // Field 1, a double of 1.5; field 2, the text "a".
        assert_eq!(message, [&[0x09][..], &1.5_f64.to_le_bytes(), &[0x12, 1, b'a']].concat());
        Ok(stream::iter([Ok(Bytes::from_static(b"\x0a\x03set"))]).boxed())
    });
    let (device, _server) = peer.device().await;
    assert_eq!(GadgetClient::of(&device).set_limit(1.5, Some("a")).await.unwrap(), "set");
}

#[tokio::test]
async fn pitfall_v10_an_answer_without_a_value_is_null() {
    let (device, _server) =
        Peer::legacy().on_call(|_| async { Ok(prost_types::Value { kind: None }) }).device().await;
    GadgetClient::of(&device).on().await.unwrap();
    let gadget = device.find("gadget").unwrap();
    assert_eq!(gadget.call_values("on", Vec::new()).await.unwrap(), value::null());
}

#[tokio::test]
async fn pitfall_v13_unimplemented_is_an_answer_and_no_reason_to_try_another_way() {
    let native_calls = Arc::new(AtomicUsize::new(0));
    let legacy_calls = Arc::new(AtomicUsize::new(0));
    let (native, legacy) = (native_calls.clone(), legacy_calls.clone());
    let peer = Peer::native()
        .on_native(move |_| {
            native.fetch_add(1, Ordering::SeqCst);
            async { Err(Status::unimplemented("not this one")) }
        })
        .on_call(move |_| {
            legacy.fetch_add(1, Ordering::SeqCst);
            async { Ok(value::null()) }
        });
    let (device, _server) = peer.device().await;
    let error = GadgetClient::of(&device).on().await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, "not this one"));
    assert_eq!((native_calls.load(Ordering::SeqCst), legacy_calls.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn the_language_is_decided_from_the_report() {
    for (services, language) in [
        (&[][..], Language::Legacy),
        (&["some.other.Service"], Language::Legacy),
        (&[SERVICE], Language::Native),
        (&[ALIAS], Language::Native),
    ] {
        let (device, _server) = Peer::legacy().with_services(services).device().await;
        let Target::Remote(remote) = device.find("gadget").unwrap().target() else { unreachable!() };
        assert_eq!(remote.language(&GADGET), language, "{services:?}");
        assert_eq!(remote.language(&GADGET), language, "and stays so");
    }
}

#[tokio::test]
async fn pitfall_v12_errors_keep_the_meaning_of_their_call() {
    for (code, unary, streaming) in [
        (Code::NotFound, ErrorKind::MethodNotFound, ErrorKind::Device),
        (Code::Unimplemented, ErrorKind::Unsupported, ErrorKind::Unsupported),
        (Code::InvalidArgument, ErrorKind::InvalidArgument, ErrorKind::InvalidArgument),
        (Code::FailedPrecondition, ErrorKind::NotReady, ErrorKind::NotReady),
        (Code::Unknown, ErrorKind::Device, ErrorKind::Device),
        (Code::DeadlineExceeded, ErrorKind::Timeout, ErrorKind::Timeout),
    ] {
        let peer = Peer::legacy()
            .on_call(move |_| async move { Err(Status::new(code, "text")) })
            .on_streaming(move |_| async move { Err(Status::new(code, "text")) });
        let (device, _server) = peer.device().await;
        let gadget = GadgetClient::of(&device);
        let error = gadget.on().await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (unary, "text"));
        let error = gadget.read().await.unwrap().next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.message()), (streaming, "text"));
    }
}

#[tokio::test]
async fn a_streaming_call_yields_items_up_to_its_error() {
    let peer = Peer::legacy().on_streaming(|call| async move {
        assert_eq!((call.uuid.as_str(), call.method.as_str()), ("g", "read"));
        Ok(stream::iter([item(1.0), item(2.5), Err(Status::unknown("gone"))]).boxed())
    });
    let (device, _server) = peer.device().await;
    let mut readings = GadgetClient::of(&device).read().await.unwrap();
    assert_eq!(readings.next().await.unwrap().unwrap().to_bits(), 1.0_f64.to_bits());
    assert_eq!(readings.next().await.unwrap().unwrap().to_bits(), 2.5_f64.to_bits());
    assert_eq!(readings.next().await.unwrap().unwrap_err().message(), "gone");
    assert!(readings.next().await.is_none());
}

#[tokio::test]
async fn pitfall_t2_a_streaming_call_starts_although_the_answers_headers_are_late() {
    // The exporter begins to answer only when something else has been called: waiting for its headers would be for ever.
    let (started, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (said_started, seen_on, said_on) = (started.clone(), on.clone(), on);
    let peer = Peer::legacy()
        .on_streaming(move |_| {
            let (started, on) = (said_started.clone(), seen_on.clone());
            async move {
                started.notify_one();
                on.notified().await;
                Ok(stream::iter([item(5.0)]).boxed())
            }
        })
        .on_call(move |_| {
            let on = said_on.clone();
            async move {
                on.notify_one();
                Ok(value::null())
            }
        });
    let (device, _server) = peer.device().await;
    let gadget = GadgetClient::of(&device);
    let mut readings = gadget.read().await.unwrap();
    // It is under way before anybody asks for its items.
    started.notified().await;
    gadget.on().await.unwrap();
    assert!(readings.next().await.unwrap().is_ok());
    assert!(readings.next().await.is_none());
}

/// Tells when it is dropped.
struct Watch(mpsc::Sender<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn a_dropped_call_or_stream_ends_at_the_exporter() {
    let (sender, mut dropped) = mpsc::channel(4);
    let stream_sender = sender.clone();
    let begun = Arc::new(Notify::new());
    let begins = begun.clone();
    let peer = Peer::legacy()
        .on_call(move |_| {
            let (watch, begun) = (Watch(sender.clone()), begins.clone());
            async move {
                let _watch = watch;
                begun.notify_one();
                std::future::pending().await
            }
        })
        .on_streaming(move |_| {
            let watch = Watch(stream_sender.clone());
            async move {
                let endless = stream::once(async { item(1.0) }).chain(stream::pending());
                Ok(endless
                    .inspect(move |_| {
                        let _ = &watch;
                    })
                    .boxed())
            }
        });
    let (device, _server) = peer.device().await;
    let gadget = GadgetClient::of(&device);

    let call = tokio::spawn({
        let gadget = gadget.clone();
        async move { gadget.on().await }
    });
    begun.notified().await;
    call.abort();
    dropped.recv().await.unwrap();

    let mut readings = gadget.read().await.unwrap();
    readings.next().await.unwrap().unwrap();
    drop(readings);
    dropped.recv().await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_an_error_of_its_own_kind() {
    let begun = Arc::new(Notify::new());
    let begins = begun.clone();
    let peer = Peer::legacy().on_call(move |_| {
        let begun = begins.clone();
        async move {
            begun.notify_one();
            std::future::pending().await
        }
    });
    let (device, server) = peer.device().await;
    let gadget = GadgetClient::of(&device);
    let (result, ()) = tokio::join!(gadget.on(), async {
        begun.notified().await;
        drop(server);
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    assert_eq!(gadget.on().await.unwrap_err().kind(), ErrorKind::Disconnected);
}

#[tokio::test]
async fn values_can_be_streamed_by_name() {
    let peer = Peer::legacy().on_streaming(|call| async move {
        let items: Vec<_> = call
            .args
            .into_iter()
            .map(|arg| Ok(StreamingDriverCallResponse { uuid: String::new(), result: Some(arg) }))
            .collect();
        Ok(stream::iter(items).boxed())
    });
    let (device, _server) = peer.device().await;
    let gadget = device.find("gadget").unwrap();
    let values = vec![value::number(1.0), value::text("x")];
    let items = gadget.stream_values("any", values.clone()).await.unwrap().collect().await.unwrap();
    assert_eq!(items, values);
}
