//! Who may do what: every role, with every kind of token that is not good, on every method.

use jumpstarter_protocol::{
    client::v1::{
        CreateLeaseRequest, DeleteLeaseRequest, GetExporterRequest, GetLeaseRequest, Lease,
        ListExportersRequest, ListLeasesRequest, RotateTokenRequest, UpdateLeaseRequest,
        client_service_server::ClientService as _,
    },
    v1::{self, controller_service_server::ControllerService as _},
};
use tonic::{Code, Status};

use super::bench::{Bench, Caller, NAMESPACE, short};

/// Every method: its name, whose token it takes, and what comes of calling it.
macro_rules! methods {
    ($bench:ident, $caller:ident, $lease:ident: $($name:literal $role:ident $service:ident.$method:ident($request:expr);)*) => {
        vec![$(($name, stringify!($role), $bench.$service.$method($caller.asks($request)).await.err())),*]
    };
}

async fn all(
    bench: &Bench,
    caller: &Caller,
    lease: &str,
) -> Vec<(&'static str, &'static str, Option<Status>)> {
    let parent = format!("namespaces/{NAMESPACE}");
    let full = format!("{parent}/leases/{lease}");
    let exporter = format!("{parent}/exporters/rig");
    let wanted = Lease {
        selector: "board=none".to_owned(),
        duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Lease::default()
    };
    methods!(bench, caller, lease:
        "Register" exporter exporters.register(v1::RegisterRequest::default());
        "ReportStatus" exporter exporters.report_status(v1::ReportStatusRequest { status: 4, ..Default::default() });
        "Listen" exporter exporters.listen(v1::ListenRequest { lease_name: lease.to_owned() });
        "Status" exporter exporters.status(v1::StatusRequest {});
        "GetServiceEndpoints" exporter exporters.get_service_endpoints(v1::GetServiceEndpointsRequest {});
        "GetLease (old)" client exporters.get_lease(v1::GetLeaseRequest { name: lease.to_owned() });
        "RequestLease" client exporters.request_lease(v1::RequestLeaseRequest {
            duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            selector: Some(v1::LabelSelector { match_labels: [("board".to_owned(), "none".to_owned())].into(), ..Default::default() }),
        });
        "ListLeases (old)" client exporters.list_leases(v1::ListLeasesRequest {});
        "GetExporter" client clients.get_exporter(GetExporterRequest { name: exporter.clone(), show_hidden_labels: false });
        "ListExporters" client clients.list_exporters(ListExportersRequest { parent: parent.clone(), ..Default::default() });
        "GetLease" client clients.get_lease(GetLeaseRequest { name: full.clone() });
        "ListLeases" client clients.list_leases(ListLeasesRequest { parent: parent.clone(), ..Default::default() });
        "CreateLease" client clients.create_lease(CreateLeaseRequest { parent: parent.clone(), lease_id: String::new(), lease: Some(wanted.clone()) });
        "UpdateLease" client clients.update_lease(UpdateLeaseRequest {
            lease: Some(Lease { name: full.clone(), duration: Some(prost_types::Duration { seconds: 900, nanos: 0 }), ..Default::default() }),
            update_mask: None,
        });
        "RotateToken" client clients.rotate_token(RotateTokenRequest { parent: parent.clone() });
        // Last of each role: they end what the others look at.
        "DeleteLease" client clients.delete_lease(DeleteLeaseRequest { name: full.clone() });
        "Unregister" exporter exporters.unregister(v1::UnregisterRequest::default());
    )
}

struct Scene {
    bench: Bench,
    rig: Caller,
    me: Caller,
    lease: String,
}

async fn scene() -> Scene {
    let bench = Bench::new();
    let (rig, mut told) = bench.rig("rig", &[("board", "demo")]).await;
    told.next().await;
    let me = bench.client("me").await;
    let lease = bench.lease(&me, "board=demo").await.expect("a lease");
    assert!(told.next().await.leased);
    let lease = short(&lease.name).to_owned();
    Scene { bench, rig, me, lease }
}

