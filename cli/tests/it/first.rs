//! Being the first process of a container: whatever loses its parent there becomes a child of this one, and stays in the table of
//! processes until this one asks how it ended.

use std::process::Stdio;

use rustix::process::Signal;

use crate::{
    registered::Exporter,
    support::{J, JMP, Place, Running, children, code, example, is_alive, run, stdout, told, unshare, until},
};

/// Namespaces with processes of their own.
const CONTAINER: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];

/// Makes a process that loses its parent and ends soon after that, and looks until nothing is left of it, half a minute at most.
const ORPHAN: &str = "(sleep 0.1 & echo $! > orphan); it=/proc/$(cat orphan); \
    for look in $(seq 600); do [ -e $it ] || break; sleep 0.05; done; [ -e $it ] && echo left || echo collected";

#[test]
fn pitfall_p6_an_exporter_that_is_the_first_process_collects_orphans() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    let hook = format!("hooks: {{beforeLease: {{script: '{ORPHAN}', timeout: 60}}}}\n");
    place.file("rig.yaml", &format!("{text}{hook}"));
    let Some(mut command) = unshare(&place, &CONTAINER) else { return };
    command.args([JMP, "--log-format", "text", "run", "--exporter-config", "rig.yaml"]);
    command.args(["--tls-grpc-listener", "127.0.0.1:0", "--tls-grpc-insecure"]);
    let mut rig = Exporter::start(&mut command);
    let said = rig.until("hook completed");
    assert!(said.contains("collected"), "{said}");
    // Nobody but a handler ends the first process.
    let [first] = children(&rig.child.id().to_string()).try_into().expect("one process");
    let first = rustix::process::Pid::from_raw(first.parse().unwrap()).unwrap();
    rustix::process::kill_process(first, Signal::TERM).unwrap();
    let (ended, log) = rig.ended();
    assert_eq!(ended, Some(143), "{log}");
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn pitfall_p6_a_shell_collects_orphans_as_the_first_process_and_otherwise() {
    let place = Place::new();
    let board = example("power.yaml");
    let words = ["shell", "--exporter-config", &board, "--", "sh", "-c", ORPHAN];
    let output = run(&mut place.jmp(&words));
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "collected\n"), "{}", told(&output));
    let Some(mut command) = unshare(&place, &CONTAINER) else { return };
    let output = run(command.arg(JMP).args(words));
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "collected\n"), "{}", told(&output));
}

#[test]
fn pitfall_p6_j_collects_orphans_as_the_first_process() {
    let place = Place::new();
    let Some(container) = unshare(&place, &CONTAINER) else { return };
    let mut command = place.jmp(&["shell", "--exporter-config", &example("power.yaml"), "--"]);
    command.arg(container.get_program()).args(container.get_args());
    let mut shell = Running::start(command.args([J, "power", "read", "--count", "0"]).stdin(Stdio::null()));
    assert!(shell.line().starts_with("voltage="));
    let one = |process: &str| children(process).into_iter().next().expect("a child");
    let j = one(&one(&shell.child.id().to_string()));
    assert!(is_alive(&j));
    // Somebody looks in, as with `docker exec`, and leaves something behind.
    let mut visitor = place.program("nsenter");
    visitor.args(["--target", &j, "--user", "--pid", "--mount", "--preserve-credentials"]);
    let output = run(visitor.args(["--wd=.", "sh", "-c", ORPHAN]));
    assert_eq!(stdout(&output), "collected\n", "{}", told(&output));
    shell.signal(Signal::TERM);
    assert_eq!(code(&shell.end()), 143);
    until("nobody is left", || !is_alive(&j));
}
