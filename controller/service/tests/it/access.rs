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

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Exporter,
    Both,
}

/// Every method of both services: its name, whose token it takes, and how it is called.
macro_rules! methods {
    ($bench:ident, $caller:ident, $lease:ident, $parent:ident, $full:ident: $($name:literal $role:ident $service:ident.$method:ident($request:expr);)*) => {
        const METHODS: &[(&str, Role)] = &[$(($name, Role::$role)),*];

        /// What comes of calling one.
        async fn call(name: &str, $bench: &Bench, $caller: &Caller, $lease: &str) -> Option<Status> {
            let $parent = format!("namespaces/{NAMESPACE}");
            let $full = format!("{}/leases/{}", $parent, $lease);
            match name {
                $($name => $bench.$service.$method($caller.asks($request)).await.err(),)*
                other => panic!("there is no method {other}"),
            }
        }
    };
}

methods!(bench, caller, lease, parent, full:
    "Register" Exporter exporters.register(v1::RegisterRequest::default());
    "Unregister" Exporter exporters.unregister(v1::UnregisterRequest::default());
    "ReportStatus" Exporter exporters.report_status(v1::ReportStatusRequest { status: 4, ..Default::default() });
    "Listen" Exporter exporters.listen(v1::ListenRequest { lease_name: lease.to_owned() });
    "Status" Exporter exporters.status(v1::StatusRequest {});
    "GetServiceEndpoints" Exporter exporters.get_service_endpoints(v1::GetServiceEndpointsRequest {});
    "ReleaseLease" Both exporters.release_lease(v1::ReleaseLeaseRequest { name: lease.to_owned() });
    "Dial" Client exporters.dial(v1::DialRequest { lease_name: lease.to_owned() });
    "GetLease (old)" Client exporters.get_lease(v1::GetLeaseRequest { name: lease.to_owned() });
    "RequestLease" Client exporters.request_lease(v1::RequestLeaseRequest {
        duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        selector: Some(v1::LabelSelector {
            match_labels: [("board".to_owned(), "none".to_owned())].into(),
            ..Default::default()
        }),
    });
    "ListLeases (old)" Client exporters.list_leases(v1::ListLeasesRequest {});
    "GetExporter" Client clients.get_exporter(GetExporterRequest {
        name: format!("{parent}/exporters/rig"),
        show_hidden_labels: false,
    });
    "ListExporters" Client clients.list_exporters(ListExportersRequest { parent: parent.clone(), ..Default::default() });
    "GetLease" Client clients.get_lease(GetLeaseRequest { name: full.clone() });
    "ListLeases" Client clients.list_leases(ListLeasesRequest { parent: parent.clone(), ..Default::default() });
    "CreateLease" Client clients.create_lease(CreateLeaseRequest {
        parent: parent.clone(),
        lease_id: String::new(),
        lease: Some(Lease {
            selector: "board=none".to_owned(),
            duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..Lease::default()
        }),
    });
    "UpdateLease" Client clients.update_lease(UpdateLeaseRequest {
        lease: Some(Lease {
            name: full.clone(),
            duration: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
            ..Default::default()
        }),
        update_mask: None,
    });
    "DeleteLease" Client clients.delete_lease(DeleteLeaseRequest { name: full.clone() });
    "RotateToken" Client clients.rotate_token(RotateTokenRequest { parent: parent.clone() });
);

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

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The client that has the lease.
    Owner,
    /// Another client.
    Stranger,
    /// The exporter that the lease has.
    Holder,
    /// Another exporter.
    Bystander,
}

/// The lease that the call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Released,
    Missing,
}

