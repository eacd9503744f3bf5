//! Starting the built programs.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Path of the built `jmp`.
pub(crate) const JMP: &str = env!("CARGO_BIN_EXE_jmp");
/// Path of the built `j`.
pub(crate) const J: &str = env!("CARGO_BIN_EXE_j");

/// Waits until something holds that nobody announces. A test that waits in vain fails and says for what.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// A file of the examples.
pub(crate) fn example(name: &str) -> String {
    format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A place of its own for everything that a test leaves behind.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for folder in ["home", "run", "tmp"] {
            std::fs::create_dir(place.path().join(folder)).unwrap();
        }
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and answers its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    /// What is left of sockets and private folders.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let list = |folder: &str| std::fs::read_dir(self.path().join(folder)).unwrap();
        ["run", "tmp"].into_iter().flat_map(list).map(|entry| entry.unwrap().path()).collect()
    }

    /// A program in an environment that has nothing of the machine's but the system's commands.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path().join("home"))
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("TMPDIR", self.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// `jmp` with these words.
    pub(crate) fn jmp(&self, words: &[&str]) -> Command {
        let mut command = self.program(JMP);
        command.args(words);
        command
    }

    /// `jmp shell` on an example, with a command behind it.
    pub(crate) fn shell(&self, file: &str, words: &[&str]) -> Command {
        let mut command = self.jmp(&["shell", "--exporter-config", &example(file), "--"]);
        command.args(words);
        command
    }
}

/// What a program said and how it ended, as text for a snapshot.
pub(crate) fn told(output: &Output) -> String {
    let mut text = format!("exit code: {}\n", code(output));
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            text.extend(["----- ", name, " -----\n", &String::from_utf8_lossy(bytes)]);
        }
    }
    text
}

/// The exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by a signal that it should have handled")
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A program that does not outlive its test, however that ends: it would keep the pipes open that others wait for.
pub(crate) struct Kept(Child);

impl Kept {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Deref for Kept {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if ended(&mut self.0) {
            return;
        }
        // In order first: it may have programs of its own.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let begun = Instant::now();
        while !ended(&mut self.0) && begun.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that is running, and its output line by line.
pub(crate) struct Running {
    pub(crate) child: Kept,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = Kept::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line; waits for it.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the program ended, its last words were {line:?}");
        line.trim_end().to_owned()
    }

    /// The next line of standard error; waits for it.
    pub(crate) fn complaint(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        // Byte by byte: what follows is for the end.
        while self.child.stderr.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Output {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.lines.read_to_end(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status: self.child.wait().unwrap(), stdout, stderr }
    }
}

/// Whether a process is there and not only waiting to be collected.
pub(crate) fn is_alive(process: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'),
        Err(_) => false,
    }
}

/// A command line as one word per argument.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Snapshots without what differs between machines and versions.
pub(crate) fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(&regex_of(env!("CARGO_MANIFEST_DIR")), "[cli]");
    settings.add_filter(&format!("v{}", env!("CARGO_PKG_VERSION").replace('.', r"\.")), "v[version]");
    settings.add_filter(r"from /\S+", "from [folder]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn regex_of(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_alphanumeric() || c == '/' { vec![c] } else { vec!['\\', c] }).collect()
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Runs it with this on its standard input.
pub(crate) fn run_with(command: &mut Command, input: impl AsRef<OsStr>) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_ref().as_encoded_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Leaves out tests with programs of the system.
const SKIP: &str = "JUMPSTARTER_SKIP_PROGRAMS";

/// `unshare` with these options and what is to be run there: with namespaces of its own, as a container has them. `None` when the
/// user left such tests out.
///
/// # Panics
///
/// Where it is not there or not allowed; the message says what to do.
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
pub(crate) fn unshare(place: &Place, words: &[&str]) -> Option<Command> {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        eprintln!("left out: {SKIP}=1 says that unshare is not here");
        return None;
    }
    let tried = place.program("unshare").args(["--user", "--map-root-user", "--net", "true"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => {
            let mut command = place.program("unshare");
            command.args(["--user", "--map-root-user"]).args(words);
            return Some(command);
        }
        Ok(output) => stderr(&output),
        Err(error) => error.to_string(),
    };
    panic!(
        "unshare (Debian's util-linux) is needed for this test and does not work: {why}; allow users to make namespaces (sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0), in a container run it with --security-opt seccomp=unconfined, or leave these tests out with {SKIP}=1"
    );
}

/// The children of a process.
pub(crate) fn children(process: &str) -> Vec<String> {
    let list = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    list.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}
