//! The data of files: those of this machine beside all others.
//!
//! Files of this machine are read and written here, so that their holes stay holes and their data takes no detour. For
//! everything else, and for all that is not data, there is the library.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use jumpstarter::{Error, Result, Sink, Source, task::spawn_blocking};
use jumpstarter_files::{Abandoned, Reader, Writer};
use opendal::{Metadata, Operator};

use crate::error::{of_file, told};

/// Size of the parts in which large files go to services that take parts; two of them are on their way at a time. S3 takes
/// none below 5 MiB, and 10,000 of them: enough for 80 GiB.
const PART: usize = 8 * 1024 * 1024;

/// Where files are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    operator: Operator,
    /// The folder, if it is one of this machine.
    root: Option<PathBuf>,
}

/// A file that is read.
#[derive(Debug)]
pub(crate) struct Reading {
    path: String,
    data: Data,
    len: Option<u64>,
}

enum Data {
    Here(Arc<File>),
    Elsewhere(opendal::Reader),
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "here",
            Self::Elsewhere(_) => "elsewhere",
        })
    }
}

/// What is read of it.
pub(crate) enum Pieces {
    Here {
        path: String,
        reader: Reader,
    },
    Elsewhere {
        path: String,
        pieces: BoxStream<'static, io::Result<Bytes>>,
        missing: Option<u64>,
    },
    /// Nothing.
    Over,
}

impl Place {
    pub(crate) fn new(operator: Operator, root: Option<PathBuf>) -> Self {
        Self { operator, root }
    }

    pub(crate) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The file's name here. What leads out of the root is left to the library, which refuses it.
    fn here(&self, path: &str) -> Option<PathBuf> {
        let root = self.root.as_ref()?;
        let given = PathBuf::from(opendal::raw::normalize_path(path));
        let inside = given.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let relative: PathBuf =
            given.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        (inside && !path.ends_with('/') && !relative.as_os_str().is_empty()).then(|| root.join(relative))
    }

    /// Whether two paths name one file, as far as their spelling says so.
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        self.here(one).is_some_and(|place| Some(place) == self.here(other))
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Reading> {
        let metadata =
            self.operator.stat(path).await.map_err(|error| told(error, format_args!("read {path}")))?;
        let data = match self.here(path).filter(|_| !metadata.is_dir()) {
            Some(place) => {
                let file = blocking(move || File::open(place)).await;
                Data::Here(Arc::new(file.map_err(|error| of_file(error, "read", path))?))
            }
            None => Data::Elsewhere(self.reader(path, &metadata).await?),
        };
        let len = match &data {
            Data::Here(file) => {
                let reader = Reader::of_file(file.clone(), 0);
                reader.and_then(|reader| reader.len()).map_err(|error| of_file(error, "stat", path))?
            }
            // Web servers do not have to say how long something is, which then looks as if it were empty.
            Data::Elsewhere(_) => Some(metadata.content_length()).filter(|len| *len > 0),
        };
        Ok(Reading { path: path.to_owned(), data, len })
    }

    async fn reader(&self, path: &str, metadata: &Metadata) -> Result<opendal::Reader> {
        if metadata.is_dir() {
            let error = opendal::Error::new(opendal::ErrorKind::IsADirectory, "read path is a directory")
                .with_operation("read")
                .with_context("service", self.operator.info().scheme())
                .with_context("path", path);
            return Err(told(error, format_args!("read {path}")));
        }
        self.operator.reader(path).await.map_err(|error| told(error, format_args!("read {path}")))
    }

    pub(crate) async fn write(&self, path: &str) -> Result<Writing> {
        let body = if let Some(place) = self.here(path) {
            let made = create(place.clone()).await.map_err(|error| of_file(error, "write", path))?;
            let Some((writer, fresh)) = made else {
                return Err(Error::busy(format!(
                    "somebody else is writing {path}: try again when that is done, or write to another name"
                )));
            };
            Body::Here { writer, place, fresh }
        } else {
            let capability = self.operator.info().capability();
            let writer = if capability.write_can_multi && self.root.is_none() {
                self.operator.writer_with(path).chunk(PART).concurrent(2).await
            } else {
                self.operator.writer(path).await
            };
            Body::Elsewhere(Box::new(writer.map_err(|error| told(error, format_args!("write {path}")))?))
        };
        Ok(Writing { path: path.to_owned(), body: Some(body) })
    }
}

async fn blocking<T: Send + 'static>(what: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(what).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Opens a file with the folders that it is in, as the library does, and says whether it is new. Nothing if somebody writes
/// it: two who write one file make something of it that neither has sent. What it holds stays until something comes.
async fn create(place: PathBuf) -> io::Result<Option<(Writer, bool)>> {
    blocking(move || {
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder)?;
        }
        loop {
            let (file, fresh) = match File::options().write(true).create_new(true).open(&place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    (File::options().write(true).create(true).truncate(false).open(&place)?, false)
                }
                file => (file?, true),
            };
            let kind = file.metadata()?.file_type();
            if kind.is_file() || kind.is_block_device() {
                match file.try_lock() {
                    Err(TryLockError::WouldBlock) => return Ok(None),
                    // Not every file system has locks.
                    Ok(()) | Err(TryLockError::Error(_)) => {}
                }
                // Whoever had it may have removed it, and then nobody would ever see what is written.
                if !is_at(&file, &place)? {
                    continue;
                }
            }
            return Ok(Some((Writer::over_file(file)?, fresh)));
        }
    })
    .await
}

