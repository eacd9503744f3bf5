//! Both wire languages reach the same method.

use jumpstarter::Source;

use crate::sample::{BenchClient, MemoryBench};

#[jumpstarter::test]
async fn a_local_client_reaches_the_trait() {
    let bench = BenchClient::local(MemoryBench::default());
    assert_eq!(bench.set_limit("a".into(), 2.5, None).await.unwrap(), "a 2.5 None");
    assert_eq!(bench.add(2, 3).await.unwrap(), 5);
    assert_eq!(bench.flash(Source::from_bytes("abc"), Some("xy".into())).await.unwrap(), 5);
}
