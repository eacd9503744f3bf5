//! Other processes: the two servers, the programs, and what the kernel says about them.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use jumpstarter_tests::python::{Python, python};

use crate::Outcome;

/// A server started from this same program. Ends when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens: a unix socket, or `HOST:PORT`.
    pub(crate) socket: PathBuf,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(whose: &str) -> Outcome<Self> {
        Self::start_with(whose, &[])
    }

    /// The same, with these variables.
    pub(crate) fn start_with(whose: &str, variables: &[(&str, &OsStr)]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.envs(variables.iter().copied());
        command.args(["--serve", whose]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.as_mut() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix("listening: ") {
            Some(socket) => Ok(Self { socket: socket.into(), child }),
            None => Err(format!("the server of {whose} did not start").into()),
        }
    }

    /// Both of them.
    pub(crate) fn both() -> Outcome<(Self, Self)> {
        Ok((Self::start("ours")?, Self::start("bare")?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input is what it waits for.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Says where a server listens.
pub(crate) fn announce(socket: &Path) {
    println!("listening: {}", socket.display());
    // Whoever waits for the line is at the other end of a pipe.
    let _ = std::io::stdout().flush();
}

/// Waits for the end of standard input on a thread of its own, which costs nothing meanwhile.
pub(crate) async fn until_input_ends() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// The `jmp` of this workspace, built with the settings of a release; its `j` lies beside it.
pub(crate) fn programs() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--quiet", "--package", "jumpstarter-cli"]);
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if !status.success() {
        return Err(format!("cargo build --release --package jumpstarter-cli: {status}").into());
    }
    // Benchmarks lie in `<target>/<profile>/deps`.
    let this = std::env::current_exe()?;
    let jmp = this.ancestors().nth(2).ok_or("the benchmark is not in a target directory")?.join("jmp");
    if jmp.exists() { Ok(jmp) } else { Err(format!("there is no {}", jmp.display()).into()) }
}

/// The Python implementation, if it can be had; says why not.
pub(crate) fn python_if_there() -> Option<Python> {
    // Tests want it and panic without; here it only leaves a column empty.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let python = std::panic::catch_unwind(python);
    std::panic::set_hook(hook);
    match python {
        Ok(python) => python,
        Err(problem) => {
            let problem = problem.downcast_ref::<String>().map_or("it cannot be installed", String::as_str);
            eprintln!("left out: the Python implementation: {problem}");
            None
        }
    }
}

/// What memory is counted.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    /// All of it, the mapped parts of the program's file included, which other processes share.
    Resident,
    /// What belongs to the process alone and cannot be dropped.
    Own,
}

/// Memory that a process and those it has started have in use now, in bytes.
pub(crate) fn memory(id: u32, kind: Memory) -> Outcome<u64> {
    let name = match kind {
        Memory::Resident => "VmRSS:",
        Memory::Own => "RssAnon:",
    };
    let mut sum = 0;
    for id in family(id)? {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        sum += field(&status, name).ok_or("the kernel does not tell the memory of a process")? * 1024;
    }
    Ok(sum)
}

/// How often all threads of a process and of those it has started have been given a processor or lost one.
pub(crate) fn switches(id: u32) -> Outcome<u64> {
    let mut sum = 0;
    for id in family(id)? {
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            sum += field(&status, "voluntary_ctxt_switches:").unwrap_or(0)
                + field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
    }
    Ok(sum)
}

/// How long a process has had a processor so far, all its threads that still run together.
pub(crate) fn processor_time(id: u32) -> Outcome<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        // Nanoseconds on a processor, and two more fields (sched-stats.rst of the kernel). What stat(5) has beside it is in
        // hundredths of a second, of which a quiet process needs few.
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let spent = text.split_whitespace().next().ok_or("the kernel does not tell the time of a thread")?;
        sum += Duration::from_nanos(spent.parse()?);
    }
    Ok(sum)
}

/// A process and all that descend from it: upstream's exporter does its work in a child.
fn family(id: u32) -> Outcome<Vec<u32>> {
    let mut family = vec![id];
    let mut next = 0;
    while let Some(id) = family.get(next) {
        for thread in fs::read_dir(format!("/proc/{id}/task"))?.collect::<Vec<_>>() {
            let children = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    Ok(family)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