/// Whether this is the file that has this name.
fn is_at(file: &File, place: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::metadata(place) {
        Ok(there) => Ok((open.dev(), open.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Reading {
    /// How long the file was when it was opened, where that is known.
    pub(crate) fn len(&self) -> Option<u64> {
        self.len
    }

    /// The data from a position on.
    pub(crate) async fn from(&self, position: u64) -> Result<Pieces> {
        let path = self.path.clone();
        match &self.data {
            Data::Here(file) => {
                let reader = Reader::of_file(file.clone(), position);
                Ok(Pieces::Here { reader: reader.map_err(|error| of_file(error, "read", &path))?, path })
            }
            Data::Elsewhere(_) if self.len.is_some_and(|len| position >= len) => Ok(Pieces::Over),
            Data::Elsewhere(reader) => {
                let pieces = match self.len {
                    Some(len) => reader.clone().into_bytes_stream(position..len).await,
                    None => reader.clone().into_bytes_stream(position..).await,
                };
                let missing = self.len.map(|len| len - position);
                let pieces = pieces.map_err(|error| told(error, format_args!("read {path}")))?.boxed();
                Ok(Pieces::Elsewhere { path, pieces, missing })
            }
        }
    }
}

impl Pieces {
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Over => Ok(None),
            Self::Here { path, reader } => reader.next().await.map_err(|error| of_file(error, "read", path)),
            Self::Elsewhere { path, pieces, missing } => {
                let piece = pieces.next().await.transpose().map_err(|error| elsewhere(error, path))?;
                let got = piece.as_ref().map_or(0, |piece| piece.len() as u64);
                if let Some(missing) = missing {
                    *missing = missing.saturating_sub(got);
                    if piece.is_none() && *missing > 0 {
                        return Err(Error::truncated(format!(
                            "{path}: the last {missing} bytes did not come"
                        )));
                    }
                }
                Ok(piece)
            }
        }
    }

    /// As a source.
    pub(crate) fn into_source(self) -> Source {
        Source::new(futures::stream::try_unfold(self, async |mut pieces| {
            Ok(pieces.next().await?.map(|piece| (piece, pieces)))
        }))
    }

    /// Copies everything into a sink and says after each piece how much it was.
    pub(crate) async fn copy_to(&mut self, mut sink: Sink, mut seen: impl FnMut(u64)) -> Result<()> {
        loop {
            match self.next().await {
                Ok(Some(piece)) => {
                    let length = piece.len() as u64;
                    sink.write(piece).await?;
                    seen(length);
                }
                Ok(None) => return sink.finish().await,
                Err(error) => {
                    sink.abort(error.clone());
                    return Err(error);
                }
            }
        }
    }
}

/// The library's error, if it is one, from inside of an error of the system.
fn elsewhere(error: io::Error, path: &str) -> Error {
    match error.downcast::<opendal::Error>() {
        Ok(error) => told(error, format_args!("read {path}")),
        Err(error) => Error::from(error).context(path),
    }
}

/// A file that is written. What is not finished is not there: dropping it discards what was written.
pub(crate) struct Writing {
    path: String,
    /// Taken by whoever finishes or discards it.
    body: Option<Body>,
}

enum Body {
    Here { writer: Writer, place: PathBuf, fresh: bool },
    Elsewhere(Box<opendal::Writer>),
}

impl Writing {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the file is one of this machine, whose data is there before it is finished.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.body, Some(Body::Here { .. }))
    }

    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<()> {
        match &mut self.body {
            Some(Body::Here { writer, .. }) => {
                writer.write(piece).await.map_err(|error| of_file(error, "write", &self.path))
            }
            Some(Body::Elsewhere(writer)) => {
                writer.write(piece).await.map_err(|error| told(error, format_args!("write {}", self.path)))
            }
            None => Err(Error::internal("written to a file that was finished")),
        }
    }

    /// Makes the file what was written. Goes on when nobody waits for it any more: half of it would be worse.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let Some(body) = self.body.take() else { return Ok(()) };
        let path = std::mem::take(&mut self.path);
        let finishing = jumpstarter::task::spawn(body.finish(path));
        finishing.await.unwrap_or_else(|error| Err(Error::internal(error.to_string())))
    }

    /// Gives the file up as it is.
    pub(crate) async fn release(mut self) {
        if let Some(Body::Here { writer, .. }) = self.body.take() {
            let _ = writer.abandon().await;
        }
    }

    /// Has there be no such file. Goes on when nobody waits for it any more.
    pub(crate) async fn discard(mut self) {
        if let Some(body) = self.body.take() {
            // It is reported as failed anyway.
            let _ = jumpstarter::task::spawn(body.discard()).await;
        }
    }
}

impl Body {
    async fn finish(self, path: String) -> Result<()> {
        match self {
            Self::Here { writer, place, .. } => match writer.finish().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    discard_file(place).await;
                    Err(of_file(error, "write", &path))
                }
            },
            Self::Elsewhere(mut writer) => match writer.close().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    // Parts that have arrived would stay, and cost.
                    let _ = writer.abort().await;
                    Err(told(error, format_args!("write {path}")))
                }
            },
        }
    }

    async fn discard(self) {
        match self {
            Self::Here { writer, place, fresh } => match writer.abandon().await {
                // Nothing has come, so what was there before is there.
                Abandoned::Untouched(_) if !fresh => {}
                // Locked until it is gone.
                _file => discard_file(place).await,
            },
            Self::Elsewhere(mut writer) => {
                let _ = writer.abort().await;
            }
        }
    }
}

/// Removes a file that is incomplete. Devices stay.
async fn discard_file(place: PathBuf) {
    let removing =
        blocking(
            move || {
                if std::fs::metadata(&place)?.is_file() { std::fs::remove_file(&place) } else { Ok(()) }
            },
        );
    // It is reported as failed anyway.
    let _ = removing.await;
}

impl Drop for Writing {
    fn drop(&mut self) {
        // A program that has stopped its run time has no time for this either.
        if let (Some(body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(body.discard());
        }
    }
}
