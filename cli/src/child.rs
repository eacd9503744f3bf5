//! The command that `jmp shell` runs: its environment, its turn at the terminal, and its end.
//!
//! It runs in a process group of its own, so that everything it started can be ended together. When this program has the
//! terminal for itself, the group gets it at once; when others share it (`jmp shell … | less`), the group gets it as soon
//! as it asks for it. Then Ctrl-C is for the command; whoever presses it twice wants an end of everything.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jumpstarter_files::leftovers::{self, Folder};
use jumpstarter_process::programs;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_current_process_group, kill_process, kill_process_group,
    test_kill_process_group, waitpgid, waitpid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    files::reason,
    keys::{self, Keys},
    orphans,
    report::{FAILURE, Outcome, Signalled, Stop, signal_code},
    signals::Signals,
    terminal::{self, Terminal},
};

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// How long what a command has left behind may take to end.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// Exit code for a command that is there and cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code for a command that is not there.
const NOT_FOUND: u8 = 127;

/// How folders with a `j` are called. Earlier versions call theirs `jumpstarter-tools-…` and do not lock them, so those are never
/// known to be unused.
const TOOLS: &str = "jumpstarter-path-";

/// What to run.
pub(crate) struct Job<'a> {
    /// The command and its arguments; nothing for a shell.
    pub(crate) words: &'a [OsString],
    /// What the prompt of a shell shows.
    pub(crate) context: &'a str,
    /// Variables in addition to this process's own.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// Whether a shell reads the user's own start files.
    pub(crate) profiles: bool,
    /// When this is cancelled, the command is told that what it works with is gone, as by a terminal that was closed.
    pub(crate) hang_up: Option<CancellationToken>,
}

enum Event {
    /// By this signal.
    Stopped(i32),
    /// With this exit code; by this signal, if it was one.
    Ended(u8, Option<i32>),
}

/// Runs a command to its end, and answers its exit code as a shell would.
pub(crate) async fn run(job: Job<'_>, signals: &mut Signals) -> Outcome {
    let mut command = job.command();
    let tools = Tools::find()?;
    if let Some(path) = tools.path() {
        command.env("PATH", path);
    }
    // What the command leaves behind becomes a child of this process, so that its end can be waited for.
    #[cfg(target_os = "linux")]
    let _orphans = match rustix::process::set_child_subreaper(Some(getpid())) {
        // The first process of a container does that anyway.
        Ok(()) => (!orphans::is_first()).then(|| AbortOnDropHandle::new(tokio::spawn(orphans::collect()))),
        Err(error) => {
            tracing::debug!("cannot adopt orphans: {error}");
            None
        }
    };
    let terminal = Terminal::open();
    let child =
        command.process_group(0).spawn().map_err(|error| not_started(&error, command.get_program()))?;
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Err(Stop::infrastructure("the operating system gave the command no process number"));
    };
    let hang_up = job.hang_up.clone().unwrap_or_default();
    let mut keys = None;
    let front = Front { group, terminal: terminal.as_ref(), takes_keys: keys::is_typed_into(job.words) };
    let end = attend(&front, &mut keys, &hang_up, signals).await;
    if let Some(keys) = keys {
        keys.stop().await;
    }
    let end = end?;
    if let Some(terminal) = &terminal {
        let lent = terminal.is_lent_to(group);
        terminal.take_back(group);
        if lent && end.by == Some(Signal::INT.as_raw()) {
            // Who pressed Ctrl-C meant everything in front of the terminal, for example the script that started this
            // program. Here it has no further effect: what there is to be cleaned up is.
            let everything = || {
                let _ = kill_current_process_group(Signal::INT);
            };
            signals.without_own_interrupt(everything).await;
        }
    }
    end_leftovers(group).await;
    Ok(end.code)
}

/// How a command ended.
struct End {
    code: u8,
    /// The signal that ended it without having been asked for here, or that somebody in front of the terminal insisted on.
    by: Option<i32>,
}

