//! Who is let in.

use std::net::SocketAddr;

use jumpstarter_router::{Key, Limits, Tokens, token::now};
use jumpstarter_transport::server::Peer;
use tokio::sync::mpsc;
use tonic::Code;

use crate::{Caller, call, start};

#[tokio::test]
async fn pitfall_o6_whoever_has_no_valid_token_is_unauthenticated() {
    let router = start(Limits::default());
    let good = router.token("one");
    let foreign = Tokens::new(Key::Fixed(b"not ours".to_vec())).issue("one", now()).unwrap();
    let old = router.tokens.issue("one", now() - 1800).unwrap();
    for (authorization, text) in [
        (None, "missing or invalid authorization: there is no `authorization` in the metadata"),
        (Some(String::new()), "missing or invalid authorization: write `Bearer TOKEN`"),
        (Some(format!("Basic {good}")), "missing or invalid authorization: write `Bearer TOKEN`"),
        (Some(good.clone()), "missing or invalid authorization: write `Bearer TOKEN`"),
        (Some(format!("Bearer {foreign}")), "invalid jwt token"),
        (Some(format!("Bearer {old}")), "invalid jwt token"),
        (Some("Bearer".to_owned()), "missing or invalid authorization: write `Bearer TOKEN`"),
        (Some("Bearer x.y.z".to_owned()), "invalid jwt token"),
    ] {
        let (_send, source) = mpsc::channel(1);
        let status = call(router.connect().await, authorization.as_deref(), source).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, text), "{authorization:?}");
    }
    assert_eq!(router.router.load().calls, 0);
    let (_send, source) = mpsc::channel(1);
    call(router.connect().await, Some(&format!("bearer {good}")), source)
        .await
        .expect("schemes have no case");
}

#[tokio::test]
async fn one_address_cannot_take_all_of_the_room() {
    let router = start(Limits { calls: 3, calls_per_address: 2, ..Limits::default() });
    let from = |text: &str| Peer::Tcp(text.parse::<SocketAddr>().unwrap());
    let caller =
        async |peer, stream: &str| Caller::on(router.connect_from(peer).await, &router.token(stream)).await;
    let first = caller(from("192.0.2.1:1000"), "a").await.unwrap();
    let _second = caller(from("192.0.2.1:1001"), "b").await.unwrap();
    let status = caller(from("192.0.2.1:1002"), "c").await.err().expect("too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("2 calls from this address"), "{status:?}");
    let _third = caller(from("192.0.2.2:1000"), "c").await.unwrap();
    let status = caller(from("192.0.2.3:1000"), "d").await.err().expect("too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("the router is full"), "{status:?}");
    drop(first);
    router.until_calls(2).await;
    caller(from("192.0.2.1:1003"), "d").await.expect("there is room again");
}
