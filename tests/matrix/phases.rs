//! Bringing a user to a phase, and what becomes of what was going on there.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::unix::pipe::Sender,
    time::{Instant, sleep},
};

use crate::{
    expected::{Party, Phase, Work},
    gate::pipe,
    lab::{Bench, PATIENCE},
    leftovers,
    process::{Program, Said},
};

/// How much of an image is written before it stands, more than anybody keeps in memory; and how much comes then.
const HALVES: [usize; 2] = [4 * 1024 * 1024, 4 * 1024];

/// Reads commands, and says what came of each.
const USER: &str = "\
echo 'user: ready'
while read -r line; do
    sh -c \"$line\" < /dev/null
    echo \"user: code $?\"
done
echo 'user: bye'
";

/// A user with a shell, and what is needed to let go on what stands.
pub(crate) struct User {
    pub(crate) shell: Program,
    phase: Phase,
    /// The rest of an image.
    image: Option<Sender>,
    /// The lease of somebody else.
    holder: Option<String>,
}

/// The arguments of a client of this name.
pub(crate) fn client(place: &Path, name: &str) -> [String; 2] {
    ["--client-config".to_owned(), place.join(format!("{name}.yaml")).display().to_string()]
}

/// Starts a command of a client on an exporter that it leases.
pub(crate) fn leased(bench: &Bench, name: &str, command: &[&str]) -> tokio::process::Command {
    let [option, file] = client(bench.path(), name);
    let words = [&["shell", &option, &file, "--selector", "board=demo", "--"], command].concat();
    bench.jmp(&words)
}

impl User {
    /// One who has come to this phase, and stands there.
    pub(crate) async fn reach(bench: &mut Bench, phase: Phase) -> Result<Self, String> {
        match phase {
            Phase::Before => bench.before.close(),
            Phase::Using => bench.using.close(),
            Phase::After => bench.after.close(),
            Phase::Waiting | Phase::Idle | Phase::Flashing => {}
        }
        let mut holder = None;
        if phase == Phase::Waiting {
            let [option, file] = client(bench.path(), "bob");
            let words = ["create", "lease", &option, &file, "-l", "board=demo", "--wait", "30", "-o", "name"];
            holder = Some(bench.told(&words).await?.trim().to_owned());
        }
        let script = bench.path().join("user.sh");
        std::fs::write(&script, USER).map_err(|error| error.to_string())?;
        let mut command = leased(bench, "alice", &["sh", &script.display().to_string()]);
        command.stdin(Stdio::piped());
        let shell = Program::start(command, Said::default()).map_err(|error| error.to_string())?;
        bench.owners.add(shell.id().unwrap_or_default(), Party::Client);
        let mut user = Self { shell, phase, image: None, holder };
        user.come_to(bench).await.map_err(|problem| {
            format!("the phase is not reached: {problem}\n--- user\n{}", user.shell.said.text())
        })?;
        Ok(user)
    }

    async fn come_to(&mut self, bench: &mut Bench) -> Result<(), String> {
        match self.phase {
            Phase::Waiting => {
                self.until(0, &["Waiting for lease", "leased"]).await?;
                return Ok(());
            }
            Phase::Before => {
                reached(&mut bench.before).await?;
                // It looks on by now.
                self.until(0, &["Waiting for beforeLease hook"]).await?;
                return Ok(());
            }
            Phase::Idle | Phase::Using | Phase::Flashing | Phase::After => {
                self.until(0, &["user: ready"]).await?
            }
        };
        match self.phase {
            Phase::Idle => Ok(()),
            Phase::Using => {
                self.shell.type_line("j host wait").await;
                reached(&mut bench.using).await
            }
            Phase::Flashing => self.flash(bench).await,
            _ => {
                self.leave();
                reached(&mut bench.after).await?;
                self.until(0, &["Running afterLease hook"]).await.map(drop)
            }
        }
    }

