//! Methods as clients see them.

use std::{fs, path::Path};

use jumpstarter::{DriverFactory, ErrorKind, Result};
use jumpstarter_interfaces::{ShellClient, ShellOutput};
use jumpstarter_testing::{Bench, serve_text};
use proptest::prelude::*;

const DRIVERS: &[&[&dyn DriverFactory]] = &[jumpstarter_driver_shell::DRIVERS];

const METHODS: &str = "
      hello: 'echo hello $1; echo oops >&2; exit 3'
      words: 'printf \"%s\\n\" \"$0\" \"$#\" \"$@\"'
      variable: 'printf %s \"$NAME\"'
      raw: 'printf \"a\\\\377b\\\\303\"'
      slow: {command: 'sleep 1000', timeout: 0.1, description: Takes its time}
      early: 'echo early; exec sleep 1000'
      signal: 'kill -9 $$'
      placeholder: {description: A description without a command}";

async fn bench(keys: &str) -> Result<Bench> {
    let file = format!("export:\n  shell:\n    type: shell\n    config:\n{keys}");
    serve_text("shell.yaml", &file, DRIVERS).await
}

async fn usual() -> Result<(Bench, ShellClient)> {
    let bench = bench(&format!("      methods:{}\n", METHODS.replace("      ", "        "))).await?;
    let client = bench.client("shell")?;
    Ok((bench, client))
}