/// A command, and the terminal that it can have.
struct Front<'a> {
    group: Pid,
    terminal: Option<&'a Terminal>,
    /// Whether Ctrl-C is a key for it like others.
    takes_keys: bool,
}

impl Front<'_> {
    /// Lends it the terminal, if that is ours. Then somebody has to listen for Ctrl-C there.
    fn lend(&self, keys: &mut Option<Keys>) -> bool {
        if !self.terminal.is_some_and(|terminal| terminal.lend(self.group)) {
            return false;
        }
        // It may have reached for the terminal before it was its turn, and been stopped for that.
        kill(self.group, Signal::CONT);
        if !self.takes_keys && keys.is_none() {
            *keys = Keys::listen(self.group);
        }
        true
    }

    /// Whether Ctrl-C is there to end what runs: a program that reads single keys does with it what it likes.
    fn is_interrupted(&self) -> bool {
        self.terminal.is_some_and(|terminal| terminal.is_lent_to(self.group) && terminal.is_by_line())
    }
}

async fn attend(
    front: &Front<'_>,
    keys: &mut Option<Keys>,
    hang_up: &CancellationToken,
    signals: &mut Signals,
) -> Result<End, Stop> {
    let Front { group, terminal, .. } = *front;
    let (report, mut events) = mpsc::channel(4);
    std::thread::spawn(move || watch(group, &report));
    let eager = terminal::is_all_ours() && front.lend(keys);
    let stop_key = signal(SignalKind::from_raw(Signal::TSTP.as_raw()));
    let (Ok(mut stop_key), Ok(mut resumed)) = (stop_key, signal(SignalKind::from_raw(Signal::CONT.as_raw())))
    else {
        return Err(Stop::infrastructure("cannot listen for signals"));
    };
    let mut asked: Option<(Signalled, Instant)> = None;
    let mut hung_up = false;
    let (mut pressed, mut insisted): (Option<Instant>, bool) = (None, false);
    loop {
        let deadline = asked.map(|(_, deadline)| deadline);
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Ended(code, by)) => return Ok(match asked {
                    Some((signal, _)) => {
                        End { code: signal.code(), by: insisted.then_some(Signal::INT.as_raw()) }
                    }
                    None => End { code, by },
                }),
                Some(Event::Stopped(by)) => {
                    let wants_terminal = by == Signal::TTIN.as_raw() || by == Signal::TTOU.as_raw();
                    if wants_terminal && front.lend(keys) {
                        continue;
                    }
                    if wants_terminal && terminal.is_some_and(|terminal| terminal.is_lent_to(group)) {
                        // It was stopped before it was its turn, and this is old news.
                        kill(group, Signal::CONT);
                        continue;
                    }
                    // As if it had been this program that was stopped: whoever started it gets the terminal.
                    if let Some(terminal) = terminal {
                        terminal.take_back(group);
                    }
                    let _ = kill_process(getpid(), Signal::STOP);
                    resumed.recv().await;
                    if !(eager && front.lend(keys)) {
                        let _ = kill_process_group(group, Signal::CONT);
                    }
                }
                None => {
                    let code = asked.map_or(FAILURE, |(signal, _)| signal.code());
                    return Ok(End { code, by: None });
                }
            },
            signal = signals.next() => if asked.is_some() {
                // Somebody insists.
                kill(group, Signal::KILL);
            } else {
                Stop::Signal(signal).print();
                kill(group, signal.signal());
                // A process that was stopped acts upon a signal only when it goes on.
                kill(group, Signal::CONT);
                asked = Some((signal, Instant::now() + GRACE));
            },
            () = keys::pressed(keys), if keys.is_some() => {
                if !front.is_interrupted() {
                    continue;
                }
                let now = Instant::now();
                if asked.is_some() {
                    kill(group, Signal::KILL);
                } else if pressed.replace(now).is_some_and(|before| now.duration_since(before) < GRACE) {
                    // It has heard both, and goes on.
                    Stop::Signal(Signalled::Interrupt).print();
                    signals.insisted();
                    insisted = true;
                    kill(group, Signal::TERM);
                    kill(group, Signal::CONT);
                    asked = Some((Signalled::Interrupt, now + GRACE));
                } else {
                    let seconds = GRACE.as_secs();
                    tracing::debug!("Ctrl-C is for the command; once more within {seconds} s ends it");
                }
            },
            _ = stop_key.recv() => kill(group, Signal::TSTP),
            // It may have something to bring to an end; when it ends is its own affair.
            () = hang_up.cancelled(), if !hung_up => {
                hung_up = true;
                kill(group, Signal::HUP);
                kill(group, Signal::CONT);
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                kill(group, Signal::KILL);
                asked = asked.map(|(signal, at)| (signal, at + GRACE));
            }
        }
    }
}

