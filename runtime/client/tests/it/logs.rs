//! The log, with interruptions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, stream};
use jumpstarter_core::log::{LogSource, Severity};
use jumpstarter_protocol::v1::{LogSource as WireSource, LogStreamResponse};
use tonic::Status;

use crate::peer::Peer;

fn line(message: &str) -> LogStreamResponse {
    LogStreamResponse {
        severity: "WARNING".to_owned(),
        message: message.to_owned(),
        source: Some(WireSource::BeforeLeaseHook.into()),
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_ends_or_fails_is_opened_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let peer = Peer::legacy().on_logs(move |()| {
        let call = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                0 => Ok(stream::iter([Ok(line("first"))]).boxed()),
                1 => Err(Status::unavailable("restarting")),
                2 => Ok(stream::iter([Ok(line("second")), Err(Status::unknown("broken"))]).boxed()),
                _ => Ok(stream::iter([Ok(line("third"))]).chain(stream::pending()).boxed()),
            }
        }
    });
    let (connection, _server) = peer.connect().await;
    let mut logs = connection.logs();
    let first = logs.next().await.unwrap();
    assert_eq!(
        (first.message.as_str(), first.severity, first.source),
        ("first", Severity::Warning, LogSource::BeforeLeaseHook)
    );
    assert!(first.is_hook());
    assert_eq!(logs.next().await.unwrap().message, "second");
    assert_eq!(logs.next().await.unwrap().message, "third");
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_always_in_vain_is_given_up() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let peer = Peer::legacy().on_logs(move |()| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Err(Status::unavailable("never")) }
    });
    let (connection, _server) = peer.connect().await;
    assert!(connection.logs().next().await.is_none());
    assert_eq!(calls.load(Ordering::SeqCst), 11, "once, and ten times again");
}

#[tokio::test]
async fn a_log_that_does_not_exist_is_not_asked_for_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    for status in [Status::unimplemented("no log"), Status::cancelled("enough")] {
        let (count, status) = (calls.clone(), status.clone());
        let peer = Peer::legacy().on_logs(move |()| {
            count.fetch_add(1, Ordering::SeqCst);
            let status = status.clone();
            async move { Err(status) }
        });
        let (connection, _server) = peer.connect().await;
        assert!(connection.logs().next().await.is_none());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn pitfall_g_a_log_without_lines_keeps_nothing_waiting() {
    // The exporter does not even send headers before it has something to say.
    let peer = Peer::legacy().on_logs(|()| std::future::pending());
    let (connection, _server) = peer.connect().await;
    let logs = connection.logs();
    connection.device().await.unwrap();
    connection.close();
    let mut logs = logs;
    assert!(logs.next().await.is_none(), "closing the connection ends it");
}