#[tokio::test]
async fn whoever_is_who_he_says_may_do_what_is_his_and_nothing_else() {
    let Scene { bench, rig, me, lease } = scene().await;
    for (caller, role) in [(&rig, "exporter"), (&me, "client")] {
        for (method, whose, refused) in all(&bench, caller, &lease).await {
            match refused {
                None => assert_eq!(whose, role, "{method} as {role}"),
                Some(status) => {
                    assert_ne!(whose, role, "{method} as {role}: {status}");
                    assert_eq!(
                        (status.code(), status.message()),
                        (Code::InvalidArgument, "object kind mismatch"),
                        "{method}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_client_can_be_looked_at_and_not_touched() {
    let Scene { bench, lease, .. } = scene().await;
    let other = bench.client("other").await;
    let denied: Vec<_> = all(&bench, &other, &lease)
        .await
        .into_iter()
        .filter(|(_, whose, _)| *whose == "client")
        .filter_map(|(method, _, refused)| refused.map(|status| (method, status.message().to_owned())))
        .collect();
    let expected = [
        ("GetLease (old)", "GetLease permission denied"),
        ("UpdateLease", "UpdateLease permission denied"),
        ("DeleteLease", "DeleteLease permission denied"),
    ];
    assert_eq!(denied, expected.map(|(method, message)| (method, message.to_owned())));
    let dial = v1::DialRequest { lease_name: lease };
    let status = bench.exporters.dial(other.asks(dial)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unknown, "permission denied"));
}

#[tokio::test]
async fn an_exporter_listens_to_its_own_leases_only() {
    let Scene { bench, lease, .. } = scene().await;
    let (other, _told) = bench.rig("other", &[]).await;
    let listen = v1::ListenRequest { lease_name: lease.clone() };
    let status = bench.exporters.listen(other.asks(listen)).await.err().expect("refused");
    assert_eq!((status.code(), status.message()), (Code::Unknown, "permission denied"));
    let release = v1::ReleaseLeaseRequest { name: lease };
    let status = bench.exporters.release_lease(other.asks(release)).await.unwrap_err();
    // Other codes would make it believe that this controller is too old.
    assert_eq!(status.code(), Code::FailedPrecondition);
}

/// A token whose first part says that it is not signed.
fn unsigned(token: &str) -> String {
    use std::fmt::Write as _;
    // {"alg":"none","typ":"JWT"} in base64url.
    let mut text = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0".to_owned();
    let claims = token.split('.').nth(1).expect("three parts");
    let _ = write!(text, ".{claims}.");
    text
}

#[tokio::test]
async fn no_token_that_is_not_good_opens_anything() {
    let Scene { bench, rig, me, lease } = scene().await;
    let foreign = {
        let other = Bench::new();
        let (rig, _told) = other.rig("rig", &[]).await;
        (other.client("me").await.token.clone(), rig.token.clone())
    };
    for (caller, foreign) in [(&me, foreign.0), (&rig, foreign.1)] {
        let token = &caller.token;
        let mut flipped = token.clone();
        flipped.replace_range(token.len() - 4.., if token.ends_with("AAAA") { "BBBB" } else { "AAAA" });
        let bad = [
            ("foreign", foreign, Code::Unknown),
            ("truncated", token[..token.len() / 2].to_owned(), Code::Unknown),
            (
                "without its signature",
                token.rsplit_once('.').expect("three parts").0.to_owned(),
                Code::Unknown,
            ),
            ("alg: none", unsigned(token), Code::Unknown),
            ("changed", flipped, Code::Unknown),
            ("no token", "x".to_owned(), Code::Unknown),
        ];
        for (what, token, code) in bad {
            let liar = Caller { token: token.clone(), ..caller.clone() };
            for (method, whose, refused) in all(&bench, &liar, &lease).await {
                let status = refused.unwrap_or_else(|| panic!("{method} takes a token that is {what}"));
                let expected = if whose == caller.kind.to_lowercase() { code } else { status.code() };
                assert_eq!(status.code(), expected, "{method}, {what}: {status}");
                assert!(token.len() < 10 || !status.message().contains(&token), "{method} tells the token");
            }
        }
        for (what, liar, code) in [
            ("another name", Caller { name: "other".to_owned(), ..caller.clone() }, Code::Unknown),
            ("another namespace", Caller { namespace: "other".to_owned(), ..caller.clone() }, Code::Unknown),
        ] {
            for (method, whose, refused) in all(&bench, &liar, &lease).await {
                let status = refused.unwrap_or_else(|| panic!("{method} takes {what}"));
                if whose == caller.kind.to_lowercase() {
                    assert_eq!(status.code(), code, "{method}, {what}: {status}");
                }
            }
        }
    }
    // Somebody else's name, which exists.
    bench.client("other").await;
    let liar = Caller { name: "other".to_owned(), ..me };
    for (method, whose, refused) in all(&bench, &liar, &lease).await {
        let status = refused.unwrap_or_else(|| panic!("{method} takes another's name"));
        if whose == "client" {
            assert_eq!(status.code(), Code::PermissionDenied, "{method}: {status}");
            assert!(status.message().starts_with("permission denied for client default/other"), "{status}");
        }
    }
}

#[tokio::test]
async fn a_token_of_somebody_who_was_deleted_is_worth_nothing_even_when_the_name_is_back() {
    let Scene { bench, me, lease, .. } = scene().await;
    let key = jumpstarter_store::Key::new("Client", NAMESPACE, "me");
    jumpstarter_store::Store::delete(bench.lab.store(), &key, None).await.expect("deleted");
    for (method, whose, refused) in all(&bench, &me, &lease).await {
        let status = refused.unwrap_or_else(|| panic!("{method} takes the token of nobody"));
        assert!(whose != "client" || status.code() == Code::Unknown, "{method}: {status}");
    }
    bench.client("me").await;
    for (method, whose, refused) in all(&bench, &me, &lease).await {
        let status = refused.unwrap_or_else(|| panic!("{method} takes the token of another"));
        assert!(whose != "client" || status.code() == Code::PermissionDenied, "{method}: {status}");
    }
}
