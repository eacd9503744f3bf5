//! `jmp run`, and shells that connect to it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Kept, Place, code, example, run, stderr, stdout, told};

/// An exporter that listens on a free port.
struct Listener {
    child: Kept,
    log: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Listener {
    fn start(place: &Place, file: &str, words: &[&str]) -> Self {
        Self::started(
            place
                .jmp(&[
                    "--log-format",
                    "text",
                    "run",
                    "--exporter-config",
                    file,
                    "--tls-grpc-listener",
                    "127.0.0.1:0",
                ])
                .args(words),
        )
    }

    fn started(command: &mut Command) -> Self {
        let mut child = Kept::spawn(command.stderr(Stdio::piped()).stdout(Stdio::null()));
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the exporter ended before it listened");
            if let Some((_, address)) = line.split_once("Session server started on ") {
                break address.trim().to_owned();
            }
        };
        Self { child, log, address }
    }

    /// Ends it; answers its exit code and the rest of its log.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn a_shell_uses_a_listener_and_its_commands_find_it() {
    let place = Place::new();
    let listener = Listener::start(&place, &example("power.yaml"), &["--tls-grpc-insecure"]);
    let shell = |words: &[&str]| {
        let mut command = place.jmp(&["shell", "--tls-grpc", &listener.address, "--tls-grpc-insecure", "--"]);
        run(command.args(words))
    };
    let output = shell(&["j", "power", "read"]);
    assert!(
        stdout(&output).ends_with("voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA\n"),
        "{}",
        told(&output)
    );
    let environment = stdout(&shell(&["env"]));
    let value = |name: &str| environment.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(value("JUMPSTARTER_HOST"), Some(listener.address.as_str()));
    assert_eq!(value("JMP_EXPORTER"), Some("direct"));
    assert_eq!(value("JMP_GRPC_INSECURE"), Some("1"));
    assert_eq!((value("JMP_LEASE"), value("JMP_GRPC_PASSPHRASE")), (None, None));
    assert_eq!(code(&shell(&["sh", "-c", "exit 9"])), 9);
    let (code, _) = listener.end(Signal::TERM);
    assert_eq!(code, Some(143));
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_passphrase_is_needed_where_one_is_set() {
    let place = Place::new();
    let words = ["--tls-grpc-insecure", "--passphrase", "open sesame"];
    let listener = Listener::start(&place, &example("power.yaml"), &words);
    let shell = |words: &[&str]| {
        let mut command = place.jmp(&["shell", "--tls-grpc", &listener.address, "--tls-grpc-insecure"]);
        run(command.args(words).args(["--", "j", "power", "on"]))
    };
    assert_eq!(told(&shell(&["--passphrase", "open sesame"])), "exit code: 0\n");
    let refused =
        "exit code: 1\n----- stderr -----\nError: Authentication failed: invalid or missing passphrase\n";
    assert_eq!(told(&shell(&["--passphrase", "wrong"])), refused);
    assert_eq!(told(&shell(&[])), refused);
    assert_eq!(listener.end(Signal::INT).0, Some(130));
}

#[test]
fn hooks_run_around_the_life_of_the_listener() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    let hooks = "hooks:\n  beforeLease: {script: 'echo before; j power on && echo on'}\n  afterLease: {script: 'echo after; j power off && echo off'}\n";
    let file = place.file("hooks.yaml", &format!("{text}{hooks}"));
    let listener =
        Listener::start(&place, file.to_str().unwrap(), &["--tls-grpc-insecure", "--passphrase", "p"]);
    let mut command =
        place.jmp(&["shell", "--tls-grpc", &listener.address, "--tls-grpc-insecure", "--passphrase", "p"]);
    let output = run(command.args(["--", "j", "power", "read"]));
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(!stdout(&output).contains("before"), "{}", told(&output));
    let (code, log) = listener.end(Signal::TERM);
    assert_eq!(code, Some(143));
    for line in ["before", "on", "after", "off"] {
        assert!(log.lines().any(|logged| logged.ends_with(line)), "{line}: {log}");
    }
}