/// What comes of a call: nothing, if it is allowed, and else code and words. From the tables of what clients and exporters of
/// 0.9.0 depend on.
fn expected(method: &str, role: Role, who: Who, state: State) -> Option<(Code, &'static str)> {
    let client = matches!(who, Who::Owner | Who::Stranger);
    if (role == Role::Client && !client) || (role == Role::Exporter && client) {
        return Some((Code::InvalidArgument, "object kind mismatch"));
    }
    let names_a_lease =
        ["Listen", "ReleaseLease", "Dial", "GetLease (old)", "GetLease", "UpdateLease", "DeleteLease"];
    if !names_a_lease.contains(&method) {
        return None;
    }
    if state == State::Missing {
        // The one code by which an exporter knows that it need not try again.
        return Some(if client || method == "Listen" {
            (Code::Unknown, "leases.jumpstarter.dev \"missing\" not found")
        } else {
            (Code::NotFound, "lease \"missing\" not found")
        });
    }
    match (method, who, state) {
        ("Listen" | "Dial", Who::Bystander | Who::Stranger, _) => Some((Code::Unknown, "permission denied")),
        ("GetLease (old)", Who::Stranger, _) => Some((Code::Unknown, "GetLease permission denied")),
        ("UpdateLease", Who::Stranger, _) => Some((Code::Unknown, "UpdateLease permission denied")),
        ("DeleteLease", Who::Stranger, _) => Some((Code::Unknown, "DeleteLease permission denied")),
        ("ReleaseLease", Who::Stranger, _) => Some((Code::Unknown, "ReleaseLease permission denied")),
        // Other codes would make it believe that this controller is too old.
        ("ReleaseLease", Who::Bystander, _) => Some((Code::FailedPrecondition, "")),
        // Allowed; but nobody listens here.
        ("Dial", Who::Owner, State::Active) => Some((Code::Unavailable, "exporter is not listening")),
        ("Dial", Who::Owner, _) => Some((Code::FailedPrecondition, "has ended")),
        ("DeleteLease", Who::Owner, State::Released) => {
            Some((Code::FailedPrecondition, "has already been released"))
        }
        // All that is left is allowed: everybody of a namespace may look at its leases.
        _ => None,
    }
}

