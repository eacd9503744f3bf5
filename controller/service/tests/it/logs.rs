//! What a lab says of leases: whose, of which exporter, and no secret.

use std::{
    io,
    sync::{Arc, Mutex},
};

use jumpstarter_protocol::{
    client::v1::{DeleteLeaseRequest, Lease, UpdateLeaseRequest, client_service_server::ClientService as _},
    v1::{
        DialRequest, ExporterStatus, LabelSelector, ListenRequest, RequestLeaseRequest,
        controller_service_server::ControllerService as _,
    },
};
use serde_json::{Value, json};

use super::bench::{Bench, short};

/// Everything that is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panics").clone()).expect("text")
    }

    /// Level and fields of each line with this message, without what differs from run to run.
    fn lines(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let lines = lines.filter(|line| line["fields"]["message"] == message).map(|mut line| {
            let mut fields = line["fields"].take();
            let all = fields.as_object_mut().expect("fields");
            all.remove("message");
            all.remove("waited");
            json!([line["level"], fields])
        });
        lines.collect()
    }
}

#[tokio::test]
async fn every_line_about_a_lease_says_which_whose_and_of_which_exporter_and_none_has_a_token() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // While there is only one, whichever thread first comes to a line is asked whether it wants it, for all: it may be one of
    // another test.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);

    let bench = Bench::new();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let (alice, bob) = (bench.client("alice").await, bench.client("bob").await);
    let lease = bench.lease(&alice, "board=demo").await.expect("a lease");
    let name = short(&lease.name).to_owned();
    told.next().await;
    let listen = ListenRequest { lease_name: name.clone() };
    let _listening = bench.exporters.listen(rig.asks(listen)).await.expect("it listens");
    bench.report(&rig, ExporterStatus::LeaseReady).await;
    let dial = DialRequest { lease_name: name.clone() };
    let tunnel = bench.exporters.dial(alice.asks(dial)).await.expect("a tunnel").into_inner();
    let to = Lease {
        name: lease.name.clone(),
        client: Some("namespaces/default/clients/bob".to_owned()),
        ..Lease::default()
    };
    let transfer = UpdateLeaseRequest { lease: Some(to), ..UpdateLeaseRequest::default() };
    bench.clients.update_lease(alice.asks(transfer)).await.expect("transferred");
    bench
        .clients
        .delete_lease(bob.asks(DeleteLeaseRequest { name: lease.name.clone() }))
        .await
        .expect("released");
    bench.ended(&name).await;
    // One that never has an exporter, by the old way.
    let selector = LabelSelector {
        match_labels: [("board".to_owned(), "none".to_owned())].into(),
        ..LabelSelector::default()
    };
    let request = RequestLeaseRequest {
        duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        selector: Some(selector),
    };
    let never = bench.exporters.request_lease(bob.asks(request)).await.expect("asked").into_inner().name;
    bench.ended(&never).await;

    assert_eq!(
        logged.lines("a lease is requested"),
        [
            json!(["INFO", { "lease": name, "client": "alice", "selector": "board=demo" }]),
            json!(["INFO", { "lease": never, "client": "bob", "selector": "board=none" }]),
        ]
    );
    assert_eq!(
        logged.lines("a lease has its exporter"),
        [json!(["INFO", { "lease": name, "client": "alice", "exporter": "rig", "epoch": 1 }])]
    );
    assert_eq!(
        logged.lines("a tunnel is handed out"),
        [json!(["DEBUG", { "lease": name, "client": "alice", "exporter": "rig", "router": "router:1" }])]
    );
    assert_eq!(
        logged.lines("a lease is transferred to another client"),
        [json!(["INFO", { "lease": name, "client": "bob", "from": "alice", "exporter": "rig" }])]
    );
    assert_eq!(
        logged.lines("a lease is given back"),
        [json!(["DEBUG", { "lease": name, "client": "bob", "exporter": "rig", "by": "client" }])]
    );
    assert_eq!(
        logged.lines("a lease is over"),
        [
            json!(["INFO", { "lease": name, "client": "bob", "exporter": "rig", "reason": "Released", "refused": false }]),
            json!(["INFO", { "lease": never, "client": "bob", "reason": "NoAccess", "refused": true }]),
        ]
    );
    let text = logged.text();
    for secret in [&alice.token, &bob.token, &rig.token, &tunnel.router_token] {
        // The end is the signature, of which even a part is too much.
        assert!(!text.contains(&secret[secret.len() - 20..]), "{text}");
    }
}