    /// Begins to write an image, and waits until some of it is there.
    async fn flash(&mut self, bench: &Bench) -> Result<(), String> {
        let path = bench.path().join("image");
        let (_, mut image) = pipe(&path).map_err(|error| error.to_string())?;
        self.shell.type_line(&format!("exec j storage flash - < {}", path.display())).await;
        let written = tokio::time::timeout(PATIENCE, image.write_all(&vec![7; HALVES[0]])).await;
        written.map_err(|_| "nobody reads the image")?.map_err(|error| error.to_string())?;
        self.image = Some(image);
        let deadline = Instant::now() + PATIENCE;
        while arriving(&bench.on_rig("tmp")) == 0 {
            if Instant::now() > deadline {
                return Err("nothing of the image arrives".to_owned());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn until(&self, from: usize, words: &[&str]) -> Result<String, String> {
        self.shell.said.until(from, words, Instant::now() + PATIENCE).await
    }

    /// Lets go on what stands.
    pub(crate) async fn go(&mut self, bench: &mut Bench) -> Result<(), String> {
        match self.phase {
            Phase::Waiting => {
                let [option, file] = client(bench.path(), "bob");
                let name = self.holder.take().unwrap_or_default();
                bench.told(&["delete", "leases", &option, &file, &name]).await?;
            }
            Phase::Idle => {}
            Phase::Before => bench.before.open().await,
            Phase::Using => bench.using.open().await,
            Phase::After => bench.after.open().await,
            Phase::Flashing => {
                if let Some(mut image) = self.image.take() {
                    // Nobody may be there any more: it fits into the pipe in any case.
                    let _ = image.try_write(&vec![7; HALVES[1]]).map_err(drop);
                    let _ = image.shutdown().await;
                }
            }
        }
        Ok(())
    }

    /// Waits until it is clear what became of what was going on, and whether it is what it should be.
    pub(crate) async fn work(&self, from: usize, work: Work, deadline: Instant) -> Result<(), String> {
        let said = &self.shell.said;
        match (self.phase, work) {
            (Phase::Idle, Work::Back) => {
                said.until(from, &["connected to the exporter again"], deadline).await?;
            }
            (_, Work::Dropped) | (Phase::Idle | Phase::After, _) => return Ok(()),
            (Phase::Waiting | Phase::Before, _) => {
                said.until(0, &["user: ready"], deadline).await?;
            }
            (Phase::Using | Phase::Flashing, _) => {
                let code = said.until(from, &["user: code"], deadline).await?;
                let wanted = if work == Work::Done { "user: code 0" } else { "user: code 1" };
                if code != wanted {
                    return Err(format!("what the user did ended with {code:?}, not with {wanted:?}"));
                }
            }
        }
        if self.phase == Phase::Using && work == Work::Done {
            said.until(from, &["using is done"], deadline).await?;
        }
        Ok(())
    }

    /// Waits until nobody works any more for a user who is gone.
    pub(crate) async fn dropped(&self, bench: &Bench, deadline: Instant) -> Result<(), String> {
        let left = || match self.phase {
            Phase::Using => {
                // The command of the exporter's host, by the gate that it stands at.
                let all = leftovers::processes(bench.path());
                all.iter().any(|(_, words)| words.contains("using.go"))
            }
            Phase::Flashing => arriving(&bench.on_rig("tmp")) > 0,
            Phase::Waiting | Phase::Before | Phase::Idle | Phase::After => false,
        };
        while left() {
            if Instant::now() > deadline {
                return Err("the exporter works on for somebody who is gone".to_owned());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Types a command, and waits until it has succeeded.
    pub(crate) async fn succeeds(&mut self, line: &str, deadline: Instant) -> Result<(), String> {
        let from = self.shell.said.count();
        self.shell.type_line(line).await;
        let code = self.shell.said.until(from, &["user: code"], deadline).await;
        match code.map_err(|problem| format!("{line}: {problem}"))?.as_str() {
            "user: code 0" => Ok(()),
            code => Err(format!("{line}: {code}")),
        }
    }

    /// Leaves the shell.
    pub(crate) fn leave(&mut self) {
        self.shell.input = None;
    }

    /// Waits until the shell is gone.
    pub(crate) async fn gone(&mut self, deadline: Instant) -> Result<ExitStatus, String> {
        self.leave();
        self.shell.ended(deadline).await.map_err(|problem| format!("the user's shell: {problem}"))
    }
}

async fn reached(gate: &mut crate::gate::Gate) -> Result<(), String> {
    let come = tokio::time::timeout(PATIENCE, gate.reached()).await;
    come.map_err(|_| "nobody has come to the gate".to_owned())
}

/// How many bytes of images that are not complete there are.
pub(crate) fn arriving(tmp: &Path) -> u64 {
    let list = |folder: &Path| {
        std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).collect::<Vec<_>>()
    };
    let images = list(tmp).into_iter().flat_map(|folder| list(&folder.path()));
    let incomplete = images.filter(|file| file.file_name().as_encoded_bytes().starts_with(b".tmp"));
    incomplete.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