fn kill(group: Pid, signal: Signal) {
    // It fails when nobody is left, which is what was wanted.
    let _ = kill_process_group(group, signal);
}

/// Waits for the command, in a thread of its own: there is no other way to hear that it was stopped.
fn watch(child: Pid, report: &mpsc::Sender<Event>) {
    loop {
        let event = match waitpid(Some(child), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) => {
                match (status.stopping_signal(), status.exit_status(), status.terminating_signal()) {
                    (Some(signal), ..) => Event::Stopped(signal),
                    (_, Some(code), _) => Event::Ended(u8::try_from(code & 0xff).unwrap_or(FAILURE), None),
                    (.., Some(signal)) => Event::Ended(signal_code(signal), Some(signal)),
                    _ => continue,
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        };
        let over = matches!(event, Event::Ended(..));
        if report.blocking_send(event).is_err() || over {
            return;
        }
    }
}

/// Ends what the command has left behind in its process group.
async fn end_leftovers(group: Pid) {
    if test_kill_process_group(group).is_err() {
        return;
    }
    kill(group, Signal::TERM);
    kill(group, Signal::CONT);
    if !gone(group, LEFTOVERS).await {
        kill(group, Signal::KILL);
        gone(group, LEFTOVERS).await;
    }
}

/// Waits until nobody of a process group is left. Only orphans of this process can be waited for.
async fn gone(group: Pid, limit: Duration) -> bool {
    let (done, over) = oneshot::channel();
    std::thread::spawn(move || {
        // Ends with "no children".
        while !matches!(waitpgid(group, WaitOptions::empty()), Err(error) if error != rustix::io::Errno::INTR)
        {
        }
        let _ = done.send(());
    });
    let _ = timeout(limit, over).await;
    test_kill_process_group(group).is_err()
}

fn not_started(error: &io::Error, program: &OsStr) -> Stop {
    let name = program.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Stop::Failed { message: format!("command not found: {name}"), code: NOT_FOUND, class: None }
        }
        io::ErrorKind::PermissionDenied => {
            Stop::Failed { message: format!("permission denied: {name}"), code: NOT_EXECUTABLE, class: None }
        }
        _ => Stop::Failed {
            message: format!("cannot execute {name}: {}", reason(error)),
            code: NOT_EXECUTABLE,
            class: None,
        },
    }
}

impl Job<'_> {
    fn command(&self) -> Command {
        let mut command = match self.words {
            [] => shell(
                std::env::var_os("SHELL").filter(|shell| !shell.is_empty()),
                self.context,
                self.profiles,
            ),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }
}

