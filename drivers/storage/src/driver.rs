//! The driver `opendal`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _};
use jumpstarter::{
    Call, Delay, Driver, Error, ErrorKind, Open, Result, Sink, Source, Stream, config, driver, log::Logger,
    task::spawn_blocking, types::Uuid,
};
use jumpstarter_interfaces::opendal::{
    Capability, EntryMode, HashAlgo, Metadata, OpenMode, PresignedRequest, Storage,
};
use md5::{Digest as _, Md5};
use opendal::options::ListOptions;
use sha2::Sha256;

use crate::{
    created::{self, Created, Target},
    error::{of_file, told},
    handles::{Found, Handles, OpenFile},
    place::{Pieces, Place},
    scheme::{self, Scheme},
};

/// What callers are told who do with a file what it was not opened for: upstream's words.
const CLOSED: &str = "I/O operation failed for reading on closed file.";
const WRITE_ONLY: &str = "I/O operation failed for reading on write only file.";
const READ_ONLY: &str = "I/O operation failed for writing on read only file.";
const CLOSED_FOR_WRITING: &str = "I/O operation failed for writing on closed file.";

/// Where files are kept.
#[config]
#[schemars(transform = scheme::with_keys)]
pub struct OpendalConfig {
    /// The service: `fs`, `memory`, `s3`, `http`, or another one that this program was built with.
    #[schemars(extend("examples" = ["memory"]))]
    pub scheme: Scheme,
    /// What the service is set up with, for example `root`, `bucket` or `endpoint`. All values are text.
    #[schemars(extend("examples" = [{ "root": "/" }]))]
    pub kwargs: BTreeMap<String, String>,
    /// Remove at the end what was made: files and folders that were not there before, also those that were made on the
    /// way to a file. What was there stays, whatever was written to it or renamed; so does a folder in which somebody else
    /// has put something. Only for `fs`.
    #[default = false]
    pub remove_created_on_close: bool,
    /// How long a service of the network may be silent.
    #[default = "60s"]
    pub timeout: Delay,
}

/// Files in storage of any kind.
#[driver(
    type = "opendal",
    provides(Storage),
    config = OpendalConfig,
    aliases("jumpstarter_driver_opendal.driver.Opendal")
)]
pub struct Opendal {
    scheme: Scheme,
    place: Place,
    handles: Handles,
    created: Created,
    remove_created: bool,
    logger: Logger,
}

impl Driver for Opendal {
    fn check(config: &OpendalConfig) -> Vec<Error> {
        config.scheme.refuses(config.kwargs.clone()).into_iter().collect()
    }

    async fn open(config: OpendalConfig, cx: &mut Open) -> Result<Self> {
        let OpendalConfig { scheme, kwargs, remove_created_on_close, timeout } = config;
        let atomic = kwargs.contains_key("atomic_write_dir");
        let operator = scheme.open(kwargs, timeout.get())?;
        // Files that shall appear all at once are left to the library.
        let root = (scheme.is_fs() && !atomic).then(|| operator.info().root().into());
        let removes = remove_created_on_close && scheme.is_fs();
        Ok(Self {
            scheme,
            place: Place::new(operator, root),
            handles: Handles::default(),
            created: Created::new(removes),
            remove_created: remove_created_on_close,
            logger: cx.logger(),
        })
    }

    async fn close(&self) -> Result<()> {
        for file in self.handles.take() {
            let mut file = file.lock().await;
            if let OpenFile::Writing(writing) = std::mem::replace(&mut *file, OpenFile::Failed) {
                self.forgotten(writing).await;
            }
        }
        let created = self.created.take();
        if !created.is_empty() {
            self.logger.debug(format!("made in this session: {created:?}"));
        }
        if self.remove_created {
            match self.fs_root() {
                Some(root) => {
                    let logger = self.logger.clone();
                    let removing = spawn_blocking(move || created::remove(&root, &created, &logger));
                    removing.await.map_err(|error| Error::internal(error.to_string()))?;
                }
                None => self.logger.warn(format!(
                    "what was made is not removed: `remove_created_on_close` works with scheme `fs`, not with `{}`",
                    self.scheme
                )),
            }
        }
        Ok(())
    }
}

