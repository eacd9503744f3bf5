//! Files of this machine, and addresses of files elsewhere, as arguments of calls.
//!
//! What somebody names on a command line becomes a [`Source`] or a [`Sink`] here: an `http://` or `https://` address is
//! handed to the exporter as it stands, anything else is a path. How a file is packed is said by whoever names it, and
//! never guessed from its name.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture};
use jumpstarter_core::{Context as _, Error, Result, Sink, Source, resource::SinkBody};
use jumpstarter_files::{Reader, Writer};
use jumpstarter_transport::{
    codec::Encoding,
    presigned::{Http, Request},
};
use tokio::{fs::File, io::AsyncReadExt as _};

/// Whether this names a file elsewhere.
pub fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// What a name stands for, to be read by a driver. With `packing`, the file's bytes are packed like that, and the driver
/// gets what was packed.
///
/// An address is fetched by the exporter, whose network may be a better one for it. Only when it is packed, which the
/// exporter does not undo for what it fetches, it is fetched here and sent on.
///
/// # Errors
/// When the file cannot be opened, or the address not be fetched; names it.
pub async fn source(name: &str, packing: Option<Encoding>) -> Result<Source> {
    match (is_url(name), packing) {
        (true, None) => Ok(Source::from_url(name, BTreeMap::new())),
        (true, packing) => Ok(fetch(name).await?.packed_as(packing.map(Encoding::name))),
        (false, packing) => Ok(read(Path::new(name)).await?.packed_as(packing.map(Encoding::name))),
    }
}

/// What a name stands for, to be written by a driver. With `packing`, the exporter packs what the driver writes.
///
/// # Errors
/// When the file cannot be created, or when something packed is to be stored at an address.
pub async fn sink(name: &str, packing: Option<Encoding>) -> Result<Sink> {
    match (is_url(name), packing) {
        (true, None) => Ok(Sink::to_url(name, BTreeMap::new())),
        (true, Some(packing)) => Err(Error::usage(format!(
            "what the exporter stores at an address cannot be packed: leave out {packing}, or write to a file here"
        ))),
        (false, packing) => Ok(write(Path::new(name)).await?.packed_as(packing.map(Encoding::name))),
    }
}

/// Reads a file of this machine. Its holes are not read.
///
/// # Errors
/// When it cannot be opened, or is a directory; names it.
pub async fn read(path: &Path) -> Result<Source> {
    let source = Reader::open(path).await.and_then(Reader::into_source);
    source.context(format_args!("cannot open {}", path.display()))
}

/// Fetches a file from an address, through this machine.
///
/// # Errors
/// When the address cannot be fetched.
pub async fn fetch(url: &str) -> Result<Source> {
    let request = Request::new("GET", url, [] as [(&str, &str); 0])?;
    let download = Http::new().get(&request).await?;
    let len = download.length();
    let source = Source::new(download.map_err(Error::from));
    Ok(match len {
        Some(len) => source.with_len(len),
        None => source,
    })
}

/// Writes a file of this machine. Long runs of zeros become holes.
///
/// A regular file appears under its name only when all of it is there. Until then, and when something goes wrong, what
/// there is has the name with `.part` behind it; when the sink is dropped in the middle, because nobody waits for it any
/// more, nothing is left. Pipes and devices are written to as they are.
///
/// # Errors
/// When it cannot be created; names it.
pub async fn write(path: &Path) -> Result<Sink> {
    let special = tokio::fs::metadata(path).await.is_ok_and(|metadata| !metadata.is_file());
    let name = path.file_name().filter(|_| !special);
    let part = name.map(|name| {
        let mut part = OsString::from(name);
        part.push(".part");
        path.with_file_name(part)
    });
    let place = part.as_deref().unwrap_or(path);
    let writer = Writer::create(place).await.context(format_args!("cannot write {}", place.display()))?;
    Ok(Sink::new(Written { writer, path: path.to_owned(), part }))
}

struct Written {
    writer: Writer,
    path: PathBuf,
    part: Option<PathBuf>,
}

impl SinkBody for Written {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.writer.write(piece).await.context(format_args!("cannot write {}", self.path.display()))
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let Self { writer, path, part } = *self;
            let finish = async {
                writer.finish().await?;
                match part {
                    Some(part) => tokio::fs::rename(part, &path).await,
                    None => Ok(()),
                }
            };
            finish.await.context(format_args!("cannot write {}", path.display()))
        })
    }

    fn abort(self: Box<Self>, reason: Error) {
        tracing::debug!(%reason, path = %self.path.display(), "a file stays incomplete");
        if let (Some(part), 0) = (&self.part, self.writer.written()) {
            // Nothing came, and an empty file tells nobody anything.
            let _ = std::fs::remove_file(part);
        }
    }

    fn abandon(self: Box<Self>, _: Error) {
        if let Some(part) = &self.part {
            // Whatever it is, nobody is there to be told.
            let _ = std::fs::remove_file(part);
        }
    }
}

