//! The program: what it says before it starts, and how it ends.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jumpstarter-router"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["ROUTER_KEY", "GRPC_ROUTER_ENDPOINT", "EXTERNAL_CERT_PEM", "EXTERNAL_KEY_PEM"] {
        command.env_remove(variable);
    }
    command
}

fn refused(words: &[&str], key: Option<&str>) -> String {
    let output = program(words).envs(key.map(|key| ("ROUTER_KEY", key))).output().expect("it runs");
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn what_prevents_the_start_is_said_with_its_remedy() {
    assert_eq!(
        refused(&[], None),
        "error: there is no key: set ROUTER_KEY, or name a file with --key-file\n"
    );
    assert_eq!(refused(&[], Some("")), "error: the key of the router is empty\n");
    let missing = refused(&["--key-file", "/nowhere/key"], None);
    assert_eq!(missing, "error: /nowhere/key: No such file or directory (os error 2)\n");
    assert!(
        refused(&["--listen", "nonsense"], Some("k")).contains("'nonsense' for '--listen <ADDRESS:PORT>'")
    );
    assert!(refused(&["--certificate", "c.pem"], Some("k")).contains("--certificate-key"));
    assert!(refused(&["--log-level", "=,"], Some("k")).starts_with("error: --log-level: "));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let busy = refused(&["--listen", &address], Some("k"));
    assert!(busy.contains(&format!("error: cannot listen on {address}: ")), "{busy}");
}

#[test]
fn pitfall_t11_it_ends_at_a_signal_and_upstreams_flags_are_taken() {
    let words = ["-zap-log-level=info", "-zap-devel", "--listen", "127.0.0.1:0", "--log-json"];
    let mut child = program(&words).env("ROUTER_KEY", "a secret of two").spawn().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut ready = String::new();
    lines.read_line(&mut ready).expect("a line");
    assert!(ready.contains(r#""message":"the router is ready""#), "{ready}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("sent");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("the rest");
    assert!(child.wait().expect("an end").success(), "{rest}");
    assert!(rest.contains("SIGTERM"), "{rest}");
    assert!(!(ready + &rest).contains("a secret of two"));
}

#[tokio::test]
async fn somebody_who_watches_its_health_hears_that_it_ends_and_does_not_keep_it() {
    // Longer than anybody waits here.
    let words = ["--listen", "127.0.0.1:0", "--insecure", "--log-json", "--drain", "3600"];
    let mut child = program(&words).env("ROUTER_KEY", "k").spawn().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut ready = String::new();
    while !ready.contains("the router is ready") {
        ready.clear();
        assert_ne!(lines.read_line(&mut ready).expect("a line"), 0, "it has ended");
    }
    let (_, rest) = ready.split_once(r#""address":""#).expect("an address");
    let endpoint = format!("http://{}", rest.split('"').next().expect("an address"));
    let channel = tonic::transport::Endpoint::from_shared(endpoint).expect("an address").connect().await;
    let mut health = HealthClient::new(channel.expect("a connection"));
    let mut states =
        health.watch(HealthCheckRequest::default()).await.expect("it can be watched").into_inner();
    let state = states.message().await.expect("a state").expect("a state");
    assert_eq!(state.status(), ServingStatus::Serving);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("sent");
    let state = states.message().await.expect("a state").expect("a state");
    assert_eq!(state.status(), ServingStatus::NotServing);
    assert_eq!(states.message().await.expect("an orderly end"), None);
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let ended = tokio::time::timeout(std::time::Duration::from_mins(1), ended).await;
    let status = ended.expect("it ends").expect("no panic").expect("an end");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn somebody_without_a_token_is_in_the_log_by_his_address() {
    let words = ["--listen", "127.0.0.1:0", "--insecure", "--log-json", "--drain", "0"];
    let mut child = program(&words).env("ROUTER_KEY", "k").spawn().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    let mut next = |wanted: &str| {
        line.clear();
        while !line.contains(wanted) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).expect("a line"), 0, "it has ended");
        }
        line.clone()
    };
    let ready = next("the router is ready");
    let (_, rest) = ready.split_once(r#""address":""#).expect("an address");
    let endpoint = format!("http://{}", rest.split('"').next().expect("an address"));
    let channel = tonic::transport::Endpoint::from_shared(endpoint).expect("an address").connect().await;
    let (_send, source) = tokio::sync::mpsc::channel(1);
    let refused = crate::call_on(channel.expect("a connection"), Some("Bearer not-a-token"), source).await;
    assert_eq!(refused.expect_err("no token").code(), tonic::Code::Unauthenticated);
    let said = next("router authentication failed");
    assert!(said.contains(r#""peer":"127.0.0.1""#) && !said.contains("not-a-token"), "{said}");
    child.kill().expect("ended");
    child.wait().expect("an end");
}