/// What is said of a file that was opened for writing again.
const TAKEN: &str = "it was opened for writing again meanwhile: what was written before is not stored";

impl Opendal {
    /// Opens a file for writing. Whoever has it open for that and writes nothing loses it: programs end without closing their
    /// files, and are started again. Whoever is writing keeps it.
    async fn writing(&self, path: &str) -> Result<crate::place::Writing> {
        let busy = match self.place.write(path).await {
            Err(busy) if busy.kind() == ErrorKind::Busy => busy,
            done => return done,
        };
        for file in self.handles.all() {
            let Ok(mut file) = file.try_lock() else { continue };
            if !matches!(&*file, OpenFile::Writing(writing) if self.place.is_same(writing.path(), path)) {
                continue;
            }
            if let OpenFile::Writing(writing) = std::mem::replace(&mut *file, OpenFile::Taken) {
                writing.release().await;
            }
        }
        self.place
            .write(path)
            .await
            .map_err(|error| if error.kind() == ErrorKind::Busy { busy } else { error })
    }

    fn fs_root(&self) -> Option<PathBuf> {
        self.scheme.is_fs().then(|| self.place.operator().info().root().into())
    }

    /// A file that nobody has closed.
    async fn forgotten(&self, writing: crate::place::Writing) {
        let path = writing.path().to_owned();
        if !writing.is_here() {
            self.logger.warn(format!("{path:?} was written but never closed: it is not stored"));
            return writing.discard().await;
        }
        if let Err(error) = writing.finish().await {
            self.logger.error(format!("{path:?} was never closed: {error}"));
        }
    }

    /// Copies a file of the exporter's machine into the storage: for drivers that flash from a storage.
    ///
    /// # Errors
    /// When it cannot be read or written; there is no such file in the storage then.
    pub async fn copy_exporter_file(&self, source: &Path, target: &str) -> Result<()> {
        let reader = jumpstarter_files::Reader::open(source).await;
        let source = reader.and_then(jumpstarter_files::Reader::into_source).map_err(Error::from)?;
        self.making(target, async {
            let mut writing = self.place.write(target).await?;
            if let Err(error) = copy(source, &mut writing, |_| {}).await {
                writing.discard().await;
                return Err(error);
            }
            writing.finish().await
        })
        .await
    }

    /// The folder from which things are removed in the end. Where nothing is removed, nobody needs to look.
    fn tidied(&self) -> Option<PathBuf> {
        self.fs_root().filter(|_| self.remove_created)
    }

    /// Does something that may make a path, and keeps in mind what it has made.
    async fn making<T>(&self, path: &str, doing: impl Future<Output = Result<T>>) -> Result<T> {
        self.making_and(path, doing, |target| self.created.add(target)).await
    }

    async fn making_and<T>(
        &self,
        path: &str,
        doing: impl Future<Output = Result<T>>,
        done: impl FnOnce(&Target),
    ) -> Result<T> {
        let target = Target::look(self.tidied(), path).await?;
        match doing.await {
            Ok(result) => {
                done(&target);
                Ok(result)
            }
            Err(error) => {
                // Folders on the way may be there all the same.
                if let Some(root) = self.tidied() {
                    self.created.left(&target.what_is_there(root).await?);
                }
                Err(error)
            }
        }
    }

    async fn digest(&self, path: &str, mut update: impl FnMut(&[u8]) + Send) -> Result<()> {
        let mut pieces = self.place.read(path).await?.from(0).await?;
        while let Some(piece) = pieces.next().await? {
            update(&piece);
        }
        Ok(())
    }

    async fn listed(&self, path: &str, recursive: bool) -> Result<Stream<String>> {
        let options = ListOptions { recursive, ..ListOptions::default() };
        let what = format!("list {path}");
        let lister = self.place.operator().lister_options(path, options).await;
        let lister = lister.map_err(|error| told(error, &what))?;
        let paths = lister.map_ok(|entry| entry.path().to_owned());
        Ok(Stream::new(paths.map_err(move |error| told(error, &what)).boxed()))
    }
}

