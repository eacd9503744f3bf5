//! The shell driver beside the unmodified Python one.

use std::process::Stdio;

use jumpstarter::Result;
use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_interfaces::{ShellClient, ShellResult};
use jumpstarter_tests::client::Client;
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::methods::{Methods, Pair};
use jumpstarter_tests::python::{FOREIGN, python};
use jumpstarter_tests::{ours, programs};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::steady::{Held, alone};

const CONFIG: &str = r#"
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata: {namespace: default, name: shell}
export:
  shell:
    type: jumpstarter_driver_shell.driver.Shell
    config:
      methods:
        hello: 'echo hello $1; echo oops >&2; exit 3'
        words: 'printf "<%s>" "$0" "$@"; echo "[$NAME]"'
        slow: {command: 'sleep 1000', timeout: 1, description: Takes its time}
        early: 'echo $$; exec sleep 1000'
        both: 'echo $$; sleep 1000 & wait'
        instant: 'true'
"#;

pub(crate) async fn connect(host: &str) -> Device {
    let endpoint = Endpoint::parse(host).expect("a socket");
    Device::connect(&endpoint, &Options::default()).await.expect("an exporter")
}

fn result(stdout: &str, stderr: &str, returncode: i32) -> ShellResult {
    ShellResult { stdout: stdout.to_owned(), stderr: stderr.to_owned(), returncode }
}

const SLOW: &str = "\nTimeout expired while running slow: Command '['bash', '-c', 'sleep 1000', 'slow']' timed out after 1 seconds\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_method_works_both_ways() {
    let Some(python) = python() else { return };
    let mut methods = Methods::new("shell");
    let exporter = ours::start_text(CONFIG).await;
    let client = Client::new(&python, &exporter.address.to_string());
    let code = "assert node('shell').call('get_methods') == ['hello', 'words', 'slow', 'early', 'both', 'instant']\n\
                assert node('shell').methods_description == {'slow': 'Takes its time'}";
    let names = client.python(code).await.expect("a client").success();
    methods.works(Pair::PythonOnOurs, "shell", "get_methods", Ok::<_, String>(names));
    let code = r#"
shell = node('shell')
assert shell.hello('world') == 3.0
assert shell.words("a b", "$(id)", "'", NAME="it's") == 0.0
pieces = list(shell.streamingcall('call_method', 'hello', {}, 'x'))
assert ''.join(p[0] for p in pieces) == 'hello x\n' and ''.join(p[1] for p in pieces) == 'oops\n', pieces
assert [p[2] for p in pieces if p[2] is not None] == [3.0] and pieces[-1][2] == 3.0, pieces
assert shell.slow() == 199.0
for call in (lambda: shell.hello(PATH='x'), lambda: list(shell.streamingcall('call_method', 'nosuch', {}))):
    try:
        call()
    except ValueError:
        continue
    raise AssertionError('accepted')