async fn refused(keys: &str) -> String {
    bench(keys).await.map(drop).expect_err("a configuration that is wrong").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_listed_in_the_order_of_the_file_and_described_in_the_report() -> Result<()> {
    let (bench, shell) = usual().await?;
    let names = ["hello", "words", "variable", "raw", "slow", "early", "signal", "placeholder"];
    assert_eq!(shell.get_methods().await?, names);
    let device = bench.device().find("shell")?;
    let described: Vec<_> = device.methods_description().iter().collect();
    let described: Vec<_> = described.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut wanted = vec![("placeholder", "A description without a command"), ("slow", "Takes its time")];
    wanted.sort_unstable();
    let mut found = described.clone();
    found.sort_unstable();
    assert_eq!(found, wanted);
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn output_complaints_and_the_code_arrive() -> Result<()> {
    let (bench, shell) = usual().await?;
    let result = shell.run("hello", [], ["world"]).await?;
    assert_eq!(
        (result.stdout.as_str(), result.stderr.as_str(), result.returncode),
        ("hello world\n", "oops\n", 3)
    );
    assert_eq!(shell.run("variable", [("NAME", "a b$(id)")], []).await?.stdout, "a b$(id)");
    assert_eq!(shell.run("raw", [], []).await?.stdout, "a\u{fffd}b\u{fffd}");
    assert_eq!(shell.run("signal", [], []).await?.returncode, -9);
    assert_eq!(shell.run("placeholder", [], []).await?.stdout, "Hello\n");
    let slow = shell.run("slow", [], []).await?;
    assert_eq!(slow.returncode, 199);
    let text = "\nTimeout expired while running slow: Command '['bash', '-c', 'sleep 1000', 'slow']' timed out after 0.1 seconds\n";
    assert_eq!(slow.stderr, text);
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_as_it_appears_and_the_end_of_the_session_ends_the_command() -> Result<()> {
    let (bench, shell) = usual().await?;
    let mut pieces = shell.call_method("early".to_owned(), None, Vec::new()).await?;
    let first = pieces.next().await.expect("a piece")?;
    assert_eq!(first, ShellOutput { stdout: "early\n".to_owned(), ..ShellOutput::default() });
    assert!(bench.stop().await.is_empty());
    Ok(())
}

fn processes(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("processes"))
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_the_whole_group() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("processes");
    let method =
        format!("      methods: {{group: 'sleep 1000 & echo $$ $! > {}; echo; wait'}}\n", file.display());
    let bench = bench(&method).await?;
    let shell: ShellClient = bench.client("shell")?;
    let mut pieces = shell.call_method("group".to_owned(), None, Vec::new()).await?;
    pieces.next().await.expect("a piece")?;
    drop(pieces);
    let processes = processes(folder.path());
    assert_eq!(processes.len(), 2);
    for process in processes {
        // A zombie would wait for its parent, which this test is not: only the command itself can be one here.
        while fs::read_to_string(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_in_words() -> Result<()> {
    let (bench, shell) = usual().await?;
    for (method, env, args, message) in [
        ("helo", None, None, "argument `method`: there is no method \"helo\"; did you mean \"hello\"?"),
        ("hello", Some("PATH"), None, "argument `env`: PATH may not be set"),
        ("hello", Some("A-B"), None, "argument `env`: \"A-B\" is no name of an environment variable"),
        ("hello", None, Some("a\0b"), "contains a NUL character"),
    ] {
        let env = env.map(|name| (name, "x"));
        let error = shell.run(method, env, args).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    let long = "x".repeat(3 << 20);
    let error = shell.run("hello", [], [long.as_str()]).await.unwrap_err();
    assert!(error.message().contains("longer than the operating system allows"), "{error}");
    assert!(bench.stop().await.is_empty());
    let bench = self::bench("      methods: {hello: echo}\n      cwd: /no/such/folder\n").await?;
    let error = bench.client::<ShellClient>("shell")?.run("hello", [], []).await.unwrap_err();
    assert_eq!(error.message(), "there is no working directory /no/such/folder");
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_y6_every_key_has_its_effect_and_others_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().canonicalize()?;
    let keys = format!(
        "      methods: {{where: pwd}}\n      shell: [sh, -c]\n      timeout: 20\n      cwd: {}\n",
        place.display()
    );
    let bench = bench(&keys).await?;
    let shell: ShellClient = bench.client("shell")?;
    assert_eq!(shell.run("where", [], []).await?.stdout.trim(), place.display().to_string());
    assert!(bench.stop().await.is_empty());
    for (keys, message) in [
        ("      methods: {a: {comand: ls}}\n", "unknown key `comand`"),
        ("      methods: {a: {command: ls, timeout: soon}}\n", "timeout"),
        ("      methods: {a: [ls]}\n", "methods.a"),
        ("      methods: {a: ''}\n", "`methods.a` has an empty command"),
        ("      methods: {a: ls}\n      shell: []\n", "`shell` must be a list of at least 1"),
        (
            "      methods: {a: ls}\n      shell: [no-such-shell]\n",
            "there is no program `no-such-shell` here",
        ),
        ("      methods: {a: ls}\n      timeout: 0\n", "`timeout` has to be above 0"),
        ("      timeout: 1\n", "missing key `methods`"),
    ] {
        let problem = refused(keys).await;
        assert!(problem.contains(message), "{keys}: {problem}");
    }
    Ok(())
}

/// What people and attackers put into arguments.
const NASTY: &[&str] = &[
    "",
    " ",
    "$(touch broken)",
    "`touch broken`",
    "; touch broken",
    "&& touch broken",
    "| touch broken",
    "\n touch broken",
    "'",
    "\"",
    "\\",
    "$HOME",
    "${IFS}",
    "*",
    "~",
    "-x",
    "--",
    "-c",
    "#",
    "!!",
    "%s%n",
    "\u{1b}[2J",
    "é€😀",
    "\u{202e}",
];

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_arguments_whatever_they_hold() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let words = r#"'printf "%s\0" "$0" "$#" "$@"'"#;
    let bench =
        bench(&format!("      methods: {{words: {words}}}\n      cwd: {}\n", folder.path().display()))
            .await?;
    let shell: ShellClient = bench.client("shell")?;
    let result = shell.run("words", [], NASTY.iter().copied()).await?;
    let found: Vec<_> = result.stdout.split_terminator('\0').collect();
    assert_eq!(found[..2], ["words", &NASTY.len().to_string()]);
    assert_eq!(found[2..], *NASTY);
    // The same through variables, which are data as well.
    assert_eq!(fs::read_dir(folder.path())?.count(), 0, "nothing was run");
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[test]
fn any_text_without_nul_is_one_argument_and_one_value() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a run time");
    let method = r#"'printf "%s\0" "$@" "$VALUE"'"#;
    let bench = runtime.block_on(bench(&format!("      methods: {{words: {method}}}\n"))).expect("a bench");
    let shell: ShellClient = bench.client("shell").expect("a shell");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome =
        runner.run(&(prop::collection::vec("[^\0]{0,40}", 0..5), "[^\0]{0,40}"), |(args, value)| {
            let run = shell.run("words", [("VALUE", value.as_str())], args.iter().map(String::as_str));
            let result = runtime.block_on(run).expect("a result");
            let mut wanted = args.clone();
            wanted.push(value);
            let found: Vec<_> = result.stdout.split_terminator('\0').map(str::to_owned).collect();
            prop_assert_eq!(found, wanted);
            Ok(())
        });
    outcome.expect("any text is one argument");
    assert!(runtime.block_on(bench.stop()).is_empty());
}
