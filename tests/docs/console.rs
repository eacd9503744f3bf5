//! Command lines on a page.
//!
//! A block `console` holds commands behind `$ ` (further lines of a command behind `> `) and what each of them prints, on
//! standard output and standard error together. A command that fails must be followed by `$ echo $?`, so that the page
//! shows that it does.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use jumpstarter_tests::python::FOREIGN;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::page::{Block, Page, matches, root, updating};

/// How long the commands of one block may take together.
const LIMIT: Duration = Duration::from_mins(10);

/// What stands before and behind the exit code of a command in the output of a script.
const MARK: char = '\u{1e}';

/// The port of every listener on a page. A free one takes its place.
pub(crate) const PORT: &str = "8082";

/// What surrounds the commands of a page.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Where they run.
    pub(crate) folder: PathBuf,
    /// In front of `PATH`.
    pub(crate) programs: Vec<PathBuf>,
    /// Behind everything in `PATH`.
    pub(crate) fallback: Vec<PathBuf>,
    /// Blocks that need any of these are left out.
    pub(crate) absent: Vec<&'static str>,
    /// Shells that the page does not open itself: name and command.
    pub(crate) opened: &'static [(&'static str, &'static str)],
}

/// `jmp` and `j`, built; the folder that holds both.
pub(crate) fn programs() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            cargo(&root(), &["build", "--package", "jumpstarter-cli", "--bins"]);
            target().join("debug")
        })
        .clone()
}

/// The target directory of the workspace.
pub(crate) fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("it is below the target directory").to_owned()
}

/// Runs cargo without a network, and answers what it printed.
pub(crate) fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO"));
    command
        .current_dir(folder)
        .args(arguments)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_NET_OFFLINE", "true");
    // What cargo tells this test about itself would tell the other one about the wrong package.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("cargo runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?} in {}:\n{text}", folder.display());
    text
}

/// One command and what the page shows for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: String,
}

fn steps(text: &str, place: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: String::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("{place}: the block does not begin with `$ `"));
        match line.strip_prefix("> ") {
            Some(more) if step.shown.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            _ => {
                step.shown.push_str(line);
                step.shown.push('\n');
            }
        }
    }
    steps
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A script that runs the commands one after the other in one shell, and marks the end of each.
fn script(steps: &[Step], port: &str) -> String {
    let mut script = "set +e\ncode=0\n".to_owned();
    for step in steps {
        let command = step.command.replace(PORT, port);
        if let Some(background) = command.strip_suffix(" &") {
            // What goes on in the background says what it has to say to nobody; what comes next needs its listener.
            let _ = writeln!(script, "{background} >background.log 2>&1 &");
            if command.contains(port) {
                let _ = writeln!(
                    script,
                    "for i in $(seq 400); do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.05; done"
                );
            }
            let _ = writeln!(script, "code=0");
        } else {
            let _ = writeln!(script, "{{ (exit $code); eval {}; }} 2>&1\ncode=$?", quoted(&command));
        }
        let _ = writeln!(script, "printf '\\036%s\\036' $code");
    }
    script.push_str("trap '' TERM\nkill $(jobs -p) 2>/dev/null\nwait\nexit 0\n");
    script
}

/// What each command of a script printed, and its exit code.
fn answers(output: &str) -> Vec<(String, i32)> {
    let mut parts = output.split(MARK);
    let mut answers = Vec::new();
    while let (Some(text), Some(code)) = (parts.next(), parts.next()) {
        answers.push((text.to_owned(), code.parse().expect("an exit code")));
    }
    answers
}

/// Commands that run in one shell.
struct Shell<'a> {
    /// For messages.
    place: String,
    /// The command that opens the shell; without one it is a shell like any other.
    opening: Option<String>,
    /// The blocks, with their places on the page.
    blocks: Vec<(usize, &'a Block)>,
}

/// The shells of a page, and which blocks run in each.
fn shells<'a>(page: &'a Page, around: &Surroundings) -> Vec<Shell<'a>> {
    let left_out = |block: &Block| {
        block.has("shown") || block.word("needs").is_some_and(|need| around.absent.contains(&need))
    };
    let consoles: Vec<_> = page
        .blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.language == "console" && !left_out(block))
        .collect();
    let within =
        |name: &str| consoles.iter().copied().filter(|(_, block)| block.word("in") == Some(name)).collect();
    let mut shells = Vec::new();
    for (name, command) in around.opened {
        let place = format!("{}: {name}", page.name);
        shells.push(Shell { place, opening: Some((*command).to_owned()), blocks: within(name) });
    }
    for (at, block) in consoles.iter().copied().filter(|(_, block)| !block.has("in")) {
        let place = page.place(block);
        let Some(name) = block.word("opens") else {
            shells.push(Shell { place, opening: None, blocks: vec![(at, block)] });
            continue;
        };
        match steps(&block.text, &place).as_slice() {
            [one] => shells.push(Shell { place, opening: Some(one.command.clone()), blocks: within(name) }),
            several => panic!("{place}: a block that opens a shell has one command, not {}", several.len()),
        }
    }
    let known: usize = shells.iter().map(|shell| shell.blocks.len()).sum();
    let opening = consoles.iter().filter(|(_, block)| block.has("opens")).count();
    assert_eq!(known + opening, consoles.len(), "{}: a block is in no shell", page.name);
    shells
}

