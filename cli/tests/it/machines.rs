//! Two machines with a cable between them: network namespaces, each with an address, a name, and nothing else in common.

use std::process::{Command, Stdio};

use crate::support::{Kept, Place, code, run, told, unshare, until};

/// Addresses for documentation (RFC 5737).
const BENCH: &str = "192.0.2.1";
const DESK: &str = "192.0.2.2";

/// A machine that is on. It is off when this is dropped.
pub(crate) struct Machine {
    /// A process that does nothing, and so keeps the machine's namespaces.
    holder: Kept,
}

impl Machine {
    fn is_there(&self) -> bool {
        // Until it is, the process is the program that makes the namespaces.
        std::fs::read_to_string(format!("/proc/{}/comm", self.holder.id())).is_ok_and(|name| name == "cat\n")
    }

    /// What is to be run on this machine.
    fn enter(&self, place: &Place, words: &[&str]) -> Command {
        let mut command = place.program("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--preserve-credentials"]);
        command.args(["--user", "--net", "--uts", "--mount", "--"]).args(words);
        command
    }

    /// A shell on this machine with this command, in the root of its file system.
    pub(crate) fn shell(&self, place: &Place, command: &str) -> Command {
        self.enter(place, &["bash", "-c", command])
    }

    fn root(&self, place: &Place, line: &str) {
        let done = run(&mut self.shell(place, line));
        assert_eq!(code(&done), 0, "{line}: {}", told(&done));
    }
}

/// A bench called `bench.local` and a desk. Each knows the names of both. `None` when the user left out tests with programs of the
/// system.
///
/// # Panics
///
/// Where a program for it is not there or not allowed; the message says what to do.
pub(crate) fn bench_and_desk(place: &Place) -> Option<(Machine, Machine)> {
    let hold = |command: &mut Command| {
        let machine = Machine { holder: Kept::spawn(command.arg("cat").stdin(Stdio::piped())) };
        until("the machine is there", || machine.is_there());
        machine
    };
    let ip = run(place.program("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin ip -V"]));
    let bench = hold(&mut unshare(place, &["--net", "--uts", "--mount"])?);
    assert!(
        ip.status.success(),
        "ip is needed for this test and is not there: apt-get install iproute2, or leave these tests out with JUMPSTARTER_SKIP_PROGRAMS=1"
    );
    // Of the same owner, who may lay a cable from one to the other.
    let desk = hold(&mut bench.enter(place, &["unshare", "--net", "--uts", "--mount"]));
    let hosts =
        place.file("hosts", &format!("127.0.0.1 localhost\n{BENCH} bench.local\n{DESK} desk.local\n"));
    let other = desk.holder.id();
    let path = "PATH=$PATH:/usr/sbin:/sbin";
    bench.root(place, &format!("{path}; ip link add cable type veth peer name cable netns {other}"));
    for (machine, address, name) in [(&bench, BENCH, "bench.local"), (&desk, DESK, "desk.local")] {
        let hosts = hosts.display();
        machine.root(
            place,
            &format!(
                "{path}; set -e; hostname {name}; mount --bind {hosts} /etc/hosts; ip link set lo up; \
                 ip address add {address}/24 dev cable; ip link set cable up"
            ),
        );
    }
    Some((bench, desk))
}
