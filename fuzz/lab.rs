//! What every run of the fuzzer does with one input that a stranger sends to a lab or a router; the ordinary tests replay the
//! corpora through it as well.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use jumpstarter_api::LabelSelector;
use jumpstarter_core::selector::{Labels, Selector};
use jumpstarter_identity::{Issuer, SigningKey, Token};
use jumpstarter_protocol::v1::{StreamRequest, StreamResponse};
use jumpstarter_router::{Key, Tokens, scan::Scan, unpack::Unpack};
use jumpstarter_service::names;
use jumpstarter_store::{Engine, New, Nowhere, Object, Query, Store as _};
use jumpstarter_transport::frames::{Direction, Role};
use prost::Message as _;

/// Largest message in these runs, in bytes: small, so that inputs reach it.
const LIMIT: u32 = 64 * 1024;

/// What is done with one input.
#[allow(unreachable_pub, dead_code, reason = "each user of this file includes it as a module of its own")]
pub type Entry = fn(&[u8]);

/// The entries by name: a folder of `corpus` each.
#[allow(unreachable_pub, dead_code, reason = "as above")]
pub const ENTRIES: [(&str, Entry); 5] = [
    ("frames", frames),
    ("tokens", tokens),
    ("selectors", selectors),
    ("filters", filters),
    ("pages", pages),
];

/// The body of a call to the router: cut anywhere, it is understood in the same way, and nothing is larger than allowed.
#[allow(unreachable_pub, reason = "as above")]
pub fn frames(bytes: &[u8]) {
    // The first byte says how the rest is cut.
    let Some((step, body)) = bytes.split_first() else { return };
    let step = usize::from(*step).max(1);
    let mut whole = Scan::new(LIMIT);
    let at_once = whole.advance(body).map_err(|bad| bad.wrong);
    let mut pieces = Scan::new(LIMIT);
    let cut = body.chunks(step).try_for_each(|piece| pieces.advance(piece)).map_err(|bad| bad.wrong);
    assert_eq!(at_once, cut);
    if at_once.is_ok() {
        assert_eq!(whole.is_inside(), pieces.is_inside());
    }
    let mut unpack = Unpack::new(LIMIT);
    for piece in body.chunks(step) {
        let Ok(passed) = unpack.advance(piece) else { break };
        // What is passed on is whole messages within the limit.
        let mut scan = Scan::new(LIMIT);
        assert_eq!(scan.advance(&passed), Ok(()));
        assert!(!scan.is_inside());
    }
    // A request and a response are the same bytes, and both ends of a tunnel take whatever they are.
    let message = Bytes::copy_from_slice(body.get(5..).unwrap_or_default());
    let request = StreamRequest::decode(message.clone());
    let response = StreamResponse::decode(message);
    assert_eq!(request.is_ok(), response.is_ok());
    if let (Ok(request), Ok(response)) = (request, response) {
        assert_eq!((&request.payload, request.frame_type), (&response.payload, response.frame_type));
        for role in [Role::Client, Role::Server] {
            let _ = Direction::new(role).frame(request.clone());
            let _ = Direction::new(role).frame(response.clone());
        }
    }
}

/// A token that nobody here has made opens nothing, and no refusal repeats it.
#[allow(unreachable_pub, reason = "as above")]
pub fn tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let now = 1_800_000_000;
    let stream = Tokens::new(Key::Fixed(b"a key that no corpus knows".to_vec())).stream(text, now);
    let refused = stream.expect_err("it opens a stream");
    let issuer = Issuer::new(SigningKey::derived(b"a seed that no corpus knows").expect("a key"));
    let at = Timestamp::from_second(now).expect("a time");
    let own = issuer.verify(&Token::new(text), at).expect_err("it is somebody");
    if text.len() > 40 {
        assert!(!refused.contains(text) && !own.to_string().contains(text), "the token is repeated");
    }
}

/// What is printed of a selector is read as the same one, selects the same, and goes through an object unchanged.
#[allow(unreachable_pub, reason = "as above")]
pub fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(selector) = text.parse::<Selector>() else { return };
    if selector.is_empty() {
        // For people, as kubectl does.
        assert_eq!(selector.to_string(), "<none>");
        return;
    }
    let printed = selector.to_string();
    let again: Selector = printed.parse().unwrap_or_else(|error| panic!("{printed:?}: {error}"));
    assert_eq!(again.to_string(), printed);
    // Objects carry all but comparisons by size.
    let stored = LabelSelector::try_from(&selector).ok();
    assert_eq!(stored.is_none(), printed.contains(['<', '>']), "{printed:?}");
    let back = stored.map_or(Ok(selector.clone()), |stored| stored.to_selector());
    let back = back.unwrap_or_else(|error| panic!("{printed:?}: {error}"));
    for labels in [&[][..], &[("a", "b")], &[("board", "demo"), ("site", "")], &[("board", "x")]] {
        let labels: Labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(selector.matches(&labels), again.matches(&labels), "{printed:?} on {labels:?}");
        assert_eq!(selector.matches(&labels), back.matches(&labels), "{printed:?} on {labels:?}");
    }
}

/// Names of objects in requests: what is taken is exactly the name that is written.
#[allow(unreachable_pub, reason = "as above")]
pub fn filters(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(namespace) = names::parent(text) {
        assert_eq!(format!("namespaces/{namespace}"), text);
    }
    for kind in ["leases", "exporters", "clients"] {
        if let Ok((namespace, name)) = names::of(text, kind) {
            assert_eq!(names::full(namespace, kind, name), text);
        }
    }
}

/// A page that is none is refused, and one that could be never leads out of its kind and namespace.
#[allow(unreachable_pub, reason = "as above")]
pub fn pages(bytes: &[u8]) {
    let Ok(page) = std::str::from_utf8(bytes) else { return };
    let store = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    store.block_on(async {
        let engine = Engine::open(Nowhere).expect("a store");
        for (kind, namespace) in [("Lease", "lab"), ("Lease", "lob"), ("Client", "lab"), ("Leases", "lab")] {
            for name in ["a", "m", "z"] {
                let key = jumpstarter_store::Key::new(kind, namespace, name);
                let new = New {
                    key,
                    labels: BTreeMap::new(),
                    annotations: BTreeMap::new(),
                    spec: serde_json::Value::Null,
                    status: serde_json::Value::Null,
                };
                engine.create(new).await.expect("an object");
            }
        }
        let query = Query {
            kind: "Lease".to_owned(),
            namespace: Some("lab".to_owned()),
            page: Some(page.to_owned()),
            ..Query::default()
        };
        if let Ok(found) = engine.list(&query).await {
            let inside = |object: &Arc<Object>| object.key.kind == "Lease" && object.key.namespace == "lab";
            assert!(found.items.iter().all(inside), "{page:?}: {:?}", found.items);
            assert_eq!(found.next, None, "{page:?}");
        }
    });
}
