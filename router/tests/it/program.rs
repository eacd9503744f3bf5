//! The program: what it says before it starts, and how it ends.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
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
