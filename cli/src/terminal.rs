//! Who owns the terminal: `jmp shell` lends it to the command that it runs, and takes it back.

use std::{fs::File, io::IsTerminal as _};

use rustix::{
    process::{Pid, getpgrp},
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp},
};

/// The terminal that controls this process.
pub(crate) struct Terminal {
    tty: File,
    ours: Pid,
    modes: Option<Termios>,
}

impl Terminal {
    /// The controlling terminal, if there is one.
    pub(crate) fn open() -> Option<Self> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let ours = getpgrp();
        let mut terminal = Self { tty, ours, modes: None };
        // In the background, these are the modes of somebody else.
        if terminal.is_ours() {
            terminal.modes = tcgetattr(&terminal.tty).ok();
        }
        Some(terminal)
    }

    /// Whether the process group of this process is in the foreground.
    fn is_ours(&self) -> bool {
        self.is_lent_to(self.ours)
    }

    /// Whether this process group is in the foreground.
    pub(crate) fn is_lent_to(&self, group: Pid) -> bool {
        tcgetpgrp(&self.tty).is_ok_and(|foreground| foreground == group)
    }

    /// Whether it hands over whole lines, and not each key: nobody edits, and Ctrl-C is for what runs.
    pub(crate) fn is_by_line(&self) -> bool {
        tcgetattr(&self.tty).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ICANON))
    }

    /// Puts a process group into the foreground, if it is ours to do so.
    pub(crate) fn lend(&self, group: Pid) -> bool {
        self.is_ours() && tcsetpgrp(&self.tty, group).is_ok()
    }

    /// Puts this process into the foreground again, where this group had it, and sets the terminal to what it was.
    pub(crate) fn take_back(&self, from: Pid) {
        if !self.is_lent_to(from) && !self.is_ours() {
            return;
        }
        without_stopping(|| {
            // What fails here fails because the terminal is gone.
            let _ = tcsetpgrp(&self.tty, self.ours);
            if let Some(modes) = &self.modes {
                // A program that was killed in the middle leaves the terminal without echo, for example.
                let _ = tcsetattr(&self.tty, OptionalActions::Drain, modes);
            }
        });
    }
}

/// Whether all three standard streams are a terminal: nothing else in front of it needs one then.
pub(crate) fn is_all_ours() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// Runs something with `SIGTTOU` blocked: a process in the background that reaches for the terminal is stopped otherwise.
#[allow(unsafe_code)]
fn without_stopping(action: impl FnOnce()) {
    // SAFETY: all three calls get valid pointers to signal sets of this frame; the mask is this thread's alone, and is
    // restored before the frame ends. No safe wrapper of this call is among our dependencies.
    unsafe {
        let mut stop = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut stop);
        libc::sigaddset(&raw mut stop, libc::SIGTTOU);
        let blocked = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const stop, &raw mut before) == 0;
        if blocked {
            action();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        }
    }
}
