//! Ctrl-C in a terminal, while a lease is held: what it ends, and what it does not.

use pty_process::blocking::Command;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    lab::Lab,
    registered::{Exporter, exporter_file},
    support::{JMP, Place, code, run, stderr, stdout, until},
    terminal::Screen,
};

/// A lab, and an exporter with a hook after each lease that waits for a line in `go`.
struct Bench {
    place: Place,
    lab: Lab,
    rig: Exporter,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let lab = Lab::start(&place);
        let file = exporter_file(&place);
        let path = place.path().join(&file);
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            place.path().join("go"),
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        let script =
            format!("echo hook begins; read go < {}; echo hook ends", place.path().join("go").display());
        let text = std::fs::read_to_string(&path).unwrap();
        let hooks = format!("{text}\nhooks:\n  afterLease:\n    script: {script:?}\n    timeout: 300\n");
        std::fs::write(&path, hooks).unwrap();
        let made =
            run(&mut place.jmp(&["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--save"]));
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        let mut rig =
            Exporter::start(&mut place.jmp(&["--log-format", "text", "run", "--exporter-config", &file]));
        rig.until("AVAILABLE");
        Self { place, lab, rig }
    }

    /// Lets the hook go on.
    fn go(&self) {
        std::fs::write(self.place.path().join("go"), "go\n").unwrap();
    }

    fn leases(&self) -> usize {
        let shown = run(&mut self.place.jmp(&["get", "leases", "-o", "json"]));
        let shown: Value = serde_json::from_str(&stdout(&shown)).unwrap();
        shown["leases"].as_array().unwrap().len()
    }

    fn end(self) {
        assert_eq!(self.rig.end(Signal::TERM).0, Some(143));
        assert_eq!(self.place.leftovers(), [] as [std::path::PathBuf; 0]);
        assert_eq!(self.lab.end(Signal::TERM).0, Some(0));
    }
}

const SHELL: [&str; 4] = ["shell", "-l", "board=demo", "--"];

#[test]
fn pitfall_k1_ctrl_c_ends_the_command_and_the_hook_is_waited_for() {
    let bench = Bench::new();
    let words = [&SHELL[..], &["sh", "-c", "echo ready; exec sleep 1000"]].concat();
    // In front of the terminal with a script around, which hears it as well.
    let script = format!(
        "trap 'echo script heard it; exit 1' INT\n{JMP} {} sh -c 'echo ready; exec sleep 1000'; echo code=$?\n",
        SHELL.join(" ")
    );
    bench.place.file("run.sh", &script);
    let around = ["--default-signal=INT", "/bin/bash", "--norc", "run.sh"];
    for (command, expected) in [(Command::new(JMP).args(&words), 130), (Command::new("env").args(around), 1)]
    {
        let mut screen = Screen::of(&bench.place, command, &[]);
        screen.wait_for("ready");
        screen.send("\x03");
        screen.wait_for("hook begins");
        assert!(!screen.text().contains("is not waited for"), "{}", screen.text());
        bench.go();
        screen.wait_for("hook ends");
        screen.wait_for("afterLease hook completed");
        screen.wait_for("Releasing Lease");
        if expected == 1 {
            screen.wait_for("script heard it");
        }
        assert_eq!(screen.end(), expected);
        assert_eq!(bench.leases(), 0);
    }
    bench.end();
}

#[test]
fn another_ctrl_c_while_the_hook_runs_does_not_wait_for_it() {
    let bench = Bench::new();
    let words = [&SHELL[..], &["sh", "-c", "echo ready; exec sleep 1000"]].concat();
    let mut screen = Screen::start(&bench.place, &words, &[]);
    screen.wait_for("ready");
    screen.send("\x03");
    screen.wait_for("Running afterLease hook (Ctrl+C to skip)");
    screen.send("\x03");
    screen.wait_for("the afterLease hook is not waited for");
    assert_eq!(screen.end(), 130);
    assert_eq!(bench.leases(), 0);
    bench.go();
    bench.end();
}

/// Whether somebody listens for Ctrl-C beside the command of this process.
fn listens(process: u32) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.map(|entry| entry.path()).any(|path| {
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        let status = read("status");
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim();
        let caught = u64::from_str_radix(value("SigCgt:"), 16).unwrap_or_default();
        read("cmdline").contains("__interrupts")
            && value("PPid:") == process.to_string()
            && caught & (1 << (Signal::INT.as_raw() - 1)) != 0
    })
}

#[test]
fn ctrl_c_twice_ends_a_command_that_does_not_want_to() {
    let bench = Bench::new();
    for (trap, more) in [("trap '' INT", 0), ("trap '' INT TERM", 1)] {
        let script = format!("{trap}; echo ready; while :; do sleep 1000; done");
        // Two that come at once may be one.
        let words = [&["--log-level", "DEBUG"], &SHELL[..], &["sh", "-c", &script]].concat();
        let mut screen = Screen::start(&bench.place, &words, &[]);
        screen.wait_for("ready");
        until("somebody listens", || listens(screen.process()));
        screen.send("\x03");
        screen.wait_for("Ctrl-C is for the command; once more within 10 s ends it");
        assert!(!screen.text().contains("terminating"), "once is for the command");
        screen.send("\x03");
        screen.wait_for("SIGINT pressed, terminating");
        for _ in 0..more {
            screen.send("\x03");
        }
        screen.wait_for("Releasing Lease");
        // Whoever insists does not wait for a hook.
        assert!(!screen.text().contains("Running afterLease hook"), "{}", screen.text());
        assert_eq!(screen.end(), 130);
        assert_eq!(bench.leases(), 0);
        // The exporter runs it all the same, and is free afterwards.
        bench.go();
    }
    bench.end();
}

#[test]
fn ctrl_c_is_a_key_like_others_for_whoever_types() {
    let bench = Bench::new();
    // Reads keys, not lines, as editors and prompts do.
    let script = "trap 'echo heard' INT; stty -icanon; echo ready; while :; do read -r -n 1 key && echo \"key $key\"; done";
    let words = [&SHELL[..], &["bash", "-c", script]].concat();
    let mut screen = Screen::start(&bench.place, &words, &[]);
    screen.wait_for("ready");
    until("somebody listens", || listens(screen.process()));
    for _ in 0..3 {
        screen.send("\x03");
        screen.wait_for("heard");
    }
    screen.send("x");
    screen.wait_for("key x");
    assert!(!screen.text().contains("terminating"), "{}", screen.text());
    let child = screen.process();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.try_into().unwrap()).unwrap(),
        Signal::TERM,
    )
    .unwrap();
    screen.wait_for("Running afterLease hook");
    bench.go();
    assert_eq!(screen.end(), 143);
    bench.end();
}
