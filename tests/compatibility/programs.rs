//! Our programs against exporters that give the recorded answers, typed as they were typed for the recording.
//!
//! What the recorded programs printed is beside the calls. Ours print the same names; where they say or answer something
//! else on purpose, it is in this file.

use std::process::{Output, Stdio};

use jumpstarter_client::{Connection, Device, Endpoint, Options, Security};
use jumpstarter_interfaces::PowerClient;
use jumpstarter_tests::{
    programs,
    recording::Recording,
    scripted::{Scripted, scripted},
};
use tokio::{io::AsyncWriteExt, process::Command};

/// Recordings of programs, and the test that lets ours stand in.
pub(crate) const PROGRAMS: [(&str, &str); 8] = [
    ("j_help", "our_j_lists_the_same_commands"),
    ("j_serial_pipe", "our_j_pipes_a_serial_port"),
    ("j_storage_help", "our_j_lists_what_storage_can_do"),
    ("j_usage_errors", "our_j_refuses_the_same_command_lines"),
    ("tcp_end_session", "our_client_ends_a_session"),
    ("tcp_hooks", "our_shell_waits_for_hooks_and_shows_their_lines"),
    ("tcp_passphrase", "our_shell_says_the_passphrase"),
    ("tcp_shell", "our_shell_runs_a_command"),
];

fn program(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(programs::jmp().with_file_name(name));
    command.args(words).env("NO_COLOR", "1").env_remove("JMP_DRIVERS_ALLOW").kill_on_drop(true);
    command.stdin(Stdio::null());
    command
}

/// The exporter of a recording, with our programs there already: it has no patience with a client that is compiled first.
fn exporter_of(recording: &str) -> Scripted {
    programs::jmp();
    scripted(recording)
}

/// Types these at a `j` of the recording, one after the other.
async fn type_at_j(recording: &str, lines: &[&str]) -> Vec<Output> {
    let outcome = exporter_of(recording).not_calling("get_methods").run(|socket| async move {
        let mut outputs = Vec::new();
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            outputs
                .push(program("j", &words).env("JUMPSTARTER_HOST", &socket).output().await.expect("j runs"));
        }
        outputs
    });
    outcome.await.unwrap_or_else(|unfaithful| panic!("{unfaithful}"))
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the recorded program printed at this command line.
fn recorded(recording: &str, line: &str) -> (String, String) {
    let recording = Recording::load(recording).expect("a recording");
    let view = recording.client_view.iter().find(|view| view["command"] == format!("j {line}"));
    let view = view.unwrap_or_else(|| panic!("nobody typed `j {line}`"));
    let errors = view["stderr"].as_array().expect("lines");
    let errors = errors.iter().map(|line| line.as_str().expect("a line")).collect::<Vec<_>>().join("\n");
    (view["stdout"].as_str().expect("text").to_owned(), errors)
}

