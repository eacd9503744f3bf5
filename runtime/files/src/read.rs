//! A file to pieces, from a position on.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, FileTypeExt as _},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use jumpstarter_core::{Source, io::CHUNK};
use rustix::{fs::SeekFrom, io::Errno};
use tokio::task::JoinHandle;

use crate::{STEP, ZEROS, blocking, finished};

/// Reads a file from a position on. Holes are not read: their zeros are made up.
///
/// While one step is taken, the next one is read.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    ahead: Option<JoinHandle<io::Result<Step>>>,
    /// What was read and not yet taken.
    rest: Bytes,
    /// Zeros that come after `rest`.
    zeros: u64,
    position: u64,
    over: bool,
}

/// Where the next step begins.
#[derive(Clone, Debug)]
struct Place {
    file: Arc<File>,
    kind: Kind,
    position: u64,
    /// Where the data ends that lies at `position`, as far as it is known.
    data_until: u64,
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Regular,
    /// A block device: has positions, and a size that its metadata does not tell.
    Block,
    /// A pipe or a terminal: has no positions.
    Other,
}

#[derive(Debug)]
struct Step {
    place: Place,
    data: Bytes,
    zeros: u64,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened, or is a directory.
    pub async fn open(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let file = File::open(path)?;
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Self::of_file(Arc::new(file), 0)
        })
        .await
    }

    /// Reads a file that is open. Where it has positions, that of the descriptor is used for nothing else meanwhile.
    ///
    /// # Errors
    /// When the system does not say what kind of file it is.
    pub fn of_file(file: Arc<File>, position: u64) -> io::Result<Self> {
        let kind = match file.metadata()?.file_type() {
            kind if kind.is_file() => Kind::Regular,
            kind if kind.is_block_device() => Kind::Block,
            _ => Kind::Other,
        };
        let place = Place { file, kind, position, data_until: 0 };
        Ok(Self { place, ahead: None, rest: Bytes::new(), zeros: 0, position, over: false })
    }

    /// How long the file or block device is now; `None` for pipes and terminals, which do not know.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn len(&self) -> io::Result<Option<u64>> {
        Ok(match self.place.kind {
            Kind::Regular => Some(self.place.file.metadata()?.len()),
            Kind::Block => Some(rustix::fs::seek(&*self.place.file, SeekFrom::End(0))?),
            Kind::Other => None,
        })
    }

    /// The position behind the last piece that was taken.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next piece, of at most [`CHUNK`] bytes; `None` at the end of the file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if !self.rest.is_empty() {
                let piece = self.rest.split_to(self.rest.len().min(CHUNK));
                self.position += piece.len() as u64;
                return Ok(Some(piece));
            }
            if self.zeros > 0 {
                let count = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(CHUNK.min(ZEROS.len()));
                self.zeros -= count as u64;
                self.position += count as u64;
                return Ok(Some(Bytes::from_static(&ZEROS[..count])));
            }
            if self.over {
                return Ok(None);
            }
            let step = match self.ahead.take() {
                Some(ahead) => finished(ahead).await,
                None => finished(self.place.clone().read()).await,
            };
            let Step { place, data, zeros } = step.inspect_err(|_| self.over = true)?;
            self.over = data.is_empty() && zeros == 0;
            (self.place, self.rest, self.zeros) = (place, data, zeros);
            if !self.over {
                self.ahead = Some(self.place.clone().read());
            }
        }
    }

    /// As a source; a regular file announces its length, so that one that shrinks meanwhile is noticed.
    ///
    /// # Errors
    /// When the system does not say how long the file is.
    pub fn into_source(self) -> io::Result<Source> {
        let len = self.len()?.map(|len| len.saturating_sub(self.position));
        let pieces = futures::stream::try_unfold(self, async |mut reader| {
            Ok(reader.next().await?.map(|piece| (piece, reader)))
        });
        let source = Source::new(pieces);
        Ok(match len {
            Some(len) => source.with_len(len),
            None => source,
        })
    }
}

impl Place {
    fn read(mut self) -> JoinHandle<io::Result<Step>> {
        tokio::task::spawn_blocking(move || {
            let positions = self.kind != Kind::Other;
            if positions
                && self.position >= self.data_until
                && let Some(zeros) = self.hole()?
            {
                self.position += zeros;
                return Ok(Step { place: self, data: Bytes::new(), zeros });
            }
            let most = self.data_until.saturating_sub(self.position);
            let most = if positions { usize::try_from(most).unwrap_or(usize::MAX).min(STEP) } else { STEP };
            let mut data = vec![0; most];
            let count = self.fill(&mut data)?;
            data.truncate(count);
            self.position += count as u64;
            Ok(Step { place: self, data: data.into(), zeros: 0 })
        })
    }

    /// How long the hole is that lies here; `None` when data does, whose end is then known.
    fn hole(&mut self) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&*self.file, SeekFrom::Data(self.position)) {
            Ok(data) if data > self.position => Ok(Some(data - self.position)),
            Ok(_) => {
                let end = rustix::fs::seek(&*self.file, SeekFrom::Hole(self.position));
                self.data_until = end.unwrap_or(u64::MAX);
                Ok(None)
            }
            // No data any more: a hole up to the end, or the end.
            Err(Errno::NXIO) => {
                let zeros = self.file.metadata()?.len().saturating_sub(self.position);
                self.data_until = self.position;
                Ok((zeros > 0).then_some(zeros))
            }
            // A file system that does not tell.
            Err(_) => {
                self.data_until = u64::MAX;
                Ok(None)
            }
        }
    }

    fn fill(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let read = match self.kind {
                Kind::Other => (&*self.file).read(&mut buffer[count..]),
                _ => self.file.read_at(&mut buffer[count..], self.position + count as u64),
            };
            match read {
                Ok(0) => break,
                // What comes from a terminal or a pipe is passed on as it comes.
                Ok(read) if self.kind == Kind::Other => return Ok(read),
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
