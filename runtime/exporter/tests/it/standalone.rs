//! Standalone exporters: listening, hooks, the end of a session, the end of the process.

use std::time::Duration;

use jumpstarter::Result;
use jumpstarter_client::{Device, ExporterStatus, Options as ClientOptions};
use jumpstarter_exporter::{
    check,
    standalone::{End, LEASE, Options, Standalone, listen},
};
use jumpstarter_transport::connect::{Credentials, Endpoint, Security};

use crate::drivers::registry;

async fn start(text: &str, options: Options) -> Standalone {
    let plan = match check("rig.yaml", text, &registry(), |_| None) {
        Ok(plan) => plan,
        Err(problems) => panic!("{}", problems.render()),
    };
    Standalone::start(plan, listen("127.0.0.1:0").await.expect("a port"), options).await.expect("an exporter")
}

const PROBE: &str = "export:\n  a: {type: probe, config: {name: a}}\n";

fn options(passphrase: Option<&str>) -> ClientOptions {
    let mut options = ClientOptions::default();
    options.connect.security = Security::ClearText;
    if let Some(passphrase) = passphrase {
        options.connect.credentials = Credentials::passphrase(passphrase).expect("a passphrase");
    }
    options
}

async fn connect(exporter: &str, passphrase: Option<&str>) -> Result<Device> {
    Device::connect(&Endpoint::parse(exporter)?, &options(passphrase)).await
}

async fn until(device: &Device, wanted: ExporterStatus) -> String {
    let waiting = async {
        loop {
            let status = device.connection().status().await.expect("a status");
            if status.status == wanted {
                return status.message;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("never {wanted:?}"))
}

#[tokio::test]
async fn without_hooks_it_is_ready_at_once_and_stays_ready_after_a_session() {
    let exporter = start(PROBE, Options::default()).await;
    let address = exporter.address().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(exporter.run(async { drop(stopped.await) }));
    let device = connect(&address, None).await.unwrap();
    assert_eq!(until(&device, ExporterStatus::LeaseReady).await, "Ready for commands");
    let end = device.connection().end_session().await.unwrap();
    assert!(end.begun, "{end:?}");
    assert_eq!(end.message, "Session end triggered, afterLease hook running asynchronously");
    until(&device, ExporterStatus::Available).await;
    until(&device, ExporterStatus::LeaseReady).await;
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), End::Asked);
    assert!(connect(&address, None).await.is_err());
}

#[tokio::test]
async fn hooks_run_once_each_and_their_lines_reach_clients() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("story");
    let text = format!(
        "{PROBE}hooks:\n  beforeLease: {{script: 'echo before $LEASE_NAME >> {0}'}}\n  afterLease: {{script: 'echo after >> {0}'}}\n",
        file.display()
    );
    let exporter = start(&text, Options::default()).await;
    let address = exporter.address().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(exporter.run(async { drop(stopped.await) }));
    let device = connect(&address, None).await.unwrap();
    until(&device, ExporterStatus::LeaseReady).await;
    // The hook after the lease is kept for the end of the process.
    assert!(device.connection().end_session().await.unwrap().begun);
    until(&device, ExporterStatus::Available).await;
    until(&device, ExporterStatus::LeaseReady).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("before {LEASE}\n"));
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), End::Asked);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("before {LEASE}\nafter\n"));
}

#[tokio::test]
async fn a_failing_hook_with_exit_ends_the_exporter_and_suppresses_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("story");
    let text = format!(
        "{PROBE}hooks:\n  beforeLease: {{script: 'exit 7', onFailure: exit}}\n  afterLease: {{script: 'echo after >> {}'}}\n",
        file.display()
    );
    let exporter = start(&text, Options::default()).await;
    assert_eq!(exporter.run(std::future::pending()).await.unwrap(), End::Hook);
    assert!(!file.exists());
}

#[tokio::test]
async fn a_failing_hook_with_end_lease_leaves_the_exporter_failed() {
    let text = format!("{PROBE}hooks:\n  beforeLease: {{script: 'exit 7', onFailure: endLease}}\n");
    let exporter = start(&text, Options::default()).await;
    let address = exporter.address().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(exporter.run(async { drop(stopped.await) }));
    let device = connect(&address, None).await.unwrap();
    let message = until(&device, ExporterStatus::BeforeLeaseHookFailed).await;
    assert_eq!(message, "beforeLease hook failed (on_failure=endLease): Hook failed with exit code 7");
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), End::Asked);
}

#[tokio::test]
async fn pitfall_h9_a_warning_stays_visible_in_the_status() {
    let text = format!("{PROBE}hooks:\n  beforeLease: {{script: 'exit 7'}}\n");
    let exporter = start(&text, Options::default()).await;
    let address = exporter.address().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(exporter.run(async { drop(stopped.await) }));
    let device = connect(&address, None).await.unwrap();
    let message = until(&device, ExporterStatus::LeaseReady).await;
    assert_eq!(message, "[HOOK_WARNING] beforeLease hook warning: Hook failed with exit code 7");
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_passphrase_is_asked_of_clients_and_not_of_hooks() {
    let exporter =
        start(PROBE, Options { passphrase: Some("open sesame".into()), ..Options::default() }).await;
    let address = exporter.address().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(exporter.run(async { drop(stopped.await) }));
    assert!(connect(&address, Some("open sesame")).await.is_ok());
    for wrong in [None, Some("open")] {
        let error = connect(&address, wrong).await.expect_err("refused");
        assert!(error.message().contains("invalid or missing passphrase"), "{error}");
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_place_to_listen_is_a_host_and_a_port() {
    for wrong in ["", "host:", "localhost:http", "99999"] {
        let error = listen(wrong).await.expect_err(wrong);
        assert!(error.message().contains("[HOST:]PORT"), "{error}");
    }
}
