//! Dialled tunnels on their way to exporters.

use std::time::Duration;

use jumpstarter_protocol::v1::ListenResponse;
use jumpstarter_service::{Listeners, listeners::QUEUE};
use tonic::Code;

const NOW: Duration = Duration::ZERO;

fn tunnel(number: usize) -> ListenResponse {
    ListenResponse { router_endpoint: "router:1".to_owned(), router_token: number.to_string() }
}

#[tokio::test]
async fn tunnels_arrive_in_order() {
    let listeners = Listeners::default();
    let mut listening = listeners.listen("lease");
    for number in 0..3 {
        listeners.deliver("lease", tunnel(number), NOW).await.unwrap();
    }
    for number in 0..3 {
        assert_eq!(listening.next().await, Some(tunnel(number)));
    }
}

#[tokio::test]
async fn pitfall_c4_a_call_that_is_replaced_delivers_what_it_holds_and_ends() {
    let listeners = Listeners::default();
    let mut old = listeners.listen("lease");
    listeners.deliver("lease", tunnel(1), NOW).await.unwrap();
    let mut new = listeners.listen("lease");
    listeners.deliver("lease", tunnel(2), NOW).await.unwrap();
    assert_eq!(old.next().await, Some(tunnel(1)));
    assert_eq!(old.next().await, None);
    assert_eq!(new.next().await, Some(tunnel(2)));
}

#[tokio::test]
async fn pitfall_x2_the_end_of_a_replaced_call_does_not_remove_its_successor() {
    let listeners = Listeners::default();
    let old = listeners.listen("lease");
    let mut new = listeners.listen("lease");
    drop(old);
    listeners.deliver("lease", tunnel(1), NOW).await.unwrap();
    assert_eq!(new.next().await, Some(tunnel(1)));
    drop(new);
    assert_eq!(listeners.count(), 0);
}

#[tokio::test]
async fn pitfall_x1_a_full_queue_is_refused_at_once_and_holds_up_nobody() {
    let listeners = Listeners::default();
    let mut old = listeners.listen("lease");
    for number in 0..QUEUE {
        listeners.deliver("lease", tunnel(number), NOW).await.unwrap();
    }
    let refused = listeners.deliver("lease", tunnel(9), Duration::from_hours(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), "listener buffer full on lease lease");
    let mut new = listeners.listen("lease");
    listeners.deliver("lease", tunnel(10), NOW).await.unwrap();
    assert_eq!(new.next().await, Some(tunnel(10)));
    assert_eq!(old.next().await, Some(tunnel(0)));
}

#[tokio::test(start_paused = true)]
async fn a_dial_waits_for_an_exporter_that_is_about_to_listen_and_not_for_ever() {
    let listeners = Listeners::default();
    let patience = Duration::from_secs(5);
    let early = tokio::spawn({
        let listeners = listeners.clone();
        async move { listeners.deliver("lease", tunnel(1), patience).await }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut listening = listeners.listen("lease");
    early.await.unwrap().unwrap();
    assert_eq!(listening.next().await, Some(tunnel(1)));
    let refused = listeners.deliver("other", tunnel(2), patience).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.message(), "exporter is not listening on lease other");
}