"#;
    let called = client.python(code).await.expect("a client");
    // Arguments are words, whatever a shell would make of them.
    let printed = called.stdout.contains("<words><a b><$(id)><'>[it's]");
    let outcome = if called.code == Some(0) && printed { Ok(()) } else { Err(format!("{called:?}")) };
    methods.works(Pair::PythonOnOurs, "shell", "call_method", outcome);
    let typed = client.j(&["shell", "words", "-e", "NAME=x", "a b"]).await.expect("j runs");
    let right = typed.code == Some(0) && typed.stdout == "<words><a b>[x]\n";
    methods.works(
        Pair::PythonOnOurs,
        "shell",
        "j METHOD",
        if right { Ok(()) } else { Err(format!("{typed:?}")) },
    );
    exporter.stop().await;

    let exporter = Exporter::local(&Program::Upstream(python.clone()), CONFIG).await.expect("an exporter");
    let device = connect(&exporter.host()).await;
    let shell: ShellClient = device.client("shell").expect("a shell");
    let names = shell.get_methods().await;
    assert_eq!(
        names.as_deref().ok(),
        Some(&["hello", "words", "slow", "early", "both", "instant"].map(str::to_owned)[..])
    );
    methods.works(Pair::OursOnPython, "shell", "get_methods", names);
    let all: Result<Vec<_>> = async {
        Ok(vec![
            shell.run("hello", [], ["world"]).await?,
            shell.run("words", [("NAME", "it's")], ["a b", "$(id)"]).await?,
            shell.run("slow", [], []).await?,
        ])
    }
    .await;
    let wanted = [
        result("hello world\n", "oops\n", 3),
        result("<words><a b><$(id)>[it's]\n", "", 0),
        result("", SLOW, 199),
    ];
    assert_eq!(all.as_deref().ok(), Some(&wanted[..]), "{all:?}");
    methods.works(Pair::OursOnPython, "shell", "call_method", all);
    let typed = seen(&exporter.host(), &["shell", "words", "-e", "NAME=x", "a b"]).await;
    let right = typed.ends_with("\n<words><a b>[x]\n[0]\n");
    methods.works(Pair::OursOnPython, "shell", "j METHOD", if right { Ok(()) } else { Err(typed) });
    exporter.stop().await.expect("an orderly end");
    methods.covers(&python, &[("jumpstarter_driver_shell.driver.Shell", "shell")]);
    methods.finish();
}

/// `j` of ours.
pub(crate) fn j(host: &str, words: &[&str]) -> Command {
    let mut command = Command::new(programs::jmp().with_file_name("j"));
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command.args(words).env("JUMPSTARTER_HOST", host).env("NO_COLOR", "1").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What somebody sees who types this.
pub(crate) async fn seen(host: &str, words: &[&str]) -> String {
    let output = j(host, words).output().await.expect("j runs");
    shown(words, &output)
}

pub(crate) fn shown(words: &[&str], output: &std::process::Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
    let lines = out.lines().map(str::to_owned).chain(err.lines().map(|line| format!("2> {line}")));
    let lines: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
    format!("$ j {}\n{lines}[{code}]\n", words.join(" "))
}

const TYPED: [&[&str]; 10] = [
    &["shell", "hello", "world", "-x"],
    &["shell", "hello", "--env", "A=b"],
    &["shell", "words", "-e", "NAME=a b", "--verbose", "-h"],
    &["shell", "words", "--", "-e", "A=b"],
    &["shell", "slow"],
    &["shell", "hello", "-e", "A"],
    &["shell", "hello", "-e", "PATH=/tmp"],
    &["shell", "nosuch"],
    &["shell", "--help"],
    &["shell", "slow", "--help"],
];

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_commands_and_their_codes_are_those_of_j() {
    let exporter = ours::start_text(CONFIG).await;
    let mut text = String::new();
    for words in TYPED {
        text.push_str(&seen(&exporter.address.to_string(), words).await);
    }
    insta::assert_snapshot!("j_shell", text);
    exporter.stop().await;
    let Some(python) = python() else { return };
    // The same with the Python exporter, whose codes are floats and whose texts about mistakes are its own.
    let upstream = Exporter::local(&Program::Upstream(python), CONFIG).await.expect("an exporter");
    for words in TYPED.iter().filter(|words| !words.contains(&"PATH=/tmp")) {
        let theirs = seen(&upstream.host(), words).await;
        assert!(text.contains(&theirs), "{theirs}");
    }
    upstream.stop().await.expect("an orderly end");
}

/// The first line that a program prints.
async fn first_line(child: &mut Child) -> String {
    let output = child.stdout.take().expect("its output");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await.expect("a line");
    line.trim().to_owned()
}

pub(crate) fn signal(process: &str, name: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), process]).status();
    assert!(status.expect("kill runs").success(), "{name} for {process}");
}

/// Stops it, and waits until every thread of it stands: the signal alone leaves some of them a moment.
pub(crate) async fn stop(process: &str) {
    signal(process, "STOP");
    let tasks = format!("/proc/{process}/task");
    let stands = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat")));
        // The name in front is in parentheses, and may hold some.
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T')))
    };
    let stand = || std::fs::read_dir(&tasks).is_ok_and(|mut tasks| tasks.all(stands));
    crate::until("the process stands", stand).await;
}

