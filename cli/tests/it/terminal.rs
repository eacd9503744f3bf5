//! Consoles and prompts in a pseudo-terminal.

use std::io::{Read as _, Write as _};

use pty_process::blocking::{Command, Pty, open};

use crate::{
    registered::Exporter,
    support::{J, JMP, Place, Running, code, example, run, stdout, until},
};
use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};

/// Prints how many lines say that the terminal is in its ordinary mode; a raw one says `-icanon`.
const COOKED: &str = "stty -a | grep -c ' icanon'";

/// A program in a terminal, and everything it has shown so far.
pub(crate) struct Screen {
    pty: Pty,
    child: std::process::Child,
    seen: String,
    at: usize,
}

impl Screen {
    pub(crate) fn start(place: &Place, words: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(place, Command::new(JMP).args(words), variables)
    }

    pub(crate) fn of(place: &Place, command: Command, variables: &[(&str, &str)]) -> Self {
        Self::within(0, place, command, variables)
    }

    /// The same in a terminal with so many columns; 0 if it does not say how many.
    pub(crate) fn within(columns: u16, place: &Place, command: Command, variables: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(pty_process::Size::new(24, columns)).unwrap();
        let command = command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", place.path().join("home"))
            .env("XDG_RUNTIME_DIR", place.path().join("run"))
            .env("TMPDIR", place.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .current_dir(place.path());
        let child = command.spawn(pts).unwrap();
        Self { pty, child, seen: String::new(), at: 0 }
    }

    pub(crate) fn send(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until this has been shown, behind what was waited for before.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        loop {
            if let Some(found) = self.seen[self.at..].find(text) {
                self.at += found + text.len();
                return;
            }
            match self.pty.read(&mut buffer) {
                Ok(count) if count > 0 => self.seen.push_str(&String::from_utf8_lossy(&buffer[..count])),
                end => panic!("{text:?} was not shown ({end:?}):\n{}", self.seen),
            }
        }
    }

    /// Everything that was shown.
    pub(crate) fn text(&self) -> &str {
        &self.seen
    }

    /// The program's process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Closes the terminal, whoever uses it.
    pub(crate) fn close(self) -> std::process::Child {
        self.child
    }

    pub(crate) fn end(self) -> i32 {
        self.end_seen().0
    }

    /// Waits for the end; answers everything that was shown as well.
    pub(crate) fn end_seen(mut self) -> (i32, String) {
        // The other side of a terminal that nobody uses any more cannot be read.
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.pty.read(&mut buffer) {
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        (self.child.wait().unwrap().code().expect("ended by a signal"), self.seen)
    }
}

#[test]
fn the_console_is_interactive_and_leaves_after_three_keys() {
    let place = Place::new();
    let script = format!(
        "j board storage flash {} && j board power on && j board console start-console; echo left=$?; {COOKED}",
        example("hello.board")
    );
    let board = example("board.yaml");
    let mut screen =
        Screen::start(&place, &["shell", "--exporter-config", &board, "--", "sh", "-c", &script], &[]);
    screen.wait_for("demo> ");
    screen.send("echo typed\r");
    screen.wait_for("typed\r\ntyped\r\n");
    // A key of the board, not of the terminal.
    screen.send("\x03");
    screen.wait_for("^C");
    screen.send("\x02\x02\x02");
    screen.wait_for("left=0\r\n1\r\n");
    assert_eq!(screen.end(), 0);
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn the_prompt_says_where_one_is_and_the_message_of_the_day_comes_first() {
    let place = Place::new();
    let board = example("board.yaml");
    let mut screen = Screen::start(
        &place,
        &["shell", "--exporter-config", &board],
        &[("SHELL", "/bin/bash"), ("HISTFILE", "/dev/null")],
    );
    screen.wait_for("A simulated board. Try:");
    screen.wait_for("⚡");
    screen.wait_for("local");
    screen.wait_for("➤");
    screen.send("j board power read\r");
    screen.wait_for("voltage=0.0 V");
    // Ctrl-C ends the command in the shell, and neither the shell nor what is behind it.
    // What the command prints is not what was typed: only then does the command have the terminal, and not the shell.
    screen.send("sh -c 'printf \"slee%s\" ping; exec sleep 1000'\r");
    screen.wait_for("sleeping");
    screen.send("\x03");
    screen.wait_for("➤");
    screen.send("exit 3\r");
    assert_eq!(screen.end(), 3);
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn pitfall_h6_a_shell_that_waited_for_a_hook_shows_what_it_added_to_the_message_of_the_day() {
    let place = Place::new();
    let (gate, stale) = (place.path().join("gate"), place.path().join("stale"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let text = format!(
        "export: {{power: {{type: mock-power}}}}\nmotd: Welcome.\nhooks:\n  beforeLease: {{script: 'echo waiting; cat {} > $JMP_MOTD_FILE'}}\n  afterLease: {{script: 'echo file ${{JMP_MOTD_FILE-none}}'}}\n",
        gate.display()
    );
    let file = place.file("motd.yaml", &text).display().to_string();
    let words =
        ["--log-format", "text", "run", "--exporter-config", &file, "--tls-grpc-listener", "127.0.0.1:0"];
    // Of whoever started the exporter, from inside of another hook.
    let mut command = place.jmp(&words);
    let mut rig = Exporter::start(command.arg("--tls-grpc-insecure").env("JMP_MOTD_FILE", &stale));
    let said = rig.until("waiting");
    let address = said.split("Session server started on ").nth(1).unwrap().split_whitespace().next().unwrap();
    let mut screen = Screen::start(
        &place,
        &["shell", "--tls-grpc", address, "--tls-grpc-insecure"],
        &[("SHELL", "/bin/bash"), ("HISTFILE", "/dev/null")],
    );
    screen.wait_for("Waiting for beforeLease hook to complete...");
    std::fs::write(&gate, "The gate was opened.\n").unwrap();
    screen.wait_for("Welcome.\r\nThe gate was opened.\r\n");
    screen.wait_for("➤");
    screen.send("exit\r");
    assert_eq!(screen.end(), 0);
    let (ended, log) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{log}");
    assert!(log.contains("file none"), "{log}");
    assert!(!stale.exists());
}

#[test]
fn ctrl_c_ends_the_command_and_its_code_is_the_shells() {
    let place = Place::new();
    let power = example("power.yaml");
    let words = ["shell", "--exporter-config", &power, "--", "sh", "-c", "echo ready; exec sleep 1000"];
    let mut screen = Screen::start(&place, &words, &[]);
    screen.wait_for("ready");
    screen.send("\x03");
    assert_eq!(screen.end(), 130);
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn ctrl_z_stops_all_of_it_and_fg_goes_on() {
    let place = Place::new();
    place.file("run.sh", &format!(
        "set -m; PS1='outer> '; {JMP} shell --exporter-config {} -- sh -c 'echo ready; read line; echo got $line'; echo stopped=$?; fg; echo code=$?\n",
        example("power.yaml")
    ));
    let mut screen = Screen::of(&place, Command::new("/bin/bash").args(["--norc", "run.sh"]), &[]);
    screen.wait_for("ready");
    screen.send("\x1a");
    screen.wait_for("stopped=");
    screen.wait_for("jmp shell");
    screen.send("hello\r");
    screen.wait_for("got hello");
    screen.wait_for("code=0");
    assert_eq!(screen.end(), 0);
}

#[test]
fn a_command_in_a_pipeline_gets_the_terminal_when_it_asks_for_it() {
    let place = Place::new();
    let power = example("power.yaml");
    place.file("run.sh", &format!(
        "set -m; {JMP} shell --exporter-config {power} -- sh -c 'echo asking >&2; read line </dev/tty; echo got $line' | cat; echo codes=${{PIPESTATUS[*]}}\n"
    ));
    let mut screen = Screen::of(&place, Command::new("/bin/bash").args(["--norc", "run.sh"]), &[]);
    screen.wait_for("asking");
    screen.send("answer\r");
    screen.wait_for("got answer");
    screen.wait_for("codes=0 0");
    assert_eq!(screen.end(), 0);
}

#[test]
fn ctrl_c_reaches_the_script_around_as_well() {
    let place = Place::new();
    let power = example("power.yaml");
    place.file(
        "run.sh",
        &format!(
            "trap 'echo script heard it; exit 1' INT\n{JMP} shell --exporter-config {power} -- sh -c 'echo ready; exec sleep 1000'\necho went on\n"
        ),
    );
    // Where this test runs in the background of a shell, SIGINT is ignored, which a script cannot undo.
    let words = ["--default-signal=INT", "/bin/bash", "--norc", "run.sh"];
    let mut screen = Screen::of(&place, Command::new("env").args(words), &[]);
    screen.wait_for("ready");
    screen.send("\x03");
    screen.wait_for("script heard it");
    assert_eq!(screen.end(), 1);
}

#[test]
fn tables_fit_into_the_terminal_and_names_stay_whole() {
    let place = Place::new();
    let alias = "a-rig-with-a-name-that-is-typed-again";
    let path = place.file(&format!("home/.config/jumpstarter/exporters/{alias}.yaml"), "export: {}\n");
    let whole = format!("{alias}  {}", path.display());
    let list = ["config", "exporter", "list"];
    let shown = |columns: u16, more: &[&str], variables: &[(&str, &str)]| {
        let command = Command::new(JMP).args(list).args(more);
        let (code, seen) = Screen::within(columns, &place, command, variables).end_seen();
        assert_eq!(code, 0, "{seen}");
        seen.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    // The terminal says how wide it is, and COLUMNS wins over it.
    for lines in [shown(60, &[], &[]), shown(200, &[], &[("COLUMNS", "60")])] {
        assert!(lines.iter().all(|line| line.len() <= 60), "{lines:#?}");
        assert!(lines[1].starts_with(&format!("{alias}  /")), "{lines:#?}");
        let parts: String = lines[1..].iter().map(|line| &line[alias.len() + 2..]).collect();
        assert_eq!(parts, path.display().to_string());
    }
    for lines in [
        shown(60, &["--wide"], &[]),
        shown(60, &[], &[("COLUMNS", "200")]),
        shown(200, &[], &[]),
        shown(0, &[], &[]),
    ] {
        assert_eq!(lines[1..], [whole.as_str()]);
    }
    // Where columns could not be read, each row is a list.
    let lines = shown(41, &[], &[]);
    assert_eq!(lines[0], format!("ALIAS  {alias}"));
    assert!(lines[1].starts_with("PATH   /") && lines.len() > 3, "{lines:#?}");
    // Whoever reads a pipe gets all of it.
    let output = run(place.jmp(&list).env("COLUMNS", "60"));
    assert_eq!(stdout(&output).lines().nth(1).map(str::trim_end), Some(whole.as_str()));
}

/// An exporter with one port.
fn port(place: &Place, url: &str) -> String {
    let text = format!(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n  port: {{type: serial, config: {{url: \"{url}\", check_present: false}}}}\n"
    );
    place.file("port.yaml", &text).display().to_string()
}

/// A session of its own, which a test can kill, and where it is.
fn session(place: &Place, url: &str) -> (Running, String) {
    let file = port(place, url);
    let words = ["shell", "--exporter-config", &file, "--", "sh", "-c", "echo $JUMPSTARTER_HOST; exec cat"];
    let mut running = Running::start(place.jmp(&words).stdin(std::process::Stdio::piped()));
    let host = running.line();
    (running, host)
}

/// A console in a terminal, in raw mode and with its process.
fn console(place: &Place, host: &str, options: &str) -> (Screen, Pid) {
    let script = format!(
        "sh -c 'echo pid=$$; exec {J} port start-console {options}'; echo left=$?; {COOKED}; stty size"
    );
    let mut screen =
        Screen::of(place, Command::new("sh").args(["-c", &script]), &[("JUMPSTARTER_HOST", host)]);
    screen.wait_for("pid=");
    screen.wait_for("\r\n");
    let line = screen.seen[..screen.at].lines().last().unwrap().trim_start_matches("pid=").to_owned();
    screen.wait_for("Connected");
    // What is typed before the terminal is raw is thrown away, with what was typed for the shell before.
    until("the terminal is raw", || {
        !tcgetattr(&screen.pty).unwrap().local_modes.contains(LocalModes::ICANON)
    });
    (screen, Pid::from_raw(line.parse().unwrap()).unwrap())
}

#[test]
fn every_signal_puts_the_terminal_back() {
    let place = Place::new();
    let (running, host) = session(&place, "loop://");
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130), (Signal::QUIT, 131)] {
        let (mut screen, process) = console(&place, &host, "");
        // What comes back was typed in raw mode: Ctrl-C and the rest are only bytes. A shell that ended would not echo it.
        screen.send("ab\x1acd");
        screen.wait_for("ab\x1acd");
        kill_process(process, signal).unwrap();
        screen.wait_for(&format!("left={code}\r\n1\r\n"));
        assert_eq!(screen.end(), 0);
    }
    running.signal(Signal::TERM);
    running.end();
}

#[test]
fn a_lost_connection_is_an_error_and_puts_the_terminal_back() {
    let place = Place::new();
    let (running, host) = session(&place, "loop://");
    let (mut screen, _) = console(&place, &host, "");
    screen.send("typed");
    screen.wait_for("typed");
    running.signal(Signal::KILL);
    screen.wait_for("Error: ");
    screen.wait_for("left=1\r\n1\r\n");
    assert_eq!(screen.end(), 0);
    let mut running = running;
    running.child.wait().unwrap();
}

#[test]
fn the_end_of_the_device_leaves_the_console_and_resizing_does_not() {
    let place = Place::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (running, host) = session(&place, &format!("socket://{}", server.local_addr().unwrap()));
    let (mut screen, _) = console(&place, &host, "");
    let (mut device, _) = server.accept().unwrap();
    screen.pty.resize(pty_process::Size::new(50, 132)).unwrap();
    device.write_all(b"still there\r\n").unwrap();
    screen.wait_for("still there");
    screen.send("x");
    let mut typed = [0];
    device.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"x");
    drop(device);
    screen.wait_for("The device ended the connection.");
    screen.wait_for("left=0\r\n1\r\n50 132\r\n");
    assert_eq!(screen.end(), 0);
    running.signal(Signal::TERM);
    assert_eq!(code(&running.end()), 143);
}

#[test]
fn a_console_is_logged_with_the_time_of_each_line() {
    let place = Place::new();
    let (running, host) = session(&place, "loop://");
    place.file("console.log", "from before\n");
    let (mut screen, _) = console(&place, &host, "--log console.log --timestamps");
    screen.send("one\ntwo\n");
    // What is typed is not shown until the device sends it back.
    screen.wait_for("two");
    screen.send("\x02\x02\x02");
    screen.wait_for("left=0");
    assert_eq!(screen.end(), 0);
    let log = std::fs::read_to_string(place.path().join("console.log")).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines[0], "from before");
    for (line, text) in lines[1..3].iter().zip(["one", "two"]) {
        let (time, said) = line.split_once(' ').unwrap();
        assert_eq!(said, text, "{log}");
        // 2026-11-28T19:42:41.123+00:00
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert!(
            ["0000-00-00T00:00:00.000+00:00", "0000-00-00T00:00:00.000-00:00"].contains(&shape.as_str()),
            "{time}"
        );
    }
    running.signal(Signal::TERM);
    running.end();
}

#[test]
fn a_transfer_shows_its_progress_in_a_terminal() {
    let place = Place::new();
    let text = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n  dev: {type: opendal, config: {scheme: fs, kwargs: {root: /dev}}}\n  files: {type: opendal, config: {scheme: memory, kwargs: {}}}\n";
    let file = place.file("dev.yaml", text).display().to_string();
    let words = ["shell", "--exporter-config", &file, "--", "sh", "-c", "echo $JUMPSTARTER_HOST; exec cat"];
    let mut running = Running::start(place.jmp(&words).stdin(std::process::Stdio::piped()));
    let host = running.line();
    let variables = [("JUMPSTARTER_HOST", host.as_str())];
    // What does not end says how much there is, and at which rate.
    let mut screen =
        Screen::of(&place, Command::new(J).args(["dev", "read-into-path", "urandom", "dump"]), &variables);
    screen.wait_for("transfer");
    screen.wait_for("MiB/s");
    screen.send("\x03");
    assert_eq!(screen.end(), 130);
    // What has a length shows how much of it is done, and the line is gone in the end.
    place.file("image", &"x".repeat(3 << 20));
    let script = format!("{J} files write-from-path image image; echo done=$?");
    let mut screen = Screen::of(&place, Command::new("sh").args(["-c", &script]), &variables);
    screen.wait_for("transfer");
    screen.wait_for("/3.00 MiB");
    screen.wait_for("done=0");
    assert_eq!(screen.end(), 0);
    running.signal(Signal::TERM);
    running.end();
}