#[tokio::test]
async fn every_method_is_for_those_that_it_is_for_and_for_nobody_else() {
    let mut cells = 0;
    for &(method, role) in METHODS {
        for who in [Who::Owner, Who::Stranger, Who::Holder, Who::Bystander] {
            for state in [State::Active, State::Released, State::Missing] {
                let Scene { bench, rig, me, lease } = scene().await;
                bench.report(&rig, v1::ExporterStatus::LeaseReady).await;
                if state == State::Released {
                    let name = format!("namespaces/{NAMESPACE}/leases/{lease}");
                    bench.clients.delete_lease(me.asks(DeleteLeaseRequest { name })).await.expect("released");
                    bench.ended(&lease).await;
                }
                let caller = match who {
                    Who::Owner => me,
                    Who::Holder => rig,
                    Who::Stranger => bench.client("other").await,
                    Who::Bystander => bench.exporter("bystander", &[]).await,
                };
                let lease = if state == State::Missing { "missing" } else { lease.as_str() };
                let got = call(method, &bench, &caller, lease).await;
                let what = format!("{method} as {who:?} with a lease that is {state:?}");
                match (expected(method, role, who, state), got) {
                    (None, None) => {}
                    (Some((code, words)), Some(status)) => {
                        assert_eq!(status.code(), code, "{what}: {status}");
                        assert!(status.message().contains(words), "{what}: {status}");
                    }
                    (expected, got) => panic!("{what}: {got:?}, and not {expected:?}"),
                }
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 19 * 4 * 3);
}

/// Whether whoever calls is of the kind that a method is for.
fn is_for(role: Role, caller: &Caller) -> bool {
    match role {
        Role::Both => true,
        Role::Client => caller.kind == "Client",
        Role::Exporter => caller.kind == "Exporter",
    }
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
        // That its claims can be changed is seen by those that are good.
        let as_good = Caller { token: bench.altered(token, |_| {}), ..caller.clone() };
        let method = if caller.kind == "Client" { "ListLeases" } else { "GetServiceEndpoints" };
        assert!(
            call(method, &bench, &as_good, &lease).await.is_none(),
            "{method} does not take a good token"
        );
        let of = |claim: &'static str, value: &'static str| {
            bench.altered(token, |claims| claims[claim] = serde_json::Value::from(value))
        };
        let bad = [
            ("for another audience", of("aud", "https://jumpstarter.dev/router")),
            ("of another issuer", of("iss", "https://elsewhere.example")),
            ("foreign", foreign),
            ("truncated", token[..token.len() / 2].to_owned()),
            ("without its signature", token.rsplit_once('.').expect("three parts").0.to_owned()),
            ("alg: none", unsigned(token)),
            ("changed", flipped),
            ("no token", "x".to_owned()),
        ];
        for (what, token) in bad {
            let liar = Caller { token: token.clone(), ..caller.clone() };
            for &(method, _) in METHODS {
                let refused = call(method, &bench, &liar, &lease).await;
                let status = refused.unwrap_or_else(|| panic!("{method} takes a token that is {what}"));
                assert_eq!(status.code(), Code::Unknown, "{method}, {what}: {status}");
                assert!(token.len() < 10 || !status.message().contains(&token), "{method} tells the token");
            }
        }
        for (what, liar) in [
            ("another name", Caller { name: "nobody".to_owned(), ..caller.clone() }),
            ("another namespace", Caller { namespace: "other".to_owned(), ..caller.clone() }),
        ] {
            for &(method, role) in METHODS {
                let status = call(method, &bench, &liar, &lease).await;
                let status = status.unwrap_or_else(|| panic!("{method} takes {what}"));
                let code = if is_for(role, caller) { Code::Unknown } else { Code::InvalidArgument };
                assert_eq!(status.code(), code, "{method}, {what}: {status}");
            }
        }
    }
    // Somebody else's name, which exists.
    bench.client("other").await;
    let liar = Caller { name: "other".to_owned(), ..me };
    for &(method, role) in METHODS {
        let status = call(method, &bench, &liar, &lease).await;
        let status = status.unwrap_or_else(|| panic!("{method} takes another's name"));
        if is_for(role, &liar) {
            assert_eq!(status.code(), Code::PermissionDenied, "{method}: {status}");
            assert!(status.message().starts_with("permission denied for client default/other"), "{status}");
        } else {
            assert_eq!(status.code(), Code::InvalidArgument, "{method}: {status}");
        }
    }
}

#[tokio::test]
async fn a_token_that_has_expired_opens_nothing() {
    let (bench, clock) = Bench::standing();
    let (rig, me) = (bench.exporter("rig", &[]).await, bench.client("me").await);
    clock.advance(std::time::Duration::from_hours(366 * 24)).await;
    for caller in [&rig, &me] {
        for &(method, _) in METHODS {
            let status = call(method, &bench, caller, "one").await;
            let status = status.unwrap_or_else(|| panic!("{method} takes it"));
            assert_eq!(status.code(), Code::Unknown, "{method}: {status}");
            assert!(status.message().contains("oidc: token is expired"), "{method}: {status}");
        }
    }
}

#[tokio::test]
async fn a_token_of_somebody_who_was_deleted_is_worth_nothing_even_when_the_name_is_back() {
    let Scene { bench, me, lease, .. } = scene().await;
    let key = jumpstarter_store::Key::new("Client", NAMESPACE, "me");
    jumpstarter_store::Store::delete(bench.lab.store(), &key, None).await.expect("deleted");
    for (there, code) in [(false, Code::Unknown), (true, Code::PermissionDenied)] {
        if there {
            bench.client("me").await;
        }
        for &(method, role) in METHODS {
            let status = call(method, &bench, &me, &lease).await;
            let status = status.unwrap_or_else(|| panic!("{method} takes the token of who is gone"));
            let code = if is_for(role, &me) { code } else { Code::InvalidArgument };
            assert_eq!(status.code(), code, "{method}: {status}");
        }
    }
}
