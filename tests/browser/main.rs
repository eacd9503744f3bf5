//! Pages of a lab in a real browser.
//!
//! | Module | Contents |
//! |---|---|
//! | `chromium` | the browser, driven by its own protocol |

#![forbid(unsafe_code)]

mod chromium;

use std::{path::Path, time::Duration};

use chromium::Browser;
use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_protocol::{
    admin::v1::{CreateRequest, Credential, IssueRequest, Key, admin_service_client::AdminServiceClient},
    client::v1::{CreateLeaseRequest, Lease, client_service_client::ClientServiceClient},
    v1::{
        DriverInstanceReport, ExporterStatus, RegisterRequest, ReportStatusRequest,
        controller_service_client::ControllerServiceClient,
    },
};
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options, Security};
use serde_json::json;
use tonic::{Request, metadata::MetadataValue};

/// What an exporter says of itself, which a page must show and not obey.
const MESSAGE: &str = "<b id=evil>flashing</b>";

async fn start(folder: &Path) -> (Serving, AdminServiceClient<Channel>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        endpoint: None,
        protection: Protection::Own { names: Vec::new() },
        config: LabConfig::default(),
        controller_key: None,
    };
    let serving = Serving::start(Data::open(folder).expect("a folder"), &settings).await.expect("it starts");
    let socket = Endpoint::Unix(Data::admin_socket(folder));
    let channel = connect::connect(&socket, &Options::default()).await.expect("a connection");
    (serving, AdminServiceClient::new(channel))
}

async fn create(admin: &mut AdminServiceClient<Channel>, kind: &str, name: &str) -> Credential {
    let object = json!({ "kind": kind, "metadata": { "name": name, "labels": { "board": "demo" } } });
    admin.create(CreateRequest { json: object.to_string() }).await.expect("made");
    let key = Some(Key { kind: kind.to_owned(), name: name.to_owned() });
    admin.issue(IssueRequest { key, rotate: false }).await.expect("a token").into_inner()
}

fn asks<T>(credential: &Credential, kind: &'static str, name: &'static str, what: T) -> Request<T> {
    let mut request = Request::new(what);
    let metadata = request.metadata_mut();
    let bearer = MetadataValue::try_from(format!("Bearer {}", credential.token)).expect("printable");
    metadata.insert("authorization", bearer);
    metadata.insert("jumpstarter-kind", MetadataValue::from_static(kind));
    metadata.insert("jumpstarter-namespace", MetadataValue::from_static("default"));
    metadata.insert("jumpstarter-name", MetadataValue::from_static(name));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_lab_shows_a_client_what_is_going_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = Browser::start(folder.path()).await else { return };
    let (serving, mut admin) = start(&folder.path().join("lab")).await;
    let rig = create(&mut admin, "Exporter", "rig").await;
    let me = create(&mut admin, "Client", "alice").await;
    let security = Security::VerifiedBy(serving.authority.clone().into());
    let endpoint = Endpoint::parse(&serving.endpoint).expect("an endpoint");
    let channel =
        connect::connect(&endpoint, &Options { security, ..Options::default() }).await.expect("a lab");
    let mut exporter = ControllerServiceClient::new(channel.clone());
    let reports = vec![DriverInstanceReport { uuid: "one".to_owned(), ..DriverInstanceReport::default() }];
    let register = RegisterRequest { reports, ..RegisterRequest::default() };
    exporter.register(asks(&rig, "Exporter", "rig", register)).await.expect("registered");
    let report = ReportStatusRequest {
        status: ExporterStatus::Available.into(),
        message: Some(MESSAGE.to_owned()),
        ..ReportStatusRequest::default()
    };
    exporter.report_status(asks(&rig, "Exporter", "rig", report)).await.expect("reported");
    let lease = |id: &str| CreateLeaseRequest {
        parent: "namespaces/default".to_owned(),
        lease_id: id.to_owned(),
        lease: Some(Lease {
            selector: "board=demo".to_owned(),
            duration: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            ..Lease::default()
        }),
    };
    let mut client = ClientServiceClient::new(channel);
    for id in ["first", "second"] {
        client.create_lease(asks(&me, "Client", "alice", lease(id))).await.expect("a lease");
    }

    let page = format!("https://{}/", serving.endpoint);
    browser.open(&page).await;
    assert_eq!(browser.value("document.title").await, "Jumpstarter lab");
    let login = browser.value("document.getElementById('login').textContent").await;
    assert_eq!(login, format!("jmp login CLIENT@{}", page.trim_end_matches('/')));
    assert_eq!(
        browser.value("getComputedStyle(document.querySelector('table')).borderCollapse").await,
        "collapse"
    );

    // A token that is none is answered with words, and with nothing of the lab.
    browser.enter("x.y.z").await;
    browser.until("document.getElementById('problem').textContent !== ''").await;
    assert_eq!(browser.value("document.getElementById('lab').hidden").await, true);

    browser.enter(&me.token).await;
    browser.until("!document.getElementById('lab').hidden").await;
    let exporters = browser.value("document.getElementById('exporters').innerText").await;
    let exporters = exporters.as_str().expect("text");
    for part in ["rig", "alice: first", "board=demo", MESSAGE] {
        assert!(exporters.contains(part), "no {part} in {exporters}");
    }
    let leases = browser.value("document.getElementById('leases').innerText").await;
    let leases = leases.as_str().expect("text");
    for part in ["first", "second", "Ready", "place 1 of 1"] {
        assert!(leases.contains(part), "no {part} in {leases}");
    }
    assert_eq!(
        browser.value("document.getElementById('evil') === null").await,
        true,
        "the message is obeyed"
    );
    assert_eq!(browser.value("document.getElementById('problem').textContent").await, "");
    // What was entered is nowhere but in the page itself.
    let kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])";
    assert_eq!(browser.value(kept).await, r#"[{},{},""]"#);

    // What happens is seen without anybody asking.
    let release = jumpstarter_protocol::client::v1::DeleteLeaseRequest {
        name: "namespaces/default/leases/second".to_owned(),
    };
    client.delete_lease(asks(&me, "Client", "alice", release)).await.expect("released");
    browser.until("!document.getElementById('leases').innerText.includes('second')").await;
    browser.value("document.getElementById('leave').click()").await;
    assert_eq!(browser.value("document.getElementById('token').value").await, "");
    // A refused token is an answer of the lab; everything else in the console would be a mistake of the page.
    let said: Vec<_> = browser.said().iter().filter(|line| !line.contains("401")).collect();
    assert!(said.is_empty(), "{said:?}");
    browser.stop().await;
    serving.stop(Duration::from_secs(1)).await;
}
