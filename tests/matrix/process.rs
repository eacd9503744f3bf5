//! Programs as people start them, and what they say.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::{Instant, timeout_at},
};

/// What a program has said, line by line, both streams in one.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

impl Default for Said {
    fn default() -> Self {
        Self { lines: Arc::default(), count: watch::Sender::new(0) }
    }
}

impl Said {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        self.count.send_replace(lines.len());
    }

    fn follow(&self, from: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(from) = from else { return };
        let this = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                this.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        });
    }

    /// How many lines there are.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// The lines from there on.
    pub(crate) fn since(&self, from: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(from..).unwrap_or_default().to_vec()
    }

    pub(crate) fn text(&self) -> String {
        self.since(0).join("\n")
    }

    /// Waits for a line with all of these words from there on, and answers it.
    pub(crate) async fn until(
        &self,
        from: usize,
        words: &[&str],
        deadline: Instant,
    ) -> Result<String, String> {
        let mut count = self.count.subscribe();
        let mut seen = from;
        let found = async {
            loop {
                let have = *count.borrow_and_update();
                for line in self.since(seen) {
                    if words.iter().all(|word| line.contains(word)) {
                        return line;
                    }
                }
                seen = seen.max(have);
                if count.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout_at(deadline, found).await.map_err(|_| format!("nothing was said of {words:?} in time"))
    }
}

/// A program that runs; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) said: Said,
    child: Child,
    pub(crate) input: Option<ChildStdin>,
}

/// A process, and the one that serves for it, if it is an exporter.
pub(crate) fn with_worker(process: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let serves = |child: &u32| {
        std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|words| words.starts_with(b"jmp-worker\0"))
    };
    let workers = children.split_whitespace().flat_map(str::parse::<u32>).filter(serves);
    std::iter::once(process).chain(workers).collect()
}

fn send(process: u32, signal: Signal) {
    let process = process.try_into().ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process"), signal).expect("a signal");
}

/// `program` with these words, and nothing of this machine's environment but the system's commands.
pub(crate) fn command(program: &Path, home: &Path, mark: &Path, words: &[&str]) -> Command {
    let folder = program.parent().unwrap_or(Path::new("/"));
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()))
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .env("TMPDIR", home.join("tmp"))
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        // By this, whatever it leaves behind is found.
        .env(crate::leftovers::MARK, mark)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Program {
    /// Starts it. What it says goes to what somebody of the same name has said before.
    pub(crate) fn start(mut command: Command, said: Said) -> io::Result<Self> {
        let mut child = command.spawn()?;
        said.follow(child.stdout.take());
        said.follow(child.stderr.take());
        let input = child.stdin.take();
        Ok(Self { said, child, input })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.id().expect("it runs"), signal);
    }

    fn all(&self) -> Vec<u32> {
        with_worker(self.id().expect("it runs"))
    }

    /// Stops all of it, and waits until it stands.
    pub(crate) async fn stop(&self) {
        for process in self.all() {
            send(process, Signal::STOP);
            let stat = format!("/proc/{process}/stat");
            // No child of ours tells us that without having been asked for it by a blocking call.
            while !std::fs::read_to_string(&stat)
                .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Lets what was stopped go on.
    pub(crate) fn go_on(&self) {
        for process in self.all() {
            send(process, Signal::CONT);
        }
    }

    /// Types a line.
    pub(crate) async fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it reads");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, deadline: Instant) -> Result<ExitStatus, String> {
        let ended = timeout_at(deadline, self.child.wait()).await;
        ended.map_err(|_| "it does not end in time".to_owned())?.map_err(|error| error.to_string())
    }
}
