//! Pieces to a file, front to back.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, FileTypeExt as _},
    path::Path,
};

use bytes::Bytes;
use rustix::fs::FallocateFlags;
use tokio::task::JoinHandle;

use crate::{HOLE, STEP, ZEROS, blocking, finished};

/// What kind of file it is: what a hole takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Is empty before it is written to, so that what is skipped reads as zeros.
    Regular,
    /// Keeps what nobody overwrites.
    Block { discards: bool },
    /// A pipe or a terminal: has no positions.
    Other,
}

/// Writes a file from its beginning. Long runs of zeros become holes.
///
/// While one step is written, the next one is collected; an error comes with one of the next calls, and in any case with
/// [`finish`](Self::finish). Only what `finish` has returned from is written.
#[derive(Debug)]
pub struct Writer {
    target: State,
    waiting: Vec<Bytes>,
    waiting_len: usize,
    written: u64,
}

#[derive(Debug)]
enum State {
    Idle(Target),
    Writing(JoinHandle<io::Result<Target>>),
    /// An error was returned.
    Failed,
}

#[derive(Debug)]
struct Target {
    file: File,
    kind: Kind,
    position: u64,
    /// A regular file that may still hold what it held.
    full: bool,
}

/// What an unfinished write leaves.
#[derive(Debug)]
pub enum Abandoned {
    /// The file as it was.
    Untouched(File),
    /// Something else, if anybody knows what.
    Touched(Option<File>),
}

impl Writer {
    /// Creates the file, or empties it. A device is opened as it is.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub async fn create(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let file = File::options().write(true).create(true).truncate(true).open(path)?;
            Self::into_file(file)
        })
        .await
    }

    /// Writes into a file that is open. A regular file must be empty.
    ///
    /// # Errors
    /// When the system does not say what kind of file it is.
    pub fn into_file(file: File) -> io::Result<Self> {
        Self::of(file, false)
    }

    /// Writes over a file that is open. A regular file is emptied when the first data is written, or at the end: what it
    /// held stays until there is something to take its place.
    ///
    /// # Errors
    /// When the system does not say what kind of file it is.
    pub fn over_file(file: File) -> io::Result<Self> {
        Self::of(file, true)
    }

    fn of(file: File, full: bool) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        let kind = match kind {
            kind if kind.is_file() => Kind::Regular,
            kind if kind.is_block_device() => Kind::Block { discards: true },
            _ => Kind::Other,
        };
        let target = State::Idle(Target { file, kind, position: 0, full: full && kind == Kind::Regular });
        Ok(Self { target, waiting: Vec::new(), waiting_len: 0, written: 0 })
    }

    /// How many bytes were taken, holes included.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// When an earlier one could not be written.
    pub async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.written += piece.len() as u64;
        self.waiting_len += piece.len();
        self.waiting.push(piece);
        if self.waiting_len >= STEP { self.start().await } else { Ok(()) }
    }

    /// Waits for the last step and begins the next one.
    async fn start(&mut self) -> io::Result<()> {
        let mut target = self.idle().await?;
        let pieces = std::mem::take(&mut self.waiting);
        self.waiting_len = 0;
        self.target = State::Writing(tokio::task::spawn_blocking(move || {
            for piece in pieces {
                target.write(&piece)?;
            }
            Ok(target)
        }));
        Ok(())
    }

    async fn idle(&mut self) -> io::Result<Target> {
        match std::mem::replace(&mut self.target, State::Failed) {
            State::Idle(target) => Ok(target),
            State::Writing(task) => finished(task).await,
            State::Failed => Err(io::Error::other("an earlier write has failed")),
        }
    }

    /// Writes nothing more, and waits for what is being written.
    pub async fn abandon(mut self) -> Abandoned {
        match self.idle().await {
            Ok(target) if target.full => Abandoned::Untouched(target.file),
            Ok(target) => Abandoned::Touched(Some(target.file)),
            Err(_) => Abandoned::Touched(None),
        }
    }

    /// Writes what is left. A regular file gets its full length, also where it ends in a hole; a device has everything when
    /// this returns.
    ///
    /// # Errors
    /// When something could not be written.
    pub async fn finish(mut self) -> io::Result<File> {
        self.start().await?;
        let target = self.idle().await?;
        blocking(move || target.finish()).await
    }
}

/// Whether all of it is zero. Comparing with zeros is what the system does fastest.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

impl Target {
    fn empty(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.full) { self.file.set_len(0) } else { Ok(()) }
    }

    fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        self.empty()?;
        if self.kind == Kind::Other {
            return self.file.write_all(piece);
        }
        while !piece.is_empty() {
            let zeros = self.zeros(piece);
            if zeros > 0 {
                self.skip(&piece[..zeros])?;
                piece = &piece[zeros..];
            }
            let data = self.data(piece);
            self.file.write_all_at(&piece[..data], self.position)?;
            self.position += data as u64;
            piece = &piece[data..];
        }
        Ok(())
    }

    /// How many bytes until a position where a hole may begin.
    fn to_boundary(&self, ahead: usize) -> usize {
        let hole = HOLE as u64;
        let over = (self.position + ahead as u64) % hole;
        usize::try_from((hole - over) % hole).unwrap_or_default()
    }

    /// How many zeros at the front become a hole: whole blocks and, in a file, also the parts of blocks at either end of the
    /// piece, whose other parts are in its neighbours.
    fn zeros(&self, piece: &[u8]) -> usize {
        let head = self.to_boundary(0).min(piece.len());
        if head > 0 && !(self.kind == Kind::Regular && is_zero(&piece[..head])) {
            return 0;
        }
        let blocks = piece[head..].chunks_exact(HOLE).take_while(|block| is_zero(block)).count();
        let zeros = head + blocks * HOLE;
        if self.is_zero_end(&piece[zeros..]) { piece.len() } else { zeros }
    }

    /// Whether this is the beginning of a block of zeros, at the end of a piece.
    fn is_zero_end(&self, rest: &[u8]) -> bool {
        self.kind == Kind::Regular && rest.len() < HOLE && is_zero(rest)
    }

    /// How many bytes are before the next zeros that become a hole.
    fn data(&self, piece: &[u8]) -> usize {
        let mut at = self.to_boundary(0).min(piece.len());
        while let Some(block) = piece.get(at..at + HOLE) {
            if is_zero(block) {
                return at;
            }
            at += HOLE;
        }
        if self.is_zero_end(&piece[at..]) { at } else { piece.len() }
    }

    fn skip(&mut self, zeros: &[u8]) -> io::Result<()> {
        let length = zeros.len() as u64;
        if let Kind::Block { discards: true } = self.kind {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if rustix::fs::fallocate(&self.file, flags, self.position, length).is_err() {
                self.kind = Kind::Block { discards: false };
            }
        }
        if let Kind::Block { discards: false } = self.kind {
            self.file.write_all_at(zeros, self.position)?;
        }
        self.position += length;
        Ok(())
    }

    fn finish(mut self) -> io::Result<File> {
        self.empty()?;
        match self.kind {
            // A hole at the end has left the file short.
            Kind::Regular if self.file.metadata()?.len() != self.position => {
                self.file.set_len(self.position)?;
            }
            Kind::Regular | Kind::Other => {}
            Kind::Block { .. } => self.file.sync_all()?,
        }
        Ok(self.file)
    }
}
