//! "Share your bench": the commands of the README, as they are there, on two machines that know nothing of each other.
//!
//! A machine is a home and a network of its own: what the desk learns of the bench goes through the cable between them and the
//! line that is carried over.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    machines::{Machine, bench_and_desk},
    support::{J, JMP, Kept, Place, Running, code, run, stderr, stdout},
};

/// The commands of the section, as they are on the page.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, section) = page.split_once("## Share your bench\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.flat_map(|block| block.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A shell on one of the machines, with our programs on its path.
fn shell(machine: &Machine, place: &Place, command: &str) -> Command {
    let folder = std::path::Path::new(JMP).parent().unwrap();
    assert_eq!(std::path::Path::new(J).parent(), Some(folder));
    // Commands of a README are typed where the repository is.
    let command = format!("cd {:?} && {command}", concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut shell = machine.shell(place, &command);
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()));
    shell
}

#[test]
fn four_commands_of_the_readme_lead_from_two_empty_machines_to_a_device_that_is_on() {
    let (bench_home, desk_home) = (Place::new(), Place::new());
    let commands = commands();
    let [serve, run_exporter, login, use_it] = commands.as_slice() else { panic!("{commands:?}") };
    let serve = serve.strip_suffix(" &").expect("it goes on");
    let run_exporter = run_exporter.strip_suffix(" &").expect("it goes on");
    let both = Place::new();
    let Some((bench, desk)) = bench_and_desk(&both) else { return };
    let on_bench = |command: &str| shell(&bench, &bench_home, command);
    let on_desk = |command: &str| shell(&desk, &desk_home, command);
    let mut lab = Running::start(&mut on_bench(&format!("exec {serve}")));
    let printed = lab.line();
    // It begins as the page has it, up to the fingerprint: no two labs have the same.
    let (common, _) = login.split_once("--fingerprint ").expect("a fingerprint");
    assert!(printed.starts_with(&format!("{common}--fingerprint ")), "{printed}");

    let mut exporter = Kept::spawn(on_bench(&format!("exec {run_exporter}")).stderr(Stdio::piped()));
    let mut said = BufReader::new(exporter.stderr.take().unwrap());
    let mut line = String::new();
    let mut all = String::new();
    // Whoever asks before the lab knows of any exporter is told that there is none.
    while !all.contains("registered with bench.local:") {
        assert_ne!(said.read_line(&mut all).unwrap(), 0, "{all}");
    }
    let log = std::thread::spawn(move || {
        while said.read_line(&mut line).unwrap_or(0) > 0 {
            all.push_str(&std::mem::take(&mut line));
        }
        all
    });

    let logged_in = run(&mut on_desk(&printed));
    assert_eq!(code(&logged_in), 0, "{}", stderr(&logged_in));
    assert!(stderr(&logged_in).contains("Set 'me' as the default client."), "{}", stderr(&logged_in));
    let used = run(&mut on_desk(use_it));
    assert_eq!((code(&used), stdout(&used).as_str()), (0, ""), "{}", stderr(&used));
    let read = use_it.replace("power on", "power read");
    let read = run(&mut on_desk(&read));
    assert!(stdout(&read).starts_with("voltage="), "{}{}", stdout(&read), stderr(&read));
    // The second machine has what it was told, and nothing of the first one's.
    assert!(!desk_home.path().join("home/.local").exists());

    rustix::process::kill_process(rustix::process::Pid::from_child(&exporter), Signal::TERM).unwrap();
    assert_eq!(exporter.wait().unwrap().code(), Some(143), "{}", log.join().unwrap());
    lab.signal(Signal::TERM);
    let ended = lab.end();
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    // The invitation is for whoever looks, and for no log.
    let secret = printed.rsplit(' ').next().unwrap();
    assert!(!stderr(&ended).contains(secret));
}
