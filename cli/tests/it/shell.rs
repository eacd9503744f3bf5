//! The command that a shell runs.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use rustix::process::Signal;

use crate::support::{J, Place, Running, code, is_alive, run, run_with, stderr, stdout};

#[test]
fn the_exit_code_is_the_commands() {
    let place = Place::new();
    place.file("plain", "no program");
    for (words, expected) in [
        (&["true"][..], 0),
        (&["false"], 1),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["no-such-command"], 127),
        (&["./plain"], 126),
        (&["j", "power", "nosuch"], 2),
        (&["j", "nosuch"], 2),
    ] {
        let output = run(&mut place.shell("power.yaml", words));
        assert_eq!(code(&output), expected, "{words:?}: {}", stderr(&output));
        assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0], "{words:?}");
    }
    let output = run(&mut place.shell("power.yaml", &["no-such-command"]));
    assert_eq!(stderr(&output), "Error: command not found: no-such-command\n");
    let output = run(&mut place.shell("power.yaml", &["./plain"]));
    assert_eq!(stderr(&output), "Error: permission denied: ./plain\n");
}

#[test]
fn without_a_terminal_the_shell_reads_its_commands_from_standard_input() {
    let place = Place::new();
    for shell in ["/bin/bash", "/bin/sh"] {
        let mut command = place.jmp(&["shell", "--exporter-config", &crate::support::example("power.yaml")]);
        let output = run_with(command.env("SHELL", shell), "j power on\nj power read | tail -n 1\nexit 5\n");
        assert_eq!(
            stdout(&output),
            "voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA\n",
            "{}",
            stderr(&output)
        );
        assert_eq!((code(&output), stderr(&output).as_str()), (5, ""));
    }
}

#[test]
fn the_command_finds_the_exporter_in_its_environment() {
    let place = Place::new();
    let output = run(&mut place.shell("power.yaml", &["env"]));
    let text = stdout(&output);
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    let host = value("JUMPSTARTER_HOST").unwrap();
    assert!(host.starts_with(place.path().join("run").to_str().unwrap()), "{host}");
    assert_eq!(value("JMP_DRIVERS_ALLOW"), Some("UNSAFE"));
    assert_eq!(value("_JMP_SUPPRESS_DRIVER_WARNINGS"), Some("1"));
    for name in
        ["JMP_EXPORTER", "JMP_LEASE", "JMP_EXPORTER_LABELS", "JMP_GRPC_INSECURE", "JMP_GRPC_PASSPHRASE"]
    {
        assert_eq!(value(name), None, "{name}");
    }
}

#[test]
fn a_j_that_is_there_is_used_and_otherwise_one_is_put_behind_everything_else() {
    let place = Place::new();
    let path = stdout(&run(&mut place.shell("power.yaml", &["sh", "-c", "echo $PATH; command -v j"])));
    let (path, found) = path.trim_end().split_once('\n').unwrap();
    assert!(path.starts_with("/usr/local/bin:/usr/bin:/bin:"), "{path}");
    assert_eq!(format!("{}/j", path.rsplit(':').next().unwrap()), found);

    let own = place.file("bin/j", "#!/bin/sh\necho mine\n");
    std::fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
    let mut command = place.shell("power.yaml", &["sh", "-c", "echo $PATH; j"]);
    let path = format!("/usr/bin:/bin:{}", place.path().join("bin").display());
    assert_eq!(stdout(&run(command.env("PATH", &path))), format!("{path}\nmine\n"));

    std::fs::remove_file(&own).unwrap();
    symlink(J, &own).unwrap();
    let mut command = place.shell("power.yaml", &["sh", "-c", "j power on && echo $PATH"]);
    assert_eq!(stdout(&run(command.env("PATH", &path))), format!("{path}\n"));
}

#[test]
fn a_signal_reaches_the_command_and_everything_is_cleaned_up() {
    for (signal, expected, said) in [
        (Signal::TERM, 143, "SIGTERM received, terminating\n"),
        (Signal::INT, 130, "SIGINT pressed, terminating\n"),
    ] {
        let place = Place::new();
        let script = "trap 'echo told; exit 0' TERM INT; sleep 1000 & echo $!; wait";
        let mut running = Running::start(&mut place.shell("board.yaml", &["bash", "-c", script]));
        let grandchild = running.line();
        assert!(is_alive(&grandchild));
        running.signal(signal);
        let output = running.end();
        assert_eq!(
            (code(&output), stdout(&output).as_str(), stderr(&output).as_str()),
            (expected, "told\n", said)
        );
        assert!(!is_alive(&grandchild));
        assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
    }
}

#[test]
fn what_a_command_leaves_behind_ends_with_the_shell() {
    let place = Place::new();
    let output = run(&mut place.shell("power.yaml", &["sh", "-c", "sleep 1000 >&- 2>&- & echo $!"]));
    assert_eq!(code(&output), 0);
    assert!(!is_alive(stdout(&output).trim()));
}

#[test]
fn a_second_signal_does_not_wait() {
    let place = Place::new();
    let script = "trap '' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let mut running = Running::start(&mut place.shell("power.yaml", &["sh", "-c", script]));
    assert_eq!(running.line(), "ready");
    running.signal(Signal::TERM);
    // Two signals at once would have no order.
    assert_eq!(running.complaint(), "SIGTERM received, terminating");
    running.signal(Signal::INT);
    let output = running.end();
    assert_eq!(code(&output), 143);
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn results_and_logs_do_not_mix() {
    let place = Place::new();
    let mut command =
        place.jmp(&["shell", "--exporter-logs", "--exporter-config", &crate::support::example("board.yaml")]);
    let image = crate::support::example("hello.board");
    let output =
        run(command.args(["--", "sh", "-c", &format!("j board storage flash {image} && echo flashed")]));
    assert_eq!(stdout(&output), "flashed\n", "{}", stderr(&output));
}