/// How a file is packed, by its first bytes; for those who ask for it.
///
/// # Errors
/// When the file cannot be read; names it.
pub async fn packing_of(path: &Path) -> Result<Option<Encoding>> {
    let mut first = Vec::with_capacity(6);
    let reading = async { File::open(path).await?.take(6).read_to_end(&mut first).await };
    reading.await.context(format_args!("cannot open {}", path.display()))?;
    Ok(packing_by_magic(&first))
}

/// How data is packed, by its first six bytes.
pub fn packing_by_magic(first: &[u8]) -> Option<Encoding> {
    jumpstarter_core::resource::packing_by_magic(first)?.parse().ok()
}

/// Tells `progress` after each piece how many bytes have left, and how many there are in all, where that is known.
///
/// Nothing is told about a file that the exporter fetches by itself.
pub fn watch_source(source: Source, mut progress: impl FnMut(u64, Option<u64>) + Send + 'static) -> Source {
    if source.handle().is_some() {
        return source;
    }
    let (len, packing) = (source.len(), source.packing().map(str::to_owned));
    let mut done = 0;
    // Length and digest are verified inside, by the original.
    let watched = Source::new(source.inspect(move |piece| {
        if let Ok(piece) = piece {
            done += piece.len() as u64;
            progress(done, len);
        }
    }));
    let watched = match len {
        Some(len) => watched.with_len(len),
        None => watched,
    };
    watched.packed_as(packing)
}

/// Tells `progress` after each piece how many bytes have arrived.
///
/// Nothing is told about a file that the exporter stores by itself.
pub fn watch_sink(sink: Sink, progress: impl FnMut(u64) + Send + 'static) -> Sink {
    struct Watched<F> {
        sink: Sink,
        progress: F,
    }
    impl<F: FnMut(u64) + Send + 'static> SinkBody for Watched<F> {
        fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
            Box::pin(async move {
                self.sink.write(piece).await?;
                (self.progress)(self.sink.written());
                Ok(())
            })
        }

        fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
            Box::pin(self.sink.finish())
        }

        fn abort(self: Box<Self>, reason: Error) {
            self.sink.abort(reason);
        }

        // Dropping the sink inside says the same to it.
        fn abandon(self: Box<Self>, _: Error) {}
    }
    if sink.handle().is_some() {
        return sink;
    }
    let packing = sink.packing().map(str::to_owned);
    Sink::new(Watched { sink, progress }).packed_as(packing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_goes_to_the_exporter_as_it_stands() {
        let url = "https://example.com/a%2Fb?sig=%7e";
        let source = source(url, None).await.unwrap();
        let handle = source.handle().unwrap().to_json();
        assert!(handle.contains(url), "{handle}");
        assert!(sink(url, Some(Encoding::Xz)).await.is_err());
        assert!(sink(url, None).await.unwrap().handle().unwrap().to_json().contains("PUT"));
    }

    #[tokio::test]
    async fn a_file_appears_under_its_name_only_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let mut sink = write(&path).await.unwrap();
        sink.write("half").await.unwrap();
        sink.abort(Error::truncated("cut"));
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "what came is kept for a look");
        let mut dropped = watch_sink(write(&path).await.unwrap(), |_| ());
        dropped.write("half").await.unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nobody waits for it");
        write(&path).await.unwrap().abort(Error::truncated("nothing came"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut sink = write(&path).await.unwrap();
        sink.write("all").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"all");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn progress_counts_bytes_and_keeps_what_is_known_about_the_file() {
        let (sender, seen) = std::sync::mpsc::sync_channel(16);
        let source = Source::from_bytes(vec![0; 100_000]).packed_as(Some("xz"));
        let source = watch_source(source, move |done, total| sender.send((done, total)).unwrap());
        assert_eq!((source.len(), source.packing()), (Some(100_000), Some("xz")));
        source.finish().await.unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [(65_536, Some(100_000)), (100_000, Some(100_000))]);
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/image.bin")).await.unwrap_err();
        assert!(error.message().starts_with("cannot open /nowhere/image.bin: "), "{error}");
        let error = read(Path::new("/")).await.unwrap_err();
        assert!(error.message().contains("directory"), "{error}");
    }

    #[test]
    fn packing_is_recognised_by_the_first_bytes() {
        assert_eq!(packing_by_magic(b"\x1f\x8b\x08\0\0\0"), Some(Encoding::Gzip));
        assert_eq!(packing_by_magic(b"\xfd7zXZ\0"), Some(Encoding::Xz));
        assert_eq!(packing_by_magic(b"BZh91A"), Some(Encoding::Bz2));
        assert_eq!(packing_by_magic(b"\x28\xb5\x2f\xfd\0\0"), Some(Encoding::Zstd));
        assert_eq!(packing_by_magic(b"BZ"), None);
        assert_eq!(packing_by_magic(b""), None);
    }
}
