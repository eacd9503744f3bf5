//! Hooks: what they see, what is seen of them, and how they end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jumpstarter_core::{
    config::{Hook, OnFailure},
    log::{LogRecord, LogSink, LogSource, Severity},
};
use jumpstarter_exporter::hook::{self, Failure, Moment, Surroundings, Verdict};

#[derive(Default)]
struct Heard(Mutex<Vec<LogRecord>>);

impl LogSink for Heard {
    fn log(&self, record: LogRecord) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

impl Heard {
    fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|record| record.message.clone())
            .collect()
    }
}

fn script(text: &str) -> Hook {
    Hook { script: text.to_owned(), exec: None, timeout: 30, on_failure: OnFailure::Warn }
}

async fn run(hook: &Hook) -> (Result<(), Failure>, Vec<String>) {
    run_at(Moment::Before, hook).await
}

async fn run_at(moment: Moment, hook: &Hook) -> (Result<(), Failure>, Vec<String>) {
    let heard = Arc::new(Heard::default());
    let log: Arc<dyn LogSink> = heard.clone();
    let around = Surroundings {
        socket: "/run/hook@localhost".into(),
        lease: "standalone".into(),
        client: "somebody".into(),
        tools: None,
        motd: Some("/run/motd".into()),
    };
    let result = hook::run(hook, moment, &around, &log).await;
    (result, heard.lines())
}

#[tokio::test]
async fn lines_arrive_as_records_of_the_hook() {
    let heard = Arc::new(Heard::default());
    let log: Arc<dyn LogSink> = heard.clone();
    hook::run(&script("echo one; echo; printf two"), Moment::After, &Surroundings::default(), &log)
        .await
        .unwrap();
    let records = heard.0.lock().unwrap().clone();
    let seen: Vec<_> = records.iter().map(|r| (r.source, r.severity, r.message.as_str())).collect();
    let after = LogSource::AfterLeaseHook;
    assert_eq!(seen, [(after, Severity::Info, "one"), (after, Severity::Info, "two")]);
}

#[tokio::test]
async fn pitfall_h6_the_environment_is_complete() {
    // `env` and not `$PS1`: a shell on a terminal sets a prompt of its own.
    let text = "echo $JUMPSTARTER_HOST $JMP_DRIVERS_ALLOW $LEASE_NAME $CLIENT_NAME $TERM $DEBIAN_FRONTEND $GIT_TERMINAL_PROMPT $(env | grep -c ^PS1=) ${JMP_MOTD_FILE-none} ${PATH:+path}";
    for (moment, motd) in [(Moment::Before, "/run/motd"), (Moment::After, "none")] {
        let (result, lines) = run_at(moment, &script(text)).await;
        result.unwrap();
        let expected =
            format!("/run/hook@localhost UNSAFE standalone somebody dumb noninteractive 0 0 {motd} path");
        assert_eq!(lines, [expected]);
    }
}

#[tokio::test]
async fn a_hook_has_a_terminal() {
    let (result, lines) = run(&script("test -t 0 && test -t 1 && test -t 2 && echo terminal")).await;
    result.unwrap();
    assert_eq!(lines, ["terminal"]);
}

#[tokio::test]
async fn pitfall_h1_a_timeout_ends_the_whole_group_although_a_grandchild_holds_the_output() {
    let marker = tempfile::NamedTempFile::new().unwrap();
    let path = marker.path().display();
    let mut hook =
        script(&format!("sh -c 'trap \"\" HUP; sleep 600; echo late > {path}' & echo started; sleep 600"));
    hook.timeout = 1;
    let ended = tokio::time::timeout(Duration::from_mins(1), run(&hook)).await;
    let (result, lines) = ended.expect("the reader waited for the grandchild");
    assert!(matches!(result, Err(Failure::Timeout(1))), "{result:?}");
    assert_eq!(lines[0], "started");
    assert_eq!(lines[1], "Hook timed out after 1 seconds (on_failure=warn, continuing)");
    assert_eq!(std::fs::read_to_string(marker.path()).unwrap(), "");
}

#[tokio::test]
async fn pitfall_h2_a_flood_of_output_blocks_nothing() {
    let (result, lines) =
        run(&script("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")).await;
    result.unwrap();
    assert_eq!(lines.len(), 20_000);
    assert_eq!(lines.last().map(String::as_str), Some("line 19999"));
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    let (result, lines) = run(&script("exit 3")).await;
    assert!(matches!(result, Err(Failure::Code(3))));
    assert_eq!(lines, ["Hook failed with exit code 3 (on_failure=warn, continuing)"]);
    let (result, _) = run(&script("kill -9 $$")).await;
    assert!(matches!(result, Err(Failure::Code(-9))), "{result:?}");
}

#[tokio::test]
async fn a_missing_interpreter_is_said() {
    let mut hook = script("echo");
    hook.exec = Some("/nonexistent/interpreter".into());
    let (result, lines) = run(&hook).await;
    assert!(matches!(result, Err(Failure::NotRun(_))));
    assert!(lines[0].starts_with("Error executing hook: "), "{lines:?}");
}

#[tokio::test]
async fn one_line_that_names_a_file_runs_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hook.sh");
    std::fs::write(&file, "echo from the file $0\n").unwrap();
    let (result, lines) = run(&script(&file.display().to_string())).await;
    result.unwrap();
    assert_eq!(lines, [format!("from the file {}", file.display())]);
}

#[tokio::test]
async fn a_blank_script_is_a_success() {
    let (result, lines) = run(&script("  \n")).await;
    result.unwrap();
    assert!(lines.is_empty());
}

#[test]
fn pitfall_h8_one_table_says_what_an_end_means() {
    let failed = || Err(Failure::Code(1));
    let table = [
        (Ok(()), OnFailure::Exit, Verdict::Proceed, "Ready for commands"),
        (
            failed(),
            OnFailure::Warn,
            Verdict::Proceed,
            "[HOOK_WARNING] beforeLease hook warning: Hook failed with exit code 1",
        ),
        (
            failed(),
            OnFailure::EndLease,
            Verdict::Failed,
            "beforeLease hook failed (on_failure=endLease): Hook failed with exit code 1",
        ),
        (
            failed(),
            OnFailure::Exit,
            Verdict::FailedAndExit,
            "beforeLease hook failed (on_failure=exit, shutting down): Hook failed with exit code 1",
        ),
    ];
    for (result, on_failure, verdict, message) in table {
        assert_eq!(hook::outcome(Moment::Before, &result, on_failure), (verdict, message.to_owned()));
    }
    let (_, message) = hook::outcome(Moment::After, &Ok(()), OnFailure::Warn);
    assert_eq!(message, "Available for new lease");
}
