//! The storage medium: an image, and whether it is all there.
//!
//! Before the first byte is written the medium is marked incomplete, and the mark is removed only after everything was
//! written and synced. Whatever interrupts a transfer, a lost connection or a killed exporter, leaves the mark behind.

use std::{
    io,
    path::{Path, PathBuf},
};

use jumpstarter::{Context as _, Error, Result, Sink, Source};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs,
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter},
    sync::Mutex,
};

use crate::image::MAX_SCRIPT;

/// Who is connected to the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Host,
    Dut,
    Nobody,
}

/// What the boot ROM finds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing was ever written.
    Blank,
    /// Writing was interrupted.
    Incomplete { size: u64 },
    /// An image: its size, digest, and content if it is small enough to be run.
    Image { size: u64, sha256: String, script: Option<Vec<u8>> },
}

pub(crate) struct Medium {
    image: PathBuf,
    mark: PathBuf,
    side: Mutex<Side>,
    /// Removed with the medium, when the configuration names no file.
    _folder: Option<tempfile::TempDir>,
}

impl Medium {
    /// Keeps the image in this file, or in a temporary one.
    pub(crate) fn open(file: Option<&Path>) -> io::Result<Self> {
        let (image, folder) = if let Some(file) = file {
            (file.to_owned(), None)
        } else {
            let folder = tempfile::Builder::new().prefix("jumpstarter-board-").tempdir()?;
            (folder.path().join("image"), Some(folder))
        };
        let mut mark = image.clone().into_os_string();
        mark.push(".incomplete");
        Ok(Self { image, mark: mark.into(), side: Mutex::new(Side::Dut), _folder: folder })
    }

    pub(crate) async fn connect(&self, side: Side) {
        *self.side.lock().await = side;
    }

    pub(crate) async fn side(&self) -> Side {
        *self.side.lock().await
    }

    /// Replaces the image. Nobody can switch the medium meanwhile.
    pub(crate) async fn write(&self, mut source: Source, mut progress: impl FnMut(u64)) -> Result<u64> {
        let _held = self.for_host().await?;
        fs::write(&self.mark, b"").await.context("marking the medium as incomplete")?;
        let file = fs::File::create(&self.image).await.context("writing the medium")?;
        // Each write is a trip to another thread: not one for each piece that arrives.
        let mut file = BufWriter::with_capacity(1024 * 1024, file);
        let mut size = 0;
        while let Some(piece) = source.next().await? {
            file.write_all(&piece).await.context("writing the medium")?;
            size += piece.len() as u64;
            progress(piece.len() as u64);
        }
        file.flush().await.context("writing the medium")?;
        file.get_ref().sync_all().await.context("writing the medium")?;
        source.finish().await?;
        fs::remove_file(&self.mark).await.context("marking the medium as complete")?;
        Ok(size)
    }

    /// Reads the image back.
    pub(crate) async fn read(&self, sink: Sink) -> Result<u64> {
        let _held = self.for_host().await?;
        if fs::try_exists(&self.mark).await.unwrap_or(false) {
            return Err(Error::device(
                "the image on the medium is incomplete: a transfer was interrupted; flash it again",
            ));
        }
        match fs::File::open(&self.image).await {
            Ok(file) => sink.copy_from(file).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                sink.finish().await?;
                Ok(0)
            }
            Err(error) => Err(Error::from(error).context("reading the medium")),
        }
    }

    async fn for_host(&self) -> Result<tokio::sync::MutexGuard<'_, Side>> {
        let side = self.side.lock().await;
        match *side {
            Side::Host => Ok(side),
            Side::Dut => {
                Err(Error::device("the medium is connected to the device: switch it to the host first"))
            }
            Side::Nobody => {
                Err(Error::device("the medium is connected to nobody: switch it to the host first"))
            }
        }
    }

    /// What the boot ROM finds when it looks.
    pub(crate) async fn content(&self) -> io::Result<Content> {
        let mut file = match fs::File::open(&self.image).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Blank),
            Err(error) => return Err(error),
        };
        let size = file.metadata().await?.len();
        if fs::try_exists(&self.mark).await? {
            return Ok(Content::Incomplete { size });
        }
        let mut script = (size <= MAX_SCRIPT).then(Vec::new);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            if let Some(script) = &mut script {
                script.extend_from_slice(&buffer[..count]);
            }
        }
        Ok(Content::Image { size, sha256: jumpstarter::resource::hex(&hasher.finalize()), script })
    }
}