#[test]
fn a_failing_hook_with_exit_ends_the_exporter_with_code_1() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    let file = place
        .file("exit.yaml", &format!("{text}hooks:\n  beforeLease: {{script: 'exit 3', onFailure: exit}}\n"));
    let mut command = place.jmp(&["run", "--exporter-config", file.to_str().unwrap()]);
    let output = run(command.args(["--tls-grpc-listener", "127.0.0.1:0", "--tls-grpc-insecure"]));
    assert_eq!(code(&output), 1, "{}", told(&output));
    let json = stderr(&output);
    let messages: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        messages.iter().any(|line| line["msg"].as_str().is_some_and(|text| text.contains("exit code 3"))),
        "{json}"
    );
}

#[test]
fn pitfall_t9_insecure_means_unverified_for_a_shell_and_clear_text_for_its_option() {
    let place = Place::new();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = place.file("cert.pem", &key.cert.pem());
    let private = place.file("key.pem", &key.signing_key.serialize_pem());
    let words = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", private.to_str().unwrap()];
    let listener = Listener::start(&place, &example("power.yaml"), &words);
    let address = listener.address.replace("127.0.0.1", "localhost");
    let shell = |words: &[&str]| {
        let mut command = place.jmp(&["shell", "--tls-grpc", &address]);
        command.args(words).args(["--", "true"]);
        command
    };
    let output = run(&mut shell(&[]));
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert!(stderr(&output).contains("certificate"), "{}", told(&output));
    let output = run(shell(&[]).env("JUMPSTARTER_GRPC_INSECURE", "1"));
    assert_eq!(code(&output), 0, "{}", told(&output));
    // What it starts gets there as well, although the same variable means clear text to it.
    let mut command = place.jmp(&["shell", "--tls-grpc", &address, "--", "j", "power", "read"]);
    let output = run(command.env("JMP_GRPC_INSECURE", "1"));
    assert!(stdout(&output).starts_with("voltage=0.0 V"), "{}", told(&output));
    let output = run(&mut shell(&["--tls-grpc-insecure"]));
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert_eq!(listener.end(Signal::TERM).0, Some(143));
}

#[test]
fn an_exporter_that_is_not_there_is_named() {
    let place = Place::new();
    let output =
        run(&mut place.jmp(&["shell", "--tls-grpc", "127.0.0.1:1", "--tls-grpc-insecure", "--", "true"]));
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).starts_with("Error: ") && stderr(&output).contains("127.0.0.1:1"),
        "{}",
        told(&output)
    );
    let output = run(&mut place.jmp(&[
        "run",
        "--exporter-config",
        &example("power.yaml"),
        "--tls-grpc-listener",
        "no port",
        "--tls-grpc-insecure",
    ]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("[HOST:]PORT"), "{}", told(&output));
}

/// What a process that is not ours does is told by no event.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait for but time")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(10));
}

#[test]
fn pitfall_p5_a_hook_does_not_outlive_an_exporter_that_is_killed() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    // The second one is a child of the hook, in the background.
    let script = "sleep 600 & echo $$ $! > pids.part; mv pids.part pids; sleep 600";
    let file = place
        .file("slow.yaml", &format!("{text}hooks:\n  beforeLease: {{script: '{script}', timeout: 900}}\n"));
    let listener = Listener::start(&place, file.to_str().unwrap(), &["--tls-grpc-insecure"]);
    let begun = std::time::Instant::now();
    let pids = loop {
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "the hook does not begin");
        if let Ok(text) = std::fs::read_to_string(place.path().join("pids")) {
            break text;
        }
        pause();
    };
    kill_process(Pid::from_child(&listener.child), Signal::KILL).unwrap();
    drop(listener);
    for pid in pids.split_whitespace() {
        // One that has ended and that nobody has asked for yet is over as well.
        let over =
            || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        let process = Pid::from_raw(pid.parse().unwrap()).unwrap();
        let begun = std::time::Instant::now();
        while rustix::process::test_kill_process(process).is_ok() && !over() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it goes on: {pid:?}");
            pause();
        }
    }
}
