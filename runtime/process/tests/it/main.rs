//! Commands from their start to the end of the last process.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use jumpstarter_core::{ErrorKind, Result};
use jumpstarter_process::{End, Event, Job, Jobs, Running};

fn sh(script: &str) -> Job {
    Job::new("sh").args(["-c", script, "test"])
}

async fn lines(running: &mut Running, count: usize) -> Vec<String> {
    let mut text = String::new();
    while text.lines().count() < count {
        match running.next().await {
            Some(Event::Output(piece)) => text.push_str(&String::from_utf8_lossy(&piece)),
            other => panic!("{other:?} instead of line {} of {count}", text.lines().count() + 1),
        }
    }
    text.lines().map(str::to_owned).collect()
}

fn is_there(process: &str) -> bool {
    // A process that has ended and that nobody has waited for yet is a zombie.
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

async fn gone(process: &str) {
    while is_there(process) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn output_and_complaints_are_told_apart_and_come_with_the_code() -> Result<()> {
    let job = sh("echo out; echo \"$1 $NAME\" >&2; exit 3").args(["one"]).env("NAME", "two");
    let output = Jobs::default().output(&job).await?;
    assert_eq!(output.end, End::Code(3));
    assert_eq!((&output.output[..], &output.complaint[..]), (&b"out\n"[..], &b"one two\n"[..]));
    Ok(())
}

#[tokio::test]
async fn output_comes_while_the_command_still_runs() -> Result<()> {
    let jobs = Jobs::default();
    let mut running = jobs.start(&sh("echo early; exec sleep 1000"))?;
    assert_eq!(lines(&mut running, 1).await, ["early"]);
    jobs.close().await;
    assert_eq!(running.next().await, None);
    Ok(())
}

#[tokio::test]
async fn a_command_whose_time_is_over_ends_with_everything_that_it_started() -> Result<()> {
    let jobs = Jobs::default();
    let job = sh("sleep 1000 & echo $$ $!; wait").limit(Duration::from_millis(100));
    let output = jobs.output(&job).await?;
    assert_eq!(output.end, End::Limit(Duration::from_millis(100)));
    let text = String::from_utf8_lossy(&output.output).into_owned();
    for process in text.split_whitespace() {
        assert!(!is_there(process), "{process} of {text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_after_the_grace() -> Result<()> {
    let job = sh("trap '' TERM; echo $$; while :; do sleep 1000; done").limit(Duration::from_millis(100));
    let before = std::time::Instant::now();
    let output = Jobs::default().output(&job).await?;
    assert_eq!(output.end, End::Limit(Duration::from_millis(100)));
    assert!(before.elapsed() >= jumpstarter_process::GRACE, "it was given its time");
    assert!(!is_there(String::from_utf8_lossy(&output.output).trim()));
    Ok(())
}

#[tokio::test]
async fn a_command_that_nobody_listens_to_ends() -> Result<()> {
    let jobs = Jobs::default();
    let mut running = jobs.start(&sh("sleep 1000 & echo $$; echo $!; wait"))?;
    let processes = lines(&mut running, 2).await;
    drop(running);
    for process in processes {
        gone(&process).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_left_in_the_background_lives_until_the_driver_closes() -> Result<()> {
    let jobs = Jobs::default();
    let output = jobs.output(&sh("sleep 1000 >/dev/null 2>&1 & echo $!")).await?;
    let process = String::from_utf8_lossy(&output.output).trim().to_owned();
    assert!(is_there(&process));
    assert_eq!(jobs.left_behind(), 1);
    jobs.close().await;
    assert!(!is_there(&process));
    let error = jobs.start(&sh("true")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_this_process_takes_from_others_is_gone_when_it_has_ended() -> Result<()> {
    // As `jmp shell` and the first process of a container.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("allowed to everybody");
    let jobs = Jobs::default();
    let output = jobs.output(&sh("sleep 0.2 >/dev/null 2>&1 & echo $!")).await?;
    let process = String::from_utf8_lossy(&output.output).trim().to_owned();
    gone(&process).await;
    let forgotten = async {
        while jobs.left_behind() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), forgotten).await.expect("nobody is left");
    jobs.close().await;
    Ok(())
}

#[tokio::test]
async fn a_command_ends_although_something_holds_its_output() -> Result<()> {
    let jobs = Jobs::default();
    let output = jobs.output(&sh("sleep 1000 & echo done")).await?;
    assert_eq!((output.end, &output.output[..]), (End::Code(0), &b"done\n"[..]));
    jobs.close().await;
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_loses_nothing_and_stops_the_command() -> Result<()> {
    let jobs = Jobs::default();
    let mut running = jobs.start(&sh("head -c 1000000 /dev/zero; echo end"))?;
    // Longer than the end of the output is waited for.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let mut len = 0;
    loop {
        match running.next().await {
            Some(Event::Output(piece)) => len += piece.len(),
            Some(Event::Ended(end)) => break assert_eq!(end, End::Code(0)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(len, 1_000_004);
    Ok(())
}

#[tokio::test]
async fn a_signal_is_told_from_a_code() -> Result<()> {
    assert_eq!(Jobs::default().output(&sh("kill -9 $$")).await?.end, End::Signal(9));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let start = |job: Job| Jobs::default().start(&job).map(drop).unwrap_err();
    let error = start(Job::new("/no/such/program"));
    assert_eq!(error.kind(), ErrorKind::Absent);
    assert!(error.message().starts_with("starting /no/such/program: "), "{error}");
    let error = start(sh("true").folder("/no/such/folder"));
    assert_eq!((error.kind(), error.message()), (ErrorKind::Absent, "there is no folder /no/such/folder"));
    let error = start(sh("true").args(["a\0b"]));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

/// What whoever started this test leaves open for every program: it is none of ours.
fn inherited() -> BTreeSet<String> {
    let names = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        // O_CLOEXEC, from the kernel's asm-generic/fcntl.h.
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        (flags & 0o2_000_000 == 0).then(|| entry.file_name().to_string_lossy().into_owned())
    });
    names.collect()
}

#[tokio::test]
async fn pitfall_p11_a_command_inherits_the_standard_streams_only() -> Result<()> {
    let held = fs::File::open("/dev/null")?;
    let output = Jobs::default().output(&sh("ls /proc/self/fd")).await?;
    drop(held);
    let open = std::str::from_utf8(&output.output)?.split_whitespace().map(str::to_owned);
    // The fourth is the folder that `ls` reads.
    let usual = ["0", "1", "2", "3"].map(str::to_owned);
    let others: Vec<_> = open.filter(|open| !usual.contains(open) && !inherited().contains(open)).collect();
    assert_eq!(others, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_command_has_no_terminal_and_no_input() -> Result<()> {
    let output = Jobs::default().output(&sh("cat; (: </dev/tty) 2>/dev/null || echo none")).await?;
    assert_eq!(output.output, b"none\n");
    Ok(())
}

/// The other half of the next test: this program again, as an exporter that is killed.
#[tokio::test]
#[ignore = "it is run by the test below"]
async fn exporter_that_is_killed() -> Result<()> {
    let jobs = Jobs::default();
    let left = jobs.output(&sh("sleep 1000 >/dev/null 2>&1 & echo $!")).await?;
    let mut running = jobs.start(&sh("sleep 1000 & echo $$; echo $!; wait"))?;
    let mut processes = lines(&mut running, 2).await;
    processes.push(String::from_utf8_lossy(&left.output).trim().to_owned());
    // A command that cannot be started leaves no trace with the guard.
    jobs.start(&Job::new("/no/such/program")).map(drop).unwrap_err();
    let place = std::env::var_os("JUMPSTARTER_TEST_PLACE").expect("a place");
    fs::write(&place, processes.join("\n"))?;
    let _ = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status()?;
    unreachable!("it was killed");
}

#[tokio::test]
async fn pitfall_p5_children_end_with_a_killed_exporter() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("processes");
    let mut exporter = Command::new(std::env::current_exe()?);
    exporter.args(["--exact", "exporter_that_is_killed", "--ignored"]).env("JUMPSTARTER_TEST_PLACE", &place);
    let status = exporter.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    assert!(!status.success());
    let processes = fs::read_to_string(Path::new(&place))?;
    assert_eq!(processes.lines().count(), 3, "{processes}");
    for process in processes.lines() {
        gone(process).await;
    }
    Ok(())
}
