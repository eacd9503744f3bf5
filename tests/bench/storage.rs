//! A large image to a directory of the exporter's machine and back, and what the exporter needs for it.

use std::{path::Path, time::Instant};

use jumpstarter_client::files::{read, write};
use jumpstarter_interfaces::StorageClient;
use jumpstarter_tests::{
    client::Client,
    exporter::{Exporter, Program},
};

use crate::{
    Effort, Outcome, ours,
    process::{Memory, memory},
    programs::Programs,
    report::{Goal, Row, median},
    upload::write_image,
};

/// Bytes of the image.
const SIZE: usize = 1 << 30;

/// The same file for both exporters.
const FILE: &str = "apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata:
  namespace: default
  name: figures
export:
  files:
    type: jumpstarter_driver_opendal.driver.Opendal
    config:
      scheme: fs
      kwargs:
        root: FOLDER
";

pub(crate) async fn take(effort: Effort, programs: &Programs) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    let size = effort.of(SIZE);
    write_image(&image, size)?;
    let rounds = effort.rounds.min(3);
    let megabytes = size as f64 / 1e6;
    let store = folder.path().join("store");
    std::fs::create_dir_all(&store)?;
    let config = FILE.replace("FOLDER", &store.display().to_string());

    let (mut uploads, mut dumps, mut above) = (vec![], vec![], vec![]);
    let (mut python_uploads, mut python_dumps) = (vec![], vec![]);
    let jmp = programs.ours.clone().ok_or("ours could not be built")?;
    let ours = Exporter::local(&Program::Ours(jmp), &config).await?;
    let storage: StorageClient = ours::connect(Path::new(&ours.host())).await?.client("files")?;
    let upstream = match &programs.upstream {
        Some(python) => {
            let exporter = Exporter::local(&Program::Upstream(python.clone()), &config).await?;
            let client = Client::new(python, &exporter.host());
            Some((exporter, client))
        }
        None => None,
    };
    let process = ours.id().ok_or("our exporter has ended")?;
    // Before anything was done: what a round leaves behind counts for the next one as well.
    let idle = memory(process, Memory::Own)?;
    let (mut copies_there, mut copies_back) = (vec![], vec![]);
    // The first round warms up.
    for round in 0..=rounds {
        // Everybody writes new files: giving back what an old one held is not what is measured.
        for old in ["store/image", "store/python-image", "store/plain", "back", "python-back", "plain-back"] {
            let _ = std::fs::remove_file(folder.path().join(old));
        }
        let there = copy(&image, &store.join("plain"))?;
        let back = copy(&store.join("plain"), &folder.path().join("plain-back"))?;
        if round > 0 {
            copies_there.push(megabytes / there);
            copies_back.push(megabytes / back);
        }
        let watched = Watch::start(process);
        let begun = Instant::now();
        storage.write_from_path("image".to_owned(), read(&image).await?).await?;
        let upload = megabytes / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        storage.read_into_path("image".to_owned(), write(&folder.path().join("back")).await?).await?;
        let dump = megabytes / begun.elapsed().as_secs_f64();
        let most = watched.most().saturating_sub(idle);
        if round > 0 {
            uploads.push(upload);
            dumps.push(dump);
            above.push(most as f64 / f64::from(1 << 20));
        }
        if let Some((_, client)) = &upstream {
            let (upload, dump) = python(client, &image, folder.path()).await?;
            if round > 0 {
                python_uploads.push(megabytes / upload);
                python_dumps.push(megabytes / dump);
            }
        }
    }
    ours.stop().await?;
    if let Some((exporter, _)) = upstream {
        exporter.stop().await?;
    }
    let what = |what: &str| format!("{what} of {} MiB, a directory behind OpenDAL", size >> 20);
    let mut rows = Vec::new();
    let directions =
        [("upload", uploads, copies_there, python_uploads), ("dump", dumps, copies_back, python_dumps)];
    for (direction, mine, plain, theirs) in directions {
        let mut row = Row::new("storage", what(direction), "MB/s", Goal::AtLeastUpstream(4.0));
        (row.ours, row.bare, row.upstream) = (median(mine), median(plain), median(theirs));
        rows.push(row);
    }
    let text = "memory of the exporter while doing so, above idle";
    let mut row = Row::new("storage", text, "MiB", Goal::AtMost(32.0));
    row.ours = median(above);
    rows.push(row);
    Ok(rows)
}

/// Seconds that this machine takes to copy a file: what no transfer can be faster than.
fn copy(from: &Path, to: &Path) -> Outcome<f64> {
    use std::io::{Read as _, Write as _};

    let mut piece = vec![0; 1 << 20];
    let begun = Instant::now();
    let (mut from, mut to) = (std::fs::File::open(from)?, std::fs::File::create(to)?);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(begun.elapsed().as_secs_f64());
        }
        to.write_all(&piece[..count])?;
    }
}

/// Seconds that the unmodified client takes for an upload and a dump.
async fn python(client: &Client, image: &Path, folder: &Path) -> Outcome<(f64, f64)> {
    let script = SCRIPT
        .replace("IMAGE", &format!("{:?}", image.display().to_string()))
        .replace("BACK", &format!("{:?}", folder.join("python-back").display().to_string()));
    let outcome = client.python(&script).await?;
    if outcome.code != Some(0) {
        return Err(format!("the Python client failed: {}", outcome.stderr).into());
    }
    let answer = outcome.stdout.lines().filter_map(|line| line.rsplit_once("= ")).next_back();
    let times = answer.and_then(|(_, times)| times.trim().split_once(' '));
    let (upload, dump) = times.ok_or_else(|| format!("the Python client said {:?}", outcome.stdout))?;
    Ok((upload.parse()?, dump.parse()?))
}

/// Only the transfers are timed, not the interpreter's start.
const SCRIPT: &str = "
import time
files = node('files')
begun = time.perf_counter()
files.write_from_path('python-image', IMAGE)
upload = time.perf_counter() - begun
begun = time.perf_counter()
files.read_into_path('python-image', BACK)
answer(upload, time.perf_counter() - begun)
";

/// Looks at the memory of a process every few milliseconds.
pub(crate) struct Watch {
    stop: std::sync::mpsc::SyncSender<()>,
    thread: std::thread::JoinHandle<u64>,
}

impl Watch {
    pub(crate) fn start(process: u32) -> Self {
        let (stop, stopped) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while stopped.recv_timeout(std::time::Duration::from_millis(20)).is_err() {
                most = most.max(memory(process, Memory::Own).unwrap_or(0));
            }
            most
        });
        Self { stop, thread }
    }

    pub(crate) fn most(self) -> u64 {
        let _ = self.stop.send(());
        self.thread.join().unwrap_or(0)
    }
}