/// The user's shell, without the user's start files unless they are wanted: those would set another prompt.
fn shell(shell: Option<OsString>, context: &str, profiles: bool) -> Command {
    let program = shell.unwrap_or_else(|| "bash".into());
    let mut command = Command::new(&program);
    let base = Path::new(&program).file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    if base.ends_with("bash") {
        let colour = |code: &str| format!("\\[\\e[{code}m\\]");
        let context: String = context.chars().filter(|c| !matches!(c, '\\' | '$' | '`')).collect();
        let prompt = [
            colour("90"),
            "\\W ".into(),
            colour("93"),
            "⚡".into(),
            colour("97"),
            context,
            " ".into(),
            colour("93"),
            "➤".into(),
            colour("0"),
            " ".into(),
        ];
        if !profiles {
            command.args(["--norc", "--noprofile"]);
        }
        command.env("PS1", prompt.concat());
    } else if base == "zsh" {
        let context = context.replace('%', "%%");
        if !profiles {
            command.arg("--no-rcs");
        }
        command
            .args(["-o", "inc_append_history", "-o", "share_history"])
            .env("PS1", format!("%F{{8}}%1~ %F{{yellow}}⚡%F{{white}}{context} %F{{yellow}}➤%f "));
        if std::env::var_os("HISTFILE").is_none()
            && let Some(home) = std::env::var_os("HOME")
        {
            command.env("HISTFILE", Path::new(&home).join(".zsh_history"));
        }
    } else if base == "fish" {
        let context: String =
            context.chars().filter(|c| c.is_alphanumeric() || "-_. ".contains(*c)).collect();
        let prompt = [
            "function fish_prompt",
            "set_color brblack; printf '%s ' (basename $PWD)",
            "set_color bryellow; printf '⚡'",
            &format!("set_color brwhite; printf '%s ' '{context}'"),
            "set_color bryellow; printf '➤ '",
            "set_color normal",
            "end",
        ];
        command.args(["--init-command", &prompt.join("; ")]);
    }
    command
}

/// A folder with a `j`, for whoever has none on `PATH`.
pub(crate) struct Tools(Option<Folder>);

impl Tools {
    /// Makes such a folder if it is needed.
    pub(crate) fn find() -> Result<Self, Stop> {
        if programs::find("j").is_some() {
            return Ok(Self(None));
        }
        let make = || -> io::Result<Folder> {
            let folder = Folder::new(TOOLS)?;
            std::os::unix::fs::symlink(std::env::current_exe()?, folder.path().join("j"))?;
            Ok(folder)
        };
        let folder = make()
            .map_err(|error| Stop::infrastructure(format!("cannot put `j` on PATH: {}", reason(&error))))?;
        Ok(Self(Some(folder)))
    }

    /// Removes such folders of programs that were killed.
    pub(crate) fn tidy() {
        leftovers::tidy(&std::env::temp_dir(), TOOLS);
    }

    /// The folder, if one was needed.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.path().to_owned())
    }

    /// `PATH` with the folder behind everything else: whatever the user has there comes first.
    fn path(&self) -> Option<OsString> {
        let folder = self.folder()?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
        std::env::join_paths(folders.chain([folder])).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(program: Option<&str>) -> (String, Vec<String>, Option<String>) {
        let command = shell(program.map(Into::into), "local", false);
        let arguments = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let prompt = command.get_envs().find(|(name, _)| *name == "PS1").and_then(|(_, value)| value);
        (
            command.get_program().to_string_lossy().into_owned(),
            arguments,
            prompt.map(|text| text.to_string_lossy().into_owned()),
        )
    }

    #[test]
    fn each_shell_gets_its_prompt_and_no_start_files() {
        let (program, arguments, prompt) = described(None);
        assert_eq!(
            (program.as_str(), arguments),
            ("bash", vec!["--norc".to_owned(), "--noprofile".to_owned()])
        );
        let expected = "\\[\\e[90m\\]\\W \\[\\e[93m\\]⚡\\[\\e[97m\\]local \\[\\e[93m\\]➤\\[\\e[0m\\] ";
        assert_eq!(prompt.as_deref(), Some(expected));
        let (_, arguments, prompt) = described(Some("/usr/bin/zsh"));
        assert_eq!(arguments, ["--no-rcs", "-o", "inc_append_history", "-o", "share_history"]);
        assert_eq!(prompt.as_deref(), Some("%F{8}%1~ %F{yellow}⚡%F{white}local %F{yellow}➤%f "));
        let (_, arguments, prompt) = described(Some("/usr/bin/fish"));
        assert_eq!(arguments[0], "--init-command");
        assert!(arguments[1].contains("⚡") && prompt.is_none());
        let (program, arguments, prompt) = described(Some("/bin/dash"));
        assert_eq!((program.as_str(), arguments.len(), prompt), ("/bin/dash", 0, None));
    }
}
