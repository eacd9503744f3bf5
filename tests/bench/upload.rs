//! An image on its way to storage: read here, written and synced there, its digest compared.

use std::{io::Write as _, path::Path, time::Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use jumpstarter_client::files::read;
use jumpstarter_interfaces::StorageMuxFlasherClient;
use jumpstarter_tests::{
    client::Client,
    exporter::{Exporter, Program},
    python::Python,
};
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::{
    Effort, Outcome, bare, ours,
    process::Server,
    report::{Goal, Row, median},
};

/// Bytes of the image.
const SIZE: usize = 256 << 20;

/// Bytes per piece of the bare client; ours uses the same.
const PIECE: usize = 64 << 10;

/// The same devices as Python has them. Its mock of a storage multiplexer writes a file, without syncing it.
const UPSTREAM: &str = "apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata:
  namespace: default
  name: figures
export:
  mux:
    type: jumpstarter_driver_opendal.driver.MockStorageMuxFlasher
  files:
    type: jumpstarter_driver_opendal.driver.Opendal
    config:
      scheme: fs
      kwargs:
        root: FOLDER
";

pub(crate) async fn take(effort: Effort, python: Option<&Python>) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    let size = effort.of(SIZE);
    let digest = write_image(&image, size)?;
    let rounds = effort.rounds.min(5);
    let megabytes = size as f64 / 1e6;

    let (mine, theirs) = Server::both()?;
    let storage: StorageMuxFlasherClient = ours::connect(&mine.socket).await?.client("board.storage")?;
    let mut client = bare::Client::connect(&theirs.socket).await?;
    let mut upstream = match python {
        Some(python) => Some(Upstream::start(python, folder.path()).await?),
        None => None,
    };
    let (mut pairs, mut python_alone, mut python_whole, mut mixed_rates) = (vec![], vec![], vec![], vec![]);
    // The first round warms up. Everything takes its turn in each: disks and neighbours have their moods.
    for round in 0..=rounds {
        let rate = |begun: Instant| megabytes / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        storage.flash(read(&image).await?, None).await?;
        let mine = rate(begun);
        let begun = Instant::now();
        bare_upload(&mut client, &image, &digest).await?;
        let theirs = rate(begun);
        if round > 0 {
            pairs.push((mine, theirs));
        }
        if let Some(upstream) = &mut upstream {
            let (alone, whole) = upstream.upload(&image).await?;
            let begun = Instant::now();
            upstream.storage.flash(read(&image).await?, None).await?;
            if round > 0 {
                mixed_rates.push(rate(begun));
                python_alone.push(megabytes / alone);
                python_whole.push(megabytes / whole);
            }
        }
    }
    if let Some(upstream) = upstream {
        upstream.exporter.stop().await?;
    }
    let mut row = Row::new("upload", "an image with its digest", "MB/s", Goal::None).of(&pairs);
    row.upstream = median(python_alone);
    let goal = Goal::AtLeastUpstream(4.0);
    let mut whole = Row::new("upload", "the same; Python's digest is asked for as well", "MB/s", goal);
    (whole.ours, whole.upstream) = (row.ours, median(python_whole));
    let mut mixed = Row::new("upload", "our client at the Python exporter", "MB/s", Goal::None);
    (mixed.ours, mixed.upstream) = (median(mixed_rates), row.upstream);
    Ok(vec![row, whole, mixed])
}

/// The Python exporter, with its own client and with ours.
struct Upstream {
    exporter: Exporter,
    client: Client,
    storage: StorageMuxFlasherClient,
}

impl Upstream {
    async fn start(python: &Python, folder: &Path) -> Outcome<Self> {
        let files = folder.join("files");
        std::fs::create_dir_all(&files)?;
        let config = UPSTREAM.replace("FOLDER", &files.display().to_string());
        let exporter = Exporter::local(&Program::Upstream(python.clone()), &config).await?;
        let client = Client::new(python, &exporter.host());
        let storage = ours::connect(Path::new(&exporter.host())).await?.client("mux")?;
        Ok(Self { exporter, client, storage })
    }

    /// Seconds that its client takes: for the upload alone, and for one with the digest compared.
    async fn upload(&self, image: &Path) -> Outcome<(f64, f64)> {
        let outcome = self
            .client
            .python(&SCRIPT.replace("IMAGE", &format!("{:?}", image.display().to_string())))
            .await?;
        if outcome.code != Some(0) {
            return Err(format!("the Python client failed: {}", outcome.stderr).into());
        }
        // Its progress bars share the line.
        let answer = outcome.stdout.lines().filter_map(|line| line.rsplit_once("= ")).next_back();
        let times = answer.and_then(|(_, times)| times.trim().split_once(' '));
        let (alone, whole) = times.ok_or_else(|| format!("the Python client said {:?}", outcome.stdout))?;
        Ok((alone.parse()?, whole.parse()?))
    }
}

/// Only the transfers are timed, not the interpreter's start.
const SCRIPT: &str = "
import hashlib, time
path = IMAGE
mux, files = node('mux'), node('files')
begun = time.perf_counter()
mux.write_local_file(path)
alone = time.perf_counter() - begun
begun = time.perf_counter()
files.write_from_path('image', path)
digest = files.hash('image', 'sha256')
with open(path, 'rb') as file:
    assert digest == hashlib.file_digest(file, 'sha256').hexdigest()
answer(alone, time.perf_counter() - begun)
";

/// Bytes that no layer can shorten; the digest of them.
pub(crate) fn write_image(path: &Path, size: usize) -> Outcome<Vec<u8>> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut hasher = Sha256::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let part = &block[..left.min(block.len())];
        file.write_all(part)?;
        hasher.update(part);
        left -= part.len();
    }
    file.flush()?;
    Ok(hasher.finalize().to_vec())
}

async fn bare_upload(client: &mut bare::Client, image: &Path, digest: &[u8]) -> Outcome<()> {
    let file = File::open(image).await?;
    let (hashed, hash) = tokio::sync::oneshot::channel();
    let pieces =
        futures::stream::unfold((file, Sha256::new(), hashed), async |(mut file, mut hasher, hashed)| {
            let mut piece = bytes::BytesMut::with_capacity(PIECE);
            while piece.len() < PIECE {
                match (&mut file).take((PIECE - piece.len()) as u64).read_buf(&mut piece).await {
                    Ok(1..) => {}
                    // A short file shows in the digest.
                    Ok(0) | Err(_) => break,
                }
            }
            if piece.is_empty() {
                let _ = hashed.send(hasher.finalize().to_vec());
                return None;
            }
            hasher.update(&piece);
            Some((piece.freeze(), (file, hasher, hashed)))
        });
    let stored: Bytes = client.store(pieces.boxed()).await?;
    if stored[..] == *digest && hash.await? == digest {
        Ok(())
    } else {
        Err("the bare server has stored something else".into())
    }
}