async fn copy(
    mut source: Source,
    writing: &mut crate::place::Writing,
    mut seen: impl FnMut(u64),
) -> Result<()> {
    while let Some(piece) = source.next().await? {
        let length = piece.len() as u64;
        writing.write(piece).await?;
        seen(length);
    }
    Ok(())
}

/// The new position.
fn moved(from: u64, by: i64) -> Result<u64> {
    from.checked_add_signed(by)
        .ok_or_else(|| Error::new(ErrorKind::Io, "invalid seek to a negative or overflowing position"))
}

fn presigned(request: &opendal::raw::PresignedRequest) -> Result<PresignedRequest> {
    let mut headers = BTreeMap::new();
    for (name, value) in request.header() {
        let value = value.to_str().map_err(|_| Error::internal(format!("header {name} is not text")))?;
        headers.insert(name.as_str().to_owned(), value.to_owned());
    }
    Ok(PresignedRequest { url: request.uri().to_string(), method: request.method().to_string(), headers })
}

impl Storage for Opendal {
    async fn open(&self, path: String, mode: OpenMode) -> Result<Uuid> {
        self.handles.room()?;
        let file = match mode {
            OpenMode::Read => OpenFile::Reading { reading: self.place.read(&path).await?, position: 0 },
            OpenMode::Write => OpenFile::Writing(self.making(&path, self.writing(&path)).await?),
        };
        Ok(self.handles.add(file))
    }

    async fn file_read(&self, fd: Uuid, dst: Sink) -> Result<()> {
        let Found::Open(file) = self.handles.find(fd)? else { return dst.finish().await };
        let mut file = file.lock().await;
        // As with upstream, there is nothing in a file that cannot be read.
        let OpenFile::Reading { reading, position } = &mut *file else { return dst.finish().await };
        let mut pieces: Pieces = reading.from(*position).await?;
        pieces.copy_to(dst, |length| *position += length).await
    }

    async fn file_write(&self, fd: Uuid, src: Source, call: Call) -> Result<()> {
        let Found::Open(file) = self.handles.find(fd)? else { return Err(Error::device(CLOSED_FOR_WRITING)) };
        let mut file = file.lock().await;
        match &*file {
            OpenFile::Reading { .. } => return Err(Error::device(READ_ONLY)),
            OpenFile::Taken => return Err(Error::device(TAKEN)),
            OpenFile::Writing(_) | OpenFile::Failed => {}
        }
        // If this call ends before its time, by an error or by going away, there is no file.
        let OpenFile::Writing(mut writing) = std::mem::replace(&mut *file, OpenFile::Failed) else {
            return Err(Error::device("writing this file has failed before: open it again"));
        };
        let mut progress = call.progress("writing", src.len());
        match copy(src, &mut writing, |length| progress.advance(length)).await {
            Ok(()) => {
                *file = OpenFile::Writing(writing);
                Ok(())
            }
            Err(error) => {
                self.created.forget(writing.path());
                writing.discard().await;
                Err(error)
            }
        }
    }

    async fn file_seek(&self, fd: Uuid, pos: i64, whence: u8) -> Result<u64> {
        let Found::Open(file) = self.handles.find(fd)? else { return Err(Error::device(CLOSED)) };
        let mut file = file.lock().await;
        let OpenFile::Reading { reading, position } = &mut *file else {
            return Err(Error::device(WRITE_ONLY));
        };
        let from = match whence {
            0 => 0,
            1 => *position,
            2 => reading.len().ok_or_else(|| Error::device("nobody says how long this file is"))?,
            _ => {
                return Err(Error::invalid_argument(format!("argument `whence`: {whence} is not 0, 1 or 2")));
            }
        };
        *position = moved(from, pos)?;
        Ok(*position)
    }

    async fn file_tell(&self, fd: Uuid) -> Result<u64> {
        let Found::Open(file) = self.handles.find(fd)? else { return Err(Error::device(CLOSED)) };
        match &*file.lock().await {
            OpenFile::Reading { position, .. } => Ok(*position),
            OpenFile::Writing(_) | OpenFile::Failed | OpenFile::Taken => Err(Error::device(WRITE_ONLY)),
        }
    }

