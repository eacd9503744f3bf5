//! The guard: a small process that ends the commands of an exporter which was killed.
//!
//! It is one `sh` for the whole exporter, started with the first command. It reads from a pipe which groups there are, and
//! ends those that are left when the pipe does: the kernel closes it with the exporter, however that ended. A death signal
//! (`PR_SET_PDEATHSIG`) would do less: it reaches only the leader of a group, and comes when a *thread* ends.

use std::{
    io::Write as _,
    os::fd::OwnedFd,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use jumpstarter_core::{Context as _, Error, Result};
use rustix::process::{getpid, setsid};

/// `+ NUMBER GROUP` is a new group, `- NUMBER` one that is gone. Numbers are never used twice, unlike groups.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=' '
while read -r sign number group; do
    case $sign in
    +) groups="$groups$number:$group " ;;
    -)
        case $groups in
        *" $number:"*)
            before=${groups%%" $number:"*}
            behind=${groups#*" $number:"}
            groups="$before ${behind#* }"
            ;;
        esac
        ;;
    esac
done
for entry in $groups; do
    kill -s KILL -- "-${entry#*:}"
done
"#;

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);
static NUMBERS: AtomicU64 = AtomicU64::new(1);

struct Guard {
    process: Child,
    pipe: Arc<OwnedFd>,
}

/// A group that the guard knows. Dropping it makes the guard forget it.
#[derive(Debug)]
pub(crate) struct Watched {
    number: u64,
    pipe: Arc<OwnedFd>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        tell(&self.pipe, format_args!("- {}\n", self.number));
    }
}

/// Says one line, in one piece: it is shorter than what a pipe takes at once.
fn tell(pipe: &OwnedFd, line: std::fmt::Arguments<'_>) {
    // No memory is allocated: this also runs between fork and exec.
    let mut buffer = [0_u8; 64];
    let mut free = &mut buffer[..];
    if free.write_fmt(line).is_err() {
        return;
    }
    let rest = free.len();
    // Without a guard nobody needs to know; the next command starts another one.
    let _ = rustix::io::write(pipe, &buffer[..buffer.len() - rest]);
}

fn start() -> Result<Guard> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "jumpstarter-guard"]).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut process = command.spawn().context("starting the guard of commands, /bin/sh")?;
    let pipe = process.stdin.take().ok_or_else(|| Error::internal("the guard has no input"))?;
    Ok(Guard { process, pipe: Arc::new(pipe.into()) })
}

fn pipe() -> Result<Arc<OwnedFd>> {
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = &mut *guard
        && matches!(running.process.try_wait(), Ok(None))
    {
        return Ok(running.pipe.clone());
    }
    let fresh = start()?;
    Ok(guard.insert(fresh).pipe.clone())
}

/// Lets the command lead a session of its own that the guard knows before its program starts.
pub(crate) fn watch(command: &mut tokio::process::Command) -> Result<Watched> {
    let watched = Watched { number: NUMBERS.fetch_add(1, Relaxed), pipe: pipe()? };
    let (number, pipe) = (watched.number, watched.pipe.clone());
    let lead = move || {
        setsid()?;
        tell(&pipe, format_args!("+ {number} {}\n", getpid().as_raw_nonzero()));
        Ok(())
    };
    // SAFETY: between fork and exec, only functions that are safe there may be called. These are three system calls and
    // the formatting of two numbers into a buffer on the stack: nothing allocates, locks or unwinds.
    #[expect(unsafe_code, reason = "there is no safe way to become the leader of a session")]
    unsafe {
        command.pre_exec(lead);
    }
    Ok(watched)
}