/// The names below `Commands:`.
fn commands(help: &str) -> Vec<&str> {
    let (_, list) = help.split_once("Commands:\n").unwrap_or_else(|| panic!("no commands: {help}"));
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A line that goes on is indented further.
    lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_j_lists_the_same_commands() {
    let lines = ["--help", "power --help", "shell --help"];
    for (line, output) in lines.into_iter().zip(type_at_j("j_help", &lines).await) {
        assert!(output.status.success(), "{line}: {output:?}");
        let (ours, theirs) = (said(&output.stdout), recorded("j_help", line).0);
        for command in commands(&theirs) {
            assert!(commands(&ours).contains(&command), "{line}: {command} is not in {ours}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_j_lists_what_storage_can_do() {
    let lines = ["storage --help", "storage nosuch", "mux_flasher --help"];
    let outputs = type_at_j("j_storage_help", &lines).await;
    // Theirs lists nothing there; ours has the commands, so `stat` would be called.
    let ours = said(&outputs[0].stdout);
    assert!(outputs[0].status.success() && commands(&ours).contains(&"stat"), "{ours}");
    assert_eq!(outputs[1].status.code(), Some(2), "{:?}", outputs[1]);
    let refused = recorded("j_storage_help", "storage stat x").1.replace("'stat'", "'nosuch'");
    let sentence = refused.lines().last().expect("a sentence").trim_end_matches('.');
    assert!(said(&outputs[1].stderr).contains(sentence), "{:?}", outputs[1]);
    let (ours, theirs) = (said(&outputs[2].stdout), recorded("j_storage_help", "mux_flasher --help").0);
    for command in commands(&theirs) {
        assert!(commands(&ours).contains(&command), "{command} is not in {ours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_j_refuses_the_same_command_lines() {
    let lines = ["nosuch", "power nosuch", "power cycle --wait x", "tcp_refused address"];
    let outputs = type_at_j("j_usage_errors", &lines).await;
    for (index, (line, output)) in lines.into_iter().zip(outputs).enumerate() {
        // A command line that makes no sense has a code of its own here.
        assert_eq!(output.status.code(), Some(if index < 3 { 2 } else { 1 }), "{line}: {output:?}");
        let (ours, theirs) = (said(&output.stderr), recorded("j_usage_errors", line).1);
        let sentence = match line {
            "power cycle --wait x" => "Invalid value for '--wait' / '-w': 'x'",
            "tcp_refused address" => "enable_address mode is not true in the exporter configuration",
            _ => theirs.lines().last().expect("a sentence").trim_end_matches('.'),
        };
        assert!(theirs.contains(sentence) && ours.contains(sentence), "{line}: {ours}");
    }
    // And where nobody listens.
    let absent = program("j", &["power", "on"]).env("JUMPSTARTER_HOST", "/no/such/socket").output().await;
    let absent = absent.expect("j runs");
    assert_eq!(absent.status.code(), Some(1), "{absent:?}");
    assert!(said(&absent.stderr).contains("/no/such/socket"), "{absent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_j_pipes_a_serial_port() {
    let outcome = exporter_of("j_serial_pipe").not_calling("get_methods").run(|socket| async move {
        let mut command = program("j", &["serial", "pipe"]);
        command.env("JUMPSTARTER_HOST", &socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("j runs");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(b"abc\n").await.expect("it reads");
        drop(input);
        child.wait_with_output().await.expect("j ends")
    });
    let output = outcome.await.unwrap_or_else(|unfaithful| panic!("{unfaithful}"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output.stdout), recorded("j_serial_pipe", "serial pipe").0);
}

/// Types `jmp shell OPTIONS -- j WORDS` for each, at an exporter that gives the recorded answers.
async fn type_at_shell(recording: &str, lines: &[(&[&str], &[&str])]) -> Vec<Output> {
    let outcome = exporter_of(recording).not_calling("get_methods").not_calling("GetStatus");
    let outcome = outcome.run_at_address(|address| async move {
        let address = address.to_string();
        let mut outputs = Vec::new();
        for (options, words) in lines {
            let before = ["shell", "--tls-grpc", &address, "--tls-grpc-insecure"];
            let words = [&before, *options, &["--", "j"], *words].concat();
            outputs.push(program("jmp", &words).output().await.expect("jmp runs"));
        }
        outputs
    });
    outcome.await.unwrap_or_else(|unfaithful| panic!("{unfaithful}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_shell_runs_a_command() {
    let outputs = type_at_shell("tcp_shell", &[(&[], &["power", "on"])]).await;
    assert!(outputs[0].status.success(), "{outputs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_shell_waits_for_hooks_and_shows_their_lines() {
    let outputs = type_at_shell("tcp_hooks", &[(&["--exporter-logs"], &["power", "read"])]).await;
    assert!(outputs[0].status.success(), "{outputs:?}");
    let (out, errors) = (said(&outputs[0].stdout), said(&outputs[0].stderr));
    for line in ["[exporter:beforeLease] before lease", "[exporter:driver] power on"] {
        assert!(errors.contains(line), "{line}: {errors}");
    }
    let readings = "voltage=0.0 V  current=0.0 A  apparent_power=0.0 VA\nvoltage=5.0 V  current=2.0 A  apparent_power=10.0 VA\n";
    assert_eq!(out, readings);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_shell_says_the_passphrase() {
    let words: &[&str] = &["power", "on"];
    let right: &[&str] = &["--passphrase", "open sesame"];
    let wrong: &[&str] = &["--passphrase", "wrong"];
    let outputs = type_at_shell("tcp_passphrase", &[(right, words), (wrong, words), (&[], words)]).await;
    assert!(outputs[0].status.success(), "{outputs:?}");
    for output in &outputs[1..] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output.stderr).contains("invalid or missing passphrase"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_ends_a_session() {
    let outcome = scripted("tcp_end_session").run_at_address(|address| async move {
        let endpoint = Endpoint::parse(&address.to_string()).expect("an address");
        let mut options = Options::default();
        options.connect.security = Security::ClearText;
        let device = Device::connect(&endpoint, &options).await.expect("an exporter");
        let connection: &Connection = device.connection();
        let power: PowerClient = device.client("power").expect("a supply");
        connection.status().await.expect("a status");
        power.on().await.expect("on");
        assert!(connection.end_session().await.expect("an answer").begun);
        connection.status().await.expect("a status");
        power.on().await.expect("on again");
    });
    outcome.await.unwrap_or_else(|unfaithful| panic!("{unfaithful}"));
}