    async fn file_close(&self, fd: Uuid) -> Result<()> {
        let Found::Open(file) = self.handles.close(fd)? else { return Ok(()) };
        let file = std::mem::replace(&mut *file.lock().await, OpenFile::Failed);
        match file {
            OpenFile::Writing(writing) => {
                let path = writing.path().to_owned();
                writing.finish().await.inspect_err(|_| self.created.forget(&path))
            }
            OpenFile::Taken => Err(Error::device(TAKEN)),
            // What has failed was reported; the file was not stored.
            OpenFile::Reading { .. } | OpenFile::Failed => Ok(()),
        }
    }

    async fn file_closed(&self, fd: Uuid) -> Result<bool> {
        Ok(matches!(self.handles.find(fd)?, Found::Closed))
    }

    async fn file_readable(&self, fd: Uuid) -> Result<bool> {
        let Found::Open(file) = self.handles.find(fd)? else { return Ok(false) };
        Ok(matches!(*file.lock().await, OpenFile::Reading { .. }))
    }

    async fn file_seekable(&self, fd: Uuid) -> Result<bool> {
        self.file_readable(fd).await
    }

    async fn file_writable(&self, fd: Uuid) -> Result<bool> {
        let Found::Open(file) = self.handles.find(fd)? else { return Ok(false) };
        Ok(!matches!(*file.lock().await, OpenFile::Reading { .. }))
    }

    async fn stat(&self, path: String) -> Result<Metadata> {
        let metadata = self.place.operator().stat(&path).await;
        let metadata = metadata.map_err(|error| told(error, format_args!("describe {path}")))?;
        let text = |text: Option<&str>| text.map(str::to_owned);
        Ok(Metadata {
            content_disposition: text(metadata.content_disposition()),
            content_length: metadata.content_length(),
            content_md5: text(metadata.content_md5()),
            content_type: text(metadata.content_type()),
            etag: text(metadata.etag()),
            mode: EntryMode { entry_is_file: metadata.is_file(), entry_is_dir: metadata.is_dir() },
        })
    }

    async fn hash(&self, path: String, algo: HashAlgo) -> Result<String> {
        match algo {
            HashAlgo::Md5 => {
                let mut hasher = Md5::new();
                self.digest(&path, |piece| hasher.update(piece)).await?;
                Ok(jumpstarter::resource::hex(&hasher.finalize()))
            }
            HashAlgo::Sha256 => {
                let mut hasher = Sha256::new();
                self.digest(&path, |piece| hasher.update(piece)).await?;
                Ok(jumpstarter::resource::hex(&hasher.finalize()))
            }
        }
    }

    async fn copy(&self, source: String, target: String) -> Result<()> {
        let copying = async {
            let copied = self.place.operator().copy(&source, &target).await;
            copied.map(drop).map_err(|error| told(error, format_args!("copy {source} to {target}")))
        };
        self.making(&target, copying).await
    }

    async fn rename(&self, source: String, target: String) -> Result<()> {
        let renaming = async {
            let renamed = self.place.operator().rename(&source, &target).await;
            renamed.map(drop).map_err(|error| told(error, format_args!("rename {source} to {target}")))
        };
        self.making_and(&target, renaming, |target| self.created.renamed(&source, target)).await
    }

    async fn remove_all(&self, path: String) -> Result<()> {
        let operator = self.place.operator();
        let failed = |error| told(error, format_args!("remove {path}"));
        // The storage itself stays: it would be gone for everybody, and only some services could make it again.
        if !created::is_root(&path, self.scheme.is_fs()) {
            operator.delete_with(&path).recursive(true).await.map_err(failed)?;
        } else if let Some(root) = self.fs_root() {
            // Not by the library, which takes blanks off a name: a file called ` ` would be the storage itself.
            let emptied = spawn_blocking(move || created::empty(&root)).await;
            let emptied = emptied.map_err(|error| Error::internal(error.to_string()))?;
            emptied.map_err(|error| of_file(error, "remove", &path))?;
        } else {
            let mut entries = operator.lister("/").await.map_err(failed)?;
            while let Some(entry) = entries.try_next().await.map_err(failed)? {
                if !created::is_root(entry.path(), false) {
                    operator.delete_with(entry.path()).recursive(true).await.map_err(failed)?;
                }
            }
        }
        self.created.forget_all(&path);
        Ok(())
    }