pub(crate) async fn gone(process: &str) {
    let line = format!("/proc/{process}/cmdline");
    let gone = || std::fs::read(&line).map_or(true, |line| line.is_empty());
    crate::until("the process ends", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_interrupts_a_method_is_told() {
    let exporter = ours::start_text(CONFIG).await;
    let host = exporter.address.to_string();
    let mut text = String::new();
    // The command is killed.
    let words = ["shell", "early"];
    let mut child = j(&host, &words).spawn().expect("j runs");
    let process = first_line(&mut child).await;
    signal(&process, "KILL");
    text.push_str(&shown(&words, &child.wait_with_output().await.expect("an end")));
    // Somebody presses Ctrl-C: the whole group ends.
    let words = ["shell", "both"];
    let mut child = j(&host, &words).spawn().expect("j runs");
    let process = first_line(&mut child).await;
    signal(&child.id().expect("a process").to_string(), "INT");
    text.push_str(&shown(&words, &child.wait_with_output().await.expect("an end")));
    gone(&process).await;
    // The exporter ends in the middle.
    let words = ["shell", "early"];
    let mut child = j(&host, &words).spawn().expect("j runs");
    let process = first_line(&mut child).await;
    exporter.stop().await;
    text.push_str(&shown(&words, &child.wait_with_output().await.expect("an end")));
    gone(&process).await;
    // It is killed.
    let exporter = Exporter::local(&Program::Ours(programs::jmp()), CONFIG).await.expect("an exporter");
    let mut child = j(&exporter.host(), &words).spawn().expect("j runs");
    let process = first_line(&mut child).await;
    exporter.kill().await.expect("killed");
    let seen = shown(&words, &child.wait_with_output().await.expect("an end"));
    text.push_str(&crate::settled(&seen));
    gone(&process).await;
    insta::assert_snapshot!("j_shell_faults", text);
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_p6_a_stopped_command_ends_when_its_time_is_over() -> Result<()> {
    let config = CONFIG.replace(
        "early: 'echo $$; exec sleep 1000'",
        "early: {command: 'echo $$; exec sleep 1000', timeout: 1}",
    );
    let exporter = ours::start_text(&config).await;
    let shell: ShellClient = exporter.bench().client("shell")?;
    let mut pieces = shell.call_method("early".to_owned(), None, Vec::new()).await?;
    let process = pieces.next().await.expect("a piece")?.stdout.trim().to_owned();
    stop(&process).await;
    let rest = pieces.collect().await?;
    assert_eq!(rest.last().and_then(|piece| piece.returncode), Some(199));
    gone(&process).await;
    exporter.stop().await;
    Ok(())
}

/// Each is a process.
const ROUNDS: usize = 10_000;

/// How many run at the same time.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_leave_nothing_behind() -> Result<()> {
    if !alone("shell::ten_thousand_calls_leave_nothing_behind") {
        return Ok(());
    }
    let exporter = ours::start_text(CONFIG).await;
    let shell: ShellClient = exporter.bench().client("shell")?;
    for _ in 0..200 {
        shell.run("instant", [], []).await?;
    }
    let before = Held::now().with_log();
    let workers = (0..AT_ONCE).map(async |worker| -> Result<()> {
        for round in (worker..ROUNDS).step_by(AT_ONCE) {
            if round % 10 == 0 {
                // One that nobody waits for.
                let mut pieces = shell.call_method("early".to_owned(), None, Vec::new()).await?;
                pieces.next().await.expect("a piece")?;
            } else {
                assert_eq!(shell.run("instant", [], []).await?.returncode, 0);
            }
        }
        Ok(())
    });
    futures::future::try_join_all(workers).await?;
    Held::is_what_it_was(before).await;
    exporter.stop().await;
    Ok(())
}
