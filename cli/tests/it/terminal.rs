//! Consoles and prompts in a pseudo-terminal.

use std::io::{Read as _, Write as _};

use pty_process::blocking::{Command, Pty, open};

use crate::support::{JMP, Place, example};

/// A program in a terminal, and everything it has shown so far.
struct Screen {
    pty: Pty,
    child: std::process::Child,
    seen: String,
    at: usize,
}

impl Screen {
    fn start(place: &Place, words: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(place, Command::new(JMP).args(words), variables)
    }

    fn of(place: &Place, command: Command, variables: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
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

    fn send(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until this has been shown, behind what was waited for before.
    fn wait_for(&mut self, text: &str) {
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

    fn end(mut self) -> i32 {
        // The other side of a terminal that nobody uses any more cannot be read.
        let mut buffer = [0; 4096];
        while self.pty.read(&mut buffer).is_ok_and(|count| count > 0) {}
        self.child.wait().unwrap().code().expect("ended by a signal")
    }
}

#[test]
fn the_console_is_interactive_and_leaves_after_three_keys() {
    let place = Place::new();
    let script = format!(
        "j board storage flash {} && j board power on && j board console start-console; echo left=$?; stty -a | grep -c -w icanon",
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
    screen.send("sleep 1000\r");
    screen.wait_for("sleep 1000\r\n");
    screen.send("\x03");
    screen.wait_for("➤");
    screen.send("exit 3\r");
    assert_eq!(screen.end(), 3);
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
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
    let mut screen = Screen::of(&place, Command::new("/bin/bash").args(["--norc", "run.sh"]), &[]);
    screen.wait_for("ready");
    screen.send("\x03");
    screen.wait_for("script heard it");
    assert_eq!(screen.end(), 1);
}