/// Compares what a command printed with what the page shows. Answers the correct text; adds what is wrong.
fn compare(step: &Step, next: Option<&Step>, printed: &str, code: i32, wrong: &mut Vec<String>) -> String {
    let Step { command, shown } = step;
    if code != 0 && next.is_none_or(|next| next.command != "echo $?") {
        wrong.push(format!("`{command}` fails with {code}, which the page does not show; write `$ echo $?` behind it\n{printed}"));
    }
    let same = command.ends_with(" &") || matches(shown, printed);
    if !same {
        wrong.push(format!("`{command}` prints\n{printed}\nand the page shows\n{shown}"));
    }
    let text = if same { shown } else { printed };
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("$ {}\n{text}{end}", command.replace('\n', "\n> "))
}

/// Runs every command of a page, and compares.
pub(crate) async fn run(page: &Page, around: &Surroundings) {
    let address = jumpstarter_tests::helpers::free_address().await.expect("an address");
    let port = address.rsplit(':').next().expect("a port");
    let mut differences = Vec::new();
    let mut corrected = Vec::new();
    for Shell { place, opening, blocks } in shells(page, around) {
        let parts: Vec<(usize, Vec<Step>)> =
            blocks.iter().map(|(at, block)| (*at, steps(&block.text, &page.place(block)))).collect();
        let all: Vec<Step> = parts.iter().flat_map(|(_, steps)| steps.clone()).collect();
        let opening = opening.map(|command| command.replace(PORT, port));
        let output = shell(opening.as_deref(), &script(&all, port), around, &place).await;
        let answers = answers(&output.printed);
        assert_eq!(answers.len(), all.len(), "{place}: not every command was run\n{output:?}");
        let mut answers = answers.into_iter();
        for (at, steps) in parts {
            let mut wrong = Vec::new();
            let mut correct = String::new();
            for (index, step) in steps.iter().enumerate() {
                let (printed, code) = answers.next().expect("as many answers as commands");
                let printed = printed.replace(port, PORT).replace(&root().display().to_string(), "…");
                correct += &compare(step, steps.get(index + 1), &printed, code, &mut wrong);
            }
            let place = page.place(&page.blocks[at]);
            differences.extend(wrong.into_iter().map(|wrong| format!("{place}: {wrong}")));
            corrected.push((at, correct));
        }
    }
    if !differences.is_empty() && updating() {
        page.rewrite(corrected);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[derive(Debug)]
struct Output {
    printed: String,
    /// Of the command that opened the shell.
    #[expect(dead_code, reason = "for messages, through Debug")]
    log: String,
}

async fn shell(opening: Option<&str>, script: &str, around: &Surroundings, place: &str) -> Output {
    // A name of its own: bash reads a script while it runs it, and an earlier run may not be over.
    let mut file =
        tempfile::Builder::new().prefix("script-").tempfile_in(&around.folder).expect("a writable folder");
    file.write_all(script.as_bytes()).expect("a writable folder");
    let name = file.path().file_name().expect("a name").to_string_lossy().into_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Neither an installed `j` nor one of another build may stand in for the one that is meant.
    let inherited = std::env::split_paths(&path)
        .filter(|folder| !folder.join("j").exists() && !folder.join("jmp").exists());
    let folders = around.programs.iter().cloned().chain(inherited).chain(around.fallback.iter().cloned());
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile"]);
    match opening {
        Some(opening) => command.arg("-c").arg(opening),
        None => command.arg(&name),
    };
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
        .current_dir(&around.folder)
        .env("PATH", std::env::join_paths(folders).expect("folders without colons"))
        .env("SHELL", "bash")
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .env("COLUMNS", "100")
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_NET_OFFLINE", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("bash runs");
    let mut input = child.stdin.take().expect("it was piped");
    if opening.is_some() {
        // The commands themselves get no input: they would read the rest of the script.
        input
            .write_all(format!(". ./{name} </dev/null\n").as_bytes())
            .await
            .unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    drop(input);
    let ended = timeout(LIMIT, child.wait_with_output()).await;
    let output =
        ended.unwrap_or_else(|_| panic!("{place}: not done after {LIMIT:?}\n{script}")).expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, log) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{place}: {}\n{printed}\n{log}", output.status);
    Output { printed, log }
}

#[test]
fn commands_and_what_they_print_are_told_apart() {
    let read = steps("$ echo a \\\n> b\na b\n\n> c\n$ true\n", "here");
    let step = |command: &str, shown: &str| Step { command: command.into(), shown: shown.into() };
    assert_eq!(read, [step("echo a \\\nb", "a b\n\n> c\n"), step("true", "")]);
}