    async fn create_dir(&self, path: String) -> Result<()> {
        let creating = async {
            let created = self.place.operator().create_dir(&path).await;
            created.map_err(|error| told(error, format_args!("make the folder {path}")))
        };
        self.making(&path, creating).await
    }

    async fn delete(&self, path: String) -> Result<()> {
        let deleted = self.place.operator().delete(&path).await;
        deleted.map_err(|error| told(error, format_args!("remove {path}")))?;
        self.created.forget(&path);
        Ok(())
    }

    async fn exists(&self, path: String) -> Result<bool> {
        let found = self.place.operator().exists(&path).await;
        found.map_err(|error| told(error, format_args!("look for {path}")))
    }

    async fn list(&self, path: String) -> Result<Stream<String>> {
        self.listed(&path, false).await
    }

    async fn scan(&self, path: String) -> Result<Stream<String>> {
        self.listed(&path, true).await
    }

    async fn presign_stat(&self, path: String, expire_second: u64) -> Result<PresignedRequest> {
        let request = self.place.operator().presign_stat(&path, Duration::from_secs(expire_second)).await;
        let what = format_args!("sign a request that describes {path}");
        presigned(&request.map_err(|error| told(error, what))?)
    }

    async fn presign_read(&self, path: String, expire_second: u64) -> Result<PresignedRequest> {
        let request = self.place.operator().presign_read(&path, Duration::from_secs(expire_second)).await;
        let what = format_args!("sign a request that reads {path}");
        presigned(&request.map_err(|error| told(error, what))?)
    }

    async fn presign_write(&self, path: String, expire_second: u64) -> Result<PresignedRequest> {
        let request = self.place.operator().presign_write(&path, Duration::from_secs(expire_second)).await;
        let what = format_args!("sign a request that writes {path}");
        presigned(&request.map_err(|error| told(error, what))?)
    }

    async fn capability(&self) -> Result<Capability> {
        let it = self.place.operator().info().capability();
        let size = |size: Option<usize>| size.map(|size| size as u64);
        Ok(Capability {
            stat: it.stat,
            stat_with_if_match: it.stat_with_if_match,
            stat_with_if_none_match: it.stat_with_if_none_match,
            read: it.read,
            read_with_if_match: it.read_with_if_match,
            read_with_if_none_match: it.read_with_if_none_match,
            read_with_override_cache_control: it.read_with_override_cache_control,
            read_with_override_content_disposition: it.read_with_override_content_disposition,
            read_with_override_content_type: it.read_with_override_content_type,
            write: it.write,
            write_can_multi: it.write_can_multi,
            write_can_empty: it.write_can_empty,
            write_can_append: it.write_can_append,
            write_with_content_type: it.write_with_content_type,
            write_with_content_disposition: it.write_with_content_disposition,
            write_with_cache_control: it.write_with_cache_control,
            write_multi_max_size: size(it.write_multi_max_size),
            write_multi_min_size: size(it.write_multi_min_size),
            write_total_max_size: size(it.write_total_max_size),
            create_dir: it.create_dir,
            delete: it.delete,
            copy: it.copy,
            rename: it.rename,
            list: it.list,
            list_with_limit: it.list_with_limit,
            list_with_start_after: it.list_with_start_after,
            list_with_recursive: it.list_with_recursive,
            presign: it.presign,
            presign_read: it.presign_read,
            presign_stat: it.presign_stat,
            presign_write: it.presign_write,
            shared: it.shared,
            blocking: self.scheme.is_local(),
        })
    }

    async fn get_created_resources(&self) -> Result<Vec<String>> {
        Ok(self.created.all())
    }

    async fn register_path(&self, path: String) -> Result<()> {
        self.created.register(&path);
        Ok(())
    }
}
